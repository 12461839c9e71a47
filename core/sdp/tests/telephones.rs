//! Calls as RFC 4317 tells them, addresses as RFC 5118 has them, and what else a gateway meets: each m-line for itself.

mod world;

use std::net::SocketAddr;

use tandem_sdp::{
    Agreed, Direction, Host, Kind, Line, OurLine, OurTransport, Ours, Protocol, Session, Why, accept, negotiate, offer,
    parse,
};
use world::{audio, media, telephone};

/// A description with one address for all.
fn said(version: u32, lines: &str) -> Session {
    let head = format!("v=0\r\no=alice 2890844526 {version} IN IP4 host.atlanta.example.com\r\ns=\r\n");
    let text = format!("{head}c=IN IP4 host.atlanta.example.com\r\nt=0 0\r\n{}", lines.replace('\n', "\r\n"));
    let session = parse(&text).expect("a description");
    assert_eq!(session.to_string(), text.replace("s=\r\n", "s=-\r\n"));
    session
}

fn at(port: u16) -> OurTransport {
    OurTransport::plain(SocketAddr::from(([203, 0, 113, 5], port)))
}

/// Bob, with these m-lines at ports of their own.
fn bob(kinds: &[Kind]) -> Ours {
    let line = |(kind, port): (&Kind, u16)| OurLine {
        transport: Some(at(port)),
        ..OurLine::new(kind.clone(), Direction::SendRecv)
    };
    let mut ours = telephone(at(9));
    ours.codecs.insert(Kind::Audio, vec![audio("PCMU", 8_000, 1, "")]);
    ours.codecs.insert(Kind::Video, vec![audio("MPV", 90_000, 1, "")]);
    ours.lines = kinds.iter().zip((49_174_u16..).step_by(2)).map(line).map(Some).collect();
    ours
}

fn ports(session: &Session) -> Vec<u16> {
    session.media.iter().map(|media| media.port).collect()
}

fn formats(session: &Session) -> Vec<String> {
    session.media.iter().map(|media| media.formats.iter().map(|f| f.as_str()).collect::<Vec<_>>().join(" ")).collect()
}

fn directions(agreed: &Agreed) -> Vec<Direction> {
    agreed.lines.iter().filter_map(Line::media).map(|media| media.direction).collect()
}

const AUDIO: &str = "m=audio 49170 RTP/AVP 0 8 97
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:97 iLBC/8000
";
const VIDEO: &str = "m=video 51372 RTP/AVP 31 32
a=rtpmap:31 H261/90000
a=rtpmap:32 MPV/90000
";

#[test]
fn one_codec_of_each_line_is_chosen() {
    // RFC 4317 §2.
    let agreed =
        negotiate(&said(1, &format!("{AUDIO}{VIDEO}")), None, &bob(&[Kind::Audio, Kind::Video])).expect("an answer");
    assert_eq!((ports(&agreed.local), formats(&agreed.local)), (vec![49_174, 49_176], vec!["0".into(), "32".into()]));
    let place = |at: usize| agreed.transports[at].destination.as_ref().map(|(host, port)| (host.to_string(), *port));
    assert_eq!(place(0), Some(("host.atlanta.example.com".into(), 49_170)));
    assert_eq!(place(1), Some(("host.atlanta.example.com".into(), 51_372)));
    // Seen from the other end: whoever offers takes what is left.
    let theirs = accept(&said(1, &format!("{AUDIO}{VIDEO}")), &agreed.local, None).expect("agreement");
    assert_eq!(directions(&theirs), [Direction::SendRecv; 2]);
    assert_eq!(theirs.transports[1].rtcp, Some((Host::Ip([203, 0, 113, 5].into()), 49_177)));
}

#[test]
fn a_line_that_is_refused_keeps_its_place() {
    // RFC 4317 §2.
    let agreed = negotiate(&said(1, &format!("{AUDIO}{VIDEO}")), None, &bob(&[Kind::Audio])).expect("an answer");
    assert_eq!((ports(&agreed.local), &agreed.lines[1]), (vec![49_174, 0], &Line::Free));
    assert_eq!(formats(&agreed.local), ["0", "31 32"]);
    let theirs = accept(&said(1, &format!("{AUDIO}{VIDEO}")), &agreed.local, None).expect("agreement");
    assert_eq!((theirs.transports.len(), &theirs.lines[1]), (1, &Line::Free));
}

#[test]
fn a_call_is_held_and_goes_on() {
    // RFC 4317 §3.1 and §3.2: the second line keeps flowing.
    let ours = bob(&[Kind::Audio, Kind::Video]);
    let held = format!("{AUDIO}a=sendonly\n{VIDEO}");
    let both = format!("{AUDIO}{VIDEO}");
    let begun = negotiate(&said(1, &both), None, &ours).expect("an answer");
    let holding = negotiate(&said(2, &held), Some(&begun), &ours).expect("an answer");
    assert_eq!(directions(&holding), [Direction::RecvOnly, Direction::SendRecv]);
    let on = negotiate(&said(3, &both), Some(&holding), &ours).expect("an answer");
    assert_eq!(directions(&on), [Direction::SendRecv; 2]);
    let versions = [&begun, &holding, &on].map(|agreed| agreed.local.origin.version);
    assert_eq!(versions, [1, 2, 3]);
    // We hold a call that they began.
    let mut held = bob(&[Kind::Audio, Kind::Video]);
    held.lines.iter_mut().flatten().for_each(|line| line.direction = Direction::SendOnly);
    let next = offer(Some(&on), &held).expect("an offer");
    let answer = said(4, &format!("{}{}", AUDIO.replace(" 8 97", ""), VIDEO.replace(" 31", "")));
    let answer = answer.to_string().replace("a=rtpmap:0", "a=recvonly\r\na=rtpmap:0");
    let answer = answer.replace("a=rtpmap:31 ", "a=recvonly\r\na=rtpmap:31 ");
    let agreed = accept(&next, &parse(&answer).expect("a description"), Some(&on)).expect("agreement");
    assert_eq!(directions(&agreed), [Direction::SendOnly; 2]);
}

#[test]
fn lines_are_added_and_ended_by_either() {
    // RFC 4317 §4.
    let one = negotiate(&said(1, AUDIO), None, &bob(&[Kind::Audio])).expect("an answer");
    let two = bob(&[Kind::Audio, Kind::Video]);
    let added = negotiate(&said(2, &format!("{AUDIO}{VIDEO}")), Some(&one), &two).expect("an answer");
    assert_eq!(added.transports.len(), 2);
    let ended = said(3, &format!("{AUDIO}{}", VIDEO.replace("51372", "0")));
    let after = negotiate(&ended, Some(&added), &two).expect("an answer");
    assert_eq!((&after.lines[1], after.refused.get(&1)), (&Line::Free, Some(&Why::Ended)));
    // The place is taken by another kind.
    let three = bob(&[Kind::Audio, Kind::Audio]);
    let next = offer(Some(&after), &three).expect("an offer");
    assert_eq!(next.media.iter().map(|media| media.kind.clone()).collect::<Vec<_>>(), [Kind::Audio, Kind::Audio]);
    assert!(next.groups().next().is_none() && next.sections().all(|section| section.mid().is_none()));
}

#[test]
fn addresses_of_both_families_stand_side_by_side() {
    // RFC 5118: two families in one description, and one inside the other.
    let text = "v=0\r\no=assistant 971731711378798081 0 IN IP6 2001:db8::20\r\ns=Live video feed\r\nt=3338481189 3370017201\r\n\
        m=audio 6000 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\n\
        m=video 6024 RTP/AVP 32\r\nc=IN IP4 192.0.2.1\r\n\
        m=audio 6030 RTP/AVP 0\r\nc=IN IP6 ::ffff:192.0.2.10\r\n";
    let session = parse(text).expect("a description");
    assert_eq!(session.to_string(), text);
    let agreed = negotiate(&session, None, &bob(&[Kind::Audio, Kind::Video, Kind::Audio])).expect("an answer");
    let places: Vec<_> =
        agreed.transports.iter().map(|t| t.destination.as_ref().map(|(host, _)| host.to_string())).collect();
    let expected = ["2001:db8::1", "192.0.2.1", "::ffff:192.0.2.10"].map(|host| Some(host.to_owned()));
    assert_eq!(places, expected);
}

#[test]
fn a_facsimile_is_refused_as_it_was_said_and_the_call_goes_on() {
    let fax = "m=image 49172 udptl t38
a=T38FaxVersion:0
a=T38MaxBitRate:14400
a=T38FaxRateManagement:transferredTCF
a=T38FaxUdpEC:t38UDPRedundancy
";
    let offered = said(1, &format!("{AUDIO}{fax}"));
    assert_eq!((&offered.media[1].kind, offered.media[1].attributes.len()), (&Kind::Image, 4));
    let agreed = negotiate(&offered, None, &bob(&[Kind::Audio, Kind::Image])).expect("an answer");
    let why = Why::Protocol { kind: "image".into(), protocol: "udptl".into() };
    assert_eq!((agreed.refused.get(&1), ports(&agreed.local)), (Some(&why), vec![49_174, 0]));
    let Protocol::Other(name) = &agreed.local.media[1].protocol else { panic!("udptl") };
    assert_eq!((name.as_str(), formats(&agreed.local)), ("udptl", vec!["0".into(), "t38".into()]));
    assert!(media(&agreed.lines[0]).direction.sends());
}
