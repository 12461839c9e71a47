//! Data channels: SCTP over DTLS (RFC 8831), opened by RFC 8832 or by agreement.

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, Payload,
    PayloadProtocolIdentifier as Ppi, ReliabilityType, ServerConfig, Stream, StreamEvent, TransportConfig,
};
use thiserror::Error;

use crate::dcep::Dcep;

/// A channel's number: its SCTP stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChannelId(pub u16);

/// A data channel, as whoever opened it has described it (RFC 8832 §5.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    /// Its number.
    pub id: ChannelId,
    /// Its name, any text.
    pub label: String,
    /// Its subprotocol, or nothing.
    pub protocol: String,
    /// Whether messages arrive in the order they were sent in.
    pub ordered: bool,
    /// What becomes of a message that does not get through.
    pub reliability: Reliability,
}

/// RFC 8832 §5.1, channel types.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reliability {
    /// It is sent again until it does.
    Reliable,
    /// It is sent again so many times.
    Retransmits(u16),
    /// It is sent again for so many milliseconds.
    Lifetime(u16),
}

/// A message, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The channel it came by.
    pub channel: ChannelId,
    /// Whether it was sent as text: nobody has looked whether it is UTF-8.
    pub is_text: bool,
    /// What it says.
    pub bytes: Vec<u8>,
}

/// Why a message has not been taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotSent {
    /// There is no such channel, or the connection does not stand yet.
    #[error("the data channel is not open")]
    NotOpen,
    /// More than [`BUFFERED`] bytes wait already: the peer does not take them as fast.
    #[error("too much is waiting to be sent by this data channel")]
    Full,
    /// RFC 8841 §6: `a=max-message-size` of the peer.
    #[error("the message is longer than the peer takes")]
    TooLong,
}

/// What has happened to channels.
#[derive(Debug)]
pub(crate) enum Happened {
    Opened(Channel),
    Message(Message),
    Closed(ChannelId),
    /// The association is over, and all channels with it.
    Lost,
}

/// All channels of one peer.
pub(crate) struct Channels {
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    /// Verification tag of the peer's INIT (RFC 9260 §3.3.2): there is one association and no second.
    tag: Option<[u8; 4]>,
    stands: bool,
    /// Streams with even numbers are the DTLS client's to open (RFC 8832 §6).
    next_id: u16,
    channels: BTreeMap<u16, Status>,
    happened: VecDeque<Happened>,
    packets: VecDeque<Bytes>,
    max_send: u32,
}

struct Status {
    channel: Channel,
    by: Opening,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// We have asked, and the peer has (not yet) answered.
    Ours {
        asked: bool,
        answered: bool,
    },
    Theirs,
    Agreed,
}

impl Channels {
    /// The DTLS client is the one that begins.
    pub(crate) fn new(is_client: bool, max_receive: u32, max_send: u32) -> Self {
        let transport = Arc::new(transport(max_receive, max_send));
        let (mut server, mut client) = (ServerConfig::default(), ClientConfig::new());
        (server.transport, client.transport) = (transport.clone(), transport);
        let mut endpoint = Endpoint::new(Arc::new(EndpointConfig::new()), Some(Arc::new(server)));
        let association = is_client.then(|| endpoint.connect(client, PEER).ok()).flatten();
        Self {
            endpoint,
            association,
            tag: None,
            stands: false,
            next_id: u16::from(!is_client),
            channels: BTreeMap::new(),
            happened: VecDeque::new(),
            packets: VecDeque::new(),
            max_send,
        }
    }

    /// What DTLS has carried.
    pub(crate) fn handle_packet(&mut self, now: Instant, packet: &[u8]) {
        if !self.is_ours(packet) {
            return;
        }
        let bytes = Bytes::copy_from_slice(packet);
        let Self { endpoint, association, .. } = self;
        let fed = catch_unwind(AssertUnwindSafe(|| match endpoint.handle(now, PEER, None, None, bytes) {
            Some((handle, DatagramEvent::NewAssociation(new))) => *association = Some((handle, new)),
            Some((_, DatagramEvent::AssociationEvent(event))) => {
                if let Some((_, association)) = association {
                    association.handle_event(event);
                }
            }
            None => {}
        }));
        if fed.is_err() {
            return self.lose();
        }
        self.settle(now);
    }

    /// A second INIT with another tag would be a second association: there is none (RFC 8831 §6.2).
    fn is_ours(&mut self, packet: &[u8]) -> bool {
        let is_init = packet.get(12) == Some(&INIT);
        let Some(tag) = packet.get(16..20).filter(|_| is_init) else { return self.association.is_some() };
        match self.tag {
            Some(known) => tag == known,
            None => {
                self.tag = tag.try_into().ok();
                // Both may begin (RFC 9260 §5.2.1); who was asked first answers, and the other goes on with that.
                true
            }
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let Some((_, association)) = &mut self.association else { return };
        match catch_unwind(AssertUnwindSafe(|| association.handle_timeout(now))) {
            Ok(()) => self.settle(now),
            Err(_) => self.lose(),
        }
    }

    pub(crate) fn poll_timeout(&self) -> Option<Instant> {
        self.association.as_ref().and_then(|(_, association)| association.poll_timeout())
    }

    /// For DTLS to carry.
    pub(crate) fn poll_packet(&mut self) -> Option<Bytes> {
        self.packets.pop_front()
    }

    pub(crate) fn poll_happened(&mut self) -> Option<Happened> {
        self.happened.pop_front()
    }

    /// The peer is asked to open a channel as soon as the connection stands. `None`: there are too many.
    pub(crate) fn open(
        &mut self,
        now: Instant,
        (label, protocol): (String, String),
        ordered: bool,
        reliability: Reliability,
    ) -> Option<ChannelId> {
        let free = (self.next_id..STREAMS).step_by(2).find(|id| !self.channels.contains_key(id))?;
        let id = ChannelId(free);
        let channel = Channel { id, label, protocol, ordered, reliability };
        self.channels.insert(free, Status { channel, by: Opening::Ours { asked: false, answered: false } });
        self.settle(now);
        Some(id)
    }

    /// A channel both sides have agreed on elsewhere. `false`: its number is taken, or none.
    pub(crate) fn agree(&mut self, now: Instant, channel: Channel) -> bool {
        let id = channel.id.0;
        if id >= STREAMS || self.channels.contains_key(&id) {
            return false;
        }
        self.channels.insert(id, Status { channel, by: Opening::Agreed });
        if self.stands {
            self.begin(id);
        }
        self.settle(now);
        true
    }

    pub(crate) fn close(&mut self, now: Instant, ChannelId(id): ChannelId) {
        if self.channels.remove(&id).is_some() {
            let _ = self.stream(id).map(|mut stream| stream.close());
            self.settle(now);
        }
    }

    /// # Errors
    /// The channel cannot take the message.
    pub(crate) fn send(
        &mut self,
        now: Instant,
        ChannelId(id): ChannelId,
        is_text: bool,
        bytes: &[u8],
    ) -> Result<(), NotSent> {
        if !self.stands || !self.channels.contains_key(&id) {
            return Err(NotSent::NotOpen);
        }
        if bytes.len() > usize::try_from(self.max_send).unwrap_or(usize::MAX) {
            return Err(NotSent::TooLong);
        }
        // RFC 8831 §6.6: SCTP has no empty messages.
        let (ppi, body) = match (is_text, bytes.is_empty()) {
            (true, false) => (Ppi::String, bytes),
            (false, false) => (Ppi::Binary, bytes),
            (true, true) => (Ppi::StringEmpty, NOTHING),
            (false, true) => (Ppi::BinaryEmpty, NOTHING),
        };
        let mut stream = self.stream(id).ok_or(NotSent::NotOpen)?;
        if stream.buffered_amount().unwrap_or_default() + body.len() > BUFFERED {
            return Err(NotSent::Full);
        }
        stream.write_with_ppi(body, ppi).map_err(|_| NotSent::NotOpen)?;
        self.settle(now);
        Ok(())
    }

    /// Bytes that wait to be sent.
    pub(crate) fn buffered(&mut self, ChannelId(id): ChannelId) -> usize {
        self.stream(id).and_then(|stream| stream.buffered_amount().ok()).unwrap_or_default()
    }

    fn stream(&mut self, id: u16) -> Option<Stream<'_>> {
        self.association.as_mut()?.1.stream(id).ok()
    }

    /// All that follows from what was just done.
    fn settle(&mut self, now: Instant) {
        while let Some(event) = self.association.as_mut().and_then(|(_, association)| association.poll()) {
            match event {
                Event::Connected => self.on_connected(),
                Event::HandshakeFailed { .. } | Event::AssociationLost { .. } => return self.lose(),
                Event::Stream(StreamEvent::Readable { id }) => self.read(id),
                Event::Stream(StreamEvent::Finished { id }) => self.on_finished(id),
                Event::Stream(StreamEvent::Opened { .. }) => {
                    // Known by its first message; this takes it out of a queue.
                    let _ = self.association.as_mut().and_then(|(_, it)| it.accept_stream().map(|_| ()));
                }
                Event::Stream(_) | Event::DataChannelStatsFinal(_) | Event::DatagramReceived | _ => {}
            }
        }
        if self.stands {
            self.ask();
        }
        self.gather(now);
    }

    fn gather(&mut self, now: Instant) {
        let Self { endpoint, association, packets, .. } = self;
        let mut take = |payload| match payload {
            Payload::RawEncode(all) => packets.extend(all),
            Payload::PartialDecode(_) => {}
        };
        if let Some((handle, association)) = association {
            while let Some(event) = association.poll_endpoint_event() {
                if let Some(event) = endpoint.handle_event(*handle, event) {
                    association.handle_event(event);
                }
            }
            while let Some(transmit) = association.poll_transmit(now) {
                take(transmit.payload);
            }
        }
        while let Some(transmit) = endpoint.poll_transmit() {
            take(transmit.payload);
        }
    }

    fn on_connected(&mut self) {
        self.stands = true;
        let agreed: Vec<u16> =
            self.channels.iter().filter(|(_, status)| status.by == Opening::Agreed).map(|(id, _)| *id).collect();
        agreed.into_iter().for_each(|id| self.begin(id));
    }

    /// A channel that needs nobody's consent.
    fn begin(&mut self, id: u16) {
        let Some(channel) = self.channels.get(&id).map(|status| status.channel.clone()) else { return };
        if let Some((_, association)) = &mut self.association
            && let Ok(mut stream) = association.open_stream(id, Ppi::Binary)
        {
            settle_on(&mut stream, &channel);
        }
        self.happened.push_back(Happened::Opened(channel));
    }

    /// DATA_CHANNEL_OPEN for what waits, RFC 8832 §6.
    fn ask(&mut self) {
        let Some((_, association)) = &mut self.association else { return };
        for (id, Status { channel, by }) in &mut self.channels {
            let Opening::Ours { asked: asked @ false, .. } = by else { continue };
            *asked = true;
            let Channel { label, protocol, ordered, reliability, .. } = channel.clone();
            let open = Dcep::Open { label, protocol, ordered, reliability };
            if let Ok(mut stream) = association.open_stream(*id, Ppi::Binary) {
                let _ = stream.write_with_ppi(&open.write(), Ppi::Dcep);
            }
        }
    }

    fn read(&mut self, id: u16) {
        while let Some(chunks) = self.stream(id).and_then(|mut stream| stream.read_sctp().ok().flatten()) {
            let mut bytes = vec![0; chunks.len()];
            if chunks.read(&mut bytes).is_err() {
                return;
            }
            let is_known = self.channels.contains_key(&id);
            let (is_text, bytes) = match chunks.ppi {
                Ppi::Dcep => {
                    self.on_control(id, &bytes);
                    continue;
                }
                Ppi::String => (true, bytes),
                Ppi::StringEmpty => (true, Vec::new()),
                Ppi::BinaryEmpty => (false, Vec::new()),
                Ppi::Binary => (false, bytes),
                Ppi::Unknown => continue,
            };
            // Without an OPEN in front of it nobody knows what it is for.
            if is_known {
                self.happened.push_back(Happened::Message(Message { channel: ChannelId(id), is_text, bytes }));
            }
        }
    }

    fn on_control(&mut self, id: u16, bytes: &[u8]) {
        match (Dcep::parse(bytes), self.channels.get_mut(&id)) {
            (Ok(Dcep::Open { label, protocol, ordered, reliability }), None)
                if label.len() <= LONGEST_NAME && protocol.len() <= LONGEST_NAME =>
            {
                let channel = Channel { id: ChannelId(id), label, protocol, ordered, reliability };
                if let Some(mut stream) = self.stream(id) {
                    // The answer goes reliably and in order, whatever comes after it.
                    let _ = stream.write_with_ppi(&Dcep::Ack.write(), Ppi::Dcep);
                    settle_on(&mut stream, &channel);
                }
                self.channels.insert(id, Status { channel: channel.clone(), by: Opening::Theirs });
                self.happened.push_back(Happened::Opened(channel));
            }
            (Ok(Dcep::Ack), Some(Status { channel, by: Opening::Ours { answered: answered @ false, .. } })) => {
                *answered = true;
                let channel = channel.clone();
                if let Some(mut stream) = self.stream(id) {
                    settle_on(&mut stream, &channel);
                }
                self.happened.push_back(Happened::Opened(channel));
            }
            // Twice, or about nothing: dropped.
            (Ok(Dcep::Ack | Dcep::Open { .. }), Some(_)) | (Ok(Dcep::Ack), None) => {}
            // RFC 8832 §5: "the data channel SHALL be closed".
            (Err(_) | Ok(Dcep::Open { .. }), _) => {
                let _ = self.stream(id).map(|mut stream| stream.close());
                self.channels.remove(&id).inspect(|_| self.happened.push_back(Happened::Closed(ChannelId(id))));
            }
        }
    }

    /// The peer's half is reset: ours follows (RFC 8831 §6.7).
    fn on_finished(&mut self, id: u16) {
        let _ = self.stream(id).map(|mut stream| stream.close());
        if self.channels.remove(&id).is_some() {
            self.happened.push_back(Happened::Closed(ChannelId(id)));
        }
    }

    fn lose(&mut self) {
        self.association = None;
        self.stands = false;
        self.channels.clear();
        self.happened.push_back(Happened::Lost);
    }
}

fn transport(max_receive: u32, max_send: u32) -> TransportConfig {
    TransportConfig::default()
        .with_max_receive_message_size(max_receive)
        // One message of the longest, and what comes meanwhile.
        .with_max_receive_buffer_size(max_receive.saturating_mul(4).max(1 << 20))
        .with_max_send_message_size(max_send)
        .with_max_num_inbound_streams(STREAMS)
        .with_max_num_outbound_streams(STREAMS)
        .with_rto_initial_ms(500)
        .with_rto_min_ms(200)
        .with_rto_max_ms(10_000)
}

fn settle_on(stream: &mut Stream<'_>, channel: &Channel) {
    let (kind, value) = match channel.reliability {
        Reliability::Reliable => (ReliabilityType::Reliable, 0),
        Reliability::Retransmits(most) => (ReliabilityType::Rexmit, u32::from(most)),
        Reliability::Lifetime(most) => (ReliabilityType::Timed, u32::from(most)),
    };
    let _ = stream.set_reliability_params(!channel.ordered, kind, value);
}

/// SCTP's packets go by DTLS: addresses play no part.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5_000);
/// Chunk type, RFC 9260 §3.2.
const INIT: u8 = 1;
/// As many as Chromium opens; each costs memory once it is used.
const STREAMS: u16 = 1_024;
/// Of labels and protocols.
const LONGEST_NAME: usize = 1_024;
/// What may wait to be sent by one channel.
pub const BUFFERED: usize = 1 << 20;
/// RFC 8831 §6.6: "a one-byte message" of zero.
const NOTHING: &[u8] = &[0];
