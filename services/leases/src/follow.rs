//! One tenant's ledger, read and verified from its first record on, into a roster that others look
//! at. A ledger that is broken says nothing: its leases stay as they were, and the decider serves
//! it no more.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use canonry_nats::{Connection, Log, Stored};
use canonry_record::verify::Pins;
use canonry_record::{Line, Verifier, record};
use canonry_schemas::event::Event;
use canonry_schemas::ids::TenantId;
use canonry_schemas::limits::WARDEN_LOOK;
use canonry_schemas::subject::ledger_stream;
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::sync::{Notify, watch};

use crate::roster::Roster;

/// Records that are verified together.
const CHUNK: usize = 1_024;
/// So many new records are read one by one.
const FEW: u64 = 32;
/// How long a tenant rests after something failed.
const REST: Duration = Duration::from_secs(1);

/// What is known of a tenant.
#[derive(Debug)]
pub struct Book {
    /// Which.
    pub tenant: TenantId,
    roster: Mutex<Roster>,
    /// The last record that was folded; it moves after the roster.
    pub position: watch::Sender<u64>,
}

impl Book {
    /// Of a tenant of which nothing was read yet.
    #[must_use]
    pub fn new(tenant: TenantId) -> Arc<Self> {
        Arc::new(Self { tenant, roster: Mutex::default(), position: watch::Sender::new(0) })
    }

    /// The leases as of the position.
    pub fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads on whenever there is news, for ever: again from the beginning when something failed.
pub async fn follow(reader: Connection, book: Arc<Book>) {
    let news = Arc::new(Notify::new());
    let hears = tokio::spawn(hear(reader.clone(), book.tenant.clone(), Arc::clone(&news)));
    let _ends = Ends(hears);
    loop {
        let why = Box::pin(read(&reader, &book, &news)).await;
        tracing::warn!(tenant = %book.tenant, why, "leases: reading the ledger again");
        tokio::time::sleep(REST).await;
    }
}

/// A task that ends with whoever started it.
struct Ends(tokio::task::JoinHandle<()>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn hear(reader: Connection, tenant: TenantId, news: Arc<Notify>) {
    match reader.subscribe(&format!("live.{tenant}.>"), None).await {
        Ok(mut live) => {
            while live.next().await.is_some() {
                news.notify_one();
            }
        }
        Err(error) => tracing::warn!(%error, %tenant, "no news: looking by the clock"),
    }
}

async fn read(reader: &Connection, book: &Book, news: &Notify) -> String {
    let log = match Log::open(reader.clone(), &ledger_stream(&book.tenant)).await {
        Ok(log) => log.with_reader_name("warden"),
        Err(error) => return error.to_string(),
    };
    let (mut verifier, mut fresh) =
        (Verifier::new(book.tenant.clone(), Pins::default()), Roster::default());
    loop {
        match catch_up(&log, verifier, &mut fresh, book).await {
            Ok(read) => verifier = read,
            Err(why) => return why,
        }
        tokio::select! {
            () = news.notified() => {}
            () = tokio::time::sleep(WARDEN_LOOK) => {}
        }
    }
}

/// Reads to the head of now. What was known before stays until as much was read again.
async fn catch_up(
    log: &Log,
    mut verifier: Verifier,
    roster: &mut Roster,
    book: &Book,
) -> Result<Verifier, String> {
    let head = log.info().await.map_err(|e| e.to_string())?.last_seq;
    let from = verifier.position() + 1;
    if head < from {
        return Ok(verifier);
    }
    for stored in newest(log, from, head).await {
        (verifier, *roster) = take(verifier, vec![stored], roster.clone()).await?;
    }
    if verifier.position() < head {
        (verifier, *roster) = many(log, head, verifier, roster.clone()).await?;
    }
    let position = verifier.position();
    if position >= *book.position.borrow() {
        *book.roster() = roster.clone();
        book.position.send_replace(position);
    }
    Ok(verifier)
}

/// A few records, one by one: a consumer may begin a second later on a cluster. Where one is
/// missing the rest is left to a consumer.
async fn newest(log: &Log, from: u64, head: u64) -> Vec<Stored> {
    let mut found = Vec::new();
    if head - from < FEW {
        for position in from..=head {
            match log.get(position).await {
                Ok(Some(stored)) => found.push(stored),
                _ => break,
            }
        }
    }
    found
}

async fn many(
    log: &Log,
    head: u64,
    mut verifier: Verifier,
    mut roster: Roster,
) -> Result<(Verifier, Roster), String> {
    let from = verifier.position() + 1;
    let mut records = log.read(from, Some(head)).await.map_err(|e| e.to_string())?;
    let mut chunk = Vec::with_capacity(CHUNK);
    loop {
        let next = records.next().await.transpose().map_err(|e| e.to_string())?;
        let end = next.is_none();
        chunk.extend(next);
        if chunk.len() == CHUNK || end {
            (verifier, roster) = take(verifier, std::mem::take(&mut chunk), roster).await?;
        }
        if end {
            return Ok((verifier, roster));
        }
    }
}

async fn take(
    mut verifier: Verifier,
    chunk: Vec<Stored>,
    mut roster: Roster,
) -> Result<(Verifier, Roster), String> {
    let work = tokio::task::spawn_blocking(move || {
        let lines: Vec<Line<'_>> = chunk
            .iter()
            .map(|s| Line { seq: s.seq, subject: &s.subject, headers: &s.headers, body: &s.body })
            .collect();
        verifier.push_batch(&lines).map_err(|broken| broken.why.to_string())?;
        for stored in &chunk {
            fold(&mut roster, &stored.body)?;
        }
        Ok((verifier, roster))
    });
    work.await.map_err(|e| e.to_string())?
}

fn fold(roster: &mut Roster, body: &[u8]) -> Result<(), String> {
    let read = record::parse(body).map_err(|e| e.to_string())?;
    let data: Value = serde_json::from_str(read.data).map_err(|e| e.to_string())?;
    let event = Event::parse(&read.aggregate, &read.event, read.version, &data)
        .ok_or_else(|| format!("a type that this program does not know: {}", read.event))?
        .map_err(|e| e.to_string())?;
    let id = read.entity.split_once('/').map_or("", |(_, id)| id);
    roster.fold(id, &event, read.time);
    Ok(())
}
