//! The PROXY protocol, versions 1 and 2 (HAProxy's `proxy-protocol.txt` of 2020): who stands behind a load balancer.
//!
//! ```text
//! v1  PROXY TCP4 192.0.2.1 198.51.100.1 5000 443\r\n
//! v2  signature (12) │ version, command │ family │ length (2) │ addresses │ TLVs
//! ```
//!
//! Reads bytes and touches nothing. Whose word counts is for whoever reads the socket to know: the protocol proves nothing.
//!
//! TLVs are skipped, the checksum (`PP2_TYPE_CRC32C`) among them: what TCP brings from a proxy of one's own is whole.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The start of a connection, as far as it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// Looks like one; more is to come.
    Partial,
    /// A whole one of so many bytes.
    Whole {
        /// What follows is the connection's own.
        length: usize,
        /// Who speaks through it.
        client: Client,
    },
}

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// Somebody at this address.
    At(SocketAddr),
    /// The proxy itself, to see whether we are well, or somebody of whom it knows nothing.
    Proxy,
}

/// What no proxy sends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Neither signature.
    #[error("expected a PROXY header, got something else")]
    NoHeader,
    /// A line that is none of ours.
    #[error("expected `PROXY TCP4|TCP6|UNKNOWN …` and CR LF within 107 bytes, got another line")]
    Line,
    /// A command of another version.
    #[error("expected version 2 with the command LOCAL or PROXY, got 0x{got:02x}")]
    Command {
        /// Both.
        got: u8,
    },
    /// No client of TCP.
    #[error("expected the family UNSPEC, TCP4 or TCP6, got 0x{got:02x}")]
    Family {
        /// And the transport.
        got: u8,
    },
    /// Too short for the addresses it has, or longer than any proxy needs.
    #[error("expected {least} to {MAX_BODY} bytes behind the length, got {got}")]
    Length {
        /// For the addresses.
        least: u16,
        /// What it says.
        got: u16,
    },
}

/// Reads the first bytes of a connection.
///
/// # Errors
/// They are no header; more of them would not change that.
pub fn parse(bytes: &[u8]) -> Result<Header, Malformed> {
    match bytes.first() {
        None => Ok(Header::Partial),
        Some(b'P') => parse_line(bytes),
        Some(_) => parse_binary(bytes),
    }
}

/// Whether these, the first bytes of a connection, are meant as a header.
pub fn is_meant(bytes: &[u8]) -> bool {
    bytes.starts_with(LINE) || bytes.starts_with(SIGNATURE)
}

/// §2.1. The line is taken literally: one space between its parts, no zeros in front.
fn parse_line(bytes: &[u8]) -> Result<Header, Malformed> {
    let start = bytes.len().min(LINE.len());
    if bytes.get(..start) != LINE.get(..start) {
        return Err(Malformed::NoHeader);
    }
    let most = bytes.len().min(MAX_LINE);
    let Some(end) = bytes.iter().take(most).position(|&byte| byte == b'\n') else {
        return if bytes.len() < MAX_LINE { Ok(Header::Partial) } else { Err(Malformed::Line) };
    };
    let line = bytes.get(..end).and_then(|line| line.strip_suffix(b"\r")).ok_or(Malformed::Line)?;
    let line = line.strip_prefix(LINE).and_then(|rest| std::str::from_utf8(rest).ok()).ok_or(Malformed::Line)?;
    Ok(Header::Whole { length: end.saturating_add(1), client: line_client(line).ok_or(Malformed::Line)? })
}

fn line_client(line: &str) -> Option<Client> {
    let mut parts = line.split(' ');
    let client = match parts.next()? {
        // What follows is not to be looked at.
        "UNKNOWN" => return Some(Client::Proxy),
        "TCP4" => line_addresses::<Ipv4Addr>(&mut parts)?,
        "TCP6" => line_addresses::<Ipv6Addr>(&mut parts)?,
        _ => return None,
    };
    parts.next().is_none().then_some(Client::At(client))
}

fn line_addresses<'a, A: std::str::FromStr + Into<IpAddr>>(
    parts: &mut impl Iterator<Item = &'a str>,
) -> Option<SocketAddr> {
    let (source, _server) = (parts.next()?.parse::<A>().ok()?, parts.next()?.parse::<A>().ok()?);
    let (port, _server_port) = (line_port(parts.next()?)?, line_port(parts.next()?)?);
    Some(SocketAddr::new(source.into(), port))
}

fn line_port(text: &str) -> Option<u16> {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| is_plain)
}

/// §2.2.
fn parse_binary(bytes: &[u8]) -> Result<Header, Malformed> {
    let start = bytes.len().min(SIGNATURE.len());
    if bytes.get(..start) != SIGNATURE.get(..start) {
        return Err(Malformed::NoHeader);
    }
    // Told as soon as it can be told: nobody waits for the rest of what is refused anyway.
    let Some(&command) = bytes.get(12) else { return Ok(Header::Partial) };
    if !matches!(command, LOCAL | PROXY) {
        return Err(Malformed::Command { got: command });
    }
    let Some(&family) = bytes.get(13) else { return Ok(Header::Partial) };
    let least = match (command, family) {
        (LOCAL, _) | (_, UNSPEC) => 0,
        (_, TCP4) => 12,
        (_, TCP6) => 36,
        (_, got) => return Err(Malformed::Family { got }),
    };
    let Some(&[high, low]) = bytes.get(14..).and_then(|rest| rest.first_chunk()) else { return Ok(Header::Partial) };
    let body = u16::from_be_bytes([high, low]);
    if body < least || body > MAX_BODY {
        return Err(Malformed::Length { least, got: body });
    }
    let length = HEAD.saturating_add(body.into());
    let Some(addresses) = bytes.get(HEAD..length) else { return Ok(Header::Partial) };
    let client = match least {
        12 => binary_client::<4>(addresses, 8),
        36 => binary_client::<16>(addresses, 32),
        _ => Some(Client::Proxy),
    };
    Ok(Header::Whole { length, client: client.ok_or(Malformed::Length { least, got: body })? })
}

/// The source comes first; the ports come behind both addresses.
fn binary_client<const N: usize>(addresses: &[u8], ports: usize) -> Option<Client>
where
    IpAddr: From<[u8; N]>,
{
    let source: [u8; N] = *addresses.first_chunk()?;
    let port: [u8; 2] = *addresses.get(ports..)?.first_chunk()?;
    Some(Client::At(SocketAddr::new(IpAddr::from(source).to_canonical(), u16::from_be_bytes(port))))
}

/// A header of version 2 for a connection of one's own.
pub const OWN: [u8; 16] = [0x0D, 0x0A, 0x0D, 0x0A, 0, 0x0D, 0x0A, b'Q', b'U', b'I', b'T', 0x0A, LOCAL, UNSPEC, 0, 0];

const LINE: &[u8] = b"PROXY ";
/// §2.1: with CR LF.
const MAX_LINE: usize = 107;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const HEAD: usize = 16;
/// Addresses and TLVs. The protocol has room for 64 KiB; a certificate's name and a cloud's identifiers are some hundred
/// bytes.
const MAX_BODY: u16 = 2_048;
const LOCAL: u8 = 0x20;
const PROXY: u8 = 0x21;
const UNSPEC: u8 = 0x00;
const TCP4: u8 = 0x11;
const TCP6: u8 = 0x21;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Client {
        Client::At(text.parse().expect("an address"))
    }

    /// Parses it with something behind it, and in all its shorter forms, which must wait for more.
    fn whole(header: &[u8]) -> Client {
        for length in 0..header.len() {
            assert_eq!(parse(&header[..length]), Ok(Header::Partial), "{length} bytes");
        }
        match parse(&[header, b"\x16\x03\x01"].concat()) {
            Ok(Header::Whole { length, client }) if length == header.len() => client,
            other => panic!("{other:?}"),
        }
    }

    fn binary(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).expect("a short body").to_be_bytes();
        [SIGNATURE, &[command, family], &length, body].concat()
    }

    #[test]
    fn a_line_names_the_client_of_either_family() {
        assert_eq!(whole(b"PROXY TCP4 192.0.2.1 198.51.100.1 5000 443\r\n"), at("192.0.2.1:5000"));
        assert_eq!(whole(b"PROXY TCP6 2001:db8::1 2001:db8::2 5000 443\r\n"), at("[2001:db8::1]:5000"));
        let longest = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
        let line = format!("PROXY TCP6 {longest} {longest} 65535 65535\r\n");
        assert_eq!(whole(line.as_bytes()), at(&format!("[{longest}]:65535")));
    }

    #[test]
    fn a_line_of_somebody_unknown_is_the_proxys_own() {
        assert_eq!(whole(b"PROXY UNKNOWN\r\n"), Client::Proxy);
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_LINE - 16));
        assert_eq!((longest.len(), whole(longest.as_bytes())), (MAX_LINE, Client::Proxy));
    }

    #[test]
    fn a_binary_header_names_the_client_and_what_else_it_says_is_skipped() {
        let v4 = [192, 0, 2, 1, 198, 51, 100, 1, 0x13, 0x88, 0x01, 0xBB];
        let v6 = [&[0x20, 1, 0xd, 0xb8], &[0; 11][..], &[1], &[0; 16], &[0x13, 0x88, 0x01, 0xBB]].concat();
        let checksum = [3, 0, 4, 1, 2, 3, 4];
        assert_eq!(whole(&binary(PROXY, TCP4, &v4)), at("192.0.2.1:5000"));
        assert_eq!(whole(&binary(PROXY, TCP4, &[&v4[..], &checksum].concat())), at("192.0.2.1:5000"));
        assert_eq!(whole(&binary(PROXY, TCP6, &v6)), at("[2001:db8::1]:5000"));
        let mapped = [&[0; 10][..], &[0xFF, 0xFF, 192, 0, 2, 1], &[0; 16], &[0x13, 0x88, 0x01, 0xBB]].concat();
        assert_eq!(whole(&binary(PROXY, TCP6, &mapped)), at("192.0.2.1:5000"), "one address has one form");
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_says_so() {
        assert_eq!(whole(&OWN), Client::Proxy);
        assert_eq!(whole(&binary(LOCAL, TCP4, &[0; 12])), Client::Proxy, "its addresses are not to be looked at");
        assert_eq!(whole(&binary(PROXY, UNSPEC, b"anything")), Client::Proxy);
        assert_eq!(whole(&binary(PROXY, UNSPEC, &[0; 2_048])), Client::Proxy);
    }

    #[test]
    fn what_is_no_header_is_refused_as_soon_as_it_can_be() {
        for other in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01", b"\0\x01\0\0", b"POST", b"\r\n\r\nG"] {
            assert_eq!(parse(other), Err(Malformed::NoHeader), "{other:?}");
        }
        let head = |command, family, length: u16| [SIGNATURE, &[command, family], &length.to_be_bytes()].concat();
        assert_eq!(parse(&head(0x11, TCP4, 12)), Err(Malformed::Command { got: 0x11 }));
        assert_eq!(parse(&head(0x22, TCP4, 12)), Err(Malformed::Command { got: 0x22 }));
        assert_eq!(parse(&head(PROXY, 0x12, 12)), Err(Malformed::Family { got: 0x12 }), "UDP");
        assert_eq!(parse(&head(PROXY, 0x31, 216)), Err(Malformed::Family { got: 0x31 }), "a path");
        assert_eq!(parse(&head(PROXY, TCP4, 11)), Err(Malformed::Length { least: 12, got: 11 }));
        assert_eq!(parse(&head(PROXY, TCP6, 35)), Err(Malformed::Length { least: 36, got: 35 }));
        assert_eq!(parse(&head(LOCAL, UNSPEC, 2_049)), Err(Malformed::Length { least: 0, got: 2_049 }));
    }

    #[test]
    fn lines_that_are_almost_right_are_refused() {
        for line in [
            "PROXY TCP4 192.0.2.1 198.51.100.1 5000 443\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 5000\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 5000 443 \r\n",
            "PROXY TCP4  192.0.2.1 198.51.100.1 5000 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 05000 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 +5000 443\r\n",
            "PROXY TCP4 192.0.2.1 198.51.100.1 65536 443\r\n",
            "PROXY TCP4 192.0.2.256 198.51.100.1 5000 443\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 5000 443\r\n",
            "PROXY TCP6 192.0.2.1 198.51.100.1 5000 443\r\n",
            "PROXY UDP4 192.0.2.1 198.51.100.1 5000 443\r\n",
            "PROXY \r\n",
        ] {
            assert_eq!(parse(line.as_bytes()), Err(Malformed::Line), "{line:?}");
        }
        let too_long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_LINE - 15));
        assert_eq!(parse(too_long.as_bytes()), Err(Malformed::Line));
        assert_eq!(parse(&too_long.as_bytes()[..MAX_LINE]), Err(Malformed::Line));
    }
}
