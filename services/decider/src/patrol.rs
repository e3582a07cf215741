//! Checking in the background what a snapshot let a holder skip: the whole ledger is verified from
//! its first record on while the tenant is being served, at low pace.

use std::sync::Arc;
use std::time::Duration;

use canonry_nats::{Log, ReadError, Stored};
use canonry_record::{Hash, Verifier, verify};
use canonry_schemas::ids::TenantId;
use futures_util::StreamExt as _;
use tokio::sync::Semaphore;

use crate::holder::Over;
use crate::rebuild::{frozen, verify_chunk};

/// Records verified before it steps aside.
const CHUNK: usize = 512;
/// How long it steps aside.
const ASIDE: Duration = Duration::from_millis(5);
/// How long it waits after the store was away.
const AGAIN: Duration = Duration::from_secs(5);

/// Verifies positions 1 to `upto`, which must end with the hash of a snapshot. Returns only when
/// that is done.
///
/// # Errors
/// [`Over::Frozen`] at the first break.
pub async fn check(
    log: &Log,
    tenant: &TenantId,
    (upto, hash): (u64, Hash),
    places: &Semaphore,
) -> Result<(), Over> {
    let Ok(_turn) = places.acquire().await else { return Ok(()) };
    let mut verifier = Verifier::new(tenant.clone(), verify::Pins::default());
    while verifier.position() < upto {
        let mut records = match log.read(verifier.position() + 1, Some(upto)).await {
            Ok(records) => records,
            Err(error) => {
                rest(&error)?;
                tokio::time::sleep(AGAIN).await;
                continue;
            }
        };
        let mut chunk = Vec::with_capacity(CHUNK);
        while verifier.position() < upto {
            let next = records.next().await;
            let end = !matches!(next, Some(Ok(_)));
            match next {
                Some(Ok(stored)) => chunk.push(stored),
                Some(Err(error)) => rest(&error)?,
                None => {}
            }
            if chunk.len() == CHUNK || end || chunk.last().is_some_and(|s| s.seq == upto) {
                verifier = verified(verifier, std::mem::take(&mut chunk)).await?;
                tokio::time::sleep(ASIDE).await;
            }
            if end {
                break;
            }
        }
    }
    match verifier.state() {
        Some(state) if state.hash == hash => Ok(()),
        _ => Err(frozen(upto, "another record stands where a snapshot was made")),
    }
}

fn rest(error: &ReadError) -> Result<(), Over> {
    match error {
        ReadError::Gap { expected, .. } => Err(frozen(*expected, error.to_string())),
        ReadError::Interrupted { .. } => Ok(()),
    }
}

async fn verified(mut verifier: Verifier, chunk: Vec<Stored>) -> Result<Verifier, Over> {
    let work = tokio::task::spawn_blocking(move || {
        verify_chunk(&mut verifier, &chunk)?;
        Ok(verifier)
    });
    work.await.map_err(|e| Over::Failed(e.to_string()))?
}

/// How many tenants are checked at once in this process.
#[must_use]
pub fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(1))
}
