//! One peer: a path by ICE, DTLS on it, data channels in that.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tandem_dtls::{Breadth, Ended, Fingerprint, Local, Peer, PeerEvent, Role, SrtpKeys};

use crate::channels::{self, Channel, ChannelId, Channels, Message, NotSent, Reliability};
use crate::ice::{self, Credentials, Ice, Mode, NotACandidate, Path, Protocol};

/// What transports of one kind share.
pub struct Config {
    /// Our certificate.
    pub local: Local,
    /// With whom DTLS can be spoken.
    pub breadth: Breadth,
    /// How much of ICE is played.
    pub ice: Mode,
    /// Longest message that is taken by a data channel, `a=max-message-size`; bytes.
    pub max_message: u32,
}

/// What the peer's description says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// `a=ice-ufrag`, `a=ice-pwd`.
    pub credentials: Credentials,
    /// `a=fingerprint`: one of them must fit its certificate.
    pub fingerprints: Vec<Fingerprint>,
    /// Our part in DTLS, from `a=setup`.
    pub role: Role,
    /// Longest message the peer takes by a data channel, `a=max-message-size` (RFC 8841 §6.1: zero is any, nothing is
    /// 64 KiB). `None`: there are no data channels in the description.
    pub channels: Option<u32>,
}

/// What a transport wants, or has got.
#[derive(Debug)]
pub enum Output {
    /// To be sent that way.
    Send(Path, Vec<u8>),
    /// What comes from there belongs to this peer: a check with its password has come.
    Source(Protocol, SocketAddr),
    /// Media goes this way from here on.
    Path(Path),
    /// No path answers any more. Another [`Output::Path`] may follow; a restart of ICE helps.
    Lost,
    /// Keys for media.
    Keys(SrtpKeys),
    /// DTLS stands.
    Connected,
    /// A data channel can be used.
    Opened(Channel),
    /// Something was said by a data channel.
    Message(Message),
    /// A data channel is gone.
    Closed(ChannelId),
    /// There will be no data channels any more; media goes on.
    ChannelsLost,
    /// It is over.
    Ended(Ended),
}

/// One peer's transport.
pub struct Transport {
    config: Arc<Config>,
    ice: Ice,
    remote: Option<Remote>,
    /// Where DTLS goes: the nominated path, before that the one its first record has come by.
    path: Option<Path>,
    dtls: Dtls,
    channels: Option<Channels>,
    /// Channels agreed on before DTLS stood.
    agreed: Vec<Channel>,
    out: VecDeque<Output>,
    /// When DTLS wants to be asked again.
    dtls_at: Option<Instant>,
    /// Of the last call: SCTP wants to know it whenever it sends.
    now: Instant,
}

enum Dtls {
    None,
    Handshaking(Peer),
    Connected(Peer),
    Over,
}

impl Transport {
    /// A transport whose datagrams come in at these addresses of ours.
    pub fn new(
        now: Instant,
        config: Arc<Config>,
        credentials: Credentials,
        tie_breaker: u64,
        paths: &[(Protocol, SocketAddr)],
    ) -> Self {
        let mut ice = Ice::new(config.ice, credentials, tie_breaker, paths);
        ice.handle_timeout(now);
        Self {
            config,
            ice,
            remote: None,
            path: None,
            dtls: Dtls::None,
            channels: None,
            agreed: Vec::new(),
            out: VecDeque::new(),
            dtls_at: None,
            now,
        }
    }

    /// What the peer's offer or answer says. Once more after a restart: of that only the credentials count, since whoever
    /// has another certificate is another peer.
    pub fn set_remote(&mut self, now: Instant, remote: Remote) {
        self.now = now;
        self.ice.set_remote(remote.credentials.clone());
        match &mut self.remote {
            Some(known) => known.credentials = remote.credentials,
            known @ None => *known = Some(remote),
        }
        self.ice.handle_timeout(now);
        self.settle();
    }

    /// A candidate of the peer, `candidate:…`.
    ///
    /// # Errors
    /// It is none, or has a name (mDNS) instead of an address: then the peer's own check will tell the address.
    pub fn add_candidate(&mut self, now: Instant, line: &str) -> Result<(), NotACandidate> {
        self.now = now;
        self.ice.add_candidate(line)?;
        self.ice.handle_timeout(now);
        self.settle();
        Ok(())
    }

    /// New credentials, to be told to the peer (RFC 8445 §9). What is connected goes on meanwhile.
    pub fn restart_ice(&mut self, now: Instant, credentials: Credentials) {
        self.now = now;
        self.ice.restart(credentials);
        self.settle();
    }

    /// Whatever is no media: STUN or DTLS, told apart by its first byte (RFC 7983 §7). Everything else is dropped.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, datagram: &[u8]) {
        self.now = now;
        match datagram.first() {
            Some(0..=3) => self.ice.handle_datagram(now, path, datagram),
            Some(20..=63) if self.ice.is_proved(path) => self.on_record(path, datagram),
            _ => return,
        }
        self.settle();
    }

    /// Time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        if self.ice.poll_timeout().is_some_and(|at| at <= now) {
            self.ice.handle_timeout(now);
        }
        if let (Dtls::Handshaking(peer) | Dtls::Connected(peer), true) =
            (&mut self.dtls, self.dtls_at.is_some_and(|at| at <= now))
        {
            peer.handle_timeout(now);
        }
        if let Some(channels) = &mut self.channels
            && channels.poll_timeout().is_some_and(|at| at <= now)
        {
            channels.handle_timeout(now);
        }
        self.settle();
    }

    /// What to do next; drain after every call.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call [`Transport::handle_timeout`].
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        let channels = self.channels.as_ref().and_then(Channels::poll_timeout);
        [self.ice.poll_timeout(), self.dtls_at, channels].into_iter().flatten().min()
    }

    /// Asks the peer to open a data channel; [`Output::Opened`] tells when it can be used. `None`: there are too many, or
    /// the connection does not stand.
    pub fn open(
        &mut self,
        now: Instant,
        label: &str,
        protocol: &str,
        ordered: bool,
        reliability: Reliability,
    ) -> Option<ChannelId> {
        self.now = now;
        let id = self.channels.as_mut()?.open(now, (label.to_owned(), protocol.to_owned()), ordered, reliability);
        self.settle();
        id
    }

    /// A data channel that both sides have agreed on elsewhere. `false`: its number is taken, or none.
    pub fn agree(&mut self, now: Instant, channel: Channel) -> bool {
        self.now = now;
        let agreed = match &mut self.channels {
            Some(channels) => channels.agree(now, channel),
            None => {
                let is_free = self.agreed.iter().all(|known| known.id != channel.id);
                is_free.then(|| self.agreed.push(channel)).is_some()
            }
        };
        self.settle();
        agreed
    }

    /// Closes a data channel.
    pub fn close_channel(&mut self, now: Instant, id: ChannelId) {
        self.now = now;
        if let Some(channels) = &mut self.channels {
            channels.close(now, id);
        }
        self.settle();
    }

    /// Says something by a data channel.
    ///
    /// # Errors
    /// The channel is not open, is full, or the message is too long for the peer.
    pub fn send(&mut self, now: Instant, id: ChannelId, is_text: bool, bytes: &[u8]) -> Result<(), NotSent> {
        self.now = now;
        let sent = match &mut self.channels {
            Some(channels) => channels.send(now, id, is_text, bytes),
            None => Err(NotSent::NotOpen),
        };
        self.settle();
        sent
    }

    /// Bytes that wait to be sent by a data channel.
    pub fn buffered(&mut self, id: ChannelId) -> usize {
        self.channels.as_mut().map_or(0, |channels| channels.buffered(id))
    }

    /// Says good-bye. Drain what is left to send; nothing follows.
    pub fn close(&mut self, now: Instant) {
        self.now = now;
        if let Dtls::Handshaking(peer) | Dtls::Connected(peer) = &mut self.dtls {
            peer.close();
        }
        self.settle();
        self.dtls = Dtls::Over;
        self.channels = None;
    }

    /// DTLS begins with the first record that comes by a proved path, not before.
    fn on_record(&mut self, path: Path, datagram: &[u8]) {
        if self.path.is_none() {
            self.path = Some(path);
        }
        self.begin_dtls(Role::Server);
        if let Dtls::Handshaking(peer) | Dtls::Connected(peer) = &mut self.dtls {
            peer.handle_datagram(self.now, datagram);
        }
    }

    fn begin_dtls(&mut self, role: Role) {
        if let (Dtls::None, Some(remote)) = (&self.dtls, &self.remote)
            && remote.role == role
        {
            let Config { local, breadth, .. } = &*self.config;
            self.dtls = Dtls::Handshaking(Peer::new(self.now, local, role, remote.fingerprints.clone(), *breadth));
        }
    }

    /// All that follows from what was just done.
    fn settle(&mut self) {
        loop {
            let moved = self.settle_ice() | self.settle_dtls() | self.settle_channels();
            if !moved {
                return;
            }
        }
    }

    fn settle_ice(&mut self) -> bool {
        let before = self.out.len();
        while let Some(happened) = self.ice.poll_happened() {
            match happened {
                ice::Happened::Source(protocol, source) => self.out.push_back(Output::Source(protocol, source)),
                ice::Happened::Lost => self.out.push_back(Output::Lost),
                ice::Happened::Nominated(path) => {
                    self.path = Some(path);
                    self.out.push_back(Output::Path(path));
                    self.begin_dtls(Role::Client);
                }
            }
        }
        while let Some((path, bytes)) = self.ice.poll_transmit() {
            self.out.push_back(Output::Send(path, bytes));
        }
        self.out.len() > before
    }

    fn settle_dtls(&mut self) -> bool {
        let mut moved = false;
        while let Dtls::Handshaking(peer) | Dtls::Connected(peer) = &mut self.dtls {
            match peer.poll_output() {
                PeerEvent::Wait(at) => {
                    self.dtls_at = at;
                    return moved;
                }
                PeerEvent::Send(bytes) => {
                    // Without a path there is no DTLS.
                    self.out.extend(self.path.map(|path| Output::Send(path, bytes.to_vec())));
                }
                PeerEvent::Received(bytes) => {
                    if let Some(channels) = &mut self.channels {
                        channels.handle_packet(self.now, bytes);
                    }
                }
                PeerEvent::Keys(keys) => self.out.push_back(Output::Keys(keys)),
                PeerEvent::Connected => self.on_connected(),
                PeerEvent::Ended(why) => {
                    self.out.push_back(Output::Ended(why));
                    (self.dtls, self.channels, self.dtls_at) = (Dtls::Over, None, None);
                }
            }
            moved = true;
        }
        self.dtls_at = None;
        moved
    }

    fn on_connected(&mut self) {
        self.out.push_back(Output::Connected);
        if let Dtls::Handshaking(peer) = std::mem::replace(&mut self.dtls, Dtls::Over) {
            self.dtls = Dtls::Connected(peer);
        }
        let Some(Remote { channels: Some(max_send), role, .. }) = &self.remote else { return };
        let max_send = if *max_send == 0 { LONGEST_MESSAGE } else { (*max_send).min(LONGEST_MESSAGE) };
        let mut channels = Channels::new(*role == Role::Client, self.config.max_message, max_send);
        for channel in self.agreed.drain(..) {
            channels.agree(self.now, channel);
        }
        // The client's INIT leaves with this.
        channels.handle_timeout(self.now);
        self.channels = Some(channels);
    }

    fn settle_channels(&mut self) -> bool {
        let Some(channels) = &mut self.channels else { return false };
        let mut moved = false;
        while let Some(packet) = channels.poll_packet() {
            if let Dtls::Connected(peer) = &mut self.dtls {
                peer.send(&packet);
            }
            moved = true;
        }
        while let Some(happened) = channels.poll_happened() {
            self.out.push_back(match happened {
                channels::Happened::Opened(channel) => Output::Opened(channel),
                channels::Happened::Message(message) => Output::Message(message),
                channels::Happened::Closed(id) => Output::Closed(id),
                channels::Happened::Lost => Output::ChannelsLost,
            });
            moved = true;
        }
        moved
    }
}

/// What we send at most, whatever the peer takes.
const LONGEST_MESSAGE: u32 = 256 << 10;
