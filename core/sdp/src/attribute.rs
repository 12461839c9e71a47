//! `a=` lines, RFC 8866 §5.13: those we understand, typed; all others as they are.
//!
//! An attribute we know with a value nobody understands is malformed where to ignore it would mislead (identities, ICE
//! credentials, fingerprints, keys). Elsewhere it is kept like one we do not know: phones write odd things, and RFC 8866 §5.13
//! has one ignore what one does not understand.

use std::fmt;

use crate::address::{Address, number};
use crate::candidate::Candidate;
use crate::codec::{RtcpFb, Rtpmap};
use crate::crypto::Crypto;
use crate::direction::Direction;
use crate::dtls::{Fingerprint, Setup};
use crate::extension::Extmap;
use crate::group::{Group, Mid};
use crate::layers::{Rid, Simulcast, join};
use crate::malformed::Expected;
use crate::source::{Msid, SsrcAttribute, SsrcGroup};
use crate::text::{Secret, Text, Token};

/// One `a=` line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the attribute of its name, and its value says what it is")]
pub enum Attribute {
    Direction(Direction),
    Mid(Mid),
    Group(Group),
    BundleOnly,
    Msid(Msid),
    IceUfrag(Token),
    IcePwd(Secret),
    IceOptions(Vec<Token>),
    IceLite,
    Candidate(Box<Candidate>),
    EndOfCandidates,
    Fingerprint(Fingerprint),
    Setup(Setup),
    TlsId(Token),
    Rtcp(Rtcp),
    RtcpMux,
    RtcpMuxOnly,
    RtcpRsize,
    Rtpmap(Rtpmap),
    Fmtp(Fmtp),
    RtcpFb(RtcpFb),
    /// Milliseconds of media in a packet.
    Ptime(u16),
    /// Milliseconds at most.
    Maxptime(u16),
    Extmap(Extmap),
    ExtmapAllowMixed,
    Ssrc(SsrcAttribute),
    SsrcGroup(SsrcGroup),
    Rid(Box<Rid>),
    Simulcast(Simulcast),
    SctpPort(u16),
    /// Bytes; 0 is without bound (RFC 8841 §6.1).
    MaxMessageSize(u64),
    Crypto(Box<Crypto>),
    Unknown(Unknown),
}

// A description has some fifty, and one of each end is kept as long as somebody is there: the few that are large lie apart.
const _: () = assert!(size_of::<Attribute>() <= 56);

/// `a=rtcp`, RFC 3605: where RTCP goes, if not to the port after that of RTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rtcp {
    /// Its port.
    pub port: u16,
    /// Its address, if that is another.
    pub address: Option<Address>,
}

/// `a=fmtp`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fmtp {
    /// Of which format of the m-line; for RTP, the payload type.
    pub format: Token,
    /// Its parameters, see [`crate::Parameters`].
    pub text: Text,
}

/// An attribute that we do not know, or do not understand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    name: Token,
    value: Option<Text>,
}

impl Attribute {
    /// Reads what stands after `a=`.
    pub fn parse(text: &str) -> Result<Self, Expected> {
        let (name, value) = text.split_once(':').map_or((text, None), |(name, value)| (name, Some(value)));
        let name = name.trim_end_matches(' ');
        let read = match value {
            None => Self::parse_flag(name),
            Some(value) => Self::parse_value(name, value),
        };
        match read {
            Some(Ok(attribute)) => Ok(attribute),
            Some(Err(expected)) if STRICT.contains(&name) => Err(expected),
            Some(Err(_)) | None => Unknown::new(name, value).map(Self::Unknown).ok_or("an attribute"),
        }
    }

    /// `None`: unknown.
    fn parse_flag(name: &str) -> Option<Result<Self, Expected>> {
        if let Some(direction) = Direction::parse(name) {
            return Some(Ok(Self::Direction(direction)));
        }
        let known = FLAGS.iter().find(|(flag, _)| *flag == name);
        match known {
            Some((_, attribute)) => Some(Ok(attribute.clone())),
            None if STRICT.contains(&name) => Some(Err("a value for the attribute")),
            None => None,
        }
    }

    /// `None`: unknown.
    fn parse_value(name: &str, value: &str) -> Option<Result<Self, Expected>> {
        let token = |expected| Token::new(value.trim_matches(' ')).ok_or(expected);
        Some(match name {
            "mid" => Mid::new(value.trim_matches(' ')).map(Self::Mid).ok_or("the identity of an m-line"),
            "group" => Group::parse(value).map(Self::Group),
            "msid" => Msid::parse(value).map(Self::Msid),
            "ice-ufrag" => token(UFRAG).and_then(checked_ufrag).map(Self::IceUfrag),
            "ice-pwd" => token(PWD).and_then(checked_pwd).map(Self::IcePwd),
            "ice-options" => parse_ice_options(value).map(Self::IceOptions),
            "candidate" => Candidate::parse_value(value).map(Box::new).map(Self::Candidate),
            "fingerprint" => Fingerprint::parse(value).map(Self::Fingerprint),
            "setup" => Setup::parse(value.trim_matches(' ')).map(Self::Setup),
            "tls-id" => token("an identity of at least 20").map(Self::TlsId),
            "rtcp" => Rtcp::parse(value).map(Self::Rtcp),
            "rtpmap" => Rtpmap::parse(value).map(Self::Rtpmap),
            "fmtp" => Fmtp::parse(value).map(Self::Fmtp),
            "rtcp-fb" => RtcpFb::parse(value).map(Self::RtcpFb),
            "ptime" => number(value.trim()).map(Self::Ptime).ok_or("milliseconds"),
            "maxptime" => number(value.trim()).map(Self::Maxptime).ok_or("milliseconds"),
            "extmap" => Extmap::parse(value).map(Self::Extmap),
            "ssrc" => SsrcAttribute::parse(value).map(Self::Ssrc),
            "ssrc-group" => SsrcGroup::parse(value).map(Self::SsrcGroup),
            "rid" => Rid::parse(value).map(Box::new).map(Self::Rid),
            "simulcast" => Simulcast::parse(value).map(Self::Simulcast),
            "sctp-port" => number(value.trim()).map(Self::SctpPort).ok_or("a port"),
            "max-message-size" => number(value.trim()).map(Self::MaxMessageSize).ok_or("a number of bytes"),
            "crypto" => Crypto::parse(value).map(Box::new).map(Self::Crypto),
            _ => return None,
        })
    }
}

/// Attributes without a value.
const FLAGS: [(&str, Attribute); 7] = [
    ("bundle-only", Attribute::BundleOnly),
    ("ice-lite", Attribute::IceLite),
    ("end-of-candidates", Attribute::EndOfCandidates),
    ("rtcp-mux", Attribute::RtcpMux),
    ("rtcp-mux-only", Attribute::RtcpMuxOnly),
    ("rtcp-rsize", Attribute::RtcpRsize),
    ("extmap-allow-mixed", Attribute::ExtmapAllowMixed),
];

/// Attributes that may not be ignored when their value is not understood.
const STRICT: [&str; 9] =
    ["mid", "group", "ice-ufrag", "ice-pwd", "fingerprint", "setup", "crypto", "sctp-port", "max-message-size"];

const UFRAG: Expected = "a user fragment of 4 to 256";
const PWD: Expected = "a password of 22 to 256";

/// RFC 8839 §5.4. Deviation: any visible characters, not the 64 of `ice-char` only; nothing depends on them.
fn checked_ufrag(token: Token) -> Result<Token, Expected> {
    if (4..=256).contains(&token.as_str().len()) { Ok(token) } else { Err(UFRAG) }
}

fn checked_pwd(token: Token) -> Result<Secret, Expected> {
    let fits = (22..=256).contains(&token.as_str().len());
    fits.then(|| Secret::new(token.as_str())).flatten().ok_or(PWD)
}

fn parse_ice_options(value: &str) -> Result<Vec<Token>, Expected> {
    let options: Vec<_> = value.split_ascii_whitespace().take(MAX_OPTIONS).filter_map(Token::new).collect();
    if options.is_empty() { Err("an option of ICE") } else { Ok(options) }
}

impl Rtcp {
    fn parse(value: &str) -> Result<Self, Expected> {
        let words: Vec<_> = value.split_ascii_whitespace().take(5).collect();
        let (port, address) = match words.as_slice() {
            [port] => (port, None),
            [port, net, family, host] => (port, Some(Address::parse(net, family, host)?)),
            _ => return Err("a port, and perhaps an address"),
        };
        Ok(Self { port: number(port).ok_or("a port")?, address })
    }
}

impl Fmtp {
    fn parse(value: &str) -> Result<Self, Expected> {
        let (format, text) = value.split_once(' ').unwrap_or((value, ""));
        let format = Token::new(format).ok_or("a format")?;
        Ok(Self { format, text: Text::new(text).ok_or("parameters")? })
    }
}

impl Unknown {
    fn new(name: &str, value: Option<&str>) -> Option<Self> {
        let value = match value {
            Some(value) => Some(Text::new(value)?),
            None => None,
        };
        Some(Self { name: Token::new(name)?, value })
    }

    /// Before the colon.
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// After it, if there is one.
    pub fn value(&self) -> Option<&str> {
        self.value.as_ref().map(Text::as_str)
    }
}

impl fmt::Display for Attribute {
    /// What stands after `a=`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direction(direction) => f.write_str(direction.name()),
            Self::Mid(mid) => write!(f, "mid:{mid}"),
            Self::Group(group) => write!(f, "group:{group}"),
            Self::BundleOnly => f.write_str("bundle-only"),
            Self::Msid(msid) => write!(f, "msid:{msid}"),
            Self::IceUfrag(ufrag) => write!(f, "ice-ufrag:{ufrag}"),
            Self::IcePwd(pwd) => write!(f, "ice-pwd:{}", pwd.reveal()),
            Self::IceOptions(options) => f.write_str("ice-options:").and_then(|()| join(f, options, " ")),
            Self::IceLite => f.write_str("ice-lite"),
            Self::Candidate(candidate) => candidate.fmt(f),
            Self::EndOfCandidates => f.write_str("end-of-candidates"),
            Self::Fingerprint(fingerprint) => write!(f, "fingerprint:{fingerprint}"),
            Self::Setup(setup) => write!(f, "setup:{}", setup.name()),
            Self::TlsId(id) => write!(f, "tls-id:{id}"),
            Self::Rtcp(rtcp) => write!(f, "rtcp:{rtcp}"),
            Self::RtcpMux => f.write_str("rtcp-mux"),
            Self::RtcpMuxOnly => f.write_str("rtcp-mux-only"),
            Self::RtcpRsize => f.write_str("rtcp-rsize"),
            Self::Rtpmap(map) => write!(f, "rtpmap:{map}"),
            Self::Fmtp(fmtp) => write!(f, "fmtp:{} {}", fmtp.format, fmtp.text),
            Self::RtcpFb(feedback) => write!(f, "rtcp-fb:{feedback}"),
            Self::Ptime(milliseconds) => write!(f, "ptime:{milliseconds}"),
            Self::Maxptime(milliseconds) => write!(f, "maxptime:{milliseconds}"),
            Self::Extmap(extmap) => write!(f, "extmap:{extmap}"),
            Self::ExtmapAllowMixed => f.write_str("extmap-allow-mixed"),
            Self::Ssrc(ssrc) => write!(f, "ssrc:{ssrc}"),
            Self::SsrcGroup(group) => write!(f, "ssrc-group:{group}"),
            Self::Rid(rid) => write!(f, "rid:{rid}"),
            Self::Simulcast(simulcast) => write!(f, "simulcast:{simulcast}"),
            Self::SctpPort(port) => write!(f, "sctp-port:{port}"),
            Self::MaxMessageSize(bytes) => write!(f, "max-message-size:{bytes}"),
            Self::Crypto(crypto) => write!(f, "crypto:{crypto}"),
            Self::Unknown(unknown) => unknown.fmt(f),
        }
    }
}

impl fmt::Display for Rtcp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.port)?;
        self.address.as_ref().map_or(Ok(()), |address| write!(f, " {address}"))
    }
}

impl fmt::Display for Unknown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        self.value.as_ref().map_or(Ok(()), |value| write!(f, ":{value}"))
    }
}

/// Nobody has four.
const MAX_OPTIONS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_printed_as_they_are_read() {
        for text in [
            "sendrecv",
            "mid:0",
            "group:BUNDLE 0 1",
            "msid:{c3d2} {4549}",
            "ice-options:trickle ice2",
            "setup:actpass",
            "rtcp:53020 IN IP6 2001:db8::1",
            "rtcp:9",
            "fmtp:97 apt=96",
            "fmtp:t38 x",
            "ptime:20",
            "extmap-allow-mixed",
            "msid-semantic: WMS *",
            "rtcp-xr:rcvr-rtt=all",
            "x-google-flag:",
            "crypto:1 AES_CM_128_HMAC_SHA1_32 inline:NzB4d1BINUAvLEw6UzF3WSJ+PSdFcGdUJShpX1Zj|2^20|1:32",
        ] {
            assert_eq!(Attribute::parse(text).expect(text).to_string(), text);
        }
    }

    #[test]
    fn what_would_mislead_is_refused_and_the_rest_is_kept() {
        for bad in ["mid", "mid:", "mid:a b", "ice-ufrag:abc", "ice-pwd:short", "fingerprint:sha-256 00", "setup:maybe"]
        {
            assert!(Attribute::parse(bad).is_err(), "{bad}");
        }
        for odd in ["ptime:20.0", "rtpmap:101 telephone-event", "candidate:1", "simulcast: send rid=f", "rtcp:"] {
            let read = Attribute::parse(odd).expect(odd);
            assert!(matches!(read, Attribute::Unknown(_)), "{odd}");
            assert_eq!(read.to_string(), odd);
        }
        assert!(Attribute::parse("").is_err() && Attribute::parse("a b:c").is_err());
    }

    #[test]
    fn blanks_behind_a_name_do_not_make_it_another() {
        assert!(matches!(Attribute::parse("rtpmap  :96 VP8/90000"), Ok(Attribute::Rtpmap(_))));
        assert_eq!(Attribute::parse("rtcp-mux "), Ok(Attribute::RtcpMux));
        assert!(Attribute::parse("fingerprint :sha-256 00").is_err());
    }
}
