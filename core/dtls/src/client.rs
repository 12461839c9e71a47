//! One client, for tools and tests: it believes any certificate, and offers AES-128-GCM alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, DtlsCertificate, Error, Output, SecurityError};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};

use crate::association::{AES128_GCM, LONGEST, guarded};
use crate::provider::{self, write_nonces};

/// A client of a server that this machine trusts by other means, or not at all.
pub struct Client {
    dtls: Box<Dtls>,
    buffer: Vec<u8>,
}

/// What a client wants, or has got.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// To the server.
    Send(&'a [u8]),
    /// From the server.
    Received(&'a [u8]),
    /// Messages can be sent from here on.
    Connected,
    /// The server has said good-bye.
    Closed,
    /// Nothing more before then, unless something comes.
    Wait(Instant),
}

/// There is no connection, or no longer one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failed {
    /// The server has ended it with this alert (RFC 5246 §7.2).
    #[error("the server refuses, by alert {alert}")]
    Refused {
        /// AlertDescription.
        alert: u8,
    },
    /// Nobody answers.
    #[error("no answer")]
    Silent,
    /// The caller's message does not fit a record (RFC 6347 §4.1, RFC 5246 §6.2.1).
    #[error("expected a message of at most {LONGEST} bytes, got {length}")]
    TooLong {
        /// Of the message.
        length: usize,
    },
    /// What has come, or has not, makes going on impossible.
    #[error("the connection is broken: {why}")]
    Broken {
        /// For a person to read.
        why: String,
    },
}

impl Client {
    /// A client that begins its handshake at once.
    ///
    /// # Errors
    /// The system gives no key, or the cryptography fails its own test.
    pub fn new(now: Instant) -> Result<Self, Failed> {
        let config = Config::builder()
            .with_crypto_provider(provider::provider())
            .dtls12_cipher_suites(&[AES128_GCM])
            .handshake_timeout(HANDSHAKE);
        // Only shown to a server that asks for it, which then cannot read it.
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
        let private_key = key.map_err(|_| broken("no key can be made"))?.as_ref().to_vec();
        let identity = DtlsCertificate { certificate: b"none".to_vec(), private_key };
        let config = Arc::new(config.build().map_err(|error| failed(&error))?);
        let mut dtls = Box::new(Dtls::new_12(config, identity, now));
        dtls.set_active(true);
        let mut client = Self { dtls, buffer: vec![0; BUFFER] };
        client.handle_timeout(now)?;
        Ok(client)
    }

    /// A datagram from the server.
    ///
    /// # Errors
    /// The connection cannot go on.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Failed> {
        self.work(|dtls| dtls.handle_timeout(now).and_then(|()| dtls.handle_packet(datagram)))
    }

    /// Time has passed.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Failed> {
        self.work(|dtls| dtls.handle_timeout(now))
    }

    /// Sends a message, once connected.
    ///
    /// # Errors
    /// The connection has ended, or the message is too long for a record.
    pub fn send(&mut self, message: &[u8]) -> Result<(), Failed> {
        if message.len() > LONGEST {
            return Err(Failed::TooLong { length: message.len() });
        }
        self.work(|dtls| dtls.send_application_data(message).map(drop))
    }

    /// Says good-bye.
    pub fn close(&mut self) {
        let _ = self.work(Dtls::close);
    }

    fn work(&mut self, work: impl FnOnce(&mut Dtls) -> Result<(), Error>) -> Result<(), Failed> {
        let dtls = &mut self.dtls;
        match guarded(|| work(dtls)) {
            Some(outcome) => outcome.map_err(|error| failed(&error)),
            None => Err(broken("the library takes its state for impossible")),
        }
    }

    /// What to do next. Drain after every call, until [`Event::Wait`] or [`Event::Closed`].
    pub fn poll_output(&mut self) -> Event<'_> {
        // The buffer is lent for as long as the event lives; what is neither bytes nor an end is passed over.
        let Self { dtls, buffer } = self;
        let length = loop {
            match guarded(|| dtls.poll_output(buffer)) {
                Some(Output::Packet(packet)) => break (packet.len(), true),
                Some(Output::ApplicationData(data)) => break (data.len(), false),
                Some(Output::Connected) => return Event::Connected,
                Some(Output::Timeout(at)) => return Event::Wait(at),
                Some(Output::CloseNotify | Output::BufferTooSmall { .. }) | None => return Event::Closed,
                Some(_) => {}
            }
        };
        let (length, is_packet) = length;
        let bytes = buffer.get_mut(..length).unwrap_or_default();
        if !is_packet {
            return Event::Received(bytes);
        }
        write_nonces(bytes);
        Event::Send(bytes)
    }
}

fn broken(why: &str) -> Failed {
    Failed::Broken { why: why.to_owned() }
}

fn failed(error: &Error) -> Failed {
    match error {
        Error::SecurityError(SecurityError::FatalAlert { description }) => Failed::Refused { alert: *description },
        Error::Timeout(_) => Failed::Silent,
        other => Failed::Broken { why: other.to_string() },
    }
}

const HANDSHAKE: Duration = Duration::from_secs(10);
/// Any record fits.
const BUFFER: usize = 1 << 15;
