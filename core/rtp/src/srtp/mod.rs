//! SRTP and SRTCP: packets protected and unprotected where they lie, without allocation.
//!
//! RFC 3711 with the suites of RFC 6188 and RFC 7714. A [`Sender`] and a [`Receiver`] are the two directions; each has one
//! master key. No master key identifiers (MKI), no key derivation rate.
//!
//! ```text
//!   media    | header, extension | payload, encrypted | tag |                     authenticated: all, and the rollover counter
//!   control  | 8 bytes           | rest, encrypted    | E, index | tag |          (GCM: tag before the index)
//! ```
//!
//! A receiver remembers a stream only after a packet of it was authentic, and at most as many as it is told. A sender
//! refuses to encrypt two packets under one index: in Galois/counter mode that would give the key away. A lost packet goes
//! again in a stream of its own (RFC 4588), or as the very bytes it was.

mod suite;
mod transform;
mod window;
mod wiped;

use std::collections::BTreeMap;

pub use suite::{DtlsRole, KeyLength, Master, Suite};
use transform::{At, Parts, RTCP_HEAD, Transform, Use, WORD};
use window::{Stale, Window};

use crate::numbers::Ssrc;
use crate::packet::{Layout, Malformed, Padding};

/// Why a packet is not protected, or not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// No RTP packet.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Shorter than what protection adds, or no control packet.
    #[error("expected at least {expected} bytes, got {got}")]
    TooShort {
        /// Header, tag and index.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// The caller's buffer has no room behind the packet for what protection adds.
    #[error("expected room for {expected} bytes, got {got}")]
    NoRoom {
        /// The protected packet.
        expected: usize,
        /// What there is.
        got: usize,
    },
    /// The tag is not the one of these bytes under this key.
    #[error("not authentic")]
    Forged,
    /// The index has been before (RFC 3711 §3.3.2).
    #[error("replayed")]
    Replayed,
    /// Too far below the highest to know whether it has been.
    #[error("too old")]
    TooOld,
    /// More streams than the caller allows.
    #[error("more than {limit} streams")]
    TooManyStreams {
        /// What the caller allows.
        limit: usize,
    },
    /// RFC 3711 §9.2: so many packets under one key are enough.
    #[error("the key is used up")]
    KeyUsedUp,
}

impl From<Stale> for Refused {
    fn from(stale: Stale) -> Self {
        match stale {
            Stale::Seen => Self::Replayed,
            Stale::TooOld => Self::TooOld,
        }
    }
}

/// Protects what leaves.
pub struct Sender {
    suite: Suite,
    rtp: Transform,
    rtcp: Transform,
    streams: Streams,
    /// One for all streams: no index is used twice under the key.
    control_index: u64,
}

impl Sender {
    /// With room for so many streams.
    pub fn new(master: &Master, max_streams: usize) -> Self {
        Self {
            suite: master.suite,
            rtp: Transform::derive(master, Use::Rtp),
            rtcp: Transform::derive(master, Use::Rtcp),
            streams: Streams::new(max_streams),
            control_index: 0,
        }
    }

    /// How it protects.
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Protects the media packet in the first `length` bytes, with room for [`Suite::rtp_overhead`] behind them; says how
    /// long it is then.
    pub fn protect_rtp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, Refused> {
        let tag = self.suite.rtp_overhead();
        let packet = room(buffer, length, tag)?;
        let text = packet.get(..length).unwrap_or_default();
        let layout = Layout::of(text, Padding::Encrypted)?;
        let (ssrc, wire) = identity(text);
        let (index, known) = self.streams.check(ssrc, wire)?;
        let parts = Parts { head: layout.payload, end: length, tag };
        let sealed = self.rtp.seal_rtp(packet, parts, At { ssrc, index });
        sealed.ok_or(Refused::NoRoom { expected: length + tag, got: length })?;
        match known {
            Some(window) => window.mark(index),
            None => self.streams.begin(ssrc, index),
        }
        Ok(length + tag)
    }

    /// Protects the compound control packet in the first `length` bytes, with room for [`Suite::rtcp_overhead`] behind
    /// them; says how long it is then.
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, Refused> {
        let more = self.suite.rtcp_overhead();
        let packet = room(buffer, length, more)?;
        let ssrc = control_identity(packet, length, RTCP_HEAD)?;
        if self.control_index > CONTROL_MAX {
            return Err(Refused::KeyUsedUp);
        }
        let at = At { ssrc, index: self.control_index };
        let sealed = self.rtcp.seal_rtcp(packet, length, at);
        sealed.ok_or(Refused::NoRoom { expected: length + more, got: length })?;
        self.control_index += 1;
        Ok(length + more)
    }

    /// The rollover counter of a stream: what a receiver that comes late has to be told.
    pub fn rollover(&self, ssrc: Ssrc) -> Option<u32> {
        self.streams.rollover(ssrc)
    }
}

/// Believes and unprotects what comes.
pub struct Receiver {
    suite: Suite,
    rtp: Transform,
    rtcp: Transform,
    streams: Streams,
    control: Streams,
}

impl Receiver {
    /// With room for so many streams.
    pub fn new(master: &Master, max_streams: usize) -> Self {
        Self {
            suite: master.suite,
            rtp: Transform::derive(master, Use::Rtp),
            rtcp: Transform::derive(master, Use::Rtcp),
            streams: Streams::new(max_streams),
            control: Streams::new(max_streams),
        }
    }

    /// How it is protected.
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// Unprotects a media packet where it lies and says how long it is then. Of a packet that is refused the payload may be
    /// lost.
    pub fn unprotect_rtp(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        let tag = self.suite.rtp_overhead();
        let layout = Layout::of(packet, Padding::Encrypted)?;
        let short = Refused::TooShort { expected: layout.payload + tag, got: packet.len() };
        let end = packet.len().checked_sub(tag).filter(|&end| end >= layout.payload).ok_or(short)?;
        let (ssrc, wire) = identity(packet);
        let (index, known) = self.streams.check(ssrc, wire)?;
        let parts = Parts { head: layout.payload, end, tag };
        self.rtp.open_rtp(packet, parts, At { ssrc, index }).map_err(|_| Refused::Forged)?;
        match known {
            Some(window) => window.mark(index),
            None => self.streams.begin(ssrc, index),
        }
        Ok(end)
    }

    /// Unprotects a compound control packet where it lies and says how long it is then.
    pub fn unprotect_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, Refused> {
        let more = self.suite.rtcp_overhead();
        let ssrc = control_identity(packet, packet.len(), RTCP_HEAD + more)?;
        let behind = if self.suite.is_aead() { 0 } else { more - WORD };
        let place = packet.len() - behind;
        let word = packet.get(..place).and_then(<[u8]>::last_chunk).copied().unwrap_or_default();
        let word = u32::from_be_bytes(word);
        let (encrypted, index) = (word >> 31 != 0, u64::from(word & 0x7fff_ffff));
        let known = self.control.check_index(ssrc, index)?;
        let end = self.rtcp.open_rtcp(packet, At { ssrc, index }, encrypted).map_err(|_| Refused::Forged)?;
        match known {
            Some(window) => window.mark(index),
            None => self.control.begin(ssrc, index),
        }
        Ok(end)
    }

    /// Says which rollover counter a stream has reached that began long before we came (RFC 3711 §3.3.1). Without it a
    /// stream's first packet is taken to be before the first rollover, as the RFC has it.
    pub fn go_on(&mut self, ssrc: Ssrc, roc: u32, sequence: u16) -> Result<(), Refused> {
        self.streams.go_on(ssrc, roc, sequence)
    }

    /// The rollover counter of a stream.
    pub fn rollover(&self, ssrc: Ssrc) -> Option<u32> {
        self.streams.rollover(ssrc)
    }

    /// Forgets a stream whose end was told. Its packets would be believed once more: only its sender's good-bye, or a
    /// description without it, is reason enough.
    pub fn forget(&mut self, ssrc: Ssrc) {
        self.streams.known.remove(&ssrc);
        self.control.known.remove(&ssrc);
    }

    /// Streams that are remembered: of media, and of control.
    pub fn streams(&self) -> (usize, usize) {
        (self.streams.known.len(), self.control.known.len())
    }
}

impl std::fmt::Debug for Sender {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sender").field("suite", &self.suite).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// What has been of each stream.
struct Streams {
    known: BTreeMap<Ssrc, Window>,
    limit: usize,
}

impl Streams {
    const fn new(limit: usize) -> Self {
        Self { known: BTreeMap::new(), limit }
    }

    /// The index of a media packet, if it may pass, and what has been of its stream, if anything.
    fn check(&mut self, ssrc: Ssrc, wire: u16) -> Result<(u64, Option<&mut Window>), Refused> {
        let room = self.room();
        let Some(window) = self.known.get_mut(&ssrc) else {
            room?;
            return Ok((u64::from(wire), None));
        };
        let index = window.index_of(wire).ok_or(Refused::TooOld)?;
        if index > MEDIA_MAX {
            return Err(Refused::KeyUsedUp);
        }
        window.check(index)?;
        Ok((index, Some(window)))
    }

    fn check_index(&mut self, ssrc: Ssrc, index: u64) -> Result<Option<&mut Window>, Refused> {
        let room = self.room();
        let Some(window) = self.known.get_mut(&ssrc) else {
            room?;
            return Ok(None);
        };
        window.check(index)?;
        Ok(Some(window))
    }

    fn room(&self) -> Result<(), Refused> {
        if self.known.len() < self.limit { Ok(()) } else { Err(Refused::TooManyStreams { limit: self.limit }) }
    }

    /// Only after its first packet was authentic.
    fn begin(&mut self, ssrc: Ssrc, index: u64) {
        self.known.insert(ssrc, Window::new(index));
    }

    fn go_on(&mut self, ssrc: Ssrc, roc: u32, wire: u16) -> Result<(), Refused> {
        if !self.known.contains_key(&ssrc) {
            self.room()?;
        }
        self.known.insert(ssrc, Window::at_rollover(roc, wire));
        Ok(())
    }

    fn rollover(&self, ssrc: Ssrc) -> Option<u32> {
        self.known.get(&ssrc).and_then(|window| u32::try_from(window.highest() >> 16).ok())
    }
}

/// The packet with the room that protection takes.
fn room(buffer: &mut [u8], length: usize, more: usize) -> Result<&mut [u8], Refused> {
    let (expected, got) = (length.saturating_add(more), buffer.len());
    buffer.get_mut(..expected).ok_or(Refused::NoRoom { expected, got })
}

/// SSRC and sequence number of what has a fixed header.
fn identity(packet: &[u8]) -> (Ssrc, u16) {
    let [_, _, s0, s1, _, _, _, _, c0, c1, c2, c3] = packet.first_chunk().copied().unwrap_or_default();
    (Ssrc(u32::from_be_bytes([c0, c1, c2, c3])), u16::from_be_bytes([s0, s1]))
}

/// The SSRC of a control packet of at least so many bytes.
fn control_identity(packet: &[u8], length: usize, expected: usize) -> Result<Ssrc, Refused> {
    let short = Refused::TooShort { expected, got: length };
    let &[first, _, _, _, c0, c1, c2, c3] = packet.first_chunk().filter(|_| length >= expected).ok_or(short)?;
    if first >> 6 != 2 {
        return Err(Malformed::Version { got: first >> 6 }.into());
    }
    Ok(Ssrc(u32::from_be_bytes([c0, c1, c2, c3])))
}

/// RFC 3711 §9.2.
const MEDIA_MAX: u64 = (1 << 48) - 1;
const CONTROL_MAX: u64 = (1 << 31) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        text.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    fn protected(suite: Suite, key: &str, index: u64) -> (Vec<u8>, Vec<u8>) {
        let mut sender = Sender::new(&Master::new(suite, &hex(key)).unwrap(), 9);
        sender.control_index = index;
        let mut media = [hex("800f1234decafbadcafebabe"), vec![0xab; 16]].concat();
        media.resize(28 + suite.rtp_overhead(), 0);
        assert_eq!(sender.protect_rtp(&mut media, 28), Ok(media.len()));
        let mut control = [hex("81c8000bcafebabe"), vec![0xab; 16]].concat();
        control.resize(24 + suite.rtcp_overhead(), 0);
        assert_eq!(sender.protect_rtcp(&mut control, 24), Ok(control.len()));
        (media, control)
    }

    /// The packets that libsrtp proves itself by; its first control index is 1.
    #[test]
    fn whole_packets_under_derived_keys() {
        let key = "e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6";
        let (media, control) = protected(Suite::Aes128CmSha1_80, key, 1);
        assert_eq!(media, hex("800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb"));
        assert_eq!(control, hex("81c8000bcafebabe7128035be487b9bdbef89041f977a5a880000001993e08cd54d6c1230798"));
        let (media, _) = protected(Suite::Aes128CmSha1_32, key, 1);
        assert_eq!(media, hex("800f1234decafbadcafebabe4e55dc4ce79978d88ca4d215949d2402b78d6acc"));
        let key = "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b63b04803de51ee7c96423ab5b78d2";
        let (media, _) = protected(Suite::Aes256CmSha1_80, key, 1);
        assert_eq!(media, hex("800f1234decafbadcafebabef1d9de17ff251ff1aa007774b0b4b40da08d9d9a5b3a55d8873b"));
        let key = "000102030405060708090a0b0c0d0e0fa0a1a2a3a4a5a6a7a8a9aaab";
        let (media, _) = protected(Suite::AeadAes128Gcm, key, 1);
        assert_eq!(
            media,
            hex("800f1234decafbadcafebabec5002ede04cfdd2eb91159e0880aa06ed2976826f796b201df3131a127e8a392")
        );
    }
}
