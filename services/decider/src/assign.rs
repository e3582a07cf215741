//! Who serves a tenant: one KV key a tenant, changed by compare-and-set, and one liveness key a
//! decider. Assignment is for speed; the guard of each commit is the safety.

use std::str::FromStr as _;
use std::time::Duration;

use canonry_nats::{Bytes, Cas, Connection, Error, Kv};
use canonry_schemas::ids::{ActorId, TenantId};
use canonry_schemas::limits::LIVENESS_TTL;
use canonry_schemas::subject::{BUCKET_ASSIGN, BUCKET_LIVENESS};
use canonry_schemas::tenant::Reason;
use serde::{Deserialize, Serialize};

/// The holder of a tenant that was given up; never alive.
const NOBODY: &str = "nobody";

/// What the assignment key holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The holder.
    pub decider: ActorId,
    /// Grows by one at each hand-over.
    pub epoch: u64,
}

/// The two buckets.
pub struct Assignments {
    assign: Kv,
    liveness: Kv,
    me: ActorId,
}

impl Assignments {
    /// Opens the buckets.
    ///
    /// # Errors
    /// A bucket is missing or not readable.
    pub fn open(connection: &Connection, me: ActorId) -> Result<Self, Error> {
        Ok(Self {
            assign: Kv::open(connection.clone(), BUCKET_ASSIGN)?,
            liveness: Kv::open(connection.clone(), BUCKET_LIVENESS)?,
            me,
        })
    }

    /// Renews this decider's liveness.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn renew(&self) -> Result<(), Error> {
        let key = self.me.as_str();
        self.liveness.put_with_ttl(key, Bytes::from_static(b"1"), LIVENESS_TTL, None).await?;
        Ok(())
    }

    /// Who holds a tenant, and at which revision.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn read(&self, tenant: &TenantId) -> Result<Option<(Assignment, u64)>, Error> {
        let entry = self.assign.get(tenant.as_str()).await?;
        Ok(entry
            .filter(|e| !e.deleted)
            .and_then(|e| Some((serde_json::from_slice(&e.value).ok()?, e.revision))))
    }

    /// Takes a tenant over if nobody alive holds it: the new epoch, or `None`.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn take(&self, tenant: &TenantId) -> Result<Option<(u64, Reason)>, Error> {
        let held = self.read(tenant).await?;
        let (reason, epoch, revision) = match held {
            None => (Reason::Unheld, 1, None),
            Some((a, revision)) => {
                let alive = a.decider != self.me
                    && self.liveness.get(a.decider.as_str()).await?.is_some_and(|e| !e.deleted);
                if alive {
                    return Ok(None);
                }
                let reason =
                    if a.decider == self.me { Reason::Restarted } else { Reason::HolderGone };
                (reason, a.epoch + 1, Some(revision))
            }
        };
        let value = serde_json::to_vec(&Assignment { decider: self.me.clone(), epoch });
        let value = Bytes::from(value.unwrap_or_default());
        let won = match revision {
            None => self.assign.create(tenant.as_str(), value).await?,
            Some(revision) => self.assign.update(tenant.as_str(), value, revision).await?,
        };
        Ok(matches!(won, Cas::Won(_)).then_some((epoch, reason)))
    }

    /// Takes a tenant from whoever holds it, alive or not, at an epoch above `above` and above the
    /// assignment's: the new epoch, or `None` where it changed at this moment.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn seize(&self, tenant: &TenantId, above: u64) -> Result<Option<u64>, Error> {
        let held = self.read(tenant).await?;
        let (used, revision) = held.map_or((0, None), |(a, revision)| (a.epoch, Some(revision)));
        let epoch = used.max(above) + 1;
        let value = serde_json::to_vec(&Assignment { decider: self.me.clone(), epoch });
        let value = Bytes::from(value.unwrap_or_default());
        let won = match revision {
            None => self.assign.create(tenant.as_str(), value).await?,
            Some(revision) => self.assign.update(tenant.as_str(), value, revision).await?,
        };
        Ok(matches!(won, Cas::Won(_)).then_some(epoch))
    }

    /// Whether this decider holds a tenant at this epoch.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn is_mine(&self, tenant: &TenantId, epoch: u64) -> Result<bool, Error> {
        let held = self.read(tenant).await?;
        Ok(held.is_some_and(|(a, _)| a.decider == self.me && a.epoch == epoch))
    }

    /// Gives a tenant up that this decider cannot serve, so that another takes it over.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn release(&self, tenant: &TenantId, epoch: u64) -> Result<(), Error> {
        let nobody = ActorId::from_str(NOBODY).expect("a token");
        self.rewrite(tenant, epoch, Assignment { decider: nobody, epoch }).await
    }

    /// Lifts this decider's assignment from an epoch that the ledger has passed, should it have
    /// been lost or overwritten; the next hand-over is above it.
    ///
    /// # Errors
    /// The store did not answer.
    pub async fn lift(&self, tenant: &TenantId, from: u64, to: u64) -> Result<(), Error> {
        if from >= to {
            return Ok(());
        }
        self.rewrite(tenant, from, Assignment { decider: self.me.clone(), epoch: to }).await
    }

    async fn rewrite(&self, tenant: &TenantId, from: u64, to: Assignment) -> Result<(), Error> {
        let mine = |a: &Assignment| a.decider == self.me && a.epoch == from;
        if let Some((_, revision)) = self.read(tenant).await?.filter(|(a, _)| mine(a)) {
            let value = serde_json::to_vec(&to).unwrap_or_default();
            self.assign.update(tenant.as_str(), Bytes::from(value), revision).await?;
        }
        Ok(())
    }

    /// Gives up this decider's liveness, so that another need not wait for it to end.
    pub async fn leave(&self) {
        let gone =
            tokio::time::timeout(Duration::from_secs(1), self.liveness.delete(self.me.as_str()));
        drop(gone.await);
    }
}
