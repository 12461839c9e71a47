//! What each packet of the generator says: whose it is, where in which frame it belongs, and when it was sent.
//!
//! ```text
//!   "tdf1" | publisher, 2 | kind, 1 | packets of the frame, 1 | which of them, 1 | frame, 4 | sent, nanoseconds of the clock, 8
//! ```
//!
//! A server may write another descriptor before it: the stamp is searched for, near the front of the payload.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// What a packet carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Audio,
    Video { is_key: bool },
}

/// The stamp of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub publisher: u16,
    pub kind: Kind,
    /// Packets of the frame.
    pub packets: u8,
    /// Which of them this is.
    pub packet: u8,
    pub frame: u32,
    /// Since 1970.
    pub sent: Duration,
}

impl Stamp {
    pub fn write(&self, payload: &mut Vec<u8>) {
        payload.extend_from_slice(MAGIC);
        payload.extend_from_slice(&self.publisher.to_be_bytes());
        let kind = match self.kind {
            Kind::Audio => AUDIO,
            Kind::Video { is_key: false } => VIDEO,
            Kind::Video { is_key: true } => KEY,
        };
        payload.extend_from_slice(&[kind, self.packets, self.packet]);
        payload.extend_from_slice(&self.frame.to_be_bytes());
        payload.extend_from_slice(&u64::try_from(self.sent.as_nanos()).unwrap_or(u64::MAX).to_be_bytes());
    }

    /// `None`: none of ours.
    pub fn find(payload: &[u8]) -> Option<Self> {
        let front = payload.get(..SEARCHED).unwrap_or(payload);
        let at = front.windows(MAGIC.len()).position(|window| window == MAGIC)?;
        let rest = payload.get(at + MAGIC.len()..)?;
        let (publisher, rest) = rest.split_first_chunk()?;
        let ([kind, packets, packet], rest) = rest.split_first_chunk()?;
        let (frame, rest) = rest.split_first_chunk()?;
        let (sent, _) = rest.split_first_chunk()?;
        let kind = match *kind {
            AUDIO => Kind::Audio,
            VIDEO => Kind::Video { is_key: false },
            KEY => Kind::Video { is_key: true },
            _ => return None,
        };
        (packet < packets).then(|| Self {
            publisher: u16::from_be_bytes(*publisher),
            kind,
            packets: *packets,
            packet: *packet,
            frame: u32::from_be_bytes(*frame),
            sent: Duration::from_nanos(u64::from_be_bytes(*sent)),
        })
    }
}

/// The wall clock, as steady as the monotonic one: read once, counted from there.
#[derive(Clone, Copy)]
pub struct Clock {
    instant: Instant,
    unix: Duration,
}

impl Clock {
    pub fn new() -> Self {
        Self { instant: Instant::now(), unix: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default() }
    }

    pub fn unix(&self, now: Instant) -> Duration {
        self.unix + now.saturating_duration_since(self.instant)
    }
}

pub const STAMP_BYTES: usize = 21;
const MAGIC: &[u8; 4] = b"tdf1";
/// Longer than any descriptor with a keyframe's head after it.
const SEARCHED: usize = 64;
const AUDIO: u8 = b'a';
const VIDEO: u8 = b'v';
const KEY: u8 = b'k';

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_found_behind_whatever_stands_before_it() {
        for kind in [Kind::Audio, Kind::Video { is_key: true }, Kind::Video { is_key: false }] {
            let stamp =
                Stamp { publisher: 7, kind, packets: 6, packet: 5, frame: 70_000, sent: Duration::from_nanos(9) };
            for before in 0..40 {
                let mut payload = vec![0x90; before];
                stamp.write(&mut payload);
                assert_eq!(payload.len(), before + STAMP_BYTES);
                assert_eq!(Stamp::find(&payload), Some(stamp));
                // None of its fronts is one.
                for length in 0..payload.len() {
                    assert_eq!(Stamp::find(&payload[..length]), None, "{length}");
                }
            }
        }
        assert_eq!(Stamp::find(b"tdf1 and something else altogether"), None);
    }
}
