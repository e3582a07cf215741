//! The running service: copies what is new of every tenant each minute, and makes a backup of each
//! once a day. A tenant that fails is told by code, rests longer each time, and is then verified
//! anew from its place.

use std::collections::BTreeMap;
use std::time::Duration;

use canonry_nats::{Connection, Log};
use canonry_record::verify::Pins;
use canonry_schemas::ids::{ObjectId, TenantId};
use canonry_schemas::subject::ledger_stream;
use canonry_schemas::time::Time;
use canonry_telemetry::Metrics;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::backup::backup;
use crate::check::manifests;
use crate::copy::Copier;
use crate::error::Error;
use crate::heads::fresh;
use crate::limits::{REST, REST_MOST};
use crate::place::Place;

/// What it does.
pub struct Settings {
    /// Where to.
    pub place: Place,
    /// How often what is new is copied.
    pub copy_every: Duration,
    /// How often a backup is made.
    pub backup_every: Duration,
    /// Whose.
    pub tenants: Box<dyn Fn() -> Vec<TenantId> + Send + Sync>,
    /// The clock.
    pub now: fn() -> Time,
    /// Where it counts.
    pub metrics: Metrics,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").field("place", &self.place.shown()).finish_non_exhaustive()
    }
}

/// The running service.
#[derive(Debug)]
pub struct Service {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

/// What is known of one tenant.
#[derive(Default)]
struct Known {
    copier: Option<Copier>,
    /// When its newest backup was made.
    newest: Option<Time>,
    /// How often it failed in a row, and until when it rests.
    failed: u32,
    rests: Option<Instant>,
}

impl Service {
    /// Starts it over the connection of the cell's reader.
    #[must_use]
    pub fn start(connection: Connection, settings: Settings) -> Self {
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(run(connection, settings, stopped));
        Self { stop, task }
    }

    /// Ends it: what is being written is left as after a crash, which costs nothing.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if self.task.await.is_err() {
            tracing::error!("the backup service ended badly");
        }
    }
}

async fn run(connection: Connection, settings: Settings, mut stop: watch::Receiver<bool>) {
    let mut known: BTreeMap<TenantId, Known> = BTreeMap::new();
    let mut ticks = tokio::time::interval(settings.copy_every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
        for tenant in (settings.tenants)() {
            let one = known.entry(tenant.clone()).or_default();
            if one.rests.is_some_and(|until| Instant::now() < until) {
                continue;
            }
            let turn = tokio::select! {
                turn = turn(&connection, &settings, &tenant, one) => turn,
                _ = stop.wait_for(|stop| *stop) => return,
            };
            settle(&tenant, one, turn);
        }
        let oldest = known.values().map(|one| one.newest.map_or(0, |at| at.0 / 1_000_000)).min();
        settings.metrics.oldest_backup(oldest.and_then(|at| u64::try_from(at).ok()).unwrap_or(0));
    }
}

/// What follows from one turn: the next one, or a rest that grows.
fn settle(tenant: &TenantId, one: &mut Known, turn: Result<(), Error>) {
    let Err(error) = turn else {
        (one.failed, one.rests) = (0, None);
        return;
    };
    let code = error.code();
    tracing::error!(%tenant, code, %error, "the copy or backup of a tenant failed");
    let rest = (REST * 2_u32.saturating_pow(one.failed)).min(REST_MOST);
    one.failed = one.failed.saturating_add(1).min(16);
    (one.copier, one.rests) = (None, Some(Instant::now() + rest));
}

/// A backup where one is due, else a copy of what is new.
async fn turn(
    connection: &Connection,
    settings: &Settings,
    tenant: &TenantId,
    one: &mut Known,
) -> Result<(), Error> {
    let log = Log::open(connection.clone(), &ledger_stream(tenant)).await;
    let log = log.map_err(|e| Error::nats("opening the ledger", e))?;
    let log = log.with_reader_name("reader");
    if one.newest.is_none() {
        let made = manifests(&settings.place.below(tenant.as_str()), tenant).await?;
        one.newest = made.last().map(|(_, manifest)| manifest.at);
    }
    let now = (settings.now)();
    let every = i64::try_from(settings.backup_every.as_micros()).unwrap_or(i64::MAX);
    let due = one.newest.is_none_or(|at| now.0.saturating_sub(at.0) >= every);
    match one.copier.as_mut().filter(|_| !due) {
        Some(copier) => {
            let (head, _) = fresh(&log, tenant).await?;
            let round = copier.round(&log, &head, now, &mut |_, _| ()).await?;
            tell_missing(tenant, &round.missing);
            settings.metrics.copied(round.records);
        }
        None => whole(&log, settings, tenant, one, now).await?,
    }
    Ok(())
}

/// Whoever attaches evidence may name an object that was never stored; what is lost looks the same.
fn tell_missing(tenant: &TenantId, missing: &[ObjectId]) {
    if let Some(first) = missing.first() {
        tracing::warn!(%tenant, count = missing.len(), %first, "evidence is not in its bucket");
    }
}

/// A backup, which verifies everything that is there.
async fn whole(
    log: &Log,
    settings: &Settings,
    tenant: &TenantId,
    one: &mut Known,
    now: Time,
) -> Result<(), Error> {
    let pins = Pins::default();
    let made = backup(log, &settings.place, tenant, pins, now, &mut |_, _| ()).await;
    settings.metrics.backup(made.is_ok());
    let done = made?;
    tell_missing(tenant, &done.missing);
    let head = &done.manifest.head.head;
    tracing::info!(%tenant, position = head.position, name = %done.named.name, "backed up");
    settings.metrics.copied(done.new_records);
    one.newest = Some(now);
    one.copier = Some(done.copier);
    Ok(())
}
