//! Following a tenant that another decider holds: its records are folded into this decider's own
//! snapshot store as they come, so that a take-over need only read the last few. It writes nothing
//! but that store, and freezes nothing: a broken ledger is reported by whoever serves it.

use std::sync::Arc;
use std::time::Duration;

use canonry_nats::Log;
use canonry_schemas::ids::TenantId;
use canonry_schemas::limits::{FOLLOW_EVERY, FOLLOW_EVERY_MOST};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use crate::holder::Over;
use crate::rebuild::Standing;
use crate::serve::told;
use crate::snapshot::Snapshot;

/// A tenant that is being followed.
pub struct Standby {
    stop: watch::Sender<bool>,
    task: JoinHandle<Option<Standing>>,
}

/// Where the standby reads and writes.
pub struct Place {
    /// Which tenant.
    pub tenant: TenantId,
    /// Its ledger.
    pub log: Log,
    /// Its snapshot store.
    pub store: Arc<Snapshot>,
}

impl Standby {
    /// Begins to follow. `open` connects to the tenant's ledger and store; `places` bounds how many
    /// are read at once.
    pub fn start(
        open: impl Future<Output = Result<Place, Over>> + Send + 'static,
        places: Arc<Semaphore>,
    ) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut ended = stopped.clone();
        let task = tokio::spawn(async move {
            match follow(open, &places, stopped).await {
                Ok(standing) => Some(standing),
                Err(over) => {
                    tracing::warn!(?over, "a tenant cannot be followed");
                    // Whoever looks after this one starts it again; not at once.
                    tokio::select! {
                        () = tokio::time::sleep(FOLLOW_EVERY_MOST) => {}
                        () = told(&mut ended) => {}
                    }
                    None
                }
            }
        });
        Self { stop, task }
    }

    /// Whether it gave up.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Ends the following and hands over what was folded.
    pub async fn hand_over(mut self) -> Option<Standing> {
        self.stop.send_replace(true);
        let wait = tokio::time::timeout(Duration::from_secs(10), &mut self.task);
        match wait.await {
            Ok(ended) => ended.ok().flatten(),
            Err(_) => {
                self.task.abort();
                drop(self.task.await);
                None
            }
        }
    }
}

async fn follow(
    open: impl Future<Output = Result<Place, Over>>,
    places: &Semaphore,
    mut stop: watch::Receiver<bool>,
) -> Result<Standing, Over> {
    let closed = |_| Over::Stopped;
    let place = open.await?;
    let mut standing = {
        let _turn = places.acquire().await.map_err(closed)?;
        Standing::open(&place.log, &place.tenant, place.store, true).await?
    };
    let mut pause = FOLLOW_EVERY;
    loop {
        let before = standing.position();
        {
            let _turn = tokio::select! {
                turn = places.acquire() => turn.map_err(closed)?,
                () = told(&mut stop) => return Ok(standing),
            };
            // Not cut short: a fold that stops half way is of no use.
            standing.catch_up(&place.log).await?;
        }
        let moved = standing.position() > before;
        pause = if moved { FOLLOW_EVERY } else { (pause * 2).min(FOLLOW_EVERY_MOST) };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = told(&mut stop) => return Ok(standing),
        }
    }
}
