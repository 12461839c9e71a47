//! The client of one Binding transaction over UDP: sent again and again until an answer comes, RFC 8489 §6.2.1.
//!
//! ```text
//!   new ─► poll_output: request ─► … handle_timeout: request … ─► handle_datagram ─► outcome: Mapped or Refused
//!                                                            └──► outcome: NoAnswer
//! ```

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stun_types::attribute::{ErrorCode, Software, XorMappedAddress};
use stun_types::message::{BINDING, Message, MessageClass};

use super::patience::{Carrier, Due, Patience};
use crate::wire::{self, BINDING_REQUEST, COOKIE, Packet};

/// How a transaction ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server saw us at this address.
    Mapped {
        /// XOR-MAPPED-ADDRESS.
        address: SocketAddr,
        /// SOFTWARE, if it said.
        software: Option<String>,
        /// From the last request to the answer.
        took: Duration,
    },
    /// It answered with an error.
    Refused {
        /// ERROR-CODE.
        code: u16,
        /// Its reason phrase.
        reason: String,
    },
    /// Nothing came.
    NoAnswer {
        /// How often it was asked.
        requests: u32,
    },
}

/// One Binding transaction.
pub struct Binding {
    request: Vec<u8>,
    transaction: [u8; 12],
    patience: Patience,
    to_send: bool,
    outcome: Option<Outcome>,
}

impl Binding {
    /// A transaction of this identity, which must not be guessable (RFC 8489 §5).
    pub fn new(now: Instant, transaction: [u8; 12]) -> Self {
        let mut request = BINDING_REQUEST.to_be_bytes().to_vec();
        request.extend([0, 0]);
        request.extend(COOKIE);
        request.extend(transaction);
        let patience = Patience::new(now, Carrier::Datagrams);
        Self { request, transaction, patience, to_send: true, outcome: None }
    }

    /// A datagram from the server. What is no answer to this request is ignored: anybody can send here.
    pub fn handle_datagram(&mut self, now: Instant, bytes: &[u8]) {
        if self.outcome.is_none() {
            self.outcome = self.read(now, bytes);
            self.to_send &= self.outcome.is_none();
        }
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.outcome.is_some() {
            return;
        }
        match self.patience.handle_timeout(now) {
            Due::Nothing => {}
            Due::Again => self.to_send = true,
            Due::GiveUp { requests } => self.outcome = Some(Outcome::NoAnswer { requests }),
        }
    }

    /// What is to be sent to the server now.
    pub fn poll_output(&mut self) -> Option<&[u8]> {
        std::mem::take(&mut self.to_send).then_some(self.request.as_slice())
    }

    /// When [`Self::handle_timeout`] wants to be called; `None` at the end.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.outcome.is_none().then_some(self.patience.due())
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    fn read(&self, now: Instant, bytes: &[u8]) -> Option<Outcome> {
        let Ok(Packet::Stun(stun)) = wire::parse(bytes) else { return None };
        if stun.bytes.get(8..20) != Some(&self.transaction) {
            return None;
        }
        let message = Message::from_bytes(stun.bytes).ok().filter(|message| message.method() == BINDING)?;
        match message.class() {
            MessageClass::Success => {
                let mapped = message.attribute::<XorMappedAddress>().ok()?;
                let software = message.attribute::<Software>().ok().map(|software| software.software().to_owned());
                let took = now.saturating_duration_since(self.patience.sent_at());
                Some(Outcome::Mapped { address: mapped.addr(message.transaction_id()), software, took })
            }
            MessageClass::Error => {
                let error = message.attribute::<ErrorCode>().ok()?;
                Some(Outcome::Refused { code: error.code(), reason: error.reason().to_owned() })
            }
            MessageClass::Request | MessageClass::Indication => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::some_instant;

    const TRANSACTION: [u8; 12] = [7; 12];

    /// An answer to it with this body.
    fn answer(kind: u16, transaction: [u8; 12], body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("a short body");
        [&kind.to_be_bytes(), &length.to_be_bytes(), COOKIE.as_slice(), &transaction, body].concat()
    }

    /// XOR-MAPPED-ADDRESS of 192.0.2.1:32853, as in RFC 5769 §2.2.
    const MAPPED: [u8; 12] = [0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];

    #[test]
    fn the_request_is_twenty_bytes_and_the_answer_tells_where_it_was_seen() {
        let now = some_instant();
        let mut binding = Binding::new(now, TRANSACTION);
        let request = binding.poll_output().map(<[u8]>::to_vec);
        assert_eq!(request, Some([&[0, 1, 0, 0], COOKIE.as_slice(), &TRANSACTION].concat()));
        assert_eq!(binding.poll_output(), None);
        let took = Duration::from_millis(20);
        binding.handle_datagram(now + took, &answer(0x0101, TRANSACTION, &MAPPED));
        let address = SocketAddr::from(([192, 0, 2, 1], 32_853));
        assert_eq!(binding.outcome(), Some(&Outcome::Mapped { address, software: None, took }));
        assert_eq!(binding.poll_timeout(), None);
    }

    #[test]
    fn an_error_is_told_and_what_is_no_answer_is_ignored() {
        let now = some_instant();
        let mut binding = Binding::new(now, TRANSACTION);
        let error = [0x00, 0x09, 0x00, 0x07, 0, 0, 4, 20, b'n', b'o', b'!', 0];
        for noise in [
            Vec::new(),
            vec![0; 20],
            answer(0x0101, [8; 12], &MAPPED),
            answer(0x0103, TRANSACTION, &MAPPED),
            answer(0x0001, TRANSACTION, &[]),
            answer(0x0101, TRANSACTION, &[]),
        ] {
            binding.handle_datagram(now, &noise);
            assert_eq!(binding.outcome(), None, "{noise:?}");
        }
        binding.handle_datagram(now, &answer(0x0111, TRANSACTION, &error));
        assert_eq!(binding.outcome(), Some(&Outcome::Refused { code: 420, reason: "no!".into() }));
    }

    #[test]
    fn it_asks_seven_times_at_the_times_of_rfc_8489_section_6_2_1() {
        let start = some_instant();
        let mut binding = Binding::new(start, TRANSACTION);
        let mut sent = Vec::new();
        let mut now = start;
        loop {
            if binding.poll_output().is_some() {
                sent.push((now - start).as_millis());
            }
            let Some(due) = binding.poll_timeout() else { break };
            now = due;
            binding.handle_timeout(now);
        }
        assert_eq!(sent, [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]);
        assert_eq!((now - start).as_millis(), 39_500);
        assert_eq!(binding.outcome(), Some(&Outcome::NoAnswer { requests: 7 }));
    }
}
