//! Roles: posts for AI workers, each with a job, boundaries, a budget, tools, escalation, a tier.

use serde::{Deserialize, Serialize};

use crate::catalogue::{commands, data, events};
use crate::ids::{ActorId, KeyedDigest, RoleId};
use crate::text::{Content, Governance, Label};

/// Trust tiers, least first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum Tier {
    /// Observer.
    T0,
    /// Operator.
    T1,
    /// Builder.
    T2,
    /// Executor.
    T3,
    /// Architect.
    T4,
}

data! {
    /// What the role may spend, in micro-units of the tenant's currency.
    Budget {
        /// For one ticket.
        #[schemars(range(max = 9_007_199_254_740_991_u64))]
        per_ticket_micros: u64,
        /// In one day, UTC.
        #[schemars(range(max = 9_007_199_254_740_991_u64))]
        per_day_micros: u64,
    }
    /// Creates a post. Founder only.
    Hire {
        /// What the post is called.
        title: Label,
        /// The job description.
        job: Governance,
        /// What the role must not do.
        #[schemars(length(max = 64))]
        boundaries: Vec<Governance>,
        /// What it may spend.
        budget: Budget,
        /// Tools it may use, by name.
        #[schemars(length(max = 64))]
        tools: Vec<Label>,
        /// Who is asked when the worker cannot go on, in order.
        #[schemars(length(min = 1, max = 64))]
        escalation: Vec<ActorId>,
        /// How far it is trusted.
        tier: Tier,
    }
    /// Changes a post; what is absent stays. Founder only.
    Amend {
        /// Which role.
        id: RoleId,
        /// A new title.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<Label>,
        /// A new job description.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        job: Option<Governance>,
        /// New boundaries, all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(max = 64))]
        boundaries: Option<Vec<Governance>>,
        /// A new budget.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        budget: Option<Budget>,
        /// New tools, all of them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(max = 64))]
        tools: Option<Vec<Label>>,
        /// New escalation, all of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(min = 1, max = 64))]
        escalation: Option<Vec<ActorId>>,
        /// A new tier.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tier: Option<Tier>,
    }
    /// Tells with what the role's work is done. A change lowers its tier and begins its counters anew.
    Fingerprint {
        /// Which role.
        id: RoleId,
        /// The model, with its version.
        model: Label,
        /// SHA-256 of the prompt.
        prompt_digest: KeyedDigest,
        /// SHA-256 of the description of its tools.
        tools_digest: KeyedDigest,
    }
    /// With what the work is done, and the tier that follows.
    Fingerprinted {
        /// Which role.
        id: RoleId,
        /// The model, with its version.
        model: Label,
        /// SHA-256 of the prompt.
        prompt_digest: KeyedDigest,
        /// SHA-256 of the description of its tools.
        tools_digest: KeyedDigest,
        /// The tier from now on.
        tier: Tier,
        /// The tier before, where the change lowered it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lowered_from: Option<Tier>,
    }
    /// What a role's runs came to since its tier last changed.
    #[derive(Copy, Default)]
    Counters {
        /// Runs that ended.
        runs: u32,
        /// Of these, completed without a violation.
        compliant: u32,
        /// Of these, the last ones without a break.
        consecutive: u32,
        /// Violations.
        violations: u32,
    }
    /// The decider's own timer looks whether the counters move the role.
    Review {
        /// Which role.
        id: RoleId,
    }
    /// A role that moves to another tier, or is proposed for it, and what that rests on.
    Moved {
        /// Which role.
        id: RoleId,
        /// The tier before.
        from: Tier,
        /// The next one.
        to: Tier,
        /// What was counted since the tier last changed.
        counters: Counters,
        /// Position of the last record that was counted, a decimal.
        #[schemars(regex(pattern = r"^[1-9][0-9]{0,19}$"))]
        counted: String,
        /// Position of the thresholds, a decimal.
        #[schemars(regex(pattern = r"^[1-9][0-9]{0,19}$"))]
        thresholds: String,
    }
    /// Pauses, resumes or retires a post.
    Change {
        /// Which role.
        id: RoleId,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Content>,
    }
}

impl Fingerprint {
    /// The record that tells it.
    #[must_use]
    pub fn told(self, tier: Tier, lowered_from: Option<Tier>) -> Fingerprinted {
        Fingerprinted {
            id: self.id,
            model: self.model,
            prompt_digest: self.prompt_digest,
            tools_digest: self.tools_digest,
            tier,
            lowered_from,
        }
    }
}

impl Fingerprinted {
    /// What was told.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint {
            id: self.id.clone(),
            model: self.model.clone(),
            prompt_digest: self.prompt_digest.clone(),
            tools_digest: self.tools_digest.clone(),
        }
    }
}

commands! { "role";
    /// Creates a post.
    "hire" => Hire(Hire),
    /// Changes it.
    "amend" => Amend(Amend),
    /// Stops new runs.
    "pause" => Pause(Change),
    /// Allows them again.
    "resume" => Resume(Change),
    /// Ends the post for good.
    "retire" => Retire(Change),
    /// Tells with what the work is done.
    "fingerprint" => Fingerprint(Fingerprint),
    /// Looks whether its counters move it; the decider's own timer alone.
    "review" => Review(Review),
}

events! { "role";
    /// Hired; the id is in `entity`.
    "hired" v 1 => Hired(Hire),
    /// Amended.
    "amended" v 1 => Amended(Amend),
    /// Paused.
    "paused" v 1 => Paused(Change),
    /// Resumed.
    "resumed" v 1 => Resumed(Change),
    /// Retired.
    "retired" v 1 => Retired(Change),
    /// With what the work is done.
    "fingerprinted" v 1 => Fingerprinted(Fingerprinted),
    /// Earned the next tier.
    "promoted" v 1 => Promoted(Moved),
    /// Lost its tier.
    "demoted" v 1 => Demoted(Moved),
    /// Earned the next tier, which a founder is to give.
    "promotion-proposed" v 1 => PromotionProposed(Moved),
}
