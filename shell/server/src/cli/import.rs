//! `tandem import coturn`: a `turnserver.conf` becomes settings of ours; what has no counterpart is named.

mod databases;
mod networks;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use toml::{Table, Value};

pub(crate) use networks::networks;
use networks::without;

use super::{note, say};
use crate::config::Settings;
use crate::config::types::{Cidr, ExternalAddress};

/// Whose configuration to take over.
#[derive(Subcommand)]
pub enum Command {
    /// Print settings (TOML) that do what a configuration of coturn does, and say what has no counterpart.
    #[command(after_help = EXAMPLES)]
    Coturn {
        /// `turnserver.conf`.
        file: PathBuf,
    },
}

const EXAMPLES: &str = "Examples:
  tandem import coturn /etc/turnserver.conf > tandem.toml
  tandem config check tandem.toml
Secrets and passwords are taken over as they are: keep the result as safe as the original.";

/// Runs it.
pub fn run(command: Command) -> anyhow::Result<()> {
    let Command::Coturn { file } = command;
    let text = std::fs::read_to_string(&file).with_context(|| format!("{} cannot be read", file.display()))?;
    let import = Import::read(&text);
    let settings = import.toml()?;
    say(settings.trim_end());
    import.remarks.iter().for_each(|remark| note(remark));
    Ok(())
}

/// What has been understood so far.
#[derive(Default)]
struct Import {
    relay: Table,
    tls: Table,
    ports: (Option<u16>, Option<u16>),
    denied: Vec<Cidr>,
    allowed: Vec<Cidr>,
    remarks: Vec<String>,
}

/// Switches for what is never otherwise here.
const ALWAYS: [&str; 14] = [
    "fingerprint",
    "lt-cred-mech",
    "mobility",
    "new-log-timestamp",
    "no-cli",
    "no-multicast-peers",
    "no-software-attribute",
    "no-stdout-log",
    "no-tlsv1",
    "no-tlsv1_1",
    "pidfile",
    "simple-log",
    "stale-nonce",
    "use-auth-secret",
];

impl Import {
    fn read(text: &str) -> Self {
        let mut import = Self::default();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (key, value) = line.split_once(['=', ' ', '\t']).unwrap_or((line, ""));
            let value = value.trim().trim_matches('"');
            if let Err(remark) = import.take(key.trim(), value) {
                import.remarks.push(format!("line {number}, `{}`: {remark}", key.trim()));
            }
        }
        if let (first, last) = import.ports
            && (first, last) != (None, None)
        {
            let range = format!("{}-{}", first.unwrap_or(49_152), last.unwrap_or(65_535));
            import.relay.insert("port_range".to_owned(), range.into());
        }
        import.peers();
        import
    }

    /// Where both lists have an address, coturn lets it pass and ours does not: it is taken out of the denied ones.
    fn peers(&mut self) {
        for network in without(&self.denied, &self.allowed) {
            push(&mut self.relay, "denied_peers", network.to_string());
        }
        for network in &self.allowed {
            push(&mut self.relay, "allow_peers", network.to_string());
        }
    }

    /// One option. What is said of it otherwise is for the person.
    fn take(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "listening-port" => self.number("port", value),
            "tls-listening-port" => self.number("tls_port", value),
            "no-tls" => self.number("tls_port", "0"),
            "min-port" => port(value).map(|port| self.ports.0 = Some(port)),
            "max-port" => port(value).map(|port| self.ports.1 = Some(port)),
            "total-quota" => self.number("allocations", positive(value)?),
            "user-quota" => self.number("allocations_per_user", positive(value)?),
            "external-ip" => {
                let external: ExternalAddress = value.parse().map_err(|error| format!("{error}"))?;
                push(&mut self.relay, "external_addresses", external.to_string());
                Ok(())
            }
            "listening-ip" => self.address("listen_addresses", value),
            "relay-ip" => self.address("relay_addresses", value),
            "static-auth-secret" => once(&mut self.relay, "secret", value.to_owned()),
            "cert" => once(&mut self.tls, "certificate", value.to_owned()),
            "pkey" => once(&mut self.tls, "key", value.to_owned()),
            "allow-loopback-peers" => once(&mut self.relay, "allow_loopback", true),
            "allowed-peer-ip" => networks(value).map(|networks| self.allowed.extend(networks)),
            "denied-peer-ip" => networks(value).map(|networks| self.denied.extend(networks)),
            "max-bps" => self.bytes("session_bytes_per_second", positive(value)?),
            "bps-capacity" => self.bytes("server_bytes_per_second", value),
            "no-dtls" => once(&mut self.relay, "dtls", false),
            "alternate-server" => {
                push(&mut self.relay, "alternate_servers", server(value)?.to_string());
                Ok(())
            }
            "realm" => once(&mut self.relay, "realm", value.to_owned()),
            "server-name" => once(&mut self.relay, "token_server_name", value.to_owned()),
            "userdb" => once(&mut self.relay, "database", format!("sqlite:{value}")),
            "psql-userdb" => once(&mut self.relay, "database", databases::postgres(value)?),
            "mysql-userdb" => once(&mut self.relay, "database", databases::mysql(value)?),
            "mongo-userdb" => once(&mut self.relay, "database", value.to_owned()),
            "redis-userdb" => once(&mut self.relay, "database", databases::redis(value)?),
            "user" => self.user(value),
            key if ALWAYS.contains(&key) => Ok(()),
            key => Err(no_counterpart(key).to_owned()),
        }
    }

    fn number(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number: i64 = value.parse().map_err(|_| format!("expected a number, got `{value}`"))?;
        self.relay.insert(name.to_owned(), number.into());
        Ok(())
    }

    fn address(&mut self, name: &str, value: &str) -> Result<(), String> {
        push(&mut self.relay, name, address(value)?.to_string());
        Ok(())
    }

    fn bytes(&mut self, name: &str, value: &str) -> Result<(), String> {
        let number: u64 = value.parse().map_err(|_| format!("expected bytes per second, got `{value}`"))?;
        once(&mut self.relay, name, format!("{number}B"))
    }

    fn user(&mut self, value: &str) -> Result<(), String> {
        match value.split_once(':') {
            Some((_, key)) if key.starts_with("0x") => {
                Err("a key made for another realm cannot be used; give the user a password: tandem turn user add"
                    .into())
            }
            Some((name, password)) if !name.is_empty() && !password.is_empty() => {
                push(&mut self.relay, "users", format!("{name}:{password}"));
                Ok(())
            }
            // What came is not repeated: it may be a password.
            _ => Err("expected `name:password`".to_owned()),
        }
    }

    /// As a file of settings, which ours would take.
    fn toml(&self) -> anyhow::Result<String> {
        let mut all = Table::new();
        for (name, section) in [("tls", &self.tls), ("relay", &self.relay)] {
            if !section.is_empty() {
                all.insert(name.to_owned(), Value::Table(section.clone()));
            }
        }
        let text = toml::to_string(&all)?;
        toml::from_str::<Settings>(&text).context("something in the file would not be accepted as a setting")?;
        Ok(text)
    }
}

fn once(section: &mut Table, name: &str, value: impl Into<Value>) -> Result<(), String> {
    if section.contains_key(name) {
        return Err("only the first one is taken: ours has one".to_owned());
    }
    section.insert(name.to_owned(), value.into());
    Ok(())
}

fn push(section: &mut Table, name: &str, value: String) {
    let list = section.entry(name.to_owned()).or_insert_with(|| Value::Array(Vec::new()));
    if let Some(list) = list.as_array_mut() {
        list.push(value.into());
    }
}

fn port(value: &str) -> Result<u16, String> {
    value.parse().map_err(|_| format!("expected a port, got `{value}`"))
}

/// 0 means no limit there, which there is none of here.
fn positive(value: &str) -> Result<&str, String> {
    if value == "0" { Err("there is always a limit here; the default stays".to_owned()) } else { Ok(value) }
}

fn address(value: &str) -> Result<IpAddr, String> {
    value.parse().map_err(|_| format!("expected an address, got `{value}`"))
}

fn server(value: &str) -> Result<SocketAddr, String> {
    let with_port = value.parse().ok().or_else(|| Some((value.parse::<IpAddr>().ok()?, 3478).into()));
    with_port.ok_or_else(|| format!("expected an address with or without a port, got `{value}`"))
}

fn no_counterpart(key: &str) -> &'static str {
    match key {
        "oauth" => {
            "tokens are taken where relay.token_server_name is set: give it the value of server-name, or of realm"
        }
        "redis-statsdb" => "figures are at `/metrics`, not in Redis",
        "secret-key-file" => "the password of the database is to be written as it is: relay.database",
        "secure-stun" => "Binding requests are answered without a credential",
        "relay-threads" => "there is one thread for each core",
        "prometheus" | "prometheus-port" => "`/metrics` is always there, on the port of the pages",
        "channel-lifetime" | "max-allocate-lifetime" | "max-allocate-timeout" | "permission-lifetime" => {
            "lifetimes are those of RFC 8656 and cannot be set"
        }
        "no-auth" => "nobody relays here without a credential",
        "no-udp" | "no-tcp" | "no-udp-relay" | "no-tcp-relay" | "no-stun" | "stun-only" => {
            "transports and usages cannot be turned off one by one"
        }
        _ => "no counterpart",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        /// Whatever stands there: settings that ours would take, or a reason, and a word about each line that was not understood.
        #[test]
        fn no_line_is_too_odd(lines in prop::collection::vec((0..OPTIONS.len(), "[ =\t]", ".{0,40}|[0-9]{1,20}|[0-9a-f:./-]{1,40}|[a-z]{1,9}=.{0,9}"), 0..12), any in ".{0,80}") {
            let mut text = any;
            for (option, between, value) in &lines {
                text.push_str(&format!("\n{}{between}{value}", OPTIONS[*option]));
            }
            let import = Import::read(&text);
            prop_assert!(import.remarks.len() <= text.lines().count());
            if let Ok(settings) = import.toml() {
                prop_assert!(toml::from_str::<Settings>(&settings).is_ok());
            }
        }
    }

    const OPTIONS: [&str; 22] = [
        "listening-port",
        "tls-listening-port",
        "min-port",
        "max-port",
        "total-quota",
        "user-quota",
        "external-ip",
        "listening-ip",
        "static-auth-secret",
        "cert",
        "allowed-peer-ip",
        "denied-peer-ip",
        "max-bps",
        "bps-capacity",
        "alternate-server",
        "realm",
        "userdb",
        "psql-userdb",
        "mysql-userdb",
        "redis-userdb",
        "user",
        "relay-ip",
    ];

    const CONF: &str = r#"
# a comment
listening-port=3479
tls-listening-port 5350
min-port=50000
max-port=50999
fingerprint
lt-cred-mech
use-auth-secret
static-auth-secret=north
realm=example.org
user=alice:in wonderland
user=bob:0x7b5e2b9f
external-ip=203.0.113.7/10.0.0.7
external-ip=203.0.113.8/10.0.0.8
listening-ip=10.0.0.7
relay-ip=10.0.0.7
relay-ip=10.0.0.8
allowed-peer-ip=10.0.0.0-10.0.0.255
denied-peer-ip=0.0.0.0-0.255.255.255
denied-peer-ip=10.0.0.0-10.0.1.255
max-bps=64000
total-quota=100
user-quota=0
cert="/etc/ssl/turn.pem"
pkey=/etc/ssl/turn.key
cli-password=secret
"#;

    #[test]
    fn what_has_a_counterpart_is_taken_over_and_the_rest_is_named_by_line() {
        let import = Import::read(CONF);
        let text = import.toml().unwrap_or_else(|error| panic!("{error:#}"));
        let settings: Settings = toml::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        let relay = &settings.relay;
        assert_eq!(relay.realm, "example.org");
        assert_eq!((relay.port, relay.tls_port, relay.allocations), (3479, 5350, 100));
        assert_eq!(relay.port_range.to_string(), "50000-50999");
        assert_eq!(relay.secret.as_ref().map(|secret| secret.0.as_str()), Some("north"));
        let texts = |all: &[IpAddr]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(texts(&relay.listen_addresses), ["10.0.0.7"]);
        assert_eq!(texts(&relay.relay_addresses), ["10.0.0.7", "10.0.0.8"]);
        let external = relay.external_addresses.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(external, ["203.0.113.7/10.0.0.7", "203.0.113.8/10.0.0.8"]);
        assert_eq!(relay.allow_peers.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/24"]);
        assert_eq!(
            relay.denied_peers.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["0.0.0.0/8", "10.0.1.0/24"]
        );
        assert_eq!(relay.session_bytes_per_second.0, 64_000);
        assert_eq!(relay.users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), ["alice"]);
        assert_eq!(settings.tls.certificate, Some("/etc/ssl/turn.pem".into()));
        let named: Vec<&str> = import.remarks.iter().filter_map(|remark| remark.split('`').nth(1)).collect();
        assert_eq!(named, ["user", "user-quota", "cli-password"]);
        assert!(!import.remarks.concat().contains("7b5e2b9f") && !import.remarks.concat().contains("secret"));
    }

    #[test]
    fn nothing_is_passed_over_in_silence_that_would_be_otherwise_here() {
        for line in
            ["secure-stun", "max-allocate-lifetime=600", "permission-lifetime=100", "relay-threads=2", "prometheus"]
        {
            assert_eq!(Import::read(line).remarks.len(), 1, "{line}");
        }
        assert!(Import::read("fingerprint\nno-multicast-peers\nno-cli").remarks.is_empty());
    }

    #[test]
    fn an_empty_file_and_a_broken_one_are_no_reason_to_panic() {
        assert_eq!(Import::read("").toml().ok().as_deref(), Some(""));
        let import = Import::read("listening-port=x\n=\nuser=\nmin-port=70000\nalternate-server=a:b\n\u{0}");
        assert_eq!(import.remarks.len(), 6, "{:?}", import.remarks);
        assert!(Import::read("min-port=9\nmax-port=8").toml().is_err(), "not a range");
    }
}
