//! How clients come in: each gets a socket and a stack of its own, and descriptions are exchanged.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Instant;

use anyhow::Context as _;
use socket2::{Domain, Socket, Type};
use str0m::change::{SdpAnswer, SdpOffer, SdpPendingOffer};
use str0m::config::DtlsCert;
use str0m::media::{Direction, MediaKind, Mid, Simulcast, SimulcastLayer};
use str0m::{Candidate, Rtc};

use super::client::{Client, Outgoing, Role};
use super::http::Connection;
use super::janus::Janus;
use super::sink::Sink;
use super::source::{Media, RIDS};
use super::whip::Whip;
use crate::cli::resolve::unspecified;

/// What clients are made from.
pub struct Plan {
    pub way: Way,
    pub media: Media,
    pub publishers: u16,
    /// All clients show the same one: making one costs more than a handshake.
    pub certificate: DtlsCert,
    /// The address towards the server.
    pub local: IpAddr,
}

/// The m-lines of audio and video.
type Mids = (Option<Mid>, Option<Mid>);

/// How a server is spoken to.
pub enum Way {
    Whip(Whip),
    Janus(Janus),
}

/// How a client is taken away again.
pub enum Session {
    /// By DELETE.
    Whip(String),
    /// By destroying a session of Janus.
    Janus(String),
}

/// Who a client is.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    Publisher(u16),
    Subscriber(u32),
}

impl Plan {
    /// One client, with its descriptions exchanged; the rest happens at its worker.
    pub async fn join(&self, connection: &mut Connection, who: Who) -> anyhow::Result<(Client, Session)> {
        let started = Instant::now();
        let (mut rtc, socket) = self.stack(started)?;
        let (role, session) = match (who, &self.way) {
            (Who::Publisher(number), way) => {
                let (mids, (offer, pending)) = self.offer(&mut rtc, Direction::SendOnly, 1)?;
                let (answer, session) = match way {
                    Way::Whip(whip) => whip.publish(connection, number, offer).await?,
                    Way::Janus(janus) => janus.publish(connection, number, offer).await?,
                };
                let answer = SdpAnswer::from_sdp_string(&answer).context("an answer that cannot be read")?;
                rtc.sdp_api().accept_answer(pending, answer)?;
                (Role::Publisher(Outgoing::new(&rtc, number, self.media, mids)?), session)
            }
            (Who::Subscriber(number), Way::Whip(whip)) => {
                let (_, (offer, pending)) = self.offer(&mut rtc, Direction::RecvOnly, self.publishers)?;
                let (answer, session) = whip.watch(connection, number, offer).await?;
                let answer = SdpAnswer::from_sdp_string(&answer).context("an answer that cannot be read")?;
                rtc.sdp_api().accept_answer(pending, answer)?;
                (Role::Subscriber(Sink::new(self.media)), session)
            }
            (Who::Subscriber(_), Way::Janus(janus)) => {
                let (offer, session) = janus.subscribe(connection).await?;
                let offer = SdpOffer::from_sdp_string(&offer).context("an offer that cannot be read")?;
                let answer = rtc.sdp_api().accept_offer(offer)?;
                janus.answer(connection, &session, answer.to_sdp_string()).await?;
                (Role::Subscriber(Sink::new(self.media)), Session::Janus(session))
            }
        };
        Ok((Client::new(rtc, socket, role, started)?, session))
    }

    /// Offers so many tracks of each kind; the first ones are named.
    fn offer(
        &self,
        rtc: &mut Rtc,
        direction: Direction,
        count: u16,
    ) -> anyhow::Result<(Mids, (String, SdpPendingOffer))> {
        let mut api = rtc.sdp_api();
        let (mut audio, mut video) = (None, None);
        for _ in 0..count {
            if self.media.audio {
                let mid = api.add_media(MediaKind::Audio, direction, None, None, None);
                audio.get_or_insert(mid);
            }
            if self.media.video.is_some() {
                let layers = (self.media.simulcast && direction == Direction::SendOnly).then(|| {
                    let mut simulcast = Simulcast::new();
                    RIDS.iter().for_each(|rid| simulcast.add_send_layer(SimulcastLayer::new(rid)));
                    simulcast
                });
                let mid = api.add_media(MediaKind::Video, direction, None, None, layers);
                video.get_or_insert(mid);
            }
        }
        let (offer, pending) = api.apply().context("expected video or audio: there is nothing to be offered")?;
        Ok(((audio, video), (offer.to_sdp_string(), pending)))
    }

    fn stack(&self, now: Instant) -> anyhow::Result<(Rtc, UdpSocket)> {
        let socket = socket(self.local)?;
        let builder = Rtc::builder().set_rtp_mode(true).set_dtls_cert(self.certificate.clone());
        let mut rtc = builder.clear_codecs().enable_vp8(true).enable_opus(true, false).build(now);
        let candidate = Candidate::host(socket.local_addr()?, "udp").context("no address to be reached at")?;
        rtc.add_local_candidate(candidate);
        Ok((rtc, socket))
    }
}

/// The address this machine has towards another, asked of the routes: nothing is sent.
pub fn local_towards(server: SocketAddr) -> std::io::Result<IpAddr> {
    let socket = UdpSocket::bind(unspecified(server))?;
    socket.connect(server)?;
    Ok(socket.local_addr()?.ip())
}

fn socket(local: IpAddr) -> std::io::Result<UdpSocket> {
    let address = SocketAddr::new(local, 0);
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    // A thread with many clients may come late to one of them; as much as the system gives.
    let _ = socket.set_recv_buffer_size(BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

const BUFFER: usize = 1 << 20;
