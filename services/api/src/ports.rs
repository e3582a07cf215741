//! What the API needs of the world, as traits: the lead-in to NATS and to the key store is given
//! by whoever mounts it.

use std::pin::Pin;

use async_trait::async_trait;
use bytes::Bytes;
use canonry_policy::Input;
use canonry_policy::distributed::{Advice, View};
use canonry_record::Hash;
use canonry_schemas::answer::Answer;
use canonry_schemas::evidence::Attach;
use canonry_schemas::ids::{ActorId, KeyedDigest, ObjectId, TenantId};
use canonry_tlog::TilePath;
use futures_util::Stream;

/// A command of a person, ready to be sent to the decider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The tenant of the token.
    pub tenant: TenantId,
    /// Who asks; the record's `actor`.
    pub actor: ActorId,
    /// The aggregate.
    pub aggregate: &'static str,
    /// The verb.
    pub verb: &'static str,
    /// The command's exact bytes.
    pub body: Bytes,
    /// The idempotency id, where the client gave one.
    pub intent: Option<String>,
    /// The person's token, for `Canonry-On-Behalf-Of`; or a lease's, for `Canonry-Lease`.
    pub on_behalf_of: String,
    /// Whether it is a lease's.
    pub under_lease: bool,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

/// Why a command came to no answer.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// No holder answered in time: the same intent id may be sent again.
    #[error("no decider answered in time")]
    Retry,
    /// The way is broken.
    #[error("the command could not be sent")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The way to the decider.
#[async_trait]
pub trait Submit: Send + Sync {
    /// Sends a command and waits for its answer; `retry` and no-responders are repeated with the
    /// same intent id for a bounded time.
    ///
    /// # Errors
    /// No answer in time, or a broken way.
    async fn submit(&self, submission: Submission) -> Result<Answer, SubmitError>;
}

/// The way to clear content.
pub trait Content: Send + Sync {
    /// The clear text of `x1:…`; `None` where the key is gone or the text was moved.
    fn decrypt(&self, tenant: &TenantId, entity: &str, pointer: &str, text: &str)
    -> Option<String>;
}

/// Why something of a transparency log cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum TlogError {
    /// No checkpoint was signed that goes so far.
    #[error("no checkpoint covers this yet")]
    NotCovered,
    /// The tile does not exist, or does not go so far.
    #[error("there is no such tile")]
    NoTile,
    /// There is no record at this position.
    #[error("there is no record at position {0}")]
    NoRecord(u64),
    /// The sizes make no sense together.
    #[error("the sizes do not fit each other: 1 <= from <= to")]
    Sizes,
    /// The store.
    #[error("the transparency log cannot be read")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The way to the transparency logs.
#[async_trait]
pub trait Tlog: Send + Sync {
    /// The newest signed checkpoint, a note.
    ///
    /// # Errors
    /// There is none.
    async fn checkpoint(&self, tenant: &TenantId) -> Result<String, TlogError>;

    /// A tile, or a bundle of entries.
    ///
    /// # Errors
    /// There is none so wide.
    async fn tile(&self, tenant: &TenantId, path: TilePath) -> Result<Vec<u8>, TlogError>;

    /// An offline proof that the record at a position is in the log.
    ///
    /// # Errors
    /// No checkpoint covers it, or there is no such record.
    async fn inclusion(&self, tenant: &TenantId, position: u64) -> Result<String, TlogError>;

    /// That the tree of `from` leaves begins the tree of `to`.
    ///
    /// # Errors
    /// The sizes do not fit, or no checkpoint covers them.
    async fn consistency(
        &self,
        tenant: &TenantId,
        from: u64,
        to: u64,
    ) -> Result<Vec<Hash>, TlogError>;
}

/// The copies of policies that this process has, each as old as the holder's last word.
pub trait Policies: Send + Sync {
    /// What is known of a tenant's policy now.
    fn view(&self, tenant: &TenantId) -> View;

    /// What it says of an input; a copy that is worth nothing denies. It takes its time on this
    /// thread.
    fn advise(&self, tenant: &TenantId, input: &Input) -> Advice;
}

/// Why evidence was not stored or not read.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// What was sent cannot be evidence.
    #[error("{0}")]
    Invalid(&'static str),
    /// The object is not there, or not whole, or does not open.
    #[error("the object is not in the bucket, or not whole")]
    Missing,
    /// The way to the bucket is broken.
    #[error("the evidence bucket does not answer")]
    Failed(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Bytes in clear, as they come.
pub type Clear = Pin<Box<dyn Stream<Item = Result<Bytes, EvidenceError>> + Send>>;

/// An object that is stored whole. Not printed: it holds the secret.
pub struct StoredEvidence {
    /// The object.
    pub object: ObjectId,
    /// Keyed digest of the clear bytes.
    pub digest: KeyedDigest,
    /// Clear bytes.
    pub size: u64,
    /// What opens it, base64url of 32 bytes.
    pub secret: String,
}

/// The way to evidence objects. Nothing here holds more than a few chunks at a time.
#[async_trait]
pub trait Evidence: Send + Sync {
    /// Seals and stores what comes until it ends, and gives it up where it does not end well.
    ///
    /// # Errors
    /// Too few or too many bytes, or a broken way.
    async fn store(
        &self,
        tenant: &TenantId,
        entity: &str,
        clear: Clear,
    ) -> Result<StoredEvidence, EvidenceError>;

    /// Gives up an object that no record will name. What cannot be removed now is removed later.
    async fn discard(&self, tenant: &TenantId, object: &ObjectId, digest: &KeyedDigest);

    /// Opens what a record names, whose secret stands in clear here.
    ///
    /// # Errors
    /// The object is not there or not whole, as far as its first chunk shows; later chunks may
    /// still say so in the stream.
    async fn open(
        &self,
        tenant: &TenantId,
        entity: &str,
        attached: &Attach,
    ) -> Result<Clear, EvidenceError>;

    /// Signs an address of an object until a moment, seconds since 1970.
    ///
    /// # Errors
    /// The tenant's key is not at hand.
    fn sign(
        &self,
        tenant: &TenantId,
        position: u64,
        object: &ObjectId,
        expires: u64,
    ) -> Result<String, EvidenceError>;

    /// Whether such a signature is ours, compared in constant time.
    fn holds(
        &self,
        tenant: &TenantId,
        position: u64,
        object: &ObjectId,
        expires: u64,
        signature: &str,
    ) -> bool;
}
