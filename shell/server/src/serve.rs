//! `tandem serve`: starts every part, waits for a signal, and ends them in order.
//!
//! ```text
//! settings ─► data directory ─► certificate ─► HTTP ─► banner ─► (signal) ─► drain ─► end
//! ```

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::banner::{self, Links};
use crate::config::types::Period;
use crate::config::{Loaded, Settings};
use crate::data_dir::DataDir;
use crate::http::client::Trust;
use crate::http::gate::Gate;
use crate::http::headers::Headers;
use crate::http::health::Health;
use crate::http::listen::{self, Serving};
use crate::http::redirect::{self, Target};
use crate::http::{self, App};
use crate::tls::{self, Certificates};
use crate::{log, metrics};

/// Runs until a signal ends it.
pub fn run(loaded: Loaded) -> anyhow::Result<()> {
    log::start(&loaded.settings.log);
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let runtime =
        tokio::runtime::Builder::new_multi_thread().enable_all().build().context("threads cannot be started")?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let server = Server::start(loaded.settings).await?;
        server.announce();
        signals.wait().await;
        tracing::info!("stopping; a second signal stops at once");
        tokio::select! {
            () = server.stop() => tracing::info!("stopped"),
            () = signals.wait() => tracing::warn!("stopped at once"),
        }
        Ok(())
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    outcome
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Signals> {
        let on = |kind| signal(kind).context("signals cannot be received");
        Ok(Signals { interrupt: on(SignalKind::interrupt())?, terminate: on(SignalKind::terminate())? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

/// A running server.
pub struct Server {
    settings: Settings,
    data: DataDir,
    certificates: Option<std::sync::Arc<Certificates>>,
    health: Health,
    address: SocketAddr,
    redirect: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Server {
    /// Starts every part; fails before anything is served when one cannot start.
    pub async fn start(settings: Settings) -> anyhow::Result<Server> {
        let data = DataDir::open(&settings.data_dir)?;
        let prometheus = if settings.metrics.enabled { Some(metrics::install()?) } else { None };
        let certificates =
            if settings.http.behind_proxy { None } else { Some(Certificates::start(&settings.tls, &data)?) };
        let gate = gate(&settings);
        let health = Health::default();
        let app =
            App { health: health.clone(), gate: gate.clone(), prometheus, metrics_access: settings.metrics.access };
        let headers = Headers::new(certificates.as_ref().is_some_and(|certificates| certificates.is_trusted()));
        let router = http::router(app, Router::new(), headers);

        let listener = bind(settings.http.address, settings.http.port, "http.port").await?;
        let address = listener.local_addr()?;
        let plain = redirect_listener(&settings).await?;
        let redirect = plain.as_ref().map(TcpListener::local_addr).transpose()?;

        let (stop, stopping) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let serving = serving(&settings, router, certificates.clone(), gate)?;
        if let Some(plain) = plain {
            let target = Target { public_url: settings.http.public_url.clone(), port: address.port() };
            let serving = Serving { router: redirect::router(target), tls: None, ..serving.clone() };
            tasks.spawn(listen::run(plain, serving, stopping.clone()));
        }
        tasks.spawn(listen::run(listener, serving, stopping));
        Ok(Server { settings, data, certificates, health, address, redirect, stop, tasks })
    }

    /// Where HTTPS is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where plain HTTP is redirected.
    pub fn redirect_address(&self) -> Option<SocketAddr> {
        self.redirect
    }

    /// The certificate shown, DER; `None` behind a proxy.
    pub fn certificate(&self) -> Option<Vec<u8>> {
        self.certificates.as_ref().map(|certificates| certificates.current_der())
    }

    /// Says where to go.
    pub fn announce(&self) {
        let http = &self.settings.http;
        let scheme = if http.behind_proxy { "http" } else { "https" };
        let public = http.public_url.as_ref().map(ToString::to_string);
        let links = Links::find(public, scheme, self.address.ip(), self.address.port());
        banner::print(&links, self.certificates.as_deref().map(Certificates::kind), &self.data);
        tracing::info!(port = self.address.port(), "serving");
    }

    /// Lets everything end in order, within the time the settings give.
    pub async fn stop(mut self) {
        self.health.drain();
        let Period(patience) = self.settings.http.drain_timeout;
        let _ = self.stop.send(true);
        let ended = tokio::time::timeout(patience, async { while self.tasks.join_next().await.is_some() {} }).await;
        if ended.is_err() {
            tracing::warn!("some connections did not end in time");
        }
    }
}

fn gate(settings: &Settings) -> std::sync::Arc<Gate> {
    let limits = &settings.limits;
    let exempt = if settings.http.behind_proxy { settings.http.trusted_proxies.clone() } else { Vec::new() };
    Gate::new(usize::try_from(limits.connections).unwrap_or(usize::MAX), limits.connections_per_address, exempt)
}

fn serving(
    settings: &Settings,
    router: Router,
    certificates: Option<std::sync::Arc<Certificates>>,
    gate: std::sync::Arc<Gate>,
) -> anyhow::Result<Serving> {
    let tls = certificates.map(|certificates| {
        anyhow::Ok(listen::Tls {
            ordinary: tls::server_config(certificates.clone(), &[b"h2", b"http/1.1"])?,
            challenge: tls::server_config(certificates, &[b"acme-tls/1"])?,
        })
    });
    Ok(Serving {
        router,
        tls: tls.transpose()?,
        gate,
        trust: Trust::new(&settings.http),
        handshake_timeout: settings.http.handshake_timeout.0,
        header_timeout: settings.http.header_timeout.0,
    })
}

async fn redirect_listener(settings: &Settings) -> anyhow::Result<Option<TcpListener>> {
    let http = &settings.http;
    if http.behind_proxy || http.redirect_port == 0 {
        return Ok(None);
    }
    bind(http.address, http.redirect_port, "http.redirect_port").await.map(Some)
}

/// On a machine without IPv6, `::` means every IPv4 address.
async fn bind(address: IpAddr, port: u16, setting: &str) -> anyhow::Result<TcpListener> {
    let bound = match TcpListener::bind((address, port)).await {
        Err(error) if address.is_ipv6() && address.is_unspecified() && is_without_ipv6(&error) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await
        }
        other => other,
    };
    bound.map_err(|error| {
        let flag = setting.replace('_', "-");
        match error.kind() {
            io::ErrorKind::AddrInUse => anyhow::anyhow!(
                "port {port} is in use by another program: stop that, or choose another port with --{flag}"
            ),
            io::ErrorKind::PermissionDenied => anyhow::anyhow!(
                "port {port} is reserved for root: choose one above 1023 with --{flag}, or give the binary the right \
                 (setcap cap_net_bind_service=+ep)"
            ),
            io::ErrorKind::AddrNotAvailable => {
                anyhow::anyhow!("{address} is no address of this machine: choose another with --http.address")
            }
            _ => anyhow::Error::from(error).context(format!("port {port} ({setting}) cannot be listened at")),
        }
    })
}

fn is_without_ipv6(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::EAFNOSUPPORT) || error.kind() == io::ErrorKind::AddrNotAvailable
}
