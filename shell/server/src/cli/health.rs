//! `tandem health`: one request to the running server of these settings.
//!
//! The certificate need not be one the machine trusts: nothing secret is sent.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::say;
use crate::config::Settings;
use crate::http::proxied::Proxies;
use crate::{local, proxy_protocol};

const PATIENCE: Duration = Duration::from_secs(5);

/// Fails when the server is not there or not ready.
pub fn run(settings: &Settings) -> anyhow::Result<()> {
    let address = SocketAddr::new(local::reachable(settings.http.address), settings.http.port);
    let mut socket = TcpStream::connect_timeout(&address, PATIENCE)
        .with_context(|| format!("no server answers at {address}: is it running, and with these settings?"))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    if Proxies::new(&settings.proxy_protocol.from).contains(socket.local_addr()?.ip()) {
        socket.write_all(&proxy_protocol::OWN)?;
    }
    let answer = if settings.http.behind_proxy { ask(socket) } else { crate::tls::probe(socket).and_then(ask) }
        .with_context(|| format!("the server at {address} does not answer"))?;
    let (status, body) = split(&answer).with_context(|| format!("what answers at {address} does not speak HTTP"))?;
    if status != 200 {
        bail!("{status}: {body}");
    }
    say(body);
    Ok(())
}

fn ask(mut stream: impl std::io::Read + std::io::Write) -> anyhow::Result<String> {
    stream.write_all(b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    match stream.take(64 << 10).read_to_end(&mut answer) {
        // A peer that closes without saying goodbye has still answered.
        Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof && !answer.is_empty() => {}
        other => {
            other?;
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn split(answer: &str) -> Option<(u16, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_and_body_are_found_in_an_answer() {
        assert_eq!(split("HTTP/1.1 503 Service Unavailable\r\nx: y\r\n\r\n{}\n"), Some((503, "{}")));
        assert_eq!(split("SSH-2.0-x\r\n\r\n"), None);
    }
}
