//! Promotion and demotion: a pure function of what the records of a role's runs add up to, and of
//! the thresholds that a founder set. A record that moves a role names both, so that anybody can
//! compute it again.
//!
//! A run is compliant when it was completed and nobody counted a violation in it; one that failed
//! or was cancelled is not. Counters begin anew whenever the tier changes, or what works in the role.

use canonry_schemas::action;
use canonry_schemas::refusal::{Denial, Refusal};
use canonry_schemas::role::{Counters, Event as RoleEvent, Fingerprint, Moved};
use canonry_schemas::tier::{Command, Configure, Event, LeasesWanted, TIERS, Tier};
use canonry_schemas::time::Time;
use serde::{Deserialize, Serialize};

use crate::facts::{Applied, Facts};
use crate::role::Role;

/// What a founder set; before that nothing moves and no lease is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tiers {
    /// Where it was set; 0 before.
    pub position: u64,
    /// What.
    pub set: Option<Configure>,
}

/// What a role's runs came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Since its tier, or what works in it, last changed.
    pub since: Counters,
    /// Since it was hired.
    pub total: Counters,
    /// Position of the last record that was counted; 0 before the first.
    pub counted: u64,
    /// When that was.
    pub active: Option<Time>,
    /// What works in it.
    pub fingerprint: Option<Fingerprint>,
    /// The tier that was proposed and not answered.
    pub proposed: Option<Tier>,
    /// Since when the timer owes a record.
    pub review: Option<Time>,
}

impl Tiers {
    /// After a founder set it.
    #[must_use]
    pub fn configured(applied: &Applied<'_>, set: &Configure) -> Self {
        Self { position: applied.position, set: Some(set.clone()) }
    }

    /// Whether workers need a lease for what a run does.
    #[must_use]
    pub fn want_leases(&self) -> bool {
        self.set.as_ref().is_some_and(|set| set.leases == LeasesWanted::Required)
    }

    /// The tier that a change of what works in a role lowers it to.
    #[must_use]
    pub fn floor(&self) -> Tier {
        self.set.as_ref().map_or(Tier::T0, |set| set.floor)
    }
}

/// The tier that a role is to have, where it is another one.
#[must_use]
pub fn judge(tier: Tier, since: &Counters, set: &Configure) -> Option<Tier> {
    let at = TIERS.iter().position(|t| *t == tier)?;
    if since.violations >= set.violations {
        return at.checked_sub(1).map(|lower| TIERS[lower]);
    }
    let step = set.promotions.iter().find(|step| Some(&step.to) == TIERS.get(at + 1))?;
    let share = u64::from(since.compliant) * 1_000;
    let earned = since.runs >= step.runs
        && since.consecutive >= step.consecutive
        && share >= u64::from(step.compliant_per_mille) * u64::from(since.runs);
    earned.then_some(step.to)
}

/// Whether an action's event is a violation: the role may not do such a thing, as a rule of the
/// policy, its tools or its tier say, or nobody said what an allowed one has cost. What fails for
/// want of money, of people or of a policy is none.
#[must_use]
pub fn violates(event: &action::Event) -> bool {
    const BROKEN: [Denial; 3] = [Denial::PolicyDenied, Denial::ToolNotAllowed, Denial::TierTooLow];
    match event {
        action::Event::Denied(e) => BROKEN.iter().any(|denial| denial.code() == e.code.0),
        action::Event::Lapsed(_) => true,
        action::Event::Allowed(_)
        | action::Event::Held(_)
        | action::Event::Routed(_)
        | action::Event::Approved(_)
        | action::Event::Rejected(_)
        | action::Event::AskedAgain(_)
        | action::Event::Settled(_)
        | action::Event::Expired(_)
        | action::Event::SteppedUp(_)
        | action::Event::Escalated(_) => false,
    }
}

fn count(counters: &mut Counters, compliant: bool) {
    counters.runs = counters.runs.saturating_add(1);
    if compliant {
        counters.compliant = counters.compliant.saturating_add(1);
        counters.consecutive = counters.consecutive.saturating_add(1);
    } else {
        counters.consecutive = 0;
    }
}

impl Standing {
    /// A run of the role ended.
    pub fn ran(&mut self, compliant: bool, applied: &Applied<'_>) {
        count(&mut self.since, compliant);
        count(&mut self.total, compliant);
        self.counted = applied.position;
        self.active = Some(applied.time);
    }

    /// A rule was broken in one of its runs.
    pub fn violated(&mut self, applied: &Applied<'_>) {
        for counters in [&mut self.since, &mut self.total] {
            counters.violations = counters.violations.saturating_add(1);
            counters.consecutive = 0;
        }
        self.counted = applied.position;
        self.active = Some(applied.time);
    }

    fn begin_anew(&mut self) {
        self.since = Counters::default();
        (self.proposed, self.review) = (None, None);
    }
}

impl Role {
    /// What the timer owes after something was counted.
    #[must_use]
    pub fn reviewed(mut self, tiers: &Tiers, now: Time) -> Self {
        let to = tiers.set.as_ref().and_then(|set| judge(self.tier, &self.standing.since, set));
        let news = to.filter(|to| self.standing.proposed != Some(*to) && !self.retired());
        self.standing.review = news.map(|_| self.standing.review.unwrap_or(now));
        self
    }

    /// Folds what concerns its tier; any other event of a role changes nothing here.
    pub(crate) fn evolve_tier(&mut self, event: &RoleEvent) {
        match event {
            RoleEvent::Amended(e) if e.tier.is_some_and(|tier| tier != self.tier) => {
                self.tier = e.tier.unwrap_or(self.tier);
                self.standing.begin_anew();
            }
            RoleEvent::Amended(_) => {}
            RoleEvent::Promoted(e) | RoleEvent::Demoted(e) => {
                self.tier = e.to;
                self.standing.begin_anew();
            }
            RoleEvent::PromotionProposed(e) => {
                (self.standing.proposed, self.standing.review) = (Some(e.to), None);
            }
            RoleEvent::Fingerprinted(e) => {
                self.tier = e.tier;
                if self.standing.fingerprint.is_some() {
                    self.standing.begin_anew();
                }
                self.standing.fingerprint = Some(e.fingerprint());
            }
            RoleEvent::Retired(_) => self.standing.review = None,
            RoleEvent::Hired(_) | RoleEvent::Paused(_) | RoleEvent::Resumed(_) => {}
        }
    }
}

/// Decides what is set.
///
/// # Errors
/// `founder-only`, `tiers-invalid`.
pub fn decide(facts: &Facts<'_>, Command::Configure(set): Command) -> Result<Event, Refusal> {
    facts.founder()?;
    let steps = &set.promotions;
    let ascending = steps.windows(2).all(|pair| pair[0].to < pair[1].to);
    if !ascending || steps.iter().any(|step| step.to == Tier::T0) {
        return Err(Refusal::TiersInvalid);
    }
    Ok(Event::Configured(set))
}

/// Who works in the role tells with what; a change of it lowers the tier.
pub(crate) fn fingerprint(
    role: &Role,
    facts: &Facts<'_>,
    c: Fingerprint,
) -> Result<RoleEvent, Refusal> {
    if role.standing.fingerprint.as_ref() == Some(&c) {
        return Err(Refusal::NothingChanged);
    }
    let floor = facts.tiers.floor();
    let lowers = role.standing.fingerprint.is_some() && role.tier > floor;
    let tier = if lowers { floor } else { role.tier };
    Ok(RoleEvent::Fingerprinted(c.told(tier, lowers.then_some(role.tier))))
}

/// The record that the timer owes.
pub(crate) fn review(
    role: &Role,
    facts: &Facts<'_>,
    id: canonry_schemas::ids::RoleId,
) -> Result<RoleEvent, Refusal> {
    if !facts.timer {
        return Err(Refusal::NotAllowed);
    }
    let set = facts.tiers.set.as_ref().ok_or(Refusal::ReviewNotDue)?;
    let since = role.standing.since;
    let to = judge(role.tier, &since, set).ok_or(Refusal::ReviewNotDue)?;
    if role.standing.proposed == Some(to) {
        return Err(Refusal::ReviewNotDue);
    }
    let moved = Moved {
        id,
        from: role.tier,
        to,
        counters: since,
        counted: role.standing.counted.to_string(),
        thresholds: facts.tiers.position.to_string(),
    };
    Ok(match (to > role.tier, set.automatic) {
        (false, _) => RoleEvent::Demoted(moved),
        (true, true) => RoleEvent::Promoted(moved),
        (true, false) => RoleEvent::PromotionProposed(moved),
    })
}
