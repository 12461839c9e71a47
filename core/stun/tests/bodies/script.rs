//! The bytes of an input, read as what a step needs.

use std::net::SocketAddr;

use super::world::{World, address};

/// The rest of the input.
pub(super) struct Script<'a> {
    pub(super) rest: &'a [u8],
}

impl<'a> Script<'a> {
    pub(super) fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    pub(super) fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte().unwrap_or(0)).min(self.rest.len());
        let (bytes, rest) = self.rest.split_at(length);
        self.rest = rest;
        bytes
    }

    pub(super) fn attribute(&mut self) -> (u16, &'a [u8]) {
        const KINDS: [u16; 19] = [
            0x000c, 0x000d, 0x0012, 0x0013, 0x0016, 0x0017, 0x0018, 0x0019, 0x001a, 0x0022, 0x8022, 0x7abc, 0x8000,
            0x8030, 0x001b, 0x001e, 0x002a, 0x802f, 0x8032,
        ];
        let kind = KINDS.get(usize::from(self.byte().unwrap_or(0)) % KINDS.len()).copied().unwrap_or(0x000d);
        let value = self.bytes();
        (kind, value.get(..40).unwrap_or(value))
    }

    /// Somebody outside, this host, or an address that one of the machines relays at.
    pub(super) fn peer(&mut self, worlds: &[World]) -> SocketAddr {
        const PEERS: [&str; 7] = [
            "8.8.8.8:9000",
            "8.8.8.9:9000",
            "127.0.0.1:3478",
            "127.0.0.1:22",
            "10.0.0.1:9",
            "[2a00::1]:9",
            "0.0.0.0:9",
        ];
        let choice = usize::from(self.byte().unwrap_or(0));
        let fixed = PEERS.get(choice % 8).map(|text| address(text));
        let live = || worlds.iter().flat_map(|world| world.open.values()).nth(choice / 8 % 8).copied();
        fixed.or_else(live).unwrap_or_else(|| address("8.8.4.4:9"))
    }
}
