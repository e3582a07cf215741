//! What a policy decides about an action, as it stands in records: the verdict, the rules behind
//! it, what must be done to an allowed call, and who must agree to a held one. How it is found out
//! is in `services/policy`; what follows from it in `domain`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::catalogue::data;
use crate::ids::{ActorId, Digest, Position};
use crate::member::Part;
use crate::text::Label;
use crate::time::Time;

/// What a policy says, strictest last.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// It may be done, under the obligations.
    Allow,
    /// It is for another tool, model or queue.
    Route,
    /// Not now: try again later.
    Throttle,
    /// People must agree first.
    RequireHitl,
    /// Somebody must show again, at a stronger level, who they are.
    RequireStepUp,
    /// No.
    Deny,
}

/// What must be done to a call that is allowed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Obligation {
    /// A value is taken out before the call.
    Redact {
        /// Where it stands in the arguments: a JSON pointer.
        path: Label,
    },
    /// A number is lowered to a bound.
    Cap {
        /// Where it stands in the arguments: a JSON pointer.
        path: Label,
        /// The bound.
        #[schemars(range(min = -9_007_199_254_740_991_i64, max = 9_007_199_254_740_991_i64))]
        max: i64,
    },
    /// A header is added to the call.
    AddHeader {
        /// Its name.
        name: Label,
        /// Its value.
        value: Label,
    },
}

/// What a routed action is routed to.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Another tool.
    Tool,
    /// Another model.
    Model,
    /// A queue of people's work.
    Queue,
}

data! {
    /// A policy's decision: with the bundle and the input anybody comes to the same again.
    Decision {
        /// SHA-256 of the bundle; absent where there was none to ask.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        bundle: Option<Digest>,
        /// Position of the record that published it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        policy: Option<Position>,
        /// The engine and its version.
        engine: Label,
        /// What it said.
        verdict: Verdict,
        /// The rules that matched, by name.
        #[schemars(length(max = 256))]
        rules: Vec<Label>,
        /// What must be done to an allowed call.
        #[schemars(length(max = 256))]
        obligations: Vec<Obligation>,
    }
    /// So many people of a group.
    Group {
        /// How many must agree.
        #[schemars(range(min = 1, max = 16))]
        needed: u16,
        /// What the policy calls them.
        name: Label,
        /// Who they are, by part; founders are among them.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        part: Option<Part>,
        /// Who they are, by name, as they were when the question was put.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(length(max = 64))]
        from: Option<Vec<ActorId>>,
    }
    /// Who must agree to a held action, until when.
    Approvals {
        /// Each group must; none where somebody must only step up.
        #[schemars(length(max = 16))]
        groups: Vec<Group>,
        /// Whether the worker, whoever proposed and whoever opened the ticket are left out.
        four_eyes: bool,
        /// The level of the re-authentication that is asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1, max = 9))]
        level: Option<u8>,
        /// When the question is parked.
        expires: Time,
        /// After how long, each time, the next person of the escalation is asked too.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(range(min = 1, max = 2_592_000))]
        escalate_after_seconds: Option<u32>,
        /// Who is asked in turn: the role's escalation when the question was put.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[schemars(length(max = 64))]
        escalation: Vec<ActorId>,
    }
    /// Where an action is to go instead.
    Route {
        /// What it is.
        kind: Target,
        /// Its name.
        name: Label,
    }
}
