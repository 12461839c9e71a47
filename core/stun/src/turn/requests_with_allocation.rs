//! Requests of an allocation's owner: Allocate again, Refresh, CreatePermission, ChannelBind, and where Connect begins.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use smallvec::SmallVec;
use stun_types::attribute::{Attribute, AttributeStaticType};
use stun_types::message::{Message, StunWriteError};
use turn_types::AddressFamily;
use turn_types::attribute::{ChannelNumber, Lifetime, RequestedAddressFamily, XorPeerAddress};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CONNECT, CREATE_PERMISSION, REFRESH};

use super::allocation::{Allocation, BindRefused};
use super::answer::{self, Refusal, Request, Seal, Style};
use super::config::FiveTuple;
use super::limits::Limit;
use super::mobility::{self, MOBILITY_TICKET};
use super::peers::Reach;
use super::request::{check_unknown, clamp_lifetime, parse_lifetime, transaction_bytes};
use super::table::Legs;
use super::{Output, Server};

impl Server {
    /// A request with the credential that made the allocation.
    pub(super) fn on_holder(
        &mut self,
        now: Instant,
        (slot, seal): (u32, Seal),
        to: FiveTuple,
        message: &Message<'_>,
    ) -> Result<(), StunWriteError> {
        let Some(allocation) = self.table.get(slot) else { return Ok(()) };
        let request = Request::from(message);
        if message.method() == ALLOCATE && allocation.granted.transaction == transaction_bytes(request.transaction) {
            // A retransmission: the same answer, or patience while the socket is being opened.
            self.answer_allocate(now, slot, &Style { fingerprint: request.fingerprint, seal });
            return Ok(());
        }
        let legs = self.table.by_tuple(&to);
        if !message.has_attribute(MOBILITY_TICKET) {
            self.on_heard(legs, to);
        }
        let is_opening = |slot| self.table.get(slot).is_some_and(|allocation| allocation.opening.is_some());
        let outcome = match message.method() {
            _ if legs.iter().any(is_opening) => Err(Refusal::AllocationMismatch),
            REFRESH => self.refresh(now, legs, message).map(Some),
            CREATE_PERMISSION => self.create_permission(now, legs, message).map(|()| None),
            CHANNEL_BIND => self.channel_bind(now, legs, message).map(|()| None),
            CONNECT => match self.connect(now, (legs, &seal), message) {
                Ok(()) => return Ok(()),
                Err(refusal) => Err(refusal),
            },
            // RFC 8656 §7.2 step 2: the five-tuple is in use.
            _ => Err(Refusal::AllocationMismatch),
        };
        let message = match outcome {
            Ok(Some(lifetime)) => {
                // The ticket is good until it is shown elsewhere: a Refresh from here does not change it.
                let ticket = self.ticket(slot).filter(|_| message.has_attribute(MOBILITY_TICKET));
                mobility::success(request, lifetime, ticket.as_ref(), &seal)?
            }
            Ok(None) => answer::success(request, &[], Some(&seal))?,
            Err(refusal) => {
                self.counters.refused += 1;
                answer::refusal(request, &refusal, Some(&seal))?
            }
        };
        self.outputs.push_back(Output::Send { to, message });
        Ok(())
    }

    /// RFC 8656 §8.2: of one family if it is named, else of all there are.
    pub(super) fn refresh(&mut self, now: Instant, legs: Legs, message: &Message<'_>) -> Result<Lifetime, Refusal> {
        check_unknown(message)?;
        let mut slots: SmallVec<[u32; 2]> = legs.iter().collect();
        if message.has_attribute(RequestedAddressFamily::TYPE) {
            let wanted = message.attribute::<RequestedAddressFamily>().map_err(|_| Refusal::BadRequest)?;
            let is_v4 = wanted.family() == AddressFamily::IPV4;
            slots.retain(|slot| self.table.get(*slot).is_some_and(|leg| leg.relayed.is_ipv4() == is_v4));
        }
        if slots.is_empty() {
            return Err(Refusal::PeerAddressFamilyMismatch);
        }
        let wanted = parse_lifetime(message)?;
        if wanted.is_some_and(|lifetime| lifetime.is_zero()) {
            slots.into_iter().for_each(|slot| self.release(now, slot));
            return Ok(Lifetime::new(0));
        }
        let lifetime = clamp_lifetime(wanted, self.settings.limits.max_lifetime);
        let owner = slots.first().and_then(|&slot| self.table.get(slot)).map(|allocation| &allocation.owner);
        let lifetime = owner.map_or(lifetime, |owner| self.gate.at_most(now, owner, lifetime));
        slots.into_iter().for_each(|slot| self.table.set_expiry(slot, now + lifetime));
        Ok(Lifetime::new(u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX)))
    }

    /// RFC 8656 §10.2: all of the addresses, or none.
    fn create_permission(&mut self, now: Instant, legs: Legs, message: &Message<'_>) -> Result<(), Refusal> {
        check_unknown(message)?;
        let mut wanted: SmallVec<[(u32, IpAddr, Reach); 8]> = SmallVec::new();
        let limit = self.settings.limits.permissions;
        for (_, raw) in message.iter_attributes().filter(|(_, raw)| raw.get_type() == XorPeerAddress::TYPE) {
            let peer = XorPeerAddress::try_from(&raw).map_err(|_| Refusal::BadRequest)?;
            let ip = peer.addr(message.transaction_id()).ip();
            let (slot, reach) = self.judge(legs, ip)?;
            wanted.push((slot, ip, reach));
            if wanted.len() > limit {
                self.counters.met.count(Limit::Permissions);
                return Err(Refusal::InsufficientCapacity);
            }
        }
        if wanted.is_empty() {
            return Err(Refusal::BadRequest);
        }
        for slot in legs.iter() {
            let ips: SmallVec<[IpAddr; 8]> =
                wanted.iter().filter(|(of, ..)| *of == slot).map(|&(_, ip, _)| ip).collect();
            self.make_room(now, slot, &ips)?;
        }
        for (slot, ip, reach) in wanted {
            if let Some(allocation) = self.table.get_mut(slot) {
                allocation.permissions.install(now, ip, reach);
            }
            self.offload_towards(slot, ip);
        }
        Ok(())
    }

    /// Whether an allocation may have permissions for these as well: not too many, and not too many new ones at a time.
    fn make_room(&mut self, now: Instant, slot: u32, ips: &[IpAddr]) -> Result<(), Refusal> {
        let limits = &self.settings.limits;
        let allocation = self.table.get_mut(slot).ok_or(Refusal::AllocationMismatch)?;
        let new = allocation.permissions.count_new(ips);
        let met = if !allocation.permissions.has_room(now, limits.permissions, ips) {
            Some(Limit::Permissions)
        } else if new > 0 && !allocation.meters.take_peers(now, limits, new) {
            Some(Limit::NewPeers)
        } else {
            None
        };
        match met {
            Some(limit) => {
                self.counters.met.count(limit);
                Err(Refusal::InsufficientCapacity)
            }
            None => Ok(()),
        }
    }

    /// RFC 8656 §12.2.
    fn channel_bind(&mut self, now: Instant, legs: Legs, message: &Message<'_>) -> Result<(), Refusal> {
        check_unknown(message)?;
        // RFC 6062 §5: no channels of a TCP allocation.
        if legs.first().and_then(|slot| self.table.get(slot)).is_some_and(Allocation::relays_connections) {
            return Err(Refusal::BadRequest);
        }
        let number = message.attribute::<ChannelNumber>().map_err(|_| Refusal::BadRequest)?.channel();
        let peer = message.attribute::<XorPeerAddress>().map_err(|_| Refusal::BadRequest)?;
        let peer: SocketAddr = peer.addr(message.transaction_id());
        // Deviation: RFC 8656 ends at 0x4FFF; clients of RFC 5766 use the numbers up to 0x7FFE.
        if !(0x4000..=0x7FFE).contains(&number) || peer.port() == 0 {
            return Err(Refusal::BadRequest);
        }
        let (slot, reach) = self.judge(legs, peer.ip())?;
        // A number means one peer of the five-tuple, whatever its family.
        let sibling = self.table.sibling(slot).and_then(|sibling| self.table.get(sibling));
        if sibling.is_some_and(|sibling| sibling.channels.by_number(now, number).is_some()) {
            return Err(Refusal::BadRequest);
        }
        let most = self.settings.limits.channels;
        let allocation = self.table.get_mut(slot).ok_or(Refusal::AllocationMismatch)?;
        match allocation.channels.check(now, number, peer, most) {
            Ok(()) => {}
            Err(BindRefused::Taken) => return Err(Refusal::BadRequest),
            Err(BindRefused::Full) => {
                self.counters.met.count(Limit::Channels);
                return Err(Refusal::InsufficientCapacity);
            }
        }
        self.make_room(now, slot, &[peer.ip()])?;
        let allocation = self.table.get_mut(slot).ok_or(Refusal::AllocationMismatch)?;
        allocation.permissions.install(now, peer.ip(), reach);
        allocation.channels.bind(now, number, peer, reach);
        self.offload_towards(slot, peer.ip());
        Ok(())
    }

    /// The slot that would relay to a peer, and how far it reaches.
    fn judge(&mut self, legs: Legs, ip: IpAddr) -> Result<(u32, Reach), Refusal> {
        let slot = legs.towards(ip).ok_or(Refusal::PeerAddressFamilyMismatch)?;
        let reach = self.reach(slot, ip);
        if reach.is_none() {
            self.counters.met.count(Limit::ForbiddenPeer);
        }
        reach.map(|reach| (slot, reach)).ok_or(Refusal::Forbidden)
    }

    /// How far an allocation reaches towards a peer, by the rules of its realm, too. `None`: not at all.
    pub(super) fn reach(&self, slot: u32, ip: IpAddr) -> Option<Reach> {
        let realm = self.table.get(slot).map_or("", |allocation| &allocation.owner.realm);
        self.peers.judge(ip, self.gate.realms(), realm)
    }
}
