//! Writes RTCP packets one after the other into the caller's buffer; each whole, or not at all.

use super::extended::{DLRR, RRTR, VOIP_METRICS};
use super::feedback::{NackPair, REMB, Remb};
use super::report::{ReportBlock, SenderInfo};
use super::{AFB, APP, BYE, FIR, NACK, PLI, PSFB, RR, RTPFB, SDES, SR, XR, description};
use crate::numbers::Ssrc;

/// The packet does not fit what is left of the buffer, or more is told than its counts can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room for the packet")]
pub struct NoRoom;

/// Appends packets.
///
/// ```
/// # use tandem_rtp::{Ssrc, rtcp::{Packets, Writer}};
/// let mut buffer = [0; 1200];
/// let mut compound = Writer::new(&mut buffer);
/// compound.receiver_report(Ssrc(1), &[])?;
/// compound.nack(Ssrc(1), Ssrc(2), [7, 8, 20])?;
/// let length = compound.finish();
/// assert_eq!(Packets::new(&buffer[..length]).count(), 2);
/// # Ok::<(), tandem_rtp::rtcp::NoRoom>(())
/// ```
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    at: usize,
}

impl<'b> Writer<'b> {
    /// Into an empty buffer.
    pub const fn new(buffer: &'b mut [u8]) -> Self {
        Self { buffer, at: 0 }
    }

    /// How long the compound is.
    pub const fn finish(self) -> usize {
        self.at
    }

    /// Whether nothing has been written.
    pub const fn is_empty(&self) -> bool {
        self.at == 0
    }

    /// Bytes that are left.
    pub const fn room(&self) -> usize {
        self.buffer.len() - self.at
    }

    /// RFC 3550 §6.4.1, at most 31 blocks.
    pub fn sender_report(&mut self, sender: Ssrc, info: &SenderInfo, blocks: &[ReportBlock]) -> Result<(), NoRoom> {
        self.packet(SR, count(blocks.len())?, |body| {
            body.word(sender.0)?;
            body.put(&info.ntp.to_be_bytes())?;
            [info.rtp.0, info.packets, info.octets].into_iter().try_for_each(|word| body.word(word))?;
            blocks.iter().try_for_each(|block| body.put(block.bytes().as_flattened()))
        })
    }

    /// RFC 3550 §6.4.2, at most 31 blocks.
    pub fn receiver_report(&mut self, sender: Ssrc, blocks: &[ReportBlock]) -> Result<(), NoRoom> {
        self.packet(RR, count(blocks.len())?, |body| {
            body.word(sender.0)?;
            blocks.iter().try_for_each(|block| body.put(block.bytes().as_flattened()))
        })
    }

    /// A source description of a canonical name, at most 255 bytes (RFC 3550 §6.5.1).
    pub fn cname(&mut self, ssrc: Ssrc, name: &str) -> Result<(), NoRoom> {
        let length = u8::try_from(name.len()).map_err(|_| NoRoom)?;
        self.packet(SDES, 1, |body| {
            body.word(ssrc.0)?;
            body.put(&[description::CNAME, length])?;
            body.put(name.as_bytes())?;
            // One null at least ends the items.
            body.put(&[0])
        })
    }

    /// RFC 3550 §6.6, at most 31 sources and 255 bytes of reason.
    pub fn goodbye(&mut self, sources: &[Ssrc], reason: &str) -> Result<(), NoRoom> {
        let length = u8::try_from(reason.len()).map_err(|_| NoRoom)?;
        self.packet(BYE, count(sources.len())?, |body| {
            sources.iter().try_for_each(|source| body.word(source.0))?;
            if length == 0 {
                return Ok(());
            }
            body.put(&[length])?;
            body.put(reason.as_bytes())
        })
    }

    /// RFC 3550 §6.7; the data is filled up to whole words.
    pub fn app(&mut self, subtype: u8, ssrc: Ssrc, name: [u8; 4], data: &[u8]) -> Result<(), NoRoom> {
        self.packet(APP, subtype & 0x1f, |body| {
            body.word(ssrc.0)?;
            body.put(&name)?;
            body.put(data)
        })
    }

    /// RFC 4585 §6.2.1: missing packets, in order.
    pub fn nack(&mut self, sender: Ssrc, media: Ssrc, missing: impl IntoIterator<Item = u16>) -> Result<(), NoRoom> {
        self.packet(RTPFB, NACK, |body| {
            body.word(sender.0)?;
            body.word(media.0)?;
            NackPair::of(missing).try_for_each(|pair| {
                body.put(&pair.first.to_be_bytes())?;
                body.put(&pair.following.to_be_bytes())
            })
        })
    }

    /// RFC 4585 §6.3.1.
    pub fn pli(&mut self, sender: Ssrc, media: Ssrc) -> Result<(), NoRoom> {
        self.packet(PSFB, PLI, |body| {
            body.word(sender.0)?;
            body.word(media.0)
        })
    }

    /// RFC 5104 §4.3.1: streams, and the numbers of the demands.
    pub fn fir(&mut self, sender: Ssrc, entries: &[(Ssrc, u8)]) -> Result<(), NoRoom> {
        self.packet(PSFB, FIR, |body| {
            body.word(sender.0)?;
            body.word(0)?;
            entries.iter().try_for_each(|&(ssrc, number)| {
                body.word(ssrc.0)?;
                body.put(&[number, 0, 0, 0])
            })
        })
    }

    /// draft-alvestrand-rmcat-remb-03 §2.2: at most 255 streams, and what they may send together.
    pub fn remb(&mut self, sender: Ssrc, bitrate: u64, ssrcs: &[Ssrc]) -> Result<(), NoRoom> {
        let count = u8::try_from(ssrcs.len()).map_err(|_| NoRoom)?;
        self.packet(PSFB, AFB, |body| {
            body.word(sender.0)?;
            body.word(0)?;
            body.put(REMB)?;
            body.put(&[count])?;
            body.put(&Remb::bitrate_bytes(bitrate))?;
            ssrcs.iter().try_for_each(|ssrc| body.word(ssrc.0))
        })
    }

    /// RFC 3611 §4.4: a receiver's time, for which it expects an echo.
    pub fn reference_time(&mut self, sender: Ssrc, ntp: u64) -> Result<(), NoRoom> {
        self.packet(XR, 0, |body| {
            body.word(sender.0)?;
            body.put(&[RRTR, 0, 0, 2])?;
            body.put(&ntp.to_be_bytes())
        })
    }

    /// RFC 3611 §4.5: the echo for each receiver; the middle of its time and what has passed since, in 1/65,536 s.
    pub fn delay_since_last(&mut self, sender: Ssrc, entries: &[(Ssrc, u32, u32)]) -> Result<(), NoRoom> {
        let words = u16::try_from(3 * entries.len()).map_err(|_| NoRoom)?;
        self.packet(XR, 0, |body| {
            body.word(sender.0)?;
            body.put(&[DLRR, 0])?;
            body.put(&words.to_be_bytes())?;
            entries.iter().try_for_each(|&(ssrc, last, since)| {
                [ssrc.0, last, since].into_iter().try_for_each(|word| body.word(word))
            })
        })
    }

    /// RFC 3611 §4.7: a block that has come from elsewhere.
    pub fn voip_metrics(&mut self, sender: Ssrc, block: &[u8; 32]) -> Result<(), NoRoom> {
        self.packet(XR, 0, |body| {
            body.word(sender.0)?;
            body.put(&[VOIP_METRICS, 0, 0, 8])?;
            body.put(block)
        })
    }

    /// Any packet: its body is filled up to whole words. What cannot be written whole leaves no trace.
    pub(super) fn packet(
        &mut self,
        kind: u8,
        count: u8,
        fill: impl FnOnce(&mut Body<'_>) -> Result<(), NoRoom>,
    ) -> Result<(), NoRoom> {
        let room = self.buffer.get_mut(self.at..).ok_or(NoRoom)?;
        let mut body = Body { room, at: HEAD };
        fill(&mut body)?;
        while !body.at.is_multiple_of(4) {
            body.put(&[0])?;
        }
        let end = body.at;
        let [l0, l1] = u16::try_from(end / 4 - 1).map_err(|_| NoRoom)?.to_be_bytes();
        *body.room.first_chunk_mut().ok_or(NoRoom)? = [0x80 | count, kind, l0, l1];
        self.at += end;
        Ok(())
    }
}

/// What is being filled in.
pub(super) struct Body<'r> {
    room: &'r mut [u8],
    at: usize,
}

impl Body<'_> {
    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let end = self.at + bytes.len();
        self.room.get_mut(self.at..end).ok_or(NoRoom)?.copy_from_slice(bytes);
        self.at = end;
        Ok(())
    }

    pub(super) fn word(&mut self, word: u32) -> Result<(), NoRoom> {
        self.put(&word.to_be_bytes())
    }
}

/// Five bits.
fn count(of: usize) -> Result<u8, NoRoom> {
    u8::try_from(of).ok().filter(|&count| count < 32).ok_or(NoRoom)
}

const HEAD: usize = 4;

#[cfg(test)]
mod tests {
    use super::super::Packets;
    use super::*;

    #[test]
    fn what_does_not_fit_leaves_no_trace() {
        let mut buffer = [0; 23];
        let mut writer = Writer::new(&mut buffer);
        writer.pli(Ssrc(1), Ssrc(2)).unwrap();
        assert_eq!((writer.pli(Ssrc(1), Ssrc(2)), writer.room()), (Err(NoRoom), 11));
        writer.receiver_report(Ssrc(1), &[]).unwrap();
        let length = writer.finish();
        assert_eq!(length, 20);
        assert!(Packets::new(&buffer[..length]).all(|packet| packet.is_ok()));
    }

    #[test]
    fn counts_have_five_bits() {
        let mut buffer = [0; 2_000];
        let mut writer = Writer::new(&mut buffer);
        assert_eq!(writer.receiver_report(Ssrc(1), &[ReportBlock::default(); 32]), Err(NoRoom));
        assert_eq!(writer.goodbye(&[Ssrc(1); 32], ""), Err(NoRoom));
        assert_eq!(writer.cname(Ssrc(1), &"x".repeat(256)), Err(NoRoom));
        assert!(writer.is_empty());
        writer.receiver_report(Ssrc(1), &[ReportBlock::default(); 31]).unwrap();
    }
}
