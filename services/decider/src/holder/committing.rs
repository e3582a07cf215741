//! A holder's commits: one in flight, the next being decided and signed; what follows when the
//! chain moved under it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use canonry_record::record_hash;
use canonry_record::seal::Signer;
use canonry_schemas::answer::Answer;
use canonry_schemas::limits::{BATCH_RECORDS, PLAIN_PUBLISHES};
use canonry_telemetry::{Kind, Way};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use super::{Holder, Over, landing};
use crate::commit::{Ended, commit};
use crate::draft::{self, Draft, Signed};
use crate::traced;

/// So many signed drafts leave at once, although more are being signed.
const SIGNED_ENOUGH: usize = 128;
/// So many more leave with them, and are signed as they leave.
const SIGNED_LEAVING: usize = 64;

impl Holder {
    /// Sends the next commit if none is in flight; otherwise has what waits signed meanwhile.
    pub(super) fn launch(&mut self) {
        let signed = self.ready.iter().take_while(|d| d.signature.is_some()).count();
        if self.in_flight.is_some() {
            return self.sign_ahead(signed);
        }
        if self.gathering.waits_for_more(self.ready.len()) {
            return self.sign_ahead(signed);
        }
        // What is being signed is to leave next: soon, and in one piece.
        if self.ready.is_empty() || (signed < SIGNED_ENOUGH && self.signing.is_some()) {
            return;
        }
        self.launched = Instant::now();
        // A few more are signed as they leave: a commit of their own would cost them more.
        let more = if self.signing.is_some() { 0 } else { SIGNED_LEAVING };
        let most = if signed > 0 { signed + more } else { self.ready.len() };
        let count = most.min(self.ready.len()).min(BATCH_RECORDS);
        let drafts: Vec<Draft> = self.ready.drain(..count).collect();
        self.flying = drafts.last().map(|d| d.head);
        let log = self.s.log.clone();
        let signers: Vec<_> =
            drafts.iter().map(|d| Arc::clone(self.records.at(d.head.position))).collect();
        let status = Arc::clone(&self.s.status);
        let metrics = self.s.metrics.clone();
        let way = if count <= PLAIN_PUBLISHES { Way::Plain } else { Way::Batch };
        let span = traced::commit(&self.s.tenant, &drafts, way);
        let committing = async move {
            let signatures = sign_rest(&signers, &drafts).await;
            if signatures.len() != drafts.len() {
                return Ended::Moved(drafts);
            }
            let messages = drafts
                .iter()
                .zip(signers.iter().zip(&signatures))
                .map(|(draft, (signer, signature))| draft::outgoing(draft, signer, signature))
                .collect();
            let begun = Instant::now();
            let ended = commit(&log, drafts, messages, &status).await;
            if let Ended::Committed(done) = &ended {
                metrics.commit(way, begun.elapsed());
                for (_, answer) in &done.answers {
                    metrics.record(if answer.ok { Kind::Fact } else { Kind::Refusal });
                }
            }
            ended
        };
        self.in_flight = Some(tokio::spawn(committing.instrument(span)));
        self.sign_ahead(0);
    }

    /// Signs what waits behind the first `signed` drafts, on a thread of its own.
    fn sign_ahead(&mut self, signed: usize) {
        if self.signing.is_some() {
            return;
        }
        let most = BATCH_RECORDS.saturating_sub(signed);
        let waiting = self.ready.iter().skip(signed).take(most);
        let (signers, hashes): (Vec<_>, Vec<_>) =
            waiting.map(|d| (Arc::clone(self.records.at(d.head.position)), d.head.hash)).unzip();
        // A few are signed as quickly when they leave.
        if hashes.len() <= PLAIN_PUBLISHES {
            return;
        }
        self.signing = Some(tokio::task::spawn_blocking(move || {
            let signatures = draft::sign_each(&signers, &hashes);
            hashes.into_iter().zip(signatures).collect()
        }));
    }

    /// Puts signatures to the drafts that they belong to.
    pub(super) fn take_signatures(&mut self, signed: Vec<Signed>) {
        let mut signed = signed.into_iter().peekable();
        for draft in &mut self.ready {
            // Drafts that are no more, because the chain moved, are passed over.
            if let Some((_, signature)) = signed.next_if(|(hash, _)| *hash == draft.head.hash) {
                draft.signature = Some(signature);
            }
        }
    }

    pub(super) async fn landed(&mut self) -> Ended {
        let ended = landing(&mut self.in_flight).await;
        if let Ended::Committed(_) = &ended {
            self.settle_head();
        }
        ended
    }

    pub(super) fn settle_head(&mut self) {
        if let Some(head) = self.flying.take() {
            self.committed = head;
            self.s.status.committed.store(head.position, Ordering::Relaxed);
        }
    }

    pub(super) async fn land(&mut self, ended: Ended) -> Result<(), Over> {
        self.s.status.stalled.store(false, Ordering::Relaxed);
        match ended {
            Ended::Committed(done) => {
                self.settle_head();
                let waited = done.decided.saturating_sub(self.committed.position);
                self.gathering.landed(done.answers.len(), waited, self.launched.elapsed());
                self.answer_late(&done.answers).await;
                if self.beating.is_urgent() {
                    self.beat();
                }
                Ok(())
            }
            Ended::Moved(drafts) => self.again(drafts).await,
        }
    }

    pub(super) async fn answer_late(&mut self, done: &[(u64, Answer)]) {
        if self.late.is_empty() {
            return;
        }
        for (position, answer) in done {
            for reply in self.late.remove(position).unwrap_or_default() {
                reply.answer(answer).await;
            }
        }
    }

    /// The chain moved under us: drop all state, read to the head, decide again by intent id.
    pub(super) async fn again(&mut self, lost: Vec<Draft>) -> Result<(), Over> {
        tracing::warn!(tenant = %self.s.tenant, lost = lost.len(), "the chain moved: reading it again");
        self.flying = None;
        // They are of drafts that are decided again.
        self.signing = None;
        let mut waiting: Vec<Draft> = lost;
        waiting.extend(self.ready.drain(..));
        let rebuilt = match self.read_again().await {
            Ok(rebuilt) if rebuilt.head.epoch <= self.s.epoch => rebuilt,
            other => {
                for draft in waiting {
                    draft.reply.retry("the tenant has changed hands").await;
                }
                return Err(other.err().unwrap_or(Over::Stopped));
            }
        };
        let known = self.committed;
        let stored = self.s.log.get(known.position).await;
        let stands = stored.map(|s| s.map(|s| record_hash(&s.subject, &s.body)));
        let over = match stands {
            Ok(Some(hash)) if hash == known.hash => None,
            Ok(_) => Some(Over::Frozen {
                position: known.position,
                why: "a record that was committed is gone or another".to_owned(),
            }),
            Err(error) => Some(Over::Failed(error.to_string())),
        };
        if let Some(over) = over {
            for draft in waiting {
                draft.reply.retry("the ledger is not as it was").await;
            }
            return Err(over);
        }
        let timelines = match super::signing::begin(&mut self.s.signers, &rebuilt.ring) {
            Ok(timelines) => timelines,
            Err(over) => {
                for draft in waiting {
                    draft.reply.retry("a key cannot be opened").await;
                }
                return Err(over);
            }
        };
        self.world = rebuilt.world;
        self.ring = rebuilt.ring;
        (self.records, self.heads) = timelines;
        self.head = rebuilt.head;
        self.committed = rebuilt.head;
        self.bytes = rebuilt.bytes;
        self.captured_at = (rebuilt.head.position, Instant::now());
        self.captured_keys = None;
        self.erasing = super::erasing::Erasing::default();
        self.beating = super::beating::Beating::at(rebuilt.head.position);
        self.s.status.committed.store(rebuilt.head.position, Ordering::Relaxed);
        for reply in std::mem::take(&mut self.late).into_values().flatten() {
            reply.retry("the chain moved").await;
        }
        let mut waiting = waiting.into_iter();
        while let Some(draft) = waiting.next() {
            let Some(asked) = draft.asked else { continue };
            if let Err(over) = self.decide(asked, draft.reply, false).await {
                for draft in waiting {
                    draft.reply.retry("the tenant is changing hands").await;
                }
                return Err(over);
            }
        }
        Ok(())
    }
}

/// The end of signing ahead; nothing where it was cut off, so that it is done again.
pub(super) async fn signed(signing: &mut Option<JoinHandle<Vec<Signed>>>) -> Vec<Signed> {
    let Some(handle) = signing.as_mut() else { return std::future::pending().await };
    let signed = handle.await;
    *signing = None;
    signed.unwrap_or_default()
}

/// The signatures of all drafts; those that were not made ahead are made now.
async fn sign_rest(signers: &[Arc<Signer>], drafts: &[Draft]) -> Vec<[u8; 64]> {
    let unsigned = || drafts.iter().zip(signers).filter(|(draft, _)| draft.signature.is_none());
    let (keys, hashes): (Vec<_>, Vec<_>) =
        unsigned().map(|(draft, signer)| (Arc::clone(signer), draft.head.hash)).unzip();
    let made = if hashes.len() <= PLAIN_PUBLISHES {
        draft::sign_each(&keys, &hashes)
    } else {
        let signed = tokio::task::spawn_blocking(move || draft::sign_each(&keys, &hashes)).await;
        signed.unwrap_or_default()
    };
    let mut made = made.into_iter();
    // One that was not made ends the list: it is then too short, and nothing is sent.
    drafts.iter().map_while(|draft| draft.signature.or_else(|| made.next())).collect()
}
