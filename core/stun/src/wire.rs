//! The bytes of the data path, read and written without allocation: STUN header and attributes, XOR addresses,
//! ChannelData, Send and Data indications, and the framing of streams.
//!
//! ```text
//!   first two bits   00 STUN (RFC 8489 §5)       01 ChannelData (RFC 8656 §12.4)      10, 11 not ours
//! ```
//!
//! Requests go through `stun-types` once [`parse`] has checked that every length in them is true.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What a datagram, or a frame of a stream, holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    /// A STUN message with the magic cookie; its lengths are true.
    Stun(Stun<'a>),
    /// A Binding request of RFC 3489, without the cookie.
    Classic(Stun<'a>),
    /// ChannelData.
    Channel {
        /// 0x4000 to 0x7FFF.
        number: u16,
        /// The application's bytes.
        payload: &'a [u8],
    },
}

/// A STUN message whose header and attribute lengths fit its bytes exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stun<'a> {
    /// Class and method.
    pub kind: u16,
    /// Header and attributes.
    pub bytes: &'a [u8],
}

/// Why bytes are no packet of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Neither STUN nor ChannelData.
    #[error("the first byte is {first:#04x}: neither STUN nor ChannelData")]
    NotOurs {
        /// The first byte; zero if there is none.
        first: u8,
    },
    /// Less than a header.
    #[error("expected at least {expected} bytes, got {got}")]
    TooShort {
        /// Size of the header.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// The length in the header is not the length of the datagram.
    #[error("the header promises {said} bytes, {got} came")]
    Length {
        /// Header included.
        said: usize,
        /// What came.
        got: usize,
    },
    /// No cookie, and not a Binding request of RFC 3489 either.
    #[error("expected the magic cookie")]
    Cookie,
    /// An attribute reaches beyond the message.
    #[error("the attribute at byte {at} reaches beyond the message")]
    Attribute {
        /// Counted from the start of the message.
        at: usize,
    },
}

impl<'a> Stun<'a> {
    /// The 96-bit transaction id.
    pub fn transaction(&self) -> [u8; 12] {
        self.bytes.get(8..).and_then(|rest| rest.first_chunk()).copied().unwrap_or_default()
    }

    /// The attributes in order, up to the end of the message.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { rest: self.bytes.get(HEADER..).unwrap_or_default() }
    }
}

/// Iterates over type and value of attributes; stops at the first that does not fit.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[t0, t1, l0, l1], rest) = self.rest.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        let value = rest.get(..length)?;
        self.rest = rest.get(length.next_multiple_of(4)..)?;
        Some((u16::from_be_bytes([t0, t1]), value))
    }
}

/// Tells what the bytes are, and that every length in them is true.
pub fn parse(bytes: &[u8]) -> Result<Packet<'_>, Malformed> {
    let first = bytes.first().copied().ok_or(Malformed::NotOurs { first: 0 })?;
    match first >> 6 {
        0 => parse_stun(bytes),
        1 => parse_channel_data(bytes),
        _ => Err(Malformed::NotOurs { first }),
    }
}

fn parse_channel_data(bytes: &[u8]) -> Result<Packet<'_>, Malformed> {
    let short = Malformed::TooShort { expected: CHANNEL_HEADER, got: bytes.len() };
    let (&[n0, n1, l0, l1], rest) = bytes.split_first_chunk().ok_or(short)?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    // RFC 8656 §12.6: a length beyond the datagram is discarded; padding after it is tolerated over UDP, too.
    let payload = rest.get(..length).ok_or(Malformed::Length { said: length + CHANNEL_HEADER, got: bytes.len() })?;
    Ok(Packet::Channel { number: u16::from_be_bytes([n0, n1]), payload })
}

fn parse_stun(bytes: &[u8]) -> Result<Packet<'_>, Malformed> {
    let short = Malformed::TooShort { expected: HEADER, got: bytes.len() };
    let (&[t0, t1, l0, l1, c0, c1, c2, c3], _) = bytes.split_first_chunk().ok_or(short)?;
    let said = usize::from(u16::from_be_bytes([l0, l1])) + HEADER;
    if bytes.len() < HEADER {
        return Err(short);
    }
    // The message library reads attributes beyond the header's length: bytes after the end are refused here.
    if said != bytes.len() || !said.is_multiple_of(4) {
        return Err(Malformed::Length { said, got: bytes.len() });
    }
    let stun = Stun { kind: u16::from_be_bytes([t0, t1]), bytes };
    check_attributes(stun)?;
    match [c0, c1, c2, c3] == COOKIE {
        true => Ok(Packet::Stun(stun)),
        false if stun.kind == BINDING_REQUEST => Ok(Packet::Classic(stun)),
        false => Err(Malformed::Cookie),
    }
}

fn check_attributes(stun: Stun<'_>) -> Result<(), Malformed> {
    let mut attributes = stun.attributes();
    while attributes.next().is_some() {}
    match attributes.rest.len() {
        0 => Ok(()),
        left => Err(Malformed::Attribute { at: stun.bytes.len().saturating_sub(left) }),
    }
}

/// The first frame of a stream's bytes, RFC 8656 §12.5: ChannelData is padded to four bytes, STUN always is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// More bytes are needed to tell, or to complete it.
    Partial,
    /// The frame is `[..length]`; the next one begins at `padded`.
    Whole {
        /// Without padding.
        length: usize,
        /// With padding.
        padded: usize,
    },
}

/// Finds the first frame. An error means the stream is lost: there is no way to find the next frame.
pub fn frame(bytes: &[u8]) -> Result<Frame, Malformed> {
    let Some(&[first, _, l0, l1]) = bytes.first_chunk() else {
        return match bytes.first() {
            Some(&first) if first >> 6 > 1 => Err(Malformed::NotOurs { first }),
            _ => Ok(Frame::Partial),
        };
    };
    let announced = usize::from(u16::from_be_bytes([l0, l1]));
    let length = match first >> 6 {
        0 => announced + HEADER,
        1 => announced + CHANNEL_HEADER,
        _ => return Err(Malformed::NotOurs { first }),
    };
    let padded = length.next_multiple_of(4);
    Ok(if bytes.len() < padded { Frame::Partial } else { Frame::Whole { length, padded } })
}

/// Reads an XOR address, RFC 8489 §14.2.
pub fn read_xor_address(value: &[u8], transaction: &[u8; 12]) -> Option<SocketAddr> {
    let (&[_, family, p0, p1], address) = value.split_first_chunk()?;
    let port = u16::from_be_bytes([p0, p1]) ^ u16::from_be_bytes([COOKIE[0], COOKIE[1]]);
    let ip = match (family, address.len()) {
        (FAMILY_V4, 4) => {
            let bits = u32::from_be_bytes(*address.first_chunk()?) ^ u32::from_be_bytes(COOKIE);
            IpAddr::V4(Ipv4Addr::from_bits(bits))
        }
        (FAMILY_V6, 16) => {
            let bits = u128::from_be_bytes(*address.first_chunk()?) ^ v6_mask(transaction);
            IpAddr::V6(Ipv6Addr::from_bits(bits))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn v6_mask(transaction: &[u8; 12]) -> u128 {
    let mut mask = [0; 16];
    let (cookie, rest) = mask.split_at_mut(4);
    cookie.copy_from_slice(&COOKIE);
    rest.copy_from_slice(transaction);
    u128::from_be_bytes(mask)
}

/// The bytes in front of a payload: a ChannelData header, or a Data indication up to its DATA attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    bytes: [u8; 48],
    length: u8,
}

impl Head {
    /// Nothing in front.
    pub const EMPTY: Self = Self { bytes: [0; 48], length: 0 };

    /// The bytes to send first.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length.into()).unwrap_or_default()
    }

    /// ChannelData, RFC 8656 §12.4.
    pub fn channel_data(number: u16, payload: u16) -> Self {
        let mut head = Self::EMPTY;
        head.push(&number.to_be_bytes());
        head.push(&payload.to_be_bytes());
        head
    }

    /// A Data indication, RFC 8656 §11.4. `None`: the payload does not fit a STUN message.
    pub fn data_indication(peer: SocketAddr, transaction: [u8; 12], payload: u16) -> Option<Self> {
        Self::indication(DATA_INDICATION, peer, transaction, payload)
    }

    /// A Send indication, RFC 8656 §11.1. `None`: the payload does not fit a STUN message.
    pub fn send_indication(peer: SocketAddr, transaction: [u8; 12], payload: u16) -> Option<Self> {
        Self::indication(SEND_INDICATION, peer, transaction, payload)
    }

    fn indication(kind: u16, peer: SocketAddr, transaction: [u8; 12], payload: u16) -> Option<Self> {
        let (family, address_length) = match peer {
            SocketAddr::V4(_) => (FAMILY_V4, 8_u16),
            SocketAddr::V6(_) => (FAMILY_V6, 20_u16),
        };
        let length = payload.checked_next_multiple_of(4)?.checked_add(address_length + 8)?;
        let port = peer.port() ^ u16::from_be_bytes([COOKIE[0], COOKIE[1]]);
        let mut head = Self::EMPTY;
        head.push(&kind.to_be_bytes());
        head.push(&length.to_be_bytes());
        head.push(&COOKIE);
        head.push(&transaction);
        head.push(&XOR_PEER_ADDRESS.to_be_bytes());
        head.push(&address_length.to_be_bytes());
        head.push(&[0, family]);
        head.push(&port.to_be_bytes());
        match peer.ip() {
            IpAddr::V4(ip) => head.push(&(ip.to_bits() ^ u32::from_be_bytes(COOKIE)).to_be_bytes()),
            IpAddr::V6(ip) => head.push(&(ip.to_bits() ^ v6_mask(&transaction)).to_be_bytes()),
        }
        head.push(&DATA.to_be_bytes());
        head.push(&payload.to_be_bytes());
        Some(head)
    }

    /// At most 48 bytes are ever pushed: 20 of the header, 24 of an IPv6 address, 4 in front of the data.
    fn push(&mut self, bytes: &[u8]) {
        let start = usize::from(self.length);
        if let Some(place) = self.bytes.get_mut(start..start + bytes.len()) {
            place.copy_from_slice(bytes);
            self.length = self.length.saturating_add(u8::try_from(bytes.len()).unwrap_or(u8::MAX));
        }
    }
}

/// Size of a STUN header.
pub const HEADER: usize = 20;
/// Size of a ChannelData header.
pub const CHANNEL_HEADER: usize = 4;
/// RFC 8489 §5.
pub const COOKIE: [u8; 4] = 0x2112_A442_u32.to_be_bytes();

pub(crate) const BINDING_REQUEST: u16 = 0x0001;
pub(crate) const SEND_INDICATION: u16 = 0x0016;
pub(crate) const DATA_INDICATION: u16 = 0x0017;

pub(crate) const XOR_PEER_ADDRESS: u16 = 0x0012;
pub(crate) const DATA: u16 = 0x0013;

pub(crate) const FAMILY_V4: u8 = 1;
pub(crate) const FAMILY_V6: u8 = 2;
