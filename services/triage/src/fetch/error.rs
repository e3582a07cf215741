//! What can go wrong with a download: a kind with a stable code, and the cause beneath.

use crate::digest::Digest;

/// A download that failed. Shows the kind; the cause is its `source`.
#[derive(Debug, thiserror::Error)]
#[error("{kind}")]
pub struct Error {
    /// What went wrong.
    pub kind: ErrorKind,
    /// The cause beneath, if there is one.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The address is not one of http or https.
    #[error("the address is not an http or https URL")]
    BadUrl,
    /// No connection, or none that could be trusted.
    #[error("the server cannot be reached")]
    Unreachable,
    /// The body broke off, again and again. What came is kept; another call goes on there.
    #[error("the download broke off after {0} bytes; what came is kept, run it again to go on")]
    Interrupted(u64),
    /// The server answered with a status that is no download.
    #[error("the server answered with status {0}")]
    Status(u16),
    /// The server sent another range than was asked for.
    #[error("the server sent another range than was asked for")]
    WrongRange,
    /// The body, or what it unpacks to, is larger than `limits` admits.
    #[error("the download is larger than {0} bytes")]
    TooLarge(u64),
    /// The body is an archive that cannot be unpacked, or does not hold one CSV file.
    #[error("the archive cannot be unpacked: {0}")]
    BadArchive(&'static str),
    /// The raw CSV is not the one that was asked for. The body was deleted.
    #[error("the SHA-256 of the CSV is {found}, not {expected}; the download was deleted")]
    WrongHash {
        /// What was asked for.
        expected: Digest,
        /// What came.
        found: Digest,
    },
    /// Another process is downloading to the same place.
    #[error("another download to the same place is in progress")]
    InProgress,
    /// A file cannot be read or written.
    #[error("the download cannot be written")]
    CannotWrite,
}

impl ErrorKind {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::BadUrl => "bad-url",
            Self::Unreachable => "unreachable",
            Self::Interrupted(_) => "interrupted",
            Self::Status(_) => "http-status",
            Self::WrongRange => "wrong-range",
            Self::TooLarge(_) => "too-large",
            Self::BadArchive(_) => "bad-archive",
            Self::WrongHash { .. } => "wrong-hash",
            Self::InProgress => "in-progress",
            Self::CannotWrite => "cannot-write",
        }
    }
}

impl Error {
    pub(super) fn new(kind: ErrorKind) -> Self {
        Self { kind, source: None }
    }

    pub(super) fn because(
        kind: ErrorKind,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, source: Some(source.into()) }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }
}
