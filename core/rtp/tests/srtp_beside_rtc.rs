//! Ours beside `rtc-srtp`: what either protects the other reads, in all suites and both ways.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use rtc_srtp::context::Context;
use rtc_srtp::protection_profile::ProtectionProfile;
use tandem_rtp::srtp::{Master, Receiver, Sender, Suite};

const SUITES: [(Suite, ProtectionProfile); 6] = [
    (Suite::AeadAes128Gcm, ProtectionProfile::AeadAes128Gcm),
    (Suite::AeadAes256Gcm, ProtectionProfile::AeadAes256Gcm),
    (Suite::Aes128CmSha1_80, ProtectionProfile::Aes128CmHmacSha1_80),
    (Suite::Aes128CmSha1_32, ProtectionProfile::Aes128CmHmacSha1_32),
    (Suite::Aes256CmSha1_80, ProtectionProfile::Aes256CmHmacSha1_80),
    (Suite::Aes256CmSha1_32, ProtectionProfile::Aes256CmHmacSha1_32),
];

fn material(suite: Suite) -> Vec<u8> {
    (1..).map(|byte: u8| byte.wrapping_mul(37)).take(suite.key_length() + suite.salt_length()).collect()
}

fn theirs(suite: Suite, profile: ProtectionProfile) -> Context {
    let material = material(suite);
    let (key, salt) = material.split_at(suite.key_length());
    let provider = rtc_crypto::default_provider().unwrap();
    Context::new(key, salt, profile, None, None, provider.crypto()).unwrap()
}

/// Sizes around blocks, with and without an extension, across a rollover.
fn packets() -> impl Iterator<Item = Vec<u8>> {
    (0_u16..40).map(|step| {
        let extended = step % 3 == 0;
        let mut packet = vec![if extended { 0x90 } else { 0x80 }, 111];
        packet.extend(65_520_u16.wrapping_add(step).to_be_bytes());
        packet.extend([0, 0, 9, 9, 1, 2, 3, 4]);
        if extended {
            packet.extend([0xbe, 0xde, 0, 1, 0x10, 0xaa, 0, 0]);
        }
        packet.extend((0..usize::from(step) * 31).map(|place| u8::try_from(place % 251).unwrap()));
        packet
    })
}

fn reports() -> impl Iterator<Item = Vec<u8>> {
    (0_u8..20).map(|words| [&[0x80, 201, 0, words + 1, 1, 2, 3, 4][..], &vec![words; 4 * usize::from(words)]].concat())
}

#[test]
fn they_read_what_we_protect() {
    for (suite, profile) in SUITES {
        let mut sender = Sender::new(&Master::new(suite, &material(suite)).unwrap(), 4);
        let mut theirs = theirs(suite, profile);
        for plain in packets() {
            let mut buffer = [plain.as_slice(), &[0; 20]].concat();
            let length = sender.protect_rtp(&mut buffer, plain.len()).unwrap();
            assert_eq!(theirs.decrypt_rtp(&buffer[..length]).unwrap(), plain, "{suite:?}");
        }
        for plain in reports() {
            let mut buffer = [plain.as_slice(), &[0; 20]].concat();
            let length = sender.protect_rtcp(&mut buffer, plain.len()).unwrap();
            assert_eq!(theirs.decrypt_rtcp(&buffer[..length]).unwrap(), plain, "{suite:?}");
        }
    }
}

#[test]
fn we_read_what_they_protect() {
    for (suite, profile) in SUITES {
        let mut receiver = Receiver::new(&Master::new(suite, &material(suite)).unwrap(), 4);
        let mut theirs = theirs(suite, profile);
        for plain in packets() {
            let mut packet = theirs.encrypt_rtp(&plain).unwrap().to_vec();
            let length = receiver.unprotect_rtp(&mut packet).unwrap();
            assert_eq!(packet[..length], plain, "{suite:?}");
        }
        for plain in reports() {
            let mut packet = theirs.encrypt_rtcp(&plain).unwrap().to_vec();
            let length = receiver.unprotect_rtcp(&mut packet).unwrap();
            assert_eq!(packet[..length], plain, "{suite:?}");
        }
    }
}

#[test]
fn both_make_the_same_bytes_of_media() {
    for (suite, profile) in SUITES {
        let mut sender = Sender::new(&Master::new(suite, &material(suite)).unwrap(), 4);
        let mut theirs = theirs(suite, profile);
        for plain in packets() {
            let mut buffer = [plain.as_slice(), &[0; 20]].concat();
            let length = sender.protect_rtp(&mut buffer, plain.len()).unwrap();
            assert_eq!(theirs.encrypt_rtp(&plain).unwrap(), buffer[..length], "{suite:?}");
        }
    }
}
