//! Technical faults of this crate: a kind to act on, a sentence of context, a source.
//!
//! A lost race is not a fault: see [`crate::Append`] and [`crate::Cas`]. Next: [`crate::api`]
//! for how the server's own error codes arrive here.

use std::error::Error as StdError;

/// What kind of fault it is: what a caller can act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No connection could be made: wrong address, wrong credentials, or nobody there.
    Connect,
    /// The connection was closed for good.
    Closed,
    /// Nobody serves the subject: no such stream or no JetStream, or no permission to see it.
    NoResponders,
    /// No answer in time. The request may have had its effect.
    TimedOut,
    /// Larger than the server accepts.
    TooLarge,
    /// The caller gave something that cannot be sent: a subject, header, name or duration.
    Invalid,
    /// The server answered something that this crate does not understand.
    Malformed,
    /// JetStream refused. `code` is its `err_code` (10058 and the like), `status` the HTTP-like one.
    Api {
        /// The server's `err_code`.
        code: u64,
        /// The server's `code`: 400, 404, 500, 503.
        status: u16,
    },
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect => f.write_str("cannot connect"),
            Self::Closed => f.write_str("connection closed"),
            Self::NoResponders => f.write_str("nobody serves this subject"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::TooLarge => f.write_str("larger than the server accepts"),
            Self::Invalid => f.write_str("cannot be sent"),
            Self::Malformed => f.write_str("answer not understood"),
            Self::Api { code, status } => write!(f, "refused by JetStream ({status}, {code})"),
        }
    }
}

/// A fault: `kind` to act on, `context` and `source` for people.
#[derive(Debug, thiserror::Error)]
#[error("{context}: {kind}")]
pub struct Error {
    kind: ErrorKind,
    context: String,
    #[source]
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, context: impl Into<String>) -> Self {
        Self { kind, context: context.into(), source: None }
    }

    pub(crate) fn with(
        kind: ErrorKind,
        context: impl Into<String>,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> Self {
        Self { kind, context: context.into(), source: Some(source.into()) }
    }

    /// What to act on.
    #[must_use]
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The server's `err_code`, when JetStream refused.
    #[must_use]
    pub const fn api_code(&self) -> Option<u64> {
        match self.kind {
            ErrorKind::Api { code, .. } => Some(code),
            _ => None,
        }
    }
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Nobody is subscribed: the request had no effect.
    #[error("nobody serves this subject")]
    NoResponders,
    /// No answer in time: the request may have had its effect.
    #[error("no answer in time")]
    TimedOut,
    /// It could not be sent, or the connection is closed.
    #[error("the request could not be made")]
    Other(#[source] Error),
}

impl RequestError {
    pub(crate) fn into_error(self, context: impl Into<String>) -> Error {
        match self {
            Self::NoResponders => Error::new(ErrorKind::NoResponders, context),
            Self::TimedOut => Error::new(ErrorKind::TimedOut, context),
            Self::Other(error) => Error::with(error.kind(), context, error),
        }
    }
}
