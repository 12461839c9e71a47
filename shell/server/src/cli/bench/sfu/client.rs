//! One client: a socket and an independent WebRTC stack (str0m) that publishes or watches.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mio::net::UdpSocket;
use str0m::media::{Mid, Pt, Rid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::{ExtensionValues, RtpWrite};
use str0m::{Event, IceConnectionState, Input, Output, Rtc, RtcError};

use super::super::meter::Spread;
use super::sink::Sink;
use super::source::{Media, Packet, RIDS, Source, Track};
use super::stamp::Clock;

/// What all clients have done so far, for whoever watches.
pub struct Progress {
    pub sent: AtomicU64,
    /// Sounds and pictures of each publisher.
    frames_sent: Vec<[AtomicU32; 2]>,
    pub received: AtomicU64,
    pub frames: AtomicU64,
    pub lost_frames: AtomicU64,
    pub freezes: AtomicU64,
    /// Datagrams that the kernel did not take.
    pub refused: AtomicU64,
}

impl Progress {
    pub fn new(publishers: u16) -> Self {
        let count = AtomicU64::default;
        Self {
            sent: count(),
            frames_sent: (0..publishers).map(|_| Default::default()).collect(),
            received: count(),
            frames: count(),
            lost_frames: count(),
            freezes: count(),
            refused: count(),
        }
    }

    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Progress {
    fn note_sent(&self, publisher: u16, packet: &Packet) {
        let Some([audio, video]) = self.frames_sent.get(usize::from(publisher)) else { return };
        match packet.track {
            Track::Audio => audio.store(packet.frame + 1, Ordering::Relaxed),
            Track::Video(_) if packet.marker => video.store(packet.frame + 1, Ordering::Relaxed),
            Track::Video(_) => {}
        }
    }

    /// How many sounds and pictures a publisher of ours has sent.
    pub fn frames_sent(&self, publisher: u16) -> Option<[u32; 2]> {
        self.frames_sent
            .get(usize::from(publisher))
            .map(|counts| counts.each_ref().map(|count| count.load(Ordering::Relaxed)))
    }
}

/// A life's steps, each told once.
#[derive(Clone, Copy, Debug)]
pub enum Notice {
    /// ICE and DTLS have done their work, this long after the beginning.
    Connected(Duration),
    /// The first picture is complete; where there are none, the first sound.
    Playing(Duration),
    /// The connection has broken down.
    Ended,
}

/// A client with what it does.
pub struct Client {
    pub socket: UdpSocket,
    pub role: Role,
    rtc: Rtc,
    address: SocketAddr,
    started: Instant,
    is_connected: bool,
    is_playing: bool,
    has_ended: bool,
    rtc_due: Option<Instant>,
    notices: Vec<Notice>,
}

pub enum Role {
    Publisher(Outgoing),
    Subscriber(Sink),
}

/// A publisher's tracks.
pub struct Outgoing {
    media: Media,
    number: u16,
    audio: Option<Sender>,
    /// One for each layer, the smallest first.
    video: Vec<Sender>,
    /// Once it is connected.
    source: Option<Source>,
    /// How late its own clock was noticed.
    pub late: Spread,
}

/// Where the packets of a track go.
struct Sender {
    mid: Mid,
    rid: Option<Rid>,
    payload_type: Pt,
    next: u64,
}

/// What a client measures itself by, and whom it tells.
#[derive(Clone, Copy)]
pub struct Around<'a> {
    pub clock: Clock,
    pub progress: &'a Progress,
}

impl Client {
    /// One whose descriptions are exchanged.
    pub fn new(rtc: Rtc, socket: std::net::UdpSocket, role: Role, started: Instant) -> io::Result<Self> {
        let address = socket.local_addr()?;
        Ok(Self {
            socket: UdpSocket::from_std(socket),
            role,
            rtc,
            address,
            started,
            is_connected: false,
            is_playing: false,
            has_ended: false,
            rtc_due: None,
            notices: Vec::new(),
        })
    }

    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// When it has something to do by itself.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let source = match &self.role {
            Role::Publisher(outgoing) => outgoing.source.as_ref().and_then(Source::poll_timeout),
            Role::Subscriber(_) => None,
        };
        [self.rtc_due, source].into_iter().flatten().min()
    }

    /// Reads all there is.
    pub fn handle_readable(&mut self, buffer: &mut [u8], around: Around<'_>) {
        loop {
            let Ok((length, from)) = self.socket.recv_from(buffer) else { return };
            let now = Instant::now();
            let datagram = buffer.get(..length).unwrap_or_default();
            let Ok(receive) = Receive::new(Protocol::Udp, from, self.address, datagram) else { continue };
            let outcome = self.rtc.handle_input(Input::Receive(now, receive));
            self.drain(now, outcome, around);
        }
    }

    pub fn handle_timeout(&mut self, now: Instant, around: Around<'_>) {
        if let Role::Publisher(outgoing) = &mut self.role {
            outgoing.send(&mut self.rtc, now, around);
        }
        let outcome = self.rtc.handle_input(Input::Timeout(now));
        self.drain(now, outcome, around);
    }

    /// Says goodbye.
    pub fn close(&mut self, around: Around<'_>) {
        let outcome = self.rtc.close();
        self.has_ended = true;
        self.drain(Instant::now(), outcome, around);
    }

    fn drain(&mut self, now: Instant, outcome: Result<(), RtcError>, around: Around<'_>) {
        if outcome.is_err() {
            return self.end();
        }
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(due)) => {
                    self.rtc_due = self.rtc.is_alive().then_some(due);
                    break;
                }
                Ok(Output::Transmit(transmit)) => {
                    if self.socket.send_to(&transmit.contents, transmit.destination).is_err() {
                        around.progress.refused.fetch_add(1, Ordering::Relaxed);
                    }
                }
                Ok(Output::Event(event)) => self.on_event(now, event, around),
                Err(_) => return self.end(),
            }
        }
        if !self.rtc.is_alive() {
            self.end();
        }
    }

    fn end(&mut self) {
        self.rtc_due = None;
        if let Role::Publisher(outgoing) = &mut self.role {
            outgoing.source = None;
        }
        if !std::mem::replace(&mut self.has_ended, true) {
            self.notices.push(Notice::Ended);
        }
    }

    fn on_event(&mut self, now: Instant, event: Event, around: Around<'_>) {
        match (event, &mut self.role) {
            (Event::Connected, role) => {
                if let Role::Publisher(outgoing) = role {
                    outgoing.source = Some(Source::new(outgoing.number, outgoing.media, now));
                }
                if !std::mem::replace(&mut self.is_connected, true) {
                    self.notices.push(Notice::Connected(now.saturating_duration_since(self.started)));
                }
            }
            (Event::RtpPacket(packet), Role::Subscriber(sink)) => {
                let before = sink.counts();
                sink.on_packet(now, around.clock.unix(now), &packet.payload);
                let after = sink.counts();
                let progress = around.progress;
                progress.received.fetch_add(1, Ordering::Relaxed);
                if before != after {
                    let all = [&progress.frames, &progress.lost_frames, &progress.freezes];
                    all.iter().zip(before.iter().zip(after)).for_each(|(count, (before, after))| {
                        count.fetch_add(after.saturating_sub(*before), Ordering::Relaxed);
                    });
                    if sink.is_playing() && !std::mem::replace(&mut self.is_playing, true) {
                        self.notices.push(Notice::Playing(now.saturating_duration_since(self.started)));
                    }
                }
            }
            (Event::KeyframeRequest(request), Role::Publisher(outgoing)) => {
                let layer = outgoing.video.iter().position(|sender| sender.rid == request.rid);
                if let Some(source) = &mut outgoing.source {
                    source.want_key(layer);
                }
            }
            (Event::IceConnectionStateChange(IceConnectionState::Disconnected), _) if self.is_connected => self.end(),
            _ => {}
        }
    }
}

impl Outgoing {
    /// For the m-lines that were offered and answered.
    pub fn new(rtc: &Rtc, number: u16, media: Media, mids: (Option<Mid>, Option<Mid>)) -> anyhow::Result<Self> {
        let sender = |mid: Mid, rid: Option<&str>| {
            let payload_type = rtc.media(mid).and_then(|media| media.remote_pts().first().copied());
            let payload_type = payload_type.ok_or_else(|| anyhow::anyhow!("the server takes none of VP8 and Opus"))?;
            Ok::<_, anyhow::Error>(Sender { mid, rid: rid.map(Rid::from), payload_type, next: u64::from(number) })
        };
        let (audio, video) = mids;
        let video = match video {
            None => Vec::new(),
            Some(mid) if media.simulcast => {
                RIDS.iter().map(|rid| sender(mid, Some(rid))).collect::<anyhow::Result<Vec<_>>>()?
            }
            Some(mid) => vec![sender(mid, None)?],
        };
        let audio = audio.map(|mid| sender(mid, None)).transpose()?;
        Ok(Self { media, number, audio, video, source: None, late: Spread::default() })
    }

    /// Begins no frame any more.
    pub fn stop(&mut self) {
        self.source.iter_mut().for_each(Source::stop);
    }

    fn send(&mut self, rtc: &mut Rtc, now: Instant, around: Around<'_>) {
        let Some(source) = &mut self.source else { return };
        if let Some(due) = source.poll_timeout().filter(|due| *due <= now) {
            self.late.add(now.saturating_duration_since(due));
        }
        let mut sent = 0;
        while let Some(packet) = source.poll_output(now, around.clock.unix(now)) {
            around.progress.note_sent(self.number, &packet);
            let sender = match packet.track {
                Track::Audio => self.audio.as_mut(),
                Track::Video(layer) => self.video.get_mut(layer),
            };
            sent += u64::from(sender.is_some_and(|sender| sender.send(rtc, now, packet)));
        }
        around.progress.sent.fetch_add(sent, Ordering::Relaxed);
    }
}

impl Sender {
    fn send(&mut self, rtc: &mut Rtc, now: Instant, packet: Packet) -> bool {
        let mut api = rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(self.mid, self.rid) else { return false };
        let is_audio = packet.track == Track::Audio;
        let number = self.next.into();
        self.next += 1;
        let mut write = RtpWrite::new(self.payload_type, number, packet.time, now, packet.payload);
        write = write.marker(packet.marker).nackable(!is_audio);
        if is_audio {
            // As loud as somebody who speaks.
            let (audio_level, voice_activity) = (Some(-30), Some(true));
            write = write.ext_vals(ExtensionValues { audio_level, voice_activity, ..ExtensionValues::default() });
        }
        stream.write_rtp(write);
        true
    }
}
