//! Between session descriptions and the plane: what it can do, said in the words of SDP, and what was agreed on, in its own.

use std::collections::BTreeMap;

use tandem_rtp::ext::{self, Ids};
use tandem_rtp::payload;
use tandem_rtp::{PayloadType, Ssrc};
use tandem_sdp::{
    Agent, Agreed, Candidate, Direction, Feedback, Format, Kind, Line, MediaLine, Msid, OurCodec, OurData, OurDtls,
    OurIce, OurLine, OurSource, OurTransport, Ours, Parameters, Retransmission, Secret, Section, Security, Token,
};
use tandem_webrtc::{Credentials, Fingerprint, Remote, Role};

use crate::{MAX_STREAMS, Payload, Publication, StreamSpec, Subscription};

/// Where a plane is and who it is, as descriptions say it.
#[derive(Clone, Debug)]
pub struct Terms {
    fingerprint: tandem_sdp::Fingerprint,
    candidates: Vec<Candidate>,
    codecs: BTreeMap<Kind, Vec<OurCodec>>,
    extensions: BTreeMap<Kind, Vec<Token>>,
}

impl Terms {
    /// The SHA-256 of its certificate, and its addresses, the best first.
    pub fn new(fingerprint: [u8; 32], candidates: Vec<Candidate>) -> Self {
        let uris = |kinds: &[ext::Kind]| kinds.iter().filter_map(|kind| Token::new(kind.uri())).collect();
        Self {
            fingerprint: tandem_sdp::Fingerprint::sha256(fingerprint),
            candidates,
            codecs: BTreeMap::from([(Kind::Audio, audio_codecs()), (Kind::Video, video_codecs())]),
            extensions: BTreeMap::from([(Kind::Audio, uris(AUDIO)), (Kind::Video, uris(VIDEO))]),
        }
    }

    /// Its side of a negotiation with one peer. `session` names it in `o=`.
    pub fn ours(&self, session: u64, credentials: &Credentials, lines: Vec<Option<OurLine>>) -> Option<Ours> {
        let credentials = tandem_sdp::Credentials {
            ufrag: Token::new(&credentials.ufrag)?,
            pwd: Secret::new(&credentials.password)?,
        };
        let ice = OurIce { credentials, agent: Agent::Lite, candidates: self.candidates.clone() };
        let dtls = OurDtls { fingerprints: vec![self.fingerprint.clone()], role: tandem_sdp::Role::Server };
        Some(Ours {
            session,
            codecs: self.codecs.clone(),
            extensions: self.extensions.clone(),
            transport: OurTransport::webrtc(ice, dtls),
            data: Some(OurData { port: 5_000, max_message_size: MAX_MESSAGE.into() }),
            lines,
            others: Vec::new(),
        })
    }
}

/// An m-line by which a peer sends us something, as several sizes of a picture where it offers them. What repeats itself comes
/// first where it does in the offer: browsers send what an answer begins with.
pub fn receiving(offered: Section<'_>) -> OurLine {
    let is_red = |codec: &OurCodec| codec.format.name.is(RED);
    let likes_red = offered.codecs().first().is_some_and(|codec| codec.format.name.is(RED));
    let codecs = (offered.media.kind == Kind::Audio && likes_red).then(|| {
        let mut codecs = audio_codecs();
        codecs.sort_by_key(|codec| !is_red(codec));
        codecs
    });
    OurLine { layers: MAX_STREAMS, codecs, ..OurLine::new(offered.media.kind.clone(), Direction::RecvOnly) }
}

/// An m-line by which we send something: the slot's sources, and the stream a browser puts it in.
pub fn sending(kind: Kind, (ssrc, rtx): (Ssrc, Option<Ssrc>), stream: &str, track: &str) -> Option<OurLine> {
    let source = OurSource {
        ssrc: tandem_sdp::Ssrc(ssrc.0),
        retransmissions: rtx.map(|rtx| tandem_sdp::Ssrc(rtx.0)),
        cname: Token::new(CNAME)?,
    };
    let msid = Msid { stream: Token::new(stream)?, track: Some(Token::new(track)?) };
    Some(OurLine { msids: vec![msid], sources: vec![source], ..OurLine::new(kind, Direction::SendOnly) })
}

/// What a peer's transport is to know. `None`: it has none of ICE and DTLS that we can use.
pub fn remote(agreed: &Agreed) -> Option<Remote> {
    let transport = agreed.transports.first()?;
    let ice = transport.ice.as_ref()?;
    let Security::Dtls { role, fingerprints, .. } = &transport.security else { return None };
    let fingerprints: Vec<_> =
        fingerprints.iter().filter_map(|found| Fingerprint::parse(&found.to_string()).ok()).collect();
    let channels = agreed.lines.iter().find_map(|line| match line {
        Line::Data(data) => Some(u32::try_from(data.max_message_size).unwrap_or(u32::MAX)),
        Line::Free | Line::Media(_) => None,
    });
    Some(Remote {
        credentials: Credentials {
            ufrag: ice.credentials.ufrag.as_str().to_owned(),
            password: ice.credentials.pwd.reveal().to_owned(),
        },
        fingerprints,
        role: match role {
            tandem_sdp::Role::Client => Role::Client,
            tandem_sdp::Role::Server => Role::Server,
        },
        channels,
    })
}

/// Which header extension has which number; those of m-lines that share a transport are the same (RFC 9143 §14.1).
pub fn extensions(agreed: &Agreed) -> Ids {
    let mut ids = Ids::default();
    for line in agreed.lines.iter().filter_map(Line::media) {
        for extension in &line.extensions {
            let kind = ext::Kind::from_uri(extension.uri.as_str());
            // The structure of a dependency descriptor needs the two-byte form (RFC 8285 §4.3).
            let kind = kind.filter(|kind| *kind != ext::Kind::DependencyDescriptor || line.mixed_extensions);
            if let (Some(kind), Ok(id)) = (kind, u8::try_from(extension.id)) {
                ids.set(kind, id);
            }
        }
    }
    ids
}

/// What a peer sends by an m-line. `None`: nothing that we can take.
pub fn publication(line: &MediaLine, kind: crate::allocate::Kind) -> Option<Publication> {
    let payloads = payloads(line, |codec| codec.receive, |numbers| numbers.receive);
    if payloads.is_empty() {
        return None;
    }
    let named = line
        .incoming
        .layers
        .iter()
        .map(|rid| StreamSpec { rid: Some(rid.as_str().to_owned()), ..StreamSpec::default() });
    let mut streams: Vec<StreamSpec> = named.collect();
    if streams.is_empty() {
        let source = line.incoming.sources.first();
        let (ssrc, rtx) =
            (source.map(|it| Ssrc(it.ssrc.0)), source.and_then(|it| it.retransmissions).map(|it| Ssrc(it.0)));
        streams.push(StreamSpec { ssrc, rtx, ..StreamSpec::default() });
    }
    let mid = line.mid.as_ref()?.as_str().to_owned();
    Some(Publication { mid, kind, payloads, streams })
}

/// How a peer gets what comes by an m-line.
pub fn subscription(line: &MediaLine, ssrc: Ssrc, rtx: Option<Ssrc>) -> Subscription {
    Subscription { ssrc, rtx, payloads: payloads(line, |codec| codec.send, |numbers| numbers.send) }
}

fn payloads(
    line: &MediaLine,
    number: impl Fn(&tandem_sdp::AgreedCodec) -> u8,
    again: impl Fn(&tandem_sdp::Numbers) -> u8,
) -> Vec<Payload> {
    let of = |agreed: &tandem_sdp::AgreedCodec| {
        let codec = codec(&agreed.format)?;
        let rtx = agreed.retransmission.as_ref().and_then(|numbers| PayloadType::new(again(numbers)));
        let red = line.codecs.iter().find(|red| repeats(red, agreed)).and_then(|red| PayloadType::new(number(red)));
        Some(Payload { codec, number: PayloadType::new(number(agreed))?, rtx, red })
    };
    line.codecs.iter().filter_map(of).collect()
}

/// Whether what it repeats is that codec and no other, by our description (RFC 2198 §5).
fn repeats(red: &tandem_sdp::AgreedCodec, codec: &tandem_sdp::AgreedCodec) -> bool {
    let alike = red.format.clock == codec.format.clock && red.format.channels == codec.format.channels;
    let number = codec.receive.to_string();
    let of_it = |list: &str| list.split('/').all(|listed| listed == number);
    red.format.name.is(RED) && !codec.format.is_auxiliary() && alike && red.format.parameters.bare().is_none_or(of_it)
}

fn codec(format: &Format) -> Option<payload::Codec> {
    let by_name = [
        ("opus", payload::Codec::Opus),
        ("PCMU", payload::Codec::Pcmu),
        ("PCMA", payload::Codec::Pcma),
        ("G722", payload::Codec::G722),
        ("VP8", payload::Codec::Vp8),
        ("VP9", payload::Codec::Vp9),
        ("H264", payload::Codec::H264),
        ("AV1", payload::Codec::Av1),
    ];
    by_name.into_iter().find(|(name, _)| format.name.is(name)).map(|(_, codec)| codec)
}

fn audio_codecs() -> Vec<OurCodec> {
    let opus = ours("opus", 48_000, 2, "minptime=10;useinbandfec=1");
    let opus = opus.map(|opus| OurCodec { feedback: vec![Feedback::TransportCc], ..opus });
    let old = [("G722", 8_000), ("PCMU", 8_000), ("PCMA", 8_000)].map(|(name, clock)| ours(name, clock, 1, ""));
    let red = ours(RED, 48_000, 2, "");
    [opus, red].into_iter().chain(old).flatten().collect()
}

fn video_codecs() -> Vec<OurCodec> {
    use Feedback::{FullIntra, Nack, PictureLoss, Remb, TransportCc};
    let h264 = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f";
    let video = |(name, parameters)| {
        let feedback = vec![TransportCc, Remb, FullIntra, Nack, PictureLoss];
        ours(name, 90_000, 1, parameters).map(|codec| OurCodec {
            feedback,
            retransmission: Retransmission::Rtx,
            ..codec
        })
    };
    [("VP8", ""), ("H264", h264), ("VP9", "profile-id=0"), ("AV1", "")].into_iter().filter_map(video).collect()
}

fn ours(name: &str, clock: u32, channels: u8, parameters: &str) -> Option<OurCodec> {
    let format = Format::new(name, clock, channels)?;
    Some(OurCodec::new(Format { parameters: Parameters::parse(parameters), ..format }))
}

/// Longest message by a data channel.
pub const MAX_MESSAGE: u32 = 256 << 10;
/// RFC 3550 §6.5.1: all that we send is one participant's, as far as its clocks go.
const CNAME: &str = "tandem";
const RED: &str = "red";
const AUDIO: &[ext::Kind] =
    &[ext::Kind::Mid, ext::Kind::AudioLevel, ext::Kind::TransportSequence, ext::Kind::AbsCaptureTime];
const VIDEO: &[ext::Kind] = &[
    ext::Kind::Mid,
    ext::Kind::Rid,
    ext::Kind::RepairedRid,
    ext::Kind::TransportSequence,
    ext::Kind::AbsCaptureTime,
    ext::Kind::PlayoutDelay,
    ext::Kind::Orientation,
    ext::Kind::VideoContentType,
    ext::Kind::ColorSpace,
    ext::Kind::DependencyDescriptor,
];
