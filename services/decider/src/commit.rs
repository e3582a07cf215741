//! One commit: plain publishes one after the other, or one atomic batch. An unknown outcome is
//! settled by sending the same bytes with the same guard until the server answers, and a conflict
//! by comparing our hash with the record that stands at our position.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use canonry_nats::{Append, Log, Outgoing, Stored};
use canonry_record::{Hash, record_hash};
use canonry_schemas::answer::Answer;
use canonry_schemas::limits::{COMMIT_CALLERS, COMMIT_STORE, COMMIT_TRY, PLAIN_PUBLISHES};

use crate::draft::Draft;
use crate::holder::Status;
use crate::reply::Reply;

/// How a commit ended.
pub enum Ended {
    /// All of it stands.
    Committed(Done),
    /// Somebody else's record stands at a position of ours: these were not committed.
    Moved(Vec<Draft>),
}

/// What was committed.
#[derive(Debug, Default)]
pub struct Done {
    /// Each record's position and answer.
    pub answers: Vec<(u64, Answer)>,
    /// Position of the last record that had been decided when the store answered, before any
    /// caller did.
    pub decided: u64,
}

/// Commits drafts in order. Returns only when the outcome is known.
pub async fn commit(
    log: &Log,
    mut drafts: Vec<Draft>,
    messages: Vec<Outgoing>,
    status: &Status,
) -> Ended {
    let unavailable = &*status.unavailable;
    let mut done = Done { answers: Vec::with_capacity(drafts.len()), decided: 0 };
    let step = if messages.len() <= PLAIN_PUBLISHES { 1 } else { messages.len() };
    let mut sent = 0;
    while sent < messages.len() {
        let part = &messages[sent..sent + step];
        let first = drafts[0].head.position;
        let last = drafts[step - 1].head;
        let ours =
            settle(log, part, first - 1, last.position, last.hash, &mut drafts, unavailable).await;
        unavailable.store(false, Ordering::Relaxed);
        if !ours {
            return Ended::Moved(drafts);
        }
        done.decided = status.decided.load(Ordering::Relaxed);
        for draft in drafts.drain(..step) {
            draft.reply.answer(&draft.answer).await;
            done.answers.push((draft.head.position, draft.answer));
        }
        sent += step;
    }
    Ended::Committed(done)
}

/// Whether `part` was committed; false means that another record stands there.
async fn settle(
    log: &Log,
    part: &[Outgoing],
    guard: u64,
    last: u64,
    hash: Hash,
    drafts: &mut [Draft],
    unavailable: &AtomicBool,
) -> bool {
    let begun = Instant::now();
    let mut pause = Duration::from_millis(20);
    let mut told = false;
    loop {
        match log.append(part, guard, COMMIT_TRY).await {
            Append::Committed { last_seq } if last_seq == last => break,
            Append::Committed { last_seq } => {
                tracing::warn!(last_seq, last, "acknowledged at another position");
                if let Some(ours) = stands(log, guard, last, hash).await {
                    if ours {
                        break;
                    }
                    return false;
                }
            }
            Append::Conflict { code } => {
                tracing::debug!(code, last, "conflict");
                match stands(log, guard, last, hash).await {
                    Some(true) => break,
                    Some(false) => return false,
                    None => {}
                }
            }
            Append::Refused { code, description } => {
                tracing::warn!(code, %description, "the store refused a commit");
            }
            Append::Unknown { why } => tracing::warn!(%why, last, "outcome of a commit unknown"),
        }
        if !told && begun.elapsed() >= COMMIT_CALLERS {
            told = true;
            for draft in drafts.iter_mut() {
                std::mem::replace(&mut draft.reply, Reply::Nobody)
                    .retry("the store has not answered yet")
                    .await;
            }
        }
        if begun.elapsed() >= COMMIT_STORE {
            unavailable.store(true, Ordering::Relaxed);
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
    true
}

/// Whether our record stands at its position, by the leader's word; `None` while nobody can say.
async fn stands(log: &Log, guard: u64, position: u64, hash: Hash) -> Option<bool> {
    let ours = |stored: &Stored| record_hash(&stored.subject, &stored.body) == hash;
    if let Some(stored) = log.get(position).await.ok()? {
        return Some(ours(&stored));
    }
    let head = log.info().await.ok()?.last_seq;
    if head == guard {
        // The place is free: what made the guard fail is over.
        return None;
    }
    if head < position {
        // A commit stands whole or not at all, so others took its place, if only a part of it;
        // or the log ends before our guard.
        return Some(false);
    }
    // It was stored between the two questions, or what stands there cannot be read.
    Some(log.get(position).await.ok()?.is_some_and(|stored| ours(&stored)))
}
