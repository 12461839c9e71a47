//! Why the credential service does not do something. Each dialect says it in its own words.

/// A request that is not served.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// No key, or none that is valid.
    #[error("the key is unknown, or not the one of this application")]
    Unauthorized,
    /// Too many wrong keys came from this address.
    #[error("too many requests with a wrong key; try again in {seconds} s")]
    Blocked {
        /// How long it lasts.
        seconds: u64,
    },
    /// The application may not ask for this one.
    #[error("there is no such application, or it is not below the one that asks")]
    NotYours,
    /// The operator has turned the application off.
    #[error("the operator has disabled this application")]
    Disabled,
    /// The month's bytes are used up.
    #[error("{used} of {most} bytes of this month are used up")]
    OverQuota {
        /// Relayed this month.
        used: u64,
        /// The bound.
        most: u64,
    },
    /// Pages of this origin may not ask with this key.
    #[error("pages of this origin may not ask with this key")]
    Origin,
    /// A time no credential may be good for.
    #[error("ttl: expected 1 to {most} seconds, got {got}")]
    Ttl {
        /// The longest.
        most: u64,
        /// As it came.
        got: String,
    },
    /// A label that cannot be one.
    #[error("tag: expected at most {most} characters, none of them a control character")]
    Tag {
        /// How many characters it may have.
        most: usize,
    },
    /// A user name that was not handed out to this application.
    #[error("the user name is none that was handed out to this application")]
    NotIssued,
    /// The request cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// There is no relay to use.
    #[error("the relay of this server is turned off")]
    Off,
    /// Something inside does not answer.
    #[error("{0}")]
    Unavailable(&'static str),
}

impl From<tandem_store::Error> for Refused {
    fn from(error: tandem_store::Error) -> Refused {
        match error {
            tandem_store::Error::Misuse(what) => Refused::Malformed(what),
            other => {
                tracing::error!(error = %other, "the database does not answer");
                Refused::Unavailable("the database does not answer")
            }
        }
    }
}
