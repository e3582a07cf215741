//! Taking a tenant over in order to keep everybody from writing for a moment.
//!
//! It is a hand-over like any other: a liveness key of its own, the next epoch in the assignment, and
//! `tenant.taken-over` as its first and only record. A commit that an earlier holder has under way
//! carries the guard of a position that is taken then, so the server refuses it whenever it comes;
//! and the earlier holder reads an epoch above its own and stops. Nobody else becomes the holder
//! without changing the assignment, so an assignment that is unchanged shows that this record is the
//! last one. Where the process dies, its liveness ends and a decider takes over.

use std::sync::Arc;
use std::time::Duration;

use canonry_nats::{Append, Log};
use canonry_record::verify::{Pins, State};
use canonry_record::{Verifier, record_hash};
use canonry_schemas::event::Event;
use canonry_schemas::ids::{ActorId, TenantId};
use canonry_schemas::limits::{COMMIT_TRY, FENCE_TRIES, LIVENESS_EVERY};
use canonry_schemas::tenant::{self, Reason, TakenOver};
use tokio::task::JoinHandle;

use crate::assign::Assignments;
use crate::draft::{self, Draft, Head};
use crate::holder::now;
use crate::repair::{fresh_id, survey};
use crate::signers::Signers;

/// How the name of whoever takes a tenant for a moment begins; a name is used once.
const NAME: &str = "fence_";
/// Before a commit that was not answered is sent again.
const AGAIN: Duration = Duration::from_millis(100);

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// A tenant that is held by nobody but this.
pub struct Fence {
    assignments: Arc<Assignments>,
    alive: JoinHandle<()>,
    tenant: TenantId,
    epoch: u64,
    /// The last position of the ledger; `None` where every volume was closed already.
    last: Option<u64>,
}

impl Drop for Fence {
    fn drop(&mut self) {
        self.alive.abort();
    }
}

impl Fence {
    /// Verifies the ledger, takes the tenant from its holder, and writes the record behind which
    /// nothing of anybody else can stand. The holder serves until the end of the ledger is near.
    ///
    /// # Errors
    /// The ledger does not verify, its record key is not here, the store does not answer, or
    /// somebody takes the tenant over.
    pub async fn raise(
        log: &Log,
        tenant: &TenantId,
        mut signers: Signers,
        progress: &(impl Fn(u64) + Send + Sync),
    ) -> Result<Self, String> {
        let begin = Verifier::new(tenant.clone(), Pins::default());
        let state = whole(log, begin, progress).await?;
        // Found out before anybody stops serving.
        signers.record(&state.ring)?;
        let me: ActorId = fresh_id(NAME)?.parse().map_err(text)?;
        let assignments = Assignments::open(log.connection(), me.clone()).map_err(text)?;
        let assignments = Arc::new(assignments);
        assignments.renew().await.map_err(text)?;
        let epoch = assignments.seize(tenant, state.epoch).await.map_err(text)?;
        let epoch =
            epoch.ok_or("another decider took the tenant over at this moment: try again")?;
        let renewed = Arc::clone(&assignments);
        let alive = tokio::spawn(async move {
            loop {
                tokio::time::sleep(LIVENESS_EVERY).await;
                drop(renewed.renew().await);
            }
        });
        let mut fence = Self { assignments, alive, tenant: tenant.clone(), epoch, last: None };
        match fence.write(log, state, &mut signers, &me).await {
            Ok(last) => {
                fence.last = last;
                Ok(fence)
            }
            Err(why) => {
                fence.lift().await;
                Err(why)
            }
        }
    }

    /// Writes the record; its position, or `None` where no volume takes one.
    async fn write(
        &self,
        log: &Log,
        mut state: State,
        signers: &mut Signers,
        me: &ActorId,
    ) -> Result<Option<u64>, String> {
        for _ in 0..FENCE_TRIES {
            state = whole(log, Verifier::resume(state), &|_| ()).await?;
            if log.volumes().last().is_some_and(|volume| volume.closed) {
                return Ok(None);
            }
            let signer = signers.record(&state.ring)?;
            let draft = self.taken_over(&state, me)?;
            let signature = draft::sign(&signer, &[draft.head.hash])[0];
            let message = [draft::outgoing(&draft, &signer, &signature)];
            match log.append(&message, state.position, COMMIT_TRY).await {
                Append::Committed { .. } => return Ok(Some(draft.head.position)),
                // The holder has not heard yet and committed, or this is our own.
                Append::Conflict { .. } | Append::Unknown { .. } => {
                    let stands = log.get(draft.head.position).await.map_err(text)?;
                    let hash = stands.map(|s| record_hash(&s.subject, &s.body));
                    if hash == Some(draft.head.hash) {
                        return Ok(Some(draft.head.position));
                    }
                }
                Append::Refused { code, description } => {
                    return Err(format!("the store refused a record: {description} ({code})"));
                }
            }
            tokio::time::sleep(AGAIN).await;
        }
        Err("the holder keeps writing, or the store does not answer: try again".to_owned())
    }

    fn taken_over(&self, state: &State, me: &ActorId) -> Result<Draft, String> {
        let State { position, hash, time, epoch, .. } = *state;
        if epoch >= self.epoch {
            return Err("another decider took the tenant over at this moment: try again".to_owned());
        }
        let before = Head { position, hash, time, epoch };
        let taken = TakenOver { decider: me.clone(), reason: Reason::HolderGone };
        let event = Event::Tenant(tenant::Event::TakenOver(taken));
        let actor = crate::ACTOR.parse().map_err(text)?;
        let told = (actor, format!("tenant/{}", self.tenant), event);
        let now = now().max(time);
        let draft = draft::unasked(&self.tenant, &before, self.epoch, now, fresh_id("")?, told);
        draft.ok_or_else(|| "the record cannot be written".to_owned())
    }

    /// Whether nobody took the tenant over since, and the ledger ends where it ended then.
    ///
    /// # Errors
    /// Somebody did, or the store does not answer.
    pub async fn stands(&self, last: Option<u64>) -> Result<(), String> {
        let held = self.assignments.is_mine(&self.tenant, self.epoch).await.map_err(text)?;
        if !held {
            return Err("another decider took the tenant over meanwhile: try again".to_owned());
        }
        match (last, self.last) {
            (Some(now), Some(then)) if now != then => {
                Err(format!("it ends at {now}, not at {then}: verify the ledger"))
            }
            _ => Ok(()),
        }
    }

    /// Gives the tenant up, to whichever decider looks first.
    pub async fn lift(self) {
        if let Err(error) = self.assignments.release(&self.tenant, self.epoch).await {
            tracing::warn!(%error, tenant = %self.tenant, "waits until this liveness has ended");
        }
        self.alive.abort();
        self.assignments.leave().await;
    }
}

/// The verified end of the ledger.
async fn whole(
    log: &Log,
    verifier: Verifier,
    progress: &(impl Fn(u64) + Send + Sync),
) -> Result<State, String> {
    let left = survey(log, verifier, progress).await?;
    if left.is_whole {
        return Ok(left.state);
    }
    let due = left.state.position + 1;
    Err(format!("the ledger is broken at position {due}: `canonry ledger verify` says why"))
}
