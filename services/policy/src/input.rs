//! What a policy is told: one document whose every field is there, so that a rule never matches
//! because something was left out. What is not known or does not apply is an empty text, 0 or an
//! empty object. Only what is below `action.args` is the tool's own, and may be anything.
//!
//! Fields stand in the order of their names, as in canonical JSON: [`crate::ready`] builds on it.

use std::collections::BTreeMap;

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
    /// What was spent, in micro-units of money, tokens and calls.
    pub cost: Cost,
    /// What was done before.
    pub counts: Counts,
    /// The phase of the workflow.
    pub phase: String,
    /// The role that the actor works for.
    pub role: Role,
    /// The run.
    pub run: Run,
    /// The tenant.
    pub tenant: String,
    /// The ticket.
    pub ticket: Ticket,
    /// The tier of the role's trust, 0 to 4.
    pub tier: u64,
    /// Microseconds since 1970, UTC, of the record that this decides: the only clock of a policy.
    pub time: u64,
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

/// The role that the actor works for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Role {
    /// Its id.
    pub id: String,
    /// Its stage: `active`, `paused`, `retired`.
    pub stage: String,
}

/// The ticket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ticket {
    /// Its id.
    pub id: String,
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
    /// Actions of any kind that were allowed.
    pub actions: u64,
    /// Actions that were denied.
    pub denied: u64,
    /// Of them this tool's with this action.
    pub same: u64,
    /// Of them this tool's.
    pub tool: u64,
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
