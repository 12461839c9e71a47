//! Ours beside `webrtc-sdp`, the parser of Firefox: it takes what we print, and what it prints of a description means the
//! same to us as the description itself.

mod world;

use std::collections::{BTreeMap, BTreeSet};

use tandem_sdp::{
    Agreed, Attribute, Codec, Direction, Kind, OurLine, Ours, ProfileLevel, Section, Session, Way, accept, negotiate,
    offer, parse,
};
use world::{BROWSERS, forwarded, recorded, server};

/// Read and printed by it.
fn by_firefox(text: &str) -> Session {
    let theirs = webrtc_sdp::parse_sdp(text, false).unwrap_or_else(|error| panic!("{error}\n{text}"));
    let printed = theirs.to_string();
    parse(&printed).unwrap_or_else(|error| panic!("{error}\n{printed}"))
}

/// What a description means, whatever the order in which it is said.
fn meaning(session: &Session) -> Vec<String> {
    let groups = session.groups().map(|group| group.to_string()).collect::<BTreeSet<_>>();
    let head = format!("{:?} {groups:?} {}", session.origin, session.is_ice_lite());
    std::iter::once(head).chain(session.sections().map(line)).collect()
}

fn line(section: Section<'_>) -> String {
    let media = section.media;
    let codecs: BTreeMap<_, _> = section.codecs().iter().map(|codec| (codec.number, self::codec(codec))).collect();
    let shown = |list: Vec<String>| list.into_iter().collect::<BTreeSet<_>>();
    let extensions = shown(section.extensions().map(ToString::to_string).collect());
    let candidates: BTreeSet<_> = section
        .candidates()
        .map(|c| (c.foundation.as_str(), c.component, format!("{:?}", c.transport), c.priority, &c.host, c.port))
        .collect();
    let fingerprints = shown(section.fingerprints().iter().map(ToString::to_string).collect());
    let layers =
        [Way::Send, Way::Receive].map(|way| section.layers(way).iter().map(ToString::to_string).collect::<Vec<_>>());
    let flags = FLAGS.map(|flag| section.has(&flag));
    let credentials = section.credentials().map(|c| format!("{} {}", c.ufrag, c.pwd.reveal()));
    format!(
        "{} {} {} {:?} {:?} {:?} {flags:?}\n{codecs:?}\n{extensions:?}\n{candidates:?} {}\n{credentials:?} {fingerprints:?} {:?}\n\
        {layers:?}\n{:?} {:?} {:?}\n{:?} {}",
        media.kind,
        media.port,
        media.protocol,
        section.mid(),
        section.direction(),
        section.connection(),
        section.has_all_candidates(),
        section.setup(),
        section.msids().collect::<Vec<_>>(),
        section.sources(),
        section.source_groups().collect::<Vec<_>>(),
        section.sctp_port(),
        section.max_message_size(),
    )
}

const FLAGS: [Attribute; 5] = [
    Attribute::BundleOnly,
    Attribute::RtcpMux,
    Attribute::RtcpMuxOnly,
    Attribute::RtcpRsize,
    Attribute::ExtmapAllowMixed,
];

/// Its parameters as far as they tell codecs apart: those that say the default are left out by the other parser.
fn codec(codec: &Codec) -> String {
    let parameters = &codec.format.parameters;
    let feedback: BTreeSet<_> = codec.feedback.iter().collect();
    let mode = parameters.number::<u8>("packetization-mode").unwrap_or(0);
    let profile = codec.format.name.is("H264").then(|| (ProfileLevel::of(parameters), mode));
    let format = &codec.format;
    format!(
        "{}/{}/{} {profile:?} {:?} {feedback:?}",
        format.name,
        format.clock,
        format.channels,
        parameters.value("apt")
    )
}

#[track_caller]
fn same(session: &Session) {
    let (ours, theirs) = (meaning(session), meaning(&by_firefox(&session.to_string())));
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert_eq!(ours, theirs, "{session}");
    }
}

#[test]
fn recorded_descriptions_and_our_answers_mean_the_same_to_both() {
    for browser in BROWSERS {
        for (name, text) in recorded(browser, "") {
            let session = parse(&text).expect("a description");
            same(&session);
            if name.ends_with("-offer") {
                same(&negotiate(&session, None, &server()).expect("an answer").local);
            }
        }
    }
}

#[test]
fn our_offers_mean_the_same_to_both() {
    let data = OurLine::new(Kind::Application, Direction::SendRecv);
    let camera = OurLine { layers: 3, ..OurLine::new(Kind::Video, Direction::RecvOnly) };
    let lines = vec![Some(forwarded(Kind::Audio, 1, "mic")), Some(forwarded(Kind::Video, 2, "cam")), Some(data)];
    let ours = Ours { lines, ..server() };
    let first = offer(None, &ours).expect("an offer");
    same(&first);
    let answer = negotiate(&first, None, &server()).expect("an answer");
    let before: Agreed = accept(&first, &answer.local, None).expect("agreement");
    same(&offer(Some(&before), &Ours { lines: vec![None, ours.lines[1].clone()], ..server() }).expect("an offer"));
    // With a simulcast that comes to us.
    let offered = world::read("chromium", "simulcast-offer");
    let before = negotiate(&offered, None, &server()).expect("an answer");
    let heard = OurLine::new(Kind::Audio, Direction::RecvOnly);
    let next = offer(Some(&before), &Ours { lines: vec![Some(heard), Some(camera)], ..server() }).expect("an offer");
    assert_eq!(next.section(1).map(|section| section.layers(Way::Receive).len()), Some(3));
    same(&next);
}
