//! Roles: posts for AI workers, each with a job, boundaries, a budget, tools, escalation, a tier.

use serde::{Deserialize, Serialize};

use crate::catalogue::{commands, data, events};
use crate::ids::{ActorId, RoleId};
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
    /// Pauses, resumes or retires a post.
    Change {
        /// Which role.
        id: RoleId,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<Content>,
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
}
