//! Requests of an allocation's owner: Allocate again, Refresh, CreatePermission, ChannelBind.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use smallvec::SmallVec;
use stun_types::attribute::{Attribute, AttributeStaticType, AttributeWrite};
use stun_types::message::{Message, StunWriteError};
use turn_types::AddressFamily;
use turn_types::attribute::{ChannelNumber, Lifetime, RequestedAddressFamily, XorPeerAddress};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH};

use super::allocation::BindRefused;
use super::answer::{self, Refusal, Request};
use super::peers::Reach;
use super::request::{check_unknown, clamp_lifetime, parse_lifetime, transaction_bytes};
use super::{Output, Server};

impl Server {
    /// A request with the credential that made the allocation.
    pub(super) fn on_holder(&mut self, now: Instant, slot: u32, message: &Message<'_>) -> Result<(), StunWriteError> {
        let Some(allocation) = self.table.get(slot) else { return Ok(()) };
        let (to, key) = (allocation.tuple, allocation.owner.key.clone());
        let request = Request::from(message);
        if message.method() == ALLOCATE && allocation.transaction == transaction_bytes(request.transaction) {
            // A retransmission: the same answer, or patience while the socket is being opened.
            if allocation.opening.is_none() {
                self.send_allocated(now, slot, request.fingerprint);
            }
            return Ok(());
        }
        let outcome = match message.method() {
            _ if allocation.opening.is_some() => Err(Refusal::AllocationMismatch),
            REFRESH => self.refresh(now, slot, message).map(Some),
            CREATE_PERMISSION => self.create_permission(now, slot, message).map(|()| None),
            CHANNEL_BIND => self.channel_bind(now, slot, message).map(|()| None),
            // RFC 8656 §7.2 step 2: the five-tuple is in use.
            _ => Err(Refusal::AllocationMismatch),
        };
        let message = match outcome {
            Ok(Some(lifetime)) => answer::success(request, &[&lifetime as &dyn AttributeWrite], Some(&key))?,
            Ok(None) => answer::success(request, &[], Some(&key))?,
            Err(refusal) => {
                self.counters.refused += 1;
                answer::refusal(request, &refusal, Some(&key))?
            }
        };
        self.outputs.push_back(Output::Send { to, message });
        Ok(())
    }

    /// RFC 8656 §8.2.
    fn refresh(&mut self, now: Instant, slot: u32, message: &Message<'_>) -> Result<Lifetime, Refusal> {
        check_unknown(message)?;
        let is_v4 = self.table.get(slot).is_some_and(|allocation| allocation.relayed.is_ipv4());
        if message.has_attribute(RequestedAddressFamily::TYPE) {
            let wanted = message.attribute::<RequestedAddressFamily>().map_err(|_| Refusal::BadRequest)?;
            if (wanted.family() == AddressFamily::IPV4) != is_v4 {
                return Err(Refusal::PeerAddressFamilyMismatch);
            }
        }
        let wanted = parse_lifetime(message)?;
        if wanted.is_some_and(|lifetime| lifetime.is_zero()) {
            self.release(slot);
            return Ok(Lifetime::new(0));
        }
        let lifetime = clamp_lifetime(wanted, self.settings.limits.max_lifetime);
        self.table.set_expiry(slot, now + lifetime);
        Ok(Lifetime::new(u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX)))
    }

    /// RFC 8656 §10.2: all of the addresses, or none.
    fn create_permission(&mut self, now: Instant, slot: u32, message: &Message<'_>) -> Result<(), Refusal> {
        check_unknown(message)?;
        let mut ips: SmallVec<[IpAddr; 8]> = SmallVec::new();
        let mut reaches: SmallVec<[Reach; 8]> = SmallVec::new();
        let limit = self.settings.limits.permissions;
        for (_, raw) in message.iter_attributes().filter(|(_, raw)| raw.get_type() == XorPeerAddress::TYPE) {
            let peer = XorPeerAddress::try_from(&raw).map_err(|_| Refusal::BadRequest)?;
            let ip = peer.addr(message.transaction_id()).ip();
            reaches.push(self.judge(slot, ip)?);
            ips.push(ip);
            if ips.len() > limit {
                return Err(Refusal::InsufficientCapacity);
            }
        }
        if ips.is_empty() {
            return Err(Refusal::BadRequest);
        }
        let allocation = self.table.get_mut(slot).ok_or(Refusal::AllocationMismatch)?;
        if !allocation.permissions.has_room(now, limit, &ips) {
            return Err(Refusal::InsufficientCapacity);
        }
        for (ip, reach) in ips.into_iter().zip(reaches) {
            allocation.permissions.install(now, ip, reach);
        }
        Ok(())
    }

    /// RFC 8656 §12.2.
    fn channel_bind(&mut self, now: Instant, slot: u32, message: &Message<'_>) -> Result<(), Refusal> {
        check_unknown(message)?;
        let number = message.attribute::<ChannelNumber>().map_err(|_| Refusal::BadRequest)?.channel();
        let peer = message.attribute::<XorPeerAddress>().map_err(|_| Refusal::BadRequest)?;
        let peer: SocketAddr = peer.addr(message.transaction_id());
        // Deviation: RFC 8656 ends at 0x4FFF; clients of RFC 5766 use the numbers up to 0x7FFE.
        if !(0x4000..=0x7FFE).contains(&number) || peer.port() == 0 {
            return Err(Refusal::BadRequest);
        }
        let reach = self.judge(slot, peer.ip())?;
        let limits = self.settings.limits;
        let allocation = self.table.get_mut(slot).ok_or(Refusal::AllocationMismatch)?;
        allocation.channels.check(now, number, peer, limits.channels).map_err(|refused| match refused {
            BindRefused::Taken => Refusal::BadRequest,
            BindRefused::Full => Refusal::InsufficientCapacity,
        })?;
        if !allocation.permissions.has_room(now, limits.permissions, &[peer.ip()]) {
            return Err(Refusal::InsufficientCapacity);
        }
        allocation.permissions.install(now, peer.ip(), reach);
        allocation.channels.bind(now, number, peer, reach);
        Ok(())
    }

    fn judge(&self, slot: u32, ip: IpAddr) -> Result<Reach, Refusal> {
        let allocation = self.table.get(slot).ok_or(Refusal::AllocationMismatch)?;
        if allocation.relayed.is_ipv4() != ip.is_ipv4() {
            return Err(Refusal::PeerAddressFamilyMismatch);
        }
        self.peers.judge(ip).ok_or(Refusal::Forbidden)
    }
}
