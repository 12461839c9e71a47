//! The media plane's shell: sockets and threads around [`tandem_media::Plane`], one of each per shard.
//!
//! ```text
//!   engine ── commands ──► mailbox ─► shard thread: epoll ─► recvmmsg (GRO) ─► Plane ─► sendmmsg (GSO)
//!      ▲                                                                        │
//!      └───────────────── events, bounded ◄──────────────────────────────────────┘
//!                                  ▲                                            │
//!                                  └── mailbox of another shard ◄── crossings ──┘
//! ```
//!
//! A small room lives on one shard, a large one on several; each shard has a port of its own, by which the browsers of its
//! connections find it. What planes tell each other goes into the other's mailbox once a turn: one lock, one wake-up.

mod addresses;
mod batch;
mod events;
mod mailbox;
mod report;
mod shard;
mod sockets;
mod streams;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use sha2::{Digest as _, Sha256};
use tandem_dtls::{Identity, Key};
use tandem_media::terms::{MAX_MESSAGE, Terms};
use tandem_sdp::{Candidate, CandidateTransport, TcpType};
use tandem_webrtc::{Breadth, Mode};

pub use addresses::Addresses;
pub use events::{Queue, Told, queue};
pub use report::Stats;

use mailbox::Mailbox;
use report::Report;
use shard::Seed;

/// How to start it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Addresses of this machine, and what they are called from outside.
    pub addresses: Addresses,
    /// The first shard's port; the others have those after it. 0: any that are free.
    pub port: u16,
    /// How many shards.
    pub shards: u16,
}

/// A running media plane. Dropping it stops it.
pub struct Handle {
    mailboxes: Arc<[Mailbox]>,
    reports: Vec<Arc<Report>>,
    terms: Vec<Terms>,
    addresses: Vec<SocketAddr>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Opens the sockets and starts the shards.
///
/// # Errors
/// A port is in use, an address is not ours, or the system refuses a socket or thread.
pub fn start(config: &Config, events: events::Sender) -> io::Result<Handle> {
    let (local, fingerprint) = certificate()?;
    let transports =
        |local, breadth| Arc::new(tandem_webrtc::Config { local, breadth, ice: Mode::Lite, max_message: MAX_MESSAGE });
    let foreign = transports(local.clone(), Breadth::Everybody);
    let transports = transports(local, Breadth::Browsers);
    let mut handle = Handle {
        mailboxes: Arc::new([]),
        reports: Vec::new(),
        terms: Vec::new(),
        addresses: Vec::new(),
        threads: Mutex::default(),
    };
    let mut seeds = Vec::new();
    for index in 0..config.shards.max(1) {
        let port = if config.port == 0 { 0 } else { config.port.saturating_add(index) };
        let sockets = sockets::open(&config.addresses.local, port)?;
        handle.terms.push(Terms::new(fingerprint, candidates(&config.addresses, &sockets)));
        handle.addresses.extend(sockets.addresses());
        seeds.push((usize::from(index), sockets));
    }
    handle.mailboxes = seeds.iter().map(|_| Mailbox::new()).collect::<io::Result<Vec<_>>>()?.into();
    for (index, sockets) in seeds {
        let report = Arc::new(Report::default());
        handle.reports.push(Arc::clone(&report));
        let seed = Seed {
            index,
            sockets,
            transports: Arc::clone(&transports),
            foreign: Arc::clone(&foreign),
            mailboxes: Arc::clone(&handle.mailboxes),
            events: events.clone(),
            report,
        };
        // A shard that fails to start drops `handle`, which stops the others.
        let thread = shard::spawn(seed)?;
        handle.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
    }
    let shards = handle.mailboxes.len();
    tracing::info!(shards, addresses = ?config.addresses.local, "media plane started");
    Ok(handle)
}

impl Handle {
    /// Where each shard is, for the engine.
    pub fn terms(&self) -> Vec<Terms> {
        self.terms.clone()
    }

    /// Where its sockets are.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// For the engine: takes commands, does not wait.
    pub fn commands(&self) -> Commands {
        Commands { mailboxes: Arc::clone(&self.mailboxes) }
    }

    /// What all shards have done so far.
    pub fn stats(&self) -> Stats {
        self.reports.iter().fold(Stats::default(), |sum, report| sum.plus(report.read()))
    }

    /// Stops all shards and waits for them.
    pub fn shutdown(&self) {
        self.mailboxes.iter().for_each(Mailbox::stop);
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the media plane had panicked");
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// The way of commands to the shards.
#[derive(Clone)]
pub struct Commands {
    mailboxes: Arc<[Mailbox]>,
}

impl Commands {
    /// Leaves a command for a shard.
    pub fn give(&self, shard: usize, command: tandem_media::Command) {
        if let Some(mailbox) = self.mailboxes.get(shard) {
            mailbox.give(command);
        }
    }
}

/// A certificate for this life of the process: peers know it by its fingerprint, which their session descriptions carry.
fn certificate() -> io::Result<(tandem_webrtc::Local, [u8; 32])> {
    let other = |error: rcgen::Error| io::Error::other(error);
    let key = rcgen::KeyPair::generate().map_err(other)?;
    let params = rcgen::CertificateParams::new(vec!["tandem.invalid".to_owned()]).map_err(other)?;
    let certificate = params.self_signed(&key).map_err(other)?;
    let identity = Identity::new(certificate.der(), Key::Pkcs8(key.serialized_der())).map_err(io::Error::other)?;
    let local = tandem_webrtc::Local::new(identity).map_err(|why| io::Error::other(why.to_string()))?;
    Ok((local, Sha256::digest(certificate.der()).into()))
}

/// Under which addresses a shard's sockets are found.
fn candidates(addresses: &Addresses, sockets: &sockets::Sockets) -> Vec<Candidate> {
    let seen = |at: SocketAddr| addresses.seen_as(at.ip()).map(move |ip: IpAddr| SocketAddr::new(ip, at.port()));
    let udp = sockets.addresses().flat_map(seen).zip(0..);
    let tcp = sockets.streams().flat_map(seen).zip(AFTER_ALL_OTHERS..);
    let udp = udp.map(|(at, rank)| Candidate::host(CandidateTransport::Udp, at, rank));
    udp.chain(tcp.map(|(at, rank)| Candidate::host(CandidateTransport::Tcp(TcpType::Passive), at, rank))).collect()
}

/// RFC 6544 §4.2: TCP where nothing else works.
const AFTER_ALL_OTHERS: u16 = 1 << 14;
