//! Every setting, declared once: name, type with its unit, default, when a change takes effect, and a sentence.
//!
//! The structs, the defaults, the TOML keys, `TANDEM_<SECTION>_<NAME>`, `--section.name`, the sample file and
//! `docs/reference/settings.md` are derived from this table. To add a setting, add a line.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::types::{
    Access, Cidr, ExternalAddress, ExtraServer, Format, Level, Period, PortRange, PublicUrl, RelayUser, Secret, Shape,
    Size, Value,
};

/// When a change takes effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// When the process starts the next time.
    Restart,
    /// The file it names is read again when it changes; another name needs a restart.
    Content,
    /// While the process runs.
    Live,
}

impl Effect {
    /// For the reference.
    pub fn sentence(self) -> &'static str {
        match self {
            Effect::Restart => "at the next start",
            Effect::Content => "the file's content within a minute; another path at the next start",
            Effect::Live => "while it runs: on `tandem reload`, SIGHUP, or soon after the settings file has changed",
        }
    }
}

/// One line of the table.
pub struct Setting {
    /// Empty for those outside any section.
    pub section: &'static str,
    /// Within its section.
    pub name: &'static str,
    /// How it is written as text.
    pub shape: Shape,
    /// Type and unit, for people.
    pub noun: &'static str,
    /// When a change takes effect.
    pub effect: Effect,
    /// What it does.
    pub sentence: &'static str,
    /// Its value in the given settings; `None` where nothing is set.
    pub value: fn(&Settings) -> Option<toml::Value>,
    /// Whether both have the same value, of which secrets show nothing.
    pub is_same: fn(&Settings, &Settings) -> bool,
    /// Takes its value over from the first into the second.
    pub take_over: fn(&Settings, &mut Settings),
}

impl Setting {
    /// `section.name`.
    pub fn key(&self) -> String {
        if self.section.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.section, self.name) }
    }

    /// `TANDEM_SECTION_NAME`.
    pub fn variable(&self) -> String {
        format!("TANDEM_{}", self.key().replace('.', "_").to_ascii_uppercase())
    }
}

macro_rules! settings {
    (
        { $($top:ident : $top_type:ty = $top_default:expr, $top_effect:ident, $top_sentence:literal;)* }
        $($section:ident : $Section:ident, $about:literal {
            $($name:ident : $type:ty = $default:expr, $effect:ident, $sentence:literal;)*
        })*
    ) => {
        /// All settings.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Settings {
            $(#[doc = $top_sentence] pub $top: $top_type,)*
            $(#[doc = $about] pub $section: $Section,)*
        }

        impl Default for Settings {
            fn default() -> Self {
                Settings { $($top: $top_default,)* $($section: $Section::default(),)* }
            }
        }

        $(
            #[doc = $about]
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            #[serde(default, deny_unknown_fields)]
            pub struct $Section { $(#[doc = $sentence] pub $name: $type,)* }

            impl Default for $Section {
                fn default() -> Self {
                    $Section { $($name: $default,)* }
                }
            }
        )*

        /// Every setting in the order of the reference.
        pub const TABLE: &[Setting] = &[
            $(Setting {
                section: "", name: stringify!($top), shape: <$top_type as Value>::SHAPE, noun: <$top_type as Value>::NOUN,
                effect: Effect::$top_effect, sentence: $top_sentence, value: |all| toml::Value::try_from(&all.$top).ok(),
                is_same: |one, other| one.$top == other.$top,
                take_over: |from, to| to.$top.clone_from(&from.$top),
            },)*
            $($(Setting {
                section: stringify!($section), name: stringify!($name), shape: <$type as Value>::SHAPE,
                noun: <$type as Value>::NOUN, effect: Effect::$effect, sentence: $sentence,
                value: |all| toml::Value::try_from(&all.$section.$name).ok(),
                is_same: |one, other| one.$section.$name == other.$section.$name,
                take_over: |from, to| to.$section.$name.clone_from(&from.$section.$name),
            },)*)*
        ];

        /// Every section and what it is about.
        pub const SECTIONS: &[(&str, &str)] = &[$((stringify!($section), $about),)*];
    };
}

settings! {
    {
        data_dir: PathBuf = PathBuf::from("data"), Restart,
            "Directory for everything that outlives the process: database, certificate, secrets. Made with access for its owner only.";
    }
    http: Http, "The HTTPS port and the port that only redirects to it" {
        address: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED), Restart,
            "Address to listen at; `::` is every IPv6 and IPv4 address of this machine.";
        port: u16 = 8443, Restart, "Port of HTTPS (HTTP/1.1 and HTTP/2); 0 lets the system choose.";
        redirect_port: u16 = 8080, Restart, "Port of plain HTTP that sends browsers to HTTPS and does nothing else; 0 turns it off.";
        public_url: Option<PublicUrl> = None, Restart,
            "Where people find this server, if not at the address they happen to use: for the printed link and the redirect.";
        behind_proxy: bool = false, Restart,
            "Speak plain HTTP on `http.port`, because a reverse proxy in front does TLS; the redirect port is off then.";
        trusted_proxies: Vec<Cidr> = loopback(), Restart,
            "Reverse proxies whose `X-Forwarded-For` is believed when `http.behind_proxy` is set.";
        allowed_origins: Vec<String> = Vec::new(), Restart,
            "Other web sites whose pages may connect to the signalling (`https://example.org`); `*` allows all.";
        handshake_timeout: Period = Period::seconds(10), Restart, "A TLS handshake that takes longer is broken off.";
        header_timeout: Period = Period::seconds(15), Restart, "A request whose headers take longer is broken off.";
        drain_timeout: Period = Period::seconds(10), Restart,
            "How long connections may take to end when the process is asked to stop.";
        reconnect: Period = Period::seconds(2), Restart,
            "When the process is asked to stop, clients are told to connect again after this time.";
    }
    proxy_protocol: ProxyProtocol, "Load balancers in front that pass TCP on as it is" {
        from: Vec<Cidr> = Vec::new(), Restart,
            "Their networks: each TCP connection from there must begin with a PROXY header (version 1 or 2) and counts for the client it names; from elsewhere none is taken.";
    }
    tls: Tls, "Certificates; without any of these a self-signed one is made at first start" {
        certificate: Option<PathBuf> = None, Content, "PEM file with the certificate and its chain.";
        key: Option<PathBuf> = None, Content, "PEM file with the private key of `tls.certificate`.";
        acme_domains: Vec<String> = Vec::new(), Restart,
            "Names to get certificates for by ACME (TLS-ALPN-01: port 443 of these names must lead to `http.port`).";
        acme_email: Option<String> = None, Restart, "Where the certificate authority may write to.";
        acme_directory: Option<String> = None, Restart, "Directory URL of the ACME server, if not Let's Encrypt's.";
        acme_ca: Option<PathBuf> = None, Restart,
            "PEM file with the authorities to believe when talking to `tls.acme_directory`, instead of the public ones: for an ACME server of your own.";
        acme_staging: bool = false, Restart, "Use Let's Encrypt's staging server: for trying out, browsers do not trust it.";
    }
    relay: Relay, "STUN and TURN inside" {
        enabled: bool = true, Restart, "Answer STUN and relay (TURN) for participants whose network needs it.";
        port: u16 = 3478, Restart, "Port of STUN and TURN, UDP and TCP.";
        tls_port: u16 = 5349, Restart, "Port of TURN over TLS, for networks that let nothing else out; 0 turns it off.";
        share_http_port: bool = true, Restart,
            "Answer TURN over TLS and TCP on `http.port`, too: the way out that is open wherever the page can be had. Not with `http.behind_proxy`.";
        dtls: bool = true, Restart,
            "TURN over DTLS, too: over UDP on `relay.port` and `relay.tls_port`, with a certificate of the ECDSA kind.";
        discovery_addresses: Vec<IpAddr> = Vec::new(), Restart,
            "Two addresses of this machine, of one family, public or each behind one of its own: lets clients find out how their NAT behaves (RFC 5780).";
        discovery_port: u16 = 3479, Restart, "The second UDP port for that; used only with `relay.discovery_addresses`.";
        port_range: PortRange = PortRange { first: 49152, last: 65535 }, Restart, "Ports relayed media comes from.";
        listen_addresses: Vec<IpAddr> = Vec::new(), Restart,
            "Addresses of this machine to serve STUN and TURN at; none: `http.address`.";
        relay_addresses: Vec<IpAddr> = Vec::new(), Live,
            "Addresses of this machine that media is relayed from; a family without any relays from the address the client has reached.";
        external_addresses: Vec<ExternalAddress> = Vec::new(), Live,
            "Public address of this machine when it stands behind a one-to-one NAT; with several addresses `public/private` for each of them.";
        host: Option<String> = None, Live,
            "Name or address announced for the relay, if not the host under which the client reached us.";
        allow_peers: Vec<Cidr> = Vec::new(), Live,
            "Networks the relay may send to although they are private or special. All public addresses are allowed anyway.";
        denied_peers: Vec<Cidr> = Vec::new(), Live,
            "Networks the relay never sends to, whatever else says yes. Private and special ones are refused anyway.";
        nat64_prefixes: Vec<Cidr> = Vec::new(), Live,
            "Prefixes of this network's own NAT64 (`/32`, `/40`, `/48`, `/56`, `/64` or `/96`): peers there are judged by the IPv4 address inside as well. The well-known one is known.";
        allow_loopback: bool = false, Live, "Let the relay send to this machine itself: for development and tests only.";
        secret: Option<Secret> = None, Live,
            "Key of the participants' ephemeral credentials. Without it one is made at first start and kept in the data directory. A former one stays good as long as the credentials made with it.";
        users: Vec<RelayUser> = Vec::new(), Live,
            "Users with a password for other TURN clients than ours, `name:password` each (RFC 8489, SHA-1 and SHA-256).";
        stored_users: bool = true, Restart, "Let in the users, and by the secrets, of the database, too.";
        database: Option<Secret> = None, Restart,
            "Where `tandem turn` keeps users, secrets and realms: `sqlite:PATH`, `postgres://`, `mysql://`, `redis://` or `mongodb://`, laid out as coturn's. Without it they are in the data directory.";
        realm: String = crate::relay::REALM.to_owned(), Restart,
            "Realm clients are asked for, unless their page's origin has another one (RFC 8489). Users' keys are made for it.";
        token_server_name: Option<String> = None, Restart,
            "Our name for authorisation servers (RFC 7635): clients with a token for it, made with a key of `tandem turn key add`, are let in.";
        credential_ttl: Period = Period::seconds(8 * 3600), Live, "How long a participant's credential is valid.";
        credential_max_ttl: Period = Period::seconds(48 * 3600), Restart,
            "Longest time applications (`tandem turn app add`) may get credentials for; at most 48 hours.";
        credential_dialects: bool = true, Restart,
            "Answer applications in the words of Cloudflare, Twilio, Xirsys and draft-uberti, too. Without a key nobody gets anything.";
        allocations_per_user: u32 = 16, Live, "Allocations one participant may hold at the same time.";
        allocations: u32 = 4096, Live, "Allocations of all participants together.";
        alternate_servers: Vec<SocketAddr> = Vec::new(), Live,
            "Other relays with the same secret or users, named to clients while this one is full (ALTERNATE-SERVER).";
        offload: Vec<String> = Vec::new(), Restart,
            "Network interfaces on which bound channels are relayed inside the kernel (XDP), or `auto` for those with a default \
             route; none: off. Takes CAP_BPF and CAP_NET_ADMIN.";
        end_on_expiry: bool = false, Live,
            "End what is relayed when the ephemeral credential it began with expires. Otherwise refreshing goes on, as RFC 8656 §5 allows.";
        permissions: u32 = 64, Live, "Permissions (addresses of peers) one allocation may hold at the same time.";
        channels: u32 = 64, Live, "Channels one allocation may hold at the same time.";
        session_bytes_per_second: Size = Size(4 << 20), Live,
            "Payload one allocation may relay per second, both directions together, and twice as much at once.";
        session_packets_per_second: u32 = 10_000, Live,
            "Packets one allocation may relay per second, both directions together, and twice as many at once; 0 sets no bound.";
        session_peers_per_second: u32 = 5, Live,
            "New peers one allocation may turn to per second, and as many as `relay.permissions` at once; 0 sets no bound.";
        user_bytes_per_second: Size = Size(0), Live,
            "Payload all allocations of one user may relay per second; `0B` sets no bound. Threads divide it as they have its allocations.";
        server_bytes_per_second: Size = Size(0), Live,
            "Payload all allocations may relay per second; `0B` sets no bound. Threads divide it as they have allocations.";
    }
    media: Media, "Media through the server: calls of three and more" {
        enabled: bool = true, Restart,
            "Forward the media of rooms that are too large to connect browser to browser. Without it `rooms.mesh` is where media ends.";
        port: u16 = 5004, Restart,
            "UDP port of media; each thread has one of its own, from this one on. Where another program has one of them, any that are free.";
        threads: u16 = 0, Restart, "Threads that forward media; 0: one for each core.";
        addresses: Vec<IpAddr> = Vec::new(), Restart,
            "Addresses of this machine that browsers send media to; none: `http.address`, and all of the machine's where that is all of them.";
        external_addresses: Vec<ExternalAddress> = Vec::new(), Restart,
            "What these are outside when the machine stands behind a one-to-one NAT, as in `relay.external_addresses`, which counts where there is none here.";
    }
    rooms: Rooms, "Rooms and who fits in" {
        max_rooms: u32 = 10_000, Restart, "Rooms at the same time.";
        max_participants: u32 = 200, Restart, "Participants in one room.";
        mesh: u32 = 2, Restart, "Participants up to which browsers connect to each other directly; with more, media goes through the server.";
        tokens: bool = false, Restart, "Nobody enters any room without a token (`tandem token create`).";
        relay_only: bool = false, Restart, "No participant's address reaches another in any room: all media is relayed.";
        resume: Period = Period::seconds(30), Restart, "How long a place is kept for a participant who lost the network.";
    }
    limits: Limits, "What one client, and all together, may use" {
        connections: u32 = 20_000, Restart, "HTTPS connections at the same time.";
        connections_per_address: u32 = 1_024, Restart, "HTTPS connections from one address (IPv6: one /64) at the same time.";
        frame_bytes: Size = Size(512 << 10), Restart, "Largest signalling message.";
        sdp_bytes: Size = Size(256 << 10), Restart, "Largest session description.";
        chat_chars: u32 = 4000, Restart, "Longest chat line, in characters.";
        requests_per_second: u32 = 50, Restart, "Signalling requests of one participant per second, sustained.";
        requests_burst: u32 = 200, Restart, "Signalling requests of one participant at once.";
        backlog_events: u32 = 1024, Restart, "Events kept for a participant who does not read them.";
        backlog_bytes: Size = Size(1 << 20), Restart, "Bytes of such events.";
        api_body: Size = Size(64 << 10), Restart, "Largest body of an API request.";
        api_failures_per_minute: u32 = 20, Restart, "Wrong API keys from one address per minute before it has to wait.";
    }
    history: History, "What is remembered of ended sessions" {
        keep: Period = Period::seconds(90 * 86_400), Restart, "Ended sessions older than this are deleted; 0s deletes them within an hour.";
        usage: Period = Period::seconds(400 * 86_400), Restart,
            "What the relay has relayed is kept so long, minute by minute for each application and label.";
    }
    log: Log, "What is written to standard error" {
        level: Level = Level::Info, Restart, "Least urgent line written. Addresses of people appear at `debug` and `trace` only.";
        format: Format = Format::Text, Restart, "Lines for people, or JSON for programs.";
    }
    metrics: Metrics, "Prometheus" {
        enabled: bool = true, Restart, "Serve `/metrics`.";
        access: Access = Access::Loopback, Restart, "Who may read `/metrics`: this machine, whoever has an API key, or anyone.";
    }
    webhooks: Webhooks, "What happens in rooms, told to programs of yours" {
        urls: Vec<String> = Vec::new(), Restart,
            "Where each event is sent to by POST (`https://example.org/hook`). Each URL gets all of them, those of one room in order.";
        key: Option<String> = None, Restart,
            "Identity of the API key that signs what is sent (`tandem key list`); needed with `webhooks.urls`.";
        timeout: Period = Period::seconds(5), Restart,
            "An answer that takes longer counts as none. What is not answered with 200 to 299 is sent again, about ten times within ten minutes.";
        queue: u32 = 1000, Restart, "Events that may wait for one URL; one more and the oldest is dropped. What waits is lost when the process ends.";
    }
    ice: Ice, "STUN and TURN servers of others" {
        extra_servers: Vec<ExtraServer> = Vec::new(), Restart,
            "Announced to participants as well: `{ urls = [\"turn:turn.example.org\"], username = \"…\", credential = \"…\" }`.";
    }
}

fn loopback() -> Vec<Cidr> {
    vec![
        Cidr { address: IpAddr::V4(std::net::Ipv4Addr::new(127, 0, 0, 0)), prefix: 8 },
        Cidr { address: IpAddr::V6(Ipv6Addr::LOCALHOST), prefix: 128 },
    ]
}
