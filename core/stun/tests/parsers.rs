//! Properties of the parsers: whatever comes in, they answer; what they write, they read.

use std::net::{IpAddr, SocketAddr};

use proptest::prelude::*;
use stun_types::message::Message;
use tandem_stun::wire::{self, Frame, Head, Packet};
use tandem_stun::{Cidr, credential};
use turn_types::attribute::{Data, XorPeerAddress};

fn any_address() -> impl Strategy<Value = SocketAddr> {
    (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

proptest! {
    #[test]
    fn any_bytes_are_parsed_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        match wire::parse(&bytes) {
            Ok(Packet::Stun(stun) | Packet::Classic(stun)) => {
                let length: usize = stun.attributes().map(|(_, value)| value.len().next_multiple_of(4) + 4).sum();
                prop_assert_eq!(length + wire::HEADER, bytes.len());
            }
            Ok(Packet::Channel { payload, .. }) => prop_assert!(payload.len() + wire::CHANNEL_HEADER <= bytes.len()),
            Err(_) => {}
        }
    }

    #[test]
    fn a_stun_header_with_any_attributes_is_parsed_as_the_library_parses_it(
        parts in prop::collection::vec((any::<u16>(), prop::collection::vec(any::<u8>(), 0..20)), 0..8),
        cut in 0_usize..4,
    ) {
        let mut bytes = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        for (kind, value) in &parts {
            // Integrity and fingerprint have rules of their own there.
            let kind = if matches!(kind, 0x0008 | 0x001c | 0x8028) { 0x8000 } else { *kind };
            bytes.extend(kind.to_be_bytes());
            bytes.extend(u16::try_from(value.len()).unwrap_or(0).to_be_bytes());
            bytes.extend(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        let length = u16::try_from(bytes.len() - 20).unwrap_or(0).to_be_bytes();
        bytes[2..4].copy_from_slice(&length);
        bytes.truncate(bytes.len() - cut);
        let ours = wire::parse(&bytes).is_ok();
        prop_assert_eq!(ours, cut == 0);
        if ours {
            prop_assert_eq!(Message::from_bytes(&bytes).map(|m| m.iter_attributes().count()).ok(), Some(parts.len()));
        }
    }

    #[test]
    fn a_data_indication_is_read_back_by_the_library(
        peer in any_address(), transaction: [u8; 12], payload in prop::collection::vec(any::<u8>(), 0..50)
    ) {
        let length = u16::try_from(payload.len()).unwrap_or(0);
        let head = Head::data_indication(peer, transaction, length).expect("a short payload fits");
        let mut bytes = [head.as_bytes(), &payload].concat();
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        let message = Message::from_bytes(&bytes).expect("a message");
        let read = message.attribute::<XorPeerAddress>().expect("a peer").addr(message.transaction_id());
        prop_assert_eq!(read, peer);
        let data = message.attribute::<Data>().expect("data");
        prop_assert_eq!(data.data(), payload.as_slice());
    }

    #[test]
    fn a_stream_of_frames_is_cut_where_it_was_joined(
        payloads in prop::collection::vec((0x4000_u16..0x8000, prop::collection::vec(any::<u8>(), 0..50)), 0..8)
    ) {
        let mut stream = Vec::new();
        for (number, payload) in &payloads {
            stream.extend(Head::channel_data(*number, u16::try_from(payload.len()).unwrap_or(0)).as_bytes());
            stream.extend(payload);
            stream.resize(stream.len().next_multiple_of(4), 0);
        }
        let (mut rest, mut read) = (stream.as_slice(), Vec::new());
        while let Ok(Frame::Whole { length, padded }) = wire::frame(rest) {
            if let Ok(Packet::Channel { number, payload }) = wire::parse(&rest[..length]) {
                read.push((number, payload.to_vec()));
            }
            rest = &rest[padded..];
        }
        prop_assert_eq!(read, payloads);
        prop_assert!(rest.is_empty());
    }

    #[test]
    fn a_credential_is_taken_apart_as_it_was_made(expiry: u64, user in "[^\\x00]{1,40}") {
        let made = credential::credential(b"secret", expiry, &user);
        prop_assert_eq!(credential::parse_username(&made.username), Some((expiry, user.as_str())));
        prop_assert_eq!(credential::password(b"secret", &made.username), made.password);
    }

    #[test]
    fn a_range_is_printed_as_it_is_parsed(ip: IpAddr, prefix in 0_u8..=128) {
        if let Some(range) = Cidr::new(ip, prefix) {
            prop_assert_eq!(range.to_string().parse::<Cidr>().ok(), Some(range));
            prop_assert!(range.contains(ip));
        }
    }

    #[test]
    fn any_text_is_a_range_or_refused(text in ".{0,60}") {
        let _: Result<Cidr, _> = text.parse();
    }
}
