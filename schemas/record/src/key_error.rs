//! Why a change of keys is refused. The rules themselves are in [`crate::ring`].

use canonry_schemas::ids::KeyId;

/// Why a change of keys is refused; the text of [`KeyError::code`] is stable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The change was authorised against another key head.
    #[error("the tenant's keys have changed since this change was authorised")]
    Moved,
    /// Neither a new nor a revoked key.
    #[error("the change names no key")]
    Empty,
    /// Not 32 bytes, not a point, not its canonical form, or of small order.
    #[error("key {0} is not a usable ed25519 public key")]
    Invalid(KeyId),
    /// The id is not the digest of the key.
    #[error("key {0} does not carry its own id")]
    IdMismatch(KeyId),
    /// No use, a use twice, `login` or `stepup` beside another, or a level where none belongs.
    #[error("key {0} has a wrong set of uses, or a level that does not go with them")]
    WrongUse(KeyId),
    /// The same key twice in one change.
    #[error("key {0} stands twice in the change")]
    Twice(KeyId),
    /// Already enrolled for this actor.
    #[error("key {0} is already enrolled")]
    Exists(KeyId),
    /// Enrolled for another actor.
    #[error("key {0} belongs to another actor")]
    OfAnother(KeyId),
    /// Was revoked before.
    #[error("key {0} was revoked and cannot return")]
    WasRevoked(KeyId),
    /// A revocation of a key that is not there.
    #[error("key {0} cannot be revoked: it is unknown")]
    Unknown(KeyId),
    /// A revocation of a key that is revoked.
    #[error("key {0} is already revoked")]
    AlreadyRevoked(KeyId),
    /// The authorization does not read.
    #[error("the authorization is malformed")]
    Malformed,
    /// The authorising key is unknown or revoked.
    #[error("the authorising key {0} is unknown or revoked")]
    NoAuthority(KeyId),
    /// The authorising key has expired.
    #[error("the authorising key {0} has expired")]
    AuthorityExpired(KeyId),
    /// The authorising key may not allow this change.
    #[error("key {0} may not authorise this change")]
    NotAllowed(KeyId),
    /// The signature does not verify.
    #[error("the signature of the authorization is wrong")]
    BadSignature,
    /// Other than one current record key afterwards.
    #[error("a tenant has exactly one current record key")]
    RecordKeys,
    /// No root key afterwards.
    #[error("a tenant keeps at least one root key")]
    NoRoot,
}

impl KeyError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Moved => "keys-moved",
            Self::Empty => "keys-empty",
            Self::Invalid(_) => "key-invalid",
            Self::IdMismatch(_) => "key-id-mismatch",
            Self::WrongUse(_) => "key-use-invalid",
            Self::Twice(_) => "key-twice",
            Self::Exists(_) => "key-exists",
            Self::OfAnother(_) => "key-of-another-actor",
            Self::WasRevoked(_) => "key-was-revoked",
            Self::Unknown(_) => "key-unknown",
            Self::AlreadyRevoked(_) => "key-already-revoked",
            Self::Malformed => "authorization-malformed",
            Self::NoAuthority(_) => "authorization-key-unknown",
            Self::AuthorityExpired(_) => "authorization-key-expired",
            Self::NotAllowed(_) => "authorization-not-allowed",
            Self::BadSignature => "authorization-signature",
            Self::RecordKeys => "record-key-count",
            Self::NoRoot => "root-key-missing",
        }
    }
}
