//! The DTLS clients of a shard: `tandem_dtls` between the datagram sockets and the relay's machine.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tandem_dtls::{Batch, Config, Counters, Identity, Limits, Outputs, Path, Server};
use tandem_stun::turn::{FiveTuple, Transport};
use tandem_stun::wire::Head;

use super::streams::StreamLimits;

/// Tells the certificate to show; asked again from time to time.
pub type Identities = Arc<dyn Fn() -> Option<Identity> + Send + Sync>;

/// The associations of one shard; none without a certificate.
pub(super) struct Secure {
    identities: Option<Identities>,
    server: Option<Server>,
    pub(super) out: Outputs,
    /// Its buffers are used in turn.
    spare: Option<Outputs>,
    message: Vec<u8>,
    pub(super) lost: u64,
}

impl Secure {
    pub(super) fn new(
        now: Instant,
        identities: Option<Identities>,
        limits: StreamLimits,
        seed: [u8; 32],
    ) -> io::Result<Self> {
        let identity = identities.as_ref().and_then(|identities| identities());
        let limits = Limits {
            total: limits.total,
            per_address: limits.per_address,
            handshake: limits.handshake,
            idle: limits.idle,
        };
        let server = identity.map(|identity| Server::new(now, Config { identity, limits }, seed));
        let server = server.transpose().map_err(io::Error::other)?;
        Ok(Self { identities, server, out: Outputs::default(), spare: None, message: Vec::new(), lost: 0 })
    }

    /// RFC 7983 §7: whether a datagram of a client is for us.
    pub(super) fn takes(&self, datagram: &[u8]) -> bool {
        self.server.is_some() && tandem_dtls::is_dtls(datagram)
    }

    pub(super) fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        if let Some(server) = &mut self.server {
            server.handle_datagram(now, path, datagram, &mut self.out);
        }
    }

    /// What clients have said since the last call; to be given back.
    pub(super) fn take_plain(&mut self) -> Batch {
        std::mem::take(&mut self.out.plain)
    }

    pub(super) fn give_back(&mut self, mut batch: Batch) {
        batch.clear();
        self.out.plain = batch;
    }

    /// What is to be sent and told since the last call; to be given back.
    pub(super) fn take_out(&mut self) -> Outputs {
        std::mem::replace(&mut self.out, self.spare.take().unwrap_or_default())
    }

    pub(super) fn give_back_out(&mut self, mut out: Outputs) {
        out.clear();
        self.spare = Some(out);
    }

    /// Seals a message for a client.
    pub(super) fn send(&mut self, client: FiveTuple, head: Head, payload: &[u8], padded: bool) {
        let Some(server) = &mut self.server else { return };
        let path = path(client);
        let sent = if padded && !(head.as_bytes().len() + payload.len()).is_multiple_of(4) {
            self.message.clear();
            self.message.extend_from_slice(payload);
            while !(head.as_bytes().len() + self.message.len()).is_multiple_of(4) {
                self.message.push(0);
            }
            server.send(path, [head.as_bytes(), &self.message], &mut self.out)
        } else {
            server.send(path, [head.as_bytes(), payload], &mut self.out)
        };
        self.lost += u64::from(!sent);
    }

    /// Whether the client relays.
    pub(super) fn set_allocated(&mut self, now: Instant, client: FiveTuple, allocated: bool) {
        if let Some(server) = &mut self.server {
            server.set_allocated(now, path(client), allocated);
        }
    }

    /// Shuts a client out.
    pub(super) fn disconnect(&mut self, client: FiveTuple) {
        if let Some(server) = &mut self.server {
            server.close(path(client), &mut self.out);
        }
    }

    /// Shuts all out.
    pub(super) fn disconnect_all(&mut self) {
        if let Some(server) = &mut self.server {
            server.close_all(&mut self.out);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.server.as_ref().and_then(Server::poll_timeout)
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if let Some(server) = &mut self.server {
            server.handle_timeout(now, &mut self.out);
        }
    }

    /// The certificate may have been replaced.
    pub(super) fn refresh_identity(&mut self) {
        if let (Some(server), Some(identities)) = (&mut self.server, &self.identities)
            && let Some(identity) = identities()
        {
            server.set_identity(identity);
        }
    }

    /// Live associations, and what has happened.
    pub(super) fn figures(&self) -> (usize, Counters) {
        self.server.as_ref().map(|server| (server.len(), server.counters())).unwrap_or_default()
    }
}

pub(super) fn path(client: FiveTuple) -> Path {
    Path { client: client.client, server: client.server }
}

pub(super) fn tuple(path: Path) -> FiveTuple {
    FiveTuple { transport: Transport::Dtls, client: path.client, server: path.server }
}
