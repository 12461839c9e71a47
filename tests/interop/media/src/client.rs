//! One client: str0m, without session descriptions, packet by packet.

use std::net::SocketAddr;
use std::time::Instant;

use str0m::channel::{ChannelConfig, ChannelId};
use str0m::config::Fingerprint;
use str0m::ice::IceCreds;
use str0m::media::{MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::RtpWrite;
use str0m::{Candidate, Event, Input, Output, Rtc};
use tandem_webrtc::Credentials;

/// Payload types, as str0m has them.
pub const VP8: u8 = 96;
pub const RTX: u8 = 97;
pub const OPUS: u8 = 111;
/// Packets of one picture.
pub const PACKETS: usize = 4;

pub struct Client {
    pub address: SocketAddr,
    pub got: Vec<Got>,
    pub keyframe_wanted: bool,
    pub keyframes_asked: u32,
    pub heard: Vec<Vec<u8>>,
    rtc: Rtc,
    out: Vec<Vec<u8>>,
    number: u64,
    channel: Option<ChannelId>,
}

/// A packet that has arrived.
pub struct Got {
    pub is_picture: bool,
    /// Of its stream, as str0m has extended it.
    pub number: u64,
    /// Which picture.
    pub count: u32,
    /// Whether the payload is the one that was sent.
    pub is_sound_whole: bool,
}

/// Under which SSRCs a player gets a track, and its retransmissions.
pub fn ssrcs(track: u64, player: usize) -> (u32, u32) {
    let own = 1_000 * track as u32 + player as u32;
    (own, own + 100)
}

pub fn mid(track: u64) -> String {
    format!("m{track}")
}

impl Client {
    /// The first one publishes, the others play.
    pub fn new(now: Instant, address: SocketAddr, index: usize) -> Self {
        str0m::crypto::from_feature_flags().install_process_default();
        let mut rtc = Rtc::builder().set_rtp_mode(true).build(now);
        rtc.add_local_candidate(Candidate::host(address, "udp").expect("an address"));
        let mut api = rtc.direct_api();
        api.enable_twcc_feedback();
        for (track, kind) in [(1, MediaKind::Video), (2, MediaKind::Audio)] {
            let name = Mid::from(mid(track).as_str());
            api.declare_media(name, kind);
            let (ssrc, rtx) = ssrcs(track, index);
            let rtx = (kind == MediaKind::Video).then(|| rtx.into());
            if index == 0 {
                api.declare_stream_tx(ssrc.into(), rtx, name, None);
            } else {
                api.expect_stream_rx(ssrc.into(), rtx, name, None);
            }
        }
        let (got, heard) = (Vec::new(), Vec::new());
        Self {
            address,
            got,
            keyframe_wanted: false,
            keyframes_asked: 0,
            heard,
            rtc,
            out: Vec::new(),
            number: 5_000,
            channel: None,
        }
    }

    /// What a description would tell it of the plane.
    pub fn meet(&mut self, credentials: &Credentials, fingerprint: &str, server: SocketAddr) {
        self.rtc.add_remote_candidate(Candidate::host(server, "udp").expect("an address"));
        let mut api = self.rtc.direct_api();
        api.set_ice_controlling(true);
        api.set_remote_ice_credentials(IceCreds {
            ufrag: credentials.ufrag.clone(),
            pass: credentials.password.clone(),
        });
        let (hash_func, digits) = fingerprint.split_once(' ').expect("a hash and its value");
        let bytes = digits.split(':').map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal")).collect();
        api.set_remote_fingerprint(Fingerprint { hash_func: hash_func.to_owned(), bytes });
        api.start_dtls(true).expect("it begins");
        api.start_sctp(true);
    }

    pub fn describe(&mut self) -> (Credentials, tandem_webrtc::Fingerprint) {
        let api = self.rtc.direct_api();
        let IceCreds { ufrag, pass } = api.local_ice_credentials();
        let Fingerprint { hash_func, bytes } = api.local_dtls_fingerprint();
        let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
        let text = format!("{hash_func} {}", digits.join(":"));
        let fingerprint = tandem_webrtc::Fingerprint::parse(&text).expect("a fingerprint");
        (Credentials { ufrag, password: pass }, fingerprint)
    }

    pub fn receive(&mut self, now: Instant, from: SocketAddr, datagram: &[u8]) {
        let receive = Receive::new(Protocol::Udp, from, self.address, datagram).expect("something it knows");
        self.rtc.handle_input(Input::Receive(now, receive)).expect("it takes it");
        self.drain();
    }

    /// What it wants to be sent.
    pub fn poll(&mut self, now: Instant) -> Vec<Vec<u8>> {
        self.rtc.handle_input(Input::Timeout(now)).expect("time passes");
        self.drain();
        std::mem::take(&mut self.out)
    }

    /// After every input: it keeps one packet at a time.
    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().expect("it lives") {
                Output::Timeout(_) => return,
                Output::Transmit(transmit) => self.out.push(transmit.contents.to_vec()),
                Output::Event(event) => self.on_event(event),
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::RtpPacket(packet) => {
                let is_picture = *packet.header.payload_type == VP8;
                let mark = if is_picture { 6 } else { 1 };
                let (head, body) = packet.payload.split_at(mark);
                let count = body.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
                let filled = body.iter().skip(4).all(|byte| *byte == count as u8);
                let is_sound_whole = !head.is_empty() && filled;
                self.got.push(Got { is_picture, number: *packet.seq_no, count, is_sound_whole });
            }
            Event::KeyframeRequest(_) => {
                self.keyframe_wanted = true;
                self.keyframes_asked += 1;
            }
            Event::ChannelOpen(id, _) => self.channel = Some(id),
            Event::ChannelData(data) => self.heard.push(data.data.to_vec()),
            _ => {}
        }
    }

    /// A picture of VP8: descriptor with picture number, then whether it is a keyframe, then its count.
    pub fn send_picture(&mut self, now: Instant, count: u32, is_key: bool) {
        for part in 0..PACKETS {
            let [p0, p1] = (0x8000 | (count as u16 & 0x7fff)).to_be_bytes();
            let start = if part == 0 { 0x10 } else { 0 };
            let mut payload = vec![0x80 | start, 0xc0, p0, p1, count as u8, u8::from(!is_key)];
            payload.extend(count.to_be_bytes());
            payload.extend([count as u8; 500]);
            let (ssrc, _) = ssrcs(1, 0);
            let mut api = self.rtc.direct_api();
            let stream = api.stream_tx(&ssrc.into()).expect("declared");
            let write = RtpWrite::new(VP8.into(), self.number.into(), count * 3_000, now, payload);
            stream.write_rtp(write.marker(part + 1 == PACKETS).nackable(true));
            self.number += 1;
        }
    }

    pub fn send_sound(&mut self, now: Instant, count: u32) {
        let mut payload = vec![0xfc];
        payload.extend(count.to_be_bytes());
        payload.extend([count as u8; 80]);
        let (ssrc, _) = ssrcs(2, 0);
        let mut api = self.rtc.direct_api();
        let stream = api.stream_tx(&ssrc.into()).expect("declared");
        stream.write_rtp(RtpWrite::new(OPUS.into(), u64::from(count + 900).into(), count * 960, now, payload));
    }

    pub fn open_channel(&mut self, label: &str) {
        self.rtc
            .direct_api()
            .create_data_channel(ChannelConfig { label: label.to_owned(), ..ChannelConfig::default() });
    }

    pub fn is_open(&self) -> bool {
        self.channel.is_some()
    }

    pub fn say(&mut self, text: &str) {
        let id = self.channel.expect("it is open");
        let mut channel = self.rtc.channel(id).expect("it is open");
        channel.write(false, text.as_bytes()).expect("it is taken");
    }
}
