//! What a policy is told: one document whose every field is there, so that a rule never matches
//! because something was left out. What is not known or does not apply is an empty text, 0 or an
//! empty object. Only what is below `action.args` is the tool's own, and may be anything.
//!
//! Fields stand in the order of their names, as in canonical JSON: [`crate::ready`] builds on it.

use std::collections::BTreeMap;

use canonry_schemas::budget;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::rego::uses::Step;

/// The input document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Input {
    /// What is to be done.
    pub action: Action,
    /// Whose name stands on the command.
    pub actor: Actor,
    /// Who agreed, where an action goes on after it was held.
    pub approvals: Approvals,
    /// Money, in micro-units.
    pub cost: Cost,
    /// What was done before.
    pub counts: Counts,
    /// The phase of the workflow.
    pub phase: String,
    /// The role that the actor works for.
    pub role: Role,
    /// The run.
    pub run: Run,
    /// What is spent and reserved, of everything that a budget bounds.
    pub spent: Spent,
    /// The tenant.
    pub tenant: String,
    /// The ticket.
    pub ticket: Ticket,
    /// The tier of the role's trust, 0 to 4.
    pub tier: u64,
    /// Microseconds since 1970, UTC, of the record that this decides: the only clock of a policy.
    pub time: u64,
    /// What this action can come to at worst.
    pub worst: Worst,
}

/// Whose name stands on the command.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// Token.
    pub id: String,
    /// `member`, `worker` or `service`.
    pub kind: String,
    /// The level of the actor's authentication.
    pub level: u64,
}

/// Who agreed to an action that was held.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approvals {
    /// Who.
    pub by: Vec<String>,
    /// How many.
    pub given: u64,
    /// The level that somebody stepped up to; 0 where nobody did.
    pub level: u64,
}

/// The role that the actor works for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its id.
    pub id: String,
    /// Its stage: `active`, `paused`, `retired`.
    pub stage: String,
    /// What it is called.
    pub title: String,
    /// The tools it may use.
    pub tools: Vec<String>,
}

/// The ticket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
    /// Whether it may be completed only after an approval.
    pub approval_required: bool,
    /// When it must be done: RFC 3339.
    pub due: String,
    /// Its id.
    pub id: String,
    /// Who opened it.
    pub opened_by: String,
    /// Its priority; 0 where it has none.
    pub priority: u64,
    /// Its stage.
    pub stage: String,
}

/// The run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Run {
    /// Which attempt at the ticket it is.
    pub attempt: u64,
    /// Its id.
    pub id: String,
    /// How many steps it has recorded.
    pub steps: u64,
    /// Who works.
    pub worker: String,
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Action {
    /// What the tool is to do.
    pub action: String,
    /// The tool's own arguments: whole numbers, and anything else of JSON.
    pub args: BTreeMap<String, Value>,
    /// The tool.
    pub tool: String,
}

/// What was spent so far, and what this action may cost at worst.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cost {
    /// This action, at worst.
    pub action: u64,
    /// By the role.
    pub role: u64,
    /// By the run, in micro-units.
    pub run: u64,
    /// For the ticket.
    pub ticket: u64,
}

/// What was done before.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// By the role.
    pub role: Count,
    /// By the run.
    pub run: Count,
    /// For the ticket.
    pub ticket: Count,
}

/// How often.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// Actions that were allowed.
    pub actions: u64,
    /// Actions that were denied.
    pub denied: u64,
    /// Actions that were settled as failed.
    #[serde(default)]
    pub failed: u64,
    /// Actions that were held for people.
    pub held: u64,
    /// Actions that were routed elsewhere.
    pub routed: u64,
    /// How many of the failed told the same error, up to the last and without another between them.
    #[serde(default)]
    pub same_error: u64,
    /// Actions that broke a rule: denied by policy, tools or tier, or never settled.
    #[serde(default)]
    pub violations: u64,
}

/// What is spent and reserved so far.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spent {
    /// By the role, on this day (UTC).
    pub role_today: Amount,
    /// By the run.
    pub run: Amount,
    /// By the tenant, on this day.
    pub tenant_today: Amount,
    /// For the ticket.
    pub ticket: Amount,
}

/// So much in each dimension.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// Calls of tools and models.
    pub calls: u64,
    /// Micro-units of the tenant's currency.
    pub money_micros: u64,
    /// Tokens, in and out together.
    pub tokens: u64,
    /// Seconds of wall time.
    pub wall_seconds: u64,
}

impl From<budget::Amount> for Amount {
    fn from(amount: budget::Amount) -> Self {
        let budget::Amount { money_micros, tokens, calls, wall_seconds } = amount;
        Self { calls, money_micros, tokens, wall_seconds }
    }
}

/// What an action can come to at worst.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Worst {
    /// Calls.
    pub calls: u64,
    /// The model; empty where none is called.
    pub model: String,
    /// Money beside what the model costs, in micro-units.
    pub money_micros: u64,
    /// Tokens that go in.
    pub tokens_in: u64,
    /// Tokens that come out.
    pub tokens_out: u64,
    /// Seconds of wall time.
    pub wall_seconds: u64,
}

/// An input of which fields were left out: they are empty. For people; a decider leaves none out.
///
/// # Errors
/// Not strict JSON, or a field that is no field of an input.
pub fn completed(bytes: &[u8]) -> Result<Input, String> {
    fn over(all: &mut Value, given: Value) {
        match (all, given) {
            (Value::Object(all), Value::Object(given)) => {
                for (name, one) in given {
                    over(all.entry(name).or_insert(Value::Null), one);
                }
            }
            (all, given) => *all = given,
        }
    }
    let given = canonry_schemas::json::parse(bytes).map_err(|e| e.to_string())?;
    let mut all = serde_json::to_value(Input::default()).map_err(|e| e.to_string())?;
    over(&mut all, given);
    serde_json::from_value(all).map_err(|e| e.to_string())
}

/// What is promised of a field of the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    /// It is there, and is a text or a number.
    Plain,
    /// It is there, and is an object.
    Object,
}

/// What is promised of the field at `path`; `None` where it may be missing.
pub(crate) fn field(path: &[Step]) -> Option<Field> {
    let all = serde_json::to_value(Input::default()).ok()?;
    let found = path.iter().try_fold(&all, |at, step| match step {
        Step::Name(name) => at.get(name),
        Step::Any => None,
    })?;
    Some(if found.is_object() { Field::Object } else { Field::Plain })
}
