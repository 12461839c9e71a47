//! What clients do, and strangers: requests with good credentials and odd attributes, data, connections, moving about.

use std::net::SocketAddr;

use aes_gcm::aead::{AeadInPlace, KeyInit};
use aes_gcm::{Aes256Gcm, Nonce};
use stun_types::attribute::{AttributeWrite, Nonce as NonceAttribute, RawAttribute, Realm, Username};
use stun_types::message::{Message, MessageClass, MessageWrite, MessageWriteExt, Method, TransactionId};
use tandem_stun::integrity::{self, Integrity, Key};
use tandem_stun::turn::{Carried, FiveTuple, Transport};
use turn_types::AddressFamily;
use turn_types::attribute::{
    AdditionalAddressFamily, ChannelNumber, ConnectionId, EvenPort, Lifetime, RequestedTransport, XorPeerAddress,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CONNECT, CONNECTION_BIND, CREATE_PERMISSION, REFRESH};

use super::super::script::Script;
use super::super::world::{self, Client, UNIX, address};
use super::Pair;

/// A client, and the machine that its packets reach.
pub(super) struct Actor {
    pub(super) client: Client,
    pub(super) at: usize,
}

impl Pair {
    /// A request of this client and its answer, if that is a success.
    fn request(&mut self, who: usize, method: Method, attributes: &[&dyn AttributeWrite]) -> Option<Vec<u8>> {
        let transaction = self.next_transaction();
        self.sign_and_send(who, method, transaction, attributes)
    }

    fn sign_and_send(
        &mut self,
        who: usize,
        method: Method,
        transaction: TransactionId,
        attributes: &[&dyn AttributeWrite],
    ) -> Option<Vec<u8>> {
        let Actor { client, at } = &self.actors[who];
        let (client, at) = (client.clone(), *at);
        let bytes = client.sign(method, transaction, attributes);
        self.deliver(at, client.tuple, &bytes);
        self.answer(&client, self.transaction)
    }

    fn next_transaction(&mut self) -> TransactionId {
        self.transaction += 1;
        self.transaction.into()
    }

    /// What a client says of relaying datagrams.
    pub(super) fn say(&mut self, who: usize, step: u8, script: &mut Script<'_>) {
        let (at, tuple) = (self.actors[who].at, self.actors[who].client.tuple);
        match step {
            0 => self.deliver(at, tuple, script.bytes()),
            1 => drop(self.request(who, ALLOCATE, &[&RequestedTransport::new(17)])),
            2 | 3 => {
                let method = Method::new(u16::from(script.byte().unwrap_or(3) & 0x0f));
                let values: Vec<(u16, &[u8])> =
                    (0..script.byte().unwrap_or(0) & 3).map(|_| script.attribute()).collect();
                let raw: Vec<_> = values.iter().map(|&(kind, value)| RawAttribute::new(kind.into(), value)).collect();
                let attributes: Vec<_> = raw.iter().map(|raw| raw as &dyn AttributeWrite).collect();
                self.request(who, method, &attributes);
            }
            4 | 5 => self.about(who, CREATE_PERMISSION, script),
            6 | 7 => {
                let (transaction, peer) = (self.next_transaction(), script.peer(&self.worlds));
                let number = ChannelNumber::new(0x3fff + u16::from(script.byte().unwrap_or(0)));
                let peer = XorPeerAddress::new(peer, transaction);
                self.sign_and_send(who, CHANNEL_BIND, transaction, &[&number, &peer]);
            }
            8 | 9 => {
                let sent = world::send_indication(script.peer(&self.worlds), script.bytes());
                self.deliver(at, tuple, &sent);
            }
            10 | 11 => {
                let number = 0x3fff + u16::from(script.byte().unwrap_or(0));
                let sent = world::channel_data(number, script.bytes());
                self.deliver(at, tuple, &sent);
            }
            12 | 13 => {
                let (at, peer) = (usize::from(step & 1), script.peer(&self.worlds));
                let relay = self.worlds[at].open.keys().nth(usize::from(script.byte().unwrap_or(0) & 3)).copied();
                if let Some(relay) = relay {
                    let world = &mut self.worlds[at];
                    let forward = world.relay.handle_peer(world.now, relay, peer, script.bytes());
                    self.arrived(at, forward);
                }
            }
            14 => {
                let seconds = Lifetime::new(u32::from(script.byte().unwrap_or(0)) * 100);
                self.request(who, REFRESH, &[&seconds]);
            }
            _ => {
                let world = &mut self.worlds[at];
                world.relay.handle_closed(world.now, tuple);
                world.drain();
            }
        }
    }

    /// A request about a peer.
    fn about(&mut self, who: usize, method: Method, script: &mut Script<'_>) {
        let (transaction, peer) = (self.next_transaction(), script.peer(&self.worlds));
        self.sign_and_send(who, method, transaction, &[&XorPeerAddress::new(peer, transaction)]);
    }

    /// The same of connections (RFC 6062).
    pub(super) fn connect(&mut self, who: usize, step: u8, script: &mut Script<'_>) {
        let at = self.actors[who].at;
        match step {
            0 | 1 => drop(self.request(who, ALLOCATE, &[&RequestedTransport::new(RequestedTransport::TCP)])),
            2..=4 => {
                self.about(who, CONNECT, script);
                if let Some(peer) = self.worlds[at].connecting.values().next_back() {
                    assert!(!(peer.ip().is_loopback() && peer.port() == 3_478), "{peer}");
                }
            }
            5 | 6 => {
                let world = &mut self.worlds[at];
                if let Some((connection, _)) = world.connecting.pop_first() {
                    world.relay.handle_connected(world.now, connection);
                    world.established.push(connection);
                }
            }
            7 | 8 => {
                let peer = script.peer(&self.worlds);
                let world = &mut self.worlds[at];
                let relay = world.open.keys().nth(usize::from(script.byte().unwrap_or(0) & 3)).copied();
                if let Some(relay) = relay {
                    world.established.extend(world.relay.handle_incoming(world.now, relay, peer));
                }
            }
            9..=11 => self.bind_connection(who, script),
            12 | 13 => {
                let world = &mut self.worlds[at];
                if let Some(connection) = world.established.pop() {
                    world.relay.handle_disconnected(connection);
                    world.joined.remove(&connection);
                }
            }
            _ => {
                let world = &mut self.worlds[at];
                if let Some(&connection) = world.established.last() {
                    let bytes = u64::from(script.byte().unwrap_or(0)) << 17;
                    world.relay.handle_carried(world.now, connection, Carried { up: bytes, down: bytes });
                }
            }
        }
        self.worlds.iter_mut().for_each(world::World::drain);
    }

    /// By another stream of the client's, which may reach the other machine.
    fn bind_connection(&mut self, who: usize, script: &mut Script<'_>) {
        let established = &self.worlds[self.actors[who].at].established;
        let index = usize::from(script.byte().unwrap_or(0));
        let number = established.get(index % established.len().max(1)).map_or(7, |id| id.bits());
        let choice = script.byte().unwrap_or(0);
        let Actor { client, at } = &self.actors[who];
        let from = SocketAddr::new(client.tuple.client.ip(), 5_000 + u16::from(choice & 3));
        let tuple = FiveTuple { client: from, ..client.tuple };
        let (bind, at) = (Actor { client: Client { tuple, ..client.clone() }, at: *at }, *at);
        let at = if choice & 4 == 0 { at } else { 1 - at };
        let transaction = self.next_transaction();
        let bytes = bind.client.sign(CONNECTION_BIND, transaction, &[&ConnectionId::new(number)]);
        self.deliver(at, tuple, &bytes);
        self.answer(&bind.client, self.transaction);
    }

    /// What only some clients do: other places, two families, ports for later, tokens; and what strangers do.
    pub(super) fn roam(&mut self, who: usize, step: u8, script: &mut Script<'_>) {
        let udp = RequestedTransport::new(17);
        match step {
            0 | 1 => {
                let answer = self.request(who, ALLOCATE, &[&udp, &RawAttribute::new(TICKET.into(), &[])]);
                self.keep(answer, TICKET);
            }
            2..=4 => {
                let choice = script.byte().unwrap_or(0);
                let actor = &mut self.actors[who];
                actor.client.tuple.client.set_port(2_000 + u16::from(choice & 7));
                actor.at = usize::from(choice >> 3 & 1);
                let ticket = self.tickets.get(usize::from(choice >> 4) % self.tickets.len().max(1)).cloned();
                let ticket = ticket.unwrap_or_default();
                let attributes: [&dyn AttributeWrite; 2] =
                    [&Lifetime::new(600), &RawAttribute::new(TICKET.into(), &ticket)];
                let answer = self.request(who, REFRESH, &attributes);
                self.keep(answer, TICKET);
            }
            5 | 6 => {
                let both = AdditionalAddressFamily::new(AddressFamily::IPV6);
                let ask = RawAttribute::new(TICKET.into(), &[]);
                let attributes: [&dyn AttributeWrite; 3] = [&udp, &both, &ask];
                let wanted = if script.byte().unwrap_or(0) & 1 == 0 { &attributes[..2] } else { &attributes };
                let answer = self.request(who, ALLOCATE, wanted);
                self.keep(answer, TICKET);
            }
            7 => {
                let even = EvenPort::new(script.byte().unwrap_or(1) & 1 != 0);
                let answer = self.request(who, ALLOCATE, &[&udp, &even]);
                self.keep(answer, RESERVATION);
            }
            8 | 9 => {
                let choice = usize::from(script.byte().unwrap_or(0)) % self.reservations.len().max(1);
                let token = self.reservations.get(choice).cloned().unwrap_or_default();
                self.request(who, ALLOCATE, &[&udp, &RawAttribute::new(RESERVATION.into(), &token)]);
            }
            10 | 11 => self.come_with_token(who, script),
            12 => {
                // Somebody whom only the database knows.
                let dora = &self.actors[who].client;
                let key = world::key(&tandem_stun::credential::Credential {
                    username: "dora".into(),
                    password: "her password".into(),
                });
                let dora = Client { username: "dora".into(), key, ..dora.clone() };
                self.actors[who].client = dora;
            }
            13 => self.learn_nonce(who),
            _ => self.stranger(who & 1, script),
        }
    }

    fn keep(&mut self, answer: Option<Vec<u8>>, kind: u16) {
        let parsed = answer.as_deref().and_then(|answer| Message::from_bytes(answer).ok());
        let value = parsed.and_then(|message| message.raw_attribute(kind.into()).map(|raw| raw.value.to_vec()));
        if kind == TICKET { &mut self.tickets } else { &mut self.reservations }.extend(value);
    }

    /// RFC 7635: a token that was sealed with the right key, whatever is inside.
    fn come_with_token(&mut self, who: usize, script: &mut Script<'_>) {
        let (choice, piece) = (script.byte().unwrap_or(0), script.bytes());
        let (mac, lifetime) = ([choice; 20], u32::from(choice) * 10);
        let good = [&[0, 20][..], &mac, &(UNIX << 16).to_be_bytes(), &lifetime.to_be_bytes()].concat();
        let mut block = if choice & 1 == 0 { good } else { piece.to_vec() };
        let nonce = Nonce::from([choice; 12]);
        let tag = Aes256Gcm::new(&AS_RS_KEY.into()).encrypt_in_place_detached(&nonce, SERVER.as_bytes(), &mut block);
        let mut token = [&[0, 12][..], &[choice; 12], &block, &tag.expect("sealed")].concat();
        if choice & 2 != 0 && !piece.is_empty() {
            let at = usize::from(piece[0]) % token.len();
            token[at] ^= 1;
        }
        token.truncate(700);
        let Actor { client, at } = &self.actors[who];
        let (tuple, at, told) = (client.tuple, *at, client.nonce.clone());
        let transaction = self.next_transaction();
        let (method, token) =
            (if choice & 4 == 0 { ALLOCATE } else { REFRESH }, RawAttribute::new(0x001B.into(), &token));
        let udp = RequestedTransport::new(17);
        let mut message = world::builder(MessageClass::Request, method, transaction, &[&udp, &token]);
        message.add_attribute(&Username::new("north").expect("a name")).expect("room");
        message.add_attribute(&Realm::new("tandem").expect("a realm")).expect("room");
        message.add_attribute(&NonceAttribute::new(&told).expect("a nonce")).expect("room");
        let bytes = integrity::protect(message.finish(), Integrity::Sha1, &Key::from_bytes(&mac)).expect("room");
        self.deliver(at, tuple, &bytes);
        self.worlds.iter_mut().for_each(|world| world.sent.clear());
    }

    /// The one it has may be too old.
    fn learn_nonce(&mut self, who: usize) {
        let Actor { client, at } = &self.actors[who];
        let (tuple, at) = (client.tuple, *at);
        let transaction = self.next_transaction();
        let request = world::request(ALLOCATE, transaction, &[&RequestedTransport::new(17)]);
        self.deliver(at, tuple, &request);
        let told = self.worlds.iter_mut().flat_map(|world| world.sent.drain(..)).filter_map(|(_, message)| {
            let parsed = Message::from_bytes(&message).ok()?;
            parsed.attribute::<NonceAttribute>().ok().map(|nonce| nonce.nonce().to_owned())
        });
        if let Some(nonce) = told.last() {
            self.actors[who].client.nonce = nonce;
        }
    }

    /// Whoever it is has no credential, and asks on behalf of a page.
    fn stranger(&mut self, at: usize, script: &mut Script<'_>) {
        const ORIGIN: u16 = 0x802F;
        let tuple = FiveTuple {
            transport: Transport::Udp,
            client: address("6.6.6.6:6666"),
            server: address("192.168.1.5:3478"),
        };
        let (choice, piece) = (script.byte().unwrap_or(0), script.bytes());
        let transaction = self.next_transaction();
        let origin = RawAttribute::new(ORIGIN.into(), if choice & 2 == 0 { b"https://north.example" } else { piece });
        let method = Method::new(u16::from(choice >> 4));
        let bytes = match choice & 1 {
            0 => world::request(method, transaction, &[&RequestedTransport::new(17), &origin]),
            _ => piece.to_vec(),
        };
        for _ in 0..=choice >> 2 & 3 {
            self.deliver(at, tuple, &bytes);
        }
        for world in 0..2 {
            let sent = self.worlds[world].sent.drain(..).filter(|(to, _)| *to == tuple).count();
            self.answers[world] += u64::try_from(sent).unwrap_or(u64::MAX);
        }
    }
}

const TICKET: u16 = 0x8030;
const RESERVATION: u16 = 0x0022;
/// Shared with an authorisation server, and what it calls us.
pub(super) const AS_RS_KEY: [u8; 32] = *b"01234567890123456789012345678901";
pub(super) const SERVER: &str = "relay.example.org";
