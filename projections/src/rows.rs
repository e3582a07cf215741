//! What queries give back. Fields marked *content* hold `x1:…` as it stands in the record: the
//! entity and JSON pointer to open them with stand beside each.

use canonry_schemas::budget::{Amount, Limits, ModelPrice};
use canonry_schemas::key::Use;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the columns of the table")]
pub struct Role {
    pub id: String,
    pub title: String,
    pub job: String,
    pub boundaries: Value,
    pub budget: RoleBudget,
    pub tools: Value,
    pub escalation: Value,
    pub tier: String,
    /// `active`, `paused` or `retired`.
    pub status: String,
    /// Content, `/reason`: why it was paused, resumed or retired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub hired_by: String,
    pub hired_at: String,
    pub updated_at: String,
    /// Where it was hired.
    pub position: u64,
    pub updated_position: u64,
    /// When its content was erased; what was content is null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erased_at: Option<String>,
}

/// What a role may spend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are those of the command")]
pub struct RoleBudget {
    pub per_ticket_micros: u64,
    pub per_day_micros: u64,
}

/// A ticket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the columns of the table")]
pub struct Ticket {
    pub id: String,
    /// Content, `/title`.
    #[schemars(with = "Option<String>")]
    pub title: String,
    /// Content, `/note`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    pub priority: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    pub approval_required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external: Option<String>,
    /// `open`, `started`, `completed` or `cancelled`.
    pub status: String,
    /// `unasked`, `asked`, `approved` or `rejected`.
    pub approval: String,
    /// The last question to a person; an answer names its position and hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub answered: Option<Answered>,
    pub breached: bool,
    /// The run that goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    pub runs: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evidence: Option<String>,
    /// Content, `/result`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// Content, `/reason`: why it was cancelled or reopened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub opened_by: String,
    pub opened_at: String,
    pub updated_at: String,
    /// Where it was opened.
    pub position: u64,
    pub updated_position: u64,
    /// When its content was erased; what was content is null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erased_at: Option<String>,
}

/// A question to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Asked {
    pub by: String,
    pub at: String,
    pub position: u64,
    pub hash: String,
    /// Content, `/reason`.
    #[schemars(with = "Option<String>")]
    pub reason: String,
}

/// A person's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Answered {
    pub by: String,
    pub at: String,
    pub position: u64,
    /// Content, `/reason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the columns of the table")]
pub struct Run {
    pub id: String,
    pub ticket: String,
    pub role: String,
    pub worker: String,
    /// `started`, `completed`, `failed` or `cancelled`.
    pub status: String,
    pub steps: u64,
    pub started_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
    /// Content, `/reason`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where it was started.
    pub position: u64,
    pub updated_position: u64,
    /// When its content was erased; what was content is null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erased_at: Option<String>,
}

/// A step of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are those of the command")]
pub struct Step {
    pub position: u64,
    pub name: String,
    pub outcome: String,
    /// Content of the run, `/summary`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub confidence: Option<u16>,
    pub time: String,
}

/// A record; content inside `data` is as it stands there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the record's attributes")]
pub struct Event {
    pub position: u64,
    pub hash: String,
    pub id: String,
    pub time: String,
    #[serde(rename = "type")]
    pub kind: String,
    pub actor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intentid: Option<String>,
    pub entity: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub touches: Option<String>,
    pub refusal: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    pub data: Value,
}

/// One account for one period, and what is left of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Account {
    /// Whose: `tenant`, `role/<id>`, `ticket/<id>` or `run/<id>`.
    pub scope: String,
    /// `day` or `total`.
    pub period: String,
    /// Which day, UTC, where the period is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub day: Option<String>,
    /// What is allowed; for a role's day and for a ticket the role's own budget is in it.
    pub limits: Limits,
    /// What was spent.
    pub spent: Amount,
    /// What is reserved and not settled yet.
    pub reserved: Amount,
    /// What is left of each limit.
    pub free: Limits,
    /// Who set the limit; absent where none was set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_by: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_at: Option<String>,
    /// Where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
}

/// The price table in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Prices {
    /// Where it was set: its version.
    pub position: u64,
    /// The tenant's currency.
    pub currency: String,
    /// What models cost.
    pub models: Vec<ModelPrice>,
    /// Who set it.
    pub set_by: String,
    /// When.
    pub set_at: String,
}

/// Sums over the actions of one ticket, run, role, model, tool or day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Spend {
    /// Which one; empty for actions without a model.
    pub key: String,
    /// Actions that were allowed.
    pub actions: u64,
    /// Those of them that are not settled yet.
    pub open: u64,
    /// Those that used more than was reserved.
    pub overruns: u64,
    /// What was spent.
    pub spent: Amount,
    /// What is reserved and not settled yet.
    pub reserved: Amount,
}

/// A version of a custom record type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the columns of the table")]
pub struct Kind {
    pub kind: String,
    pub version: u64,
    pub schema: Value,
    pub registered_by: String,
    pub registered_at: String,
    pub position: u64,
}

/// A member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the columns of the table")]
pub struct Member {
    pub actor: String,
    pub parts: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Content, `/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub enrolled_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<String>,
    /// When its content was erased; what was content is null.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub erased_at: Option<String>,
    pub position: u64,
    pub keys: Vec<Key>,
}

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are those of the record")]
pub struct Key {
    pub id: String,
    pub actor: String,
    /// 32 bytes, base64url without padding.
    pub public: String,
    pub uses: Vec<Use>,
    /// Where it was enrolled; it holds from the next position.
    pub position: u64,
    pub revoked: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revoked_position: Option<u64>,
    /// Until when it holds; absent: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notafter: Option<String>,
    /// The level that it reaches, where one steps up with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<u8>,
}
