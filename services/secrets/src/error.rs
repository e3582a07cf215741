//! What can go wrong with secrets: a kind with a stable code, the name concerned, and a source.
//! No text here ever holds a value, a token, or anything that a server answered.

use canonry_schemas::refusal::local;

/// A source of any type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A fault.
#[derive(Debug, thiserror::Error)]
#[error("{}{kind}", if about.is_empty() { String::new() } else { format!("{about}: ") })]
pub struct Error {
    /// What happened.
    pub kind: Kind,
    /// The name concerned; empty where there is none.
    pub about: String,
    /// The fault below, if any.
    #[source]
    pub source: Option<BoxError>,
}

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Kind {
    /// Not a name of a secret.
    #[error("not a name of a secret (secret://<store>/<path>#<field>): {0}")]
    Reference(&'static str),
    /// The configuration is wrong.
    #[error("the configuration of secrets is wrong: {0}")]
    Configuration(&'static str),
    /// No such store.
    #[error(
        "there is no such store: file is made by `canonry secrets init`, vault is named by \
             $CANONRY_VAULT_ADDR"
    )]
    StoreUnknown,
    /// Nothing there.
    #[error("there is no such secret, or it has no such field")]
    Unknown,
    /// A value without bytes.
    #[error("the value is empty")]
    Empty,
    /// Too large a value.
    #[error("the value is larger than 32768 bytes")]
    TooLarge,
    /// No text.
    #[error("a vault keeps text: encode the value first")]
    NotText,
    /// A bound of the store.
    #[error("the store is full")]
    Full,
    /// There is an embedded store already.
    #[error("there is a store already; it is never overwritten")]
    Exists,
    /// The file is open to others, or missing, or cannot be written.
    #[error("the file cannot be used")]
    File,
    /// Another process writes.
    #[error("another process is writing this store")]
    Busy,
    /// What lies there is not what was written.
    #[error("the store cannot be opened: it is damaged, or sealed for another identity")]
    Damaged,
    /// No answer.
    #[error("the vault does not answer")]
    Unavailable,
    /// Sealed.
    #[error("the vault is sealed or in standby")]
    Sealed,
    /// The login was refused.
    #[error("the vault refuses the role id or the secret id")]
    Login,
    /// The wrapping token was used, has expired or never was.
    #[error("the wrapping token is spent: if you did not unwrap it, somebody else did")]
    Unwrapped,
    /// Not allowed.
    #[error("the vault's policy does not allow this")]
    Refused,
    /// Not what the protocol says.
    #[error("the vault's answer is not understood ({0})")]
    Malformed(&'static str),
    /// The vault does not take the request.
    #[error("the vault does not take this request (status {0})")]
    Rejected(u16),
    /// Overtaken by other writers.
    #[error("the secret was changed by others meanwhile")]
    Changed,
    /// The store lends nothing.
    #[error("this store makes no secrets of its own")]
    LeaseUnsupported,
    /// No such lease.
    #[error("there is no such lease: it ended or was revoked")]
    LeaseUnknown,
    /// A lease that holds too long.
    #[error("the lease would hold longer than an hour; it was revoked")]
    LeaseTooLong,
}

impl Kind {
    /// Its stable code; the page is `schemas/errors/<code>.md`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Reference(_) => local::SECRET_REFERENCE_INVALID,
            Self::Configuration(_) => local::SECRETS_MISCONFIGURED,
            Self::StoreUnknown => local::SECRET_STORE_UNKNOWN,
            Self::Unknown => local::SECRET_UNKNOWN,
            Self::Empty => local::SECRET_EMPTY,
            Self::TooLarge => local::SECRET_TOO_LARGE,
            Self::NotText => local::SECRET_NOT_TEXT,
            Self::Full => local::SECRET_STORE_FULL,
            Self::Exists => local::SECRET_STORE_EXISTS,
            Self::File => local::SECRET_STORE_FILE,
            Self::Busy => local::SECRET_STORE_BUSY,
            Self::Damaged => local::SECRET_STORE_DAMAGED,
            Self::Unavailable => local::VAULT_UNAVAILABLE,
            Self::Sealed => local::VAULT_SEALED,
            Self::Login => local::VAULT_LOGIN_REFUSED,
            Self::Unwrapped => local::VAULT_WRAPPING_SPENT,
            Self::Refused => local::VAULT_REFUSED,
            Self::Malformed(_) => local::VAULT_ANSWER_MALFORMED,
            Self::Rejected(_) => local::VAULT_REJECTED,
            Self::Changed => local::SECRET_CHANGED,
            Self::LeaseUnsupported => local::LEASE_UNSUPPORTED,
            Self::LeaseUnknown => local::LEASE_UNKNOWN,
            Self::LeaseTooLong => local::LEASE_TOO_LONG,
        }
    }
}

impl Error {
    /// A fault of this kind with a name.
    pub(crate) fn at(kind: Kind, about: impl std::fmt::Display) -> Self {
        Self { kind, about: about.to_string(), source: None }
    }

    pub(crate) fn plain(kind: Kind) -> Self {
        Self::at(kind, "")
    }

    pub(crate) fn reference(why: &'static str) -> Self {
        Self::plain(Kind::Reference(why))
    }

    pub(crate) fn empty() -> Self {
        Self::plain(Kind::Empty)
    }

    pub(crate) fn too_large() -> Self {
        Self::plain(Kind::TooLarge)
    }

    pub(crate) fn with(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Names what it is about, where nothing is named yet.
    pub(crate) fn named(mut self, about: impl std::fmt::Display) -> Self {
        if self.about.is_empty() {
            self.about = about.to_string();
        }
        self
    }

    /// Its stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// Whether it may work later as it stands.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(self.kind, Kind::Unavailable | Kind::Sealed | Kind::Busy)
    }
}
