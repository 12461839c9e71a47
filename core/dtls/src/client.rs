//! One client, for tools and tests: it believes any certificate, and offers AES-128-GCM alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dimpl::{Config, Dtls, DtlsCertificate, Output};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair};
use thiserror::Error;

use crate::association::AES128_GCM;
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the DTLS connection has failed")]
pub struct Failed;

impl Client {
    /// A client that begins its handshake at once.
    ///
    /// # Errors
    /// The cryptography failed its own test.
    pub fn new(now: Instant) -> Result<Self, Failed> {
        let config = Config::builder()
            .with_crypto_provider(provider::provider())
            .dtls12_cipher_suites(&[AES128_GCM])
            .handshake_timeout(HANDSHAKE);
        // Only shown to a server that asks for it, which then cannot read it.
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
        let private_key = key.map_err(|_| Failed)?.as_ref().to_vec();
        let identity = DtlsCertificate { certificate: b"none".to_vec(), private_key };
        let config = Arc::new(config.build().map_err(|_| Failed)?);
        let mut dtls = Box::new(Dtls::new_12(config, identity, now));
        dtls.set_active(true);
        dtls.handle_timeout(now).map_err(|_| Failed)?;
        Ok(Self { dtls, buffer: vec![0; BUFFER] })
    }

    /// A datagram from the server.
    ///
    /// # Errors
    /// The connection cannot go on.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Failed> {
        self.dtls.handle_timeout(now).and_then(|()| self.dtls.handle_packet(datagram)).map_err(|_| Failed)
    }

    /// Time has passed.
    ///
    /// # Errors
    /// The server does not answer.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Failed> {
        self.dtls.handle_timeout(now).map_err(|_| Failed)
    }

    /// Sends a message, once connected.
    ///
    /// # Errors
    /// The connection has ended.
    pub fn send(&mut self, message: &[u8]) -> Result<(), Failed> {
        self.dtls.send_application_data(message).map(drop).map_err(|_| Failed)
    }

    /// Says good-bye.
    pub fn close(&mut self) {
        let _ = self.dtls.close();
    }

    /// What to do next. Drain after every call, until [`Event::Wait`].
    pub fn poll_output(&mut self) -> Event<'_> {
        // The buffer is lent for as long as the event lives; what is neither bytes nor an end is passed over.
        let Self { dtls, buffer } = self;
        let length = loop {
            match dtls.poll_output(buffer) {
                Output::Packet(packet) => break (packet.len(), true),
                Output::ApplicationData(data) => break (data.len(), false),
                Output::Connected => return Event::Connected,
                Output::CloseNotify => return Event::Closed,
                Output::Timeout(at) => return Event::Wait(at),
                _ => {}
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

const HANDSHAKE: Duration = Duration::from_secs(10);
/// Any datagram fits.
const BUFFER: usize = 1 << 15;
