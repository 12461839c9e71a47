//! Do the settings fit together?

use std::net::IpAddr;
use std::time::Duration;

use super::settings::Settings;
use crate::credentials::MOST_TTL;
use crate::webhooks::Target;

/// Every contradiction, as a sentence that says what to change.
pub fn problems(all: &Settings) -> Vec<String> {
    let mut found = Vec::new();
    tls(all, &mut found);
    ports(all, &mut found);
    relay(all, &mut found);
    rooms(all, &mut found);
    extra_servers(all, &mut found);
    webhooks(all, &mut found);
    found
}

fn tls(all: &Settings, found: &mut Vec<String>) {
    let tls = &all.tls;
    match (&tls.certificate, &tls.key) {
        (Some(_), None) => found.push("tls.certificate is set, but not tls.key: set both or neither".to_owned()),
        (None, Some(_)) => found.push("tls.key is set, but not tls.certificate: set both or neither".to_owned()),
        (Some(_), Some(_)) if !tls.acme_domains.is_empty() => {
            found.push("tls.certificate and tls.acme_domains exclude each other: remove one".to_owned());
        }
        _ => {}
    }
    for domain in &tls.acme_domains {
        let is_name = domain.contains('.') && domain.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c));
        if !is_name || domain.parse::<std::net::IpAddr>().is_ok() {
            found.push(format!("tls.acme_domains: expected names such as talk.example.org, got \"{domain}\""));
        }
    }
    if tls.acme_staging && tls.acme_directory.is_some() {
        found.push("tls.acme_staging and tls.acme_directory exclude each other: remove one".to_owned());
    }
    if tls.acme_ca.is_some() && tls.acme_directory.is_none() {
        found.push(
            "tls.acme_ca is set, but not tls.acme_directory: Let's Encrypt needs no authority of yours".to_owned(),
        );
    }
    if let Some(directory) = tls.acme_directory.as_ref().filter(|url| !url.starts_with("https://")) {
        found.push(format!("tls.acme_directory: expected a URL that begins with https://, got \"{directory}\""));
    }
    if all.http.behind_proxy && !tls.acme_domains.is_empty() {
        found.push("http.behind_proxy is set: then the proxy gets the certificates, not tls.acme_domains".to_owned());
    }
}

fn ports(all: &Settings, found: &mut Vec<String>) {
    let mut tcp = vec![("http.port", all.http.port)];
    if !all.http.behind_proxy {
        tcp.push(("http.redirect_port", all.http.redirect_port));
    }
    if all.relay.enabled {
        tcp.extend([("relay.port", all.relay.port), ("relay.tls_port", all.relay.tls_port)]);
    }
    for (i, (name, port)) in tcp.iter().enumerate().filter(|(_, (_, port))| *port != 0) {
        if let Some((other, _)) = tcp.iter().take(i).find(|(_, earlier)| earlier == port) {
            found.push(format!("{other} and {name} are both {port}: give each a port of its own"));
        }
    }
}

/// What a NAT maps to one public address would meet there: two relays with one port.
fn addresses(all: &Settings, found: &mut Vec<String>) {
    let relay = &all.relay;
    let external = &relay.external_addresses;
    for (i, mapping) in external.iter().enumerate() {
        let name = "relay.external_addresses";
        let before = external.iter().take(i);
        if before.clone().any(|other| other.public == mapping.public) {
            found.push(format!(
                "{name}: {} stands for more than one address: name one `public/private` for each",
                mapping.public
            ));
        } else if mapping.private.is_some() && before.clone().any(|other| other.private == mapping.private) {
            found.push(format!("{name}: {mapping}: this private address has a public one already"));
        } else if mapping.private.is_none()
            && before.clone().any(|other| other.private.is_none() && other.public.is_ipv4() == mapping.public.is_ipv4())
        {
            found.push(format!("{name}: {mapping}: with several public addresses name `public/private` for each"));
        }
        let unmapped = |ip: &&IpAddr| {
            ip.is_ipv4() == mapping.public.is_ipv4() && !external.iter().any(|other| other.private == Some(**ip))
        };
        if mapping.private.is_none() && relay.relay_addresses.iter().filter(unmapped).count() > 1 {
            found.push(format!(
                "{name}: {mapping} would stand for several of relay.relay_addresses: name `public/private` for each"
            ));
        }
    }
    if let Some(ip) = relay.relay_addresses.iter().find(|ip| ip.is_unspecified() || ip.is_multicast()) {
        found.push(format!("relay.relay_addresses: expected addresses of this machine, got {ip}"));
    }
}

fn relay(all: &Settings, found: &mut Vec<String>) {
    let relay = &all.relay;
    addresses(all, found);
    let most = &relay.credential_max_ttl;
    if most.0 < Duration::from_secs(1) || most.0 > MOST_TTL {
        found.push(format!("relay.credential_max_ttl: expected 1s to 48h, got {most}"));
    }
    if relay.secret.as_ref().is_some_and(|secret| secret.0.len() < 16) {
        found.push("relay.secret: expected at least 16 characters; leave it out to have one made".to_owned());
    }
    if relay.offload.len() > 1 && relay.offload.iter().any(|name| name == "auto") {
        found.push("relay.offload: expected `auto` alone, or names of interfaces, got both".to_owned());
    }
    let ports = u32::from(relay.port_range.last - relay.port_range.first) + 1;
    if relay.enabled && ports < 16 {
        found.push(format!("relay.port_range: expected at least 16 ports, got {ports}"));
    }
    let is_text = |c: char| !c.is_control() && c != '"';
    if relay.realm.is_empty() || relay.realm.len() > 127 || !relay.realm.chars().all(is_text) {
        found.push(format!("relay.realm: expected 1 to 127 characters without quotation marks, got `{}`", relay.realm));
    }
    if relay.database.is_some() && !relay.stored_users {
        found.push("relay.database is set, but relay.stored_users is off: nobody would look there".to_owned());
    }
    if all.rooms.relay_only && !relay.enabled && all.ice.extra_servers.is_empty() {
        found.push("rooms.relay_only is set, but there is no relay: set relay.enabled or ice.extra_servers".to_owned());
    }
    for (name, got) in [("relay.permissions", relay.permissions), ("relay.channels", relay.channels)] {
        if !(1..=4_096).contains(&got) {
            found.push(format!("{name}: expected 1 to 4096, got {got}"));
        }
    }
    if relay.session_bytes_per_second.0 < 8_000 {
        let got = relay.session_bytes_per_second;
        found.push(format!("relay.session_bytes_per_second: expected at least 8000B, enough for a voice, got {got}"));
    }
    for prefix in &relay.nat64_prefixes {
        if prefix.address.is_ipv4() || ![32, 40, 48, 56, 64, 96].contains(&prefix.prefix) {
            found.push(format!(
                "relay.nat64_prefixes: expected /32, /40, /48, /56, /64 or /96 (RFC 6052), got {prefix}"
            ));
        }
    }
    if relay.credential_ttl.0 < std::time::Duration::from_secs(60) {
        found.push(format!("relay.credential_ttl: expected at least 60s, got {}", relay.credential_ttl));
    }
}

fn rooms(all: &Settings, found: &mut Vec<String>) {
    let (rooms, limits) = (&all.rooms, &all.limits);
    let at_least = [
        ("rooms.max_rooms", rooms.max_rooms, 1),
        ("rooms.max_participants", rooms.max_participants, 2),
        ("rooms.mesh", rooms.mesh, 2),
        ("limits.connections", limits.connections, 1),
        ("limits.connections_per_address", limits.connections_per_address, 1),
        ("limits.chat_chars", limits.chat_chars, 1),
        ("limits.requests_per_second", limits.requests_per_second, 1),
        ("limits.requests_burst", limits.requests_burst, 1),
        ("limits.backlog_events", limits.backlog_events, 16),
        ("limits.api_failures_per_minute", limits.api_failures_per_minute, 1),
    ];
    for (name, got, least) in at_least {
        if got < least {
            found.push(format!("{name}: expected at least {least}, got {got}"));
        }
    }
    if limits.sdp_bytes.0 < 4096 || limits.sdp_bytes.0 > 16 << 20 {
        found.push(format!("limits.sdp_bytes: expected 4KiB to 16MiB, got {}", limits.sdp_bytes));
    }
    if limits.frame_bytes.0 <= limits.sdp_bytes.0 || limits.frame_bytes.0 > 64 << 20 {
        let sdp = limits.sdp_bytes;
        found.push(format!(
            "limits.frame_bytes: expected more than limits.sdp_bytes ({sdp}) and at most 64MiB, got {}",
            limits.frame_bytes
        ));
    }
    if limits.backlog_bytes.0 < limits.frame_bytes.0 {
        found.push(format!(
            "limits.backlog_bytes: expected at least limits.frame_bytes ({}), got {}",
            limits.frame_bytes, limits.backlog_bytes
        ));
    }
}

fn webhooks(all: &Settings, found: &mut Vec<String>) {
    let webhooks = &all.webhooks;
    found.extend(webhooks.urls.iter().filter_map(|url| {
        let error = url.parse::<Target>().err()?;
        Some(format!("webhooks.urls: {error}"))
    }));
    if webhooks.urls.len() > MOST_WEBHOOKS {
        found.push(format!("webhooks.urls: expected at most {MOST_WEBHOOKS}, got {}", webhooks.urls.len()));
    }
    if !webhooks.urls.is_empty() && webhooks.key.is_none() {
        found.push(
            "webhooks.urls is set, but not webhooks.key: name the API key that signs what is sent (`tandem key list`)"
                .to_owned(),
        );
    }
    let timeout = webhooks.timeout;
    if timeout.0 < Duration::from_millis(100) || timeout.0 > Duration::from_secs(60) {
        found.push(format!("webhooks.timeout: expected 100ms to 60s, got {timeout}"));
    }
    if !(1..=100_000).contains(&webhooks.queue) {
        found.push(format!("webhooks.queue: expected 1 to 100000, got {}", webhooks.queue));
    }
}

/// Each has a queue and workers of its own.
const MOST_WEBHOOKS: usize = 16;

fn extra_servers(all: &Settings, found: &mut Vec<String>) {
    for server in &all.ice.extra_servers {
        if server.urls.is_empty() {
            found.push("ice.extra_servers: expected at least one URL in `urls`".to_owned());
        }
        for url in &server.urls {
            let turn = ["turn:", "turns:"].iter().any(|scheme| url.starts_with(scheme));
            let stun = ["stun:", "stuns:"].iter().any(|scheme| url.starts_with(scheme));
            if !turn && !stun {
                found.push(format!("ice.extra_servers: expected a stun:, turn: or turns: URL, got \"{url}\""));
            }
            if turn && (server.username.is_none() || server.credential.is_none()) {
                found.push(format!("ice.extra_servers: {url} needs `username` and `credential`"));
            }
        }
    }
}
