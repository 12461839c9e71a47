//! Which STUN and TURN servers a participant is told, with credentials of its own that end by themselves.
//!
//! The scheme is that of the TURN REST API draft (draft-uberti-behave-turn-rest-00 §2.2): the user name is
//! `<unix time of expiry>:<user>`, the password `base64(HMAC-SHA1(secret, user name))`. The relay checks it without any
//! state of ours.

use std::net::Ipv6Addr;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use tandem_api::signal::IceServer;

use crate::interface::{Config, Relay};

/// The user part of a participant's TURN user name.
pub(crate) fn user(session: &str, participant: &str) -> String {
    format!("{session}.{participant}")
}

/// For one who reached us under this name and port.
pub(crate) fn ice_servers(
    config: &Config,
    (host, port): (&str, Option<u16>),
    user: &str,
    unix_ms: u64,
) -> Vec<IceServer> {
    let mut servers = Vec::with_capacity(2 + config.extra_ice_servers.len());
    if let Some(relay) = &config.relay {
        let host = bracketed(relay.host.as_deref().unwrap_or(host));
        servers.push(IceServer { urls: vec![format!("stun:{host}:{}", relay.port)], username: None, credential: None });
        servers.push(turn(relay, (&host, port), user, unix_ms));
    }
    servers.extend(config.extra_ice_servers.iter().cloned());
    servers
}

fn turn(relay: &Relay, (host, port): (&str, Option<u16>), user: &str, unix_ms: u64) -> IceServer {
    let mut urls =
        vec![format!("turn:{host}:{}?transport=udp", relay.port), format!("turn:{host}:{}?transport=tcp", relay.port)];
    // One way over TLS is enough, and with five URLs browsers begin to complain. A network that let the page in by its
    // port lets TURN out by it.
    let port = port.filter(|_| relay.shares_https_port).or(relay.tls_port);
    urls.extend(port.map(|port| format!("turns:{host}:{port}?transport=tcp")));
    let expiry = (unix_ms / 1000).saturating_add(relay.ttl.as_secs());
    let username = format!("{expiry}:{user}");
    let credential = password(&relay.secret, &username);
    IceServer { urls, username: Some(username), credential: Some(credential) }
}

fn password(secret: &[u8], username: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(username.as_bytes());
    BASE64_STANDARD.encode(mac.finalize().into_bytes())
}

/// RFC 7064 §3.1 and RFC 7065 §3.1: an IPv6 address stands in brackets.
fn bracketed(host: &str) -> String {
    if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_the_one_that_coturn_computes() {
        // echo -n 1433895918:ann | openssl dgst -sha1 -hmac north -binary | base64
        assert_eq!(password(b"north", "1433895918:ann"), EXPECTED);
    }

    #[test]
    fn an_ipv6_address_stands_in_brackets_and_a_name_does_not() {
        assert_eq!(bracketed("2001:db8::1"), "[2001:db8::1]");
        assert_eq!(bracketed("meet.example"), "meet.example");
        assert_eq!(bracketed("192.0.2.1"), "192.0.2.1");
    }

    const EXPECTED: &str = "zAlhH20kpuDJR8ZKdq5vyQV+Ung=";
}
