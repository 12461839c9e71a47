//! Offers to the media plane, and what it is told of them.

use tandem_api::signal::{ClientFrame, Outcome, Sends, Source};
use tandem_engine::Output;
use tandem_media::Command;

use super::House;

/// An m-line of an offer.
#[derive(Clone, Copy)]
pub enum M {
    Sends(&'static str, Source),
    Receives(&'static str, &'static str),
    Idle(&'static str, &'static str),
    Data(&'static str),
}

pub fn sdp(session: u32, ufrag: &str, lines: &[M]) -> String {
    let mid = |line: &M| match line {
        M::Sends(mid, _) | M::Receives(mid, _) | M::Idle(mid, _) | M::Data(mid) => (*mid).to_owned(),
    };
    let mids = lines.iter().map(mid).collect::<Vec<_>>().join(" ");
    let mut text = format!("v=0\r\no=- {session} 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE {mids}\r\n");
    for line in lines {
        let (kind, way) = match line {
            M::Sends(_, Source::Microphone | Source::ScreenAudio) => ("audio", "sendonly"),
            M::Sends(..) => ("video", "sendonly"),
            M::Receives(_, kind) => (*kind, "recvonly"),
            M::Idle(_, kind) => (*kind, "inactive"),
            M::Data(_) => ("application", ""),
        };
        match kind {
            "application" => {
                text += "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\nc=IN IP4 0.0.0.0\r\na=sctp-port:5000\r\n"
            }
            "audio" => {
                text +=
                    "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:111 opus/48000/2\r\na=rtcp-mux\r\n"
            }
            _ => {
                text += "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\na=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtcp-mux\r\n"
            }
        }
        if !way.is_empty() {
            text += &format!("a={way}\r\n");
        }
        if matches!(line, M::Sends(_, Source::Camera)) {
            text += "a=rid:q send\r\na=rid:f send\r\na=simulcast:send q;f\r\n";
        }
        text += &format!(
            "a=mid:{}\r\na=ice-ufrag:{ufrag}\r\na=ice-pwd:0123456789abcdefghijkl\r\na=setup:actpass\r\na=fingerprint:sha-256 {}\r\n",
            mid(line),
            ["AB"; 32].join(":")
        );
    }
    text
}

pub fn offer(house: &mut House, who: u64, (session, ufrag): (u32, &str), lines: &[M]) -> Outcome {
    let sends = lines.iter().filter_map(|line| match line {
        M::Sends(mid, source) => Some(Sends { mid: (*mid).to_owned(), source: *source }),
        _ => None,
    });
    let (sdp, sends) = (sdp(session, ufrag, lines), sends.collect());
    house.ask(who, |id| ClientFrame::MediaOffer { id, sdp, sends })
}

pub fn commands(house: &House) -> Vec<Command> {
    let command = |output: &Output| match output {
        Output::Media { shard: 0, command } => Some((**command).clone()),
        _ => None,
    };
    house.all.iter().filter_map(command).collect()
}
