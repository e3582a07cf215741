//! What can go wrong with a copy, a backup or a restore: each kind has a stable code.

use canonry_record::verify::Break;

/// A source of any type.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why it came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not an address of a place.
    #[error("{url}: {why}")]
    Address {
        /// What was given, without anything secret.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// The place does not answer or refuses.
    #[error("{place}: {what}")]
    Place {
        /// Which.
        place: String,
        /// What was tried.
        what: String,
        /// What it said.
        #[source]
        source: BoxError,
    },
    /// An object exists already with other bytes.
    #[error("{0} is there already, and differs")]
    Exists(String),
    /// An object is not what its name and its place in the backup say.
    #[error("{name}: {why}")]
    Object {
        /// Which.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The chain of records does not stand.
    #[error(transparent)]
    Broken(#[from] Break),
    /// There is nothing of this tenant.
    #[error("{place} holds nothing of {tenant}")]
    Nothing {
        /// Where.
        place: String,
        /// Whose.
        tenant: String,
    },
    /// The live ledger ends before what was copied, or holds another record there.
    #[error("the ledger is not the one that was copied: {0}")]
    LedgerDiffers(String),
    /// No signed head at all.
    #[error("no signed head of {0}: is it founded?")]
    NoHead(String),
    /// Content keys that were copied are gone from their bucket without a trace.
    #[error(
        "content keys that were copied before are gone from their bucket ({0}): the copy is kept; \
         restore the bucket before the next backup"
    )]
    KeysLost(String),
    /// The target of a restore is in use.
    #[error("the target is not empty: {0}")]
    TargetInUse(String),
    /// What was restored ends before a head that is known from elsewhere.
    #[error(
        "restored and verified up to {position}, but {known} was given out: the tenant stays \
         frozen; run `canonry ledger repair`"
    )]
    RecordsLost {
        /// The last record restored.
        position: u64,
        /// The position known from elsewhere.
        known: u64,
    },
    /// NATS.
    #[error("NATS: {what}")]
    Nats {
        /// What was tried.
        what: String,
        /// What it said.
        #[source]
        source: BoxError,
    },
    /// Provisioning refused.
    #[error("provisioning the target")]
    Provision(#[from] canonry_provision::Error),
    /// A task of this process ended early.
    #[error("stopped: {0}")]
    Stopped(String),
}

impl Error {
    /// Its stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Address { .. } => "place-invalid",
            Self::Place { .. } => "place-unavailable",
            Self::Exists(_) => "object-exists",
            Self::Object { .. } => "object-wrong",
            Self::Broken(broken) => broken.why.code(),
            Self::Nothing { .. } => "nothing-there",
            Self::LedgerDiffers(_) => "ledger-differs",
            Self::NoHead(_) => "no-head",
            Self::KeysLost(_) => "keys-lost",
            Self::TargetInUse(_) => "target-in-use",
            Self::RecordsLost { .. } => "records-lost",
            Self::Nats { .. } => "nats-unavailable",
            Self::Provision(_) => "provisioning-failed",
            Self::Stopped(_) => "stopped",
        }
    }

    /// Whether it may work later as it stands.
    #[must_use]
    pub const fn is_unavailable(&self) -> bool {
        matches!(self, Self::Place { .. } | Self::Nats { .. } | Self::Stopped(_))
    }

    pub(crate) fn nats(what: impl Into<String>, source: impl Into<BoxError>) -> Self {
        Self::Nats { what: what.into(), source: source.into() }
    }

    pub(crate) fn object(name: impl Into<String>, why: impl std::fmt::Display) -> Self {
        Self::Object { name: name.into(), why: why.to_string() }
    }
}
