//! Who asks: the client's address as far as it can be known.
//!
//! Behind a reverse proxy the connection comes from the proxy; then, and only then, and only from the configured proxies,
//! `X-Forwarded-For` is believed: its rightmost address that is not itself such a proxy.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request};
use axum::http::HeaderMap;

use crate::config::settings::Http;
use crate::config::types::Cidr;

/// Whom to believe.
#[derive(Clone, Debug)]
pub struct Trust(Arc<[Cidr]>);

impl Trust {
    /// Nobody, unless there is a proxy in front.
    pub fn new(settings: &Http) -> Trust {
        Trust(if settings.behind_proxy { settings.trusted_proxies.as_slice().into() } else { Arc::default() })
    }

    /// Leaves the client's address as `ConnectInfo<SocketAddr>` with the request (port 0 where it is not known).
    pub fn identify<B>(&self, peer: SocketAddr, request: &mut Request<B>) {
        let address = self.client(peer.ip(), request.headers());
        let port = if address == peer.ip().to_canonical() { peer.port() } else { 0 };
        request.extensions_mut().insert(ConnectInfo(SocketAddr::new(address, port)));
    }

    fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let forwarded: Vec<_> = headers.get_all("x-forwarded-for").iter().collect();
        let hops = forwarded.iter().rev().flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
        for hop in hops {
            if !self.0.iter().any(|net| net.contains(client)) {
                break;
            }
            match parse_hop(hop) {
                Some(address) => client = address.to_canonical(),
                None => break,
            }
        }
        client
    }
}

/// Some proxies add the port.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    hop.parse().ok().or_else(|| hop.parse().ok().map(|address: SocketAddr| address.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(behind_proxy: bool, peer: &str, lines: &[&str]) -> String {
        let trust = Trust::new(&Http { behind_proxy, ..Http::default() });
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("x-forwarded-for", line.parse().expect("a header"));
        }
        trust.client(peer.parse().expect("an address"), &headers).to_string()
    }

    #[test]
    fn without_a_proxy_nobody_is_believed() {
        assert_eq!(seen(false, "127.0.0.1", &["198.51.100.1"]), "127.0.0.1");
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_its_own_word() {
        assert_eq!(seen(true, "127.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(seen(true, "203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
        // The client wrote the left part itself.
        assert_eq!(seen(true, "::1", &["10.9.9.9, 198.51.100.1"]), "198.51.100.1");
        assert_eq!(seen(true, "::1", &["10.9.9.9", "198.51.100.1, 127.0.0.2"]), "198.51.100.1");
        assert_eq!(seen(true, "::1", &["198.51.100.1, nonsense"]), "::1");
        assert_eq!(seen(true, "::1", &["[2001:db8::5]:443"]), "2001:db8::5");
    }
}
