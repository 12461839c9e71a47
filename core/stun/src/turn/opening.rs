//! An Allocate on its way: relay sockets are being opened, one or one of each family; then it is answered (RFC 8656 §7.2).
//!
//! ```text
//!   Allocate ─► Output::Open ─► handle_opened ──all open──► success, with ADDRESS-ERROR-CODE for a family that failed
//!                    ▲              │ port taken: next one        └─all failed─► error
//!                    └──────────────┘
//! ```

use std::net::SocketAddr;
use std::time::Instant;

use stun_types::attribute::{AttributeWrite, ErrorCode, RawAttribute, XorMappedAddress};
use stun_types::message::StunWriteError;
use turn_types::AddressFamily;
use turn_types::attribute::{AddressErrorCode, Lifetime, ReservationToken, XorRelayedAddress};
use turn_types::message::ALLOCATE;

use super::allocation::Allocation;
use super::answer::{self, Refusal, Request, Style};
use super::config::RelayId;
use super::limits::Limit;
use super::ports::Parity;
use super::request::transaction_from;
use super::reservations::Token;
use super::{OpenRefused, Output, Server, limits, usage};

impl Server {
    /// The shell has opened a relay socket, or could not.
    pub fn handle_opened(&mut self, now: Instant, relay: RelayId, result: Result<(), OpenRefused>) {
        let Some(slot) = self.table.by_id(relay) else { return };
        match result {
            Ok(()) => self.on_opened(now, slot),
            Err(OpenRefused::Taken) => self.retry_open(now, slot, relay),
            Err(OpenRefused::Quota) => {
                self.counters.met.count(Limit::Quota);
                self.on_not_opened(now, slot, &Refusal::AllocationQuotaReached);
            }
            Err(OpenRefused::Exhausted) => self.on_not_opened(now, slot, &Refusal::InsufficientCapacity),
        }
    }

    fn on_opened(&mut self, now: Instant, slot: u32) {
        let Some(bound) = self.table.get(slot).map(|allocation| allocation.bound) else { return };
        let relayed = self.advertised(bound);
        let Some(allocation) = self.table.get_mut(slot) else { return };
        let Some(opening) = allocation.opening.take() else { return };
        allocation.relayed = relayed;
        usage::begin(&mut self.ledger, &allocation.owner, &mut allocation.meter, now);
        let user = allocation.owner.user.clone();
        self.counters.allocated += 1;
        self.table.publish(slot);
        self.table.set_expiry(slot, now + opening.lifetime);
        if opening.parity == Parity::Pair {
            let token = Token::new(self.settings.shard, &mut self.rng);
            let other = SocketAddr::new(bound.ip(), bound.port() | 1);
            if let Some(former) = self.reservations.keep(now, token, other, &user) {
                self.give_back(former);
            }
            if let Some(allocation) = self.table.get_mut(slot) {
                allocation.granted.reserved = Some(token);
            }
        }
        self.answer_allocate(now, slot, &opening.style);
    }

    /// The success response of an Allocate, the first time and to its retransmissions; not before all is open.
    pub(super) fn answer_allocate(&mut self, now: Instant, slot: u32, style: &Style) {
        let Some(tuple) = self.table.get(slot).map(|allocation| allocation.tuple) else { return };
        let ticket = self.ticket(slot);
        let legs = self.table.by_tuple(&tuple);
        let mut legs = legs.iter().filter_map(|slot| self.table.get(slot));
        let (Some(first), second) = (legs.next(), legs.next()) else { return };
        if first.opening.is_none() && second.is_none_or(|second| second.opening.is_none()) {
            let message = allocated(now, (first, second), ticket.as_ref(), style);
            self.send(tuple, message);
        }
    }

    /// The port belongs to another process: try the next one, a few times.
    fn retry_open(&mut self, now: Instant, slot: u32, relay: RelayId) {
        let Some(allocation) = self.table.get_mut(slot) else { return };
        let Some(opening) = &mut allocation.opening else { return };
        opening.tries += 1;
        let (parity, taken) = (opening.parity, allocation.bound);
        let tried = opening.tries > MAX_TRIES;
        let next = if tried { None } else { self.ports.take(&mut self.rng, taken.ip(), parity) };
        let Some(at) = next else { return self.on_not_opened(now, slot, &Refusal::InsufficientCapacity) };
        allocation.bound = at;
        allocation.relayed = at;
        let (whose, client, protocol) = (allocation.owner.whose(), allocation.tuple, allocation.granted.protocol);
        let advertised = self.advertised(at);
        self.outputs.push_back(Output::Open { relay, at, advertised, protocol, whose, client });
        self.give_back_opening(taken, parity);
    }

    fn on_not_opened(&mut self, now: Instant, slot: u32, refusal: &Refusal) {
        let sibling = self.table.sibling(slot);
        let Some((_, mut allocation)) = self.table.remove(slot) else { return };
        limits::leave(&mut self.pools, &mut allocation.meters);
        let Some(opening) = allocation.opening else { return };
        self.give_back_opening(allocation.bound, opening.parity);
        if let Some((slot, sibling)) = sibling.and_then(|slot| Some((slot, self.table.get_mut(slot)?))) {
            sibling.granted.lacks = Some(refusal.code());
            return self.answer_allocate(now, slot, &opening.style);
        }
        let transaction = transaction_from(allocation.granted.transaction);
        let request = Request { method: ALLOCATE, transaction, fingerprint: opening.style.fingerprint };
        self.counters.refused += 1;
        self.send(allocation.tuple, answer::refusal(request, refusal, Some(&opening.style.seal)));
    }

    /// The port of a socket that was never opened, and the one beside it that would have been kept.
    fn give_back_opening(&mut self, bound: SocketAddr, parity: Parity) {
        self.give_back(bound);
        if parity == Parity::Pair {
            self.give_back(SocketAddr::new(bound.ip(), bound.port() | 1));
        }
    }

    /// The address clients are told.
    pub(super) fn advertised(&self, bound: SocketAddr) -> SocketAddr {
        self.settings.addresses.external.of(bound)
    }
}

fn allocated(
    now: Instant,
    (allocation, sibling): (&Allocation, Option<&Allocation>),
    ticket: Option<&RawAttribute<'static>>,
    style: &Style,
) -> Result<Vec<u8>, StunWriteError> {
    let granted = allocation.granted;
    let transaction = transaction_from(granted.transaction);
    let left = allocation.expires.saturating_duration_since(now).as_secs();
    let relayed = XorRelayedAddress::new(allocation.relayed, transaction);
    let other = sibling.map(|sibling| XorRelayedAddress::new(sibling.relayed, transaction));
    let lifetime = Lifetime::new(u32::try_from(left).unwrap_or(u32::MAX));
    let mapped = XorMappedAddress::new(allocation.tuple.client, transaction);
    let token = granted.reserved.map(|token| ReservationToken::new(token.bits()));
    let lacks = granted.lacks.filter(|_| sibling.is_none()).map(|code| address_error(allocation, code)).transpose()?;
    let mut attributes: Vec<&dyn AttributeWrite> = vec![&relayed];
    attributes.extend(other.as_ref().map(|other| other as &dyn AttributeWrite));
    attributes.extend([&lifetime as &dyn AttributeWrite, &mapped]);
    attributes.extend(token.as_ref().map(|token| token as &dyn AttributeWrite));
    attributes.extend(ticket.map(|ticket| ticket as &dyn AttributeWrite));
    attributes.extend(lacks.as_ref().map(|lacks| lacks as &dyn AttributeWrite));
    let request = Request { method: ALLOCATE, transaction, fingerprint: style.fingerprint };
    answer::success(request, &attributes, Some(&style.seal))
}

/// RFC 8656 §18.12, for the family that `allocation` has not.
fn address_error(allocation: &Allocation, code: u16) -> Result<AddressErrorCode, StunWriteError> {
    let family = if allocation.bound.is_ipv4() { AddressFamily::IPV6 } else { AddressFamily::IPV4 };
    Ok(AddressErrorCode::new(family, ErrorCode::builder(code).reason("").build()?))
}

/// Ports tried for one Allocate when others have taken them.
const MAX_TRIES: u8 = 8;
