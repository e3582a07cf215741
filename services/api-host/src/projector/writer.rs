//! The way of records into the read models: one batch is written while the next one is verified and
//! read, so that both take a core of their own. Never more than one is under way, and whoever stops
//! ends it first: the position of the read models is then known.

use std::sync::Arc;

use canonry_api::{Projections, ReadError};
use canonry_projections::Recorded;
use canonry_schemas::ids::TenantId;
use tokio::task::JoinHandle;

/// Writes a tenant's batches in order. `T` goes with a batch and comes back when it stands.
pub struct Writer<T> {
    projections: Arc<Projections>,
    tenant: TenantId,
    under_way: Option<(JoinHandle<Result<u64, ReadError>>, T)>,
}

impl<T> Writer<T> {
    /// Of one tenant, which must be open.
    #[must_use]
    pub const fn new(projections: Arc<Projections>, tenant: TenantId) -> Self {
        Self { projections, tenant, under_way: None }
    }

    /// Begins to write a batch, once the one before stands; says where that one ended.
    ///
    /// # Errors
    /// As [`Projections::apply`], of the batch before: this one is not written then.
    pub async fn write(
        &mut self,
        batch: Vec<Recorded>,
        verifier_state: Option<String>,
        with: T,
    ) -> Result<Option<(u64, T)>, ReadError> {
        let landed = self.end().await?;
        let (projections, tenant) = (Arc::clone(&self.projections), self.tenant.clone());
        let write = async move { projections.apply(&tenant, batch, verifier_state).await };
        self.under_way = Some((tokio::spawn(write), with));
        Ok(landed)
    }

    /// Waits for the batch under way, if there is one, and says where it ended.
    ///
    /// # Errors
    /// As [`Projections::apply`].
    pub async fn end(&mut self) -> Result<Option<(u64, T)>, ReadError> {
        let Some((handle, with)) = self.under_way.take() else { return Ok(None) };
        let position = handle.await.map_err(|_| ReadError::Stopped)??;
        Ok(Some((position, with)))
    }
}
