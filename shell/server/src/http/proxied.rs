//! Connections of a load balancer: who speaks is said by a PROXY header, before anything else.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::config::types::Cidr;
use crate::proxy_protocol::{self, Client, Header};

/// The load balancers: from nobody else a header is taken, and from them nothing without.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<[Cidr]>);

impl Proxies {
    /// In these networks.
    pub fn new(networks: &[Cidr]) -> Proxies {
        Proxies(networks.into())
    }

    /// Is this one?
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// Reads the header and not a byte more; whom it names. `None`: the balancer itself.
pub(super) async fn read_header(socket: &mut TcpStream) -> io::Result<Option<SocketAddr>> {
    let (mut bytes, mut read) = (Vec::new(), 0);
    loop {
        // What has come so far is the header's, and gone; of what waits only as much as belongs to it is taken.
        bytes.resize(read + PIECE, 0);
        let waiting = bytes.get_mut(read..).unwrap_or_default();
        let count = socket.peek(waiting).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        bytes.truncate(read + count);
        let parsed =
            proxy_protocol::parse(&bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let end = match parsed {
            Header::Partial => bytes.len(),
            Header::Whole { length, .. } => length,
        };
        socket.read_exact(bytes.get_mut(read..end).unwrap_or_default()).await?;
        read = end;
        match parsed {
            Header::Partial => {}
            Header::Whole { client: Client::At(address), .. } => return Ok(Some(address)),
            Header::Whole { client: Client::Proxy, .. } => return Ok(None),
        }
    }
}

/// Holds most headers.
const PIECE: usize = 256;
