//! `tandem serve`: starts every part, waits for a signal, and ends them in order.
//!
//! ```text
//! data directory ─► ports ─► certificate ─► relay, media ─► store, engine ─► HTTP ─► banner
//! signal ─► clients are told ─► no new connections ─► engine ends ─► relay ends ─► what it has relayed is written ─► store
//! ```

mod bind;
mod calls;
mod control;
mod credentials;
mod descriptors;
mod media;
mod relay;
mod reload;
mod upgrade;
mod users;
mod wellbeing;

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use futures_util::FutureExt as _;
use tandem_api::signal::Reason;
use tandem_store::Store;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal as on_signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::banner::{self, Links};
use crate::config::{Loaded, Settings, Sources};
use crate::data_dir::DataDir;
use crate::http::client::Trust;
use crate::http::gate::Gate;
use crate::http::headers::Headers;
use crate::http::health::Health;
use crate::http::ice::IceServers;
use crate::http::listen::{self, Serving};
use crate::http::opening::{SharedPort, Tls};
use crate::http::proxied::Proxies;
use crate::http::redirect::{self, Target};
use crate::http::rest::{self, Api, Keys};
use crate::http::{self, App};
use crate::relay::Handover;
use crate::signal::{self, GateLimits};
use crate::tls::{self, Certificates};
use crate::tokens::{Refused, Verifier};
use crate::{log, metrics};

use bind::bind;
use calls::Calls;
pub use control::path as control_socket;
use credentials::Credentials;
use media::Media;
use relay::Relay;
pub use relay::database_of;
pub use reload::{Reload, Reloaded};
pub use upgrade::QUESTION;
use upgrade::Successor;

/// Runs until a signal ends it.
pub fn run(loaded: Loaded) -> anyhow::Result<()> {
    log::start(&loaded.settings.log);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    // Before anything else is opened.
    let before = upgrade::inherited();
    let successor = Successor::find()?;
    descriptors::raise(&loaded.settings);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads())
        .enable_all()
        .build()
        .context("threads cannot be started")?;
    let outcome = runtime.block_on(until_the_end((loaded, before), &successor));
    runtime.shutdown_timeout(Duration::from_secs(1));
    match outcome? {
        Ending::Stopped => Ok(()),
        Ending::HandedOver(handover) => {
            // Without what could not be left behind, it starts afresh.
            let paper = handover.and_then(|handover| {
                handover.write().inspect_err(|error| tracing::error!(%error, "what is relayed ends")).ok()
            });
            Err(successor.become_it(paper))
        }
    }
}

/// How the server has ended.
enum Ending {
    Stopped,
    /// With what another program goes on with, if it could be taken down.
    HandedOver(Option<Handover>),
}

async fn until_the_end((loaded, before): (Loaded, Option<Handover>), successor: &Successor) -> anyhow::Result<Ending> {
    let mut signals = Signals::listen()?;
    let settings = loaded.settings.clone();
    let server = Server::start_after(loaded, before).await?;
    server.announce();
    loop {
        match signals.wait().await {
            Asked::Stop => break,
            Asked::Upgrade => match successor.check(&settings).await {
                Ok(()) => {
                    tracing::info!("another program takes over");
                    return Ok(Ending::HandedOver(server.hand_over().await));
                }
                Err(error) => tracing::error!("no other program takes over: {error:#}"),
            },
        }
    }
    tracing::info!("stopping; a second signal stops at once");
    let again = async { while signals.wait().await != Asked::Stop {} };
    tokio::select! {
        () = server.stop() => tracing::info!("stopped"),
        () = again => tracing::warn!("stopped at once"),
    }
    Ok(Ending::Stopped)
}

/// Says on what another program must agree to take over from this one.
pub fn terms(settings: &Settings) -> String {
    upgrade::terms(settings)
}

async fn open_store(data: &DataDir) -> anyhow::Result<Store> {
    let path = database(data);
    Store::open(&path).await.with_context(|| format!("{} cannot be used", path.display()))
}

/// Where the database is.
pub fn database(data: &DataDir) -> PathBuf {
    data.path().join("tandem.db")
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    upgrade: Signal,
}

/// By a signal.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    Stop,
    Upgrade,
}

impl Signals {
    fn listen() -> anyhow::Result<Signals> {
        let on = |kind| on_signal(kind).context("signals cannot be received");
        Ok(Signals {
            interrupt: on(SignalKind::interrupt())?,
            terminate: on(SignalKind::terminate())?,
            upgrade: on(SignalKind::user_defined2())?,
        })
    }

    async fn wait(&mut self) -> Asked {
        tokio::select! {
            _ = self.interrupt.recv() => Asked::Stop,
            _ = self.terminate.recv() => Asked::Stop,
            _ = self.upgrade.recv() => Asked::Upgrade,
        }
    }
}

/// A running server.
pub struct Server {
    settings: Settings,
    data: DataDir,
    certificates: Arc<Certificates>,
    health: Health,
    gate: Arc<Gate>,
    calls: Calls,
    relay: Option<Relay>,
    media: Option<Media>,
    credentials: Credentials,
    ports: Ports,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
    reload: Arc<Reload>,
    /// The listeners once more, for the program that takes over.
    listeners: Vec<OwnedFd>,
    _claim: std::fs::File,
}

/// What is left when nobody is served any more.
struct Rest {
    relay: Option<Relay>,
    credentials: Credentials,
    store: Store,
    listeners: Vec<OwnedFd>,
    /// See [`Handover::secrets`].
    secrets: Vec<(Vec<u8>, Duration)>,
}

/// Where it listens.
#[derive(Clone, Copy, Debug)]
struct Ports {
    https: SocketAddr,
    redirect: Option<SocketAddr>,
}

impl Server {
    /// As [`Server::start_loaded`], with settings that come from nowhere and are not read again.
    pub async fn start(settings: Settings) -> anyhow::Result<Server> {
        let (sources, warnings) = (Sources::default(), Vec::new());
        Self::start_loaded(Loaded { settings, file: None, sources, warnings }).await
    }

    /// Starts every part; fails before anything is served when one cannot start.
    pub async fn start_loaded(loaded: Loaded) -> anyhow::Result<Server> {
        Server::start_after(loaded, None).await
    }

    /// Goes on with what another program has left behind.
    async fn start_after(loaded: Loaded, mut before: Option<Handover>) -> anyhow::Result<Server> {
        let settings = loaded.settings.clone();
        let data = DataDir::open(&settings.data_dir)?;
        let claim = data.claim()?;
        let mut open = before.iter_mut().flat_map(|before| before.listeners.drain(..)).collect::<VecDeque<_>>();
        let listener = match open.pop_front() {
            Some(listener) => TcpListener::from_std(listener)?,
            None => bind(settings.http.address, settings.http.port, "http.port")?,
        };
        let plain = match open.pop_front() {
            Some(listener) => Some(TcpListener::from_std(listener)?),
            None => redirect_listener(&settings)?,
        };
        let listeners = [Some(&listener), plain.as_ref()].into_iter().flatten();
        let listeners = listeners.map(|listener| listener.as_fd().try_clone_to_owned()).collect::<Result<_, _>>()?;
        let ports =
            Ports { https: listener.local_addr()?, redirect: plain.as_ref().map(TcpListener::local_addr).transpose()? };
        let certificates = Certificates::start(&settings.tls, &data)?;
        let store = open_store(&data).await?;
        let mut media = Media::start(&settings)?;
        let services = media.as_ref().map(|media| media.handle.addresses().to_vec()).unwrap_or_default();
        let tls = Some(certificates.clone());
        let mut relay = relay::start((&settings, before), &data, (tls, services), &store).await?;
        let health = Health::default();
        let calls = Calls::start(&settings, store, (relay.as_ref(), media.as_ref()), &health).await?;
        if let Some(media) = &mut media {
            media.connect(&calls.engine);
        }
        let reload = Reload::start(&loaded, &data, relay.as_ref(), &calls.engine)?;
        wellbeing::watch(&health, &settings, &calls, relay.as_ref(), &certificates);
        let gate = gate(&settings);
        let credentials = Credentials::start(&settings, &calls.store, relay.as_mut()).await?;
        let api = api(&settings, (&calls, &credentials), relay.as_ref(), &reload);
        let control = (control::open(data.path())?, rest::control(&api));
        let router = router(&settings, (&calls, &credentials, api), &health, &gate, &certificates)?;

        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let serving = serving(&settings, router, &certificates, (&gate, relay.as_ref()))?;
        if let Some(plain) = plain {
            let target = Target { public_url: settings.http.public_url.clone(), port: ports.https.port() };
            let serving = Serving { router: redirect::router(target), tls: None, ..serving.clone() };
            tasks.spawn(listen::run(plain, serving, stopping.clone()));
        }
        tasks.spawn(control::run(control.0, control.1, stopping.clone()));
        tasks.spawn(listen::run(listener, serving, stopping));
        Ok(Server {
            settings,
            data,
            certificates,
            health,
            gate,
            calls,
            relay,
            media,
            credentials,
            ports,
            stop,
            tasks,
            reload,
            listeners,
            _claim: claim,
        })
    }

    /// Where HTTPS is served.
    pub fn address(&self) -> SocketAddr {
        self.ports.https
    }

    /// Where plain HTTP is redirected.
    pub fn redirect_address(&self) -> Option<SocketAddr> {
        self.ports.redirect
    }

    /// Where STUN and TURN are served over UDP and TCP.
    pub fn relay_port(&self) -> Option<u16> {
        self.relay.as_ref().map(|relay| relay.handle.port())
    }

    /// The certificate shown, DER.
    pub fn certificate(&self) -> Vec<u8> {
        self.certificates.current_der()
    }

    /// Says where to go.
    pub fn announce(&self) {
        let http = &self.settings.http;
        let scheme = if http.behind_proxy { "http" } else { "https" };
        let public = http.public_url.as_ref().map(ToString::to_string);
        let links = Links::find(public, scheme, self.ports.https.ip(), self.ports.https.port());
        let certificate = (!http.behind_proxy).then(|| self.certificates.kind());
        banner::print(&links, certificate, &self.data);
        tracing::info!(port = self.ports.https.port(), "serving");
    }

    /// Lets everything end in order, within the time the settings give.
    pub async fn stop(self) {
        let rest = self.end_all_but_the_relay().await;
        if let Some(relay) = rest.relay
            && let Err(error) = relay::stop(relay.handle).await
        {
            tracing::error!(%error, "the relay");
        }
        rest.credentials.stop().await;
        rest.store.close().await;
    }

    /// The same, but takes the relay down for another program. `None`: there is nothing to go on with.
    async fn hand_over(self) -> Option<Handover> {
        let rest = self.end_all_but_the_relay().await;
        let taken = match rest.relay {
            Some(relay) => Some(relay::take_down(relay.handle).await),
            None => None,
        };
        rest.credentials.stop().await;
        rest.store.close().await;
        let mut handover = taken?.inspect_err(|error| tracing::error!(%error, "what is relayed ends")).ok()?;
        handover.listeners = rest.listeners.into_iter().map(Into::into).collect();
        handover.secrets = rest.secrets;
        Some(handover)
    }

    async fn end_all_but_the_relay(self) -> Rest {
        let Server {
            settings, health, gate, calls, relay, media, credentials, stop, mut tasks, listeners, reload, ..
        } = self;
        health.drain();
        if let Some(watching) = relay.as_ref().and_then(|relay| relay.watching.as_ref()) {
            watching.abort();
        }
        // A stopped engine has told everyone already.
        let _ = calls.engine.drain(settings.http.reconnect.0);
        let _ = stop.send(true);
        let store = calls.stop().await;
        let ended = async {
            while tasks.join_next().await.is_some() {}
            gate.emptied().await;
        };
        if tokio::time::timeout(settings.http.drain_timeout.0, ended).await.is_err() {
            tracing::warn!(open = gate.open(), "some connections did not end in time");
        }
        if let Some(media) = media {
            media.stop();
        }
        Rest { relay, credentials, store, listeners, secrets: reload.secrets() }
    }
}

/// Of the runtime: half of the cores, the others have packets to relay. Threads that run out of work again and again spend
/// more time on waking one another than on the work.
fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| cores.get().div_ceil(2))
}

fn gate(settings: &Settings) -> Arc<Gate> {
    let limits = &settings.limits;
    let exempt = if settings.http.behind_proxy { settings.http.trusted_proxies.clone() } else { Vec::new() };
    Gate::new(count(limits.connections), limits.connections_per_address, exempt)
}

fn api(
    settings: &Settings,
    (calls, credentials): (&Calls, &Credentials),
    relay: Option<&Relay>,
    reload: &Arc<Reload>,
) -> Api {
    Api {
        keys: Keys::new(calls.store.clone(), credentials.attempts.clone()),
        public_url: settings.http.public_url.as_ref().map(ToString::to_string),
        store: calls.store.clone(),
        engine: calls.ask(),
        credentials: credentials.service.clone(),
        relay: relay.map(|relay| Arc::clone(&relay.handle)),
        reload: Arc::clone(reload),
        body_bytes: settings.limits.api_body.bytes(),
    }
}

fn router(
    settings: &Settings,
    (calls, credentials, api): (&Calls, &Credentials, Api),
    health: &Health,
    gate: &Arc<Gate>,
    certificates: &Certificates,
) -> anyhow::Result<Router> {
    let (keys, tokens) = (api.keys.clone(), api.keys.tokens().clone());
    let app = App {
        health: health.clone(),
        gate: gate.clone(),
        prometheus: if settings.metrics.enabled { Some(metrics::install()?) } else { None },
        metrics_access: settings.metrics.access,
        keys: keys.clone(),
    };
    let signalling = signal::routes(calls.engine.clone(), signal_config(settings), verifiers(keys, tokens.clone()));
    let trusted = certificates.is_trusted() && !settings.http.behind_proxy;
    let mut routes = signalling.merge(rest::routes(api));
    if settings.relay.credential_dialects && settings.relay.enabled {
        routes = routes.merge(http::dialects::routes(credentials.service.clone()));
    }
    if settings.media.enabled {
        routes = routes.merge(http::whip::routes(http::whip::Whip {
            engine: calls.ask(),
            sdp_bytes: settings.limits.sdp_bytes.bytes(),
            allowed_origins: settings.http.allowed_origins.clone(),
            tokens,
            ice: IceServers { credentials: credentials.service.clone(), extra: settings.ice.extra_servers.clone() },
        }));
    }
    Ok(http::router(app, routes, Headers::new(trusted)))
}

fn signal_config(settings: &Settings) -> signal::Config {
    let limits = &settings.limits;
    let gate = GateLimits { total: count(limits.connections), per_address: count(limits.connections_per_address) };
    signal::Config {
        frame_bytes: limits.frame_bytes.bytes(),
        gate,
        allowed_origins: settings.http.allowed_origins.clone(),
        ..signal::Config::default()
    }
}

fn verifiers(keys: Keys, tokens: Verifier) -> signal::Verifiers {
    let key = move |text: String| {
        let keys = keys.clone();
        async move { keys.is_valid(&text).await }.boxed()
    };
    let token = move |client, text: String| {
        let tokens = tokens.clone();
        async move {
            let claims =
                tokens.verify(client, &text).await.map_err(|refused| (reason(&refused), refused.to_string()))?;
            claims.grants().map_err(|detail| (Reason::BadToken, detail))
        }
        .boxed()
    };
    signal::Verifiers { key: Arc::new(key), token: Arc::new(token) }
}

fn reason(refused: &Refused) -> Reason {
    match refused {
        Refused::Blocked { .. } => Reason::TooMany,
        Refused::Forged(_) | Refused::Bad(_) => Reason::BadToken,
        Refused::Unavailable => Reason::ServerFull,
    }
}

fn serving(
    settings: &Settings,
    router: Router,
    certificates: &Arc<Certificates>,
    (gate, relay): (&Arc<Gate>, Option<&Relay>),
) -> anyhow::Result<Serving> {
    let tls = if settings.http.behind_proxy {
        None
    } else {
        Some(Tls {
            ordinary: tls::server_config(certificates.clone(), &[b"h2", b"http/1.1"])?,
            challenge: tls::server_config(certificates.clone(), &[b"acme-tls/1"])?,
            relay: relay
                .filter(|_| settings.relay.share_http_port)
                .map(|relay| shared(relay, certificates))
                .transpose()?,
        })
    };
    Ok(Serving {
        router,
        tls,
        gate: gate.clone(),
        trust: Trust::new(&settings.http),
        proxies: Proxies::new(&settings.proxy_protocol.from),
        handshake_timeout: settings.http.handshake_timeout.0,
        header_timeout: settings.http.header_timeout.0,
    })
}

/// The relay as the HTTPS port needs it.
fn shared(relay: &Relay, certificates: &Arc<Certificates>) -> anyhow::Result<SharedPort> {
    let config = tls::server_config(certificates.clone(), &crate::relay::ALPN)?;
    Ok(SharedPort { door: relay.handle.door(), config })
}

fn redirect_listener(settings: &Settings) -> anyhow::Result<Option<TcpListener>> {
    let http = &settings.http;
    if http.behind_proxy || http.redirect_port == 0 {
        return Ok(None);
    }
    bind(http.address, http.redirect_port, "http.redirect_port").map(Some)
}

fn count(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
