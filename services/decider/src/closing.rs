//! `canonry ledger close-volume`: closes the volume that grows while no decider lives, and opens the
//! next. The steps are in [`canonry_provision::volumes`].

use canonry_keystore::KeyStore;
use canonry_nats::{Connection, Kv};
use canonry_provision::volumes::{Closed, close_and_open};
use canonry_provision::{CellUser, Error};
use canonry_schemas::ids::TenantId;
use canonry_schemas::subject::BUCKET_FROZEN;

use crate::assign::alive;
use crate::serve::{OverNats, connect_cell};

/// Why no volume was closed.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The server or a user's creds are out of reach.
    #[error("{0}")]
    Unavailable(String),
    /// The tenant is frozen.
    #[error("{0} is frozen: `canonry ledger repair` closes what is damaged")]
    Frozen(TenantId),
    /// A decider lives, or the server refused.
    #[error(transparent)]
    Provision(#[from] Error),
}

/// Closes the volume that grows and opens the next.
///
/// # Errors
/// As [`Refused`] says. It may be called again: what an earlier call left is finished.
pub async fn close_volume(
    keys: &KeyStore,
    url: &str,
    tenant: &TenantId,
    replicas: u8,
) -> Result<Closed, Refused> {
    let unavailable = |e: &dyn std::fmt::Display| Refused::Unavailable(e.to_string());
    let reader = connect_cell(url, keys, &CellUser::Reader).await.map_err(|e| unavailable(&e))?;
    let frozen = Kv::open(reader.clone(), BUCKET_FROZEN).map_err(|e| unavailable(&e))?;
    let flag = frozen.get(tenant.as_str()).await.map_err(|e| unavailable(&e))?;
    if flag.is_some_and(|flag| !flag.deleted) {
        return Err(Refused::Frozen(tenant.clone()));
    }
    let streams = connect_cell(url, keys, &CellUser::ProvisionStreams).await;
    let streams = OverNats(streams.map_err(|e| unavailable(&e))?);
    let done = close_and_open(&streams, tenant, replicas, async || quiet(&reader).await).await?;
    for connection in [&reader, &streams.0] {
        connection.close().await;
    }
    Ok(done)
}

async fn quiet(reader: &Connection) -> Result<(), Error> {
    let subject = "the bucket liveness".to_owned();
    let deciders = alive(reader).await;
    let deciders = deciders.map_err(|e| Error::Request { subject, source: e.into() })?;
    if deciders.is_empty() { Ok(()) } else { Err(Error::Served(deciders.join(", "))) }
}
