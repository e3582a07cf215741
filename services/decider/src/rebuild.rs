//! From the stream to a [`World`]: every record read in order, verified and folded. Nothing is
//! ever rebuilt by a subject filter.

use canonry_nats::{Log, ReadError, Stored};
use canonry_record::{Hash, KeyRing, Line, Verifier, record, verify};
use canonry_schemas::answer::Answer;
use canonry_schemas::event::Event;
use canonry_schemas::ids::TenantId;
use canonry_schemas::{member, tenant};
use futures_util::StreamExt as _;
use serde_json::Value;

use crate::draft::{self, Head};
use crate::holder::Over;
use crate::world::{ContentKey, Folded, World};

/// Records verified at once.
const CHUNK: usize = 1_024;

/// A tenant's state at the head.
pub struct Rebuilt {
    /// The fold.
    pub world: World,
    /// The keys.
    pub ring: KeyRing,
    /// The head.
    pub head: Head,
    /// Bytes of all bodies.
    pub bytes: u64,
}

fn frozen(position: u64, why: impl Into<String>) -> Over {
    Over::Frozen { position, why: why.into() }
}

/// Reads, verifies and folds a whole ledger.
///
/// # Errors
/// [`Over::Frozen`] with the position of a gap, a broken chain or an unknown type;
/// [`Over::Failed`] when the store does not answer.
pub async fn from_log(log: &Log, tenant: &TenantId) -> Result<Rebuilt, Over> {
    let failed = |e: &dyn std::fmt::Display| Over::Failed(e.to_string());
    let upto = log.info().await.map_err(|e| failed(&e))?.last_seq;
    let mut world = World::new(tenant.clone());
    let mut verifier = Verifier::new(tenant.clone(), verify::Pins::default());
    let mut bytes = 0;
    let mut records = log.read(1, Some(upto)).await.map_err(|e| read_error(&e))?;
    let mut chunk = Vec::with_capacity(CHUNK);
    loop {
        let next = records.next().await;
        let end = next.is_none();
        if let Some(stored) = next {
            let stored = stored.map_err(|e| read_error(&e))?;
            bytes += stored.body.len() as u64;
            chunk.push(stored);
        }
        if chunk.len() == CHUNK || (end && !chunk.is_empty()) {
            verify_chunk(&mut verifier, &chunk)?;
            for stored in chunk.drain(..) {
                fold(&mut world, &stored)?;
            }
        }
        if end {
            break;
        }
    }
    let state = verifier.state().ok_or_else(|| frozen(1, "the ledger has no first record"))?;
    if state.position != upto {
        return Err(frozen(state.position + 1, "the ledger ended before its head"));
    }
    let head =
        Head { position: state.position, hash: state.hash, time: state.time, epoch: state.epoch };
    Ok(Rebuilt { world, ring: state.ring.clone(), head, bytes })
}

fn read_error(error: &ReadError) -> Over {
    match error {
        ReadError::Gap { expected, .. } => frozen(*expected, error.to_string()),
        other => Over::Failed(other.to_string()),
    }
}

/// Verifies stored records in order.
///
/// # Errors
/// [`Over::Frozen`] at the first break.
pub fn verify_chunk(verifier: &mut Verifier, chunk: &[Stored]) -> Result<(), Over> {
    let lines: Vec<Line<'_>> = chunk
        .iter()
        .map(|s| Line { seq: s.seq, subject: &s.subject, headers: &s.headers, body: &s.body })
        .collect();
    verifier.push_batch(&lines).map_err(|b| frozen(b.position, b.why.to_string()))
}

fn fold(world: &mut World, stored: &Stored) -> Result<(), Over> {
    let bad = |why: &str| frozen(stored.seq, why.to_owned());
    let read = record::parse(&stored.body).map_err(|e| frozen(stored.seq, e.to_string()))?;
    let data: Value = serde_json::from_str(read.data).map_err(|_| bad("the data is not JSON"))?;
    let event = Event::parse(&read.aggregate, &read.event, read.version, &data)
        .ok_or_else(|| bad("a type or version that this program does not know: upgrade it"))?
        .map_err(|_| bad("the data does not fit its type"))?;
    let hash = canonry_record::record_hash(&stored.subject, &stored.body).to_string();
    let actor = read.actor.parse().map_err(|_| bad("not an actor"))?;
    let intent = match (&read.intentid, read.intentdigest) {
        (Some(id), Some(digest)) => Some((id.parse().map_err(|_| bad("not an intent"))?, digest)),
        _ => None,
    };
    world.fold(&Folded {
        position: read.position,
        hash: &hash,
        time: read.time,
        actor: &actor,
        intent: intent.as_ref().map(|(id, digest)| (id, digest)),
        entity: &read.entity,
        event: &event,
        content_key: greatest_content_key(&data),
    });
    Ok(())
}

fn greatest_content_key(data: &Value) -> Option<ContentKey> {
    match data {
        Value::String(text) => {
            text.strip_prefix("x1:")?.split_once(':').and_then(|(id, _)| ContentKey::parse(id))
        }
        Value::Object(map) => map.values().filter_map(greatest_content_key).max(),
        _ => None,
    }
}

/// Folds the keys that an event changes.
pub fn fold_keys(ring: &mut KeyRing, event: &Event, hash: Hash, position: u64) {
    let change = match event {
        Event::Member(member::Event::Enrolled(e)) => e.key_change(),
        Event::Member(member::Event::Removed(e)) => e.key_change(),
        Event::Member(member::Event::KeysRotated(e)) => e.key_change(),
        Event::Tenant(tenant::Event::Founded(_) | tenant::Event::TakenOver(_))
        | Event::Role(_)
        | Event::Ticket(_)
        | Event::Run(_)
        | Event::Actor(_)
        | Event::Refused { .. } => return,
    };
    ring.apply(&change, hash, position);
}

/// The answer that the record at a position stands for.
pub async fn answer_at(log: &Log, tenant: &TenantId, position: u64) -> Option<Answer> {
    let stored = log.get(position).await.ok()??;
    let read = record::parse(&stored.body).ok()?;
    let data: Value = serde_json::from_str(read.data).ok()?;
    let event = Event::parse(&read.aggregate, &read.event, read.version, &data)?.ok()?;
    let hash = canonry_record::record_hash(&stored.subject, &stored.body);
    Some(draft::answer(tenant, position, &hash, &read.entity, &event))
}
