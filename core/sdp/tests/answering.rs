//! Offers that are answered in part, or not at all; telephones.

mod world;

use tandem_sdp::{
    Agreed, Direction, Host, Kind, Line, OurLine, OurTransport, Ours, Refused, Role, Security, Session, Setup, Suite,
    Why, accept, negotiate, offer, parse,
};
use world::{keys, media, read, server, telephone, text};

fn changed(name: &str, from: &str, to: &str) -> Session {
    let text = text("chromium", name);
    assert!(text.contains(from), "{from}");
    parse(&text.replace(from, to)).expect("a description")
}

fn why(offer: &Session, ours: &Ours, line: usize) -> Why {
    let agreed = negotiate(offer, None, ours).expect("an answer");
    assert_eq!(agreed.lines[line], Line::Free);
    assert_eq!(agreed.local.media[line].port, 0);
    agreed.refused.get(&line).expect("a reason").clone()
}

#[test]
fn what_does_not_go_with_us_refuses_its_line() {
    let offer = read("chromium", "call-offer");
    let mut ours = server();
    ours.codecs.insert(Kind::Video, vec![world::audio("H266", 90_000, 1, "")]);
    let Why::NoCodec { offered } = why(&offer, &ours, 1) else { panic!("expected no codec") };
    assert!(offered.starts_with("VP8, rtx, "), "{offered}");
    let first = "m=audio";
    assert_eq!(why(&changed("call-offer", first, "m=text"), &server(), 0), Why::NotWanted);
    assert_eq!(why(&changed("call-offer", "a=rtcp-mux\r\n", ""), &server(), 0), Why::NoMux);
    assert_eq!(why(&changed("call-offer", "a=setup:actpass", "a=setup:holdconn"), &server(), 0), Why::NoSetup);
    assert_eq!(why(&changed("call-offer", "a=fingerprint", "a=fingerpaint"), &server(), 0), Why::NoProtection);
    assert_eq!(why(&changed("call-offer", "a=ice-ufrag", "a=nice-ufrag"), &server(), 0), Why::NoIce);
    assert_eq!(why(&changed("call-offer", "a=group", "a=groups"), &server(), 1), Why::NoTransport);
    let protocol = Why::Protocol { kind: "audio".into(), protocol: "RTP/FOO".into() };
    assert_eq!(why(&changed("call-offer", "UDP/TLS/RTP/SAVPF", "RTP/FOO"), &server(), 0), protocol);
    let old = Why::Protocol { kind: "application".into(), protocol: "UDP/DTLS/SCTP".into() };
    assert_eq!(why(&changed("data-offer", "a=sctp-port:5000\r\n", ""), &server(), 0), old);
}

#[test]
fn who_shares_a_transport_may_say_it_once() {
    // RFC 9143 §7.1.3: all but the first m-line.
    let text = text("firefox", "max-bundle-offer");
    let (first, rest) = text.split_once("m=video").expect("two m-lines");
    let transport = ["a=ice-", "a=fingerprint", "a=setup"];
    let silent = rest.split_inclusive('\n').filter(|line| !transport.iter().any(|name| line.starts_with(name)));
    let offer = parse(&format!("{first}m=video{}", silent.collect::<String>())).expect("a description");
    let agreed = negotiate(&offer, None, &server()).expect("an answer");
    assert_eq!(agreed.transports.len(), 1);
    assert_eq!(agreed.transports[0].lines, [0, 1, 2], "{:?}", agreed.refused);
    // The one that says it is refused: it says it nevertheless.
    let mut deaf = server();
    deaf.codecs.remove(&Kind::Audio);
    let agreed = negotiate(&offer, None, &deaf).expect("an answer");
    assert_eq!(agreed.transports[0].lines, [1, 2], "{:?}", agreed.refused);
    assert_eq!(agreed.transports[0].ice.as_ref().map(|ice| ice.credentials.ufrag.as_str()), Some("46e11585"));
}

#[test]
fn a_line_whose_transport_others_share_is_left_idle_rather_than_refused() {
    let deaf = Ours { others: server().others.split_off(1), ..server() };
    for browser in world::BROWSERS {
        for name in ["call-offer", "max-bundle-offer"] {
            let agreed = negotiate(&read(browser, name), None, &deaf).expect("an answer");
            let idle = media(&agreed.lines[0]);
            assert_eq!((idle.direction, agreed.local.media[0].port), (Direction::Inactive, 9), "{browser} {name}");
            assert_eq!(agreed.transports[0].lines[..2], [0, 1], "{browser} {name}");
            assert!(agreed.refused.is_empty(), "{:?}", agreed.refused);
        }
    }
    // Nobody shares it, or nobody who is wanted: then it is refused.
    let blind = Ours { others: server().others.split_off(2), ..server() };
    assert_eq!(why(&read("chromium", "call-offer"), &blind, 0), Why::NotWanted);
    assert_eq!(why(&changed("call-offer", "a=group", "a=groups"), &deaf, 0), Why::NotWanted);
    // Who is not the first of them is refused.
    let blind = Ours { others: server().others.into_iter().filter(|l| l.kind != Kind::Video).collect(), ..server() };
    assert_eq!(why(&read("chromium", "max-bundle-offer"), &blind, 1), Why::NotWanted);
}

#[test]
fn a_role_that_is_agreed_on_stays() {
    let offered = read("chromium", "call-offer");
    let mut ours = server();
    let role = |agreed: &Agreed| match &agreed.transports[0].security {
        Security::Dtls { role, .. } => *role,
        other => panic!("{other:?}"),
    };
    let before = negotiate(&offered, None, &ours).expect("an answer");
    assert_eq!(role(&before), Role::Server);
    ours.transport.dtls.as_mut().expect("DTLS").role = Role::Client;
    assert_eq!(role(&negotiate(&offered, Some(&before), &ours).expect("an answer")), Role::Server);
    assert_eq!(role(&negotiate(&offered, None, &ours).expect("an answer")), Role::Client);
    let passive = changed("call-offer", "actpass", "passive");
    assert_eq!(role(&negotiate(&passive, None, &server()).expect("an answer")), Role::Client);
}

#[test]
fn who_shares_a_transport_has_one_role_in_it() {
    // A line comes to those whose role was agreed on while we liked another.
    let mut ours = server();
    let lines = |agreed: &Agreed| agreed.local.sections().filter_map(|section| section.setup()).collect::<Vec<_>>();
    let audio = text("chromium", "call-offer");
    let (head, _) = audio.split_once("m=video").expect("two m-lines");
    let alone = parse(&head.replace("BUNDLE 0 1", "BUNDLE 0")).expect("a description");
    let before = negotiate(&alone, None, &ours).expect("an answer");
    assert_eq!(lines(&before), [Setup::Passive]);
    ours.transport.dtls.as_mut().expect("DTLS").role = Role::Client;
    let both = negotiate(&read("chromium", "call-offer"), Some(&before), &ours).expect("an answer");
    assert_eq!(lines(&both), [Setup::Passive, Setup::Passive]);
}

#[test]
fn offers_that_contradict_themselves_have_no_answer() {
    let twice = changed("simulcast-offer", "a=mid:1", "a=mid:0");
    let refused = |offer: &Session, before: Option<&Agreed>| negotiate(offer, before, &server()).map(|_| ());
    assert_eq!(refused(&twice, None), Err(Refused::MidTwice { line: 1, got: "0".into() }));
    let before = negotiate(&read("chromium", "call-offer"), None, &server()).expect("an answer");
    let fewer = Err(Refused::FewerLines { expected: 2, got: 1 });
    assert_eq!(refused(&read("chromium", "data-offer"), Some(&before)), fewer);
}

#[test]
fn encodings_that_are_bounded_by_what_is_not_understood_are_not_taken() {
    let offer = changed("simulcast-offer", "a=rid:h send", "a=rid:h send quantum=1");
    let agreed = negotiate(&offer, None, &server()).expect("an answer");
    let taken: Vec<_> = media(&agreed.lines[1]).incoming.layers.iter().map(|rid| rid.as_str()).collect();
    assert_eq!(taken, ["q", "f"]);
    let offer = changed("simulcast-offer", "a=rid:h send", "a=rid:h send pt=118,96;max-width=640");
    let agreed = negotiate(&offer, None, &server()).expect("an answer");
    assert!(agreed.local.to_string().contains("a=rid:h recv pt=96;max-width=640\r\n"));
}

#[test]
fn a_telephone_is_answered_as_it_asks() {
    let offer = parse(TELEPHONE).expect("a description");
    let ours = telephone(OurTransport::plain("203.0.113.5:20000".parse().expect("an address")));
    let agreed = negotiate(&offer, None, &ours).expect("an answer");
    insta::assert_snapshot!("telephone", agreed.local.to_string().replace("\r\n", "\n"));
    let line = media(&agreed.lines[0]);
    let numbers: Vec<_> = line.codecs.iter().map(|codec| (codec.format.name.as_str(), codec.send)).collect();
    assert_eq!(numbers, [("PCMA", 8), ("PCMU", 0), ("telephone-event", 101)]);
    assert_eq!(line.codecs[2].format.parameters.bare(), Some("0-11"));
    assert_eq!((line.pace.ptime, line.mid.as_ref()), (Some(20), None));
    let [transport] = agreed.transports.as_slice() else { panic!("one transport") };
    let place = |port| Some((Host::Ip("198.51.100.7".parse().expect("an address")), port));
    assert_eq!((&transport.destination, &transport.rtcp), (&place(49_170), &place(49_171)));
    assert_eq!(transport.security, Security::Plain);
    assert!(transport.ice.is_none());
}

#[test]
fn a_telephone_with_keys_gets_the_best_suite_of_both() {
    let crypto = "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz\r\n\
        a=crypto:2 AEAD_AES_256_GCM inline:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\r\n\
        a=crypto:3 AEAD_AES_256_GCM inline:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE= UNENCRYPTED_SRTP\r\n";
    let ours = telephone(OurTransport::sdes("203.0.113.5:20000".parse().expect("an address"), keys()));
    // RFC 8643: as good where the offer does not insist.
    for profile in ["RTP/SAVP", "RTP/AVP"] {
        let offer = parse(&format!("{}{crypto}", TELEPHONE.replace("RTP/AVP", profile))).expect("a description");
        let agreed = negotiate(&offer, None, &ours).expect("an answer");
        let Security::Sdes { ours: mine, theirs } = &agreed.transports[0].security else { panic!("keys") };
        assert_eq!((&mine.suite, mine.tag), (&Suite::Aes256Gcm, 2));
        assert_eq!((mine.keys[0].key_and_salt[0], theirs.keys[0].key_and_salt[0]), (7, 1));
    }
    assert_eq!(why(&parse(TELEPHONE).expect("a description"), &ours, 0), Why::NoProtection);
    let insists = parse(&TELEPHONE.replace("RTP/AVP", "RTP/SAVP")).expect("a description");
    let plain = telephone(OurTransport::plain("203.0.113.5:20000".parse().expect("an address")));
    assert_eq!(why(&insists, &plain, 0), Why::NoProtection);
}

#[test]
fn keys_of_an_answer_that_weaken_what_was_offered_are_refused() {
    let at = |port: u16| OurTransport::sdes(format!("203.0.113.5:{port}").parse().expect("an address"), keys());
    let offered = offer(None, &telephone(at(20_000))).expect("an offer");
    let answer = negotiate(&offered, None, &telephone(at(30_000))).expect("an answer").local.to_string();
    let crypto = answer.lines().find(|line| line.starts_with("a=crypto:")).expect("a key");
    for weaker in [" UNENCRYPTED_SRTP", " UNAUTHENTICATED_SRTP", " KDR=1", "|2^20|1:4"] {
        let answer = parse(&answer.replace(crypto, &format!("{crypto}{weaker}"))).expect("a description");
        let refused = accept(&offered, &answer, None).map(|_| ());
        assert_eq!(refused, Err(Refused::NoProtection { line: 0 }), "{weaker}");
    }
}

#[test]
fn of_two_keys_with_one_tag_the_one_that_was_answered_is_meant() {
    let key = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
    let crypto = format!(
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 {key} UNENCRYPTED_SRTP\r\n\
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 {key}\r\n"
    );
    let offer = parse(&format!("{}{crypto}", TELEPHONE.replace("RTP/AVP", "RTP/SAVP"))).expect("a description");
    let ours = telephone(OurTransport::sdes("203.0.113.5:20000".parse().expect("an address"), keys()));
    let agreed = negotiate(&offer, None, &ours).expect("an answer");
    let Security::Sdes { theirs, .. } = &agreed.transports[0].security else { panic!("keys") };
    assert!(theirs.is_usable(), "{theirs:?}");
}

#[test]
fn a_telephone_is_offered_lines_of_their_own() {
    let address = |port: u16| format!("203.0.113.5:{port}").parse().expect("an address");
    let mut ours = telephone(OurTransport::sdes(address(20_000), keys()));
    let video = OurTransport::sdes(address(20_002), keys());
    let video = OurLine { transport: Some(video), ..OurLine::new(Kind::Video, Direction::SendRecv) };
    ours.lines.push(Some(video));
    ours.codecs.insert(Kind::Video, server().codecs[&Kind::Video][..1].to_vec());
    let offered = offer(None, &ours).expect("an offer");
    insta::assert_snapshot!("telephone-offer", offered.to_string().replace("\r\n", "\n"));
    let mut theirs = telephone(OurTransport::sdes(address(30_000), keys()));
    theirs.lines.push(None);
    let answer = negotiate(&offered, None, &theirs).expect("an answer");
    let agreed = accept(&offered, &answer.local, None).expect("agreement");
    assert_eq!((agreed.transports.len(), &agreed.lines[1]), (1, &Line::Free));
    assert_eq!(agreed.transports[0].rtcp, None, "both have rtcp-mux");
}

#[test]
fn a_telephone_holds() {
    let ours = telephone(OurTransport::plain("203.0.113.5:20000".parse().expect("an address")));
    let direction = |offer: &str| {
        let agreed = negotiate(&parse(offer).expect("a description"), None, &ours).expect("an answer");
        let said = agreed.local.section(0).expect("an m-line").direction();
        assert_eq!(media(&agreed.lines[0]).direction, said);
        said
    };
    assert_eq!(direction(TELEPHONE), Direction::SendRecv);
    assert_eq!(direction(&format!("{TELEPHONE}a=sendonly\r\n")), Direction::RecvOnly);
    assert_eq!(direction(&format!("{TELEPHONE}a=inactive\r\n")), Direction::Inactive);
    // RFC 3264 §8.4: as those before it held.
    assert_eq!(direction(&TELEPHONE.replace("198.51.100.7", "0.0.0.0")), Direction::RecvOnly);
}

const TELEPHONE: &str = "v=0\r\n\
    o=alice 2890844526 2890844526 IN IP4 198.51.100.7\r\n\
    s=call\r\n\
    c=IN IP4 198.51.100.7\r\n\
    t=0 0\r\n\
    m=audio 49170 RTP/AVP 0 8 18 101\r\n\
    a=rtpmap:18 G729/8000\r\n\
    a=rtpmap:101 telephone-event/8000\r\n\
    a=fmtp:101 0-11\r\n\
    a=ptime:20\r\n";
