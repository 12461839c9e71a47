//! Writing answers: success and error responses, with or without integrity.

use stun_types::attribute::{AttributeStaticType, AttributeWrite, ErrorCode, Fingerprint, UnknownAttributes};
use stun_types::message::{
    IntegrityAlgorithm, IntegrityKey, Message, MessageClass, MessageType, MessageWrite, MessageWriteExt,
    MessageWriteVec, Method, StunWriteError, TransactionId,
};

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

/// A reason to refuse that the client is told, RFC 8489 §14.8 and RFC 8656 §19.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    BadRequest,
    Forbidden,
    UnknownAttributes(Vec<stun_types::attribute::AttributeType>),
    AllocationMismatch,
    AddressFamilyNotSupported,
    WrongCredentials,
    UnsupportedTransport,
    PeerAddressFamilyMismatch,
    AllocationQuotaReached,
    InsufficientCapacity,
}

impl Refusal {
    pub(super) fn code(&self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Forbidden => 403,
            Self::UnknownAttributes(_) => 420,
            Self::AllocationMismatch => 437,
            Self::AddressFamilyNotSupported => 440,
            Self::WrongCredentials => 441,
            Self::UnsupportedTransport => 442,
            Self::PeerAddressFamilyMismatch => 443,
            Self::AllocationQuotaReached => 486,
            Self::InsufficientCapacity => 508,
        }
    }
}

/// A success response.
pub(super) fn success(
    request: Request,
    attributes: &[&dyn AttributeWrite],
    key: Option<&IntegrityKey>,
) -> Result<Vec<u8>, StunWriteError> {
    write(request, MessageClass::Success, attributes, key)
}

/// An error response without reason phrase: it would only make the answer longer than the request.
pub(super) fn refusal(
    request: Request,
    refusal: &Refusal,
    key: Option<&IntegrityKey>,
) -> Result<Vec<u8>, StunWriteError> {
    let code = ErrorCode::builder(refusal.code()).reason("").build()?;
    match refusal {
        Refusal::UnknownAttributes(unknown) => {
            write(request, MessageClass::Error, &[&code, &UnknownAttributes::new(unknown)], key)
        }
        _ => write(request, MessageClass::Error, &[&code], key),
    }
}

/// 401 or 438 with realm and nonce, RFC 8489 §9.2.4.
pub(super) fn challenge(request: Request, code: u16, realm: &str, nonce: &str) -> Result<Vec<u8>, StunWriteError> {
    let code = ErrorCode::builder(code).reason("").build()?;
    let realm = stun_types::attribute::Realm::new(realm)?;
    let nonce = stun_types::attribute::Nonce::new(nonce)?;
    write(request, MessageClass::Error, &[&code, &realm, &nonce], None)
}

fn write(
    request: Request,
    class: MessageClass,
    attributes: &[&dyn AttributeWrite],
    key: Option<&IntegrityKey>,
) -> Result<Vec<u8>, StunWriteError> {
    let kind = MessageType::from_class_method(class, request.method);
    let mut message = Message::builder(kind, request.transaction, MessageWriteVec::with_capacity(128));
    for attribute in attributes {
        message.add_attribute(*attribute)?;
    }
    if let Some(key) = key {
        message.add_message_integrity_with_key(key, IntegrityAlgorithm::Sha1)?;
    }
    if request.fingerprint {
        message.add_fingerprint()?;
    }
    Ok(message.finish())
}
