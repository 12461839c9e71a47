//! The way in for connections that somebody else has accepted: the HTTPS port, which TURN shares (RFC 7443).
//!
//! A connection comes whole: socket, TLS and what has been read already. Whoever had it keeps nothing.

use std::io;
use std::net::{SocketAddr, SocketAddrV6, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::ServerConnection;
use tandem_stun::turn::{FiveTuple, Transport};

use super::mailbox::{Mailbox, Order};

/// Hands connections to the shards in turn.
#[derive(Clone)]
pub struct Door {
    mailboxes: Arc<[Mailbox]>,
    next: Arc<AtomicUsize>,
}

/// A client's connection that is to be a shard's.
pub struct Visitor {
    /// Not blocking.
    pub socket: TcpStream,
    /// `None`: what comes is plain.
    pub secure: Option<Box<ServerConnection>>,
    /// Where the client is.
    pub client: SocketAddr,
    /// Its place at the gate it came through. A shard that has counted the connection by its own limits lets go of it,
    /// so there are never more on the way than the gate lets in.
    pub place: Box<dyn Send>,
}

/// A connection on its way to a shard.
pub(super) struct Adopted {
    pub(super) socket: TcpStream,
    pub(super) secure: Option<Box<ServerConnection>>,
    pub(super) tuple: FiveTuple,
    /// What has been read and not dealt with. What TLS has decrypted is still there.
    pub(super) inbox: Vec<u8>,
    /// Held until it is counted here, or refused.
    pub(super) place: Option<Box<dyn Send>>,
}

impl Door {
    pub(super) fn new(mailboxes: Arc<[Mailbox]>) -> Self {
        Self { mailboxes, next: Arc::default() }
    }

    /// Hands a connection over.
    ///
    /// # Errors
    /// The socket has no address any more: the client is gone.
    pub fn hand_over(&self, visitor: Visitor) -> io::Result<()> {
        let Visitor { socket, secure, client, place } = visitor;
        let transport = if secure.is_some() { Transport::Tls } else { Transport::Tcp };
        let tuple = FiveTuple { transport, client: canonical(client), server: canonical(socket.local_addr()?) };
        // Each in turn: the kernel has not spread these.
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let shard = turn.checked_rem(self.mailboxes.len()).and_then(|index| self.mailboxes.get(index));
        if let Some(mailbox) = shard {
            let adopted = Adopted { socket, secure, tuple, inbox: Vec::new(), place: Some(place) };
            mailbox.order(Order::Adopt(Box::new(adopted)));
        }
        Ok(())
    }
}

/// A socket for both families shows IPv4 addresses in IPv6 clothes; the relay's machine knows each by its own.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V6(v6) if v6.ip().to_ipv4_mapped().is_none() => {
            SocketAddrV6::new(*v6.ip(), v6.port(), 0, v6.scope_id()).into()
        }
        other => SocketAddr::new(other.ip().to_canonical(), other.port()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ipv4_client_of_a_socket_for_both_families_is_an_ipv4_client() {
        for (given, expected) in [
            ("[::ffff:192.0.2.1]:5000", "192.0.2.1:5000"),
            ("192.0.2.1:5000", "192.0.2.1:5000"),
            ("[2001:db8::1]:5000", "[2001:db8::1]:5000"),
            ("[fe80::1%3]:5000", "[fe80::1%3]:5000"),
        ] {
            let address = |text: &str| text.parse::<SocketAddr>().expect("an address");
            assert_eq!(canonical(address(given)), address(expected));
        }
    }
}
