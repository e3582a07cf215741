//! A copy of a tenant's policy away from the decider: whether it may still be used.
//!
//! The policy comes from the ledger ([`Copy::take`]); that it is still the one in force the holder
//! says, in signed beats ([`Copy::hear`]). Without a beat for as long as the bundle allows, the copy
//! is stale and everything is denied. Pure: both clocks are arguments, signatures and records are
//! verified before they come here (`services/policy-feed`), and nothing here can be switched off.

use std::sync::Arc;
use std::time::Duration;

use canonry_record::beat::{Beat, Published};
use canonry_schemas::limits::{BEAT_SKEW, POLICY_TTL};
use canonry_schemas::refusal::{Denial, http};
use canonry_schemas::time::Time;

use crate::Decision;

/// A moment, by two clocks: either may be wrong, and the copy is as old as the worse one says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// What has passed since some beginning; never falls.
    pub since: Duration,
    /// The time of day, which people and programs may set.
    pub wall: Time,
}

/// A policy as it was published, read from the ledger and verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    /// What the record says.
    pub published: Published,
    /// The bundle.
    pub archive: Vec<u8>,
}

/// The last beat that counted.
#[derive(Debug, Clone, Copy)]
struct Heard {
    epoch: u64,
    position: u64,
    time: Time,
    since: Duration,
    /// How old it was when it came.
    age: Duration,
}

/// Why a beat does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unheard {
    /// It is of a later time than there can be.
    #[error("it is ahead of the clock")]
    Future,
    /// It is not newer than one that was heard.
    #[error("it is not newer than one that was heard")]
    Replayed,
    /// It is of a holder before the one that was heard.
    #[error("it is of an earlier holder")]
    Deposed,
    /// It knows less of the ledger than was heard or read.
    #[error("it knows less of the ledger than was heard or read before")]
    RolledBack,
    /// It names a policy that was not read yet.
    #[error("it names a policy that was not read from the ledger")]
    Unread,
    /// It says of the policy what the ledger does not say.
    #[error("the ledger says otherwise of this policy")]
    Differs,
}

/// What a copy is worth at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It decides.
    Fresh(Arc<Held>),
    /// Nobody confirmed for too long that it is in force, or another one is.
    Stale,
    /// The holder says that none was published.
    Missing,
    /// It has expired.
    Expired,
}

impl Standing {
    /// The code with which everything is denied; `None` where the policy decides.
    #[must_use]
    pub const fn denies(&self) -> Option<&'static str> {
        match self {
            Self::Fresh(_) => None,
            Self::Stale => Some(http::POLICY_STALE),
            Self::Missing => Some(Denial::PolicyMissing.code()),
            Self::Expired => Some(Denial::PolicyExpired.code()),
        }
    }
}

/// What is known of a tenant's policy at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct View {
    /// What the copy is worth.
    pub standing: Standing,
    /// The policy that was read last, whatever it is worth.
    pub held: Option<Arc<Held>>,
    /// How long ago the holder said last what is in force.
    pub age: Option<Duration>,
    /// The position and time of that.
    pub heard: Option<(u64, Time)>,
}

impl View {
    /// Of a tenant of which nothing was heard.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { standing: Standing::Stale, held: None, age: None, heard: None }
    }
}

/// What the copy says of an input.
#[derive(Debug, Clone)]
pub struct Advice {
    /// What it rests on.
    pub view: View,
    /// What the policy's rules come to; none where the copy denies by itself.
    pub decision: Option<Decision>,
    /// Why it is a denial though no rule said so.
    pub code: Option<&'static str>,
}

/// A copy of one tenant's policy.
#[derive(Debug, Clone, Default)]
pub struct Copy {
    held: Option<Arc<Held>>,
    heard: Option<Heard>,
    /// The position of a policy that the holder named and that is not here: what is here is not in
    /// force any more.
    overtaken: Option<u64>,
}

impl Copy {
    /// Takes a policy that stands in the ledger. A lower revision or an older position than is known
    /// changes nothing, and is told.
    ///
    /// # Errors
    /// [`Unheard::RolledBack`].
    pub fn take(&mut self, held: Held) -> Result<(), Unheard> {
        let older = |known: &Arc<Held>| {
            held.published.position <= known.published.position
                || held.published.revision <= known.published.revision
        };
        if self.held.as_ref().is_some_and(older) {
            return Err(Unheard::RolledBack);
        }
        // Until a beat names it, it is as fresh as what it takes the place of.
        self.overtaken = self.overtaken.filter(|named| *named > held.published.position);
        self.held = Some(Arc::new(held));
        Ok(())
    }

    /// Forgets the policy, because a repair of the ledger may have left its record out. What was
    /// heard stays the least that is believed.
    pub fn begin_again(&mut self) {
        (self.held, self.overtaken) = (None, Some(u64::MAX));
    }

    /// Takes a beat whose signature is right.
    ///
    /// # Errors
    /// Why it does not count. [`Unheard::Unread`] makes the copy stale until the policy was taken.
    pub fn hear(&mut self, beat: &Beat, now: Moment) -> Result<(), Unheard> {
        let skew = i64::try_from(BEAT_SKEW.as_micros()).unwrap_or(i64::MAX);
        if beat.time.0 > now.wall.0.saturating_add(skew) {
            return Err(Unheard::Future);
        }
        if let Some(last) = &self.heard {
            if beat.epoch < last.epoch {
                return Err(Unheard::Deposed);
            }
            if beat.position < last.position {
                return Err(Unheard::RolledBack);
            }
            if beat.time <= last.time {
                return Err(Unheard::Replayed);
            }
        }
        let (said, held) = (beat.policy.as_ref(), self.held.as_ref().map(|held| &held.published));
        match (said, held) {
            (None, None) => {}
            (Some(said), Some(held)) if said == held => {}
            (Some(said), Some(held)) if said.position == held.position => {
                return Err(Unheard::Differs);
            }
            (Some(said), held) if held.is_none_or(|held| held.position < said.position) => {
                self.overtaken = Some(said.position);
                return Err(Unheard::Unread);
            }
            _ => return Err(Unheard::RolledBack),
        }
        self.overtaken = None;
        self.heard = Some(Heard {
            epoch: beat.epoch,
            position: beat.position,
            time: beat.time,
            since: now.since,
            age: passed(beat.time, now.wall),
        });
        Ok(())
    }

    /// How long ago the holder said last what is in force; `None` before the first time.
    #[must_use]
    pub fn age(&self, now: Moment) -> Option<Duration> {
        let heard = self.heard.as_ref()?;
        let by_since = now.since.saturating_sub(heard.since).saturating_add(heard.age);
        Some(by_since.max(passed(heard.time, now.wall)))
    }

    /// What it is worth now.
    #[must_use]
    pub fn standing(&self, now: Moment) -> Standing {
        let ttl = self.held.as_ref().map_or(POLICY_TTL.1, |held| ttl(&held.published));
        if self.overtaken.is_some() || self.age(now).is_none_or(|age| age >= ttl) {
            return Standing::Stale;
        }
        let Some(held) = &self.held else { return Standing::Missing };
        // A clock that was set back does not bring an expired policy back.
        let time = self.heard.as_ref().map_or(now.wall, |heard| heard.time.max(now.wall));
        if held.published.expires <= time {
            return Standing::Expired;
        }
        Standing::Fresh(Arc::clone(held))
    }

    /// The policy that was read last, whatever it is worth.
    #[must_use]
    pub const fn held(&self) -> Option<&Arc<Held>> {
        self.held.as_ref()
    }

    /// Where the last beat that counted stood: its position and time.
    #[must_use]
    pub fn heard(&self) -> Option<(u64, Time)> {
        self.heard.as_ref().map(|heard| (heard.position, heard.time))
    }
}

/// How long a copy may be used after a beat.
#[must_use]
pub fn ttl(published: &Published) -> Duration {
    Duration::from_secs(published.ttl_seconds).clamp(POLICY_TTL.0, POLICY_TTL.1)
}

fn passed(from: Time, to: Time) -> Duration {
    Duration::from_micros(u64::try_from(to.0.saturating_sub(from.0)).unwrap_or(0))
}
