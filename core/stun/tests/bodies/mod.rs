//! The bodies of the fuzz targets `stun_parse`, `turn_machine` and `stun_client`; `corpus.rs` replays their corpora on every test run.

#![allow(dead_code, reason = "each fuzz target uses its part")]

mod client;
mod machine;
mod script;
#[path = "../world/mod.rs"]
mod world;

pub use client::stun_client;
pub use machine::turn_machine;
use tandem_stun::Cidr;
use tandem_stun::turn::{Forward, canonical_origin};
use tandem_stun::wire::{self, Frame, Packet};
use world::{Client, World, address, channel_data, config, some_instant};

/// Any bytes through the parsers.
pub fn stun_parse(bytes: &[u8]) {
    if let Ok(Packet::Stun(stun) | Packet::Classic(stun)) = wire::parse(bytes) {
        let transaction = stun.transaction();
        for (_, value) in stun.attributes() {
            let _ = wire::read_xor_address(value, &transaction);
        }
    }
    let mut rest = bytes;
    while let Ok(Frame::Whole { length, padded }) = wire::frame(rest) {
        assert!(length <= padded && padded <= rest.len() && padded >= 4);
        let _ = wire::parse(&rest[..length]);
        rest = &rest[padded..];
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        texts(text);
    }
    // The machine must bear the same bytes from somebody unknown.
    let mut world = World::new();
    let place = Client::anonymous("1.2.3.4:1000");
    assert!(matches!(world.packet(place, bytes), Forward::Nothing | Forward::Dropped(_)));
    assert_eq!(world.relay.counters().allocations, 0);
}

/// Texts that people and pages write.
fn texts(text: &str) {
    if let Some(origin) = canonical_origin(text) {
        assert_eq!(canonical_origin(&origin).as_deref(), Some(origin.as_str()), "one text for each origin");
    }
    if let Ok(range) = text.parse::<Cidr>() {
        assert_eq!(range.to_string().parse(), Ok(range));
        let (network, _) = text.split_once('/').unwrap_or((text, ""));
        assert!(range.contains(network.trim().parse().expect("an address")), "its own address lies inside");
    }
}

/// Any bytes as what another process has left behind: refused, or a machine that works, and leaves the same behind again.
pub fn snapshot(bytes: &[u8]) {
    use tandem_stun::turn::Server;
    let now = some_instant();
    let Ok(mut relay) = Server::go_on(config(now), [1; 32], now, bytes) else { return };
    let again = relay.snapshot(now);
    let other = Server::go_on(config(now), [1; 32], now, &again).expect("what it leaves behind is understood");
    assert_eq!((other.relays(), other.census()), (relay.relays(), relay.census()), "and is all there was");
    let (census, known) = (relay.census(), relay.relays());
    assert_eq!((census.allocations, census.deadlines), (known.len(), known.len()));
    for (id, _, client) in known {
        let _ = relay.handle_peer(now, id, address("8.8.8.8:9000"), b"a peer");
        for number in [0x4000, 0x4001, 0x7ffe] {
            let _ = relay.handle_client(now, client, &channel_data(number, b"a client"));
        }
        relay.handle_offloaded(now, id, Default::default());
        while relay.poll_output().is_some() {}
    }
    for end in std::iter::from_fn(|| {
        let end = relay.poll_timeout()?;
        relay.handle_timeout(end);
        while relay.poll_output().is_some() {}
        Some(end)
    }) {
        assert!(end <= now + std::time::Duration::from_secs(3_600), "nothing lives longer than it may");
    }
    assert!(relay.relays().is_empty(), "everything ends");
}
