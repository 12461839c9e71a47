//! The test vectors of RFC 5769, through our own parser and through the message library we sign and verify with.

use stun_types::attribute::Userhash;
use stun_types::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageIntegrityCredentials, ShortTermCredentials,
};
use tandem_stun::integrity::{self, Algorithm, Integrity, Key};
use tandem_stun::vectors::{LONG_TERM, REQUEST, RESPONSE_V4, RESPONSE_V6, SHA256, checks};
use tandem_stun::wire::{self, Packet, Stun};

fn stun(bytes: &[u8]) -> Stun<'_> {
    match wire::parse(bytes) {
        Ok(Packet::Stun(stun)) => stun,
        other => panic!("expected a STUN message, got {other:?}"),
    }
}

fn value(stun: Stun<'_>, wanted: u16) -> &[u8] {
    stun.attributes().find(|&(kind, _)| kind == wanted).expect("the attribute").1
}

fn verify(bytes: &[u8], credentials: &MessageIntegrityCredentials) {
    let message = Message::from_bytes(bytes).expect("a message with a good fingerprint");
    assert_eq!(message.validate_integrity(credentials).ok(), Some(IntegrityAlgorithm::Sha1));
    let mut changed = bytes.to_vec();
    changed[8] ^= 1;
    let forged = Message::from_bytes(&changed).map(|message| message.validate_integrity(credentials).is_ok());
    assert_ne!(forged, Ok(true), "a changed message must not verify");
}

fn short_term() -> MessageIntegrityCredentials {
    ShortTermCredentials::new("VOkJxbRl1RmTxUk/WvJxBt".to_owned()).into()
}

#[test]
fn every_check_that_a_user_can_run_holds() {
    let failed: Vec<_> = checks().into_iter().filter(|check| !check.holds).collect();
    assert!(failed.is_empty() && checks().len() >= 18, "{failed:?}");
}

#[test]
fn the_sample_request_of_section_2_1_is_read_and_verified() {
    let parsed = stun(&REQUEST);
    assert_eq!(parsed.kind, 0x0001);
    assert_eq!(parsed.transaction(), *b"\xb7\xe7\xa7\x01\xbc\x34\xd6\x86\xfa\x87\xdf\xae");
    assert_eq!(value(parsed, 0x0006), b"evtj:h6vY");
    assert_eq!(parsed.attributes().count(), 6);
    verify(&REQUEST, &short_term());
}

/// RFC 8489, appendix B.1 (with erratum 6268): "マトリックス" of example.org, whose password is "TheMatrIX" when prepared.
#[test]
fn the_sample_of_rfc_8489_is_verified_and_its_userhash_is_ours() {
    let parsed = stun(&SHA256);
    let user = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
    let key = |algorithm, password| Key::long_term(algorithm, user, "example.org", password);
    assert_eq!(Integrity::of(parsed), Some(Integrity::Sha256));
    assert!(integrity::verify(parsed, Integrity::Sha256, &key(Algorithm::Sha256, "TheMatrIX")));
    assert!(!integrity::verify(parsed, Integrity::Sha256, &key(Algorithm::Sha256, "TheMatrix")));
    assert!(!integrity::verify(parsed, Integrity::Sha256, &key(Algorithm::Md5, "TheMatrIX")));
    assert!(!integrity::verify(parsed, Integrity::Sha1, &key(Algorithm::Sha256, "TheMatrIX")));
    assert_eq!(value(parsed, 0x001e), Userhash::compute(user, "example.org"));
    for index in 0..SHA256.len() - 32 {
        let mut changed = SHA256;
        changed[index] ^= 1;
        let Ok(Packet::Stun(changed)) = wire::parse(&changed) else { continue };
        let holds = integrity::verify(changed, Integrity::Sha256, &key(Algorithm::Sha256, "TheMatrIX"));
        assert!(!holds, "byte {index} is not covered");
    }
}

/// RFC 5769 §2.4 by our own integrity, too.
#[test]
fn long_term_and_short_term_samples_are_verified_and_made_again_by_our_own_integrity() {
    let user = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}";
    let long = Key::long_term(Algorithm::Md5, user, "example.org", "TheMatrIX");
    assert!(integrity::verify(stun(&LONG_TERM), Integrity::Sha1, &long));
    let short = Key::from_bytes(b"VOkJxbRl1RmTxUk/WvJxBt");
    for bytes in [&REQUEST[..], &RESPONSE_V4, &RESPONSE_V6] {
        assert!(integrity::verify(stun(bytes), Integrity::Sha1, &short));
    }
    let mut bare = LONG_TERM[..LONG_TERM.len() - 24].to_vec();
    bare[3] -= 24;
    assert_eq!(integrity::protect(bare, Integrity::Sha1, &long).as_deref(), Some(&LONG_TERM[..]));
}

#[test]
fn the_addresses_of_sections_2_2_and_2_3_are_read_and_verified() {
    for (bytes, address) in
        [(&RESPONSE_V4[..], "192.0.2.1:32853"), (&RESPONSE_V6[..], "[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
    {
        let parsed = stun(bytes);
        let read = wire::read_xor_address(value(parsed, 0x0020), &parsed.transaction());
        assert_eq!(read, address.parse().ok());
        verify(bytes, &short_term());
    }
}

#[test]
fn the_long_term_request_of_section_2_4_is_read_and_verified() {
    let user = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}".to_owned();
    assert_eq!(value(stun(&LONG_TERM), 0x0006), user.as_bytes());
    let credentials = LongTermKeyCredentials::new(user, "TheMatrIX".to_owned(), "example.org".to_owned());
    verify(&LONG_TERM, &credentials.into());
}
