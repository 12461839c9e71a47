//! What a client asks of a relay, and its bytes.

use std::net::SocketAddr;
use std::time::Duration;

use stun_types::attribute::AttributeWrite;
use stun_types::message::{
    Message, MessageClass, MessageType, MessageWrite, MessageWriteExt as _, MessageWriteVec, Method,
};
use turn_types::AddressFamily;
use turn_types::attribute::{
    ChannelNumber, ConnectionId, Lifetime, RequestedAddressFamily, RequestedTransport, XorPeerAddress,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CONNECT, CONNECTION_BIND, CREATE_PERMISSION, REFRESH};

use super::login::Login;

/// What is relayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Relay {
    /// Datagrams, RFC 8656.
    Udp,
    /// Connections, RFC 6062.
    Tcp,
}

/// The family of a relayed address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// One request. `Debug` shows addresses: for a terminal, not for a log.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Request {
    /// RFC 8656 §7.
    Allocate {
        /// What is relayed.
        relay: Relay,
        /// REQUESTED-ADDRESS-FAMILY; `None`: what the server gives by itself.
        family: Option<Family>,
        /// LIFETIME; `None`: the server's.
        lifetime: Option<Duration>,
    },
    /// RFC 8656 §8; with zero the allocation ends.
    Refresh {
        /// LIFETIME.
        lifetime: Duration,
    },
    /// RFC 8656 §10.
    CreatePermission {
        /// Its address counts, its port does not.
        peer: SocketAddr,
    },
    /// RFC 8656 §12.
    ChannelBind {
        /// 0x4000 to 0x4FFF.
        number: u16,
        /// Whom the number stands for.
        peer: SocketAddr,
    },
    /// RFC 6062 §4.3.
    Connect {
        /// Whom to connect to.
        peer: SocketAddr,
    },
    /// RFC 6062 §4.3 and §4.4, on a connection of its own.
    ConnectionBind {
        /// CONNECTION-ID.
        connection: u32,
    },
}

impl Request {
    pub(super) fn method(&self) -> Method {
        match self {
            Self::Allocate { .. } => ALLOCATE,
            Self::Refresh { .. } => REFRESH,
            Self::CreatePermission { .. } => CREATE_PERMISSION,
            Self::ChannelBind { .. } => CHANNEL_BIND,
            Self::Connect { .. } => CONNECT,
            Self::ConnectionBind { .. } => CONNECTION_BIND,
        }
    }

    /// Its bytes. `None`: they do not fit a message.
    pub(super) fn bytes(&self, transaction: [u8; 12], login: &Login) -> Option<Vec<u8>> {
        let peer = |at: SocketAddr| XorPeerAddress::new(at, identity(transaction));
        let sign = |attributes: &[&dyn AttributeWrite]| login.sign(self.method(), transaction, attributes);
        match *self {
            Self::Allocate { relay, family, lifetime } => {
                let transport = RequestedTransport::new(match relay {
                    Relay::Udp => RequestedTransport::UDP,
                    Relay::Tcp => RequestedTransport::TCP,
                });
                let family = family.map(|family| match family {
                    Family::V4 => RequestedAddressFamily::new(AddressFamily::IPV4),
                    Family::V6 => RequestedAddressFamily::new(AddressFamily::IPV6),
                });
                let lifetime = lifetime.map(seconds);
                let mut attributes: Vec<&dyn AttributeWrite> = vec![&transport];
                attributes.extend(family.as_ref().map(|family| family as &dyn AttributeWrite));
                attributes.extend(lifetime.as_ref().map(|lifetime| lifetime as &dyn AttributeWrite));
                sign(&attributes)
            }
            Self::Refresh { lifetime } => sign(&[&seconds(lifetime)]),
            Self::CreatePermission { peer: at } | Self::Connect { peer: at } => sign(&[&peer(at)]),
            Self::ChannelBind { number, peer: at } => sign(&[&ChannelNumber::new(number), &peer(at)]),
            Self::ConnectionBind { connection } => sign(&[&ConnectionId::new(connection)]),
        }
    }
}

fn seconds(lifetime: Duration) -> Lifetime {
    Lifetime::new(u32::try_from(lifetime.as_secs()).unwrap_or(u32::MAX))
}

/// A request without protection. `None`: its attributes do not fit.
pub(super) fn write(method: Method, transaction: [u8; 12], attributes: &[&dyn AttributeWrite]) -> Option<Vec<u8>> {
    let kind = MessageType::from_class_method(MessageClass::Request, method);
    let mut message = Message::builder(kind, identity(transaction), MessageWriteVec::with_capacity(256));
    for attribute in attributes {
        message.add_attribute(*attribute).ok()?;
    }
    Some(message.finish())
}

fn identity(transaction: [u8; 12]) -> stun_types::message::TransactionId {
    let mut whole = [0; 16];
    if let Some(low) = whole.last_chunk_mut::<12>() {
        *low = transaction;
    }
    u128::from_be_bytes(whole).into()
}
