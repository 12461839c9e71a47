//! The fixed header: rewritten in place, or written anew with extensions in front of a payload in the caller's buffer.

use crate::ext::{self, Form};
use crate::numbers::{PayloadType, Ssrc, Timestamp};
use crate::packet::{EXTENSION, FIXED, MARKER, Malformed, PADDING, Packet};

/// What differs from packet to packet, and from subscriber to subscriber (RFC 3550 §5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The end of a frame, or the start of a talk spurt.
    pub marker: bool,
    /// What the payload is.
    pub payload_type: PayloadType,
    /// One more with each packet.
    pub sequence: u16,
    /// In ticks of the payload's clock.
    pub timestamp: Timestamp,
    /// Whose packet it is.
    pub ssrc: Ssrc,
}

impl Header {
    /// Of a packet that has come.
    pub fn of(packet: &Packet<'_>) -> Self {
        Self {
            marker: packet.marker(),
            payload_type: packet.payload_type(),
            sequence: packet.sequence(),
            timestamp: packet.timestamp(),
            ssrc: packet.ssrc(),
        }
    }

    fn bytes(&self, first: u8) -> [u8; FIXED] {
        let [s0, s1] = self.sequence.to_be_bytes();
        let [t0, t1, t2, t3] = self.timestamp.0.to_be_bytes();
        let [c0, c1, c2, c3] = self.ssrc.0.to_be_bytes();
        let marker = if self.marker { MARKER } else { 0 };
        [first, marker | self.payload_type.value(), s0, s1, t0, t1, t2, t3, c0, c1, c2, c3]
    }
}

/// Replaces the fixed fields of a packet and leaves everything else as it lies.
pub fn rewrite(packet: &mut [u8], header: &Header) -> Result<(), Malformed> {
    let got = packet.len();
    let head = packet.first_chunk_mut::<FIXED>().ok_or(Malformed::TooShort { expected: FIXED, got })?;
    *head = header.bytes(head[0]);
    Ok(())
}

/// The packet is larger than the caller's buffer, or an extension element larger than its length field can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no room: {needed} bytes where {room} fit")]
pub struct NoRoom {
    /// Up to the end of what was to be written.
    pub needed: usize,
    /// What there is.
    pub room: usize,
}

/// Writes a packet from front to back.
///
/// ```
/// # use tandem_rtp::{PayloadType, Ssrc, Timestamp, header::{Header, Writer}};
/// # let payload_type = PayloadType::new(96).unwrap();
/// # let header = Header { marker: true, payload_type, sequence: 7, timestamp: Timestamp(9), ssrc: Ssrc(1) };
/// let mut buffer = [0; 1500];
/// let mut writer = Writer::new(&mut buffer, &header, &[])?;
/// writer.extension(3, &[0, 42])?;
/// let length = writer.payload(b"a frame")?;
/// # assert_eq!(length, 12 + 8 + 7);
/// # Ok::<(), tandem_rtp::header::NoRoom>(())
/// ```
#[derive(Debug)]
pub struct Writer<'b> {
    buffer: &'b mut [u8],
    /// Behind the contributing sources.
    sources_end: usize,
    /// The next byte.
    at: usize,
    form: Form,
}

impl<'b> Writer<'b> {
    /// Writes the fixed header and at most 15 contributing sources.
    pub fn new(buffer: &'b mut [u8], header: &Header, csrcs: &[Ssrc]) -> Result<Self, NoRoom> {
        let count = u8::try_from(csrcs.len()).ok().filter(|&count| count < 16);
        let count = count.ok_or(NoRoom { needed: csrcs.len(), room: 15 })?;
        let sources_end = FIXED + 4 * csrcs.len();
        let short = NoRoom { needed: sources_end, room: buffer.len() };
        let (head, sources) = buffer.split_first_chunk_mut::<FIXED>().ok_or(short)?;
        *head = header.bytes(VERSION | count);
        let sources = sources.get_mut(..4 * csrcs.len()).ok_or(short)?;
        for (place, csrc) in sources.as_chunks_mut().0.iter_mut().zip(csrcs) {
            *place = csrc.0.to_be_bytes();
        }
        Ok(Self { buffer, sources_end, at: sources_end, form: Form::OneByte })
    }

    /// Appends an element (RFC 8285). The first that does not fit the one-byte form turns all of them into the two-byte
    /// form, which the peer must have agreed to (`extmap-allow-mixed`). What is refused leaves no trace.
    pub fn extension(&mut self, id: u8, value: &[u8]) -> Result<(), NoRoom> {
        let length = u8::try_from(value.len()).map_err(|_| NoRoom { needed: value.len(), room: 255 })?;
        let widens = self.form == Form::OneByte && !Form::OneByte.fits(id, value.len());
        let start = self.at.max(self.sources_end + EXTENSION_HEAD);
        let form = if widens { Form::TwoByte } else { self.form };
        let head = form.head(id, length);
        let wider = if widens { self.elements().count() } else { 0 };
        let (needed, room) = (start + wider + head.len() + value.len(), self.buffer.len());
        if needed > room {
            return Err(NoRoom { needed, room });
        }
        self.at = start;
        if widens {
            self.widen()?;
        }
        self.push(head.as_slice())?;
        self.push(value)
    }

    /// Appends the payload and says how long the packet is.
    pub fn payload(mut self, payload: &[u8]) -> Result<usize, NoRoom> {
        let head = self.close()?;
        self.push(payload)?;
        Ok(head + payload.len())
    }

    /// Appends so many bytes of padding and no payload: a packet that fills a link, to find out what it takes. Zero is one.
    pub fn padding(mut self, count: u8) -> Result<usize, NoRoom> {
        let count = count.max(1);
        let head = self.close()?;
        let (end, room) = (head + usize::from(count), self.buffer.len());
        let padding = self.buffer.get_mut(head..end).ok_or(NoRoom { needed: end, room })?;
        padding.fill(0);
        if let Some(last) = padding.last_mut() {
            *last = count;
        }
        if let Some(first) = self.buffer.first_mut() {
            *first |= PADDING;
        }
        Ok(end)
    }

    /// Closes the header and hands the room behind it to whoever fills in the payload; says how long the header is.
    pub fn payload_room(mut self) -> Result<(usize, &'b mut [u8]), NoRoom> {
        let head = self.close()?;
        Ok((head, self.buffer.get_mut(head..).unwrap_or_default()))
    }

    /// Writes profile and length of the extension, if there is one.
    fn close(&mut self) -> Result<usize, NoRoom> {
        if self.at == self.sources_end {
            return Ok(self.at);
        }
        while !(self.at - self.sources_end).is_multiple_of(4) {
            self.push(&[0])?;
        }
        let words = (self.at - self.sources_end) / 4 - 1;
        let [l0, l1] = u16::try_from(words).map_err(|_| NoRoom { needed: words, room: 0xffff })?.to_be_bytes();
        let [p0, p1] = self.form.profile().to_be_bytes();
        if let Some(first) = self.buffer.first_mut() {
            *first |= EXTENSION;
        }
        let place = self.buffer.get_mut(self.sources_end..).and_then(<[u8]>::first_chunk_mut);
        *place.ok_or(NoRoom { needed: self.at, room: 0 })? = [p0, p1, l0, l1];
        Ok(self.at)
    }

    /// Writes the elements there are in the two-byte form; `extension` has seen that there is room.
    fn widen(&mut self) -> Result<(), NoRoom> {
        let start = self.sources_end + EXTENSION_HEAD;
        // In the one-byte form there are 14 ids of at most 17 bytes each; more are repetitions, which nobody needs.
        let mut narrow = [0; 14 * 17];
        let room = narrow.len();
        let written = self.buffer.get(start..self.at).unwrap_or_default();
        let narrow = narrow.get_mut(..written.len()).ok_or(NoRoom { needed: written.len(), room })?;
        narrow.copy_from_slice(written);
        (self.at, self.form) = (start, Form::TwoByte);
        for (id, value) in ext::Elements::new(Form::OneByte.profile(), narrow) {
            self.extension(id, value)?;
        }
        Ok(())
    }

    fn elements(&self) -> ext::Elements<'_> {
        let start = self.sources_end + EXTENSION_HEAD;
        ext::Elements::new(self.form.profile(), self.buffer.get(start..self.at).unwrap_or_default())
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let end = self.at + bytes.len();
        let room = self.buffer.len();
        self.buffer.get_mut(self.at..end).ok_or(NoRoom { needed: end, room })?.copy_from_slice(bytes);
        self.at = end;
        Ok(())
    }
}

const VERSION: u8 = 0x80;
/// Profile and length in front of the elements.
const EXTENSION_HEAD: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> Header {
        let payload_type = PayloadType::new(96).unwrap();
        Header { marker: true, payload_type, sequence: 0x1234, timestamp: Timestamp(7), ssrc: Ssrc(9) }
    }

    #[test]
    fn a_written_packet_is_read_back() {
        let mut buffer = [0xff; 100];
        let mut writer = Writer::new(&mut buffer, &header(), &[Ssrc(1), Ssrc(2)]).unwrap();
        writer.extension(1, &[0xaa]).unwrap();
        writer.extension(14, &[1, 2, 3]).unwrap();
        let length = writer.payload(b"payload").unwrap();
        let packet = Packet::parse(&buffer[..length]).unwrap();
        assert_eq!(Header::of(&packet), header());
        assert_eq!(packet.csrcs().collect::<Vec<_>>(), [Ssrc(1), Ssrc(2)]);
        assert_eq!(packet.extension(), Some((0xbede, &[0x10, 0xaa, 0xe2, 1, 2, 3, 0, 0][..])));
        assert_eq!(packet.payload(), b"payload");
    }

    #[test]
    fn without_elements_there_is_no_extension() {
        let mut buffer = [0; 20];
        let length = Writer::new(&mut buffer, &header(), &[]).unwrap().payload(b"x").unwrap();
        assert_eq!((length, buffer[0]), (13, 0x80));
    }

    #[test]
    fn one_element_too_large_widens_all() {
        let mut buffer = [0; 100];
        let mut writer = Writer::new(&mut buffer, &header(), &[]).unwrap();
        writer.extension(1, &[0xaa]).unwrap();
        writer.extension(2, &[7; 17]).unwrap();
        writer.extension(200, &[]).unwrap();
        let length = writer.payload(b"x").unwrap();
        let packet = Packet::parse(&buffer[..length]).unwrap();
        assert_eq!(packet.extension().unwrap().0, 0x1000);
        let elements: Vec<_> = packet.extensions().collect();
        assert_eq!(elements, [(1, &[0xaa][..]), (2, &[7; 17][..]), (200, &[][..])]);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut buffer = [0; 24];
        assert!(Writer::new(&mut buffer[..11], &header(), &[]).is_err());
        assert!(Writer::new(&mut buffer, &header(), &[Ssrc(0); 16]).is_err());
        let writer = Writer::new(&mut buffer, &header(), &[]).unwrap();
        assert_eq!(writer.payload(&[0; 13]), Err(NoRoom { needed: 25, room: 24 }));
        let mut writer = Writer::new(&mut buffer, &header(), &[]).unwrap();
        assert_eq!(writer.extension(1, &[0; 8]), Err(NoRoom { needed: 25, room: 24 }));
        assert_eq!(writer.payload(&[0; 12]), Ok(24), "and leaves no trace");
        let mut writer = Writer::new(&mut buffer, &header(), &[]).unwrap();
        writer.extension(1, &[9; 4]).unwrap();
        assert_eq!(writer.extension(20, &[0; 2]), Err(NoRoom { needed: 26, room: 24 }));
        let length = writer.payload(&[]).unwrap();
        assert_eq!(Packet::parse(&buffer[..length]).unwrap().extensions().collect::<Vec<_>>(), [(1, &[9; 4][..])]);
        let mut writer = Writer::new(&mut buffer, &header(), &[]).unwrap();
        assert_eq!(writer.extension(1, &[0; 256]), Err(NoRoom { needed: 256, room: 255 }));
    }

    #[test]
    fn padding_alone_is_a_packet_too() {
        let mut buffer = [0xff; 300];
        for count in [0, 1, 255] {
            let mut writer = Writer::new(&mut buffer, &header(), &[]).unwrap();
            writer.extension(3, &[1, 2]).unwrap();
            let length = writer.padding(count).unwrap();
            let packet = Packet::parse(&buffer[..length]).unwrap();
            assert_eq!((packet.payload(), packet.padding()), (&[][..], usize::from(count.max(1))));
            assert!(buffer[20..length - 1].iter().all(|&byte| byte == 0));
        }
        let writer = Writer::new(&mut buffer[..20], &header(), &[]).unwrap();
        assert_eq!(writer.padding(9), Err(NoRoom { needed: 21, room: 20 }));
    }

    #[test]
    fn rewriting_touches_the_fixed_fields_only() {
        let mut bytes = [0xb1; 40];
        let changed = Header { marker: false, sequence: 1, ..header() };
        rewrite(&mut bytes, &changed).unwrap();
        assert_eq!(bytes[..12], [0xb1, 96, 0, 1, 0, 0, 0, 7, 0, 0, 0, 9]);
        assert_eq!(bytes[12..], [0xb1; 28]);
        assert!(rewrite(&mut bytes[..11], &changed).is_err());
    }
}
