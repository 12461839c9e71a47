//! Allocate, RFC 8656 §7.2: what it asks for, where it would be relayed from, and the relay socket it then waits for.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use rand_core::RngCore;
use smallvec::{SmallVec, smallvec};
use stun_types::attribute::{AttributeStaticType, AttributeType};
use stun_types::message::Message;
use turn_types::AddressFamily;
use turn_types::attribute::{
    AdditionalAddressFamily, DontFragment, EvenPort, RequestedAddressFamily, RequestedTransport, ReservationToken,
};

use super::allocation::{Allocation, Channels, Granted, Opening, Owner, Permissions};
use super::answer::{Refusal, Request, Seal, Style};
use super::config::{FiveTuple, Protocol};
use super::data::byte_rate;
use super::limiter::Bucket;
use super::limits::{Limit, Meters};
use super::mobility::{Mobility, wants_ticket};
use super::notes::Note;
use super::parked::Parking;
use super::ports::Parity;
use super::request::{check_unknown, clamp_lifetime, parse_lifetime, transaction_bytes};
use super::reservations::Token;
use super::usage::Meter;
use super::{Output, Server};

impl Server {
    /// RFC 8656 §7.2, the steps that follow authentication.
    pub(super) fn allocate(
        &mut self,
        now: Instant,
        from: FiveTuple,
        (owner, seal): (Owner, &Seal),
        message: &Message<'_>,
    ) -> Result<(), Refusal> {
        let mut wanted = parse_allocate(message, from)?;
        // RFC 6062 §5.5: a TCP allocation ends with the client's connection, so it cannot move.
        let may_move = wants_ticket(message)? && wanted.protocol == Protocol::Udp;
        let mobility = may_move.then(|| Mobility::new(&mut self.rng));
        let limits = self.settings.limits;
        let mut used = self.table.count_of_user(&owner.user);
        if wanted.token.is_none() {
            // A port that is kept has been counted when it was.
            used += self.reservations.count_of_user(&owner.user);
        }
        if self.table.len() >= limits.allocations {
            self.counters.met.count(Limit::Allocations);
            return Err(self.alternate(from).map_or(Refusal::InsufficientCapacity, Refusal::TryAlternate));
        }
        let free = limits.allocations_per_user.saturating_sub(used);
        if free == 0 {
            self.counters.met.count(Limit::Quota);
            return Err(Refusal::AllocationQuotaReached);
        }
        let one_only = free == 1 && wanted.additional.take().is_some();
        let Some(places) = self.places(now, from, &owner, (&wanted, message))? else { return Ok(()) };
        let lacks = places.lacks.or(one_only.then_some(Refusal::InsufficientCapacity));
        let opening = Opening {
            lifetime: self.gate.at_most(now, &owner, clamp_lifetime(wanted.lifetime, limits.max_lifetime)),
            parity: wanted.parity,
            style: Style { fingerprint: Request::from(message).fingerprint, seal: seal.clone() },
            tries: 1,
        };
        let granted = Granted {
            transaction: transaction_bytes(message.transaction_id()),
            protocol: wanted.protocol,
            reserved: None,
            lacks: lacks.as_ref().map(Refusal::code),
        };
        for bound in places.bound {
            self.open_leg(now, (from, owner.clone()), bound, (opening.clone(), granted, mobility))?;
        }
        Ok(())
    }

    /// RFC 8489 §10: another relay of the family the client uses, any of them.
    fn alternate(&mut self, from: FiveTuple) -> Option<SocketAddr> {
        let start = usize::from(self.rng.next_u32().to_be_bytes()[0]);
        let fitting = || {
            let all = self.settings.addresses.alternates.iter();
            all.copied().filter(|at| at.is_ipv4() == from.client.is_ipv4())
        };
        fitting().cycle().nth(start % fitting().count().max(1))
    }

    /// The addresses to relay from. `None`: another shard has been asked for a kept port.
    fn places(
        &mut self,
        now: Instant,
        from: FiveTuple,
        owner: &Owner,
        (wanted, message): (&Wanted, &Message<'_>),
    ) -> Result<Option<Places>, Refusal> {
        if let Some(token) = wanted.token {
            let kept = self.claim(now, from, owner, (token, message))?;
            return Ok(kept.map(|at| Places { bound: smallvec![at], lacks: None }));
        }
        let reached = from.server.ip();
        let first = self.place(reached, wanted.family, wanted.parity);
        let Some(additional) = wanted.additional else {
            return first.map(|at| Some(Places { bound: smallvec![at], lacks: None }));
        };
        match (first, self.place(reached, additional, wanted.parity)) {
            (Ok(first), Ok(second)) => Ok(Some(Places { bound: smallvec![first, second], lacks: None })),
            (Ok(at), Err(why)) | (Err(why), Ok(at)) => Ok(Some(Places { bound: smallvec![at], lacks: Some(why) })),
            (Err(why), Err(_)) => Err(why),
        }
    }

    fn place(&mut self, reached: IpAddr, family: AddressFamily, parity: Parity) -> Result<SocketAddr, Refusal> {
        let candidates = self.relay_addresses(reached, family);
        if candidates.is_empty() {
            return Err(Refusal::AddressFamilyNotSupported);
        }
        let Self { ports, rng, .. } = self;
        candidates.into_iter().find_map(|ip| ports.take(rng, ip, parity)).ok_or(Refusal::InsufficientCapacity)
    }

    /// RESERVATION-TOKEN: the port that is kept here, or a question to the shard that keeps it.
    fn claim(
        &mut self,
        now: Instant,
        from: FiveTuple,
        owner: &Owner,
        (token, message): (Token, &Message<'_>),
    ) -> Result<Option<SocketAddr>, Refusal> {
        let keeper = token.shard();
        match self.reservations.claim(token, &owner.user) {
            Some(at) => Ok(Some(at)),
            None if keeper == self.settings.shard || !self.ports.has_shard(keeper) => {
                Err(Refusal::InsufficientCapacity)
            }
            None => {
                if self.claims.park(now, token, from, message.as_bytes()) == Parking::Ask {
                    let note = Note::Claim { token, user: owner.user.clone(), shard: self.settings.shard };
                    self.outputs.push_back(Output::Tell { shard: keeper, note });
                }
                Ok(None)
            }
        }
    }

    /// One relayed address in the making.
    fn open_leg(
        &mut self,
        now: Instant,
        (from, owner): (FiveTuple, Owner),
        bound: SocketAddr,
        (opening, granted, mobility): (Opening, Granted, Option<Mobility>),
    ) -> Result<(), Refusal> {
        self.peers.add_own(bound.ip());
        let bytes_per_second = self.gate.realms().bytes_per_second(&owner.realm);
        let rate = byte_rate(&self.settings.limits, bytes_per_second);
        let (whose, protocol, advertised) = (owner.whose(), granted.protocol, self.advertised(bound));
        let relay = self.table.insert(Allocation {
            generation: 0,
            tuple: from,
            owner,
            bound,
            relayed: bound,
            expires: now + opening.lifetime,
            opening: Some(opening),
            granted,
            mobility,
            bucket: Bucket::full(now, rate),
            bytes_per_second,
            meter: Meter::new(now),
            offloaded: false,
            meters: Meters::new(now, &self.settings.limits),
            permissions: Permissions::default(),
            channels: Channels::default(),
        });
        let relay = relay.ok_or(Refusal::InsufficientCapacity)?;
        self.join_groups(now, relay.slot);
        self.outputs.push_back(Output::Open { relay, at: bound, advertised, protocol, whose, client: from });
        Ok(())
    }

    /// The local addresses to relay from, the best first: of those the operator names any, beginning with the one that the
    /// client has reached; else that one, or our first one of the family it asks for.
    fn relay_addresses(&mut self, reached: IpAddr, family: AddressFamily) -> SmallVec<[IpAddr; 2]> {
        let fits = |ip: &IpAddr| ip.is_ipv4() == (family == AddressFamily::IPV4);
        let addresses = &self.settings.addresses;
        let mut named: SmallVec<[IpAddr; 2]> = addresses.relay.iter().copied().filter(fits).collect();
        if let Some(last) = named.len().checked_sub(1) {
            // Clients spread over them.
            named.rotate_left(usize::from(self.rng.next_u32().to_be_bytes()[0]) % (last + 1));
            named.sort_by_key(|&ip| ip != reached);
            return named;
        }
        let usable = |ip: &IpAddr| fits(ip) && !ip.is_loopback() && !is_link_local(*ip);
        let ours = Some(reached).filter(fits).or_else(|| {
            let own = || addresses.own.iter().copied();
            // A client on loopback finds peers on loopback.
            own().find(|ip| fits(ip) && ip.is_loopback() && reached.is_loopback()).or_else(|| own().find(usable))
        });
        ours.into_iter().collect()
    }
}

/// Where an Allocate is to be relayed from.
struct Places {
    bound: SmallVec<[SocketAddr; 2]>,
    /// Why there is but one although two were asked for.
    lacks: Option<Refusal>,
}

/// What an Allocate asks for.
struct Wanted {
    protocol: Protocol,
    family: AddressFamily,
    /// Dual allocation.
    additional: Option<AddressFamily>,
    lifetime: Option<Duration>,
    parity: Parity,
    token: Option<Token>,
}

/// RFC 8656 §7.2, steps 3 to 9: what the request says, and what contradicts itself.
fn parse_allocate(message: &Message<'_>, from: FiveTuple) -> Result<Wanted, Refusal> {
    check_unknown(message)?;
    if !message.has_attribute(RequestedTransport::TYPE) {
        return Err(Refusal::BadRequest);
    }
    let transport = message.attribute::<RequestedTransport>().map_err(|_| Refusal::BadRequest)?;
    let protocol = match transport.protocol() {
        RequestedTransport::UDP => Protocol::Udp,
        RequestedTransport::TCP => Protocol::Tcp,
        _ => return Err(Refusal::UnsupportedTransport),
    };
    // RFC 6062 §5.1.
    let of_datagrams = [EvenPort::TYPE, ReservationToken::TYPE, DontFragment::TYPE];
    let contradicts = !from.transport.is_stream() || of_datagrams.iter().any(|&kind| message.has_attribute(kind));
    if protocol == Protocol::Tcp && contradicts {
        return Err(Refusal::BadRequest);
    }
    let parity = match optional::<EvenPort>(message)?.map(|even| even.requested()) {
        Some(true) => Parity::Pair,
        Some(false) => Parity::Even,
        None => Parity::Any,
    };
    let token = optional::<ReservationToken>(message)?.map(|token| Token::from_bits(token.token()));
    let requested = message.has_attribute(RequestedAddressFamily::TYPE);
    let additional = optional::<AdditionalAddressFamily>(message)?.map(|additional| additional.family());
    let additional = additional.or_else(|| draft_additional(message));
    let contradicts = match (token, additional) {
        (Some(_), _) if parity != Parity::Any || requested || additional.is_some() => true,
        (_, Some(family)) => family == AddressFamily::IPV4 || requested || parity == Parity::Pair,
        _ => false,
    };
    if contradicts {
        return Err(Refusal::BadRequest);
    }
    let parity = if token.is_some() { Parity::Kept } else { parity };
    let family = parse_family(message, from.server, additional)?;
    Ok(Wanted { protocol, family, additional, lifetime: parse_lifetime(message)?, parity, token })
}

fn parse_family(
    message: &Message<'_>,
    server: SocketAddr,
    additional: Option<AddressFamily>,
) -> Result<AddressFamily, Refusal> {
    if message.has_attribute(RequestedAddressFamily::TYPE) {
        let requested = message.attribute::<RequestedAddressFamily>();
        return requested.map(|family| family.family()).map_err(|_| Refusal::AddressFamilyNotSupported);
    }
    // Deviation: without REQUESTED-ADDRESS-FAMILY the family the client uses, where RFC 8656 §7.2 says IPv4; a host
    // that is reached by IPv6 only has no other.
    let v4 = server.is_ipv4() || additional.is_some();
    Ok(if v4 { AddressFamily::IPV4 } else { AddressFamily::IPV6 })
}

/// Deviation: the number ADDITIONAL-ADDRESS-FAMILY had before RFC 8656, which coturn and its clients use to this day.
fn draft_additional(message: &Message<'_>) -> Option<AddressFamily> {
    let raw = message.raw_attribute(DRAFT_ADDITIONAL_ADDRESS_FAMILY)?;
    (raw.value.first() == Some(&2)).then_some(AddressFamily::IPV6)
}

/// An attribute that may be missing, but not be malformed.
fn optional<'m, A>(message: &'m Message<'_>) -> Result<Option<A>, Refusal>
where
    A: stun_types::attribute::AttributeFromRaw<'m> + AttributeStaticType,
{
    if !message.has_attribute(A::TYPE) {
        return Ok(None);
    }
    message.attribute::<A>().map(Some).map_err(|_| Refusal::BadRequest)
}

fn is_link_local(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// draft-martinsen-tram-ssoda.
const DRAFT_ADDITIONAL_ADDRESS_FAMILY: AttributeType = AttributeType::new(0x8032);
