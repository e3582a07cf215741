//! A holder's snapshot store: what changed is captured as of one record, and written once that
//! record is committed. Reading the chain again starts from there.

use std::sync::Arc;
use std::time::Instant;

use canonry_schemas::limits::{SNAPSHOT_EVERY, SNAPSHOT_RECORDS};
use tokio::task::JoinHandle;

use super::{Holder, Over};
use crate::rebuild::{Rebuilt, Standing, unstored};
use crate::snapshot::{self, Change};

impl Holder {
    /// The state at the head of the ledger, from the snapshot on: that holds nothing uncommitted.
    pub(super) async fn read_again(&mut self) -> Result<Rebuilt, Over> {
        self.captured = None;
        if let Some(storing) = self.storing.take() {
            drop(storing.await);
        }
        let store = Arc::clone(&self.s.store);
        let mut standing = Standing::open(&self.s.log, &self.s.tenant, store, false).await?;
        standing.catch_up(&self.s.log).await?;
        standing.into_rebuilt()
    }

    /// Captures what changed when it is time, and writes it once it is committed.
    pub(super) fn store(&mut self) {
        let (position, at) = self.captured_at;
        let new = self.head.position - position;
        let due = new >= SNAPSHOT_RECORDS || (new > 0 && at.elapsed() >= SNAPSHOT_EVERY);
        if self.captured.is_none() && self.storing.is_none() && due {
            self.capture();
        }
        let committed = self.committed.position;
        if self.storing.is_none()
            && let Some(change) = self.captured.take_if(|c| c.head.position <= committed)
        {
            let store = Arc::clone(&self.s.store);
            self.storing = Some(tokio::task::spawn_blocking(move || {
                let floor = store.write(&change)?;
                Ok((change.head.position, floor))
            }));
        }
    }

    pub(super) fn capture(&mut self) {
        let keyhead = self.ring.keyhead();
        let ring = (self.captured_keys != Some(keyhead)).then(|| self.ring.clone());
        self.captured_keys = Some(keyhead);
        self.captured_at = (self.head.position, Instant::now());
        self.captured = Some(Change {
            capture: self.world.capture(),
            head: self.head,
            founder: self.founder,
            bytes: self.bytes,
            ring,
        });
    }

    pub(super) fn stored(
        &mut self,
        stored: Result<(u64, u64), snapshot::Error>,
    ) -> Result<(), Over> {
        match stored {
            Ok((position, floor)) => {
                self.world.flushed(position, floor);
                Ok(())
            }
            // What was captured is lost: only a fresh fold knows it again.
            Err(error) => Err(unstored(&error)),
        }
    }

    /// Stores the rest when a holder ends in good order, so that the next one starts from there.
    pub(super) async fn store_last(&mut self) {
        for _ in 0..3 {
            if let Some(storing) = self.storing.take()
                && !matches!(storing.await, Ok(Ok(_)))
            {
                return;
            }
            let all_committed = self.head.position == self.committed.position;
            if self.captured.is_none() && all_committed && self.captured_at.0 < self.head.position {
                self.capture();
            }
            self.store();
        }
    }
}

/// The end of a write under way.
pub(super) async fn landing<T>(
    task: &mut Option<JoinHandle<Result<T, snapshot::Error>>>,
) -> Result<T, snapshot::Error> {
    let Some(handle) = task.as_mut() else { return std::future::pending().await };
    let ended = handle.await;
    *task = None;
    ended.unwrap_or_else(|_| Err(snapshot::Error::Foreign("nothing: the writer fell".to_owned())))
}
