//! Which of several checkpointers signs for a tenant now. It spares work; what keeps the log from
//! being signed twice is the guard of each write.

use canonry_nats::{Bytes, Cas};
use canonry_schemas::limits::CHECKPOINTER_TTL;

use crate::store::{Store, StoreError};

/// The key of who signs.
const SIGNER: &str = "signer";

/// A lease that is held or sought.
#[derive(Debug)]
pub struct Lease {
    me: String,
    held: Option<u64>,
}

impl Lease {
    /// Of the checkpointer with this name, different for each that runs.
    pub const fn new(me: String) -> Self {
        Self { me, held: None }
    }

    /// Takes or renews it; false while another holds it.
    pub async fn hold(&mut self, store: &Store) -> Result<bool, StoreError> {
        let expected = match self.held {
            Some(revision) => revision,
            None => match store.kv().get(SIGNER).await? {
                None => 0,
                Some(entry) if entry.deleted || entry.value == self.me.as_bytes() => entry.revision,
                Some(_) => return Ok(false),
            },
        };
        let value = Bytes::from(self.me.clone());
        let put = store.kv().put_with_ttl(SIGNER, value, CHECKPOINTER_TTL, Some(expected));
        self.held = match put.await? {
            Cas::Won(revision) => Some(revision),
            Cas::Lost => None,
        };
        Ok(self.held.is_some())
    }

    /// Lets another have it at once.
    pub async fn release(&mut self, store: &Store) {
        if let Some(revision) = self.held.take()
            && let Err(error) = store.kv().delete_at(SIGNER, revision).await
        {
            tracing::debug!(%error, "the lease ends by itself");
        }
    }
}
