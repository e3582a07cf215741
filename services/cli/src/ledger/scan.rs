//! Reading a live ledger through the verifier: in chunks, signatures on every core, with a
//! progress bar. A read that is interrupted goes on where it stood.

use canonry_nats::{Log, ReadError, Stored};
use canonry_record::verify::{Break, Pins, Why};
use canonry_record::{Hash, KeyRing, Line, Verifier};
use canonry_schemas::ids::{ActorId, KeyId, TenantId};
use canonry_schemas::key::Use;
use canonry_schemas::member::Part;
use canonry_schemas::subject::ledger;
use futures_util::StreamExt as _;
use serde_json::Value;

use crate::context::Context;
use crate::failure::{Failure, chain};
use crate::progress::Bars;

/// Records that are verified together, per thread.
const CHUNK: usize = 1_024;
/// Interruptions of one read that are bridged.
const INTERRUPTIONS: u32 = 5;

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

pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

pub(crate) fn line(stored: &Stored) -> Line<'_> {
    Line { seq: stored.seq, subject: &stored.subject, headers: &stored.headers, body: &stored.body }
}

/// The last position of now.
pub(super) async fn last(log: &Log) -> Result<u64, Failure> {
    let info = log.info().await.map_err(|e| Failure::unavailable(chain(&e)))?;
    Ok(info.last_seq)
}

/// Verifies positions 1 to `upto` and hands each record on after its chunk stood.
pub(crate) async fn verified(
    log: &Log,
    verifier: &mut Verifier,
    upto: u64,
    bars: Bars,
    mut each: impl FnMut(&Stored) -> Result<(), Failure>,
) -> Result<(), Stop> {
    let bar = bars.count("verifying", upto);
    let chunk = CHUNK * threads();
    let mut waiting: Vec<Stored> = Vec::with_capacity(chunk);
    let (mut due, mut interruptions) = (1, 0);
    while due <= upto {
        match pass(log, verifier, &mut waiting, &mut due, upto, &mut each, &bar).await {
            Ok(()) => break,
            Err(Passed::Stop(stop)) => return Err(stop),
            Err(Passed::Interrupted(failure)) if interruptions >= INTERRUPTIONS => {
                return Err(Stop::Failed(failure));
            }
            Err(Passed::Interrupted(_)) => interruptions += 1,
        }
    }
    settle(verifier, &mut waiting, &mut each)
}

enum Passed {
    Stop(Stop),
    Interrupted(Failure),
}

async fn pass(
    log: &Log,
    verifier: &mut Verifier,
    waiting: &mut Vec<Stored>,
    due: &mut u64,
    upto: u64,
    each: &mut impl FnMut(&Stored) -> Result<(), Failure>,
    bar: &indicatif::ProgressBar,
) -> Result<(), Passed> {
    let mut records = match log.read(*due, Some(upto)).await {
        Ok(records) => records,
        Err(error) => return Err(Passed::Interrupted(Failure::unavailable(chain(&error)))),
    };
    while let Some(stored) = records.next().await {
        match stored {
            Ok(stored) => {
                *due = stored.seq + 1;
                waiting.push(stored);
            }
            Err(ReadError::Gap { expected, found }) => {
                settle(verifier, waiting, each).map_err(Passed::Stop)?;
                let why = Why::Gap { expected, found: found.unwrap_or(0) };
                return Err(Passed::Stop(Stop::Broken(Break { position: expected, why })));
            }
            Err(error) => return Err(Passed::Interrupted(Failure::unavailable(chain(&error)))),
        }
        if waiting.len() >= CHUNK * threads() {
            settle(verifier, waiting, each).map_err(Passed::Stop)?;
            bar.set_position(*due - 1);
        }
    }
    Ok(())
}

fn settle(
    verifier: &mut Verifier,
    waiting: &mut Vec<Stored>,
    each: &mut impl FnMut(&Stored) -> Result<(), Failure>,
) -> Result<(), Stop> {
    let lines: Vec<_> = waiting.iter().map(line).collect();
    let done = verifier.push_parallel(&lines, threads()).map_err(Stop::Broken);
    // What stands before the break is handed on as well: an export of a broken ledger is evidence.
    for stored in waiting.iter() {
        each(stored).map_err(Stop::Failed)?;
    }
    waiting.clear();
    done
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
    let subject = ledger(tenant, "ticket", "approval-requested");
    let mut found = None;
    let mut verifier = Verifier::new(tenant.clone(), Pins::default());
    verified(&log, &mut verifier, upto, context.bars(), |stored| {
        if stored.subject == subject {
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
