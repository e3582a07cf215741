//! What the API needs of the world, as traits: the lead-in to NATS and to the key store is given
//! by whoever mounts it.

use async_trait::async_trait;
use bytes::Bytes;
use canonry_record::Hash;
use canonry_schemas::answer::Answer;
use canonry_schemas::ids::{ActorId, TenantId};
use canonry_tlog::TilePath;

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
    /// The person's token, for `Canonry-On-Behalf-Of`.
    pub on_behalf_of: String,
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
