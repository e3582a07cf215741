//! The projector: reads each tenant's stream in order, checks gap, chain and signature as it goes,
//! and feeds the read models. It hears of news from `live.>` and reads only what moved. Where the
//! ledger is broken it stops and says so, and goes on once a repair leaves that position out.

use std::sync::Arc;
use std::time::Duration;

use canonry_api::{Broken, Projections};
use canonry_nats::{Connection, Log, ReadError, Stored};
use canonry_projections::Recorded;
use canonry_record::{Line, Verifier, record, verify};
use canonry_schemas::content;
use canonry_schemas::event::Event;
use canonry_schemas::ids::TenantId;
use canonry_schemas::subject::ledger_stream;
use futures_util::StreamExt as _;
use tokio::sync::{Notify, Semaphore, watch};

use crate::content::{Keys, key_of};
use crate::lag::Lag;
use crate::traced;

/// Records of one transaction.
const BATCH: usize = 1_000;
/// How often the stream is asked although no news came.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// What all projectors of a process share.
pub struct Shared {
    /// The reader's connection.
    pub connection: Connection,
    /// The read models.
    pub projections: Arc<Projections>,
    /// Content keys, loaded as they are met.
    pub keys: Arc<Keys>,
    /// Tenants that are read at once.
    pub reading: Semaphore,
    /// How far they are behind.
    pub lag: Lag,
}

/// Why a projector goes no further.
pub(crate) enum Stop {
    /// The ledger does not hold, or says something unknown.
    Broken(Broken),
    /// Try again.
    Again(String),
}

/// Follows one tenant until stopped.
pub async fn follow(shared: Arc<Shared>, tenant: TenantId, mut stop: watch::Receiver<bool>) {
    let news = Arc::new(Notify::new());
    let hears = tokio::spawn(hear(shared.connection.clone(), tenant.clone(), Arc::clone(&news)));
    loop {
        match catch_up(&shared, &tenant).await {
            Ok(()) => {
                shared.projections.caught_up(&tenant);
                if let Err(error) = shared.projections.report_whole(&tenant) {
                    tracing::error!(%error, "that the ledger holds could not be noted");
                }
            }
            Err(Stop::Again(why)) => tracing::warn!(%tenant, %why, "projector: trying again"),
            Err(Stop::Broken(broken)) => {
                tracing::error!(%tenant, position = broken.position, why = %broken.why, "ledger broken");
                let position = broken.position;
                if let Err(error) = shared.projections.report_broken(&tenant, broken) {
                    tracing::error!(%error, "the break could not be noted");
                }
                // It goes no further; what was read before is served.
                shared.projections.caught_up(&tenant);
                if !repaired(&shared, &tenant, position, &mut stop).await {
                    break;
                }
                continue;
            }
        }
        tokio::select! {
            () = news.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stop.changed() => break,
        }
    }
    hears.abort();
}

/// Waits until a repair leaves the broken position out; false when it is to stop.
async fn repaired(
    shared: &Shared,
    tenant: &TenantId,
    position: u64,
    stop: &mut watch::Receiver<bool>,
) -> bool {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            _ = stop.changed() => return false,
        }
        match Log::open(shared.connection.clone(), &ledger_stream(tenant)).await {
            Ok(log) if log.leaves_out(position) => return true,
            Ok(_) => {}
            Err(error) => tracing::debug!(%tenant, %error, "no ledger to look at"),
        }
    }
}

async fn hear(connection: Connection, tenant: TenantId, news: Arc<Notify>) {
    match connection.subscribe(&format!("live.{tenant}.>"), None).await {
        Ok(mut live) => {
            while live.next().await.is_some() {
                news.notify_one();
            }
        }
        Err(error) => tracing::warn!(%error, %tenant, "no news: looking every two seconds"),
    }
}

pub(crate) async fn catch_up(shared: &Shared, tenant: &TenantId) -> Result<(), Stop> {
    let again = |e: &dyn std::fmt::Display| Stop::Again(e.to_string());
    let _place = shared.reading.acquire().await.map_err(|e| again(&e))?;
    let feed = shared.projections.open(tenant).await.map_err(|e| again(&e))?;
    let log = Log::open(shared.connection.clone(), &ledger_stream(tenant))
        .await
        .map_err(|e| again(&e))?
        .with_reader_name("reader");
    if log.leaves_out(feed.position) {
        // What it saw was lost; the repair is checked as the ledger is read anew.
        shared.projections.begin_again(tenant).await.map_err(|e| again(&e))?;
        return Err(Stop::Again("the ledger was repaired: the read models begin again".into()));
    }
    if !shared.keys.has_begun(tenant) {
        let known = shared.projections.read(tenant, |s| s.erased_keys()).await;
        let (_, known) = known.map_err(|e| again(&e))?;
        shared.keys.forget(tenant, known.iter().map(String::as_str));
        shared.keys.begin(tenant);
    }
    let state: Option<verify::State> =
        feed.verifier_state.as_deref().and_then(|s| serde_json::from_str(s).ok());
    let mut verifier = match state {
        Some(state) if state.position == feed.position => Verifier::resume(state),
        None if feed.position == 0 => Verifier::new(tenant.clone(), verify::Pins::default()),
        _ => return Err(Stop::Again("the read model holds no fitting verifier state".into())),
    };
    let head = log.info().await.map_err(|e| again(&e))?.last_seq;
    let first = shared.lag.seen(tenant, head, feed.position);
    let mut records = log.read(feed.position + 1, Some(head)).await.map_err(|e| stop(&e))?;
    let mut batch: Vec<Stored> = Vec::with_capacity(BATCH);
    loop {
        let next = records.next().await.transpose().map_err(|e| stop(&e))?;
        let end = next.is_none();
        batch.extend(next);
        if batch.len() == BATCH || (end && !batch.is_empty()) {
            // What was there before this process is no part of a trace that goes on.
            let spans = traced::project(tenant, batch.iter().filter(|s| s.seq > first));
            apply(shared, tenant, &mut verifier, &batch).await?;
            drop(spans);
            batch.clear();
        }
        if end {
            return shared.projections.index(tenant).await.map_err(|e| again(&e));
        }
    }
}

fn stop(error: &ReadError) -> Stop {
    match error {
        ReadError::Gap { expected, .. } => {
            Stop::Broken(Broken { position: *expected, why: error.to_string() })
        }
        other => Stop::Again(other.to_string()),
    }
}

async fn apply(
    shared: &Shared,
    tenant: &TenantId,
    verifier: &mut Verifier,
    batch: &[Stored],
) -> Result<(), Stop> {
    let lines: Vec<Line<'_>> = batch
        .iter()
        .map(|s| Line { seq: s.seq, subject: &s.subject, headers: &s.headers, body: &s.body })
        .collect();
    verifier
        .push_batch(&lines)
        .map_err(|b| Stop::Broken(Broken { position: b.position, why: b.why.to_string() }))?;
    let mut recorded = Vec::with_capacity(batch.len());
    for stored in batch {
        recorded.push(
            read(stored).map_err(|why| {
                Stop::Broken(Broken { position: stored.seq, why: why.to_owned() })
            })?,
        );
    }
    for group in recorded.iter().filter_map(|r| content_group(&r.event)) {
        shared.keys.load(tenant, group).await.map_err(Stop::Again)?;
    }
    for record in &recorded {
        if let Event::Content(content::Event::Erased(e)) = &record.event {
            shared.keys.forget(tenant, e.key.as_ref().map(|key| key.as_str()));
        }
    }
    let state = verifier.state().and_then(|s| serde_json::to_string(s).ok());
    let applied = shared.projections.apply(tenant, recorded, state).await;
    let position = applied.map_err(|e| Stop::Again(e.to_string()))?;
    shared.lag.applied(tenant, position, batch.len() as u64);
    Ok(())
}

/// Only content is looked at: a label that looks sealed is a client's text.
fn content_group(event: &Event) -> Option<u32> {
    event.content().into_iter().find_map(key_of).map(|(group, _)| group)
}

/// A verified record in the form of the read models.
///
/// # Errors
/// A body that is no record, or a type or version that this program does not know.
pub fn read(stored: &Stored) -> Result<Recorded, &'static str> {
    let r = record::parse(&stored.body).map_err(|_| "not a record")?;
    let data: serde_json::Value =
        serde_json::from_str(r.data).map_err(|_| "the data is not JSON")?;
    let event = Event::parse(&r.aggregate, &r.event, r.version, &data)
        .ok_or("a type or version that this program does not know: upgrade it")?
        .map_err(|_| "the data does not fit its type")?;
    Ok(Recorded {
        position: r.position,
        hash: canonry_record::record_hash(&stored.subject, &stored.body).to_string(),
        id: r.id.to_string(),
        time: r.time,
        actor: r.actor.to_string(),
        via: r.via.as_ref().map(ToString::to_string),
        intentid: r.intentid.as_ref().map(ToString::to_string),
        entity: r.entity.to_string(),
        touches: r.touched().map(ToOwned::to_owned).collect(),
        kind: r.kind(),
        data,
        event,
    })
}
