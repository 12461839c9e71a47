//! A relay machine with its shell played by the test: sockets open as asked, time goes on by hand, clients speak STUN.

#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use stun_types::attribute::{AttributeWrite, ErrorCode, Nonce, Realm, Username};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials, Message, MessageClass, MessageType, MessageWrite,
    MessageWriteExt, MessageWriteVec, Method, TransactionId,
};
use tandem_stun::credential;
use tandem_stun::turn::{
    Accounts, Addresses, Config, ConnectionId, Destination, External, Filter, FiveTuple, Forward, Limits, Note,
    Offload, OpenRefused, Output, PeerRules, PortSlice, QueryId, RelayId, Server, Transport, UserKey,
};
use turn_types::attribute::{ChannelNumber, Lifetime, RequestedTransport, XorPeerAddress, XorRelayedAddress};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH, SEND};

pub const SECRET: &[u8] = b"machine test";
pub const UNIX: u64 = 1_700_000_000;

/// The machine and what surrounds it.
///
/// Size: one list for each kind of output, so that a test reads what it is about by its name.
pub struct World {
    pub relay: Server,
    pub now: Instant,
    /// What the shell answers to the next sockets; then all succeed.
    pub refusals: Vec<OpenRefused>,
    pub open: BTreeMap<RelayId, SocketAddr>,
    /// Connections that are being established, and to whom.
    pub connecting: BTreeMap<ConnectionId, SocketAddr>,
    /// To whom connections have begun, and who may be there.
    pub destinations: Vec<(SocketAddr, Destination)>,
    /// Connections that were accepted or stand, and perhaps have ended since; kept by those who want to know.
    pub established: Vec<ConnectionId>,
    /// Connections and the clients' streams they have been joined with.
    pub joined: BTreeMap<ConnectionId, FiveTuple>,
    /// Connections the machine has ended.
    pub hung_up: Vec<ConnectionId>,
    pub sent: Vec<(FiveTuple, Vec<u8>)>,
    pub disconnected: Vec<FiveTuple>,
    /// For other shards.
    pub told: Vec<(u16, Note)>,
    /// Clients that relay from another place.
    pub moved: Vec<(FiveTuple, FiveTuple)>,
    /// For a database.
    pub asked: Vec<(QueryId, UserKey)>,
    /// What may be relayed past the machine.
    pub offloads: BTreeMap<(RelayId, u16), Offload>,
    /// No longer, in order; the counts are still owed.
    pub onloads: Vec<RelayId>,
    /// Payload bytes relayed here in spite of that.
    pub spent: BTreeMap<RelayId, u64>,
    transaction: u128,
}

/// An answer, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Success(Vec<u8>),
    Error(u16),
    Silence,
}

/// A client: where it is, and what it knows.
#[derive(Clone)]
pub struct Client {
    pub tuple: FiveTuple,
    pub username: String,
    pub key: IntegrityKey,
    pub nonce: String,
}

#[allow(clippy::disallowed_methods, reason = "an instant can only be had from the clock; tests go on from it by hand")]
pub fn some_instant() -> Instant {
    Instant::now()
}

pub fn address(text: &str) -> SocketAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is no address"))
}

pub fn config(now: Instant) -> Config {
    let own = ["127.0.0.1", "192.168.1.5", "2a00::5", "::1"].map(|ip| ip.parse().expect("an address")).to_vec();
    Config {
        realm: "tandem".into(),
        realms: Arc::default(),
        secrets: vec![SECRET.to_vec()],
        accounts: Accounts::default(),
        credential_lifetime: Duration::from_secs(3_600),
        end_on_expiry: false,
        wall_clock: (now, UNIX),
        nonce_key: [7; 32],
        discovery: None,
        ports: PortSlice { first: 50_000, last: 50_099, shard: 0, shards: 1 },
        addresses: Addresses {
            own,
            listener_ports: vec![3_478],
            services: Vec::new(),
            external: External::default(),
            relay: Vec::new(),
            alternates: Vec::new(),
        },
        peers: PeerRules::default(),
        limits: Limits::default(),
        offload: false,
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        let now = some_instant();
        let mut config = config(now);
        change(&mut config);
        Self {
            relay: Server::new(config, [1; 32]),
            now,
            refusals: Vec::new(),
            open: BTreeMap::new(),
            connecting: BTreeMap::new(),
            destinations: Vec::new(),
            established: Vec::new(),
            joined: BTreeMap::new(),
            hung_up: Vec::new(),
            sent: Vec::new(),
            disconnected: Vec::new(),
            told: Vec::new(),
            asked: Vec::new(),
            moved: Vec::new(),
            offloads: BTreeMap::new(),
            onloads: Vec::new(),
            spent: BTreeMap::new(),
            transaction: 0,
        }
    }

    /// Lets time go by, and the machine's deadlines with it.
    pub fn wait(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.relay.poll_timeout().filter(|&at| at <= end) {
            self.now = at;
            self.relay.handle_timeout(at);
            self.drain();
            assert!(self.relay.poll_timeout().is_none_or(|next| next > at), "a timeout that was handled is over");
        }
        self.now = end;
    }

    /// Does what the machine wants, as a shell would.
    pub fn drain(&mut self) {
        while let Some(output) = self.relay.poll_output() {
            match output {
                Output::Send { to, message } => {
                    assert_eq!(message.len() % 4, 0);
                    self.sent.push((to, message));
                }
                Output::Open { relay, at, .. } => {
                    let result = self.refusals.pop().map_or(Ok(()), Err);
                    if result.is_ok() {
                        assert!(!self.open.values().any(|&open| open == at), "{at} is open already");
                        self.open.insert(relay, at);
                    }
                    self.relay.handle_opened(self.now, relay, result);
                }
                Output::Close { relay, .. } => {
                    self.open.remove(&relay);
                }
                Output::Connect { relay, connection, peer, whom } => {
                    assert!(self.open.contains_key(&relay), "it comes from a relayed address");
                    self.connecting.insert(connection, peer);
                    self.destinations.push((peer, whom));
                }
                Output::Join { connection, client } => {
                    assert_eq!(self.joined.insert(connection, client), None, "joined once");
                }
                Output::Hangup { connection } => {
                    self.connecting.remove(&connection);
                    self.joined.remove(&connection);
                    self.hung_up.push(connection);
                }
                Output::Moved { from, to } => self.moved.push((from, to)),
                Output::Query { id, user } => self.asked.push((id, user)),
                Output::Tell { shard, note } => self.told.push((shard, note)),
                Output::Disconnect { client } => self.disconnected.push(client),
                Output::Offload(offload) => {
                    self.offloads.insert((offload.relay, offload.channel), offload);
                }
                Output::Onload { relay } => {
                    self.offloads.retain(|(of, _), _| *of != relay);
                    self.onloads.push(relay);
                }
                Output::Spent { relay, bytes } => *self.spent.entry(relay).or_default() += bytes,
            }
        }
    }

    /// A datagram or frame, and what became of it as bytes on the wire.
    pub fn packet<'p>(&mut self, from: FiveTuple, bytes: &'p [u8]) -> Forward<'p> {
        let forward = self.relay.handle_client(self.now, from, bytes);
        self.drain();
        forward
    }

    /// A request or anything else that is answered.
    pub fn ask(&mut self, from: FiveTuple, bytes: &[u8]) -> Answer {
        self.sent.clear();
        assert_eq!(self.packet(from, bytes), Forward::Nothing);
        match self.sent.pop() {
            None => Answer::Silence,
            Some((to, message)) => {
                assert_eq!(to, from);
                assert!(self.sent.is_empty(), "one answer to one request");
                let parsed = Message::from_bytes(&message).expect("an answer is a message");
                match parsed.class() {
                    MessageClass::Error => Answer::Error(parsed.attribute::<ErrorCode>().expect("a code").code()),
                    _ => Answer::Success(message),
                }
            }
        }
    }

    pub fn transaction(&mut self) -> TransactionId {
        self.transaction += 1;
        self.transaction.into()
    }

    /// A client with a good credential that has been told realm and nonce.
    pub fn client(&mut self, user: &str, at: &str) -> Client {
        self.client_over(Transport::Udp, user, at, "192.168.1.5:3478")
    }

    pub fn client_over(&mut self, transport: Transport, user: &str, at: &str, server: &str) -> Client {
        let tuple = FiveTuple { transport, client: address(at), server: address(server) };
        let login = credential::credential(SECRET, UNIX + 600, user);
        let mut client = Client { tuple, key: key(&login), username: login.username, nonce: String::new() };
        self.challenge(&mut client);
        client
    }

    /// Another connection of the same user, which has been given a nonce.
    pub fn beside(&mut self, client: &Client, port: u16) -> Client {
        let at = SocketAddr::new(client.tuple.client.ip(), port);
        let mut beside = Client { tuple: FiveTuple { client: at, ..client.tuple }, ..client.clone() };
        self.challenge(&mut beside);
        beside
    }

    /// Fetches a nonce.
    pub fn challenge(&mut self, client: &mut Client) {
        let transaction = self.transaction();
        let request = request(ALLOCATE, transaction, &[&RequestedTransport::new(17)]);
        assert_eq!(
            self.ask_raw(client.tuple, &request, |message| {
                client.nonce = message.attribute::<Nonce>().expect("a nonce").nonce().to_owned();
                assert_eq!(message.attribute::<Realm>().expect("a realm").realm(), "tandem");
                message.attribute::<ErrorCode>().expect("a code").code()
            }),
            Some(401)
        );
    }

    pub fn ask_raw<T>(&mut self, from: FiveTuple, bytes: &[u8], read: impl FnOnce(&Message<'_>) -> T) -> Option<T> {
        self.sent.clear();
        self.packet(from, bytes);
        let (_, message) = self.sent.pop()?;
        Some(read(&Message::from_bytes(&message).expect("an answer is a message")))
    }

    /// A signed request and its answer.
    pub fn request(&mut self, client: &Client, method: Method, attributes: &[&dyn AttributeWrite]) -> Answer {
        let transaction = self.transaction();
        let bytes = client.sign(method, transaction, attributes);
        let answer = self.ask(client.tuple, &bytes);
        if let Answer::Success(message) = &answer {
            let parsed = Message::from_bytes(message).expect("an answer is a message");
            assert!(parsed.validate_integrity_with_key(&client.key).is_ok(), "answers to signed requests are signed");
            assert_eq!(parsed.transaction_id(), transaction);
        }
        answer
    }

    /// Allocates and tells the relayed address.
    pub fn allocate(&mut self, client: &Client) -> SocketAddr {
        match self.request(client, ALLOCATE, &[&RequestedTransport::new(17)]) {
            Answer::Success(message) => relayed(&message),
            refused => panic!("no allocation: {refused:?}"),
        }
    }

    /// Where the peers of a client see it.
    pub fn allocated(&self, client: &Client) -> SocketAddr {
        let sessions = self.relay.sessions(&Filter::default(), None, 100);
        let session = sessions.iter().find(|session| session.client == client.tuple).expect("a session");
        *session.relayed.first().expect("a relayed address")
    }

    pub fn refresh(&mut self, client: &Client, seconds: u32) -> Answer {
        self.request(client, REFRESH, &[&Lifetime::new(seconds)])
    }

    pub fn permit(&mut self, client: &Client, peer: &str) -> Answer {
        let transaction = self.transaction();
        let peer = XorPeerAddress::new(address(peer), transaction);
        let bytes = client.sign(CREATE_PERMISSION, transaction, &[&peer]);
        self.ask(client.tuple, &bytes)
    }

    pub fn bind(&mut self, client: &Client, number: u16, peer: SocketAddr) -> Answer {
        let transaction = self.transaction();
        let peer = XorPeerAddress::new(peer, transaction);
        let bytes = client.sign(CHANNEL_BIND, transaction, &[&ChannelNumber::new(number), &peer]);
        self.ask(client.tuple, &bytes)
    }

    /// What another shard's machine says.
    pub fn hear(&mut self, note: Note) {
        self.relay.handle_note(self.now, note);
        self.drain();
    }

    /// The relay socket of an address.
    pub fn relay_of(&self, at: SocketAddr) -> RelayId {
        *self.open.iter().find(|&(_, &open)| open.port() == at.port()).expect("an open relay socket").0
    }
}

impl Client {
    /// A request with this client's credential.
    pub fn sign(&self, method: Method, transaction: TransactionId, attributes: &[&dyn AttributeWrite]) -> Vec<u8> {
        let mut message = builder(MessageClass::Request, method, transaction, attributes);
        message.add_attribute(&Username::new(&self.username).expect("a user name")).expect("room");
        message.add_attribute(&Realm::new("tandem").expect("a realm")).expect("room");
        message.add_attribute(&Nonce::new(&self.nonce).expect("a nonce")).expect("room");
        message.add_message_integrity_with_key(&self.key, IntegrityAlgorithm::Sha1).expect("room");
        message.finish()
    }
}

pub fn key(login: &credential::Credential) -> IntegrityKey {
    LongTermKeyCredentials::new(login.username.clone(), login.password.clone(), "tandem".into())
        .make_key(IntegrityAlgorithm::Sha1)
}

pub fn builder(
    class: MessageClass,
    method: Method,
    transaction: TransactionId,
    attributes: &[&dyn AttributeWrite],
) -> MessageWriteVec {
    let kind = MessageType::from_class_method(class, method);
    let mut message = Message::builder(kind, transaction, MessageWriteVec::new());
    for attribute in attributes {
        message.add_attribute(*attribute).expect("room");
    }
    message
}

pub fn request(method: Method, transaction: TransactionId, attributes: &[&dyn AttributeWrite]) -> Vec<u8> {
    builder(MessageClass::Request, method, transaction, attributes).finish()
}

pub fn send_indication(peer: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let transaction: TransactionId = 77.into();
    let (peer, data) = (XorPeerAddress::new(peer, transaction), turn_types::attribute::Data::new(payload));
    builder(MessageClass::Indication, SEND, transaction, &[&peer, &data]).finish()
}

pub fn channel_data(number: u16, payload: &[u8]) -> Vec<u8> {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.extend(u16::try_from(payload.len()).expect("a short payload").to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub fn relayed(message: &[u8]) -> SocketAddr {
    let parsed = Message::from_bytes(message).expect("a message");
    parsed.attribute::<XorRelayedAddress>().expect("an address").addr(parsed.transaction_id())
}

pub fn lifetime(answer: &Answer) -> u32 {
    let Answer::Success(message) = answer else { panic!("no success: {answer:?}") };
    Message::from_bytes(message).expect("a message").attribute::<Lifetime>().expect("a lifetime").seconds()
}

pub fn is_success(answer: &Answer) -> bool {
    matches!(answer, Answer::Success(_))
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap_or_else(|_| panic!("{text} is no address"))
}

impl Client {
    /// A place nobody has spoken from.
    pub fn anonymous(at: &str) -> FiveTuple {
        FiveTuple { transport: Transport::Udp, client: address(at), server: address("192.168.1.5:3478") }
    }
}
