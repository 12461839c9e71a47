//! The first message of a client, read before anything is kept for it: RFC 6347 §4.1, §4.2.1, §4.2.2.
//!
//! ```text
//!  record     type 22 · version 2 · epoch 2 = 0 · sequence 6 · length 2
//!  handshake  type 1 · length 3 · message_seq 2 · fragment_offset 3 = 0 · fragment_length 3 = length
//!  body       version 2 · random 32 · session_id <0..32> · cookie <0..255> · suites <2..> · compression <1..> · extensions
//! ```
//!
//! A ClientHello in several fragments would have to be kept to be read, and is refused: one of TLS 1.2 fits into a datagram.

use thiserror::Error;

/// A whole ClientHello, in a datagram of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello<'a> {
    /// Of the record, without the epoch.
    pub sequence: u64,
    /// Counts the messages of the handshake.
    pub message_seq: u16,
    /// The client's part of what keys are made from.
    pub random: &'a [u8; 32],
    /// What we have sent it to prove its address; empty in its first message.
    pub cookie: &'a [u8],
    /// RFC 5246 §7.4.1.2: two bytes each, in the order of the client's preference.
    pub suites: &'a [u8],
    /// The highest version the client speaks; `[254, 253]` is DTLS 1.2.
    pub version: [u8; 2],
    record_version: [u8; 2],
    /// Of the body: up to the cookie's length, and behind the cookie.
    before: &'a [u8],
    after: &'a [u8],
}

/// Why these bytes are no ClientHello that we answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// Another message, or none.
    #[error("expected a handshake record of epoch 0 with a ClientHello, got something else")]
    NotHello,
    /// Cut off, or with more behind.
    #[error("expected one whole record, got {got} bytes where {expected} are declared")]
    Length {
        /// What the header says.
        expected: usize,
        /// What there is.
        got: usize,
    },
    /// RFC 6347 §4.2.3: in several pieces.
    #[error("expected the ClientHello in one fragment")]
    Fragmented,
    /// A field runs over the end.
    #[error("expected {field} in the ClientHello, got its end")]
    Short {
        /// Which field.
        field: &'static str,
    },
}

impl<'a> Hello<'a> {
    /// Whether a datagram begins like a ClientHello; the rest may still be wrong.
    pub fn is_begun(datagram: &[u8]) -> bool {
        let is_plain_handshake = matches!(datagram, [HANDSHAKE, _, _, 0, 0, ..]);
        is_plain_handshake && datagram.get(RECORD_HEADER) == Some(&CLIENT_HELLO)
    }

    /// Reads a datagram.
    ///
    /// # Errors
    /// It is anything but one whole ClientHello.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Malformed> {
        if !Self::is_begun(datagram) {
            return Err(Malformed::NotHello);
        }
        let mut record = Reader(datagram);
        let [_, major, minor, _, _, s0, s1, s2, s3, s4, s5] = *record.array("the record header")?;
        let sequence = u64::from_be_bytes([0, 0, s0, s1, s2, s3, s4, s5]);
        let declared = record.short("the record length")?;
        whole(declared.into(), record.0.len())?;
        let [_, l0, l1, l2] = *record.array("the handshake header")?;
        let message_seq = record.short("message_seq")?;
        let [o0, o1, o2, f0, f1, f2] = *record.array("the fragment")?;
        if [o0, o1, o2] != [0; 3] || [f0, f1, f2] != [l0, l1, l2] {
            return Err(Malformed::Fragmented);
        }
        let body = record.0;
        let length = u32::from_be_bytes([0, l0, l1, l2]);
        whole(usize::try_from(length).unwrap_or(usize::MAX), body.len())?;

        let mut rest = Reader(body);
        let version = *rest.array("the version")?;
        let random = rest.array("the random")?;
        rest.vector("the session id")?;
        let before = body.get(..body.len().saturating_sub(rest.0.len())).unwrap_or_default();
        let cookie = rest.vector("the cookie")?;
        let after = rest.0;
        let suites = rest.short("the cipher suites")?;
        let suites = rest.take(suites.into(), "the cipher suites")?;
        rest.vector("the compression methods")?;
        Ok(Self {
            sequence,
            message_seq,
            random,
            cookie,
            suites,
            version,
            record_version: [major, minor],
            before,
            after,
        })
    }

    /// This message as the client has sent it before it had the cookie.
    pub(crate) fn write_bare(&self, message_seq: u16) -> Vec<u8> {
        let body = [self.before, &[0], self.after].concat();
        let [_, l0, l1, l2] = u32::try_from(body.len()).unwrap_or(u32::MAX).to_be_bytes();
        let fragment = [l0, l1, l2];
        let handshake =
            [&[CLIENT_HELLO], fragment.as_slice(), &message_seq.to_be_bytes(), &[0; 3], &fragment, &body].concat();
        write_record(self.record_version, message_seq.into(), &handshake)
    }

    /// RFC 6347 §4.2.1: the demand for the cookie, in a record of the number of the client's.
    pub(crate) fn write_challenge(&self, cookie: &[u8; 32]) -> Vec<u8> {
        const BODY: u8 = 2 + 1 + 32;
        // A client that is asked again (the cookie was too old) counts on.
        let [m0, m1] = self.message_seq.to_be_bytes();
        let header = [HELLO_VERIFY_REQUEST, 0, 0, BODY, m0, m1, 0, 0, 0, 0, 0, BODY];
        // DTLS 1.0 whatever is agreed on later, for clients that know nothing else.
        let handshake = [&header, DTLS_1_0.as_slice(), &[32], cookie].concat();
        write_record(DTLS_1_0, self.sequence, &handshake)
    }
}

impl Hello<'_> {
    /// RFC 5246 §7.2.2: that there will be no handshake, and why.
    pub(crate) fn write_alert(&self, description: u8) -> Vec<u8> {
        write_plain(ALERT, DTLS_1_0, self.sequence, &[FATAL, description])
    }
}

fn write_record(version: [u8; 2], sequence: u64, body: &[u8]) -> Vec<u8> {
    write_plain(HANDSHAKE, version, sequence, body)
}

fn write_plain(kind: u8, version: [u8; 2], sequence: u64, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
    // The two upper bytes are the epoch: a record's number has six.
    [&[kind], version.as_slice(), &sequence.to_be_bytes(), &length, body].concat()
}

fn whole(expected: usize, got: usize) -> Result<(), Malformed> {
    if expected == got { Ok(()) } else { Err(Malformed::Length { expected, got }) }
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self, field: &'static str) -> Result<&'a [u8; N], Malformed> {
        let (array, rest) = self.0.split_first_chunk().ok_or(Malformed::Short { field })?;
        self.0 = rest;
        Ok(array)
    }

    fn short(&mut self, field: &'static str) -> Result<u16, Malformed> {
        self.array(field).map(|bytes| u16::from_be_bytes(*bytes))
    }

    fn take(&mut self, length: usize, field: &'static str) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(Malformed::Short { field })?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A length of one byte, and so many bytes.
    fn vector(&mut self, field: &'static str) -> Result<&'a [u8], Malformed> {
        let [length] = *self.array(field)?;
        self.take(length.into(), field)
    }
}

/// Of a record.
pub(crate) const RECORD_HEADER: usize = 13;
/// RFC 5246 §6.2.1.
pub(crate) const HANDSHAKE: u8 = 22;
/// RFC 6347 §4.3.2.
const CLIENT_HELLO: u8 = 1;
const HELLO_VERIFY_REQUEST: u8 = 3;
const DTLS_1_0: [u8; 2] = [254, 255];
pub(crate) const DTLS_1_2: [u8; 2] = [254, 253];
/// RFC 5246 §7.2.
const ALERT: u8 = 21;
const FATAL: u8 = 2;
pub(crate) const HANDSHAKE_FAILURE: u8 = 40;
pub(crate) const PROTOCOL_VERSION: u8 = 70;

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A ClientHello with one suite, in a record of number `sequence`.
    pub(crate) fn client_hello(sequence: u64, message_seq: u16, random: u8, cookie: &[u8]) -> Vec<u8> {
        let cookie_length = u8::try_from(cookie.len()).expect("short");
        let mut body = vec![254, 253];
        body.extend([random; 32]);
        body.extend([0, cookie_length]);
        body.extend(cookie);
        // ECDHE_ECDSA_AES128_GCM_SHA256; no compression; supported_groups: P-256; ECDSA with SHA-256; EMS.
        body.extend([0, 2, 0xC0, 0x2B, 1, 0]);
        let extensions = [0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 4, 0, 2, 4, 3, 0, 23, 0, 0];
        body.extend([0, 20]);
        body.extend(extensions);
        let length = u8::try_from(body.len()).expect("short");
        let [m0, m1] = message_seq.to_be_bytes();
        let handshake = [&[1, 0, 0, length, m0, m1, 0, 0, 0, 0, 0, length], body.as_slice()].concat();
        write_record([254, 253], sequence, &handshake)
    }

    #[test]
    fn a_hello_is_read_and_written_as_it_was_without_the_cookie() {
        let second = client_hello(7, 1, 9, &[5; 32]);
        let hello = Hello::parse(&second).expect("a hello");
        assert_eq!((hello.sequence, hello.message_seq, hello.random, hello.cookie), (7, 1, &[9; 32], &[5; 32][..]));
        assert_eq!(hello.write_bare(0), client_hello(0, 0, 9, &[]));
    }

    #[test]
    fn a_challenge_has_the_number_of_the_hello_and_is_shorter() {
        let first = client_hello(0x0102_0304_0506, 0, 9, &[]);
        let challenge = Hello::parse(&first).expect("a hello").write_challenge(&[7; 32]);
        assert!(challenge.len() < first.len());
        let header = [22, 254, 255, 0, 0, 1, 2, 3, 4, 5, 6, 0, 47, 3, 0, 0, 35, 0, 0, 0, 0, 0, 0, 0, 35, 254, 255, 32];
        assert_eq!(challenge, [&header[..], &[7; 32]].concat());
    }

    #[test]
    fn a_challenge_is_shorter_than_the_shortest_hello() {
        let mut body = vec![254, 253];
        body.extend([3; 32]);
        body.extend([0, 0, 0, 0, 0]);
        let length = u8::try_from(body.len()).expect("short");
        let handshake = [&[1, 0, 0, length, 0, 0, 0, 0, 0, 0, 0, length], body.as_slice()].concat();
        let shortest = write_record([254, 253], 0, &handshake);
        let challenge = Hello::parse(&shortest).expect("a hello").write_challenge(&[7; 32]);
        assert!(challenge.len() < shortest.len(), "{} for {}", challenge.len(), shortest.len());
    }

    #[test]
    fn what_is_cut_off_fragmented_or_followed_by_more_is_refused() {
        let whole = client_hello(0, 0, 9, &[1, 2, 3]);
        for length in 0..whole.len() {
            assert!(Hello::parse(&whole[..length]).is_err(), "{length} bytes were enough");
        }
        let longer = [whole.as_slice(), &[0]].concat();
        assert!(matches!(Hello::parse(&longer), Err(Malformed::Length { .. })));
        let mut fragment = whole.clone();
        fragment[RECORD_HEADER + 8] = 1;
        assert_eq!(Hello::parse(&fragment), Err(Malformed::Fragmented));
        let mut later_epoch = whole.clone();
        later_epoch[4] = 1;
        assert_eq!(Hello::parse(&later_epoch), Err(Malformed::NotHello));
        let mut long_session = whole;
        long_session[RECORD_HEADER + 12 + 34] = 255;
        assert_eq!(Hello::parse(&long_session), Err(Malformed::Short { field: "the session id" }));
    }
}
