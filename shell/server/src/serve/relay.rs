//! The relay, from the settings.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use arc_swap::ArcSwap;

use tandem_store::{Store, TurnUsers};
use tandem_stun::turn::{self, Usage};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinHandle;

use super::bind::explain;
use super::count;
use super::users::Users;
use crate::config::Settings;
use crate::config::types::{Cidr, ExternalAddress};
use crate::credentials;
use crate::data_dir::{DataDir, kept_secret};
use crate::relay::{self, Handover, Limits, PeerRules};
use crate::tls::{self, Certificates};

/// A running relay and what participants are told of it.
pub struct Relay {
    /// Ends what it relays.
    pub handle: Arc<relay::Handle>,
    /// For the engine.
    pub announced: Arc<ArcSwap<tandem_engine::Relay>>,
    /// What its users have used.
    pub usage: Option<mpsc::Receiver<Vec<Usage>>>,
    /// Those who are asked for, if any.
    pub users: Option<Users>,
    /// Secrets that were replaced, and until when each is good.
    pub former: Vec<(Vec<u8>, Instant)>,
    /// Ends with the relay, or when it is aborted.
    pub watching: Option<JoinHandle<()>>,
}

/// Starts it, unless it is turned off.
pub async fn start(
    (settings, before): (&Settings, Option<Handover>),
    data: &DataDir,
    (certificates, services): (Option<Arc<Certificates>>, Vec<SocketAddr>),
    store: &Store,
) -> anyhow::Result<Option<Relay>> {
    if !settings.relay.enabled {
        return Ok(None);
    }
    let secret = secret(settings, data)?;
    let dtls = certificates.clone().filter(|_| settings.relay.dtls).map(identities).transpose()?;
    let tls = certificates.map(|certificates| tls::server_config(certificates, &[])).transpose()?;
    let mut config = config(settings, secret.clone().into_bytes());
    config.discovery = discovery(settings)?;
    config.services = services;
    let users = match settings.relay.stored_users {
        true => Some(Users::new(database(settings, store).await?)),
        false => None,
    };
    if let Some(users) = &users {
        (config.users.ask, config.users.unhashed) = (Some(users.ask()), !users.all_hashed().await);
    }
    config.tls =
        tls.filter(|_| settings.relay.tls_port != 0).map(|config| relay::Tls { port: settings.relay.tls_port, config });
    config.dtls = dtls;
    let (sender, usage) = credentials::queue();
    config.usage = Some(take_usage(sender));
    let former = before.as_ref().map(|before| former(before, &config.secret)).unwrap_or_default();
    config.former_secrets = former.iter().map(|(secret, _)| secret.clone()).collect();
    if let Some(users) = users.as_ref().filter(|_| before.is_some()) {
        // What is relayed is judged by them at once.
        config.realms = users.realms().await;
    }
    let handle = start_or_go_on(&config, before).map_err(|error| {
        let ports = format!("a port of the relay ({}, or {} for TLS)", settings.relay.port, settings.relay.tls_port);
        explain(error, &ports, "relay.port, --relay.tls-port, or turn the relay off with --relay.enabled=false")
    })?;
    let announced = announced(&handle, settings, secret);
    let announced = Arc::new(ArcSwap::from_pointee(announced));
    let handle = Arc::new(handle);
    let watching = users.clone().map(|users| tokio::spawn(users.watch(Arc::downgrade(&handle), config.realms)));
    Ok(Some(Relay { handle, announced, usage: Some(usage), users, former, watching }))
}

/// The secrets of the program before, but for the one that is good anyway.
fn former(before: &Handover, secret: &[u8]) -> Vec<(Vec<u8>, Instant)> {
    let now = Instant::now();
    let others = before.secrets.iter().filter(|(other, left)| other != secret && !left.is_zero());
    others.filter_map(|(other, left)| Some((other.clone(), now.checked_add(*left)?))).collect()
}

/// The one of the settings, or the one that is kept.
pub fn secret(settings: &Settings, data: &DataDir) -> anyhow::Result<String> {
    match &settings.relay.secret {
        Some(secret) => Ok(secret.0.clone()),
        None => kept_secret(&data.path().join("relay-secret")),
    }
}

/// What participants are told by these settings.
pub fn announced(handle: &relay::Handle, settings: &Settings, secret: String) -> tandem_engine::Relay {
    tandem_engine::Relay {
        secret: secret.into_bytes(),
        ttl: settings.relay.credential_ttl.0,
        port: handle.port(),
        tls_port: handle.tls_port(),
        shares_https_port: settings.relay.share_http_port && !settings.http.behind_proxy,
        host: settings.relay.host.clone(),
    }
}

/// Goes on by other settings. Former secrets stay good beside this one.
pub fn change(handle: &relay::Handle, settings: &Settings, secret: &str, former: Vec<Vec<u8>>) {
    let mut config = config(settings, secret.as_bytes().to_vec());
    config.limits.allocations = per_shard(settings, handle.shards());
    config.former_secrets = former;
    handle.change(config.changes());
}

/// Its threads do not wait: what finds no room they keep.
fn take_usage(sender: mpsc::Sender<Vec<Usage>>) -> relay::TakeUsage {
    Arc::new(move |batch| match sender.try_send(batch) {
        Ok(()) => Ok(()),
        Err(TrySendError::Full(batch) | TrySendError::Closed(batch)) => Err(batch),
    })
}

/// Goes on with what another program has left behind, if it can.
fn start_or_go_on(config: &relay::Config, before: Option<Handover>) -> io::Result<relay::Handle> {
    match before {
        Some(handover) => relay::go_on(config, handover),
        None => start_listening(config),
    }
}

/// The certificate for DTLS whenever a shard asks.
fn identities(certificates: Arc<Certificates>) -> anyhow::Result<relay::Identities> {
    certificates.for_dtls().context("there is no certificate for DTLS, which relay.dtls asks for")?;
    if certificates.is_dtls_different() {
        tracing::warn!(
            "TURN over DTLS shows the self-signed certificate: the other has no ECDSA key that DTLS can use"
        );
    }
    Ok(Arc::new(move || certificates.for_dtls()))
}

/// On a machine without IPv6, every IPv4 address will do.
fn start_listening(config: &relay::Config) -> io::Result<relay::Handle> {
    match relay::start(config.clone()) {
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            let listen = vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
            relay::start(relay::Config { listen, ..config.clone() })
        }
        other => other,
    }
}

fn config(settings: &Settings, secret: Vec<u8>) -> relay::Config {
    let from = &settings.relay;
    let mut config = relay::Config {
        port: from.port,
        realm: from.realm.clone(),
        secret,
        users: relay::Users {
            fixed: from.users.iter().map(|user| (user.name.clone(), user.password.0.clone())).collect(),
            ask: None,
            unhashed: false,
            third_party: from
                .token_server_name
                .clone()
                .map(|server_name| turn::ThirdParty { server_name, keys: Vec::new() }),
        },
        credential_lifetime: from.credential_ttl.0.max(credentials::MOST_TTL),
        end_on_expiry: from.end_on_expiry,
        relay_ports: from.port_range.first..=from.port_range.last,
        peers: PeerRules {
            allow: from.allow_peers.iter().filter_map(network).collect(),
            deny: from.denied_peers.iter().filter_map(network).collect(),
            nat64: from.nat64_prefixes.iter().filter_map(network).collect(),
            allow_loopback: from.allow_loopback,
        },
        forbidden_ports: [settings.http.port, settings.http.redirect_port]
            .into_iter()
            .filter(|&port| port != 0)
            .collect(),
        ..relay::Config::default()
    };
    if !from.listen_addresses.is_empty() {
        config.listen.clone_from(&from.listen_addresses);
    } else if !settings.http.address.is_unspecified() {
        config.listen = vec![settings.http.address];
    } else if settings.http.address.is_ipv4() {
        config.listen = vec![IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
    }
    let mapping = |from: &ExternalAddress| turn::Mapping { public: from.public, private: from.private };
    config.external = turn::External::new(from.external_addresses.iter().map(mapping).collect());
    config.relay_from.clone_from(&from.relay_addresses);
    name_foreign(from);
    config.alternates.clone_from(&from.alternate_servers);
    config.proxies = settings.proxy_protocol.from.iter().filter_map(network).collect();
    config.offload = match from.offload.as_slice() {
        [] => None,
        [auto] if auto == "auto" => Some(relay::Interfaces::Auto),
        names => Some(relay::Interfaces::Named(names.to_vec())),
    };
    config.limits = Limits {
        allocations: per_shard(settings, std::thread::available_parallelism().map_or(1, usize::from)),
        allocations_per_user: count(from.allocations_per_user),
        permissions: count(from.permissions),
        channels: count(from.channels),
        bytes_per_second: from.session_bytes_per_second.0,
        burst_bytes: from.session_bytes_per_second.0.saturating_mul(2),
        packets_per_second: from.session_packets_per_second,
        peers_per_second: from.session_peers_per_second,
        bytes_per_second_per_user: from.user_bytes_per_second.0,
        bytes_per_second_in_all: from.server_bytes_per_second.0,
        ..config.limits
    };
    config
}

/// Addresses that this machine does not have, or not yet: nothing can be relayed from there.
fn name_foreign(from: &crate::config::settings::Relay) {
    let own = relay::own_addresses().unwrap_or_default();
    let private = from.external_addresses.iter().filter_map(|external| external.private);
    let named = from.relay_addresses.iter().copied().map(|ip| ("relay.relay_addresses", ip));
    for (setting, ip) in named.chain(private.map(|ip| ("relay.external_addresses", ip))) {
        if !own.contains(&ip) {
            tracing::warn!(setting, %ip, ?own, "this machine does not have this address");
        }
    }
}

/// Of the allocations of all.
fn per_shard(settings: &Settings, shards: usize) -> usize {
    count(settings.relay.allocations).div_ceil(shards.max(1))
}

/// The database that the settings name; ours if they name none.
async fn database(settings: &Settings, store: &Store) -> anyhow::Result<TurnUsers> {
    if settings.relay.database.is_some() { database_of(settings).await } else { Ok(store.turn_users()) }
}

/// The one of `relay.database`.
pub async fn database_of(settings: &Settings) -> anyhow::Result<TurnUsers> {
    let url = settings.relay.database.as_ref().context("relay.database is not set")?;
    TurnUsers::open(&url.0).await.context("relay.database")
}

/// Two different addresses of one family, or none.
fn discovery(settings: &Settings) -> anyhow::Result<Option<relay::Discovery>> {
    match *settings.relay.discovery_addresses.as_slice() {
        [] => Ok(None),
        [one, other] if one != other && one.is_ipv4() == other.is_ipv4() => {
            Ok(Some(relay::Discovery { addresses: [one, other], port: settings.relay.discovery_port }))
        }
        _ => anyhow::bail!("relay.discovery_addresses: expected two different addresses of one family, or none"),
    }
}

pub(super) fn network(from: &Cidr) -> Option<tandem_stun::Cidr> {
    tandem_stun::Cidr::new(from.address, from.prefix)
}

/// Takes it down for another program to go on with; waits for its threads.
pub async fn take_down(handle: Arc<relay::Handle>) -> anyhow::Result<Handover> {
    let taken = tokio::task::spawn_blocking(move || handle.hand_over()).await.context("the relay did not stop")?;
    taken.context("the relay cannot be taken down")
}

/// Stops it; waits for its threads.
pub async fn stop(handle: Arc<relay::Handle>) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || handle.shutdown()).await.context("the relay did not stop")
}
