//! What the fuzz target and the property tests do with any text: read it, print it, answer it, have it answered.

use std::collections::BTreeSet;

use tandem_sdp::{
    Agreed, Direction, Fragment, Kind, Limits, Line, OurLine, OurTransport, Ours, Session, Setup, Way, accept,
    negotiate, offer, parse_within,
};

use crate::world::{forwarded, keys, server, telephone};

/// Small, so that many texts are tried.
const LIMITS: Limits =
    Limits { bytes: 1 << 16, line: 4_096, media: 32, lines_each: 512, candidates_each: 64, formats_each: 64 };

/// Any bytes.
pub fn sdp(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(fragment) = Fragment::parse(text) {
        let printed = fragment.to_string();
        assert_eq!(Fragment::parse(&printed).as_ref(), Ok(&fragment), "{printed}");
    }
    let Ok(session) = parse_within(text, &LIMITS) else { return };
    reread(&session);
    let address = "203.0.113.5:20000".parse().expect("an address");
    let phones = [OurTransport::plain(address), OurTransport::sdes(address, keys())];
    for ours in phones.map(telephone).into_iter().chain([server()]) {
        let Ok(agreed) = negotiate(&session, None, &ours) else { continue };
        check(&agreed);
        // The same offer once more changes nothing.
        let again = negotiate(&session, Some(&agreed), &ours).expect("an answer as before");
        assert_eq!(again.local, agreed.local);
        assert_eq!(again.lines, agreed.lines);
        continues(&agreed);
        goes_on(&agreed);
    }
    answers(&session);
}

/// Printed and read it is the same.
fn reread(session: &Session) {
    let printed = session.to_string();
    assert_eq!(parse_within(&printed, &Limits::default()).as_ref(), Ok(session), "{printed}");
}

/// What is agreed on holds together.
fn check(agreed: &Agreed) {
    reread(&agreed.local);
    assert_eq!(agreed.local.media.len(), agreed.remote.media.len());
    assert_eq!(agreed.lines.len(), agreed.local.media.len());
    let setups: BTreeSet<_> = agreed.transports.iter().flat_map(|t| setups(&agreed.local, &t.lines)).collect();
    assert!(setups.len() <= 1 || agreed.remote.sections().any(|s| s.setup() != Some(Setup::ActPass)), "{setups:?}");
    for (at, line) in agreed.lines.iter().enumerate() {
        let on: Vec<_> = agreed.transports.iter().filter(|transport| transport.lines.contains(&at)).collect();
        let alive = *line != Line::Free;
        assert_eq!(on.len(), usize::from(alive));
        assert_eq!(agreed.refused.contains_key(&at), !alive, "{line:?}");
        let Some(media) = line.media() else { continue };
        assert_eq!(agreed.transports[media.transport], *on[0]);
        assert!(media.codecs.iter().any(|codec| !codec.format.is_auxiliary()));
        assert!(media.incoming.layers.iter().all(|rid| media.incoming.offered_layers.contains(rid)));
    }
}

/// How m-lines say who begins.
fn setups<'a>(session: &'a Session, lines: &'a [usize]) -> impl Iterator<Item = String> + 'a {
    let said = |line: &usize| session.section(*line).and_then(|section| section.setup());
    lines.iter().filter_map(said).map(|setup| format!("{setup:?}"))
}

/// We make the next offer, and it can be read.
fn continues(agreed: &Agreed) {
    let mut ours = server();
    ours.lines.resize(agreed.lines.len(), None);
    ours.lines.push(Some(forwarded(Kind::Video, 1, "track")));
    let next = offer(Some(agreed), &ours).expect("an offer");
    reread(&next);
    // Two m-lines of one identity would have no answer.
    negotiate(&next, None, &server()).expect("an answer to our offer");
}

/// We offer the same m-lines again, which keep what they have.
fn goes_on(agreed: &Agreed) {
    let as_before = |line: &Line| match line {
        Line::Free => None,
        Line::Media(media) => Some(OurLine { layers: 3, ..OurLine::new(media.kind.clone(), media.direction) }),
        Line::Data(_) => Some(OurLine::new(Kind::Application, Direction::SendRecv)),
    };
    let ours = Ours { lines: agreed.lines.iter().map(as_before).collect(), ..server() };
    // Kinds of which the server has no codec, and telephones that have begun without identities, cannot go on with it.
    let Ok(next) = offer(Some(agreed), &ours) else { return };
    reread(&next);
    for (line, section) in agreed.lines.iter().zip(next.sections()) {
        assert_eq!(line.mid().filter(|_| section.media.kind != Kind::Application), line.media().and(section.mid()));
        let Some(media) = line.media() else { continue };
        let asked: Vec<_> = section.layers(Way::Receive).into_iter().map(|rid| &rid.id).collect();
        assert!(asked.iter().all(|id| media.incoming.layers.contains(id)), "{asked:?}");
    }
    let theirs = negotiate(&next, None, &server()).expect("an answer to our offer");
    let agreed = accept(&next, &theirs.local, Some(agreed)).expect("agreement");
    assert!(agreed.transports.len() <= 1, "{:?}", agreed.transports);
}

/// The text as an answer to an offer of ours.
fn answers(answer: &Session) {
    let lines = [Kind::Audio, Kind::Video].map(|kind| Some(forwarded(kind, 10, "track")));
    let offered = offer(None, &Ours { lines: lines.into(), ..server() }).expect("an offer");
    if let Ok(agreed) = accept(&offered, answer, None) {
        assert_eq!(agreed.lines.len(), 2);
        // We are in one place.
        assert!(agreed.transports.len() <= 1, "{:?}", agreed.transports);
        continues(&agreed);
    }
}
