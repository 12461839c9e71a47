//! Writing answers: success and error responses, with or without integrity.

use std::net::SocketAddr;

use stun_types::attribute::{
    AlternateServer, AttributeStaticType, AttributeWrite, ErrorCode, Fingerprint, PasswordAlgorithms, RawAttribute,
    UnknownAttributes,
};
use stun_types::message::{
    Message, MessageClass, MessageType, MessageWrite, MessageWriteExt, MessageWriteVec, Method, StunWriteError,
    TransactionId,
};

use super::authenticate::OFFERED;
use super::token::THIRD_PARTY_AUTHORIZATION;
use crate::integrity::{self, Integrity, Key};

/// What of a request its answer repeats.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) transaction: TransactionId,
    /// The request had a FINGERPRINT: so has the answer.
    pub(super) fingerprint: bool,
}

impl From<&Message<'_>> for Request {
    fn from(message: &Message<'_>) -> Self {
        Self {
            method: message.method(),
            transaction: message.transaction_id(),
            fingerprint: message.has_attribute(Fingerprint::TYPE),
        }
    }
}

/// What an answer is protected with: the key and the kind of integrity that the request was.
#[derive(Clone)]
pub(super) struct Seal {
    pub(super) integrity: Integrity,
    pub(super) key: Key,
}

/// How an answer that comes later is written.
#[derive(Clone)]
pub(super) struct Style {
    pub(super) fingerprint: bool,
    pub(super) seal: Seal,
}

/// A reason to refuse that the client is told, RFC 8489 §14.8, RFC 8656 §19, RFC 6062 §6.3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Another relay, which may have room.
    TryAlternate(SocketAddr),
    BadRequest,
    Forbidden,
    UnknownAttributes(Vec<stun_types::attribute::AttributeType>),
    AllocationMismatch,
    AddressFamilyNotSupported,
    WrongCredentials,
    UnsupportedTransport,
    PeerAddressFamilyMismatch,
    ConnectionAlreadyExists,
    ConnectionTimeoutOrFailure,
    AllocationQuotaReached,
    InsufficientCapacity,
}

impl Refusal {
    pub(super) fn code(&self) -> u16 {
        match self {
            Self::TryAlternate(_) => 300,
            Self::BadRequest => 400,
            Self::Forbidden => 403,
            Self::UnknownAttributes(_) => 420,
            Self::AllocationMismatch => 437,
            Self::AddressFamilyNotSupported => 440,
            Self::WrongCredentials => 441,
            Self::UnsupportedTransport => 442,
            Self::PeerAddressFamilyMismatch => 443,
            Self::ConnectionAlreadyExists => 446,
            Self::ConnectionTimeoutOrFailure => 447,
            Self::AllocationQuotaReached => 486,
            Self::InsufficientCapacity => 508,
        }
    }
}

/// A success response.
pub(super) fn success(
    request: Request,
    attributes: &[&dyn AttributeWrite],
    seal: Option<&Seal>,
) -> Result<Vec<u8>, StunWriteError> {
    write(request, MessageClass::Success, attributes, seal)
}

/// An error response without reason phrase: it would only make the answer longer than the request.
pub(super) fn refusal(request: Request, refusal: &Refusal, seal: Option<&Seal>) -> Result<Vec<u8>, StunWriteError> {
    let code = ErrorCode::builder(refusal.code()).reason("").build()?;
    match refusal {
        Refusal::UnknownAttributes(unknown) => {
            write(request, MessageClass::Error, &[&code, &UnknownAttributes::new(unknown)], seal)
        }
        Refusal::TryAlternate(at) => write(request, MessageClass::Error, &[&code, &AlternateServer::new(*at)], seal),
        _ => write(request, MessageClass::Error, &[&code], seal),
    }
}

/// 401 or 438 with realm and nonce, RFC 8489 §9.2.4.
pub(super) fn challenge(
    request: Request,
    code: u16,
    (realm, nonce): (&str, &str),
    third_party: Option<&str>,
) -> Result<Vec<u8>, StunWriteError> {
    let code = ErrorCode::builder(code).reason("").build()?;
    let realm = stun_types::attribute::Realm::new(realm)?;
    let nonce = stun_types::attribute::Nonce::new(nonce)?;
    let algorithms = RawAttribute::new(PasswordAlgorithms::TYPE, OFFERED);
    // RFC 7635 §4.2: for whom to have a token made.
    let server_name = third_party.map(|name| RawAttribute::new(THIRD_PARTY_AUTHORIZATION, name.as_bytes()));
    let mut attributes: Vec<&dyn AttributeWrite> = vec![&code, &realm, &nonce, &algorithms];
    attributes.extend(server_name.as_ref().map(|name| name as &dyn AttributeWrite));
    write(request, MessageClass::Error, &attributes, None)
}

fn write(
    request: Request,
    class: MessageClass,
    attributes: &[&dyn AttributeWrite],
    seal: Option<&Seal>,
) -> Result<Vec<u8>, StunWriteError> {
    let kind = MessageType::from_class_method(class, request.method);
    let mut message = Message::builder(kind, request.transaction, MessageWriteVec::with_capacity(128));
    for attribute in attributes {
        message.add_attribute(*attribute)?;
    }
    let mut message = message.finish();
    if let Some(Seal { integrity, key }) = seal {
        message = integrity::protect(message, *integrity, key).ok_or(NO_ROOM)?;
    }
    if request.fingerprint {
        message = integrity::fingerprint(message).ok_or(NO_ROOM)?;
    }
    Ok(message)
}

/// No answer of ours is that long.
const NO_ROOM: StunWriteError = StunWriteError::IntegrityFailed;
