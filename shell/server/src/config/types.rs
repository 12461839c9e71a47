//! The kinds of values a setting can have, and how people write them.
//!
//! Each type reads one notation and says, when it cannot, what it expected. Whether a value makes sense beside the others
//! is checked in `check.rs`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How a value is written where everything is text: in the environment and in flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `true` or `false`.
    Boolean,
    /// Digits.
    Number,
    /// As it stands.
    Text,
    /// Texts between commas.
    List,
    /// A TOML value.
    Toml,
}

/// A type a setting may have.
pub trait Value: Serialize + DeserializeOwned {
    /// How it is written as text.
    const SHAPE: Shape;
    /// What people call it, with its unit or an example.
    const NOUN: &'static str;
}

macro_rules! values {
    ($($type:ty => $shape:ident, $noun:literal;)*) => {
        $(impl Value for $type { const SHAPE: Shape = Shape::$shape; const NOUN: &'static str = $noun; })*
    };
}

values! {
    bool => Boolean, "`true` or `false`";
    u16 => Number, "port";
    u32 => Number, "number";
    u64 => Number, "number";
    String => Text, "text";
    PathBuf => Text, "path";
    IpAddr => Text, "IP address";
    Period => Text, "time (`250ms`, `30s`, `5m`, `2h`, `1d`)";
    Size => Text, "size (`512B`, `64KiB`, `1MiB`)";
    PortRange => Text, "ports (`49152-65535`)";
    PublicUrl => Text, "URL (`https://talk.example.org`)";
    Secret => Text, "secret";
    Level => Text, "`error`, `warn`, `info`, `debug` or `trace`";
    Format => Text, "`text` or `json`";
    Access => Text, "`loopback`, `key` or `open`";
    Vec<String> => List, "list of texts";
    Vec<Cidr> => List, "list of networks (`10.0.0.0/8`)";
    Vec<IpAddr> => List, "list of addresses";
    Vec<SocketAddr> => List, "list of addresses with ports (`198.51.100.7:3478`)";
    Vec<ExtraServer> => Toml, "list of tables";
    Vec<ExternalAddress> => List, "list of addresses (`203.0.113.7` or `203.0.113.7/10.0.0.7`)";
    Vec<RelayUser> => List, "list of users (`name:password`)";
}

impl<T: Value> Value for Option<T> {
    const SHAPE: Shape = T::SHAPE;
    const NOUN: &'static str = T::NOUN;
}

/// Reads by `FromStr` and prints by `Display`.
macro_rules! as_text {
    ($($type:ty),*) => {
        $(
            impl<'de> Deserialize<'de> for $type {
                fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                    String::deserialize(input)?.parse().map_err(D::Error::custom)
                }
            }
            impl Serialize for $type {
                fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
                    out.collect_str(self)
                }
            }
        )*
    };
}

as_text!(Period, Size, PortRange, PublicUrl, Cidr, ExternalAddress);

/// What a text should have been.
#[derive(Debug, thiserror::Error)]
#[error("expected {expected}, got \"{got}\"")]
pub struct Unreadable {
    expected: &'static str,
    got: String,
}

fn unreadable(expected: &'static str, got: &str) -> Unreadable {
    Unreadable { expected, got: got.chars().take(100).collect() }
}

/// A length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Duration);

const PERIODS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

impl Period {
    /// That many seconds.
    pub const fn seconds(seconds: u64) -> Period {
        Period(Duration::from_secs(seconds))
    }
}

impl FromStr for Period {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let wrong = || unreadable("a time with its unit, such as 250ms, 30s, 5m, 2h or 1d", text);
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        let (_, factor) = PERIODS.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        Ok(Period(Duration::from_millis(number.checked_mul(*factor).ok_or_else(wrong)?)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        let fits = |(_, factor): &&(&str, u64)| ms != 0 && ms.is_multiple_of(u128::from(*factor));
        match PERIODS.iter().find(fits) {
            Some((unit, factor)) => write!(f, "{}{unit}", ms / u128::from(*factor)),
            None => write!(f, "{ms}ms"),
        }
    }
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Size {
    /// For memory: all of it where the machine cannot count that far.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for Size {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let wrong = || unreadable("a size with its unit, such as 512B, 64KiB, 1MiB or 2GiB", text);
        let (number, unit) = number_and_unit(text).ok_or_else(wrong)?;
        let (_, factor) = SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(wrong)?;
        Ok(Size(number.checked_mul(*factor).ok_or_else(wrong)?))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SIZES.iter().find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

fn number_and_unit(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    Some((number.parse().ok()?, unit.trim_start()))
}

/// Ports from the first to the last, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// Lowest.
    pub first: u16,
    /// Highest.
    pub last: u16,
}

impl FromStr for PortRange {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let wrong = || unreadable("a range of ports such as 49152-65535, the lower first, above 0", text);
        let (first, last) = text.split_once('-').ok_or_else(wrong)?;
        let (first, last) = (first.trim().parse().ok(), last.trim().parse().ok());
        match (first, last) {
            (Some(first), Some(last)) if 0 < first && first <= last => Ok(PortRange { first, last }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.first, self.last)
    }
}

/// Addresses with the same first bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// Any of them.
    pub address: IpAddr,
    /// How many bits are the same.
    pub prefix: u8,
}

impl Cidr {
    /// Is it one of them? An IPv4 address written as an IPv6 one is the same address.
    pub fn contains(&self, other: IpAddr) -> bool {
        match (self.address.to_canonical(), other.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => {
                same_start(u128::from(a.to_bits()) << 96, u128::from(b.to_bits()) << 96, self.prefix)
            }
            (IpAddr::V6(a), IpAddr::V6(b)) => same_start(a.to_bits(), b.to_bits(), self.prefix),
            _ => false,
        }
    }
}

fn same_start(a: u128, b: u128, bits: u8) -> bool {
    (a ^ b).leading_zeros() >= u32::from(bits)
}

impl FromStr for Cidr {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let wrong = || unreadable("a network such as 10.0.0.0/8 or fd00::/8, or one address", text);
        let (address, prefix) = match text.trim().split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text.trim(), None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(most), str::parse).map_err(|_| wrong())?;
        if prefix > most { Err(wrong()) } else { Ok(Cidr { address, prefix }) }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Where people find this server: scheme, host, perhaps a port, and nothing behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    https: bool,
    authority: String,
}

impl PublicUrl {
    /// Host and, where it is not the usual one, port.
    pub fn authority(&self) -> &str {
        &self.authority
    }
}

impl FromStr for PublicUrl {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let wrong = || unreadable("scheme and host without a path, such as https://talk.example.org", text);
        let (https, rest) = match text.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err(wrong()),
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        let parsed: axum::http::uri::Authority = authority.parse().map_err(|_| wrong())?;
        if parsed.host().is_empty() || authority.contains('@') {
            return Err(wrong());
        }
        Ok(PublicUrl { https, authority: authority.to_ascii_lowercase() })
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http{}://{}", if self.https { "s" } else { "" }, self.authority)
    }
}

/// Never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str("(set, not shown)")
    }
}

/// An address outside a NAT, and the one inside that it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExternalAddress {
    /// Outside.
    pub public: IpAddr,
    /// Inside; `None`: all of the family that have none of their own.
    pub private: Option<IpAddr>,
}

impl FromStr for ExternalAddress {
    type Err = Unreadable;

    fn from_str(text: &str) -> Result<Self, Unreadable> {
        let wrong = || unreadable("a public address, or public/private of one family (203.0.113.7/10.0.0.7)", text);
        let address = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| wrong());
        let (public, private) = match text.split_once('/') {
            Some((public, private)) => (address(public)?, Some(address(private)?)),
            None => (address(text)?, None),
        };
        if private.is_some_and(|private| private.is_ipv4() != public.is_ipv4()) || public.is_unspecified() {
            return Err(wrong());
        }
        Ok(Self { public, private })
    }
}

impl fmt::Display for ExternalAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.private {
            Some(private) => write!(f, "{}/{private}", self.public),
            None => write!(f, "{}", self.public),
        }
    }
}

/// A user of the relay with a password of its own; the password is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct RelayUser {
    /// As in the USERNAME attribute.
    pub name: String,
    /// Whatever stands behind the first colon.
    pub password: Secret,
}

impl TryFrom<String> for RelayUser {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        // What came is not repeated: it may be a password.
        match text.split_once(':') {
            Some((name, password)) if !name.is_empty() && !password.is_empty() => {
                Ok(Self { name: name.to_owned(), password: Secret(password.to_owned()) })
            }
            _ => Err("expected `name:password`"),
        }
    }
}

impl fmt::Debug for RelayUser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayUser").finish_non_exhaustive()
    }
}

impl Serialize for RelayUser {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&format!("{}:(set, not shown)", self.name))
    }
}

/// Least urgent line that is written to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Broken, someone must act.
    Error,
    /// Worth waking someone.
    Warn,
    /// Life-cycle steps.
    Info,
    /// Decisions; shows addresses.
    Debug,
    /// Everything.
    Trace,
}

impl Level {
    /// As `tracing` calls it.
    pub fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Info => "info",
            Level::Debug => "debug",
            Level::Trace => "trace",
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Who may read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Access {
    /// Programs on the same machine.
    Loopback,
    /// Whoever has an API key.
    Key,
    /// Anyone.
    Open,
}

/// A STUN or TURN server of others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtraServer {
    /// `stun:`, `turn:` or `turns:` URLs.
    pub urls: Vec<String>,
    /// For `turn:` and `turns:`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// For `turn:` and `turns:`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_printed_with_the_largest_unit_that_fits() {
        for (text, ms, printed) in
            [("30s", 30_000, "30s"), ("90s", 90_000, "90s"), ("120 s", 120_000, "2m"), ("0ms", 0, "0ms")]
        {
            let period: Period = text.parse().expect(text);
            assert_eq!(period.0, Duration::from_millis(ms));
            assert_eq!(period.to_string(), printed);
        }
        for wrong in ["30", "s", "", "-1s", "1 fortnight", "99999999999999999999s", "18446744073709551615d"] {
            assert!(wrong.parse::<Period>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_are_read_and_printed_with_the_largest_unit_that_fits() {
        assert_eq!("64KiB".parse::<Size>().expect("a size"), Size(65_536));
        assert_eq!(Size(65_536).to_string(), "64KiB");
        assert_eq!(Size(1000).to_string(), "1000B");
        assert!("64".parse::<Size>().is_err());
        assert!("64kb".parse::<Size>().is_err());
    }

    #[test]
    fn a_network_contains_its_addresses_and_no_others() {
        let net: Cidr = "10.1.0.0/16".parse().expect("a network");
        assert!(net.contains("10.1.255.1".parse().expect("address")));
        assert!(net.contains("::ffff:10.1.0.9".parse().expect("address")));
        assert!(!net.contains("10.2.0.1".parse().expect("address")));
        assert!(!net.contains("::1".parse().expect("address")));
        let all: Cidr = "::/0".parse().expect("a network");
        assert!(all.contains("2001:db8::1".parse().expect("address")));
        assert!("10.0.0.0/33".parse::<Cidr>().is_err());
    }

    #[test]
    fn a_public_url_has_no_path_and_no_user() {
        assert_eq!(
            "https://Talk.example.org/".parse::<PublicUrl>().expect("a URL").to_string(),
            "https://talk.example.org"
        );
        for wrong in ["talk.example.org", "ftp://x", "https://x/path", "https://u@x", "https://", "https://a b"] {
            assert!(wrong.parse::<PublicUrl>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_external_address_is_one_or_a_pair_of_one_family() {
        for text in ["203.0.113.7", "203.0.113.7/10.0.0.7", "2001:db8::7/fd00::7"] {
            assert_eq!(text.parse::<ExternalAddress>().expect(text).to_string(), text);
        }
        for bad in [
            "",
            "203.0.113.7/",
            "/10.0.0.7",
            "203.0.113.7/24",
            "203.0.113.7/fd00::7",
            "0.0.0.0",
            "a",
            "1.2.3.4/5.6.7.8/9",
        ] {
            assert!(bad.parse::<ExternalAddress>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_secret_is_never_printed() {
        let user = RelayUser::try_from("alice:in:wonderland".to_owned()).expect("a user");
        assert_eq!((user.name.as_str(), user.password.0.as_str()), ("alice", "in:wonderland"));
        assert!(!format!("{user:?}{}", serde_json::to_string(&user).expect("a text")).contains("wonderland"));
        for bad in ["", "alice", "alice:", ":wonderland"] {
            assert!(RelayUser::try_from(bad.to_owned()).is_err(), "{bad}");
        }
        let secret = Secret("hunter2".into());
        assert!(!format!("{secret:?}").contains("hunter2"));
        assert!(!serde_json::to_string(&secret).expect("text").contains("hunter2"));
    }
}
