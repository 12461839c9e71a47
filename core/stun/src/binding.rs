//! Answers to Binding requests: RFC 8489 §2, RFC 5780 where discovery is on, and, for clients without the magic cookie, RFC 3489 §8.
//!
//! Nobody authenticates and nothing is kept. How often a source is answered is the caller's business.

use std::net::{IpAddr, SocketAddr};

use stun_types::attribute::{
    Attribute, AttributeStaticType, AttributeType, AttributeWrite, ErrorCode, Fingerprint, RawAttribute,
    UnknownAttributes, XorMappedAddress,
};
use stun_types::message::{
    Message, MessageClass, MessageType, MessageWrite, MessageWriteExt, MessageWriteVec, StunWriteError,
};

use crate::discovery::{CHANGE_REQUEST, Discovery, PADDING, RESPONSE_PORT, Wanted};
use crate::turn::{External, FiveTuple};
use crate::wire::{BINDING_REQUEST, FAMILY_V4, FAMILY_V6, Stun};

/// An answer: where it goes, and its bytes.
pub(crate) type Answer = (FiveTuple, Vec<u8>);

/// The answer to a Binding request with the magic cookie.
pub(crate) fn answer(
    request: &Message<'_>,
    from: FiveTuple,
    (discovery, external): (Option<&Discovery>, &External),
) -> Result<Answer, StunWriteError> {
    let fingerprint = request.has_attribute(Fingerprint::TYPE);
    let known: &[u16] = if discovery.is_some() { &[CHANGE_REQUEST, RESPONSE_PORT, PADDING] } else { &[] };
    let known: Vec<AttributeType> = known.iter().copied().map(AttributeType::new).collect();
    let unknown = unknown_attributes(request, &known);
    if !unknown.is_empty() {
        let code = ErrorCode::builder(ErrorCode::UNKNOWN_ATTRIBUTE).reason("").build()?;
        let attributes: [&dyn AttributeWrite; 2] = [&code, &UnknownAttributes::new(&unknown)];
        return Ok((from, write(request, MessageClass::Error, &attributes, fingerprint)?));
    }
    let stun = Stun { kind: BINDING_REQUEST, bytes: request.as_bytes() };
    let way =
        discovery.map(|discovery| discovery.way(from, Wanted::parse(stun)?, external)).transpose().map(Option::flatten);
    let Ok(way) = way else {
        let code = ErrorCode::builder(ErrorCode::BAD_REQUEST).reason("").build()?;
        return Ok((from, write(request, MessageClass::Error, &[&code], fingerprint)?));
    };
    let mapped = XorMappedAddress::new(from.client, request.transaction_id());
    let Some(way) = way else { return Ok((from, write(request, MessageClass::Success, &[&mapped], fingerprint)?)) };
    let (origin, other) = (mapped_address(way.origin), mapped_address(way.other));
    let origin = RawAttribute::new(RESPONSE_ORIGIN.into(), &origin);
    let other = RawAttribute::new(OTHER_ADDRESS.into(), &other);
    let zeros = vec![0; way.padding.unwrap_or_default()];
    let padding = way.padding.map(|_| RawAttribute::new(PADDING.into(), &zeros));
    let mut attributes: Vec<&dyn AttributeWrite> = vec![&mapped, &origin, &other];
    attributes.extend(padding.as_ref().map(|padding| padding as &dyn AttributeWrite));
    Ok((way.to, write(request, MessageClass::Success, &attributes, fingerprint)?))
}

fn write(
    request: &Message<'_>,
    class: MessageClass,
    attributes: &[&dyn AttributeWrite],
    fingerprint: bool,
) -> Result<Vec<u8>, StunWriteError> {
    let kind = MessageType::from_class_method(class, request.method());
    let mut message = Message::builder(kind, request.transaction_id(), MessageWriteVec::new());
    for attribute in attributes {
        message.add_attribute(*attribute)?;
    }
    if fingerprint {
        message.add_fingerprint()?;
    }
    Ok(message.finish())
}

/// Comprehension-required attributes (RFC 8489 §14) that neither STUN itself nor the caller's `known` list covers.
pub(crate) fn unknown_attributes(request: &Message<'_>, known: &[AttributeType]) -> Vec<AttributeType> {
    let is_unknown = |kind: &AttributeType| {
        kind.comprehension_required() && !STUN_ATTRIBUTES.contains(&kind.value()) && !known.contains(kind)
    };
    let mut unknown: Vec<_> =
        request.iter_attributes().map(|(_, attribute)| attribute.get_type()).filter(is_unknown).collect();
    unknown.truncate(MAX_UNKNOWN_LISTED);
    unknown
}

/// The answer to an RFC 3489 Binding request. Without discovery it cannot change address or port, and nobody can have it
/// sent elsewhere by RESPONSE-ADDRESS: that is refused with 420.
pub(crate) fn classic_answer(
    request: Stun<'_>,
    from: FiveTuple,
    (discovery, external): (Option<&Discovery>, &External),
) -> Option<Answer> {
    let wanted = |kind, value: &[u8]| match kind {
        CHANGE_REQUEST => value.last().is_some_and(|flags| flags & CHANGE_FLAGS != 0),
        RESPONSE_ADDRESS => true,
        _ => false,
    };
    let refused = request
        .attributes()
        .find(|&(kind, value)| wanted(kind, value) && (kind == RESPONSE_ADDRESS || discovery.is_none()));
    let way = discovery.and_then(|discovery| discovery.way(from, Wanted::parse(request).ok()?, external).ok()?);
    let mut body = Vec::with_capacity(48);
    let (kind, to) = if let Some((refused, _)) = refused {
        push_attribute(&mut body, ERROR_CODE, &[0, 0, 4, 20]);
        // RFC 3489 §11.2.10: an odd list is filled up by repeating its last entry.
        let [high, low] = refused.to_be_bytes();
        push_attribute(&mut body, UNKNOWN_ATTRIBUTES, &[high, low, high, low]);
        (BINDING_ERROR, from)
    } else {
        push_attribute(&mut body, MAPPED_ADDRESS, &mapped_address(from.client));
        if let Some(way) = way {
            push_attribute(&mut body, SOURCE_ADDRESS, &mapped_address(way.origin));
            push_attribute(&mut body, CHANGED_ADDRESS, &mapped_address(way.other));
        }
        (BINDING_SUCCESS, way.map_or(from, |way| way.to))
    };
    let mut answer = Vec::with_capacity(20 + body.len());
    answer.extend_from_slice(&kind.to_be_bytes());
    answer.extend_from_slice(&u16::try_from(body.len()).ok()?.to_be_bytes());
    answer.extend_from_slice(request.bytes.get(4..20)?);
    answer.extend_from_slice(&body);
    Some((to, answer))
}

fn push_attribute(body: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    body.extend_from_slice(&kind.to_be_bytes());
    body.extend_from_slice(&length.to_be_bytes());
    body.extend_from_slice(value);
}

fn mapped_address(from: SocketAddr) -> Vec<u8> {
    let family = if from.is_ipv4() { FAMILY_V4 } else { FAMILY_V6 };
    let mut value = vec![0, family];
    value.extend_from_slice(&from.port().to_be_bytes());
    match from.ip() {
        IpAddr::V4(ip) => value.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => value.extend_from_slice(&ip.octets()),
    }
    value
}

const BINDING_SUCCESS: u16 = 0x0101;
const BINDING_ERROR: u16 = 0x0111;
const MAPPED_ADDRESS: u16 = 0x0001;
const RESPONSE_ADDRESS: u16 = 0x0002;
const SOURCE_ADDRESS: u16 = 0x0004;
const CHANGED_ADDRESS: u16 = 0x0005;
/// RFC 5780 §7.3 and §7.4.
const RESPONSE_ORIGIN: u16 = 0x802B;
const OTHER_ADDRESS: u16 = 0x802C;
const ERROR_CODE: u16 = 0x0009;
const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
/// Change IP and change port, RFC 3489 §11.2.4.
const CHANGE_FLAGS: u8 = 0x06;
/// A request full of unknown attributes must not earn an answer of its own size.
const MAX_UNKNOWN_LISTED: usize = 4;

/// Attributes of STUN itself and of ICE checks (RFC 8445 §16.1) that a Binding request may carry: USERNAME,
/// MESSAGE-INTEGRITY, REALM, NONCE, MESSAGE-INTEGRITY-SHA256, PASSWORD-ALGORITHM, USERHASH, PRIORITY, USE-CANDIDATE.
const STUN_ATTRIBUTES: [u16; 9] = [0x0006, 0x0008, 0x0014, 0x0015, 0x001C, 0x001D, 0x001E, 0x0024, 0x0025];
