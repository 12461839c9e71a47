//! Mobility, RFC 8016: a client that has got another address goes on with its allocation by showing its ticket.
//!
//! ```text
//!   Allocate (empty MOBILITY-TICKET) ─► ticket
//!   Refresh (ticket) from elsewhere ──► `next` is set, another ticket; packets still go to the old five-tuple
//!   anything else from there ─────────► `next` becomes the five-tuple, the old one is forgotten
//! ```
//!
//! The new address may reach another shard: that one passes on what the client sends (`Forward::ToKeeper`), once the
//! keeper has said so (`Note::Guest`), and at first a Refresh with a ticket of the keeper's. Over UDP only: nobody but its
//! own shard can write to a stream, so a stream goes there as a whole (`Forward::HandOver`). An association of DTLS stays
//! where it is, and finds what is kept there only.

use std::time::Instant;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand_chacha::ChaCha8Rng;
use rand_core::RngCore;
use serde::{Deserialize, Serialize};
use stun_types::attribute::{AttributeType, AttributeWrite, RawAttribute};
use stun_types::message::{Message, StunWriteError};
use subtle::ConstantTimeEq;
use turn_types::attribute::Lifetime;
use turn_types::message::REFRESH;

use super::answer::{self, Refusal, Request, Seal};
use super::config::{FiveTuple, RelayId, Transport};
use super::data::Forward;
use super::notes::Note;
use super::table::Legs;
use super::{Output, Server};

/// What a mobile allocation remembers.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Mobility {
    /// The secret part of the ticket that is good at the moment.
    pub(super) secret: [u8; 10],
    /// Where the client has shown the ticket, but not yet said anything else: at most one place.
    pub(super) next: Option<FiveTuple>,
}

impl Mobility {
    pub(super) fn new(rng: &mut ChaCha8Rng) -> Self {
        let mut secret = [0; 10];
        rng.fill_bytes(&mut secret);
        Self { secret, next: None }
    }
}

/// MOBILITY-TICKET: shard, allocation, secret. Says nothing about the user, and is worth nothing without its key.
#[derive(Clone, Copy)]
pub(super) struct Ticket {
    shard: u16,
    relay: RelayId,
    secret: [u8; 10],
}

impl Ticket {
    fn parse(value: &[u8]) -> Option<Self> {
        let mut raw = [0; 20];
        if !matches!(STANDARD.decode_slice(value, &mut raw), Ok(20)) {
            return None;
        }
        let [h0, h1, s0, s1, s2, s3, g0, g1, g2, g3, secret @ ..] = raw;
        let relay =
            RelayId { slot: u32::from_be_bytes([s0, s1, s2, s3]), generation: u32::from_be_bytes([g0, g1, g2, g3]) };
        Some(Self { shard: u16::from_be_bytes([h0, h1]), relay, secret })
    }

    /// In letters: there are clients that take a ticket for a text and end it at the first zero (coturn's).
    fn write(self) -> String {
        let mut value = Vec::with_capacity(20);
        value.extend(self.shard.to_be_bytes());
        value.extend(self.relay.slot.to_be_bytes());
        value.extend(self.relay.generation.to_be_bytes());
        value.extend(self.secret);
        STANDARD.encode(value)
    }

    fn of(message: &Message<'_>) -> Option<Self> {
        (message.method() == REFRESH).then_some(())?;
        Self::parse(&message.raw_attribute(MOBILITY_TICKET)?.value)
    }
}

/// What an Allocate says about mobility, RFC 8016 §3.1.2: nothing, or that it wants a ticket.
pub(super) fn wants_ticket(message: &Message<'_>) -> Result<bool, Refusal> {
    match message.raw_attribute(MOBILITY_TICKET) {
        Some(raw) if raw.value.is_empty() => Ok(true),
        Some(_) => Err(Refusal::BadRequest),
        None => Ok(false),
    }
}

impl Server {
    /// The slot whose ticket this Refresh from elsewhere shows.
    pub(super) fn by_ticket(&self, message: &Message<'_>) -> Option<u32> {
        let ticket = Ticket::of(message).filter(|ticket| ticket.shard == self.settings.shard)?;
        let slot = self.table.by_id(ticket.relay)?;
        let mobility = self.table.get(slot).filter(|allocation| allocation.opening.is_none())?.mobility?;
        bool::from(mobility.secret.ct_eq(&ticket.secret)).then_some(slot)
    }

    /// The attribute for an answer, if the allocation is mobile.
    pub(super) fn ticket(&self, slot: u32) -> Option<RawAttribute<'static>> {
        let relay = self.table.id_of(slot)?;
        let secret = self.table.get(slot)?.mobility?.secret;
        let value = Ticket { shard: self.settings.shard, relay, secret }.write();
        Some(RawAttribute::new(MOBILITY_TICKET, value.as_bytes()).into_owned())
    }

    /// The owner shows its ticket from another place, RFC 8016 §3.2.2.
    pub(super) fn on_resume(
        &mut self,
        now: Instant,
        (slot, seal): (u32, Seal),
        from: FiveTuple,
        message: &Message<'_>,
    ) -> Result<(), StunWriteError> {
        let Some(tuple) = self.table.get(slot).map(|allocation| allocation.tuple) else { return Ok(()) };
        let request = Request::from(message);
        let legs = self.table.by_tuple(&tuple);
        let outcome = self.refresh(now, legs, message);
        // A lifetime of zero has ended it.
        let ticket = self.table.get(slot).is_some().then(|| self.expect(legs, from)).and_then(|()| self.ticket(slot));
        let message = match outcome {
            Ok(lifetime) => success(request, lifetime, ticket.as_ref(), &seal)?,
            Err(refusal) => answer::refusal(request, &refusal, Some(&seal))?,
        };
        self.outputs.push_back(Output::Send { to: from, message });
        Ok(())
    }

    /// The client is awaited at another place; whoever was awaited elsewhere no longer is.
    fn expect(&mut self, legs: Legs, from: FiveTuple) {
        let fresh = Mobility::new(&mut self.rng);
        for slot in legs.iter() {
            if let Some(former) = self.table.expect(slot, Mobility { next: Some(from), ..fresh }) {
                self.on_left(former);
            }
        }
    }

    /// Something has come from `from`, which may be where the client is awaited: it has moved.
    pub(super) fn on_heard(&mut self, legs: Legs, from: FiveTuple) {
        let Some(former) = legs.first().and_then(|slot| self.table.get(slot)).map(|allocation| allocation.tuple) else {
            return;
        };
        if former != from {
            self.counters.moved += 1;
            self.table.move_to(legs, from);
            legs.iter().for_each(|slot| self.offload_elsewhere(slot));
            self.outputs.push_back(Output::Moved { from: former, to: from });
            self.on_left(former);
        }
    }

    /// A stream has ended. `true`: its client may come back, or is awaited elsewhere already.
    pub(super) fn survives(&mut self, legs: Legs, ended: FiveTuple) -> bool {
        let Some(allocation) = legs.first().and_then(|slot| self.table.get(slot)) else { return false };
        let (Some(mobility), tuple) = (allocation.mobility, allocation.tuple) else { return false };
        match mobility.next {
            Some(next) if tuple == ended => self.on_heard(legs, next),
            Some(next) if next == ended => legs.iter().for_each(|slot| self.table.expect_no_more(slot)),
            _ => {}
        }
        true
    }

    /// A five-tuple means nothing any more: the shard that passes it on need not.
    pub(super) fn on_left(&mut self, tuple: FiveTuple) {
        if self.table.by_tuple(&tuple).first().is_none()
            && let Some(shard) = self.guests.hosts.remove(&tuple)
        {
            self.outputs.push_back(Output::Tell { shard, note: Note::GuestGone { tuple } });
        }
    }

    /// Where to pass on what a client without allocation here sends. `None`: nowhere, it is ours to answer.
    pub(super) fn keeper(&self, from: FiveTuple, bytes: &[u8]) -> Option<u16> {
        if from.transport != Transport::Udp || self.settings.shards < 2 {
            return None;
        }
        if let Some(shard) = self.guests.keepers.get(&from) {
            return Some(*shard);
        }
        // A Refresh with another shard's ticket, from a place nobody knows.
        if bytes.first_chunk() != Some(&REFRESH_REQUEST) || self.table.by_tuple(&from).first().is_some() {
            return None;
        }
        shard_of_ticket(bytes).filter(|&shard| shard != self.settings.shard && shard < self.settings.shards)
    }

    /// What a client sends to another shard and concerns an allocation of this one.
    pub fn handle_guest<'p>(&mut self, now: Instant, host: u16, from: FiveTuple, bytes: &'p [u8]) -> Forward<'p> {
        let forward = self.handle_own(now, from, bytes);
        let is_ours = self.table.by_tuple(&from).first().is_some();
        if is_ours && self.guests.hosts.insert(from, host).is_none() {
            let note = Note::Guest { tuple: from, keeper: self.settings.shard };
            self.outputs.push_back(Output::Tell { shard: host, note });
        }
        forward
    }
}

/// The shard whose ticket this request shows, whether it is a good one or not.
pub(super) fn shard_of_ticket(bytes: &[u8]) -> Option<u16> {
    Ticket::of(&Message::from_bytes(bytes).ok()?).map(|ticket| ticket.shard)
}

/// The success response of a Refresh.
pub(super) fn success(
    request: Request,
    lifetime: Lifetime,
    ticket: Option<&RawAttribute<'static>>,
    seal: &Seal,
) -> Result<Vec<u8>, StunWriteError> {
    let mut attributes: Vec<&dyn AttributeWrite> = vec![&lifetime];
    attributes.extend(ticket.map(|ticket| ticket as &dyn AttributeWrite));
    answer::success(request, &attributes, Some(seal))
}

/// RFC 8016 §3.4.
pub(super) const MOBILITY_TICKET: AttributeType = AttributeType::new(0x8030);
pub(super) const REFRESH_REQUEST: [u8; 2] = [0x00, 0x04];
