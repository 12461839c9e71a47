//! Somebody who publishes by WHIP or watches by WHEP, with a description of its own and real DTLS and SRTP.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use tandem_engine::Way;
use tandem_rtp::header::{Header, Writer};
use tandem_rtp::srtp::{Master, Receiver, Sender, Suite};
use tandem_rtp::{Packet, PayloadType, Ssrc, Timestamp, rtcp};
use tandem_webrtc::{
    Config, Credentials, Fingerprint, Output, Path, Protocol, Remote, Role, SrtpKeys, SrtpProfile, Transport,
};

/// Size: what a story may want to know of it.
pub struct Guest {
    pub address: SocketAddr,
    pub token: String,
    pub way: Way,
    pub connected: bool,
    pub ended: bool,
    /// Pictures it has got: header and payload of each packet.
    pub got: Vec<(Header, Vec<u8>)>,
    /// And those that came again.
    pub again: Vec<u16>,
    /// How often it was asked for a keyframe.
    pub asked: usize,
    /// Of the first packets that come under a number, these are lost.
    pub loses: fn(u16) -> bool,
    /// It says nothing by DTLS.
    pub mute_dtls: bool,
    config: Arc<Config>,
    credentials: Credentials,
    transport: Transport,
    srtp: Option<(Sender, Receiver)>,
    sequence: u16,
    pictures: u16,
}

impl Guest {
    pub fn new(now: Instant, id: u16, (way, address): (Way, SocketAddr), config: &Arc<Config>) -> Self {
        let [high, low] = id.to_be_bytes();
        let credentials = Credentials::new(std::array::from_fn(|byte| [2, high, low][byte % 3]));
        let listens = [(Protocol::Udp, address)];
        let transport = Transport::new(now, Arc::clone(config), credentials.clone(), id.into(), &listens);
        Self {
            address,
            token: String::new(),
            way,
            connected: false,
            ended: false,
            got: Vec::new(),
            again: Vec::new(),
            asked: 0,
            loses: |_| false,
            mute_dtls: false,
            config: Arc::clone(config),
            credentials,
            transport,
            srtp: None,
            sequence: 1_000,
            pictures: 0,
        }
    }

    /// Its offer: a camera that it sends, or room for one.
    pub fn offer(&self) -> String {
        let way = if self.way == Way::Whip { "sendonly" } else { "recvonly" };
        format!(
            "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
             m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=ice-ufrag:{}\r\na=ice-pwd:{}\r\n\
             a=fingerprint:{}\r\na=setup:actpass\r\na=mid:0\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
             a={way}\r\na=rtcp-mux\r\na=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 nack pli\r\n\
             a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n",
            self.credentials.ufrag,
            self.credentials.password,
            self.config.local.fingerprint(),
        )
    }

    /// What it is answered.
    pub fn accept(&mut self, now: Instant, token: String, answer: &str) {
        self.token = token;
        let answer = tandem_sdp::parse(answer).expect("an answer");
        let line = answer.sections().next().expect("an m-line");
        let credentials = line.credentials().expect("credentials");
        let fingerprints = line.fingerprints();
        let fingerprints = fingerprints.iter().map(|it| Fingerprint::parse(&it.to_string()).expect("a fingerprint"));
        self.transport.set_remote(
            now,
            Remote {
                credentials: Credentials {
                    ufrag: credentials.ufrag.as_str().to_owned(),
                    password: credentials.pwd.reveal().to_owned(),
                },
                fingerprints: fingerprints.collect(),
                role: Role::Client,
                channels: None,
            },
        );
        for candidate in line.candidates() {
            self.transport.add_candidate(now, &candidate.to_string()).expect("a candidate");
        }
    }

    pub fn tick(&mut self, now: Instant) {
        if self.transport.poll_timeout().is_some_and(|at| at <= now) {
            self.transport.handle_timeout(now);
        }
    }

    /// What it says.
    pub fn poll(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut said = Vec::new();
        while let Some(output) = self.transport.poll_output() {
            match output {
                // RFC 7983 §7.
                Output::Send(_, bytes) if self.mute_dtls && matches!(bytes.first(), Some(20..=63)) => {}
                Output::Send(_, bytes) => said.push((self.address, bytes)),
                Output::Keys(keys) => self.srtp = Some(contexts(&keys)),
                Output::Connected => self.connected = true,
                Output::Ended(_) => self.ended = true,
                _ => {}
            }
        }
        said
    }

    pub fn receive(&mut self, now: Instant, datagram: &mut [u8]) {
        if !matches!(datagram.first(), Some(128..=191)) {
            let local = super::SERVER.parse().expect("an address");
            let path = Path { protocol: Protocol::Udp, local: self.address, remote: local };
            return self.transport.handle_datagram(now, path, datagram);
        }
        let (_, receiver) = self.srtp.as_mut().expect("keys before media");
        if rtcp::is_rtcp(datagram) {
            let length = receiver.unprotect_rtcp(datagram).expect("authentic control");
            let plain = rtcp::Packets::new(&datagram[..length]);
            self.asked += plain.filter(|packet| matches!(packet, Ok(rtcp::Packet::Pli { .. }))).count();
            return;
        }
        let length = receiver.unprotect_rtp(datagram).expect("authentic media");
        let packet = Packet::parse(&datagram[..length]).expect("a packet");
        let (header, payload) = (Header::of(&packet), packet.payload());
        match payload {
            [] => {}
            // A retransmission has the number before all else (RFC 4588 §4).
            [high, low, ..] if header.payload_type.value() == 97 => self.again.push(u16::from_be_bytes([*high, *low])),
            _ if (self.loses)(header.sequence) => {}
            _ => self.got.push((header, payload.to_vec())),
        }
    }

    /// A picture of VP8 in three packets, protected.
    pub fn picture(&mut self, is_keyframe: bool) -> Vec<Vec<u8>> {
        self.pictures = (self.pictures + 1) & 0x7fff;
        (0..3).map(|part| self.packet(part, is_keyframe)).collect()
    }

    fn packet(&mut self, part: u8, is_keyframe: bool) -> Vec<u8> {
        let [high, low] = (0x8000 | self.pictures).to_be_bytes();
        let start = if part == 0 { 0x10 } else { 0 };
        // RFC 7741 §4.2: X, S; I; the picture; then the frame's first byte.
        let mut payload = vec![0x80 | start, 0x80, high, low, u8::from(!is_keyframe)];
        payload.resize(150, part);
        self.sequence = self.sequence.wrapping_add(1);
        let header = Header {
            marker: part == 2,
            payload_type: PayloadType::from_wire(96),
            sequence: self.sequence,
            timestamp: Timestamp(3_000 * u32::from(self.pictures)),
            ssrc: Ssrc(u32::from(self.address.port())),
        };
        let mut buffer = vec![0; 400];
        let mut writer = Writer::new(&mut buffer, &header, &[]).expect("room");
        writer.extension(4, b"0").expect("room");
        let length = writer.payload(&payload).expect("room");
        let (sender, _) = self.srtp.as_mut().expect("keys");
        let length = sender.protect_rtp(&mut buffer, length).expect("protected");
        buffer.truncate(length);
        buffer
    }

    pub fn control(&mut self, write: impl FnOnce(&mut rtcp::Writer<'_>)) -> Vec<u8> {
        let mut buffer = vec![0; 1_500];
        let mut writer = rtcp::Writer::new(&mut buffer[..1_200]);
        write(&mut writer);
        let length = writer.finish();
        let (sender, _) = self.srtp.as_mut().expect("keys");
        let length = sender.protect_rtcp(&mut buffer, length).expect("protected");
        buffer.truncate(length);
        buffer
    }

    /// The stream it gets.
    pub fn ssrc(&self) -> Ssrc {
        self.got.first().expect("something has come").0.ssrc
    }

    /// All of so many pictures have come, in order, each packet once.
    pub fn has_whole(&self, pictures: usize) -> bool {
        let steps = self.got.windows(2).map(|pair| pair[1].0.sequence.wrapping_sub(pair[0].0.sequence));
        self.got.len() == 3 * pictures && steps.into_iter().all(|step| step == 1)
    }
}

fn contexts(keys: &SrtpKeys) -> (Sender, Receiver) {
    let suite = match keys.profile {
        SrtpProfile::Aes128CmSha1_80 => Suite::Aes128CmSha1_80,
        SrtpProfile::AeadAes128Gcm => Suite::AeadAes128Gcm,
        SrtpProfile::AeadAes256Gcm => Suite::AeadAes256Gcm,
    };
    let master = |(key, salt): &(Vec<u8>, Vec<u8>)| Master::from_parts(suite, key, salt).expect("keys");
    (Sender::new(&master(&keys.ours), 100), Receiver::new(&master(&keys.theirs), 100))
}
