//! What stands before `rtc-dtls`: it is shown whole flights (RFC 6347 §4.2.4), each once, and nothing else.
//!
//! ```text
//!   datagram ─► records ─┬─ plain handshake: put together, in order ───┬─ a whole flight ─► the library
//!                        ├─ sealed handshake (Finished): kept ─────────┘
//!                        ├─ an alert in plain: the end
//!                        └─ anything else: dropped
//! ```
//!
//! By itself the library keeps two megabytes of fragments and everything that goes with an epoch to come, puts fragments
//! together by recursion as deep as there are fragments, and stops its timer when a part of a flight comes, or one that it
//! knows. Here little is kept, and what is handed on is complete, in order and fresh. Fragments carry no meaning of their own: the
//! hash of the handshake is over messages as they were before they were cut (RFC 6347 §4.2.6), so nothing is changed
//! that anybody signs.

use bytes::{BufMut, BytesMut};

use super::{Ended, Role};
use crate::hello::{DTLS_1_2, HANDSHAKE, RECORD_HEADER};

/// What is known of a handshake before it is over.
pub(super) struct Front {
    role: Role,
    stage: Stage,
    /// The number of the message that comes next.
    next: u16,
    /// That one and later ones, as far as they have come.
    messages: Vec<Message>,
    /// Sealed records that may be the peer's Finished.
    sealed: Vec<Vec<u8>>,
    /// Of the next record for the library, in epoch 0.
    number: u32,
    /// How often the library has been made to repeat itself, or been shown sealed records.
    shown: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Plain,
    /// All that is said in plain has been said; Finished is to come.
    Sealed,
}

struct Message {
    number: u16,
    kind: u8,
    length: usize,
    /// From the beginning.
    body: Vec<u8>,
}

/// What came of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Heard {
    /// No flight has become whole by it.
    Nothing,
    /// For the library; with the certificate in it.
    Flight(BytesMut, Option<Vec<u8>>),
    Over(Ended),
}

impl Front {
    /// With our part.
    pub(super) fn new(role: Role) -> Self {
        Self { role, stage: Stage::Plain, next: 0, messages: Vec::new(), sealed: Vec::new(), number: 0, shown: 0 }
    }

    /// Takes a datagram in.
    pub(super) fn handle_datagram(&mut self, datagram: &[u8]) -> Heard {
        let mut repeated = false;
        for record in Records(datagram) {
            match (record.epoch, record.kind, record.body) {
                // RFC 5246 §7.2: fatal ones, and good-bye.
                (0, ALERT, [FATAL, _] | [_, CLOSE_NOTIFY]) => return Heard::Over(Ended::Failed),
                (0, HANDSHAKE, body) => repeated |= self.on_fragments(body),
                (1, HANDSHAKE, _) if record.whole.len() <= LONGEST_FINISHED => {
                    if self.sealed.len() == MOST_SEALED {
                        self.sealed.remove(0);
                    }
                    self.sealed.push(record.whole.to_vec());
                }
                _ => {}
            }
        }
        let asks = repeated || self.stage == Stage::Sealed && !self.sealed.is_empty();
        if !asks {
            return if self.stage == Stage::Plain { self.on_messages() } else { Heard::Nothing };
        }
        self.shown = self.shown.saturating_add(1);
        if self.shown > MOST_SHOWN {
            return Heard::Nothing;
        }
        let mut flight = BytesMut::new();
        match self.stage {
            // RFC 6347 §4.2.4: the answer was lost, and the library has no timer for it. A ClientHello of no bytes, with a
            // number that has been, makes it answer once more the one that it knows.
            Stage::Plain => {
                let hello = Message { number: 0, kind: CLIENT_HELLO, length: 0, body: Vec::new() };
                self.write_message(&hello, &mut flight);
            }
            Stage::Sealed => self.write_finished(&mut flight),
        }
        Heard::Flight(flight, None)
    }

    /// Whether a ClientHello was repeated that has been answered with HelloVerifyRequest.
    fn on_fragments(&mut self, mut body: &[u8]) -> bool {
        let mut repeated = false;
        while let Some((header, rest)) = body.split_first_chunk::<MESSAGE_HEADER>() {
            let &[kind, l0, l1, l2, n0, n1, o0, o1, o2, f0, f1, f2] = header;
            let Some((fragment, after)) = rest.split_at_checked(u24([f0, f1, f2])) else { break };
            body = after;
            let number = u16::from_be_bytes([n0, n1]);
            match number.checked_sub(self.next) {
                None => repeated |= (kind, self.role, self.next) == (CLIENT_HELLO, Role::Server, 1),
                Some(0..WINDOW) if self.is_spoken(kind) => {
                    self.on_fragment((number, kind, u24([l0, l1, l2])), u24([o0, o1, o2]), fragment);
                }
                Some(_) => {}
            }
        }
        repeated
    }

    /// Only what continues a message is taken; what has overtaken it comes once more.
    fn on_fragment(&mut self, (number, kind, length): (u16, u8, usize), offset: usize, fragment: &[u8]) {
        let kept: usize = self.messages.iter().map(|message| message.body.len()).sum();
        if self.stage != Stage::Plain || length > LONGEST_MESSAGE || kept.saturating_add(fragment.len()) > MOST_KEPT {
            return;
        }
        let at = match self.messages.iter().position(|message| message.number == number) {
            Some(at) => at,
            None => {
                self.messages.push(Message { number, kind, length, body: Vec::new() });
                self.messages.len() - 1
            }
        };
        let Some(message) = self.messages.get_mut(at).filter(|known| (known.kind, known.length) == (kind, length))
        else {
            return;
        };
        let fresh = message.body.len().checked_sub(offset).and_then(|known| fragment.get(known..)).unwrap_or_default();
        if message.body.len() + fresh.len() <= length {
            message.body.extend_from_slice(fresh);
        }
    }

    /// Whether the peer, in its part, says such things (RFC 5246 §7.4).
    fn is_spoken(&self, kind: u8) -> bool {
        match self.role {
            Role::Server => matches!(kind, CLIENT_HELLO | CERTIFICATE | CLIENT_KEY_EXCHANGE | CERTIFICATE_VERIFY),
            Role::Client => matches!(
                kind,
                HELLO_VERIFY_REQUEST
                    | SERVER_HELLO
                    | CERTIFICATE
                    | SERVER_KEY_EXCHANGE
                    | CERTIFICATE_REQUEST
                    | SERVER_HELLO_DONE
            ),
        }
    }

    /// A flight, if one is whole.
    fn on_messages(&mut self) -> Heard {
        self.messages.sort_by_key(|message| message.number);
        let in_order = self.messages.iter().zip(self.next..);
        let whole =
            in_order.take_while(|(message, number)| message.number == *number && message.body.len() == message.length);
        let mut certificate = None;
        let mut end = None;
        for (message, number) in whole {
            match message.kind {
                CERTIFICATE => match leaf(&message.body) {
                    Some(shown) => certificate = Some(shown.to_vec()),
                    None => return Heard::Over(Ended::WrongCertificate),
                },
                CLIENT_HELLO | HELLO_VERIFY_REQUEST => end = Some((number, Stage::Plain)),
                SERVER_HELLO_DONE => end = Some((number, Stage::Sealed)),
                CERTIFICATE_VERIFY if !self.sealed.is_empty() => end = Some((number, Stage::Sealed)),
                _ => {}
            }
            if end.is_some() {
                break;
            }
        }
        let Some((last, stage)) = end else { return Heard::Nothing };
        Heard::Flight(self.write_flight(last, stage), certificate)
    }

    fn write_flight(&mut self, last: u16, stage: Stage) -> BytesMut {
        let mut flight = BytesMut::new();
        let later = self.messages.split_off(self.messages.partition_point(|message| message.number <= last));
        for message in std::mem::replace(&mut self.messages, later) {
            self.write_message(&message, &mut flight);
        }
        (self.next, self.stage) = (last.saturating_add(1), stage);
        match (stage, self.role) {
            (Stage::Sealed, Role::Server) => self.write_finished(&mut flight),
            // Whatever there is was sealed with keys that did not exist yet.
            (Stage::Sealed, Role::Client) => self.sealed.clear(),
            (Stage::Plain, _) => {}
        }
        flight
    }

    /// What is sealed, and ChangeCipherSpec (RFC 5246 §7.1) before it, which says no more than the epoch of the sealed record.
    fn write_finished(&mut self, flight: &mut BytesMut) {
        self.write_record(CHANGE_CIPHER_SPEC, &[&[1]], flight);
        for record in std::mem::take(&mut self.sealed) {
            flight.put_slice(&record);
        }
    }

    fn write_message(&mut self, message: &Message, flight: &mut BytesMut) {
        let [_, length @ ..] = u32::try_from(message.length).unwrap_or(0).to_be_bytes();
        let number = message.number.to_be_bytes();
        self.write_record(HANDSHAKE, &[&[message.kind], &length, &number, &[0; 3], &length, &message.body], flight);
    }

    fn write_record(&mut self, kind: u8, body: &[&[u8]], flight: &mut BytesMut) {
        let length: usize = body.iter().map(|part| part.len()).sum();
        flight.put_u8(kind);
        flight.put_slice(&DTLS_1_2);
        // Epoch and number: RFC 6347 §4.1.
        flight.put_u32(0);
        flight.put_u32(self.number);
        // No message is that long.
        flight.put_u16(u16::try_from(length).unwrap_or(u16::MAX));
        body.iter().for_each(|part| flight.put_slice(part));
        self.number = self.number.wrapping_add(1);
    }
}

/// The first certificate of a list, RFC 5246 §7.4.2: that of the peer. `None`: there is none, or this is no list.
fn leaf(list: &[u8]) -> Option<&[u8]> {
    let (length, mut rest) = list.split_first_chunk::<3>()?;
    if rest.len() != u24(*length) {
        return None;
    }
    let mut first = None;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<3>()?;
        let (certificate, after) = after.split_at_checked(u24(*length))?;
        first = first.or(Some(certificate));
        rest = after;
    }
    first.filter(|certificate| !certificate.is_empty())
}

fn u24([a, b, c]: [u8; 3]) -> usize {
    usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c)
}

/// The records of a datagram, RFC 6347 §4.1, up to what is none.
pub(super) struct Records<'a>(pub(super) &'a [u8]);

/// One of them.
pub(super) struct Record<'a> {
    pub(super) kind: u8,
    pub(super) epoch: u16,
    pub(super) body: &'a [u8],
    /// With its header.
    pub(super) whole: &'a [u8],
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let &[kind, _, _, e0, e1, .., l0, l1] = self.0.first_chunk::<RECORD_HEADER>()?;
        let end = RECORD_HEADER + usize::from(u16::from_be_bytes([l0, l1]));
        let (whole, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        Some(Record { kind, epoch: u16::from_be_bytes([e0, e1]), body: whole.get(RECORD_HEADER..)?, whole })
    }
}

/// RFC 5246 §6.2.1.
const CHANGE_CIPHER_SPEC: u8 = 20;
pub(super) const ALERT: u8 = 21;
pub(super) const APPLICATION_DATA: u8 = 23;
/// RFC 5246 §7.2.
const FATAL: u8 = 2;
const CLOSE_NOTIFY: u8 = 0;
/// RFC 5246 §7.4, RFC 6347 §4.3.2.
const CLIENT_HELLO: u8 = 1;
const SERVER_HELLO: u8 = 2;
const HELLO_VERIFY_REQUEST: u8 = 3;
const CERTIFICATE: u8 = 11;
const SERVER_KEY_EXCHANGE: u8 = 12;
const CERTIFICATE_REQUEST: u8 = 13;
const SERVER_HELLO_DONE: u8 = 14;
const CERTIFICATE_VERIFY: u8 = 15;
const CLIENT_KEY_EXCHANGE: u8 = 16;
/// RFC 6347 §4.2.2.
const MESSAGE_HEADER: usize = 12;
/// Messages that are kept at once: a flight has five.
const WINDOW: u16 = 8;
/// Of a message: a chain of three certificates with RSA-4096 has 5,000 bytes.
const LONGEST_MESSAGE: usize = 12_000;
/// Of all that is kept.
const MOST_KEPT: usize = 16_000;
/// A sealed Finished has 61 bytes.
pub(super) const LONGEST_FINISHED: usize = 128;
/// Among records that somebody else has made up must be the true one.
const MOST_SEALED: usize = 4;
/// Peers that double the time between attempts make six of them in 30 seconds; some make one each second.
pub(super) const MOST_SHOWN: u8 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
        let [h, l] = u16::try_from(body.len()).expect("short").to_be_bytes();
        [&[kind, 254, 253, 0, epoch, 0, 0, 0, 0, 0, 7, h, l], body].concat()
    }

    /// One fragment in a record of its own.
    fn fragment(number: u8, kind: u8, body: &[u8], part: std::ops::Range<usize>) -> Vec<u8> {
        let u24 =
            |length: usize| [0, u8::try_from(length >> 8).expect("short"), u8::try_from(length & 255).expect("a byte")];
        let header = [&[kind][..], &u24(body.len()), &[0, number], &u24(part.start), &u24(part.len())].concat();
        record(HANDSHAKE, 0, &[&header, &body[part]].concat())
    }

    fn message(number: u8, kind: u8, body: &[u8]) -> Vec<u8> {
        fragment(number, kind, body, 0..body.len())
    }

    /// Kind of record, kind of message, number, body.
    type Shown = (u8, u8, u8, Vec<u8>);

    fn flight(heard: Heard) -> (Vec<Shown>, Option<Vec<u8>>) {
        let Heard::Flight(flight, certificate) = heard else { panic!("expected a flight, got {heard:?}") };
        let read = |record: Record<'_>| match record.kind {
            HANDSHAKE if record.epoch == 0 => {
                assert_eq!(record.body[1..4], record.body[9..12], "a fragment");
                (record.kind, record.body[0], record.body[5], record.body[12..].to_vec())
            }
            _ => (record.kind, 0, 0, record.body.to_vec()),
        };
        (Records(&flight).map(read).collect(), certificate)
    }

    fn list(certificates: &[&[u8]]) -> Vec<u8> {
        let u24 = |length: usize| [0, 0, u8::try_from(length).expect("short")];
        let all: Vec<u8> = certificates.iter().flat_map(|one| [&u24(one.len())[..], one].concat()).collect();
        [&u24(all.len())[..], &all].concat()
    }

    /// That waits for what follows ServerHelloDone.
    fn server() -> Front {
        let mut front = Front::new(Role::Server);
        for number in 0..2 {
            let (records, _) = flight(front.handle_datagram(&message(number, CLIENT_HELLO, b"hello")));
            assert_eq!(records, [(HANDSHAKE, CLIENT_HELLO, number, b"hello".to_vec())]);
        }
        front
    }

    #[test]
    fn a_flight_is_handed_on_when_it_is_whole_and_once() {
        let mut front = Front::new(Role::Client);
        let certificate = list(&[b"theirs", b"of an authority"]);
        let pieces = [
            message(4, SERVER_HELLO_DONE, b""),
            fragment(1, CERTIFICATE, &certificate, 0..7),
            message(2, SERVER_KEY_EXCHANGE, b"key"),
            // It overlaps, and then one overtakes another.
            fragment(1, CERTIFICATE, &certificate, 3..9),
            fragment(1, CERTIFICATE, &certificate, 15..certificate.len()),
            message(3, CERTIFICATE_REQUEST, b"request"),
            fragment(1, CERTIFICATE, &certificate, 9..15),
            fragment(1, CERTIFICATE, &certificate, 15..certificate.len()),
        ];
        for piece in &pieces {
            assert_eq!(front.handle_datagram(piece), Heard::Nothing);
        }
        let (records, shown) = flight(front.handle_datagram(&message(0, SERVER_HELLO, b"hello")));
        assert_eq!(shown.as_deref(), Some(&b"theirs"[..]));
        let kinds: Vec<_> = records.iter().map(|(_, kind, number, _)| (*number, *kind)).collect();
        let all = [SERVER_HELLO, CERTIFICATE, SERVER_KEY_EXCHANGE, CERTIFICATE_REQUEST, SERVER_HELLO_DONE];
        assert_eq!(kinds, (0..).zip(all).collect::<Vec<_>>());
        assert_eq!(records[1].3, certificate);
        for piece in &pieces {
            assert_eq!(front.handle_datagram(piece), Heard::Nothing);
        }
    }

    #[test]
    fn what_a_client_says_last_waits_for_its_proof_and_for_finished() {
        let said = [
            message(2, CERTIFICATE, &list(&[b"theirs"])),
            message(3, CLIENT_KEY_EXCHANGE, b"key"),
            message(4, CERTIFICATE_VERIFY, b"proof"),
            record(HANDSHAKE, 1, b"sealed"),
        ];
        for last in 0..said.len() {
            let mut front = server();
            for (at, datagram) in said.iter().enumerate().filter(|(at, _)| *at != last) {
                assert_eq!(front.handle_datagram(datagram), Heard::Nothing, "{at}");
            }
            let (records, shown) = flight(front.handle_datagram(&said[last]));
            assert_eq!(shown.as_deref(), Some(&b"theirs"[..]));
            let kinds: Vec<_> = records.iter().map(|(record, kind, ..)| (*record, *kind)).collect();
            let in_plain = [CERTIFICATE, CLIENT_KEY_EXCHANGE, CERTIFICATE_VERIFY].map(|kind| (HANDSHAKE, kind));
            assert_eq!(kinds[..3], in_plain);
            assert_eq!(records[3..], [(CHANGE_CIPHER_SPEC, 0, 0, vec![1]), (HANDSHAKE, 0, 0, b"sealed".to_vec())]);
        }
    }

    #[test]
    fn a_hello_that_comes_again_asks_for_the_answer_again_but_not_for_ever() {
        let mut front = Front::new(Role::Server);
        let hello = message(0, CLIENT_HELLO, b"hello");
        flight(front.handle_datagram(&hello));
        for _ in 0..MOST_SHOWN {
            let (records, _) = flight(front.handle_datagram(&hello));
            assert_eq!(records, [(HANDSHAKE, CLIENT_HELLO, 0, Vec::new())]);
        }
        assert_eq!(front.handle_datagram(&hello), Heard::Nothing);
        // And not at all when the second one has been answered.
        assert_eq!(server().handle_datagram(&hello), Heard::Nothing);
    }

    #[test]
    fn of_sealed_records_the_last_few_are_kept() {
        let mut front = server();
        for number in 0..50 {
            assert_eq!(front.handle_datagram(&record(HANDSHAKE, 1, &[number])), Heard::Nothing);
        }
        assert_eq!(front.handle_datagram(&record(HANDSHAKE, 1, &[9; 200])), Heard::Nothing);
        assert_eq!(front.sealed.iter().map(|record| record[13]).collect::<Vec<_>>(), [46, 47, 48, 49]);
    }

    #[test]
    fn little_is_kept_of_what_never_becomes_whole() {
        let mut front = server();
        for number in 0..=255 {
            for kind in 0..=255 {
                for (from, to) in [(0, 1_000), (1_000, 2_000), (1_500, 1_600)] {
                    front.handle_datagram(&fragment(number, kind, &[7; 2_000], from..to));
                }
            }
        }
        let kept: usize = front.messages.iter().map(|message| message.body.capacity()).sum();
        assert!(front.messages.len() <= usize::from(WINDOW), "{}", front.messages.len());
        assert!(kept <= 2 * MOST_KEPT, "{kept}");
    }

    #[test]
    fn a_list_without_a_certificate_and_an_alert_end_it() {
        for body in [list(&[]), list(&[b""]), vec![0, 0], vec![0, 0, 9, 0, 0, 1, 7], vec![0, 0, 4, 0, 0, 2, 7]] {
            let mut front = server();
            assert_eq!(front.handle_datagram(&message(2, CERTIFICATE, &body)), Heard::Over(Ended::WrongCertificate));
        }
        assert_eq!(server().handle_datagram(&record(ALERT, 0, &[FATAL, 40])), Heard::Over(Ended::Failed));
        assert_eq!(server().handle_datagram(&record(ALERT, 0, &[1, 90])), Heard::Nothing);
        assert_eq!(server().handle_datagram(&record(ALERT, 1, &[FATAL, 40])), Heard::Nothing);
    }
}
