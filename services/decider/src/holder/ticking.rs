//! What a holder does by the clock: missed deadlines, sums of what was throttled, the signed head, the
//! beat.

use std::sync::Arc;
use std::time::{Duration, Instant};

use canonry_schemas::actor::{self, Throttled};
use canonry_schemas::event::Event;
use canonry_schemas::limits::{BATCH_RECORDS, HEAD_EVERY};
use canonry_schemas::time::Time;

use super::{Holder, Over, now};
use crate::desk::Asked;
use crate::rebuild::unstored;
use crate::reply::Reply;

/// After its last capture a snapshot store's files stay open for so long.
const STORE_RESTS: Duration = Duration::from_secs(1);

impl Holder {
    pub(super) async fn tick(&mut self) -> Result<(), Over> {
        if self.stalled() {
            self.answer_waiting().await;
            return Ok(());
        }
        let soon = Time(now().0.saturating_add(60_000_000));
        self.world.more_deadlines(soon).map_err(|e| unstored(&e))?;
        for (due, what) in self.world.overdue(now(), BATCH_RECORDS) {
            let (aggregate, verb, body) = what.command(due);
            let asked = Asked {
                actor: self.actor(),
                aggregate: aggregate.to_owned(),
                verb: verb.to_owned(),
                headers: Vec::new(),
                body: body.into(),
                timer: true,
            };
            self.take(Arc::new(asked), Reply::Nobody).await?;
        }
        if self.summed.elapsed() >= self.s.throttle.summary_every {
            self.summed = Instant::now();
            for (actor, commands) in self.throttle.take_sums() {
                let entity = format!("actor/{actor}");
                let event = actor::Event::Throttled(Throttled { actor, commands });
                self.own_record(Event::Actor(event), entity).await?;
            }
        }
        // Its own pace: a store that does not answer is tried again.
        drop(tokio::time::timeout(HEAD_EVERY, self.shred_due()).await);
        self.tell_head();
        self.beat();
        if self.storing.is_none() && self.captured_at.1.elapsed() >= STORE_RESTS {
            self.s.store.rest();
        }
        Ok(())
    }

    pub(super) async fn write_head(&mut self) {
        if self.committed.position > self.signed_head {
            let signer = self.heads.at(self.committed.position);
            let written = self.s.keeper.write_head(&self.s.tenant, &self.committed, signer).await;
            if written {
                self.signed_head = self.committed.position;
            }
        }
    }
}
