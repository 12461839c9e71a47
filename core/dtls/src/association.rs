//! One client that has proved its address: `dimpl`'s state machine, and what bounds its life.
//!
//! `dimpl` may panic where it thinks a state impossible. Such a panic ends this association and nothing else.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::crypto::Dtls12CipherSuite;
use dimpl::{Config, Dtls, Output};

use crate::hello::{HANDSHAKE, Hello, RECORD_HEADER};
use crate::identity::Identity;
use crate::provider::{self, with_cookie, write_nonces};
use crate::server::{Outputs, Path};

/// One client.
pub(crate) struct Association {
    dtls: Box<Dtls>,
    pub(crate) path: Path,
    /// Of the hello that began it.
    pub(crate) random: [u8; 32],
    pub(crate) state: State,
    /// Whether the client relays: then that decides about its life, not silence.
    pub(crate) allocated: bool,
    pub(crate) active: Instant,
    /// When it is to be looked at.
    pub(crate) deadline: Instant,
    /// Added to the numbers of our plain records: RFC 6347 §4.2.1 wants them to go on from the client's.
    shift: u64,
    suite: Dtls12CipherSuite,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Until when the handshake has to be over.
    Handshaking(Instant),
    Open,
}

/// It is over, by the client's will or because nothing can be done any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ended;

impl Association {
    /// Goes on where the client is that has sent back this cookie. `None`: it cannot be served.
    pub(crate) fn accept(
        now: Instant,
        (path, cookie): (Path, [u8; 32]),
        (hello, datagram): (&Hello<'_>, &[u8]),
        (identity, settings): (&Identity, &Settings),
        out: &mut Outputs,
    ) -> Option<Self> {
        let suite = choose(hello.suites)?;
        let begin = || -> Option<Box<Dtls>> {
            let mut dtls = Box::new(Dtls::new_12(settings.of(suite), identity.0.clone(), now));
            // As many hellos as the client has sent, each answered as the first ones were: not at all, any more.
            for message_seq in 0..hello.message_seq {
                dtls.handle_timeout(now).ok()?;
                dtls.handle_packet(&hello.write_bare(message_seq)).ok()?;
                while !matches!(dtls.poll_output(&mut out.scratch), Output::Timeout(_)) {}
            }
            dtls.handle_packet(datagram).ok()?;
            Some(dtls)
        };
        let begin = || with_cookie(*hello.random, cookie, begin);
        let dtls = guarded(begin)??;
        let until = now.checked_add(settings.handshake)?;
        let shift = hello.sequence.saturating_sub(hello.message_seq.into());
        let mut association = Self {
            dtls,
            path,
            random: *hello.random,
            state: State::Handshaking(until),
            allocated: false,
            active: now,
            deadline: until,
            shift: if shift < MAX_SHIFT { shift } else { 0 },
            suite,
        };
        association.deadline = association.drain(out).ok()?.min(until);
        Some(association)
    }

    /// Takes a datagram in. When to look again, if that has changed.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        datagram: &[u8],
        out: &mut Outputs,
    ) -> Result<Instant, Ended> {
        if self.state == State::Open && is_idle_talk(datagram) {
            return Ok(self.deadline);
        }
        let before = out.plain.len();
        let result = guarded(|| self.dtls.handle_timeout(now).and_then(|()| self.dtls.handle_packet(datagram)));
        let fed = matches!(result, Some(Ok(())));
        let at = self.drain(out)?;
        if out.plain.len() > before {
            self.active = now;
        }
        if fed { Ok(at) } else { Err(Ended) }
    }

    /// The time that `handle_datagram` or the last call has told.
    pub(crate) fn handle_timeout(&mut self, now: Instant, out: &mut Outputs) -> Result<Instant, Ended> {
        match guarded(|| self.dtls.handle_timeout(now)) {
            Some(Ok(())) => self.drain(out),
            _ => Err(Ended),
        }
    }

    /// Seals a message. `false`: there is no way to the client.
    pub(crate) fn send(&mut self, message: &[u8], out: &mut Outputs) -> bool {
        // What is said before the handshake is over would wait, unbounded.
        self.state == State::Open
            && message.len() <= LONGEST
            && matches!(guarded(|| self.dtls.send_application_data(message)), Some(Ok(_)))
            && self.drain(out).is_ok()
    }

    /// RFC 5246 §7.2.1: says good-bye, as far as there is somebody to say it to.
    pub(crate) fn close(&mut self, out: &mut Outputs) {
        if guarded(|| self.dtls.close()).is_some() {
            let _ = self.drain(out);
        }
    }

    /// Takes all there is; when to look again.
    fn drain(&mut self, out: &mut Outputs) -> Result<Instant, Ended> {
        let mut ended = false;
        loop {
            let Outputs { scratch, sealed, plain, .. } = out;
            let (dtls, scratch) = (&mut self.dtls, scratch);
            let Some(output) = guarded(|| dtls.poll_output(scratch)) else { return Err(Ended) };
            match output {
                Output::Packet(packet) => {
                    let place = sealed.push(self.path, &[packet]);
                    if self.suite == AES128_GCM {
                        write_nonces(place);
                    }
                    if self.shift > 0 && matches!(self.state, State::Handshaking(_)) {
                        renumber(place, self.shift);
                    }
                }
                Output::ApplicationData(data) => {
                    plain.push(self.path, &[data]);
                }
                Output::Connected => self.state = State::Open,
                Output::CloseNotify => ended = true,
                Output::Timeout(at) if !ended => return Ok(at),
                // RFC 5246 §7.2.1: answered in kind.
                Output::Timeout(_) if guarded(|| self.dtls.close().is_ok()) == Some(true) && !self.dtls.is_closed() => {
                }
                Output::Timeout(_) | Output::BufferTooSmall { .. } => return Err(Ended),
                // A client's certificate is not asked for, and SRTP is not spoken.
                _ => {}
            }
        }
    }
}

/// The first suite of the client's that we speak. The chosen one alone is offered to it.
pub(crate) fn choose(suites: &[u8]) -> Option<Dtls12CipherSuite> {
    let (suites, _) = suites.as_chunks::<2>();
    let spoken = |number: &[u8; 2]| Some(Dtls12CipherSuite::from_u16(u16::from_be_bytes(*number)));
    suites.iter().filter_map(spoken).find(|suite| [AES128_GCM, CHACHA20_POLY1305].contains(suite))
}

/// What associations are made with. To make it, `dimpl` tries out the cryptography, which takes longer than a handshake: so that
/// is done once, and the chosen suite alone is offered to a client by its own settings.
pub(crate) struct Settings {
    aes: Arc<Config>,
    chacha: Arc<Config>,
    handshake: Duration,
}

impl Settings {
    /// `None`: the cryptography has failed its own test, or nobody could end a handshake in that time.
    pub(crate) fn new(handshake: Duration) -> Option<Self> {
        let config = |suite| {
            Config::builder()
                .with_crypto_provider(provider::provider())
                .require_client_certificate(false)
                .handshake_timeout(handshake)
                .dtls12_cipher_suites(&[suite])
                .build()
                .ok()
                .map(Arc::new)
        };
        Some(Self { aes: config(AES128_GCM)?, chacha: config(CHACHA20_POLY1305)?, handshake })
    }

    fn of(&self, suite: Dtls12CipherSuite) -> Arc<Config> {
        Arc::clone(if suite == AES128_GCM { &self.aes } else { &self.chacha })
    }
}

/// Unauthenticated records other than of the handshake: `dimpl` would keep them, and they mean nothing any more.
fn is_idle_talk(datagram: &[u8]) -> bool {
    matches!(datagram, [kind, _, _, 0, 0, ..] if *kind != HANDSHAKE)
}

/// Adds to the numbers of the plain records of a datagram.
fn renumber(mut records: &mut [u8], shift: u64) {
    while let Some((header, rest)) = records.split_first_chunk_mut::<RECORD_HEADER>() {
        let [_, _, _, e0, e1, s0, s1, s2, s3, s4, s5, l0, l1] = header;
        if [*e0, *e1] == [0, 0] {
            let number = u64::from_be_bytes([0, 0, *s0, *s1, *s2, *s3, *s4, *s5]);
            [_, _, *s0, *s1, *s2, *s3, *s4, *s5] = number.saturating_add(shift).to_be_bytes();
        }
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        records = rest.get_mut(length..).unwrap_or_default();
    }
}

/// `None`: a panic.
pub(crate) fn guarded<R>(work: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

/// The plaintext of a record, RFC 6347 §4.1 and RFC 5246 §6.2.1: peers may send longer datagrams, and clients need not take more.
pub(crate) const LONGEST: usize = 1 << 14;
pub(crate) const AES128_GCM: Dtls12CipherSuite = Dtls12CipherSuite::ECDHE_ECDSA_AES128_GCM_SHA256;
const CHACHA20_POLY1305: Dtls12CipherSuite = Dtls12CipherSuite::ECDHE_ECDSA_CHACHA20_POLY1305_SHA256;
/// Numbers of records have 48 bits; whoever begins with such a large one gets ours as they come.
const MAX_SHIFT: u64 = 1 << 40;
