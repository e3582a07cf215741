//! Reading a live ledger through the verifier: in chunks, signatures on every core, with a
//! progress bar. A read that is interrupted goes on where it stood.

use std::sync::OnceLock;

use canonry_nats::{Log, ReadError, Stored};
use canonry_record::verify::{Break, Owed, Pins, Why};
use canonry_record::{Hash, KeyRing, Line, Verifier};
use canonry_schemas::ids::{ActorId, KeyId, TenantId};
use canonry_schemas::key::Use;
use canonry_schemas::member::Part;
use canonry_schemas::subject::ledger;
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinHandle};

use crate::context::Context;
use crate::failure::{Failure, chain};
use crate::progress::Bars;

/// Records that are verified together, per thread.
const CHUNK: usize = 1_024;
/// Interruptions of one read that are bridged.
const INTERRUPTIONS: u32 = 5;
/// Before a reader that was cut off begins again.
const AGAIN: std::time::Duration = std::time::Duration::from_millis(500);

/// Why a scan ended early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The ledger is broken.
    Broken(Break),
    /// It could not be read.
    Failed(Failure),
}

impl From<Stop> for Failure {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Broken(broken) => Self::refused(broken),
            Stop::Failed(failure) => failure,
        }
    }
}

/// Cores of this machine. Asked once: the answer is read from a dozen files.
pub(crate) fn threads() -> usize {
    static CORES: OnceLock<usize> = OnceLock::new();
    *CORES.get_or_init(|| std::thread::available_parallelism().map_or(1, usize::from))
}

pub(crate) fn line(stored: &Stored) -> Line<'_> {
    Line { seq: stored.seq, subject: &stored.subject, headers: &stored.headers, body: &stored.body }
}

/// The last position of now.
pub(crate) async fn last(log: &Log) -> Result<u64, Failure> {
    let info = log.info().await.map_err(|e| Failure::unavailable(chain(&e)))?;
    Ok(info.last_seq)
}

/// Verifies from where the verifier stands to `upto` and hands each record on after its chunk stood.
/// The next chunk is read while one is verified.
pub(crate) async fn verified(
    log: &Log,
    verifier: &mut Verifier,
    upto: u64,
    bars: Bars,
    mut each: impl FnMut(&Stored) -> Result<(), Failure>,
) -> Result<(), Stop> {
    let bar = bars.count("verifying", upto);
    let mut due = verifier.position() + 1;
    let mut scan = Scan { chaining: None, settling: None, verifier, each: &mut each, bar };
    let mut interruptions = 0;
    while due <= upto {
        match pass(log, &mut scan, &mut due, upto).await {
            Ok(()) => break,
            Err(Passed::Stop(stop)) => return Err(stop),
            Err(Passed::Interrupted(failure)) if interruptions >= INTERRUPTIONS => {
                return Err(Stop::Failed(failure));
            }
            Err(Passed::Interrupted(_)) => interruptions += 1,
        }
    }
    scan.settle().await
}

/// Goes on behind the verifier's position for as long as it is let: each record is verified alone
/// and handed on at once. It ends when `stop` does.
pub(super) async fn followed(
    log: &Log,
    verifier: &mut Verifier,
    stop: impl Future<Output = ()>,
    mut each: impl AsyncFnMut(&Stored) -> Result<(), Failure>,
) -> Result<(), Stop> {
    tokio::pin!(stop);
    loop {
        let due = verifier.position() + 1;
        let mut records = match log.follow(due).await {
            Ok(records) => records,
            Err(error) => return Err(missing(error)),
        };
        loop {
            let next = tokio::select! {
                next = records.next() => next,
                () = &mut stop => return Ok(()),
            };
            match next {
                Some(Ok(stored)) => {
                    verifier.push(&line(&stored)).map_err(Stop::Broken)?;
                    each(&stored).await.map_err(Stop::Failed)?;
                }
                Some(Err(error @ ReadError::Gap { .. })) => return Err(missing(error)),
                Some(Err(error)) => {
                    tracing::info!(%error, "reading again");
                    break;
                }
                None => break,
            }
        }
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = &mut stop => return Ok(()),
        }
    }
}

/// A gap is the ledger's, all else the connection's.
fn missing(error: ReadError) -> Stop {
    match error {
        ReadError::Gap { expected, found } => {
            let why = Why::Gap { expected, found: found.unwrap_or(0) };
            Stop::Broken(Break { position: expected, why })
        }
        error => Stop::Failed(Failure::unavailable(chain(&error))),
    }
}

enum Passed {
    Stop(Stop),
    Interrupted(Failure),
}

/// A chunk that was chained, and what it owes.
type Chained = (Verifier, Vec<Stored>, Owed);
/// A chunk that was verified, and what the verifier said.
type Verified = (Verifier, Vec<Stored>, Result<(), Break>);

/// Two chunks are under way: the signatures of one, and the chain of the next.
struct Scan<'a, E> {
    chaining: Option<JoinHandle<Chained>>,
    settling: Option<JoinHandle<Verified>>,
    verifier: &'a mut Verifier,
    each: &'a mut E,
    bar: indicatif::ProgressBar,
}

impl<E: FnMut(&Stored) -> Result<(), Failure>> Scan<'_, E> {
    /// Begins to chain a chunk, once the one before is chained and the one before that stood.
    async fn hand_over(&mut self, chunk: Vec<Stored>) -> Result<(), Stop> {
        let mut verifier = self.advance().await?.unwrap_or_else(|| self.verifier.clone());
        self.chaining = Some(tokio::task::spawn_blocking(move || {
            let lines: Vec<_> = chunk.iter().map(line).collect();
            let owed = verifier.chain(&lines, threads());
            (verifier, chunk, owed)
        }));
        Ok(())
    }

    /// Passes the chunk that is chained on to its signatures; its verifier, which may chain what
    /// follows.
    async fn advance(&mut self) -> Result<Option<Verifier>, Stop> {
        let Some(chaining) = self.chaining.take() else { return Ok(None) };
        let (mut verifier, chunk, owed) = chaining.await.map_err(panicked)?;
        self.land().await?;
        let (chained, broken) = (verifier.clone(), owed.is_broken());
        self.settling = Some(tokio::task::spawn_blocking(move || {
            let done = verifier.confirm(owed);
            (verifier, chunk, done)
        }));
        if broken {
            self.land().await?;
        }
        Ok(Some(chained))
    }

    /// Waits for the signatures under way and hands their records on.
    async fn land(&mut self) -> Result<(), Stop> {
        let Some(settling) = self.settling.take() else { return Ok(()) };
        let (verifier, chunk, done) = settling.await.map_err(panicked)?;
        *self.verifier = verifier;
        // What stands before the break is handed on as well: an export of a broken ledger is
        // evidence.
        for stored in &chunk {
            (self.each)(stored).map_err(Stop::Failed)?;
        }
        self.bar.set_position(self.verifier.position());
        done.map_err(Stop::Broken)
    }

    /// Ends what is under way.
    async fn settle(&mut self) -> Result<(), Stop> {
        self.advance().await?;
        self.land().await
    }
}

fn panicked(error: JoinError) -> Stop {
    Stop::Failed(Failure::refused(error))
}

/// Records that were read, and why the reading ended, if it did.
type Read = (Vec<Stored>, Option<ReadError>);

async fn pass(
    log: &Log,
    scan: &mut Scan<'_, impl FnMut(&Stored) -> Result<(), Failure>>,
    due: &mut u64,
    upto: u64,
) -> Result<(), Passed> {
    let (to, mut chunks) = mpsc::channel(1);
    // A task of the runtime: a thread outside of it would be woken for each message. It ends with
    // the channel.
    tokio::spawn(read_ahead(log.clone(), *due, upto, to));
    while let Some((chunk, ended)) = chunks.recv().await {
        if let Some(last) = chunk.last() {
            *due = last.seq + 1;
            scan.hand_over(chunk).await.map_err(Passed::Stop)?;
        }
        match ended {
            None => {}
            Some(ReadError::Gap { expected, found }) => {
                scan.settle().await.map_err(Passed::Stop)?;
                let why = Why::Gap { expected, found: found.unwrap_or(0) };
                return Err(Passed::Stop(Stop::Broken(Break { position: expected, why })));
            }
            Some(error) => return Err(Passed::Interrupted(Failure::unavailable(chain(&error)))),
        }
    }
    Ok(())
}

/// Reads in chunks while those before are verified.
async fn read_ahead(log: Log, due: u64, upto: u64, to: mpsc::Sender<Read>) {
    let most = CHUNK * threads();
    let mut records = match log.read(due, Some(upto)).await {
        Ok(records) => records,
        Err(error) => return drop(to.send((Vec::new(), Some(error))).await),
    };
    loop {
        let mut chunk = Vec::with_capacity(most);
        let mut ended = None;
        while chunk.len() < most {
            match records.next().await {
                Some(Ok(stored)) => chunk.push(stored),
                Some(Err(error)) => {
                    ended = Some(error);
                    break;
                }
                None => break,
            }
        }
        let over = chunk.len() < most;
        if to.send((chunk, ended)).await.is_err() || over {
            return;
        }
    }
}

/// Position and hash of the record that last asked for approval of a ticket, from the verified
/// ledger.
///
/// # Errors
/// The ledger is broken, or nothing asked.
pub(crate) async fn asked(
    context: &Context,
    nats: Option<&str>,
    tenant: &TenantId,
    entity: &str,
) -> Result<(u64, Hash), Failure> {
    let log = context.ledger(nats, tenant).await?;
    let upto = last(&log).await?;
    let asks = [("ticket", "approval-requested"), ("action", "held"), ("action", "asked-again")]
        .map(|(aggregate, event)| ledger(tenant, aggregate, event));
    let mut found = None;
    let mut verifier = Verifier::new(tenant.clone(), Pins::default());
    verified(&log, &mut verifier, upto, context.bars(), |stored| {
        if asks.contains(&stored.subject) {
            let record = canonry_record::record::parse(&stored.body).map_err(Failure::refused)?;
            if record.entity == entity {
                let hash = canonry_record::record_hash(&stored.subject, &stored.body);
                found = Some((stored.seq, hash));
            }
        }
        Ok(())
    })
    .await?;
    found.ok_or_else(|| Failure::refused(format!("nobody asked for approval of {entity}")))
}

/// The tenant's keys as the verified ledger has them now, and what a member may do; nothing where
/// the ledger knows no such member.
///
/// # Errors
/// The ledger is broken or cannot be read.
pub(crate) async fn standing(
    context: &Context,
    nats: Option<&str>,
    tenant: &TenantId,
    member: &ActorId,
) -> Result<(KeyRing, Vec<Part>), Failure> {
    let log = context.ledger(nats, tenant).await?;
    let upto = last(&log).await?;
    let mut verifier = Verifier::new(tenant.clone(), Pins::default());
    let [founded, enrolled, removed] =
        [("tenant", "founded"), ("member", "enrolled"), ("member", "removed")]
            .map(|(aggregate, event)| ledger(tenant, aggregate, event));
    let mut parts = Vec::new();
    verified(&log, &mut verifier, upto, context.bars(), |stored| {
        let known = [&founded, &enrolled, &removed].contains(&&stored.subject);
        if known && let Some(now) = parts_in(&stored.body, member)? {
            parts = now;
        }
        Ok(())
    })
    .await?;
    let state = verifier.state().ok_or_else(|| Failure::refused("the ledger is empty"))?;
    Ok((state.ring.clone(), parts))
}

/// What a record that founds, enrols or removes says that a member may do from then on.
fn parts_in(body: &[u8], member: &ActorId) -> Result<Option<Vec<Part>>, Failure> {
    let record = canonry_record::record::parse(body).map_err(Failure::refused)?;
    let data: Value = serde_json::from_str(record.data).map_err(Failure::refused)?;
    let named = |entry: &&Value| entry["actor"] == member.as_str();
    let entry = match record.event.as_str() {
        "founded" => data["members"].as_array().into_iter().flatten().find(named),
        "removed" if named(&&data) => return Ok(Some(Vec::new())),
        _ => Some(&data).filter(named),
    };
    let parts = entry.and_then(|entry| entry.get("parts"));
    parts.map(|parts| serde_json::from_value(parts.clone()).map_err(Failure::refused)).transpose()
}

/// An actor's keys that hold.
pub(crate) fn current(ring: &KeyRing, actor: &ActorId, wanted: Use) -> Vec<KeyId> {
    ring.for_actor(actor, wanted).map(|entry| entry.key.id.clone()).collect()
}
