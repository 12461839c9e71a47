//! Requests: Binding at once, the others through the gate; Allocate (RFC 8656 §7.2) and its relay socket.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use stun_types::attribute::{AttributeStaticType, AttributeType, XorMappedAddress};
use stun_types::message::{BINDING, Message, MessageClass, StunWriteError, TransactionId};
use turn_types::AddressFamily;
use turn_types::attribute::{
    ChannelNumber, EvenPort, Lifetime, RequestedAddressFamily, RequestedTransport, ReservationToken, XorPeerAddress,
    XorRelayedAddress,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH};

use super::allocation::{Allocation, Channels, Opening, Owner, Permissions};
use super::answer::{self, Refusal, Request};
use super::authenticate::{Authentic, Closed};
use super::config::{FiveTuple, RelayId};
use super::limiter::{Bucket, Rate};
use super::ports::Parity;
use super::{OpenRefused, Output, Server};
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
            ALLOCATE | REFRESH | CREATE_PERMISSION | CHANNEL_BIND => self.on_request(now, from, &message),
            _ => self.refuse_unproven(now, from, &message, &Refusal::BadRequest),
        }
    }

    fn on_binding(&mut self, now: Instant, from: FiveTuple, message: &Message<'_>) {
        if self.admit(now, from) {
            self.counters.bindings += 1;
            self.send(from, binding::answer(message, from.client));
        }
    }

    pub(super) fn on_classic_binding(&mut self, now: Instant, from: FiveTuple, stun: Stun<'_>) {
        if self.admit(now, from)
            && let Some(message) = binding::classic_answer(stun, from.client)
        {
            self.counters.bindings += 1;
            self.outputs.push_back(Output::Send { to: from, message });
        }
    }

    fn on_request(&mut self, now: Instant, from: FiveTuple, message: &Message<'_>) {
        let slot = self.table.by_tuple(&from);
        let holder = slot.and_then(|slot| self.table.get(slot)).map(|allocation| &allocation.owner);
        let outcome = match self.gate.check(now, from.client, message, holder) {
            Err(closed) => return self.on_closed(now, from, message, closed),
            Ok(Authentic::Holder) => slot.map(|slot| self.on_holder(now, slot, message)),
            Ok(Authentic::Stranger(owner)) => Some(self.on_stranger(now, from, owner, message)),
        };
        if let Some(Err(error)) = outcome {
            // Only an answer that does not fit a STUN message, which no request can bring about.
            debug_assert!(false, "an answer could not be written: {error}");
        }
    }

    fn on_closed(&mut self, now: Instant, from: FiveTuple, message: &Message<'_>, closed: Closed) {
        let code = match closed {
            Closed::Incomplete => return self.refuse_unproven(now, from, message, &Refusal::BadRequest),
            Closed::NotOwner => return self.refuse_unproven(now, from, message, &Refusal::WrongCredentials),
            Closed::Unauthenticated => 401,
            Closed::Wrong => {
                self.counters.unauthorized += 1;
                401
            }
            Closed::Stale => 438,
        };
        if self.admit(now, from) {
            self.counters.challenges += 1;
            let nonce = self.gate.nonce(now, from.client);
            let message = answer::challenge(message.into(), code, self.gate.realm(), &nonce);
            self.send(from, message);
        }
    }

    /// An error for one who has proved nothing: limited, and without integrity.
    fn refuse_unproven(&mut self, now: Instant, from: FiveTuple, message: &Message<'_>, refusal: &Refusal) {
        if self.admit(now, from) {
            self.counters.refused += 1;
            self.send(from, answer::refusal(message.into(), refusal, None));
        }
    }

    fn admit(&mut self, now: Instant, from: FiveTuple) -> bool {
        let admitted = self.gate.admit(now, from.client);
        self.counters.limited += u64::from(!admitted);
        admitted
    }

    fn send(&mut self, to: FiveTuple, message: Result<Vec<u8>, StunWriteError>) {
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
        owner: Owner,
        message: &Message<'_>,
    ) -> Result<(), StunWriteError> {
        let key = owner.key.clone();
        let refused = match message.method() {
            ALLOCATE => self.allocate(now, from, owner, message).err(),
            // RFC 8656 §7.3, §10.2, §12.2.
            _ => Some(Refusal::AllocationMismatch),
        };
        if let Some(refusal) = refused {
            self.counters.refused += 1;
            let message = answer::refusal(message.into(), &refusal, Some(&key))?;
            self.outputs.push_back(Output::Send { to: from, message });
        }
        Ok(())
    }

    /// RFC 8656 §7.2, the steps that follow authentication.
    fn allocate(&mut self, now: Instant, from: FiveTuple, owner: Owner, message: &Message<'_>) -> Result<(), Refusal> {
        let wanted = parse_allocate(message, from.server)?;
        let limits = self.settings.limits;
        if self.table.len() >= limits.allocations {
            return Err(Refusal::InsufficientCapacity);
        }
        if self.table.count_of_user(&owner.user) >= limits.allocations_per_user {
            return Err(Refusal::AllocationQuotaReached);
        }
        let ip = self.relay_address(from.server.ip(), wanted.family).ok_or(Refusal::AddressFamilyNotSupported)?;
        let bound = self.ports.take(&mut self.rng, ip, wanted.parity).ok_or(Refusal::InsufficientCapacity)?;
        self.peers.add_own(ip);
        let request = Request::from(message);
        let lifetime = clamp_lifetime(wanted.lifetime, limits.max_lifetime);
        let user = owner.user.clone();
        let rate = Rate { per_second: limits.bytes_per_second, burst: limits.burst_bytes };
        let relay = self.table.insert(Allocation {
            generation: 0,
            tuple: from,
            owner,
            bound,
            relayed: bound,
            expires: now + lifetime,
            opening: Some(Opening { lifetime, parity: wanted.parity, fingerprint: request.fingerprint, tries: 1 }),
            transaction: transaction_bytes(request.transaction),
            bucket: Bucket::full(now, rate),
            permissions: Permissions::default(),
            channels: Channels::default(),
        });
        let relay = relay.ok_or(Refusal::InsufficientCapacity)?;
        self.outputs.push_back(Output::Open { relay, at: bound, user, client: from });
        Ok(())
    }

    /// The local address to relay from: the one the client reached, or our first one of the family it asks for.
    fn relay_address(&self, reached: IpAddr, family: AddressFamily) -> Option<IpAddr> {
        let fits = |ip: &IpAddr| ip.is_ipv4() == (family == AddressFamily::IPV4);
        let usable = |ip: &IpAddr| fits(ip) && !ip.is_loopback() && !is_link_local(*ip);
        Some(reached).filter(fits).or_else(|| {
            let own = || self.settings.addresses.own.iter().copied();
            // A client on loopback finds peers on loopback.
            own().find(|ip| fits(ip) && ip.is_loopback() && reached.is_loopback()).or_else(|| own().find(usable))
        })
    }

    /// The shell has opened a relay socket, or could not.
    pub fn handle_opened(&mut self, now: Instant, relay: RelayId, result: Result<(), OpenRefused>) {
        let Some(slot) = self.table.by_id(relay) else { return };
        match result {
            Ok(()) => self.on_opened(now, slot),
            Err(OpenRefused::Taken) => self.retry_open(slot, relay),
            Err(OpenRefused::Quota) => self.on_not_opened(slot, &Refusal::AllocationQuotaReached),
            Err(OpenRefused::Exhausted) => self.on_not_opened(slot, &Refusal::InsufficientCapacity),
        }
    }

    fn on_opened(&mut self, now: Instant, slot: u32) {
        let addresses = self.settings.addresses.clone();
        let Some(allocation) = self.table.get_mut(slot) else { return };
        let Some(opening) = allocation.opening.take() else { return };
        allocation.relayed = advertised(allocation.bound, addresses.external_v4, addresses.external_v6);
        self.counters.allocated += 1;
        self.table.publish(slot);
        self.table.set_expiry(slot, now + opening.lifetime);
        self.send_allocated(now, slot, opening.fingerprint);
    }

    /// The success response of an Allocate, the first time and to its retransmissions.
    pub(super) fn send_allocated(&mut self, now: Instant, slot: u32, fingerprint: bool) {
        let Some(allocation) = self.table.get(slot) else { return };
        let transaction = transaction_from(allocation.transaction);
        let left = allocation.expires.saturating_duration_since(now).as_secs();
        let relayed = XorRelayedAddress::new(allocation.relayed, transaction);
        let lifetime = Lifetime::new(u32::try_from(left).unwrap_or(u32::MAX));
        let mapped = XorMappedAddress::new(allocation.tuple.client, transaction);
        let request = Request { method: ALLOCATE, transaction, fingerprint };
        let message = answer::success(request, &[&relayed, &lifetime, &mapped], Some(&allocation.owner.key));
        self.send(allocation.tuple, message);
    }

    /// The port belongs to another process: try the next one, a few times.
    fn retry_open(&mut self, slot: u32, relay: RelayId) {
        let Some(allocation) = self.table.get_mut(slot) else { return };
        let Some(opening) = &mut allocation.opening else { return };
        opening.tries += 1;
        let (tries, taken) = (opening.tries, allocation.bound);
        let next = self.ports.take(&mut self.rng, taken.ip(), opening.parity);
        match next {
            Some(at) if tries <= MAX_TRIES => {
                self.ports.release(taken);
                allocation.bound = at;
                allocation.relayed = at;
                let (user, client) = (allocation.owner.user.clone(), allocation.tuple);
                self.outputs.push_back(Output::Open { relay, at, user, client });
            }
            next => {
                if let Some(unused) = next {
                    self.ports.release(unused);
                }
                self.on_not_opened(slot, &Refusal::InsufficientCapacity);
            }
        }
    }

    fn on_not_opened(&mut self, slot: u32, refusal: &Refusal) {
        let Some((_, allocation)) = self.table.remove(slot) else { return };
        self.ports.release(allocation.bound);
        let fingerprint = allocation.opening.is_some_and(|opening| opening.fingerprint);
        let transaction = transaction_from(allocation.transaction);
        let request = Request { method: ALLOCATE, transaction, fingerprint };
        self.counters.refused += 1;
        self.send(allocation.tuple, answer::refusal(request, refusal, Some(&allocation.owner.key)));
    }
}

/// What an Allocate asks for.
struct Wanted {
    family: AddressFamily,
    lifetime: Option<Duration>,
    parity: Parity,
}

fn parse_allocate(message: &Message<'_>, server: SocketAddr) -> Result<Wanted, Refusal> {
    check_unknown(message)?;
    if !message.has_attribute(RequestedTransport::TYPE) {
        return Err(Refusal::BadRequest);
    }
    let transport = message.attribute::<RequestedTransport>().map_err(|_| Refusal::BadRequest)?;
    if transport.protocol() != RequestedTransport::UDP {
        return Err(Refusal::UnsupportedTransport);
    }
    let default = if server.is_ipv4() { AddressFamily::IPV4 } else { AddressFamily::IPV6 };
    // Deviation: without REQUESTED-ADDRESS-FAMILY the family the client uses, where RFC 8656 §7.2 says IPv4; a host
    // that is reached by IPv6 only has no other.
    let family = match message.has_attribute(RequestedAddressFamily::TYPE) {
        true => message.attribute::<RequestedAddressFamily>().map_err(|_| Refusal::AddressFamilyNotSupported)?.family(),
        false => default,
    };
    if message.has_attribute(ReservationToken::TYPE) {
        // RFC 8656 §7.2: with EVEN-PORT it is a contradiction, alone it names no reservation of ours.
        let contradiction = message.has_attribute(EvenPort::TYPE);
        return Err(if contradiction { Refusal::BadRequest } else { Refusal::InsufficientCapacity });
    }
    let parity = match message.has_attribute(EvenPort::TYPE) {
        true if message.attribute::<EvenPort>().map_err(|_| Refusal::BadRequest)?.requested() => {
            return Err(Refusal::InsufficientCapacity);
        }
        true => Parity::Even,
        false => Parity::Any,
    };
    Ok(Wanted { family, lifetime: parse_lifetime(message)?, parity })
}

/// RFC 8489 §6.3.1: what must be understood and is not.
pub(super) fn check_unknown(message: &Message<'_>) -> Result<(), Refusal> {
    let known: [AttributeType; 8] = [
        ChannelNumber::TYPE,
        Lifetime::TYPE,
        XorPeerAddress::TYPE,
        EvenPort::TYPE,
        RequestedTransport::TYPE,
        RequestedAddressFamily::TYPE,
        ReservationToken::TYPE,
        XorRelayedAddress::TYPE,
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

/// The address clients are told: the one outside the NAT, except on loopback.
fn advertised(
    bound: SocketAddr,
    external_v4: Option<std::net::Ipv4Addr>,
    external_v6: Option<std::net::Ipv6Addr>,
) -> SocketAddr {
    let external = match bound.ip() {
        ip if ip.is_loopback() => None,
        IpAddr::V4(_) => external_v4.map(IpAddr::V4),
        IpAddr::V6(_) => external_v6.map(IpAddr::V6),
    };
    SocketAddr::new(external.unwrap_or(bound.ip()), bound.port())
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

pub(super) fn transaction_bytes(transaction: TransactionId) -> [u8; 12] {
    let mut bytes = [0; 12];
    if let Some(low) = u128::from(transaction).to_be_bytes().last_chunk::<12>() {
        bytes.copy_from_slice(low);
    }
    bytes
}

fn transaction_from(bytes: [u8; 12]) -> TransactionId {
    let mut whole = [0; 16];
    if let Some(low) = whole.last_chunk_mut::<12>() {
        *low = bytes;
    }
    u128::from_be_bytes(whole).into()
}

/// RFC 8656 §3.2.
const DEFAULT_LIFETIME: Duration = Duration::from_secs(600);
/// Ports tried for one Allocate when others have taken them.
const MAX_TRIES: u8 = 8;
