//! What can go wrong with the key store: a kind, the path, and the source.

use std::path::{Path, PathBuf};

/// A fault of the key store.
#[derive(Debug, thiserror::Error)]
#[error("{kind}: {}", path.display())]
pub struct Error {
    /// What happened.
    pub kind: ErrorKind,
    /// The file or directory concerned.
    pub path: PathBuf,
    /// The fault below, if any.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ErrorKind {
    /// The group or others can read the file or directory.
    #[error("group or others have access (mode {mode:04o}); take it away with `chmod go-rwx`")]
    Exposed {
        /// Its permission bits.
        mode: u32,
    },
    /// Nothing is there.
    #[error("not found")]
    Missing,
    /// Something is there already and is never overwritten.
    #[error("already exists")]
    Exists,
    /// More than one key has this use: retire the old one.
    #[error("more than one current key has this use")]
    Ambiguous,
    /// The text is not what such a file holds.
    #[error("malformed key file")]
    Malformed,
    /// A name that could leave the directory.
    #[error("not a plain file name")]
    Name,
    /// The operating system refused.
    #[error("cannot read or write")]
    Io,
    /// A secret store does not give it.
    #[error("cannot be read from its secret store")]
    Remote,
}

impl Error {
    /// A key that a secret store does not give; `name` is where it was looked for.
    pub fn remote(name: &str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let path = PathBuf::from(name);
        Self { kind: ErrorKind::Remote, path, source: Some(source.into()) }
    }

    pub(crate) fn new(kind: ErrorKind, path: &Path) -> Self {
        Self { kind, path: path.to_owned(), source: None }
    }

    pub(crate) fn io(path: &Path, source: std::io::Error) -> Self {
        let kind = match source.kind() {
            std::io::ErrorKind::NotFound => ErrorKind::Missing,
            std::io::ErrorKind::AlreadyExists => ErrorKind::Exists,
            _ => ErrorKind::Io,
        };
        Self { kind, path: path.to_owned(), source: Some(Box::new(source)) }
    }

    pub(crate) fn malformed(
        path: &Path,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self { kind: ErrorKind::Malformed, path: path.to_owned(), source: Some(source.into()) }
    }
}
