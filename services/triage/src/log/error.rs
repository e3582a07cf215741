//! What can be wrong with a log: a kind with a stable code, the line, and the cause beneath.

use std::fmt;

/// A log that cannot be read. Shows kind and line; the cause is its `source`.
#[derive(Debug, thiserror::Error)]
pub struct Error {
    /// What is wrong.
    pub kind: ErrorKind,
    /// The line in the file, counted from 1, where one is to blame.
    pub line: Option<u64>,
    /// The cause beneath, if there is one.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The file cannot be opened, read or unpacked.
    #[error("the incident log cannot be read")]
    Unreadable,
    /// The header lacks a column, or names it twice.
    #[error("the header must name the column {0} once")]
    BadHeader(&'static str),
    /// The row is not CSV, not UTF-8, or has another number of fields than the header.
    #[error("the row is malformed")]
    MalformedRow,
    /// A field holds something other than what its column may hold.
    #[error("the field {0} holds a value it cannot have")]
    BadValue(&'static str),
    /// Rows of one incident are apart.
    #[error("the rows of incident {0} are not contiguous")]
    NotContiguous(Box<str>),
    /// More distinct values, incidents or bytes than `limits` admits.
    #[error("the incident log is larger than {0} {1}")]
    TooLarge(u64, &'static str),
    /// There is no incident in it.
    #[error("the incident log holds no incident")]
    Empty,
}

impl ErrorKind {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable => "log-unreadable",
            Self::BadHeader(_) => "log-bad-header",
            Self::MalformedRow => "log-malformed-row",
            Self::BadValue(_) => "log-bad-value",
            Self::NotContiguous(_) => "log-not-contiguous",
            Self::TooLarge(..) => "log-too-large",
            Self::Empty => "log-empty",
        }
    }
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, line: Option<u64>) -> Self {
        Self { kind, line, source: None }
    }

    pub(crate) fn because(
        kind: ErrorKind,
        line: Option<u64>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind, line, source: Some(source.into()) }
    }

    /// The stable code.
    pub fn code(&self) -> &'static str {
        self.kind.code()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{} (line {line})", self.kind),
            None => write!(f, "{}", self.kind),
        }
    }
}
