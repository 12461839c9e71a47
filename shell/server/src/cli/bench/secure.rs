//! A client's datagrams inside DTLS (RFC 7350): the socket and the clock of `tandem_dtls::Client`.

use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use anyhow::anyhow;
use tandem_dtls::{Client, Event, Failed};
use tokio::net::UdpSocket;

use super::link::MOST;

/// An open connection.
pub struct Secure {
    socket: UdpSocket,
    client: Client,
    state: State,
    /// Of the handshake; later only the end of what has gone wrong.
    due: Instant,
    /// Sealed, for the server.
    outbox: VecDeque<Vec<u8>>,
    /// Opened, for whoever asks next.
    inbox: VecDeque<Vec<u8>>,
    datagram: Vec<u8>,
}

enum State {
    Handshaking,
    Open,
    Closed,
    Failed(Failed),
}

impl Secure {
    /// Takes a connected socket through the handshake. Any certificate will do: see [`super::link`].
    pub async fn open(socket: UdpSocket) -> anyhow::Result<Self> {
        let now = Instant::now();
        let client = Client::new(now)?;
        let (outbox, inbox) = (VecDeque::new(), VecDeque::new());
        let mut secure =
            Self { socket, client, state: State::Handshaking, due: now, outbox, inbox, datagram: vec![0; MOST] };
        secure.drain();
        while matches!(secure.state, State::Handshaking) {
            secure.step().await?;
        }
        match &secure.state {
            State::Failed(failed) => Err(anyhow!(failed.clone()).context(hint(failed))),
            State::Closed => Err(anyhow!("the server has closed the connection")),
            State::Handshaking | State::Open => Ok(secure),
        }
    }

    /// Is sent when [`Self::receive`] is awaited next.
    pub fn queue(&mut self, packet: &[u8]) {
        let outcome = self.client.send(packet);
        self.note(outcome);
    }

    /// Sends what is queued and waits for the next packet. May be dropped while it waits: nothing is lost by that.
    pub async fn receive(&mut self, packet: &mut Vec<u8>) -> io::Result<()> {
        loop {
            if let Some(next) = self.inbox.pop_front() {
                *packet = next;
                return Ok(());
            }
            match &self.state {
                State::Failed(failed) => return Err(io::Error::other(failed.clone())),
                State::Closed => {
                    return Err(io::Error::new(
                        io::ErrorKind::ConnectionAborted,
                        "the server has closed the connection",
                    ));
                }
                State::Handshaking | State::Open => self.step().await?,
            }
        }
    }

    /// Sends what there is, and takes in what comes first: a datagram, or the time.
    async fn step(&mut self) -> io::Result<()> {
        while let Some(datagram) = self.outbox.front() {
            self.socket.send(datagram).await?;
            self.outbox.pop_front();
        }
        let outcome = tokio::select! {
            received = self.socket.recv(&mut self.datagram) => {
                let datagram = self.datagram.get(..received?).unwrap_or_default();
                self.client.handle_datagram(Instant::now(), datagram)
            }
            () = tokio::time::sleep_until(self.due.into()) => self.client.handle_timeout(Instant::now()),
        };
        self.note(outcome);
        Ok(())
    }

    fn note(&mut self, outcome: Result<(), Failed>) {
        self.drain();
        if let Err(failed) = outcome {
            self.state = State::Failed(failed);
        }
    }

    fn drain(&mut self) {
        loop {
            match self.client.poll_output() {
                Event::Send(datagram) => self.outbox.push_back(datagram.to_vec()),
                Event::Received(packet) => self.inbox.push_back(packet.to_vec()),
                Event::Connected => self.state = State::Open,
                Event::Closed => {
                    self.state = State::Closed;
                    return;
                }
                Event::Wait(due) => {
                    self.due = due;
                    return;
                }
            }
        }
    }
}

impl Drop for Secure {
    /// Says good-bye: unlike that of a stream, the end of a socket shows nowhere else.
    fn drop(&mut self) {
        self.client.close();
        self.drain();
        for datagram in &self.outbox {
            // As much as the socket takes: the server's patience ends the rest.
            let _ = self.socket.try_send(datagram);
        }
    }
}

fn hint(failed: &Failed) -> &'static str {
    match failed {
        Failed::Refused { .. } | Failed::Broken { .. } => {
            "DTLS is spoken here in version 1.2 with ECDHE-ECDSA-AES128-GCM-SHA256: has the server a certificate with an ECDSA key?"
        }
        Failed::Silent => "does it speak DTLS, and is the port let through for UDP?",
        Failed::TooLong { .. } => "a message does not fit",
    }
}
