//! Both ends of the tests: a server that forwards media of browsers, a telephone, and what browsers were recorded to say.

#![allow(dead_code, reason = "each test has use for a part of it")]

use std::collections::BTreeMap;
use std::net::SocketAddr;

use tandem_sdp::{
    Agent, Candidate, CandidateTransport, Credentials, Direction, Feedback, Fingerprint, Format, Key, Kind, Line,
    MediaLine, Msid, OurCodec, OurData, OurDtls, OurIce, OurLine, OurSource, OurTransport, Ours, Parameters,
    Retransmission, Role, Secret, Session, Ssrc, Suite, Token, parse,
};

pub const BROWSERS: [&str; 2] = ["chromium", "firefox"];

/// What each browser has said: name and text.
pub fn recorded(browser: &str, ending: &str) -> Vec<(String, String)> {
    let folder = std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(browser);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    let names = names.into_iter().map(|name| name.into_string().expect("UTF-8"));
    let stems = names.filter_map(|name| name.strip_suffix(".sdp").map(str::to_owned));
    stems.filter(|stem| stem.ends_with(ending)).map(|stem| (stem.clone(), text(browser, &stem))).collect()
}

#[allow(clippy::disallowed_methods, reason = "the recordings lie in files")]
pub fn text(browser: &str, name: &str) -> String {
    let path = format!("{}/tests/data/{browser}/{name}.sdp", env!("CARGO_MANIFEST_DIR"));
    let whole = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    whole.split_inclusive('\n').filter(|line| !line.starts_with('#')).collect()
}

pub fn read(browser: &str, name: &str) -> Session {
    parse(&text(browser, name)).unwrap_or_else(|error| panic!("{browser}/{name}: {error}"))
}

pub fn token(text: &str) -> Token {
    Token::new(text).expect("a token")
}

fn codec(name: &str, clock: u32, channels: u8, parameters: &str, number: Option<u8>) -> OurCodec {
    let format = Format::new(name, clock, channels).expect("a format");
    OurCodec { number, ..OurCodec::new(Format { parameters: Parameters::parse(parameters), ..format }) }
}

pub fn audio(name: &str, clock: u32, channels: u8, parameters: &str) -> OurCodec {
    codec(name, clock, channels, parameters, None)
}

fn video(name: &str, parameters: &str) -> OurCodec {
    use Feedback::{FullIntra, Nack, PictureLoss, TransportCc};
    let feedback = vec![TransportCc, FullIntra, Nack, PictureLoss];
    OurCodec { feedback, retransmission: Retransmission::Rtx, ..codec(name, 90_000, 1, parameters, None) }
}

pub fn ice(ufrag: &str) -> OurIce {
    let credentials =
        Credentials { ufrag: token(ufrag), pwd: Secret::new("a-password-of-22-chars").expect("a password") };
    let address: SocketAddr = "192.0.2.10:3479".parse().expect("an address");
    OurIce { credentials, agent: Agent::Lite, candidates: vec![Candidate::host(CandidateTransport::Udp, address, 0)] }
}

pub fn dtls() -> OurDtls {
    OurDtls { fingerprints: vec![Fingerprint::sha256([0xab; 32])], role: Role::Server }
}

/// A server that forwards what browsers send.
pub fn server() -> Ours {
    let opus = OurCodec {
        feedback: vec![Feedback::TransportCc],
        ..codec("opus", 48_000, 2, "minptime=10;useinbandfec=1", Some(111))
    };
    let h264 = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
    let videos = [video("VP8", ""), video("VP9", "profile-id=0"), video("H264", h264), video("AV1", "")];
    let uris = |uris: &[&str]| uris.iter().map(|uri| token(uri)).collect::<Vec<_>>();
    let camera = OurLine { layers: 3, ..OurLine::new(Kind::Video, Direction::RecvOnly) };
    Ours {
        session: 4_711,
        codecs: BTreeMap::from([
            (Kind::Audio, vec![opus, audio("red", 48_000, 2, "")]),
            (Kind::Video, videos.to_vec()),
        ]),
        extensions: BTreeMap::from([
            (Kind::Audio, uris(&[MID, LEVEL, TCC])),
            (Kind::Video, uris(&[MID, TCC, RID, RRID])),
        ]),
        transport: OurTransport::webrtc(ice("tandem"), dtls()),
        data: Some(OurData { port: 5_000, max_message_size: 262_144 }),
        lines: Vec::new(),
        others: vec![
            OurLine::new(Kind::Audio, Direction::RecvOnly),
            camera,
            OurLine::new(Kind::Application, Direction::SendRecv),
        ],
    }
}

/// A track that the server forwards to a subscriber.
pub fn forwarded(kind: Kind, ssrc: u32, track: &str) -> OurLine {
    let again = (kind == Kind::Video).then(|| Ssrc(ssrc + 1));
    OurLine {
        msids: vec![Msid { stream: token("anna"), track: Some(token(track)) }],
        sources: vec![OurSource { ssrc: Ssrc(ssrc), retransmissions: again, cname: token("anna") }],
        ..OurLine::new(kind, Direction::SendOnly)
    }
}

/// One end of a telephone call.
pub fn telephone(transport: OurTransport) -> Ours {
    let codecs = ["PCMA", "PCMU"].map(|name| audio(name, 8_000, 1, ""));
    let events = codec("telephone-event", 8_000, 1, "0-15", Some(101));
    Ours {
        session: 1,
        codecs: BTreeMap::from([(Kind::Audio, codecs.into_iter().chain([events]).collect())]),
        extensions: BTreeMap::new(),
        transport,
        data: None,
        lines: vec![Some(OurLine::new(Kind::Audio, Direction::SendRecv))],
        others: Vec::new(),
    }
}

pub fn keys() -> Vec<(Suite, Key)> {
    let key = |suite: &Suite, len| Key::new(suite, vec![7; len]).expect("a key");
    let (gcm, cm) = (Suite::Aes256Gcm, Suite::Aes128CmSha1_80);
    vec![(gcm.clone(), key(&gcm, 44)), (cm.clone(), key(&cm, 30))]
}

pub fn media(line: &Line) -> &MediaLine {
    line.media().unwrap_or_else(|| panic!("expected an m-line of media, got {line:?}"))
}

pub const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
pub const LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
pub const TCC: &str = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01";
pub const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
pub const RRID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";
