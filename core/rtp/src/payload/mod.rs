//! Payload formats: what a payload's first bytes say, frames put together from payloads, and taken apart into them.
//!
//! The descriptors are read and rewritten where they lie; [`Assembler`] and [`Packetizer`] copy. Order and completeness are
//! the jitter buffer's business: an assembler is given the payloads of one frame, in order, all of them.

pub mod audio;
pub mod av1;
pub mod h264;
pub mod vp8;
pub mod vp9;

use crate::numbers::Timestamp;

/// What a payload is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Codec {
    /// RFC 7587.
    Opus,
    /// G.711 µ-law, RFC 3551 §4.5.14.
    Pcmu,
    /// G.711 A-law, RFC 3551 §4.5.14.
    Pcma,
    /// RFC 3551 §4.5.2.
    G722,
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// RFC 6184.
    H264,
    /// "RTP Payload Format For AV1", AOM, v1.0.
    Av1,
}

impl Codec {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Opus, Self::Pcmu, Self::Pcma, Self::G722, Self::Vp8, Self::Vp9, Self::H264, Self::Av1];

    /// Ticks of the RTP timestamp per second. That of G.722 is half its sampling rate, by an old mistake that is kept
    /// (RFC 3551 §4.5.2).
    pub const fn clock_rate(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::Pcmu | Self::Pcma | Self::G722 => 8_000,
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::Av1 => 90_000,
        }
    }

    /// Whether it is pictures.
    pub const fn is_video(self) -> bool {
        match self {
            Self::Opus | Self::Pcmu | Self::Pcma | Self::G722 => false,
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::Av1 => true,
        }
    }

    /// Whether decoding can begin with this payload: it is the first of a key frame. Any audio can be begun with.
    pub fn starts_key_frame(self, payload: &[u8]) -> bool {
        match self {
            Self::Opus | Self::Pcmu | Self::Pcma | Self::G722 => true,
            Self::Vp8 => vp8::starts_key_frame(payload),
            Self::Vp9 => vp9::starts_key_frame(payload),
            Self::H264 => h264::starts_key_frame(payload),
            Self::Av1 => av1::starts_key_frame(payload),
        }
    }

    /// Whether a frame begins with this payload, as far as the payload alone can tell: nothing if it cannot.
    pub fn starts_frame(self, payload: &[u8]) -> Option<bool> {
        match self {
            Self::Opus | Self::Pcmu | Self::Pcma | Self::G722 => Some(true),
            Self::Vp8 => vp8::Descriptor::parse(payload).map(|descriptor| descriptor.starts_frame()),
            // A picture begins with its lowest layer.
            Self::Vp9 => vp9::Descriptor::parse(payload).map(|descriptor| descriptor.starts_picture()),
            Self::Av1 => payload.first().filter(|&&first| first & av1::CONTINUES != 0).map(|_| false),
            Self::H264 => h264::goes_on(payload).then_some(false),
        }
    }
}

/// A whole picture, or the sound of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// In ticks of the codec's clock.
    pub timestamp: Timestamp,
    /// Decoding can begin with it.
    pub key: bool,
    /// H.264 as NAL units behind start codes (Annex B); AV1 as OBUs with sizes, without temporal delimiters; all others as
    /// their decoders take it.
    pub data: Vec<u8>,
}

/// Why payloads make no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter than its own lengths and flags promise.
    #[error("the payload is shorter than it promises")]
    TooShort,
    /// A continuation without a beginning, or a beginning without an end.
    #[error("a fragment without the others")]
    Fragment,
    /// A kind of payload that nobody sends to a browser.
    #[error("a payload of kind {kind} is not supported")]
    Unsupported {
        /// As the format numbers it.
        kind: u8,
    },
    /// More bytes than the caller allows for a frame.
    #[error("a frame of more than {limit} bytes")]
    TooLarge {
        /// What the caller allows.
        limit: usize,
    },
}

/// Puts a frame together.
#[derive(Clone, Debug)]
pub struct Assembler {
    codec: Codec,
    limit: usize,
    key: bool,
    /// What it has so far; of AV1, whole OBUs.
    data: Vec<u8>,
    /// A unit of AV1 of which more is to come; of H.264 only its header, the rest is in `data`.
    open: Vec<u8>,
}

impl Assembler {
    /// For frames of at most so many bytes.
    pub const fn new(codec: Codec, limit: usize) -> Self {
        Self { codec, limit, key: false, data: Vec::new(), open: Vec::new() }
    }

    /// The frame's next payload. After an error, what there was is gone.
    pub fn push(&mut self, payload: &[u8]) -> Result<(), Malformed> {
        self.key |= self.codec.starts_key_frame(payload);
        let pushed = match self.codec {
            Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::G722 => {
                self.data.extend_from_slice(payload);
                Ok(())
            }
            Codec::Vp8 => vp8::append(payload, &mut self.data),
            Codec::Vp9 => vp9::append(payload, &mut self.data),
            Codec::H264 => h264::append(payload, &mut self.data, &mut self.open),
            Codec::Av1 => av1::append(payload, &mut self.data, &mut self.open),
        };
        let checked = pushed.and_then(|()| {
            let fits = self.data.len() + self.open.len() <= self.limit;
            if fits { Ok(()) } else { Err(Malformed::TooLarge { limit: self.limit }) }
        });
        if checked.is_err() {
            self.clear();
        }
        checked
    }

    /// The frame; nothing of it stays.
    pub fn finish(&mut self, timestamp: Timestamp) -> Result<Frame, Malformed> {
        let whole = self.open.is_empty();
        let frame = Frame { timestamp, key: self.key, data: std::mem::take(&mut self.data) };
        self.clear();
        if whole { Ok(frame) } else { Err(Malformed::Fragment) }
    }

    /// Drops what there is.
    pub fn clear(&mut self) {
        self.data.clear();
        self.open.clear();
        self.key = false;
    }
}

/// Takes frames apart.
#[derive(Clone, Debug)]
pub struct Packetizer {
    codec: Codec,
    /// At most so many bytes in a payload.
    limit: usize,
    /// Counts pictures of VP8 and VP9: 15 bits.
    picture: u16,
    scratch: Vec<u8>,
}

impl Packetizer {
    /// For payloads of at most so many bytes; fewer than 64 are 64. The first picture has the number `picture`.
    pub fn new(codec: Codec, limit: usize, picture: u16) -> Self {
        Self { codec, limit: limit.max(64), picture: picture & 0x7fff, scratch: Vec::new() }
    }

    /// Hands out the payloads in order, and whether each is the last of the frame: for pictures, that is the marker bit.
    /// Audio is one payload whatever its size.
    pub fn packetize(&mut self, frame: &Frame, mut each: impl FnMut(&[u8], bool)) -> Result<(), Malformed> {
        let Self { limit, picture, ref mut scratch, .. } = *self;
        match self.codec {
            Codec::Opus | Codec::Pcmu | Codec::Pcma | Codec::G722 => each(&frame.data, true),
            Codec::Vp8 => vp8::packetize(frame, picture, limit, scratch, &mut each),
            Codec::Vp9 => vp9::packetize(frame, picture, limit, scratch, &mut each),
            Codec::H264 => h264::packetize(frame, limit, scratch, &mut each)?,
            Codec::Av1 => av1::packetize(frame, limit, scratch, &mut each)?,
        }
        self.picture = (picture + 1) & 0x7fff;
        Ok(())
    }
}

/// Pieces of at most so many bytes, all but the last about equally large; at least one.
fn pieces(data: &[u8], limit: usize) -> impl ExactSizeIterator<Item = &[u8]> {
    let count = data.len().div_ceil(limit).max(1);
    let size = data.len().div_ceil(count).max(1);
    (0..count).map(move |index| data.get(index * size..data.len().min((index + 1) * size)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_about_equal_and_all_there() {
        let data: Vec<u8> = (0..100).collect();
        let sizes: Vec<usize> = pieces(&data, 30).map(<[u8]>::len).collect();
        assert_eq!(sizes, [25; 4]);
        assert_eq!(pieces(&data, 33).flatten().copied().collect::<Vec<_>>(), data);
        assert_eq!(pieces(&[], 30).map(<[u8]>::len).collect::<Vec<_>>(), [0]);
        assert_eq!(pieces(&[7], 30).count(), 1);
    }

    #[test]
    fn a_frame_beyond_the_limit_is_dropped() {
        let mut assembler = Assembler::new(Codec::Opus, 10);
        assembler.push(&[1; 10]).unwrap();
        assert_eq!(assembler.push(&[1]), Err(Malformed::TooLarge { limit: 10 }));
        assert_eq!(assembler.finish(Timestamp(0)).unwrap().data, [] as [u8; 0]);
    }
}
