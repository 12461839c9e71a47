//! Requests: Binding at once, the others through the gate, and what all of them have in common.

use std::time::{Duration, Instant};

use stun_types::attribute::{AttributeStaticType, AttributeType};
use stun_types::message::{BINDING, Message, MessageClass, StunWriteError, TransactionId};
use turn_types::attribute::{
    ChannelNumber, ConnectionId, DontFragment, EvenPort, Lifetime, RequestedAddressFamily, RequestedTransport,
    ReservationToken, XorPeerAddress, XorRelayedAddress,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CONNECT, CONNECTION_BIND, CREATE_PERMISSION, REFRESH};

use super::allocation::Owner;
use super::answer::{self, Refusal, Seal};
use super::authenticate::{Authentic, Closed};
use super::config::{FiveTuple, Transport};
use super::token::ACCESS_TOKEN;
use super::{Output, Server};
use crate::binding;
use crate::wire::Stun;

impl Server {
    /// A STUN message other than a Send indication.
    pub(super) fn on_message(&mut self, now: Instant, from: FiveTuple, stun: Stun<'_>) {
        // The message's lengths are true; what still can be wrong is a FINGERPRINT.
        let Ok(message) = Message::from_bytes(stun.bytes) else {
            self.counters.malformed += 1;
            return;
        };
        if !message.has_class(MessageClass::Request) {
            return;
        }
        match message.method() {
            BINDING => self.on_binding(now, from, &message),
            ALLOCATE | REFRESH | CREATE_PERMISSION | CHANNEL_BIND | CONNECT | CONNECTION_BIND => {
                self.on_request(now, from, &message)
            }
            _ => self.refuse_unproven(now, from, &message, &Refusal::BadRequest),
        }
    }

    fn on_binding(&mut self, now: Instant, from: FiveTuple, message: &Message<'_>) {
        if self.admit(now, from, message.as_bytes()) {
            self.counters.bindings += 1;
            match binding::answer(message, from, (self.settings.discovery.as_ref(), &self.settings.addresses.external))
            {
                Ok((to, message)) => self.send_unproven(now, to, Ok(message)),
                Err(error) => debug_assert!(false, "an answer could not be written: {error}"),
            }
        }
    }

    pub(super) fn on_classic_binding(&mut self, now: Instant, from: FiveTuple, stun: Stun<'_>) {
        if self.admit(now, from, stun.bytes)
            && let Some((to, message)) = binding::classic_answer(
                stun,
                from,
                (self.settings.discovery.as_ref(), &self.settings.addresses.external),
            )
        {
            self.counters.bindings += 1;
            self.send_unproven(now, to, Ok(message));
        }
    }

    fn on_request(&mut self, now: Instant, from: FiveTuple, message: &Message<'_>) {
        let here = self.table.by_tuple(&from).first();
        let slot = here.or_else(|| self.by_ticket(message)).or_else(|| self.by_connection(message));
        let holder = slot.and_then(|slot| self.table.get(slot)).map(|allocation| &allocation.owner);
        let checked = self.gate.check(now, from.client, message, holder);
        if checked.is_ok() {
            self.gate.prove(now, from.client);
        }
        let outcome = match checked {
            Err(closed) => return self.on_closed(now, from, message, closed),
            Ok(Authentic::Stranger(owner, seal)) => Some(self.on_stranger(now, from, (owner, seal), message)),
            Ok(Authentic::Holder(seal)) => slot.map(|slot| self.on_owner(now, (slot, seal), from, message)),
            Ok(Authentic::Renewed(owner, seal)) => slot.map(|slot| {
                self.table.renew(slot, &owner);
                self.on_owner(now, (slot, seal), from, message)
            }),
        };
        if let Some(Err(error)) = outcome {
            // Only an answer that does not fit a STUN message, which no request can bring about.
            debug_assert!(false, "an answer could not be written: {error}");
        }
    }

    /// The owner of an allocation: at its place, or at another one with its ticket or a connection's number.
    fn on_owner(
        &mut self,
        now: Instant,
        (slot, seal): (u32, Seal),
        from: FiveTuple,
        message: &Message<'_>,
    ) -> Result<(), StunWriteError> {
        match self.table.by_tuple(&from).first() {
            Some(_) => self.on_holder(now, (slot, seal), from, message),
            None if message.method() == CONNECTION_BIND => self.on_connection_bind(&seal, from, message),
            None => self.on_resume(now, (slot, seal), from, message),
        }
    }

    fn on_closed(&mut self, now: Instant, from: FiveTuple, message: &Message<'_>, closed: Closed) {
        let code = match closed {
            Closed::Incomplete => return self.refuse_unproven(now, from, message, &Refusal::BadRequest),
            Closed::NotOwner => return self.refuse_unproven(now, from, message, &Refusal::WrongCredentials),
            Closed::Unknown(user) if self.admit(now, from, message.as_bytes()) => {
                return self.ask(now, user, from, message.as_bytes());
            }
            Closed::Unknown(_) => return,
            Closed::Unauthenticated => 401,
            Closed::Wrong => {
                self.counters.unauthorized += 1;
                401
            }
            Closed::Stale => 438,
        };
        if self.admit(now, from, message.as_bytes()) {
            self.counters.challenges += 1;
            let nonce = self.gate.nonce(now, from.client);
            let message =
                answer::challenge(message.into(), code, (&self.gate.realm(message), &nonce), self.gate.third_party());
            self.send_unproven(now, from, message);
        }
    }

    /// An error for one who has proved nothing: limited, and without integrity.
    fn refuse_unproven(&mut self, now: Instant, from: FiveTuple, message: &Message<'_>, refusal: &Refusal) {
        if self.admit(now, from, message.as_bytes()) {
            self.counters.refused += 1;
            self.send_unproven(now, from, answer::refusal(message.into(), refusal, None));
        }
    }

    fn admit(&mut self, now: Instant, from: FiveTuple, heard: &[u8]) -> bool {
        // Nobody completes the handshake of a stream from a forged address.
        let heard = if from.transport == Transport::Udp { heard.len() } else { usize::MAX };
        let admitted = self.gate.admit(now, from.client, heard);
        self.counters.limited += u64::from(!admitted);
        admitted
    }

    /// To a source that has proved nothing.
    fn send_unproven(&mut self, now: Instant, to: FiveTuple, message: Result<Vec<u8>, StunWriteError>) {
        if let Ok(message) = &message {
            self.gate.charge(now, to.client, message.len());
        }
        self.send(to, message);
    }

    pub(super) fn send(&mut self, to: FiveTuple, message: Result<Vec<u8>, StunWriteError>) {
        match message {
            Ok(message) => self.outputs.push_back(Output::Send { to, message }),
            Err(error) => debug_assert!(false, "an answer could not be written: {error}"),
        }
    }

    /// Somebody with a valid credential on a five-tuple without allocation.
    fn on_stranger(
        &mut self,
        now: Instant,
        from: FiveTuple,
        (owner, seal): (Owner, Seal),
        message: &Message<'_>,
    ) -> Result<(), StunWriteError> {
        let refused = match message.method() {
            ALLOCATE => self.allocate(now, from, (owner, &seal), message).err(),
            // RFC 6062 §5.4: no such connection.
            CONNECTION_BIND => Some(Refusal::BadRequest),
            // RFC 8656 §7.3, §10.2, §12.2; RFC 6062 §5.2.
            _ => Some(Refusal::AllocationMismatch),
        };
        if let Some(refusal) = refused {
            self.counters.refused += 1;
            let message = answer::refusal(message.into(), &refusal, Some(&seal))?;
            self.outputs.push_back(Output::Send { to: from, message });
        }
        Ok(())
    }
}

/// RFC 8489 §6.3.1: what must be understood and is not.
pub(super) fn check_unknown(message: &Message<'_>) -> Result<(), Refusal> {
    let known: [AttributeType; 11] = [
        ACCESS_TOKEN,
        DontFragment::TYPE,
        ChannelNumber::TYPE,
        Lifetime::TYPE,
        XorPeerAddress::TYPE,
        EvenPort::TYPE,
        RequestedTransport::TYPE,
        RequestedAddressFamily::TYPE,
        ReservationToken::TYPE,
        XorRelayedAddress::TYPE,
        ConnectionId::TYPE,
    ];
    let unknown = binding::unknown_attributes(message, &known);
    if unknown.is_empty() { Ok(()) } else { Err(Refusal::UnknownAttributes(unknown)) }
}

/// LIFETIME, if there is one.
pub(super) fn parse_lifetime(message: &Message<'_>) -> Result<Option<Duration>, Refusal> {
    if !message.has_attribute(Lifetime::TYPE) {
        return Ok(None);
    }
    let lifetime = message.attribute::<Lifetime>().map_err(|_| Refusal::BadRequest)?;
    Ok(Some(Duration::from_secs(lifetime.seconds().into())))
}

/// RFC 8656 §7.2: at least the default, at most the server's maximum.
pub(super) fn clamp_lifetime(wanted: Option<Duration>, max: Duration) -> Duration {
    wanted.unwrap_or(DEFAULT_LIFETIME).max(DEFAULT_LIFETIME).min(max.max(DEFAULT_LIFETIME))
}

pub(super) fn transaction_bytes(transaction: TransactionId) -> [u8; 12] {
    let mut bytes = [0; 12];
    if let Some(low) = u128::from(transaction).to_be_bytes().last_chunk::<12>() {
        bytes.copy_from_slice(low);
    }
    bytes
}

pub(super) fn transaction_from(bytes: [u8; 12]) -> TransactionId {
    let mut whole = [0; 16];
    if let Some(low) = whole.last_chunk_mut::<12>() {
        *low = bytes;
    }
    u128::from_be_bytes(whole).into()
}
/// RFC 8656 §3.2.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);
