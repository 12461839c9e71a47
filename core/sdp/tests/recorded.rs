//! What browsers were recorded to say, read, printed and answered.

mod world;

use std::fmt::Write as _;

use tandem_sdp::{Agreed, Direction, Line, Role, Security, accept, negotiate, parse};
use world::{BROWSERS, media, read, recorded, server};

/// The answer, and what it means.
fn shown(agreed: &Agreed) -> String {
    let mut text = agreed.local.to_string().replace("\r\n", "\n");
    for (at, line) in agreed.lines.iter().enumerate() {
        let Line::Media(media) = line else {
            let why = agreed.refused.get(&at).map(|why| format!(": {why}")).unwrap_or_default();
            writeln!(text, "\n{at}: {line:?}{why}").expect("a String");
            continue;
        };
        writeln!(text, "\n{at}: {} over {}, {:?}", media.kind, media.transport, media.direction).expect("a String");
        for codec in &media.codecs {
            let numbers = (codec.receive, codec.retransmission.map(|rtx| rtx.receive));
            writeln!(text, "   {} as {numbers:?} {:?}", codec.format, codec.feedback).expect("a String");
        }
        let extensions: Vec<_> = media.extensions.iter().map(|e| (e.id, e.uri.as_str(), e.direction)).collect();
        writeln!(text, "   {extensions:?}\n   {:?}", media.incoming).expect("a String");
    }
    for transport in &agreed.transports {
        let Some(ice) = &transport.ice else { panic!("ICE") };
        let Security::Dtls { role, fingerprints, .. } = &transport.security else { panic!("DTLS") };
        let candidates: Vec<_> = ice.candidates.iter().map(ToString::to_string).collect();
        let (ufrag, prints) =
            (&ice.credentials.ufrag, fingerprints.iter().map(ToString::to_string).collect::<Vec<_>>());
        writeln!(text, "\n{:?}: {ufrag}, {:?} {role:?}\n   {prints:?}", transport.lines, ice.role).expect("a String");
        writeln!(text, "   {}\n   complete: {}", candidates.join("\n   "), ice.is_complete).expect("a String");
    }
    text
}

#[test]
fn what_browsers_say_is_printed_as_it_was_read() {
    for browser in BROWSERS {
        let all = recorded(browser, "");
        assert!(all.len() > 15, "the recordings of {browser} are missing");
        for (name, text) in all {
            let session = parse(&text).unwrap_or_else(|error| panic!("{browser}/{name}: {error}"));
            // Names of transports are the same in any case; Firefox has them in capitals.
            let text = text.replace(" UDP ", " udp ").replace(" TCP ", " tcp ");
            assert_eq!(session.to_string(), text, "{browser}/{name}");
        }
    }
}

#[test]
fn offers_of_browsers_are_answered() {
    for browser in BROWSERS {
        for (name, text) in recorded(browser, "-offer") {
            let offer = parse(&text).expect("a description");
            let agreed = negotiate(&offer, None, &server()).unwrap_or_else(|e| panic!("{browser}/{name}: {e}"));
            assert_eq!(parse(&agreed.local.to_string()).as_ref(), Ok(&agreed.local), "{browser}/{name}");
            insta::assert_snapshot!(format!("{browser}-{name}"), shown(&agreed));
        }
    }
}

#[test]
fn a_simulcast_is_taken_as_far_as_it_is_wanted() {
    for browser in BROWSERS {
        let offer = read(browser, "simulcast-offer");
        for most in [0, 2, 3, 9] {
            let mut ours = server();
            ours.others[1].layers = most;
            let agreed = negotiate(&offer, None, &ours).expect("an answer");
            let incoming = &media(&agreed.lines[1]).incoming;
            let taken: Vec<_> = incoming.layers.iter().map(|rid| rid.as_str()).collect();
            assert_eq!(taken, ["q", "h", "f"][..most.min(3)], "{browser} {most}");
            assert_eq!(incoming.offered_layers.len(), 3);
        }
    }
}

#[test]
fn the_answer_of_a_browser_to_a_browser_is_agreed_on_by_both() {
    for browser in BROWSERS {
        for (name, text) in recorded(browser, "-offer").into_iter().filter(|(name, _)| name != "call-trickled-offer") {
            let offer = parse(&text).expect("an offer");
            let answer = read(browser, &name.replace("-offer", "-answer"));
            let agreed = accept(&offer, &answer, None).unwrap_or_else(|error| panic!("{browser}/{name}: {error}"));
            assert_eq!(agreed.transports.len(), 1, "{browser}/{name}");
            let alive = answer.media.iter().map(|media| media.port != 0);
            assert!(agreed.lines.iter().map(|line| *line != Line::Free).eq(alive), "{browser}/{name}");
            let Security::Dtls { role, .. } = &agreed.transports[0].security else { panic!("{browser}/{name}") };
            // Browsers answer `active`.
            assert_eq!(*role, Role::Server, "{browser}/{name}");
        }
    }
}

#[test]
fn both_descriptions_of_a_call_say_which_sources_come() {
    let (offer, answer) = (read("chromium", "call-offer"), read("chromium", "call-answer"));
    let agreed = accept(&offer, &answer, None).expect("agreement");
    let video = media(&agreed.lines[1]);
    assert_eq!(video.direction, Direction::SendRecv);
    let [source] = video.incoming.sources.as_slice() else { panic!("{:?}", video.incoming.sources) };
    assert!(source.retransmissions.is_some() && source.cname.is_some());
    assert!(!video.incoming.msids.is_empty());
}
