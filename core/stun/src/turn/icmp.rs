//! ICMP errors for what was sent to a peer, told to the client in a Data indication (RFC 8656 §11.5).

use std::net::SocketAddr;
use std::time::Instant;

use rand_core::RngCore;
use stun_types::message::{
    Message, MessageClass, MessageType, MessageWrite, MessageWriteExt, MessageWriteVec, StunWriteError,
};
use turn_types::attribute::{Icmp, XorPeerAddress};
use turn_types::message::DATA;

use super::Server;
use super::config::RelayId;
use super::request::transaction_from;

/// An ICMP error that a relay socket has received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// Where the packet that caused it was sent to.
    pub peer: SocketAddr,
    /// ICMP or ICMPv6 type, by the family of `peer`.
    pub kind: u8,
    /// And code.
    pub code: u8,
    /// MTU of the next hop, where type and code say that a packet was too big; else zero.
    pub mtu: u32,
}

impl IcmpError {
    /// RFC 8656 §11.5: destination unreachable and time exceeded, and packet too big in ICMPv6.
    fn is_told(self) -> bool {
        match self.peer {
            SocketAddr::V4(_) => matches!(self.kind, 3 | 11),
            SocketAddr::V6(_) => matches!(self.kind, 1..=3),
        }
    }
}

impl Server {
    /// A relay socket has received an ICMP error. It costs the allocation as many bytes as the indication has.
    pub fn handle_icmp(&mut self, now: Instant, relay: RelayId, error: IcmpError) {
        let Some(slot) = self.table.by_id(relay).filter(|_| error.is_told()) else { return };
        let Some(allocation) = self.table.get(slot).filter(|allocation| allocation.opening.is_none()) else { return };
        if allocation.permissions.reach(now, error.peer.ip()).is_none() {
            return;
        }
        let client = allocation.tuple;
        let mut transaction = [0; 12];
        self.rng.fill_bytes(&mut transaction);
        let message = indication(transaction, error);
        if message.as_ref().is_ok_and(|message| self.take_bytes(now, slot, message)) {
            self.send(client, message);
        }
    }
}

fn indication(transaction: [u8; 12], error: IcmpError) -> Result<Vec<u8>, StunWriteError> {
    let transaction = transaction_from(transaction);
    let kind = MessageType::from_class_method(MessageClass::Indication, DATA);
    let mut message = Message::builder(kind, transaction, MessageWriteVec::with_capacity(60));
    message.add_attribute(&XorPeerAddress::new(error.peer, transaction))?;
    message.add_attribute(&Icmp::new(error.kind, error.code, error.mtu))?;
    Ok(message.finish())
}
