//! What the fuzz target and the property tests do with any text: read it, print it, answer it, have it answered.

use tandem_sdp::{Agreed, Fragment, Kind, Limits, OurTransport, Session, accept, negotiate, offer, parse_within};

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
    for (at, line) in agreed.lines.iter().enumerate() {
        let on: Vec<_> = agreed.transports.iter().filter(|transport| transport.lines.contains(&at)).collect();
        let alive = *line != tandem_sdp::Line::Free;
        assert_eq!(on.len(), usize::from(alive));
        assert_eq!(agreed.refused.contains_key(&at), !alive, "{line:?}");
        let Some(media) = line.media() else { continue };
        assert_eq!(agreed.transports[media.transport], *on[0]);
        assert!(media.codecs.iter().any(|codec| !codec.format.is_auxiliary()));
        assert!(media.incoming.layers.iter().all(|rid| media.incoming.offered_layers.contains(rid)));
    }
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

/// The text as an answer to an offer of ours.
fn answers(answer: &Session) {
    let lines = [Kind::Audio, Kind::Video].map(|kind| Some(forwarded(kind, 10, "track")));
    let offered = offer(None, &tandem_sdp::Ours { lines: lines.into(), ..server() }).expect("an offer");
    if let Ok(agreed) = accept(&offered, answer, None) {
        assert_eq!(agreed.lines.len(), 2);
        continues(&agreed);
    }
}
