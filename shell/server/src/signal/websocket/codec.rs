//! WebSocket frames, RFC 6455 §5, as a server sees them: masked ones in, unmasked ones out, no extensions.
//!
//! Ours, because a library's stream keeps buffers of its own for each connection: thousands of idle clients would cost
//! more in buffers than in everything else. Here an idle connection holds no byte. Whom a message is for, and when to
//! ping or close, is the transport's business.

/// Opcodes of RFC 6455 §5.2.
const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;

/// Largest payload of a control frame, RFC 6455 §5.5.
const CONTROL_BYTES: usize = 125;

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// A whole message, put together from its fragments.
    Text(String),
    /// One we have no use for; its payload is not kept.
    Binary,
    /// To be echoed.
    Ping(Vec<u8>),
    /// A sign of life.
    Pong,
    /// The peer closes.
    Close,
}

/// How a peer broke the protocol; the connection fails (RFC 6455 §7.1.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Violation {
    /// §5.2: no extension was negotiated.
    #[error("reserved bits are set")]
    ReservedBits,
    /// §5.2.
    #[error("unknown opcode {0}")]
    Opcode(u8),
    /// §5.1: a client masks every frame.
    #[error("a frame of a client is not masked")]
    Unmasked,
    /// §5.5: fragmented, or too long.
    #[error("a control frame is fragmented or longer than 125 bytes")]
    Control,
    /// §5.4: a continuation of nothing, or a new message within one.
    #[error("fragments are out of order")]
    Fragments,
    /// §8.1.
    #[error("a text message is not UTF-8")]
    Utf8,
    /// More than we take.
    #[error("a message of {got} bytes or more")]
    TooLarge {
        /// Bytes announced so far.
        got: usize,
    },
}

impl Violation {
    /// The status code to close with, RFC 6455 §7.4.1.
    pub fn status(self) -> u16 {
        match self {
            Self::Utf8 => 1007,
            Self::TooLarge { .. } => 1009,
            _ => 1002,
        }
    }
}

/// Bytes in, messages out.
pub(super) struct Decoder {
    /// What is not yet a whole frame. Without capacity while the connection is idle.
    buffer: Vec<u8>,
    /// Fragments of the message that is being received.
    message: Vec<u8>,
    /// Its opcode.
    partial: Option<u8>,
    limit: usize,
}

struct Header {
    last: bool,
    opcode: u8,
    mask: [u8; 4],
    /// Of the header itself.
    length: usize,
    payload: usize,
}

impl Decoder {
    /// For messages of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { buffer: Vec::new(), message: Vec::new(), partial: None, limit }
    }

    /// Adds what was read. Take all messages out before adding more: then no more than one frame is ever kept.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole message, if there is one. `from` is how far into the buffer earlier calls have come.
    pub fn next(&mut self, from: &mut usize) -> Result<Option<Message>, Violation> {
        loop {
            let rest = self.buffer.get(*from..).unwrap_or_default();
            let Some(header) = self.header(rest)? else { return Ok(None) };
            let end = header.length.saturating_add(header.payload);
            if rest.len() < end {
                return Ok(None);
            }
            let start = from.saturating_add(header.length);
            *from = from.saturating_add(end);
            let payload = self.buffer.get_mut(start..*from).unwrap_or_default();
            unmask(payload, header.mask);
            if let Some(message) = Self::accept(&mut self.message, &mut self.partial, &header, payload)? {
                return Ok(Some(message));
            }
        }
    }

    /// Forgets what `next` has consumed, and the buffer itself when nothing is left in it.
    pub fn compact(&mut self, consumed: usize) {
        if consumed >= self.buffer.len() {
            self.buffer = Vec::new();
        } else {
            self.buffer.drain(..consumed);
        }
    }

    /// Bytes kept, for tests.
    #[cfg(any(test, fuzzing))]
    pub fn held(&self) -> usize {
        self.buffer.capacity().saturating_add(self.message.capacity())
    }

    fn header(&self, bytes: &[u8]) -> Result<Option<Header>, Violation> {
        let Some(([first, second], rest)) = bytes.split_first_chunk::<2>() else { return Ok(None) };
        let opcode = first & 0x0F;
        let last = first & 0x80 != 0;
        if first & 0x70 != 0 {
            return Err(Violation::ReservedBits);
        }
        if !matches!(opcode, CONTINUATION | TEXT | BINARY | CLOSE | PING | PONG) {
            return Err(Violation::Opcode(opcode));
        }
        if second & 0x80 == 0 {
            return Err(Violation::Unmasked);
        }
        let control = opcode & 0x8 != 0;
        let short = usize::from(second & 0x7F);
        if control && (!last || short > CONTROL_BYTES) {
            return Err(Violation::Control);
        }
        let (extended, payload) = match short {
            126 => match rest.first_chunk::<2>() {
                Some(length) => (2, usize::from(u16::from_be_bytes(*length))),
                None => return Ok(None),
            },
            127 => match rest.first_chunk::<8>() {
                Some(length) => (8, usize::try_from(u64::from_be_bytes(*length)).unwrap_or(usize::MAX)),
                None => return Ok(None),
            },
            short => (0, short),
        };
        let whole = if control { payload } else { payload.saturating_add(self.message.len()) };
        if whole > self.limit.max(CONTROL_BYTES) {
            return Err(Violation::TooLarge { got: whole });
        }
        let Some(mask) = rest.get(extended..).and_then(<[u8]>::first_chunk::<4>) else { return Ok(None) };
        Ok(Some(Header { last, opcode, mask: *mask, length: 2 + extended + 4, payload }))
    }

    fn accept(
        message: &mut Vec<u8>,
        partial: &mut Option<u8>,
        header: &Header,
        payload: &[u8],
    ) -> Result<Option<Message>, Violation> {
        match (header.opcode, *partial) {
            (PING, _) => return Ok(Some(Message::Ping(payload.to_vec()))),
            (PONG, _) => return Ok(Some(Message::Pong)),
            (CLOSE, _) => return Ok(Some(Message::Close)),
            (CONTINUATION, None) | (TEXT | BINARY, Some(_)) => return Err(Violation::Fragments),
            (CONTINUATION, Some(_)) => message.extend_from_slice(payload),
            (opcode, _) => {
                message.extend_from_slice(payload);
                *partial = Some(opcode);
            }
        }
        if !header.last {
            return Ok(None);
        }
        let whole = std::mem::take(message);
        match partial.take() {
            Some(TEXT) => String::from_utf8(whole).map(|text| Some(Message::Text(text))).map_err(|_| Violation::Utf8),
            _ => Ok(Some(Message::Binary)),
        }
    }
}

/// RFC 6455 §5.3, eight bytes at a time.
fn unmask(payload: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// Appends a text message, which `print` writes.
pub(super) fn write_text(out: &mut Vec<u8>, print: impl FnOnce(&mut Vec<u8>)) {
    // Space for the header of a message of middling size; one that takes another is moved.
    let frame = out.len();
    out.extend_from_slice(&[0; 4]);
    let payload = out.len();
    print(out);
    let mut header = Vec::with_capacity(10);
    write_header(&mut header, TEXT, out.len().saturating_sub(payload));
    if header.len() == 4 {
        for (to, from) in out.iter_mut().skip(frame).zip(header) {
            *to = from;
        }
    } else {
        out.splice(frame..payload, header);
    }
}

/// Appends a ping without payload.
pub(super) fn write_ping(out: &mut Vec<u8>) {
    write_frame(out, PING, &[]);
}

/// Appends the answer to a ping.
pub(super) fn write_pong(out: &mut Vec<u8>, payload: &[u8]) {
    write_frame(out, PONG, payload);
}

/// Appends a close frame with a status code.
pub(super) fn write_close(out: &mut Vec<u8>, status: u16) {
    write_frame(out, CLOSE, &status.to_be_bytes());
}

fn write_frame(out: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    write_header(out, opcode, payload.len());
    out.extend_from_slice(payload);
}

fn write_header(out: &mut Vec<u8>, opcode: u8, payload: usize) {
    out.push(0x80 | opcode);
    match (u8::try_from(payload), u16::try_from(payload)) {
        (Ok(length @ 0..=125), _) => out.push(length),
        (_, Ok(length)) => {
            out.push(126);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(payload as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1000;

    /// A client's frame.
    fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        write_frame(&mut out, 0, payload);
        let header = out.len() - payload.len();
        out[0] = first;
        out[1] |= 0x80;
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        out.splice(header..header, mask);
        unmask(&mut out[header + 4..], mask);
        out
    }

    fn all(decoder: &mut Decoder, bytes: &[u8]) -> Result<Vec<Message>, Violation> {
        decoder.push(bytes);
        let (mut from, mut messages) = (0, Vec::new());
        while let Some(message) = decoder.next(&mut from)? {
            messages.push(message);
        }
        decoder.compact(from);
        Ok(messages)
    }

    fn refused(bytes: &[u8]) -> Violation {
        all(&mut Decoder::new(LIMIT), bytes).unwrap_err()
    }

    #[test]
    fn the_masked_hello_of_rfc_6455_section_5_7_is_read() {
        let bytes = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(all(&mut Decoder::new(LIMIT), &bytes).unwrap(), [Message::Text("Hello".into())]);
    }

    #[test]
    fn the_unmasked_hello_of_rfc_6455_section_5_7_is_written() {
        let mut out = Vec::new();
        write_text(&mut out, |out| out.extend_from_slice(b"Hello"));
        assert_eq!(out, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
    }

    #[test]
    fn fragments_with_a_ping_between_them_arrive_as_one_message_whatever_the_cut() {
        let stream =
            [masked(0x01, b"Hel"), masked(0x89, b"here?"), masked(0x00, b""), masked(0x80, "lö".as_bytes())].concat();
        for size in 1..=stream.len() {
            let mut decoder = Decoder::new(LIMIT);
            let mut messages = Vec::new();
            for chunk in stream.chunks(size) {
                messages.extend(all(&mut decoder, chunk).unwrap());
            }
            assert_eq!(messages, [Message::Ping(b"here?".to_vec()), Message::Text("Hellö".into())], "cut at {size}");
            assert_eq!(decoder.held(), 0, "an idle connection holds no buffer");
        }
    }

    #[test]
    fn lengths_of_all_three_forms_are_written_as_they_are_read() {
        for length in [0, 125, 126, 65_535, 65_536] {
            let payload = vec![b'a'; length];
            let mut decoder = Decoder::new(1 << 20);
            let mut printed = b"before".to_vec();
            write_text(&mut printed, |out| out.extend_from_slice(&payload));
            let mut framed = b"before".to_vec();
            write_frame(&mut framed, TEXT, &payload);
            assert!(printed == framed, "{length}");
            let messages = all(&mut decoder, &masked(0x81, &payload)).unwrap();
            assert_eq!(messages, [Message::Text(String::from_utf8(payload).unwrap())]);
        }
    }

    #[test]
    fn what_breaks_the_protocol_is_refused_by_name() {
        assert_eq!(refused(&[0x81, 0x01, b'a']), Violation::Unmasked);
        assert_eq!(refused(&masked(0xC1, b"a")), Violation::ReservedBits);
        assert_eq!(refused(&masked(0x83, b"a")), Violation::Opcode(3));
        assert_eq!(refused(&masked(0x09, b"a")), Violation::Control);
        assert_eq!(refused(&masked(0x89, &[0; 126])), Violation::Control);
        assert_eq!(refused(&masked(0x80, b"a")), Violation::Fragments);
        assert_eq!(refused(&[masked(0x01, b"a"), masked(0x81, b"b")].concat()), Violation::Fragments);
        assert_eq!(refused(&masked(0x81, &[0xFF])), Violation::Utf8);
    }

    #[test]
    fn too_much_is_refused_at_its_header_and_in_the_sum_of_its_fragments() {
        let announced = [0x81, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF];
        assert!(matches!(refused(&announced), Violation::TooLarge { .. }));
        let parts = [masked(0x01, &[b'a'; 600]), masked(0x00, &[b'a'; 401])].concat();
        assert_eq!(refused(&parts), Violation::TooLarge { got: 1001 });
    }

    #[test]
    fn any_bytes_are_read_or_refused_without_a_panic_and_without_growth() {
        let mut seed = 0x2545_F491_4F6C_DD1D_u64;
        for _ in 0..2_000 {
            let mut decoder = Decoder::new(LIMIT);
            for _ in 0..20 {
                let chunk: Vec<u8> = std::iter::repeat_with(|| {
                    seed ^= seed << 13;
                    seed ^= seed >> 7;
                    seed ^= seed << 17;
                    seed.to_le_bytes()[0] | 0x80
                })
                .take(40)
                .collect();
                if all(&mut decoder, &chunk).is_err() {
                    break;
                }
                assert!(decoder.buffer.len() + decoder.message.len() <= 2 * LIMIT + 40);
            }
        }
    }
}
