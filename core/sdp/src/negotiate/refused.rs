//! Why an offer cannot be answered, an answer not be taken, or an offer not be made at all.

/// Two descriptions that do not go together, or one that contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// RFC 3264 §6.
    #[error("expected {expected} m-lines in the answer, got {got}")]
    Lines {
        /// As many as the offer.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// RFC 3264 §8: m-lines may be added, and never go away.
    #[error("expected at least the {expected} m-lines of before in the offer, got {got}")]
    FewerLines {
        /// As many as before.
        expected: usize,
        /// What came.
        got: usize,
    },
    /// Another kind of media.
    #[error("m-line {line}: expected {expected}, got {got}")]
    Kind {
        /// Counted from 0.
        line: usize,
        /// As in the offer.
        expected: String,
        /// What came.
        got: String,
    },
    /// Another protocol.
    #[error("m-line {line}: expected {expected}, got {got}")]
    Protocol {
        /// Counted from 0.
        line: usize,
        /// As in the offer.
        expected: String,
        /// What came.
        got: String,
    },
    /// Another identity.
    #[error("m-line {line}: expected `a=mid:{expected}`, got `{got}`")]
    Mid {
        /// Counted from 0.
        line: usize,
        /// As in the offer.
        expected: String,
        /// What came.
        got: String,
    },
    /// Two m-lines of one identity.
    #[error("m-line {line}: expected an identity of its own, got `a=mid:{got}` again")]
    MidTwice {
        /// Counted from 0.
        line: usize,
        /// What came.
        got: String,
    },
    /// The answer shares what the offer did not.
    #[error("expected no other m-lines in a group than those offered in it, got `{got}`")]
    Group {
        /// The identity.
        got: String,
    },
    /// The answer takes out of a group what was offered without a transport of its own.
    #[error("m-line {line}: expected it to share the transport it was offered on")]
    Apart {
        /// Counted from 0.
        line: usize,
    },
    /// RFC 8858.
    #[error("m-line {line}: expected `a=rtcp-mux`")]
    NoMux {
        /// Counted from 0.
        line: usize,
    },
    /// What was offered protected is not.
    #[error("m-line {line}: expected a fingerprint or a key in both descriptions")]
    NoProtection {
        /// Counted from 0.
        line: usize,
    },
    /// Both begin, or nobody does.
    #[error("m-line {line}: `a=setup` of `{offered}` cannot be answered with `{answered}`")]
    Setup {
        /// Counted from 0.
        line: usize,
        /// In the offer.
        offered: &'static str,
        /// In the answer.
        answered: &'static str,
    },
}

/// What we ask for cannot be offered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misuse {
    /// An m-line that lives is to become another kind.
    #[error("m-line {line}: it is {is}, and cannot become {wanted} while it lives")]
    KindChanged {
        /// Counted from 0.
        line: usize,
        /// What it is.
        is: String,
        /// What is wanted.
        wanted: String,
    },
    /// It shares no transport and has none.
    #[error("m-line {line}: it needs a transport of its own")]
    NoTransport {
        /// Counted from 0.
        line: usize,
    },
    /// Nothing protects it, and it may not go unprotected.
    #[error("m-line {line}: it has neither DTLS nor keys, and may not go without")]
    NoProtection {
        /// Counted from 0.
        line: usize,
    },
    /// There is nothing to offer.
    #[error("m-line {line}: there is no codec of ours for {kind}")]
    NoCodec {
        /// Counted from 0.
        line: usize,
        /// Of which kind.
        kind: String,
    },
    /// Data channels need DTLS.
    #[error("m-line {line}: data channels need `data` and DTLS")]
    NoData {
        /// Counted from 0.
        line: usize,
    },
}
