//! `canonry ledger close-volume`: closes the volume that grows and opens the next, also while
//! deciders run. It takes the tenant over first ([`crate::fence`]), so that no commit of anybody can
//! be under way when the stream is sealed, and gives it up afterwards. The steps on the streams are
//! in [`canonry_provision::volumes`].

use canonry_keystore::{Environment, KEYS_VARIABLE, KeyStore, Sources};
use canonry_nats::{Kv, Log};
use canonry_provision::volumes::{Closed, close_and_open, unfinished};
use canonry_provision::{CellUser, Error};
use canonry_schemas::ids::TenantId;
use canonry_schemas::subject::{BUCKET_FROZEN, ledger_stream};

use crate::fence::Fence;
use crate::serve::{OverNats, connect_cell};
use crate::signers::Signers;

/// Why no volume was closed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The server or a user's creds are out of reach.
    #[error("{0}")]
    Unavailable(String),
    /// The tenant is frozen.
    #[error("{0} is frozen: `canonry ledger repair` closes what is damaged")]
    Frozen(TenantId),
    /// The tenant could not be taken over.
    #[error("{0}")]
    Held(String),
    /// The server refused, or somebody else took the tenant over meanwhile.
    #[error(transparent)]
    Provision(#[from] Error),
}

/// Closes the volume that grows and opens the next. `progress` hears the position up to which the
/// ledger was verified.
///
/// # Errors
/// As [`Refused`] says. It may be called again: what an earlier call left is finished.
pub async fn close_volume(
    keys: &KeyStore,
    url: &str,
    tenant: &TenantId,
    replicas: u8,
    progress: impl Fn(u64) + Send + Sync,
) -> Result<Closed, Refused> {
    let unavailable = |e: &dyn std::fmt::Display| Refused::Unavailable(e.to_string());
    let user = async |user| connect_cell(url, keys, &user).await.map_err(Refused::Unavailable);
    let committer = user(CellUser::Committer).await?;
    let frozen = Kv::open(committer.clone(), BUCKET_FROZEN).map_err(|e| unavailable(&e))?;
    let flag = frozen.get(tenant.as_str()).await.map_err(|e| unavailable(&e))?;
    if flag.is_some_and(|flag| !flag.deleted) {
        return Err(Refused::Frozen(tenant.clone()));
    }
    let streams = OverNats(user(CellUser::ProvisionStreams).await?);
    if let Some(done) = unfinished(&streams, tenant, replicas).await? {
        return Ok(done);
    }
    let given = std::env::var(KEYS_VARIABLE).unwrap_or_default();
    let given = Environment::parse(&given).map_err(|e| unavailable(&e))?;
    let sources = std::sync::Arc::new(Sources::new(keys.clone(), given));
    let signers = Signers::new(tenant.clone(), sources);
    let log = Log::open(committer.clone(), &ledger_stream(tenant)).await;
    let log = log.map_err(|e| unavailable(&e))?.with_reader_name("committer");
    let fence = Box::pin(Fence::raise(&log, tenant, signers, &progress)).await;
    let fence = fence.map_err(Refused::Held)?;
    let done = close_and_open(&streams, tenant, replicas, async |last| {
        fence.stands(last).await.map_err(|why| Error::Volume(tenant.to_string(), why))
    });
    let done = done.await;
    fence.lift().await;
    for connection in [&committer, &streams.0] {
        connection.close().await;
    }
    Ok(done?)
}
