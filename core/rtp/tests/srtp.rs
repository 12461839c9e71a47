//! A sender and a receiver back to back: what passes, what is refused, and what a stranger cannot make us remember.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use tandem_rtp::srtp::{Master, Receiver, Refused, Sender, Suite};
use tandem_rtp::{Malformed, Ssrc};

const SSRC: u32 = 0xcafe_babe;

fn master(suite: Suite) -> Master {
    let material: Vec<u8> = (0..).take(suite.key_length() + suite.salt_length()).collect();
    Master::new(suite, &material).unwrap()
}

fn pair(suite: Suite) -> (Sender, Receiver) {
    (Sender::new(&master(suite), 4), Receiver::new(&master(suite), 4))
}

/// With an extension and a contributing source, so that the header is not of one size only.
fn media(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut packet = vec![0x91, 96];
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 0, 0, 1]);
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0, 0, 0, 7, 0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0]);
    packet.extend((0..100).map(|byte| byte ^ sequence.to_be_bytes()[1]));
    packet
}

fn control(ssrc: u32) -> Vec<u8> {
    [&[0x81, 201, 0, 7][..], &ssrc.to_be_bytes(), &[5; 24]].concat()
}

fn protect(sender: &mut Sender, packet: &[u8]) -> Vec<u8> {
    let mut buffer = [packet, &[0; 16]].concat();
    let length = sender.protect_rtp(&mut buffer, packet.len()).unwrap();
    buffer.truncate(length);
    buffer
}

fn protect_control(sender: &mut Sender, packet: &[u8]) -> Vec<u8> {
    let mut buffer = [packet, &[0; 20]].concat();
    let length = sender.protect_rtcp(&mut buffer, packet.len()).unwrap();
    buffer.truncate(length);
    buffer
}

#[test]
fn what_one_protects_the_other_reads() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        for sequence in 0..3 {
            let plain = media(SSRC, sequence);
            let mut packet = protect(&mut sender, &plain);
            assert_eq!(packet[..24], plain[..24], "the header stays readable");
            assert_ne!(packet[24..124], plain[24..]);
            assert_eq!(receiver.unprotect_rtp(&mut packet), Ok(plain.len()), "{suite:?}");
            assert_eq!(packet[..plain.len()], plain);
            let plain = control(SSRC);
            let mut packet = protect_control(&mut sender, &plain);
            assert_eq!(packet.len(), plain.len() + suite.rtcp_overhead());
            assert_eq!(receiver.unprotect_rtcp(&mut packet), Ok(plain.len()), "{suite:?}");
            assert_eq!(packet[..plain.len()], plain);
        }
    }
}

#[test]
fn empty_payloads_are_packets_too() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let mut packet = protect(&mut sender, &media(SSRC, 1)[..24]);
        assert_eq!(receiver.unprotect_rtp(&mut packet), Ok(24));
        let mut packet = protect_control(&mut sender, &control(SSRC)[..8]);
        assert_eq!(receiver.unprotect_rtcp(&mut packet), Ok(8));
    }
}

#[test]
fn every_changed_bit_is_noticed() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let (media, control) = (protect(&mut sender, &media(SSRC, 5)), protect_control(&mut sender, &control(SSRC)));
        for place in 0..media.len() * 8 {
            let mut changed = media.clone();
            changed[place / 8] ^= 1 << (place % 8);
            assert!(receiver.unprotect_rtp(&mut changed).is_err(), "{suite:?} media bit {place}");
        }
        for place in 0..control.len() * 8 {
            let mut changed = control.clone();
            changed[place / 8] ^= 1 << (place % 8);
            assert!(receiver.unprotect_rtcp(&mut changed).is_err(), "{suite:?} control bit {place}");
        }
        assert_eq!(receiver.streams(), (0, 0), "a forged packet leaves nothing behind");
        for length in 0..media.len() {
            assert!(receiver.unprotect_rtp(&mut media[..length].to_vec()).is_err());
        }
        for length in 0..control.len() {
            assert!(receiver.unprotect_rtcp(&mut control[..length].to_vec()).is_err());
        }
        assert!(
            receiver.unprotect_rtp(&mut media.clone()).is_ok() && receiver.unprotect_rtcp(&mut control.clone()).is_ok()
        );
    }
}

#[test]
fn a_packet_passes_once() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let sent: Vec<_> = (0..2_000).map(|sequence| protect(&mut sender, &media(SSRC, sequence))).collect();
        for index in [0, 5, 3, 1_999, 976] {
            assert!(receiver.unprotect_rtp(&mut sent[index].clone()).is_ok(), "{index}");
            assert_eq!(receiver.unprotect_rtp(&mut sent[index].clone()), Err(Refused::Replayed), "{index}");
        }
        assert_eq!(receiver.unprotect_rtp(&mut sent[975].clone()), Err(Refused::TooOld));
        let control = protect_control(&mut sender, &control(SSRC));
        assert!(receiver.unprotect_rtcp(&mut control.clone()).is_ok());
        assert_eq!(receiver.unprotect_rtcp(&mut control.clone()), Err(Refused::Replayed));
    }
}

#[test]
fn a_sender_uses_no_index_twice() {
    let (mut sender, _) = pair(Suite::AeadAes128Gcm);
    protect(&mut sender, &media(SSRC, 7));
    let mut again = [media(SSRC, 7), vec![0; 16]].concat();
    assert_eq!(sender.protect_rtp(&mut again, 124), Err(Refused::Replayed));
    assert_eq!(again[..124], media(SSRC, 7), "and leaves it alone");
    protect(&mut sender, &media(SSRC, 6));
    protect(&mut sender, &media(SSRC, 6 + 2_000));
    let mut old = [media(SSRC, 5), vec![0; 16]].concat();
    assert_eq!(sender.protect_rtp(&mut old, 124), Err(Refused::TooOld));
}

#[test]
fn the_rollover_counter_follows_the_sequence_numbers() {
    for suite in [Suite::AeadAes128Gcm, Suite::Aes128CmSha1_80] {
        let (mut sender, mut receiver) = pair(suite);
        let sent: Vec<_> =
            (0..=40_u16).map(|step| protect(&mut sender, &media(SSRC, 65_516_u16.wrapping_add(step)))).collect();
        assert_eq!(sender.rollover(Ssrc(SSRC)), Some(1));
        // Late ones belong to the rollover before, early ones to the one after.
        for index in [0, 25, 10, 40, 19, 20, 18] {
            assert!(receiver.unprotect_rtp(&mut sent[index].clone()).is_ok(), "{suite:?} {index}");
        }
        assert_eq!(receiver.rollover(Ssrc(SSRC)), Some(1));
        let (mut late, mut knowing) = (pair(suite).1, pair(suite).1);
        assert_eq!(late.unprotect_rtp(&mut sent[30].clone()), Err(Refused::Forged), "who comes late cannot know");
        knowing.go_on(Ssrc(SSRC), 1, 9).unwrap();
        assert!(
            knowing.unprotect_rtp(&mut sent[29].clone()).is_ok() && knowing.unprotect_rtp(&mut sent[5].clone()).is_ok()
        );
    }
}

#[test]
fn many_rollovers_pass() {
    let (mut sender, mut receiver) = pair(Suite::AeadAes128Gcm);
    let mut sequence = 1_u16;
    for _ in 0..50 {
        let plain = media(SSRC, sequence);
        let mut packet = protect(&mut sender, &plain);
        assert!(receiver.unprotect_rtp(&mut packet).is_ok());
        sequence = sequence.wrapping_add(20_000);
    }
    assert_eq!(receiver.rollover(Ssrc(SSRC)), Some(49 * 20_000 / 65_536));
}

#[test]
fn only_so_many_streams_are_remembered() {
    for suite in [Suite::AeadAes128Gcm, Suite::Aes128CmSha1_80] {
        let mut sender = Sender::new(&master(suite), 10);
        let mut receiver = Receiver::new(&master(suite), 4);
        let full = Err(Refused::TooManyStreams { limit: 4 });
        for ssrc in 0..6 {
            let result = receiver.unprotect_rtp(&mut protect(&mut sender, &media(ssrc, 1)));
            assert_eq!(result, if ssrc < 4 { Ok(124) } else { full });
            let result = receiver.unprotect_rtcp(&mut protect_control(&mut sender, &control(ssrc)));
            assert_eq!(result, if ssrc < 4 { Ok(32) } else { full });
        }
        assert_eq!(receiver.streams(), (4, 4));
        assert_eq!(receiver.unprotect_rtp(&mut protect(&mut sender, &media(0, 2))), Ok(124), "those there go on");
        receiver.forget(Ssrc(3));
        assert_eq!(receiver.unprotect_rtp(&mut protect(&mut sender, &media(5, 2))), Ok(124));
        assert_eq!(receiver.go_on(Ssrc(9), 0, 0), Err(Refused::TooManyStreams { limit: 4 }));
    }
}

#[test]
fn keys_of_the_two_directions_and_of_other_suites_do_not_fit() {
    let (mut sender, _) = pair(Suite::AeadAes128Gcm);
    let packet = protect(&mut sender, &media(SSRC, 1));
    let other = Master::new(Suite::AeadAes128Gcm, &[1; 28]).unwrap();
    assert_eq!(Receiver::new(&other, 4).unprotect_rtp(&mut packet.clone()), Err(Refused::Forged));
    let (_, mut receiver) = pair(Suite::Aes128CmSha1_80);
    assert_eq!(receiver.unprotect_rtp(&mut packet.clone()), Err(Refused::Forged));
}

#[test]
fn a_buffer_without_room_is_refused() {
    let (mut sender, _) = pair(Suite::AeadAes128Gcm);
    let mut packet = media(SSRC, 1);
    packet.extend([0; 15]);
    assert_eq!(sender.protect_rtp(&mut packet, 124), Err(Refused::NoRoom { expected: 140, got: 139 }));
    assert_eq!(
        sender.protect_rtp(&mut packet, usize::MAX).unwrap_err(),
        Refused::NoRoom { expected: usize::MAX, got: 139 }
    );
    let mut packet = [control(SSRC), vec![0; 19]].concat();
    assert_eq!(sender.protect_rtcp(&mut packet, 32), Err(Refused::NoRoom { expected: 52, got: 51 }));
    let mut nothing = [0; 40];
    assert_eq!(sender.protect_rtp(&mut nothing, 12), Err(Refused::Malformed(Malformed::Version { got: 0 })));
    assert_eq!(sender.protect_rtcp(&mut nothing, 7), Err(Refused::TooShort { expected: 8, got: 7 }));
    assert_eq!(sender.protect_rtcp(&mut nothing, 8), Err(Refused::Malformed(Malformed::Version { got: 0 })));
}
