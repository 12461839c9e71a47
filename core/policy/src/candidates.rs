//! Which addresses a client may show to another: ICE candidates, alone (RFC 8839 §5.1) and within SDP (RFC 8866).
//!
//! Where an address is to stay hidden only relayed candidates pass, and what they tell of the address behind the relay
//! (`raddr`, `rport`) is made `0.0.0.0` and `0`, which RFC 8839 §5.1 allows for privacy. Whether an address is to be
//! hidden is the engine's business; whether the two browsers can agree is theirs.

use std::net::IpAddr;

/// Why a candidate was not passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadCandidate {
    /// Not of the grammar.
    #[error("expected {expected} in the candidate, got `{got}`")]
    Malformed {
        /// What should stand there.
        expected: &'static str,
        /// What stands there, cut.
        got: String,
    },
    /// Longer than any honest one.
    #[error("expected a candidate of at most {CANDIDATE_BYTES} bytes, got {0}")]
    TooLong(usize),
    /// It would show an address that is to stay hidden.
    #[error("expected a candidate of type `relay`, got `{0}`: it would show an address that is to stay hidden")]
    Shown(&'static str),
}

/// Why a session description was not passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadSdp {
    /// More than allowed.
    #[error("expected a session description of at most {most} bytes, got {got}")]
    TooLarge {
        /// As many are allowed.
        most: usize,
        /// As many came.
        got: usize,
    },
    /// A line is not of the form `x=…`.
    #[error("expected {expected} in line {line} of the session description, got `{got}`")]
    Malformed {
        /// What should stand there.
        expected: &'static str,
        /// Counted from 1.
        line: usize,
        /// What stands there, cut.
        got: String,
    },
}

/// Whose addresses may be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// All.
    Shown,
    /// Those of relays only.
    Hidden,
}

/// The kind of a candidate, RFC 8839 §5.1 `cand-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CandidateType {
    /// An address of the client itself.
    Host,
    /// As a STUN server sees it.
    ServerReflexive,
    /// As the other client sees it.
    PeerReflexive,
    /// Of a relay.
    Relay,
}

/// A trickled candidate as it may be passed on. An empty one is the end of candidates (RFC 8838 §8.2).
pub fn pass_candidate(candidate: &str, addresses: Addresses) -> Result<String, BadCandidate> {
    // Browsers that give the whole attribute exist; `addIceCandidate` accepts both.
    let text = candidate.trim();
    let text = text.strip_prefix("a=").unwrap_or(text);
    if text.is_empty() || text == "end-of-candidates" {
        return Ok(String::new());
    }
    let parsed = Candidate::parse(text)?;
    match (addresses, parsed.kind) {
        (Addresses::Shown, _) => Ok(text.to_owned()),
        (Addresses::Hidden, CandidateType::Relay) => Ok(parsed.write_neutral()),
        (Addresses::Hidden, CandidateType::Host) => Err(BadCandidate::Shown("host")),
        (Addresses::Hidden, CandidateType::ServerReflexive) => Err(BadCandidate::Shown("srflx")),
        (Addresses::Hidden, CandidateType::PeerReflexive) => Err(BadCandidate::Shown("prflx")),
    }
}

/// A session description as it may be passed on.
pub fn pass_sdp(sdp: &str, most: usize, addresses: Addresses) -> Result<String, BadSdp> {
    if sdp.len() > most {
        return Err(BadSdp::TooLarge { most, got: sdp.len() });
    }
    for (line, number) in sdp.lines().zip(1..) {
        check_line(line, number)?;
    }
    if sdp.is_empty() {
        return Err(BadSdp::Malformed { expected: "`v=0`", line: 1, got: String::new() });
    }
    match addresses {
        Addresses::Shown => Ok(sdp.to_owned()),
        Addresses::Hidden => {
            let mut out = String::with_capacity(sdp.len());
            for line in sdp.lines().filter_map(hide) {
                out.push_str(&line);
                out.push_str("\r\n");
            }
            Ok(out)
        }
    }
}

/// RFC 8866 §5: `<type>=<value>`, the first one `v=0`.
fn check_line(line: &str, number: usize) -> Result<(), BadSdp> {
    let malformed = |expected| Err(BadSdp::Malformed { expected, line: number, got: cut(line) });
    if number == 1 && line != "v=0" {
        return malformed("`v=0`");
    }
    let mut characters = line.chars();
    let typed = characters.next().is_some_and(|c| c.is_ascii_lowercase()) && characters.next() == Some('=');
    if !typed {
        return malformed("a letter and `=`");
    }
    if line.chars().any(|c| c.is_control() && c != '\t') {
        malformed("text without control characters")
    } else {
        Ok(())
    }
}

/// One line with every address of the client taken out; `None` when nothing may be left of it.
fn hide(line: &str) -> Option<String> {
    let (kind, value) = line.split_once('=')?;
    match kind {
        // RFC 8839 §4.2.1.3: the default destination of one who trickles.
        "c" => Some(neutral_connection(value)),
        "o" => Some(neutral_origin(value)),
        "m" => Some(neutral_media(value)),
        "a" => hide_attribute(value).map(|value| format!("a={value}")),
        // Free text in which anything could be written; no browser sends any.
        "i" | "u" | "e" | "p" => None,
        _ => Some(line.to_owned()),
    }
}

fn hide_attribute(value: &str) -> Option<String> {
    let name = value.split(':').next().unwrap_or(value);
    if name.eq_ignore_ascii_case("candidate") {
        let parsed = Candidate::parse(value).ok()?;
        return (parsed.kind == CandidateType::Relay).then(|| parsed.write_neutral());
    }
    if name.eq_ignore_ascii_case("rtcp") {
        return Some("rtcp:9 IN IP4 0.0.0.0".to_owned());
    }
    // RFC 8839 §5.2 names addresses of the chosen pair; RFC 4570 and RFC 3605 name others.
    let named = ["remote-candidates", "source-filter", "alt"].iter().any(|n| name.eq_ignore_ascii_case(n));
    (!named).then(|| value.to_owned())
}

fn neutral_connection(value: &str) -> String {
    if value.contains("IP6") { "c=IN IP6 ::".to_owned() } else { "c=IN IP4 0.0.0.0".to_owned() }
}

/// RFC 8866 §5.2: `<username> <sess-id> <sess-version> <nettype> <addrtype> <unicast-address>`.
fn neutral_origin(value: &str) -> String {
    let mut words = value.split_ascii_whitespace().skip(1);
    let mut number = || words.next().filter(|word| word.parse::<u64>().is_ok()).unwrap_or("0");
    let (session, version) = (number(), number());
    format!("o=- {session} {version} IN IP4 127.0.0.1")
}

/// The port of the default destination becomes the discard port; zero means refused (RFC 3264 §6) and stays.
fn neutral_media(value: &str) -> String {
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    match words.as_slice() {
        [media, port, rest @ ..] if *port != "0" => format!("m={media} 9 {}", rest.join(" ")),
        _ => format!("m={value}"),
    }
}

/// `candidate-attribute` of RFC 8839 §5.1, as far as it matters here.
struct Candidate<'a> {
    /// foundation, component, transport, priority, connection address, port: as they stand.
    base: [&'a str; 6],
    kind: CandidateType,
    related: Option<IpAddr>,
    /// `SP extension-att-name SP extension-att-value`, pairs.
    extensions: Vec<(&'a str, &'a str)>,
}

impl<'a> Candidate<'a> {
    fn parse(text: &'a str) -> Result<Self, BadCandidate> {
        if text.len() > CANDIDATE_BYTES {
            return Err(BadCandidate::TooLong(text.len()));
        }
        let rest = text.strip_prefix("candidate:").ok_or_else(|| malformed("`candidate:`", text))?;
        if rest.chars().any(char::is_control) {
            return Err(malformed("text without control characters", rest));
        }
        let mut words = rest.split(' ').filter(|word| !word.is_empty());
        let mut next = |expected| words.next().ok_or_else(|| malformed(expected, "the end"));
        let base = [
            next("a foundation")?,
            next("a component")?,
            next("a transport")?,
            next("a priority")?,
            next("an address")?,
            next("a port")?,
        ];
        check_base(&base)?;
        if next("`typ`")? != "typ" {
            return Err(malformed("`typ`", rest));
        }
        let kind = parse_type(next("a candidate type")?)?;
        let mut candidate = Self { base, kind, related: None, extensions: Vec::new() };
        while let Some(name) = words.next() {
            let value = words.next().ok_or_else(|| malformed("a value", name))?;
            candidate.take_attribute(name, value)?;
        }
        Ok(candidate)
    }

    fn take_attribute(&mut self, name: &'a str, value: &'a str) -> Result<(), BadCandidate> {
        match name {
            "raddr" => self.related = Some(value.parse().unwrap_or(IpAddr::from([0; 4]))),
            "rport" => drop(value.parse::<u16>().map_err(|_| malformed("a related port", value))?),
            _ => self.extensions.push((name, value)),
        }
        Ok(())
    }

    /// Says nothing of the address behind the relay. Of the extensions only those that browsers need are kept.
    fn write_neutral(&self) -> String {
        let mut out = format!("candidate:{} typ relay", self.base.join(" "));
        match self.related {
            Some(IpAddr::V6(_)) => out.push_str(" raddr :: rport 0"),
            Some(IpAddr::V4(_)) | None => out.push_str(" raddr 0.0.0.0 rport 0"),
        }
        for (name, value) in self.extensions.iter().filter(|(name, _)| HARMLESS.contains(name)) {
            out.push(' ');
            out.push_str(name);
            out.push(' ');
            out.push_str(value);
        }
        out
    }
}

fn check_base(base: &[&str; 6]) -> Result<(), BadCandidate> {
    let [foundation, component, transport, priority, address, port] = *base;
    let ice_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/');
    if foundation.len() > 32 || !foundation.chars().all(ice_char) {
        return Err(malformed("a foundation of 1 to 32 ice-chars", foundation));
    }
    if !component.parse::<u16>().is_ok_and(|n| (1..=256).contains(&n)) {
        return Err(malformed("a component from 1 to 256", component));
    }
    if !transport.eq_ignore_ascii_case("udp") && !transport.eq_ignore_ascii_case("tcp") {
        return Err(malformed("`udp` or `tcp`", transport));
    }
    if priority.parse::<u32>().is_err() {
        return Err(malformed("a priority", priority));
    }
    let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if address.parse::<IpAddr>().is_err() && (address.len() > 253 || !address.chars().all(name)) {
        return Err(malformed("an address", address));
    }
    if port.parse::<u16>().is_err() {
        return Err(malformed("a port", port));
    }
    Ok(())
}

fn parse_type(text: &str) -> Result<CandidateType, BadCandidate> {
    match text {
        "host" => Ok(CandidateType::Host),
        "srflx" => Ok(CandidateType::ServerReflexive),
        "prflx" => Ok(CandidateType::PeerReflexive),
        "relay" => Ok(CandidateType::Relay),
        _ => Err(malformed("`host`, `srflx`, `prflx` or `relay`", text)),
    }
}

fn malformed(expected: &'static str, got: &str) -> BadCandidate {
    BadCandidate::Malformed { expected, got: cut(got) }
}

fn cut(text: &str) -> String {
    text.chars().take(60).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

const CANDIDATE_BYTES: usize = 1024;
const HARMLESS: [&str; 6] = ["tcptype", "generation", "ufrag", "network-cost", "network-id", "ext"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HOST: &str = "candidate:842163049 1 udp 1677729535 192.0.2.7 46154 typ host generation 0 ufrag abcd";
    const RELAY: &str = "candidate:1 1 UDP 41885439 203.0.113.9 50000 typ relay raddr 192.0.2.7 rport 61000 \
                         generation 0 ufrag abcd network-id 1 x-secret 192.0.2.7";

    #[test]
    fn where_addresses_are_shown_a_candidate_passes_as_it_is() {
        assert_eq!(pass_candidate(HOST, Addresses::Shown).as_deref(), Ok(HOST));
        let mdns = "candidate:1 1 udp 1 8f2c-1.local 5 typ host";
        assert_eq!(pass_candidate(mdns, Addresses::Shown).as_deref(), Ok(mdns));
        assert_eq!(pass_candidate("", Addresses::Hidden).as_deref(), Ok(""));
    }

    #[test]
    fn where_addresses_are_hidden_only_relayed_candidates_pass_and_tell_nothing() {
        assert_eq!(pass_candidate(HOST, Addresses::Hidden), Err(BadCandidate::Shown("host")));
        assert_eq!(
            pass_candidate(RELAY, Addresses::Hidden).as_deref(),
            Ok("candidate:1 1 UDP 41885439 203.0.113.9 50000 typ relay raddr 0.0.0.0 rport 0 generation 0 ufrag abcd \
                network-id 1")
        );
        let six = "candidate:1 1 udp 1 2001:db8::1 5 typ relay raddr 2001:db8::7 rport 6";
        assert_eq!(
            pass_candidate(six, Addresses::Hidden).as_deref(),
            Ok("candidate:1 1 udp 1 2001:db8::1 5 typ relay raddr :: rport 0")
        );
    }

    #[test]
    fn a_candidate_that_cannot_be_read_is_refused_with_what_was_expected() {
        for (text, expected) in [
            ("nonsense", "`candidate:`"),
            ("candidate:1", "a component"),
            ("candidate:! 1 udp 1 192.0.2.1 5 typ host", "a foundation of 1 to 32 ice-chars"),
            ("candidate:1 0 udp 1 192.0.2.1 5 typ host", "a component from 1 to 256"),
            ("candidate:1 1 sctp 1 192.0.2.1 5 typ host", "`udp` or `tcp`"),
            ("candidate:1 1 udp x 192.0.2.1 5 typ host", "a priority"),
            ("candidate:1 1 udp 1 <script> 5 typ host", "an address"),
            ("candidate:1 1 udp 1 192.0.2.1 65536 typ host", "a port"),
            ("candidate:1 1 udp 1 192.0.2.1 5 type host", "`typ`"),
            ("candidate:1 1 udp 1 192.0.2.1 5 typ relayed", "`host`, `srflx`, `prflx` or `relay`"),
            ("candidate:1 1 udp 1 192.0.2.1 5 typ host\r\na=x", "text without control characters"),
        ] {
            match pass_candidate(text, Addresses::Shown) {
                Err(BadCandidate::Malformed { expected: found, .. }) => assert_eq!(found, expected, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert_eq!(pass_candidate(&"c".repeat(2000), Addresses::Shown), Err(BadCandidate::TooLong(2000)));
    }

    #[test]
    fn a_hidden_description_names_no_address_but_the_relays() {
        let sdp = format!(
            "v=0\r\no=ann 46117 2 IN IP4 192.0.2.7\r\ns=-\r\ni=from 192.0.2.7\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n\
             m=audio 46154 UDP/TLS/RTP/SAVPF 111 63\r\nc=IN IP6 2001:db8::7\r\na=rtcp:46155 IN IP4 192.0.2.7\r\n\
             a={HOST}\r\na={RELAY}\r\na=Candidate:1 1 udp 1 192.0.2.7 1 typ host\r\na=remote-candidates:1 192.0.2.7 5\r\n\
             a=ice-ufrag:abcd\r\na=mid:0\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n"
        );
        let hidden = pass_sdp(&sdp, 10_000, Addresses::Hidden).unwrap();
        assert!(!hidden.contains("192.0.2.7") && !hidden.contains("2001:db8"), "{hidden}");
        assert_eq!(
            hidden,
            "v=0\r\no=- 46117 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 111 63\r\nc=IN IP6 ::\r\na=rtcp:9 IN IP4 0.0.0.0\r\n\
             a=candidate:1 1 UDP 41885439 203.0.113.9 50000 typ relay raddr 0.0.0.0 rport 0 generation 0 ufrag abcd \
             network-id 1\r\na=ice-ufrag:abcd\r\na=mid:0\r\nm=video 0 UDP/TLS/RTP/SAVPF 96\r\na=mid:1\r\n"
        );
        assert_eq!(pass_sdp(&sdp, 10_000, Addresses::Shown).as_deref(), Ok(sdp.as_str()));
    }

    #[test]
    fn a_description_that_is_none_or_too_large_is_refused() {
        assert_eq!(pass_sdp(&"x".repeat(11), 10, Addresses::Shown), Err(BadSdp::TooLarge { most: 10, got: 11 }));
        for (text, line) in
            [("", 1), ("hello", 1), ("v=1", 1), ("v=0\r\nnonsense", 2), ("v=0\r\ns=-\r\n\r\n", 3), ("v=0\ns=\u{1b}", 2)]
        {
            match pass_sdp(text, 1000, Addresses::Shown) {
                Err(BadSdp::Malformed { line: found, .. }) => assert_eq!(found, line, "{text:?}"),
                other => panic!("{text:?}: {other:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_hidden_description_show_an_address(lines in prop::collection::vec(
            "[a-z]=(candidate:|rtcp:|IN IP4 )?\\PC{0,10}(192\\.0\\.2\\.7)( 5 typ (host|srflx))?", 0..8)) {
            let sdp = format!("v=0\n{}", lines.iter().filter(|l| {
                let kind = l.as_bytes().first();
                // These carry what browsers negotiate; an address in them is not one that ICE would use.
                matches!(kind, Some(b'c' | b'o')) || l.starts_with("a=candidate:") || l.starts_with("a=rtcp:")
            }).cloned().collect::<Vec<_>>().join("\n"));
            if let Ok(hidden) = pass_sdp(&sdp, 10_000, Addresses::Hidden) {
                prop_assert!(!hidden.contains("192.0.2.7"), "{}", hidden);
            }
        }
    }
}
