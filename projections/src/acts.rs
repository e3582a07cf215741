//! Actions and policies as people look them up: where each action stands, what the policy said, who
//! is asked and who answered. Filled from the records of actions alone; what they cost is in
//! [`crate::spend`]. The sealed input stays in the ledger.

use canonry_schemas::action::{Event, Outcome};
use canonry_schemas::decision::{Approvals, Decision, Verdict};
use canonry_schemas::policy::Published;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::approvers::{Asked as By, answered, reversed};
use crate::read::{json, maybe_number, number};
use crate::recorded::Recorded;
use crate::store::{Error, integer};

/// An action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Action {
    /// Its id.
    pub id: String,
    /// The run that it is part of.
    pub run: String,
    /// The run's ticket.
    pub ticket: String,
    /// The run's role.
    pub role: String,
    /// The tool.
    pub tool: String,
    /// What the tool is to do.
    pub action: String,
    /// `allowed`, `held`, `parked`, `rejected`, `routed`, `denied`, `settled` or `lapsed`.
    pub status: String,
    /// What the policy said last.
    pub verdict: String,
    /// The rules that said so.
    pub rules: Value,
    /// What must be done to an allowed call.
    pub obligations: Value,
    /// Why it was denied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Position of the policy that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<u64>,
    /// The question that was put last; an answer names its position and hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
    /// By when an allowed action must be settled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// How the call ended: `done` or `failed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// What went wrong, as a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Who proposed it.
    pub proposed_by: String,
    /// When.
    pub proposed_at: String,
    /// When its last record was made.
    pub updated_at: String,
    /// Where it was proposed.
    pub position: u64,
    /// Where its last record stands.
    pub updated_position: u64,
}

/// A question to people about an action.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "ActionAsked")]
pub struct Asked {
    /// Position of the record that put it.
    pub position: u64,
    /// That record's hash.
    pub hash: String,
    /// When.
    pub at: String,
    /// Who must agree, as the record says.
    pub approvals: Value,
    /// When it is parked.
    pub expires: String,
    /// How many have agreed.
    pub given: u64,
    /// The level that somebody stepped up to; the one that is asked for stands in `approvals`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached: Option<u8>,
    /// Who did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stepped_up_by: Option<String>,
}

/// The policy in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Policy {
    /// Its revision.
    pub revision: u64,
    /// Its version, for people.
    pub version: String,
    /// SHA-256 of the bundle.
    pub digest: String,
    /// When it expires.
    pub expires: String,
    /// How long a copy may be used without asking again.
    pub ttl_seconds: u64,
    /// The bundle's archive, base64.
    pub bundle: String,
    /// Who published it.
    pub published_by: String,
    /// When.
    pub published_at: String,
    /// Where.
    pub position: u64,
}

/// Which actions; every field that is set narrows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ActionFilter {
    /// In this state.
    pub status: Option<String>,
    /// Of one run.
    pub run: Option<String>,
    /// Of one ticket.
    pub ticket: Option<String>,
    /// Of one role.
    pub role: Option<String>,
    /// Of one tool.
    pub tool: Option<String>,
}

impl Action {
    pub(crate) fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let asked = match row.get::<_, Option<String>>("asked_hash")? {
            Some(hash) => Some(Asked {
                position: number(row, "asked_position")?,
                hash,
                at: row.get("asked_at")?,
                approvals: json(row, "approvals")?,
                expires: row.get("expires")?,
                given: number(row, "given")?,
                reached: row.get("reached")?,
                stepped_up_by: row.get("stepped_up_by")?,
            }),
            None => None,
        };
        Ok(Self {
            id: row.get("id")?,
            run: row.get("run")?,
            ticket: row.get("ticket")?,
            role: row.get("role")?,
            tool: row.get("tool")?,
            action: row.get("action")?,
            status: row.get("status")?,
            verdict: row.get("verdict")?,
            rules: json(row, "rules")?,
            obligations: json(row, "obligations")?,
            code: row.get("code")?,
            policy: maybe_number(row, "policy")?,
            asked,
            until: row.get("until")?,
            outcome: row.get("outcome")?,
            error: row.get("error")?,
            proposed_by: row.get("proposed_by")?,
            proposed_at: row.get("proposed_at")?,
            updated_at: row.get("updated_at")?,
            position: number(row, "position")?,
            updated_position: number(row, "updated_position")?,
        })
    }
}

/// The policy that was published last.
pub(crate) fn policy(tx: &Transaction<'_>) -> Result<Option<Policy>, Error> {
    let read = |row: &Row<'_>| {
        Ok(Policy {
            revision: number(row, "revision")?,
            version: row.get("version")?,
            digest: row.get("digest")?,
            expires: row.get("expires")?,
            ttl_seconds: number(row, "ttl_seconds")?,
            bundle: row.get("bundle")?,
            published_by: row.get("published_by")?,
            published_at: row.get("published_at")?,
            position: number(row, "position")?,
        })
    };
    let mut query = tx.prepare_cached("SELECT * FROM policies ORDER BY position DESC LIMIT 1")?;
    Ok(query.query_row([], read).optional()?)
}

/// Folds a published policy.
pub(crate) fn published(tx: &Transaction<'_>, r: &Recorded, e: &Published) -> Result<(), Error> {
    tx.prepare_cached("INSERT INTO policies VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)")?
        .execute(params![
            integer(r.position),
            integer(e.revision),
            e.version.0,
            e.digest.as_str(),
            e.expires.to_string(),
            e.ttl_seconds,
            e.bundle,
            r.actor,
            r.time.to_string(),
        ])?;
    Ok(())
}

const fn verdict(decision: &Decision) -> &'static str {
    match decision.verdict {
        Verdict::Allow => "ALLOW",
        Verdict::Route => "ROUTE",
        Verdict::Throttle => "THROTTLE",
        Verdict::RequireHitl => "REQUIRE_HITL",
        Verdict::RequireStepUp => "REQUIRE_STEP_UP",
        Verdict::Deny => "DENY",
    }
}

/// What the four decisions have in common.
struct Decided<'a> {
    run: &'a str,
    ticket: &'a str,
    role: &'a str,
    tool: &'a str,
    action: &'a str,
    decision: &'a Decision,
    status: &'static str,
    code: Option<&'a str>,
    until: Option<String>,
}

macro_rules! decided {
    ($e:expr, $status:literal, $code:expr, $until:expr) => {
        Decided {
            run: $e.run.as_str(),
            ticket: $e.ticket.as_str(),
            role: $e.role.as_str(),
            tool: &$e.tool.0,
            action: &$e.action.0,
            decision: &$e.decision,
            status: $status,
            code: $code,
            until: $until,
        }
    };
}

/// Folds an action's record.
pub(crate) fn fold(tx: &Transaction<'_>, r: &Recorded, event: &Event) -> Result<(), Error> {
    match event {
        Event::Allowed(e) => {
            decide(tx, r, &decided!(e, "allowed", None, Some(e.until.to_string())))
        }
        Event::Held(e) => {
            decide(tx, r, &decided!(e, "held", None, None))?;
            ask(tx, r, &e.approvals)
        }
        Event::Routed(e) => decide(tx, r, &decided!(e, "routed", None, None)),
        Event::Denied(e) => {
            reversed(tx, r)?;
            decide(tx, r, &decided!(e, "denied", Some(&*e.code.0), None))
        }
        Event::Approved(e) => {
            let stood_in_for = e.stood_in_for.as_ref().map(|a| a.as_str());
            answered(tx, r, By::Action, true, stood_in_for)?;
            set(tx, r, "given = ?4", &[&e.given])
        }
        Event::Rejected(e) => {
            let stood_in_for = e.stood_in_for.as_ref().map(|a| a.as_str());
            answered(tx, r, By::Action, false, stood_in_for)?;
            reversed(tx, r)?;
            set(tx, r, "status = 'rejected'", &[])
        }
        Event::SteppedUp(e) => {
            set(tx, r, "reached = ?4, stepped_up_by = ?5", &[&e.level, &r.actor])
        }
        Event::AskedAgain(e) => set(
            tx,
            r,
            "status = 'held', given = 0, reached = NULL, stepped_up_by = NULL, asked_position = ?3, asked_at = ?2, asked_hash = ?4,
             expires = ?5",
            &[&r.hash, &e.expires.to_string()],
        ),
        Event::Expired(_) => set(tx, r, "status = 'parked'", &[]),
        Event::Escalated(_) => set(tx, r, "escalated = escalated + 1", &[]),
        Event::Settled(e) => {
            let outcome = match e.outcome {
                Outcome::Done => "done",
                Outcome::Failed => {
                    reversed(tx, r)?;
                    "failed"
                }
            };
            let error = e.error.as_ref().map(|error| &error.0);
            set(tx, r, "status = 'settled', outcome = ?4, error = ?5", &[&outcome, &error])
        }
        Event::Lapsed(_) => set(tx, r, "status = 'lapsed'", &[]),
    }
}

fn decide(tx: &Transaction<'_>, r: &Recorded, d: &Decided<'_>) -> Result<(), Error> {
    let policy = d.decision.policy.as_ref().map(|p| integer(p.number()));
    // One that goes on after it was held keeps where, when and by whom it was proposed.
    tx.prepare_cached(
        "INSERT INTO actions VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13,
           NULL, NULL, NULL, NULL, NULL, 0, 0, NULL, NULL, ?14, NULL, NULL, ?15, ?16, ?16, ?1)
         ON CONFLICT(id) DO UPDATE SET status = excluded.status, verdict = excluded.verdict,
           rules = excluded.rules, obligations = excluded.obligations, code = excluded.code,
           policy = excluded.policy, until = excluded.until, updated_at = excluded.updated_at,
           updated_position = excluded.updated_position",
    )?
    .execute(params![
        integer(r.position),
        r.entity_id(),
        d.run,
        d.ticket,
        d.role,
        d.tool,
        d.action,
        d.status,
        verdict(d.decision),
        serde_json::to_string(&d.decision.rules)?,
        serde_json::to_string(&d.decision.obligations)?,
        d.code,
        policy,
        d.until,
        r.actor,
        r.time.to_string(),
    ])?;
    Ok(())
}

fn ask(tx: &Transaction<'_>, r: &Recorded, approvals: &Approvals) -> Result<(), Error> {
    let said = serde_json::to_string(approvals)?;
    set(
        tx,
        r,
        "asked_position = ?3, asked_at = ?2, asked_hash = ?4, approvals = ?5, expires = ?6",
        &[&r.hash, &said, &approvals.expires.to_string()],
    )
}

/// Changes an action; ?2 is the time, ?3 the position, `more` begins at ?4.
fn set(
    tx: &Transaction<'_>,
    r: &Recorded,
    set: &str,
    more: &[&dyn rusqlite::ToSql],
) -> Result<(), Error> {
    let sql =
        format!("UPDATE actions SET updated_at = ?2, updated_position = ?3, {set} WHERE id = ?1");
    let (id, time, position) = (r.entity_id(), r.time.to_string(), integer(r.position));
    let mut params: Vec<&dyn rusqlite::ToSql> = vec![&id, &time, &position];
    params.extend_from_slice(more);
    tx.prepare_cached(&sql)?.execute(params.as_slice())?;
    Ok(())
}
