//! Peers that are not ours: RSA certificates, stolen certificates, none, no SRTP, no extended master secret. They are played by
//! `rtc-dtls` with settings that ours never has.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use rtc_dtls::config::{ClientAuthType, ConfigBuilder, ExtendedMasterSecretType, HandshakeConfig};
use rtc_dtls::crypto::Certificate;
use rtc_dtls::crypto_provider::{RTCCryptoProvider, SignatureScheme, default_provider};
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_dtls::extension::extension_use_srtp::SrtpProtectionProfile as Profile;
use rtc_shared::TransportProtocol;
use tandem_dtls::{Breadth, Ended, Fingerprint, Identity, Key, Local, Peer, PeerEvent, Role, SrtpKeys, SrtpProfile};

/// Made by `openssl req -x509 -newkey rsa:2048`, for this test.
const RSA: (&[u8], &[u8]) = (include_bytes!("keys/rsa-2048.der"), include_bytes!("keys/rsa-2048.pkcs8"));

fn ecdsa() -> (Vec<u8>, Vec<u8>) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let certificate = rcgen::CertificateParams::new(Vec::new()).expect("names").self_signed(&key).expect("one");
    (certificate.der().to_vec(), key.serialize_der())
}

fn local() -> Local {
    let (certificate, key) = ecdsa();
    Local::new(Identity::new(&certificate, Key::Pkcs8(&key)).expect("an identity")).expect("usable")
}

fn fingerprint(certificate: &[u8]) -> Fingerprint {
    let hash = ring::digest::digest(&ring::digest::SHA256, certificate);
    let digits: Vec<String> = hash.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    Fingerprint::parse(&format!("sha-256 {}", digits.join(":"))).expect("a fingerprint")
}

#[allow(clippy::disallowed_methods, reason = "an instant can only be had from the clock; tests go on from it by hand")]
fn some_instant() -> Instant {
    Instant::now()
}

/// How the foreign one is made.
struct Settings {
    certificate: Vec<u8>,
    key: (SignatureScheme, Vec<u8>),
    shows_certificate: bool,
    profiles: Vec<Profile>,
    extended: ExtendedMasterSecretType,
}

impl Settings {
    fn rsa() -> Self {
        Self {
            certificate: RSA.0.to_vec(),
            key: (SignatureScheme::RsaPkcs1Sha256, RSA.1.to_vec()),
            shows_certificate: true,
            profiles: vec![Profile::Srtp_Aes128_Cm_Hmac_Sha1_80],
            extended: ExtendedMasterSecretType::Require,
        }
    }

    fn ecdsa() -> Self {
        let (certificate, key) = ecdsa();
        Self { certificate, key: (SignatureScheme::EcdsaP256Sha256, key), ..Self::rsa() }
    }

    fn build(&self, is_client: bool) -> Arc<HandshakeConfig> {
        let provider: Arc<dyn RTCCryptoProvider> = default_provider().expect("one");
        let key = provider.crypto().import_signing_key(self.key.0, &self.key.1).expect("a key");
        let certificate = Certificate::from_signing_key(vec![self.certificate.clone().into()], key);
        let config = ConfigBuilder::default()
            .with_crypto_provider(provider)
            .with_certificates(if self.shows_certificate { vec![certificate] } else { Vec::new() })
            .with_srtp_protection_profiles(self.profiles.clone())
            .with_client_auth(ClientAuthType::RequireAnyClientCert)
            .with_extended_master_secret(self.extended)
            .with_insecure_skip_verify(true)
            .build(is_client, None);
        Arc::new(config.expect("settings"))
    }
}

/// Ours and the foreign one, after some time.
struct Met {
    keys: Option<SrtpKeys>,
    connected: bool,
    received: Vec<Vec<u8>>,
    ended: Option<Ended>,
    /// What the foreign one has exported, if it thinks that all is well.
    exported: Option<Vec<u8>>,
}

/// Ours plays this part. What the foreign one says goes through `change` first.
fn meet(breadth: Breadth, role: Role, settings: &Settings, change: fn(Vec<u8>) -> Vec<u8>) -> Met {
    let mut now = some_instant();
    let somewhere: SocketAddr = "192.0.2.1:9".parse().expect("an address");
    let local = local();
    let mut ours = Peer::new(now, &local, role, vec![fingerprint(&settings.certificate)], breadth);
    let foreign_is_client = role == Role::Server;
    let config = settings.build(foreign_is_client);
    let mut foreign =
        Endpoint::new(somewhere, TransportProtocol::UDP, (!foreign_is_client).then(|| Arc::clone(&config)));
    if foreign_is_client {
        foreign.connect(now, somewhere, config, None).expect("begins");
    }
    let mut met = Met { keys: None, connected: false, received: Vec::new(), ended: None, exported: None };
    let mut greeted = false;
    for _ in 0..3_600 {
        loop {
            let mut moved = false;
            loop {
                match ours.poll_output() {
                    PeerEvent::Send(datagram) => {
                        moved = true;
                        let heard = foreign.read(now, somewhere, None, BytesMut::from(datagram));
                        if heard.iter().flatten().any(|event| matches!(event, EndpointEvent::HandshakeComplete)) {
                            let state = foreign.get_connection_state(somewhere).expect("a connection");
                            let material = state.export_keying_material("EXTRACTOR-dtls_srtp", &[], 60);
                            met.exported = Some(material.expect("keys").as_ref().to_vec());
                        }
                    }
                    PeerEvent::Received(data) => met.received.push(data.to_vec()),
                    PeerEvent::Keys(keys) => met.keys = Some(keys),
                    PeerEvent::Connected => met.connected = true,
                    PeerEvent::Ended(why) => met.ended = Some(why),
                    PeerEvent::Wait(_) => break,
                }
            }
            if met.connected && met.exported.is_some() && !greeted {
                greeted = true;
                foreign.write(now, somewhere, b"from afar").expect("a connection");
            }
            while let Some(datagram) = foreign.poll_transmit() {
                moved = true;
                ours.handle_datagram(now, &change(datagram.message.to_vec()));
            }
            if !moved {
                break;
            }
        }
        now += Duration::from_millis(10);
        ours.handle_timeout(now);
        let _ = foreign.handle_timeout(somewhere, now);
    }
    met
}

fn unchanged(datagram: Vec<u8>) -> Vec<u8> {
    datagram
}

fn assert_stands(met: &Met, role: Role) {
    assert!(met.connected && met.ended.is_none(), "{role:?}: {:?}", met.ended);
    let (keys, exported) = (met.keys.as_ref().expect("keys"), met.exported.as_ref().expect("keys over there"));
    assert_eq!(keys.profile, SrtpProfile::Aes128CmSha1_80);
    let client = (exported[..16].to_vec(), exported[32..46].to_vec());
    let server = (exported[16..32].to_vec(), exported[46..60].to_vec());
    let expected = if role == Role::Client { [client, server] } else { [server, client] };
    assert!([keys.ours.clone(), keys.theirs.clone()] == expected, "{role:?}");
    assert_eq!(met.received, [b"from afar".to_vec()]);
}

fn assert_refused(met: &Met, why: &[Ended]) {
    assert!(met.keys.is_none() && !met.connected && met.received.is_empty());
    assert!(met.ended.is_some_and(|ended| why.contains(&ended)), "{:?}", met.ended);
}

#[test]
fn with_everybody_an_rsa_certificate_will_do_and_with_browsers_it_will_not() {
    for role in [Role::Client, Role::Server] {
        assert_stands(&meet(Breadth::Everybody, role, &Settings::rsa(), unchanged), role);
        assert_refused(&meet(Breadth::Browsers, role, &Settings::rsa(), unchanged), &[Ended::Failed]);
    }
}

#[test]
fn an_ecdsa_certificate_will_do_with_both() {
    for (breadth, role) in BOTH {
        assert_stands(&meet(breadth, role, &Settings::ecdsa(), unchanged), role);
    }
}

#[test]
fn a_certificate_without_its_key_gets_nothing() {
    for (breadth, role) in BOTH {
        let stolen = Settings { certificate: ecdsa().0, ..Settings::ecdsa() };
        assert_refused(&meet(breadth, role, &stolen, unchanged), &[Ended::Failed]);
    }
    for role in [Role::Client, Role::Server] {
        // Another modulus: the key that goes with it nobody has.
        let mut stolen = Settings::rsa();
        let at = RSA.0.windows(16).rposition(|bytes| RSA.1.windows(16).any(|own| own == bytes)).expect("a modulus");
        stolen.certificate[at] ^= 2;
        assert_refused(&meet(Breadth::Everybody, role, &stolen, unchanged), &[Ended::Failed]);
    }
}

#[test]
fn whoever_leaves_out_the_proof_gets_nothing() {
    /// Without CertificateVerify, the other messages counted as if there had been none.
    fn without_proof(datagram: Vec<u8>) -> Vec<u8> {
        let (mut rest, mut kept) = (&datagram[..], Vec::new());
        while rest.len() > 13 {
            let end = 13 + usize::from(u16::from_be_bytes([rest[11], rest[12]]));
            if !(rest[0] == 22 && rest[4] == 0 && rest[13] == 15) {
                kept.extend_from_slice(&rest[..end]);
            }
            rest = &rest[end..];
        }
        kept
    }
    for breadth in [Breadth::Browsers, Breadth::Everybody] {
        assert_refused(&meet(breadth, Role::Server, &Settings::ecdsa(), without_proof), &[Ended::Failed]);
    }
    assert_refused(&meet(Breadth::Everybody, Role::Server, &Settings::rsa(), without_proof), &[Ended::Failed]);
}

#[test]
fn a_client_without_a_certificate_gets_nothing() {
    for breadth in [Breadth::Browsers, Breadth::Everybody] {
        let bare = Settings { shows_certificate: false, ..Settings::ecdsa() };
        assert_refused(&meet(breadth, Role::Server, &bare, unchanged), &[Ended::Failed, Ended::WrongCertificate]);
    }
}

#[test]
fn whoever_speaks_no_srtp_of_ours_gets_nothing() {
    for role in [Role::Client, Role::Server] {
        for profiles in [Vec::new(), vec![Profile::Srtp_Aes128_Cm_Hmac_Sha1_32]] {
            let mute = Settings { profiles, ..Settings::rsa() };
            assert_refused(&meet(Breadth::Everybody, role, &mute, unchanged), &[Ended::NoSrtp, Ended::Failed]);
        }
    }
}

#[test]
fn with_everybody_the_extended_master_secret_is_not_demanded() {
    for role in [Role::Client, Role::Server] {
        let old = Settings { extended: ExtendedMasterSecretType::Disable, ..Settings::rsa() };
        assert_stands(&meet(Breadth::Everybody, role, &old, unchanged), role);
    }
}

#[test]
fn what_somebody_in_between_has_changed_gets_nothing() {
    /// One bit of the random of a hello.
    fn changed(mut datagram: Vec<u8>) -> Vec<u8> {
        if datagram[0] == 22 && datagram[4] == 0 && matches!(datagram[13], 1 | 2) {
            datagram[40] ^= 1;
        }
        datagram
    }
    for (breadth, role) in BOTH {
        assert_refused(&meet(breadth, role, &Settings::ecdsa(), changed), &[Ended::Failed]);
    }
}

/// The library behind [`Breadth::Everybody`] puts these together by recursion, which would be the end of the process.
#[test]
fn many_fragments_of_one_byte_overflow_no_stack() {
    let now = some_instant();
    let mut peer = Peer::new(now, &local(), Role::Server, vec![fingerprint(b"somebody")], Breadth::Everybody);
    for offset in (0..100_000_u32).rev() {
        let ([_, length @ ..], [_, offset @ ..]) = (100_000_u32.to_be_bytes(), offset.to_be_bytes());
        let header = [22, 254, 253, 0, 0, 0, 0, 0, offset[0], offset[1], offset[2], 0, 13, 1];
        peer.handle_datagram(now, &[&header[..], &length, &[0, 0], &offset, &[0, 0, 1], &[7]].concat());
        while !matches!(peer.poll_output(), PeerEvent::Wait(_)) {}
    }
    assert!(!peer.is_over());
}

const BOTH: [(Breadth, Role); 4] = [
    (Breadth::Browsers, Role::Client),
    (Breadth::Browsers, Role::Server),
    (Breadth::Everybody, Role::Client),
    (Breadth::Everybody, Role::Server),
];
