//! DTLS for the client: one association over one socket.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use tandem_dtls::{Client, Event};

/// An association, and what it has brought.
pub struct Session {
    client: Client,
    heard: Vec<Vec<u8>>,
    closed: bool,
}

impl Session {
    /// Shakes hands.
    pub fn open(socket: &UdpSocket) -> Self {
        let mut session =
            Self { client: Client::new(Instant::now()).expect("a client"), heard: Vec::new(), closed: false };
        let end = Instant::now() + PATIENCE;
        while !session.turn(socket) {
            assert!(Instant::now() < end, "no handshake");
            session.take(socket);
        }
        session
    }

    pub fn send(&mut self, socket: &UdpSocket, bytes: &[u8]) {
        self.client.send(bytes).expect("sealed");
        self.turn(socket);
    }

    /// The next message. `None`: the server has said good-bye.
    pub fn receive(&mut self, socket: &UdpSocket) -> Option<Vec<u8>> {
        let end = Instant::now() + PATIENCE;
        loop {
            self.turn(socket);
            if !self.heard.is_empty() {
                return Some(self.heard.remove(0));
            }
            if self.closed {
                return None;
            }
            assert!(Instant::now() < end, "a datagram in time");
            self.take(socket);
        }
    }

    /// Sends what there is. Whether the handshake has just come to its end.
    fn turn(&mut self, socket: &UdpSocket) -> bool {
        let mut connected = false;
        loop {
            match self.client.poll_output() {
                // Where nobody listens for a moment, the kernel says so.
                Event::Send(datagram) => drop(socket.send(datagram)),
                Event::Received(message) => self.heard.push(message.to_vec()),
                Event::Connected => connected = true,
                Event::Closed => self.closed = true,
                Event::Wait(_) => return connected,
            }
            if self.closed {
                return connected;
            }
        }
    }

    fn take(&mut self, socket: &UdpSocket) {
        let mut bytes = vec![0; 65_536];
        socket.set_read_timeout(Some(SOON)).expect("a timeout");
        match socket.recv(&mut bytes) {
            // What was meant for an association before this one.
            Ok(length) => drop(self.client.handle_datagram(Instant::now(), &bytes[..length])),
            Err(_) => self.client.handle_timeout(Instant::now()).expect("the server answers"),
        }
    }
}

const PATIENCE: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_millis(200);
