//! The relay's shell: sockets and threads around [`tandem_stun::turn::Server`], one of each per shard.
//!
//! ```text
//!   shard thread:  epoll ─► recvmmsg (GRO) ─► Server ─► sendmmsg (GSO)      one per core, nothing shared but
//!                    ▲ mailbox: orders, packets from other shards           mailboxes, user quotas and figures
//! ```
//!
//! RFC 8656 over UDP, TCP, TLS and DTLS. Decides nothing about who may relay to whom.

mod config;
mod door;
mod handover;
mod inherit;
mod keeper;
mod listeners;
mod mailbox;
mod offload;
mod operate;
mod outbox;
mod pace;
mod pair;
mod pairs;
mod peers;
mod quota;
mod relayed;
mod report;
mod secure;
mod shard;
mod splice;
mod stream;
mod streams;
mod usage;
mod wiring;

use std::io;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tandem_stun::turn;
pub use tandem_stun::turn::{Counters, Limit, Limits, PeerRules, Transport, Usage};

pub use config::{Ask, Config, Discovery, REALM, Tls, Users};
pub use door::{Door, Visitor};
pub use handover::{Handover, form};
pub use operate::{Changes, Filter, MOST, Page, SessionId, SessionView, Traffic, Unreachable, Whom};
pub use quota::KeyLimits;
pub use report::Stats;
pub use secure::Identities;
pub use streams::StreamLimits;
pub use tandem_offload::Interfaces;
pub use usage::TakeUsage;

use handover::Remains;
use mailbox::{Mailbox, Order};
use quota::Quota;
use relayed::Relayed;
use report::Report;
use shard::Seed;

/// The realms that a shard begins with, also after a panic.
type SharedRealms = Arc<Mutex<Arc<turn::Realms>>>;

/// The settings that have changed since the start.
type SharedChanges = Arc<Mutex<Option<Arc<turn::Changes>>>>;

/// A running relay. Dropping it stops it.
pub struct Handle {
    port: u16,
    tls_port: Option<u16>,
    other_port: Option<u16>,
    mailboxes: Arc<[Mailbox]>,
    quota: Arc<Quota>,
    reports: Vec<Arc<Report>>,
    realms: SharedRealms,
    changes: SharedChanges,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Opens the listeners and starts the shards.
///
/// # Errors
/// A port is in use, an address is not ours, the secret is empty, or the system refuses a socket or thread.
pub fn start(config: Config) -> io::Result<Handle> {
    if config.secret.is_empty() || config.relay_ports.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "expected a secret and a range of relay ports"));
    }
    let shards = config.shards.map_or_else(cores, NonZeroU16::get);
    let bound = listeners::open(&config, shards)?;
    let nothing = std::iter::repeat_with(|| None).take(shards.into()).collect();
    launch(&config, bound, nothing)
}

/// Goes on where another program has taken a relay down, with its sockets and as many shards as it had.
///
/// # Errors
/// The system refuses a thread.
pub fn go_on(config: &Config, handover: Handover) -> io::Result<Handle> {
    let (bound, remains) = handover.unpack();
    launch(config, bound, remains.into_iter().map(Some).collect())
}

fn launch(config: &Config, bound: listeners::Bound, remains: Vec<Option<Remains>>) -> io::Result<Handle> {
    let shards = u16::try_from(remains.len()).map_err(io::Error::other)?;
    let mailboxes: Arc<[Mailbox]> =
        (0..shards).map(|_| crate::net::epoll::Wake::new().map(Mailbox::new)).collect::<io::Result<Vec<_>>>()?.into();
    let quota = Arc::new(Quota::new(&config.limits, shards.into()));
    quota.set_realms(&config.realms);
    let relayed = Arc::new(Relayed::default());
    let own = own_addresses()?;
    let nonce_key = shard::random_seed()?;
    let mut handle = Handle {
        port: bound.port,
        tls_port: bound.tls_port,
        other_port: bound.other_port,
        mailboxes: Arc::clone(&mailboxes),
        quota: Arc::clone(&quota),
        reports: Vec::new(),
        realms: Arc::new(Mutex::new(Arc::clone(&config.realms))),
        changes: SharedChanges::default(),
        threads: Mutex::default(),
    };
    let room = config.limits.allocations.saturating_mul(shards.into()).saturating_mul(offload::CHANNELS_PER_ALLOCATION);
    let kernel = offload::load(config.offload.as_ref(), room);
    let streams = shard::StreamSettings {
        tls: config.tls.as_ref().map(|tls| with_alpn(&tls.config)),
        dtls: config.dtls.clone(),
        limits: config.streams,
        proxies: config.proxies.as_slice().into(),
    };
    for (index, (sockets, remains)) in (0..shards).zip(bound.per_shard.into_iter().zip(remains)) {
        let report = Arc::new(Report::default());
        handle.reports.push(Arc::clone(&report));
        let machine =
            machine_config(config, (bound.port, bound.other_port, bound.tls_port), &own, (index, shards), nonce_key);
        let machine = turn::Config { offload: kernel.is_some(), ..machine };
        let kernel = kernel.clone();
        let shared = shard::Shared {
            mailboxes: Arc::clone(&mailboxes),
            quota: Arc::clone(&quota),
            relayed: Arc::clone(&relayed),
            report,
            ask: config.users.ask.clone(),
            realms: Arc::clone(&handle.realms),
            changes: Arc::clone(&handle.changes),
            usage: config.usage.clone(),
        };
        // A shard that fails to start drops `handle`, which stops the others.
        let (index, streams) = (index.into(), streams.clone());
        let thread = keeper::spawn(Seed { index, machine, shared, sockets, streams, kernel, remains })?;
        handle.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
    }
    tracing::info!(port = handle.port, tls_port = handle.tls_port, shards, "relay started");
    Ok(handle)
}

impl Handle {
    /// Port of STUN and TURN over UDP and TCP.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Port of STUN and TURN over TLS.
    pub fn tls_port(&self) -> Option<u16> {
        self.tls_port
    }

    /// Other realms, origins and secrets than before.
    pub fn set_realms(&self, realms: &Arc<turn::Realms>) {
        *self.realms.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(realms);
        self.quota.set_realms(realms);
        for mailbox in self.mailboxes.iter() {
            mailbox.order(Order::Realms(Arc::clone(realms)));
        }
    }

    /// A user has another password, or is no longer there: the next request asks anew.
    pub fn user_changed(&self, user: &str) {
        for mailbox in self.mailboxes.iter() {
            mailbox.order(Order::UserChanged(user.to_owned()));
        }
    }

    /// For connections accepted elsewhere.
    pub fn door(&self) -> Door {
        Door::new(Arc::clone(&self.mailboxes))
    }

    /// What all shards have done so far.
    pub fn stats(&self) -> Stats {
        self.reports.iter().fold(Stats::default(), |sum, report| sum.plus(report.read()))
    }

    /// How many shards run, of how many. A shard's listeners are open as long as it runs.
    pub fn running(&self) -> (usize, usize) {
        let threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let works = |(thread, report): &(&JoinHandle<()>, &Arc<Report>)| !thread.is_finished() && report.is_working();
        (threads.iter().zip(&self.reports).filter(works).count(), self.mailboxes.len())
    }

    /// Takes the relay down for another program to go on with it: nothing ends but connections over TLS.
    ///
    /// # Errors
    /// A shard does not answer; the relay has ended.
    pub fn hand_over(&self) -> io::Result<Handover> {
        // First what may concern two shards, then each for itself.
        self.ask_all(Order::Retire)?;
        self.fall_silent()?;
        let shards = self.ask_all(Order::HandOver)?;
        self.shutdown();
        let ports = (self.port, self.tls_port, self.other_port);
        Ok(Handover { ports, shards, listeners: Vec::new(), secrets: Vec::new() })
    }

    /// Waits until nothing is on its way from one shard to another. They have retired.
    fn fall_silent(&self) -> io::Result<()> {
        // A word may be answered by another. Everything said before a round is heard in it: after one in which nobody has said
        // anything, nothing is on its way.
        for _ in 0..MAX_ROUNDS {
            if !self.ask_all(Order::Said)?.contains(&true) {
                return Ok(());
            }
        }
        tracing::error!("the relay's shards do not fall silent; what they say to each other is lost");
        Ok(())
    }

    /// Each shard's answer.
    fn ask_all<T>(&self, order: impl Fn(SyncSender<T>) -> Order) -> io::Result<Vec<T>> {
        let gone = |_| io::Error::other("a relay shard does not answer");
        let ask = |mailbox: &Mailbox| {
            let (reply, answer) = sync_channel(1);
            mailbox.order(order(reply));
            answer
        };
        let answers: Vec<_> = self.mailboxes.iter().map(ask).collect();
        answers.into_iter().map(|answer| answer.recv_timeout(PATIENCE).map_err(gone)).collect()
    }

    /// Stops all shards and waits for them; all allocations end.
    pub fn shutdown(&self) {
        for mailbox in self.mailboxes.iter() {
            mailbox.order(Order::Stop);
        }
        let threads = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a relay thread had panicked");
            }
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shutdown();
    }
}

fn machine_config(
    config: &Config,
    (port, other_port, tls_port): (u16, Option<u16>, Option<u16>),
    own: &[IpAddr],
    (shard, shards): (u16, u16),
    nonce_key: [u8; 32],
) -> turn::Config {
    let mut listener_ports = vec![port];
    listener_ports.extend(&config.forbidden_ports);
    listener_ports.extend(other_port);
    listener_ports.extend(tls_port);
    turn::Config {
        realm: config.realm.clone(),
        nonce_key,
        realms: Arc::default(),
        secrets: config.secrets(),
        accounts: turn::Accounts {
            fixed: config.users.fixed.clone(),
            ask: config.users.ask.is_some(),
            unhashed: config.users.unhashed,
            third_party: config.users.third_party.clone(),
        },
        credential_lifetime: config.credential_lifetime,
        end_on_expiry: config.end_on_expiry,
        wall_clock: wall_clock(),
        discovery: config
            .discovery
            .zip(other_port)
            .map(|(discovery, other)| tandem_stun::Discovery { addresses: discovery.addresses, ports: [port, other] }),
        ports: turn::PortSlice { first: *config.relay_ports.start(), last: *config.relay_ports.end(), shard, shards },
        addresses: turn::Addresses {
            own: own.to_vec(),
            listener_ports,
            services: config.services.clone(),
            external: config.external.clone(),
            relay: config.relay_from.clone(),
            alternates: config.alternates.clone(),
        },
        peers: config.peers.clone(),
        limits: config.limits,
        offload: false,
    }
}

/// The addresses of this host.
pub(crate) fn own_addresses() -> io::Result<Vec<IpAddr>> {
    Ok(if_addrs::get_if_addrs()?.into_iter().map(|interface| interface.ip()).collect())
}

/// The instant at which the current second of the wall clock began, and that second.
fn wall_clock() -> (Instant, u64) {
    let (now, unix) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default());
    (now.checked_sub(Duration::from_nanos(unix.subsec_nanos().into())).unwrap_or(now), unix.as_secs())
}

/// RFC 7443 §3: what clients call the relay's protocols in TLS.
pub const ALPN: [&[u8]; 2] = [b"stun.turn", b"stun.nat-discovery"];

/// Clients that name a protocol name one of ours.
fn with_alpn(config: &rustls::ServerConfig) -> Arc<rustls::ServerConfig> {
    let mut config = config.clone();
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    Arc::new(config)
}

/// Nothing that shards say to each other is answered more than twice.
const MAX_ROUNDS: usize = 16;
/// A shard answers within a turn.
const PATIENCE: Duration = Duration::from_secs(5);

fn cores() -> u16 {
    std::thread::available_parallelism().ok().and_then(|cores| u16::try_from(cores.get()).ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, UdpSocket};

    use super::*;

    /// Whether a Binding request is answered.
    fn answers(relay: &Handle) -> bool {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42];
        request.extend([7; 12]);
        (0..100).any(|_| {
            socket.send_to(&request, (Ipv4Addr::LOCALHOST, relay.port())).expect("sent");
            socket.recv(&mut [0; 256]).is_ok()
        })
    }

    #[test]
    fn a_shard_that_panics_is_started_again_and_says_so() {
        let listen = vec![Ipv4Addr::LOCALHOST.into()];
        let shards = NonZeroU16::new(1);
        let config = Config { listen, port: 0, secret: b"secret".to_vec(), shards, ..Config::default() };
        let relay = start(config).expect("the relay starts");
        assert!(answers(&relay));
        assert_eq!(relay.running(), (1, 1));
        assert_eq!(relay.sessions(&Filter::default(), None, 10), Ok(Page::default()));
        let before = relay.stats();
        relay.mailboxes[0].order(Order::Panic);
        assert!(answers(&relay));
        assert_eq!((relay.stats().restarts, relay.running()), (1, (1, 1)));
        // What is reported may be a turn behind.
        let goes_on = (0..500).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            relay.stats().turn.bindings > before.turn.bindings
        });
        assert!(goes_on, "the figures began anew: {before:?}, {:?}", relay.stats());
        relay.shutdown();
    }

    #[test]
    fn whoever_was_shut_out_stays_out_when_a_shard_starts_again() {
        let (listen, shards) = (vec![Ipv4Addr::LOCALHOST.into()], NonZeroU16::new(1));
        let config = Config { listen, port: 0, secret: b"secret".to_vec(), shards, ..Config::default() };
        let relay = start(config.clone()).expect("the relay starts");
        let alice = Whom::User("alice".to_owned());
        assert_eq!(relay.end_and_revoke(&alice), Ok(0));
        relay.mailboxes[0].order(Order::Panic);
        assert!(answers(&relay));
        assert_eq!(relay.stats().restarts, 1);
        relay.ask_all(Order::Retire).expect("an answer");
        let parts = relay.ask_all(Order::HandOver).expect("an answer").remove(0);
        let config = machine_config(&config, (relay.port(), None, None), &[], (0, 1), [0; 32]);
        let machine = turn::Server::go_on(config, [0; 32], Instant::now(), &parts.snapshot).expect("a snapshot");
        assert_eq!(machine.revocations().into_iter().map(|(whom, _)| whom).collect::<Vec<_>>(), [alice]);
    }

    #[test]
    fn what_shards_say_to_each_other_at_the_last_moment_is_heard_before_they_are_taken_down() {
        let (listen, shards) = (vec![Ipv4Addr::LOCALHOST.into()], NonZeroU16::new(2));
        let config = Config { listen, port: 0, secret: b"secret".to_vec(), shards, ..Config::default() };
        let relay = start(config.clone()).expect("the relay starts");
        relay.ask_all(Order::Retire).expect("an answer");
        // On its way to the first shard, which has to answer it: a port that is claimed at the second.
        let (token, user) = (turn::Token::from_bits(7), "alice".to_owned());
        let at = (Ipv4Addr::LOCALHOST, *config.relay_ports.start()).into();
        relay.mailboxes[0].order(Order::Note(turn::Note::Lent { token, user: user.clone(), at }));
        relay.mailboxes[0].order(Order::Note(turn::Note::Claim { token, user, shard: 1 }));
        relay.fall_silent().expect("silence");
        let parts = relay.ask_all(Order::HandOver).expect("an answer");
        let kept: Vec<usize> = (0..)
            .zip(parts)
            .map(|(shard, parts)| {
                let config = machine_config(&config, (relay.port(), None, None), &[], (shard, 2), [0; 32]);
                let machine = turn::Server::go_on(config, [0; 32], Instant::now(), &parts.snapshot);
                machine.expect("a snapshot").census().kept
            })
            .collect();
        assert_eq!(kept, [0, 1]);
        relay.shutdown();
    }
}
