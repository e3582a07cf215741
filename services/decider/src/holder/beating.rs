//! The holder's beat: which policy is in force, said once in a while and at once when another is, or
//! when keys changed. Those who have a copy of the policy use it while they hear this (ADR 26).
//!
//! Before it speaks the holder looks at the stream: where records stand that it did not write,
//! somebody else serves the tenant, and it is silent.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use canonry_nats::Log;
use canonry_record::beat::{Beat, Published};
use canonry_record::{record, record_hash};
use canonry_schemas::event::Event;
use canonry_schemas::limits::{BEAT_EVERY, HEAD_EVERY};
use canonry_schemas::{member, policy, tenant};

use super::{Holder, now};
use crate::world::Need;

/// What a beat came to: the position it was of and the policy it named, or why it is not stored.
pub(super) type Told = Result<(u64, Option<Arc<Published>>), String>;

/// What was said, and what is under way.
pub(super) struct Beating {
    /// When the last beat was stored; none before the first, or when another is due at once.
    told: Option<Instant>,
    /// When one was tried last.
    tried: Option<Instant>,
    /// Position of the last record that changed what a beat says.
    changed: u64,
    /// The policy that was said last: its record is not read again.
    known: Option<Arc<Published>>,
}

impl Beating {
    /// Of a holder that has said nothing: what it says may have changed with its first record.
    pub(super) const fn at(position: u64) -> Self {
        Self { told: None, tried: None, changed: position, known: None }
    }

    /// Whether something changed that was not said yet.
    pub(super) const fn is_urgent(&self) -> bool {
        self.told.is_none()
    }

    fn due(&self) -> bool {
        let rested = self.tried.is_none_or(|at| at.elapsed() >= HEAD_EVERY);
        rested && self.told.is_none_or(|at| at.elapsed() >= BEAT_EVERY)
    }
}

impl Holder {
    /// Notes a record that changes what a beat says.
    pub(super) fn note_beat(&mut self, event: &Event, position: u64) {
        let changes = matches!(
            event,
            Event::Policy(policy::Event::Published(_))
                | Event::Tenant(tenant::Event::KeysRotated(_))
                | Event::Member(
                    member::Event::Enrolled(_)
                        | member::Event::Removed(_)
                        | member::Event::KeysRotated(_)
                )
        );
        if changes {
            (self.beating.changed, self.beating.told, self.beating.tried) = (position, None, None);
        }
    }

    /// Has the beat said where it is due: of the committed head, whose keys and policy are those of
    /// the world. While a change of them is not committed nothing is said.
    pub(super) fn beat(&mut self) {
        let committed = self.beating.changed <= self.committed.position;
        if !committed || self.beside.is_beating() || !self.beating.due() {
            return;
        }
        let policy = match self.world.policy() {
            Ok(policy) => policy.map(|policy| policy.position),
            Err(Need::Entity(entity)) => {
                // Cold: it is read back, and the next tick finds it.
                if let Err(error) = self.world.warm(&entity) {
                    tracing::warn!(%error, "the policy could not be read for a beat");
                }
                return;
            }
            Err(_) => return,
        };
        self.beating.tried = Some(Instant::now());
        let head = self.committed;
        let mut beat = Beat {
            tenant: self.s.tenant.clone(),
            epoch: self.s.epoch,
            position: head.position,
            hash: head.hash,
            keyhead: self.ring.keyhead(),
            time: now().max(head.time),
            policy: None,
        };
        let known = self.beating.known.clone().filter(|known| Some(known.position) == policy);
        let (keeper, log, status) =
            (self.s.keeper.clone(), self.s.log.clone(), Arc::clone(&self.s.status));
        let signer = Arc::clone(self.records.at(head.position + 1));
        self.beside.begin_beat(tokio::spawn(async move {
            let saying = async {
                let published = match (policy, known) {
                    (None, _) => None,
                    (Some(_), Some(known)) => Some(known),
                    (Some(position), None) => Some(Arc::new(published(&log, position).await?)),
                };
                let last = log.info().await.map_err(|e| e.to_string())?.last_seq;
                if last > status.decided.load(Ordering::Relaxed) {
                    return Err("somebody else writes this ledger".to_owned());
                }
                beat.policy = published.as_deref().cloned();
                keeper.write_beat(beat, &signer).await?;
                Ok((head.position, published))
            };
            let said = tokio::time::timeout(HEAD_EVERY, saying).await;
            said.unwrap_or_else(|_| Err("the store does not answer".to_owned()))
        }));
    }

    /// Takes up what came of a beat.
    pub(super) fn beaten(&mut self, told: Told) {
        match told {
            Ok((position, published)) => {
                self.beating.known = published;
                // What changed meanwhile is said in a beat of its own.
                if self.beating.changed <= position {
                    self.beating.told = Some(Instant::now());
                }
            }
            Err(why) => tracing::debug!(tenant = %self.s.tenant, why, "no beat was stored"),
        }
    }
}

/// What the record at this position, one of this ledger's, published.
async fn published(log: &Log, position: u64) -> Result<Published, String> {
    let stored = log.get(position).await.map_err(|e| e.to_string())?;
    let stored = stored.ok_or("the record of the policy is not there")?;
    let read = record::parse(&stored.body).map_err(|e| e.to_string())?;
    let event = Event::parse_text(&read.aggregate, &read.event, read.version, read.data);
    let Some(Ok(Event::Policy(policy::Event::Published(e)))) = event else {
        return Err("the record of the policy is another".to_owned());
    };
    Ok(Published {
        position,
        hash: record_hash(&stored.subject, &stored.body),
        digest: e.digest,
        revision: e.revision,
        version: e.version,
        expires: e.expires,
        ttl_seconds: u64::from(e.ttl_seconds),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_beat_is_due_at_first_after_a_minute_and_not_again_at_once_where_it_failed() {
        let ago = |past: Duration| Instant::now().checked_sub(past);
        let due = |told: Option<Duration>, tried: Option<Duration>| {
            let mut beating = Beating::at(1);
            (beating.told, beating.tried) = (told.map(|t| ago(t).unwrap()), tried.and_then(ago));
            beating.due()
        };
        let (soon, minute) = (Duration::ZERO, BEAT_EVERY);
        assert!(due(None, None), "nothing was said yet, or something changed");
        assert!(!due(Some(soon), Some(soon)));
        assert!(!due(Some(minute - HEAD_EVERY * 2), Some(minute - HEAD_EVERY * 2)));
        assert!(due(Some(minute), Some(minute)));
        assert!(!due(None, Some(soon)), "it just failed");
        assert!(due(None, Some(HEAD_EVERY)));
    }
}
