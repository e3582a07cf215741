//! The projector: reads each tenant's stream in order, checks gap, chain and signature as it goes,
//! and feeds the read models. It hears of news from `live.>` and reads only what moved. Where the
//! ledger is broken it stops and says so, and goes on once a repair leaves that position out.

pub mod writer;

use std::sync::Arc;
use std::time::Duration;

use canonry_api::{Broken, Projections, ReadError as Unwritten};
use canonry_nats::{Connection, Log, ReadError, Stored};
use canonry_projections::Recorded;
use canonry_record::{Line, Verifier, record, verify};
use canonry_schemas::content;
use canonry_schemas::event::Event;
use canonry_schemas::ids::TenantId;
use canonry_schemas::subject::ledger_stream;
use futures_util::StreamExt as _;
use tokio::sync::{Notify, Semaphore, watch};
use tracing::Span;

use crate::content::{Keys, key_of};
use crate::lag::Lag;
use crate::projector::writer::Writer;
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
    let writer = Writer::new(Arc::clone(&shared.projections), tenant.clone());
    let mut feeding = Feeding { shared, tenant, verifier: &mut verifier, writer, first };
    let fed = feeding.feed(&log, feed.position + 1, head).await;
    // What is under way stands or falls before anybody looks where the read models are.
    let landed = feeding.writer.end().await;
    feeding.landed(landed)?;
    fed?;
    shared.projections.index(tenant).await.map_err(|e| again(&e))
}

fn stop(error: &ReadError) -> Stop {
    match error {
        ReadError::Gap { expected, .. } => {
            Stop::Broken(Broken { position: *expected, why: error.to_string() })
        }
        other => Stop::Again(other.to_string()),
    }
}

/// What goes with a batch: how many records, and their spans.
type With = (u64, Vec<Span>);

/// One go through a ledger.
struct Feeding<'a> {
    shared: &'a Shared,
    tenant: &'a TenantId,
    verifier: &'a mut Verifier,
    writer: Writer<With>,
    /// What stands up to here was there before this process, and is no part of a trace that goes on.
    first: u64,
}

impl Feeding<'_> {
    async fn feed(&mut self, log: &Log, from: u64, head: u64) -> Result<(), Stop> {
        let mut records = log.read(from, Some(head)).await.map_err(|e| stop(&e))?;
        let mut batch: Vec<Stored> = Vec::with_capacity(BATCH);
        loop {
            let next = records.next().await.transpose().map_err(|e| stop(&e))?;
            let end = next.is_none();
            batch.extend(next);
            if batch.len() == BATCH || (end && !batch.is_empty()) {
                self.apply(&batch).await?;
                batch.clear();
            }
            if end {
                return Ok(());
            }
        }
    }

    /// Verifies and reads a batch while the one before is written.
    async fn apply(&mut self, batch: &[Stored]) -> Result<(), Stop> {
        let Self { shared, tenant, first, .. } = self;
        let spans = traced::project(tenant, batch.iter().filter(|s| s.seq > *first));
        let recorded = checked(self.verifier, batch)?;
        for group in recorded.iter().filter_map(|r| content_group(&r.event)) {
            shared.keys.load(tenant, group).await.map_err(Stop::Again)?;
        }
        for record in &recorded {
            if let Event::Content(content::Event::Erased(e)) = &record.event {
                shared.keys.forget(tenant, e.key.as_ref().map(|key| key.as_str()));
            }
        }
        let state = self.verifier.state().and_then(|s| serde_json::to_string(s).ok());
        let landed = self.writer.write(recorded, state, (batch.len() as u64, spans)).await;
        self.landed(landed)
    }

    fn landed(&self, landed: Result<Option<(u64, With)>, Unwritten>) -> Result<(), Stop> {
        if let Some((position, (count, _))) = landed.map_err(|e| Stop::Again(e.to_string()))? {
            self.shared.lag.applied(self.tenant, position, count);
        }
        Ok(())
    }
}

/// Stored records, verified, in the form of the read models.
fn checked(verifier: &mut Verifier, batch: &[Stored]) -> Result<Vec<Recorded>, Stop> {
    let lines: Vec<Line<'_>> = batch
        .iter()
        .map(|s| Line { seq: s.seq, subject: &s.subject, headers: &s.headers, body: &s.body })
        .collect();
    verifier
        .push_batch(&lines)
        .map_err(|b| Stop::Broken(Broken { position: b.position, why: b.why.to_string() }))?;
    let unread = |stored: &Stored, why: &str| Broken { position: stored.seq, why: why.to_owned() };
    batch.iter().map(|s| read(s).map_err(|why| Stop::Broken(unread(s, why)))).collect()
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
    let event = Event::parse_text(&r.aggregate, &r.event, r.version, r.data)
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
        data: r.data.to_owned(),
        event,
    })
}
