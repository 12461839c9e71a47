//! What the program and we agree on, word by word: the structures of `bpf/relay.c`.

use std::net::{IpAddr, SocketAddr};

/// Which packets.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    source: [u8; 16],
    target: [u8; 16],
    source_port: [u8; 2],
    target_port: [u8; 2],
    channel: u16,
    zero: u16,
}

/// What becomes of them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flow {
    source: [u8; 16],
    target: [u8; 16],
    source_port: [u8; 2],
    target_port: [u8; 2],
    channel: u16,
    inside: u16,
    here: u32,
    back: u32,
    bucket: u32,
    zero: u32,
}

// SAFETY: plain bytes and numbers without padding: 40 bytes.
unsafe impl aya::Pod for Key {}
// SAFETY: plain bytes and numbers without padding: 56 bytes.
unsafe impl aya::Pod for Flow {}

const _: () = assert!(size_of::<Key>() == 40 && size_of::<Flow>() == 56);

/// From and to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    pub(crate) source: SocketAddr,
    pub(crate) target: SocketAddr,
}

impl Key {
    /// Channel 0: a packet of a peer.
    pub(crate) fn new(ends: Ends, channel: u16) -> Self {
        Self {
            source: bytes(ends.source.ip()),
            target: bytes(ends.target.ip()),
            source_port: ends.source.port().to_be_bytes(),
            target_port: ends.target.port().to_be_bytes(),
            channel,
            zero: 0,
        }
    }
}

impl Flow {
    /// Channel 0: nothing is put in front.
    pub(crate) fn new(ends: Ends, channel: u16, inside: bool) -> Self {
        Self {
            source: bytes(ends.source.ip()),
            target: bytes(ends.target.ip()),
            source_port: ends.source.port().to_be_bytes(),
            target_port: ends.target.port().to_be_bytes(),
            channel,
            inside: inside.into(),
            here: 0,
            back: 0,
            bucket: 0,
            zero: 0,
        }
    }

    /// Where it is counted, where the other direction is, and which bucket it takes from.
    pub(crate) fn counted(self, here: u32, back: u32, bucket: u32) -> Self {
        Self { here, back, bucket, ..self }
    }
}

/// IPv4 as `::ffff:a.b.c.d`.
fn bytes(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// Words of `struct direction`.
pub(crate) mod direction {
    pub(crate) const WORDS: usize = 7;
    pub(crate) const PACKETS: usize = 0;
    pub(crate) const BYTES: usize = 1;
    pub(crate) const DROPPED: usize = 2;
    pub(crate) const EXPIRES: usize = 3;
}

/// Words of `struct bucket`.
pub(crate) mod bucket {
    pub(crate) const WORDS: usize = 4;
    pub(crate) const FULL_AT: usize = 0;
    pub(crate) const BYTE: usize = 1;
    pub(crate) const BURST: usize = 2;
}
