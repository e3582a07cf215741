//! The way to the transparency logs: what the checkpointer stored, read from NATS.

use async_trait::async_trait;
use canonry_api::ports::{Tlog, TlogError};
use canonry_checkpoints::store::CHECKPOINT;
use canonry_checkpoints::{Store, StoreError};
use canonry_nats::Connection;
use canonry_nats::api::STREAM_NOT_FOUND;
use canonry_record::Hash;
use canonry_schemas::ids::TenantId;
use canonry_tlog::{Checkpoint, Proof, TilePath};

/// Over the reader's connection.
pub struct OverNats(pub Connection);

fn wrong(error: StoreError) -> TlogError {
    match error {
        StoreError::NotCovered => TlogError::NotCovered,
        StoreError::NoRecord(position) => TlogError::NoRecord(position),
        StoreError::Sizes(_) => TlogError::Sizes,
        // A cell from before there were checkpoints.
        StoreError::Nats(e) if e.api_code() == Some(STREAM_NOT_FOUND) => TlogError::NotCovered,
        other => TlogError::Failed(Box::new(other)),
    }
}

impl OverNats {
    fn store(&self, tenant: &TenantId) -> Result<Store, TlogError> {
        Store::open(self.0.clone(), tenant).map_err(wrong)
    }
}

#[async_trait]
impl Tlog for OverNats {
    async fn checkpoint(&self, tenant: &TenantId) -> Result<String, TlogError> {
        let stored = self.store(tenant)?.note(CHECKPOINT).await.map_err(wrong)?;
        stored.map(|(note, _)| note.to_string()).ok_or(TlogError::NotCovered)
    }

    async fn tile(&self, tenant: &TenantId, path: TilePath) -> Result<Vec<u8>, TlogError> {
        let tile = self.store(tenant)?.tile(path).await.map_err(wrong)?;
        tile.ok_or(TlogError::NoTile)
    }

    async fn inclusion(&self, tenant: &TenantId, position: u64) -> Result<String, TlogError> {
        let store = self.store(tenant)?;
        let positions = store.positions().await.map_err(wrong)?;
        // Where it is not known, the reason is asked for below.
        let leaf = positions.leaf(position).unwrap_or_default();
        let (note, at) = store.covering(leaf + 1).await.map_err(wrong)?;
        let (index, hashes) = store.inclusion(position, at.size).await.map_err(wrong)?;
        Ok(Proof { extra: None, index, hashes, note }.to_string())
    }

    async fn consistency(
        &self,
        tenant: &TenantId,
        from: u64,
        to: u64,
    ) -> Result<Vec<Hash>, TlogError> {
        let store = self.store(tenant)?;
        let newest = store.note(CHECKPOINT).await.map_err(wrong)?;
        let newest = newest.and_then(|(note, _)| Checkpoint::of(&note).ok());
        if newest.is_none_or(|newest| newest.size < to) {
            return Err(TlogError::NotCovered);
        }
        store.consistency(from, to).await.map_err(wrong)
    }
}
