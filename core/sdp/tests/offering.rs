//! Offers of ours, and what is agreed on after them.

mod world;

use tandem_sdp::{
    Agreed, Direction, IceRole, Kind, Line, Misuse, OurLine, Ours, Refused, Role, Security, Session, Why, accept,
    negotiate, offer, parse,
};
use world::{forwarded, ice, media, read, server};

/// A browser that takes everything and sends nothing, as far as descriptions go.
fn browser(offer: &Session, before: Option<&Agreed>) -> Agreed {
    let mut ours = Ours { session: 99, ..server() };
    ours.transport.ice = Some(tandem_sdp::OurIce { agent: tandem_sdp::Agent::Full, ..ice("browser") });
    ours.transport.dtls.as_mut().expect("DTLS").role = Role::Client;
    negotiate(offer, before, &ours).expect("an answer")
}

/// Offers and has it answered: what the server agrees on, what the browser does.
fn round(before: Option<&(Agreed, Agreed)>, ours: &Ours) -> (Agreed, Agreed) {
    let offer = offer(before.map(|(server, _)| server), ours).expect("an offer");
    // As it travels.
    let offer = parse(&offer.to_string()).expect("an offer that can be read");
    let theirs = browser(&offer, before.map(|(_, browser)| browser));
    let ours = accept(&offer, &theirs.local, before.map(|(server, _)| server)).expect("agreement");
    (ours, theirs)
}

fn mids(agreed: &Agreed) -> Vec<Option<&str>> {
    agreed.lines.iter().map(|line| line.mid().map(|mid| mid.as_str())).collect()
}

fn with(lines: Vec<Option<OurLine>>) -> Ours {
    Ours { lines, ..server() }
}

#[test]
fn an_offer_and_its_answer_tell_both_ends_the_same() {
    let data = OurLine::new(Kind::Application, Direction::SendRecv);
    let lines = vec![Some(forwarded(Kind::Audio, 1, "mic")), Some(forwarded(Kind::Video, 2, "cam")), Some(data)];
    let (server, browser) = round(None, &with(lines));
    insta::assert_snapshot!("our-offer", server.local.to_string().replace("\r\n", "\n"));
    assert_eq!(mids(&server), [Some("0"), Some("1"), Some("2")]);
    let (sent, received) = (media(&server.lines[1]), media(&browser.lines[1]));
    assert_eq!((sent.direction, received.direction), (Direction::SendOnly, Direction::RecvOnly));
    assert_eq!(received.incoming.sources[0].retransmissions, Some(tandem_sdp::Ssrc(3)));
    assert_eq!(received.incoming.msids, forwarded(Kind::Video, 2, "cam").msids);
    for (ours, theirs) in sent.codecs.iter().zip(&received.codecs) {
        assert_eq!((ours.send, ours.receive), (theirs.receive, theirs.send));
        assert!(ours.retransmission.is_some() && !ours.feedback.is_empty());
    }
    assert_eq!(sent.extensions.len(), received.extensions.len());
    let [ours] = server.transports.as_slice() else { panic!("one transport") };
    let [theirs] = browser.transports.as_slice() else { panic!("one transport") };
    assert_eq!(ours.lines, [0, 1, 2]);
    let role = |transport: &tandem_sdp::Transport| match &transport.security {
        Security::Dtls { role, .. } => *role,
        other => panic!("{other:?}"),
    };
    assert_eq!((role(ours), role(theirs)), (Role::Server, Role::Client));
    // RFC 8445 §6.1.1: whoever is lite does not decide, whoever has offered.
    let roles = (ours.ice.as_ref().map(|ice| ice.role), theirs.ice.as_ref().map(|ice| ice.role));
    assert_eq!(roles, (Some(IceRole::Controlled), Some(IceRole::Controlling)));
    let Line::Data(data) = &server.lines[2] else { panic!("data channels") };
    assert_eq!(data.max_message_size, 262_144);
}

#[test]
fn lines_come_and_go_and_numbers_stay() {
    let (anna, cam) = (forwarded(Kind::Audio, 1, "mic"), forwarded(Kind::Video, 2, "cam"));
    let first = round(None, &with(vec![Some(anna.clone()), Some(cam.clone())]));
    // The video ends.
    let second = round(Some(&first), &with(vec![Some(anna.clone())]));
    assert_eq!(second.0.lines[1], Line::Free);
    assert_eq!(second.0.local.media[1].port, 0);
    assert_eq!(second.0.free_lines().collect::<Vec<_>>(), [1]);
    assert_eq!(second.1.refused.get(&1), Some(&Why::Ended));
    // Its place is taken by audio, under another identity; another video comes behind it.
    let bert = forwarded(Kind::Audio, 5, "bert");
    let third = round(Some(&second), &with(vec![Some(anna.clone()), Some(bert), Some(cam)]));
    assert_eq!(mids(&third.0), [Some("0"), Some("2"), Some("3")]);
    assert_eq!((third.0.transports.len(), third.0.transports[0].lines.len()), (1, 3));
    let number_of =
        |agreed: &Agreed, at: usize| media(&agreed.lines[at]).codecs.iter().map(|c| c.send).collect::<Vec<_>>();
    assert_eq!(number_of(&first.0, 1), number_of(&third.0, 2));
    assert_eq!(number_of(&first.0, 0), number_of(&third.0, 1));
    let ids = |agreed: &Agreed, at: usize| media(&agreed.lines[at]).extensions.iter().map(|e| e.id).collect::<Vec<_>>();
    assert_eq!(ids(&first.0, 1), ids(&third.0, 2));
    // The first one ends: whoever is first then has the candidates.
    let lines = vec![None, Some(forwarded(Kind::Audio, 5, "bert")), Some(forwarded(Kind::Video, 2, "cam"))];
    let fourth = round(Some(&third), &with(lines));
    assert_eq!(mids(&fourth.0), [None, Some("2"), Some("3")]);
    assert_eq!(fourth.0.local.section(1).expect("a section").candidates().count(), 1);
    assert_eq!(fourth.1.transports[0].ice.as_ref().map(|ice| ice.candidates.len()), Some(1));
}

#[test]
fn the_version_grows_with_what_is_said() {
    let ours = with(vec![Some(forwarded(Kind::Audio, 1, "mic"))]);
    let first = round(None, &ours);
    // The first offer says that a line may only be shared; what lives says so no longer.
    let second = round(Some(&first), &ours);
    let third = round(Some(&second), &ours);
    assert_eq!(second.0.local, third.0.local);
    let fourth = round(Some(&third), &with(vec![Some(forwarded(Kind::Audio, 1, "another"))]));
    assert_eq!(fourth.0.local.origin.version, third.0.local.origin.version + 1);
}

#[test]
fn an_offer_keeps_the_numbers_a_browser_has_chosen() {
    for browser in world::BROWSERS {
        let theirs = read(browser, "call-offer");
        let answered = negotiate(&theirs, None, &server()).expect("an answer");
        let numbers: Vec<_> = media(&answered.lines[1]).codecs.iter().map(|codec| codec.receive).collect();
        let mut lines: Vec<_> =
            [Kind::Audio, Kind::Video].map(|kind| Some(OurLine::new(kind, Direction::RecvOnly))).into();
        lines.push(Some(forwarded(Kind::Video, 9, "bert")));
        let ours = offer(Some(&answered), &with(lines)).expect("an offer");
        let section = ours.section(2).expect("a third m-line");
        let offered: Vec<_> = section.codecs().into_iter().filter(|codec| !codec.format.is_rtx()).collect();
        let again: Vec<_> =
            offered.iter().map(|codec| codec.number).filter(|number| numbers.contains(number)).collect();
        assert_eq!(again, numbers, "{browser}");
        let taken = &theirs.media[1].formats;
        for codec in offered.iter().filter(|codec| !numbers.contains(&codec.number)) {
            assert!(taken.iter().all(|format| format.as_str() != codec.number.to_string()), "{browser}: {codec:?}");
        }
        for extmap in section.extensions() {
            let known = media(&answered.lines[1]).extensions.iter().find(|known| known.uri == extmap.uri);
            assert_eq!(known.map(|known| known.id), Some(extmap.id), "{browser}");
        }
        // Browsers count identities, too: the one behind theirs.
        assert_eq!(section.mid().map(|mid| mid.as_str()), Some("4"), "{browser}");
    }
}

#[test]
fn what_never_began_keeps_its_place() {
    let (server, _) = round(None, &with(vec![None, Some(forwarded(Kind::Audio, 1, "mic"))]));
    assert_eq!(mids(&server), [None, Some("1")]);
    assert_eq!(server.transports.len(), 1);
}

#[test]
fn a_line_that_lives_stays_what_it_is() {
    let before = round(None, &with(vec![Some(forwarded(Kind::Audio, 1, "mic"))]));
    let refused = offer(Some(&before.0), &with(vec![Some(forwarded(Kind::Video, 1, "cam"))]));
    let expected = Misuse::KindChanged { line: 0, is: "audio".into(), wanted: "video".into() };
    assert_eq!(refused, Err(expected));
}

#[test]
fn an_answer_must_be_one_to_the_offer() {
    let ours = with(vec![Some(forwarded(Kind::Audio, 1, "mic")), Some(forwarded(Kind::Video, 2, "cam"))]);
    let offer = offer(None, &ours).expect("an offer");
    let answer = browser(&offer, None).local.to_string();
    let refused = |from: &str, to: &str| {
        assert!(answer.contains(from), "{from}");
        accept(&offer, &parse(&answer.replace(from, to)).expect("a description"), None).map(|_| ())
    };
    assert_eq!(refused("a=mid:1", "a=mid:7"), Err(Refused::Mid { line: 1, expected: "1".into(), got: "7".into() }));
    assert_eq!(refused("BUNDLE 0 1", "BUNDLE 0 5"), Err(Refused::Group { got: "5".into() }));
    assert_eq!(refused("a=rtcp-mux\r\n", ""), Err(Refused::NoMux { line: 0 }));
    assert_eq!(
        refused("a=setup:active", "a=setup:actpass"),
        Err(Refused::Setup { line: 0, offered: "actpass", answered: "actpass" })
    );
    assert_eq!(
        refused("UDP/TLS/RTP/SAVPF", "RTP/AVP"),
        Err(Refused::Protocol { line: 0, expected: "UDP/TLS/RTP/SAVPF".into(), got: "RTP/AVP".into() })
    );
    assert_eq!(
        refused("m=video", "m=audio"),
        Err(Refused::Kind { line: 1, expected: "video".into(), got: "audio".into() })
    );
    let fingerprint = answer.lines().find(|line| line.starts_with("a=fingerprint")).expect("a fingerprint");
    assert_eq!(refused(&format!("{fingerprint}\r\n"), ""), Err(Refused::NoProtection { line: 0 }));
    let (first, _) = answer.split_once("m=video").expect("two m-lines");
    let short = accept(&offer, &parse(first).expect("a description"), None).map(|_| ());
    assert!(matches!(short, Err(Refused::Group { .. } | Refused::Lines { expected: 2, got: 1 })), "{short:?}");
}

#[test]
fn an_answer_may_refuse_lines() {
    let ours = with(vec![Some(forwarded(Kind::Audio, 1, "mic")), Some(forwarded(Kind::Video, 2, "cam"))]);
    let offer = offer(None, &ours).expect("an offer");
    let mut deaf = server();
    deaf.codecs.remove(&Kind::Audio);
    let theirs = negotiate(&offer, None, &deaf).expect("an answer");
    assert_eq!(theirs.refused.get(&0), Some(&Why::NoCodec { offered: "opus, red".into() }));
    let agreed = accept(&offer, &theirs.local, None).expect("agreement");
    assert_eq!(agreed.lines[0], Line::Free);
    assert_eq!(media(&agreed.lines[1]).direction, Direction::SendOnly);
    assert_eq!(agreed.transports[0].lines, [1]);
}

#[test]
fn an_ice_restart_is_seen() {
    for browser in world::BROWSERS {
        let before = negotiate(&read(browser, "call-recycled-offer"), None, &server()).expect("an answer");
        assert!(before.is_ice_restart(&read(browser, "call-ice-restart-offer")), "{browser}");
        assert!(!before.is_ice_restart(&read(browser, "call-recycled-offer")), "{browser}");
    }
}

#[test]
fn an_ice_restart_is_seen_while_the_first_line_ends() {
    let text = world::text("chromium", "call-ice-restart-offer");
    let before = negotiate(&read("chromium", "call-recycled-offer"), None, &server()).expect("an answer");
    assert!(before.transports[0].lines.len() > 1, "{:?}", before.transports);
    let (head, rest) = text.split_once("m=audio ").expect("an m-line");
    let (_, rest) = rest.split_once(' ').expect("a port");
    let ended = parse(&format!("{head}m=audio 0 {rest}")).expect("a description");
    assert!(before.is_ice_restart(&ended));
}

#[test]
fn an_answer_that_takes_the_shared_transport_apart_is_refused() {
    // There is one transport of ours, and no second place to be reached at.
    let ours = with(vec![Some(forwarded(Kind::Audio, 1, "mic")), Some(forwarded(Kind::Video, 2, "cam"))]);
    let before = round(None, &ours);
    let offer = offer(Some(&before.0), &ours).expect("an offer");
    let answer = browser(&offer, Some(&before.1)).local.to_string();
    for group in ["a=group:BUNDLE 0\r\n", "a=group:BUNDLE 1\r\n", "", "a=group:BUNDLE 0\r\na=group:BUNDLE 1\r\n"] {
        let apart = parse(&answer.replace("a=group:BUNDLE 0 1\r\n", group)).expect("a description");
        let refused = accept(&offer, &apart, Some(&before.0)).map(|_| ());
        assert_eq!(refused, Err(Refused::Apart { line: 1 }), "{group}");
    }
}

#[test]
fn a_simulcast_that_comes_to_us_is_in_our_next_offer() {
    for browser in world::BROWSERS {
        let before = negotiate(&read(browser, "simulcast-offer"), None, &server()).expect("an answer");
        let camera = OurLine { layers: 2, ..OurLine::new(Kind::Video, Direction::RecvOnly) };
        let audio = before.lines[0].media().map(|_| OurLine::new(Kind::Audio, Direction::RecvOnly));
        let ours = with(vec![audio, Some(camera.clone()), Some(forwarded(Kind::Audio, 1, "mic"))]);
        let next = offer(Some(&before), &ours).expect("an offer").to_string();
        assert!(next.contains("a=rid:q recv\r\na=rid:h recv\r\na=simulcast:recv q;h\r\n"), "{browser}: {next}");
        // The packets of an encoding say which it is.
        let section = parse(&next).expect("a description");
        let uris: Vec<_> =
            section.section(1).expect("a section").extensions().map(|e| e.uri.as_str().to_owned()).collect();
        assert!(uris.iter().any(|uri| uri == world::RID) && uris.iter().any(|uri| uri == world::RRID), "{uris:?}");
        // Nobody sends them where we send.
        let section = section.section(2).expect("a section");
        assert!(section.simulcast().is_none() && section.extensions().all(|e| e.uri.as_str() != world::RID));
        // Where none is wanted any longer, none is asked for.
        let one = with(vec![None, Some(OurLine { layers: 0, ..camera })]);
        assert!(!offer(Some(&before), &one).expect("an offer").to_string().contains("simulcast"));
    }
}

#[test]
fn nothing_is_offered_that_cannot_be() {
    let line = |kind| vec![Some(OurLine::new(kind, Direction::SendRecv))];
    let no_codec = offer(None, &with(line(Kind::Text)));
    assert_eq!(no_codec, Err(Misuse::NoCodec { line: 0, kind: "text".into() }));
    let no_data = Ours { data: None, ..with(line(Kind::Application)) };
    assert_eq!(offer(None, &no_data), Err(Misuse::NoData { line: 0 }));
    let mut bare = with(line(Kind::Audio));
    bare.transport.dtls = None;
    assert_eq!(offer(None, &bare), Err(Misuse::NoProtection { line: 0 }));
}
