//! How one record changes the tables. Total: a record that is in the ledger was decided, so
//! nothing is judged here; refusals leave a row among the events and change nothing else.

mod leases;

use canonry_schemas::event::Event;
use canonry_schemas::ids::KeyId;
use canonry_schemas::key::PublicKey;
use canonry_schemas::{
    action, actor, budget, content, ext, member, policy, role, run, tenant, ticket,
};
use rusqlite::{Params, Transaction, params};

use crate::acts;
use crate::approvers::{self, Asked};
use crate::recorded::Recorded;
use crate::spend;
use crate::store::{Error, integer};

/// Where and when, in the forms that every statement needs.
struct Fold<'a> {
    tx: &'a Transaction<'a>,
    record: &'a Recorded,
    position: i64,
    time: String,
}

/// Folds one record.
pub fn fold(tx: &Transaction<'_>, record: &Recorded) -> Result<(), Error> {
    let position = integer(record.position);
    let fold = Fold { tx, record, position, time: record.time.to_string() };
    fold.event()?;
    match &record.event {
        Event::Tenant(e) => fold.tenant(e),
        Event::Content(content::Event::Erased(e)) => fold.erased(e),
        Event::Member(e) => fold.member(e),
        Event::Role(e) => fold.role(e),
        Event::Ticket(e) => fold.ticket(e),
        Event::Run(e) => fold.run(e),
        Event::Ext(e) => fold.ext(e),
        Event::Budget(e) => fold.budget(e),
        Event::Action(e) => {
            fold.spend(e)?;
            acts::fold(tx, record, e)
        }
        Event::Policy(policy::Event::Published(e)) => acts::published(tx, record, e),
        // The row among the events is all: lists of evidence are lists of events.
        Event::Lease(e) => fold.lease(e),
        // What is set for tiers is read from its record.
        Event::Tier(_) => Ok(()),
        Event::Evidence(_) | Event::Actor(_) | Event::Refused { .. } => Ok(()),
    }
}

impl Fold<'_> {
    fn run_sql(&self, sql: &str, params: impl Params) -> Result<(), Error> {
        self.tx.prepare_cached(sql)?.execute(params)?;
        Ok(())
    }

    /// The record itself. The tier is that of the worker's role at this moment, so that it marks
    /// the actions of agents.
    fn event(&self) -> Result<(), Error> {
        let r = self.record;
        let code = match &r.event {
            Event::Refused { data, .. } | Event::Actor(actor::Event::CommandRefused(data)) => {
                Some(&data.code.0)
            }
            _ => None,
        };
        let touches = (!r.touches.is_empty()).then(|| r.touches.join(" "));
        self.run_sql(
            "INSERT INTO events VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, (
               SELECT r.tier FROM members m JOIN roles r ON r.id = m.role WHERE m.actor = ?6), ?13)",
            params![
                self.position,
                r.hash,
                r.id,
                self.time,
                r.kind,
                r.actor,
                r.via,
                r.intentid,
                r.entity,
                touches,
                r.event.is_refusal(),
                code,
                r.data,
            ],
        )?;
        // Its own entity stands in its row.
        for entity in r.touches.iter().filter(|touched| **touched != r.entity) {
            self.run_sql("INSERT INTO touched VALUES (?1, ?2)", (self.position, entity))?;
        }
        Ok(())
    }

    fn tenant(&self, event: &tenant::Event) -> Result<(), Error> {
        match event {
            tenant::Event::Founded(e) => {
                for first in &e.members {
                    let parts = serde_json::to_string(&first.parts)?;
                    self.enrol(first.actor.as_str(), &parts, None, None)?;
                }
                self.keys(&e.keys, &[])
            }
            tenant::Event::KeysRotated(e) => self.keys(&e.keys, &e.revoked),
            tenant::Event::TakenOver(_) | tenant::Event::Repaired(_) => Ok(()),
        }
    }

    /// What was sealed stays as it stands; nobody can open it any more, and the row says why.
    fn erased(&self, e: &content::Erased) -> Result<(), Error> {
        if let Some(key) = &e.key {
            self.run_sql(
                "INSERT OR IGNORE INTO erased VALUES (?1, ?2, ?3)",
                (key.as_str(), e.entity.as_str(), self.position),
            )?;
        }
        let (aggregate, id) = e.entity.as_str().split_once('/').unwrap_or(("", ""));
        let (table, column) = match aggregate {
            "member" => ("members", "actor"),
            "role" => ("roles", "id"),
            "ticket" => ("tickets", "id"),
            _ => ("runs", "id"),
        };
        let sql = format!("UPDATE {table} SET erased_at = ?2 WHERE {column} = ?1");
        self.run_sql(&sql, (id, &self.time))
    }

    fn member(&self, event: &member::Event) -> Result<(), Error> {
        match event {
            member::Event::Enrolled(e) => {
                let parts = serde_json::to_string(&e.parts)?;
                let role = e.role.as_ref().map(|r| r.as_str());
                self.enrol(e.actor.as_str(), &parts, role, e.name.as_ref().map(|n| &*n.0))?;
                self.keys(&e.keys, &e.revoked)
            }
            member::Event::Removed(e) => {
                self.run_sql(
                    "UPDATE members SET removed_at = ?2 WHERE actor = ?1",
                    (e.actor.as_str(), &self.time),
                )?;
                self.keys(&e.keys, &e.revoked)
            }
            member::Event::KeysRotated(e) => self.keys(&e.keys, &e.revoked),
            member::Event::Delegated(_) | member::Event::DelegationEnded(_) => Ok(()),
        }
    }

    fn enrol(
        &self,
        actor: &str,
        parts: &str,
        role: Option<&str>,
        name: Option<&str>,
    ) -> Result<(), Error> {
        self.run_sql(
            "INSERT OR REPLACE INTO members VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL, NULL)",
            (actor, self.position, parts, role, name, &self.time),
        )
    }

    fn keys(&self, keys: &[PublicKey], revoked: &[KeyId]) -> Result<(), Error> {
        for key in keys {
            let uses = serde_json::to_string(&key.uses)?;
            self.run_sql(
                "INSERT OR REPLACE INTO keys VALUES (?1, ?2, ?3, ?4, ?5, 0, NULL, NULL, ?6, ?7)",
                (
                    key.id.as_str(),
                    key.actor.as_str(),
                    &key.public,
                    uses,
                    self.position,
                    key.notafter.map(|end| end.to_string()),
                    key.level,
                ),
            )?;
        }
        for id in revoked {
            self.run_sql(
                "UPDATE keys SET revoked = 1, revoked_at = ?2, revoked_position = ?3 WHERE id = ?1",
                (id.as_str(), &self.time, self.position),
            )?;
        }
        Ok(())
    }

    fn role(&self, event: &role::Event) -> Result<(), Error> {
        let id = self.record.entity_id();
        let status = |status: &str, change: &role::Change| {
            self.run_sql(
                "UPDATE roles SET status = ?2, reason = ?3, updated_at = ?4, updated_position = ?5
                 WHERE id = ?1",
                params![
                    id,
                    status,
                    change.reason.as_ref().map(|c| &*c.0),
                    self.time,
                    self.position
                ],
            )
        };
        match event {
            role::Event::Hired(e) => self.run_sql(
                "INSERT INTO roles VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, 'active', NULL,
                   ?11, ?12, ?12, ?1, NULL)",
                params![
                    self.position,
                    id,
                    e.title.0,
                    e.job.0,
                    serde_json::to_string(&e.boundaries)?,
                    integer(e.budget.per_ticket_micros),
                    integer(e.budget.per_day_micros),
                    serde_json::to_string(&e.tools)?,
                    serde_json::to_string(&e.escalation)?,
                    format!("{:?}", e.tier),
                    self.record.actor,
                    self.time,
                ],
            ),
            role::Event::Amended(e) => self.run_sql(
                "UPDATE roles SET title = coalesce(?2, title), job = coalesce(?3, job),
                   boundaries = coalesce(?4, boundaries),
                   per_ticket_micros = coalesce(?5, per_ticket_micros),
                   per_day_micros = coalesce(?6, per_day_micros), tools = coalesce(?7, tools),
                   escalation = coalesce(?8, escalation), tier = coalesce(?9, tier),
                   updated_at = ?10, updated_position = ?11 WHERE id = ?1",
                params![
                    id,
                    e.title.as_ref().map(|t| &t.0),
                    e.job.as_ref().map(|t| &t.0),
                    e.boundaries.as_ref().map(serde_json::to_string).transpose()?,
                    e.budget.as_ref().map(|b| integer(b.per_ticket_micros)),
                    e.budget.as_ref().map(|b| integer(b.per_day_micros)),
                    e.tools.as_ref().map(serde_json::to_string).transpose()?,
                    e.escalation.as_ref().map(serde_json::to_string).transpose()?,
                    e.tier.map(|t| format!("{t:?}")),
                    self.time,
                    self.position,
                ],
            ),
            role::Event::Paused(c) => status("paused", c),
            role::Event::Resumed(c) => status("active", c),
            role::Event::Retired(c) => status("retired", c),
            role::Event::Fingerprinted(e) => self.tier_of(id, e.tier),
            role::Event::Promoted(e) | role::Event::Demoted(e) => self.tier_of(id, e.to),
            // A founder gives it, or does not.
            role::Event::PromotionProposed(e) => self.tier_of(id, e.from),
        }
    }

    fn ticket(&self, event: &ticket::Event) -> Result<(), Error> {
        let answer = |approval: &str, reason: Option<&str>| {
            let yes = approval == "approved";
            approvers::answered(self.tx, self.record, Asked::Ticket, yes, None)?;
            self.on_ticket(
                "approval = ?4, answered_by = ?5, answered_at = ?2, answered_position = ?3,
                 answered_reason = ?6",
                &[&approval, &self.record.actor, &reason],
            )
        };
        match event {
            ticket::Event::Opened(e) => self.run_sql(
                "INSERT INTO tickets VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 'open', 'unasked',
                   NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, NULL, 0, NULL, NULL,
                   NULL, ?10, ?11, ?11, ?1, NULL)",
                params![
                    self.position,
                    self.record.entity_id(),
                    e.title.0,
                    e.note.as_ref().map(|n| &n.0),
                    e.priority.unwrap_or(3),
                    e.due.map(|d| d.to_string()),
                    e.role.as_ref().map(|r| r.as_str()),
                    e.approval_required,
                    e.external.as_ref().map(|x| &x.0),
                    self.record.actor,
                    self.time,
                ],
            ),
            ticket::Event::Amended(e) => self.on_ticket(
                "title = coalesce(?4, title), note = coalesce(?5, note),
                 priority = coalesce(?6, priority), due = coalesce(?7, due),
                 breached = CASE WHEN ?7 IS NULL THEN breached ELSE 0 END,
                 approval_required = coalesce(?8, approval_required)",
                &[
                    &e.title.as_ref().map(|c| &c.0),
                    &e.note.as_ref().map(|c| &c.0),
                    &e.priority,
                    &e.due.map(|d| d.to_string()),
                    &e.approval_required,
                ],
            ),
            ticket::Event::Assigned(e) => self.on_ticket("role = ?4", &[&e.role.as_str()]),
            ticket::Event::ApprovalRequested(e) => self.on_ticket(
                "approval = 'asked', asked_by = ?4, asked_at = ?2, asked_position = ?3,
                 asked_hash = ?5, asked_reason = ?6, answered_by = NULL, answered_at = NULL,
                 answered_position = NULL, answered_reason = NULL",
                &[&self.record.actor, &self.record.hash, &e.reason.0],
            ),
            ticket::Event::Approved(_) => answer("approved", None),
            ticket::Event::Rejected(e) => {
                approvers::reversed(self.tx, self.record)?;
                answer("rejected", Some(&e.reason.0))
            }
            ticket::Event::Started(_) => self.on_ticket("status = 'started'", &[]),
            ticket::Event::Completed(e) => self.on_ticket(
                "status = 'completed', evidence = ?4, result = ?5",
                &[&e.evidence.0, &e.result.as_ref().map(|c| &c.0)],
            ),
            ticket::Event::Reopened(e) => {
                approvers::reversed(self.tx, self.record)?;
                self.on_ticket(
                    "status = 'open', approval = 'unasked', reason = ?4",
                    &[&e.reason.as_ref().map(|c| &c.0)],
                )
            }
            ticket::Event::Cancelled(e) => {
                approvers::reversed(self.tx, self.record)?;
                self.on_ticket(
                    "status = 'cancelled', reason = ?4",
                    &[&e.reason.as_ref().map(|c| &c.0)],
                )
            }
            ticket::Event::DeadlineBreached(_) => self.on_ticket("breached = 1", &[]),
        }
    }

    /// Changes the record's ticket; ?2 is the time, ?3 the position, `more` begins at ?4.
    fn on_ticket(&self, set: &str, more: &[&dyn rusqlite::ToSql]) -> Result<(), Error> {
        self.on_ticket_of(self.record.entity_id(), set, more)
    }

    fn on_ticket_of(
        &self,
        id: &str,
        set: &str,
        more: &[&dyn rusqlite::ToSql],
    ) -> Result<(), Error> {
        let sql = format!(
            "UPDATE tickets SET updated_at = ?2, updated_position = ?3, {set} WHERE id = ?1"
        );
        let mut params: Vec<&dyn rusqlite::ToSql> = vec![&id, &self.time, &self.position];
        params.extend_from_slice(more);
        self.run_sql(&sql, params.as_slice())
    }

    fn ext(&self, event: &ext::Event) -> Result<(), Error> {
        match event {
            ext::Event::Registered(e) => self.run_sql(
                "INSERT INTO kinds VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    self.position,
                    e.kind.as_str(),
                    e.version,
                    e.schema.value().to_string(),
                    self.record.actor,
                    self.time,
                ],
            ),
            ext::Event::Appended(e) => self.run_sql(
                "INSERT INTO appended VALUES (?1, ?2, ?3)",
                params![self.position, e.kind.as_str(), e.version],
            ),
        }
    }

    /// What an action reserves and comes to; what else happens to it moves no account.
    fn spend(&self, event: &action::Event) -> Result<(), Error> {
        match event {
            action::Event::Allowed(e) => spend::reserved(
                self.tx,
                &spend::Reserved {
                    position: self.record.position,
                    id: self.record.entity_id(),
                    run: e.run.as_str(),
                    ticket: e.ticket.as_str(),
                    role: e.role.as_str(),
                    tool: &e.tool.0,
                    model: e.worst.model.as_ref().map(|model| model.0.as_str()),
                    time: &self.time,
                    amount: &e.reserved,
                },
            ),
            action::Event::Settled(e) => {
                spend::ended(self.tx, self.record.entity_id(), &e.charged, e.overrun)
            }
            action::Event::Lapsed(e) => {
                spend::ended(self.tx, self.record.entity_id(), &e.charged, false)
            }
            action::Event::Held(_)
            | action::Event::Routed(_)
            | action::Event::Denied(_)
            | action::Event::Approved(_)
            | action::Event::Rejected(_)
            | action::Event::AskedAgain(_)
            | action::Event::Expired(_)
            | action::Event::SteppedUp(_)
            | action::Event::Escalated(_) => Ok(()),
        }
    }

    fn budget(&self, event: &budget::Event) -> Result<(), Error> {
        match event {
            budget::Event::Limited(e) => {
                let limits = e.limits();
                let [money, tokens, calls, wall] =
                    budget::Dimension::ALL.map(|d| limits.of(d).map(integer));
                self.run_sql(
                    "INSERT OR REPLACE INTO limits VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
                    params![
                        e.scope.as_str(),
                        e.period.name(),
                        money,
                        tokens,
                        calls,
                        wall,
                        self.record.actor,
                        self.time,
                        self.position,
                    ],
                )
            }
            budget::Event::Priced(e) => self.run_sql(
                "INSERT INTO prices VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    self.position,
                    e.currency.as_str(),
                    serde_json::to_string(&e.models)?,
                    self.record.actor,
                    self.time,
                ],
            ),
        }
    }

    fn run(&self, event: &run::Event) -> Result<(), Error> {
        let id = self.record.entity_id();
        let end = |status: &str, e: &run::Ended| {
            self.run_sql(
                "UPDATE runs SET status = ?2, ended_at = ?3, ended_position = ?4, reason = ?5,
                   updated_position = ?4 WHERE id = ?1",
                (id, status, &self.time, self.position, e.reason.as_ref().map(|c| &*c.0)),
            )
        };
        let give_back = |e: &run::Ended| {
            self.on_ticket_of(
                e.ticket.as_str(),
                "run = NULL, status = CASE status WHEN 'started' THEN 'open' ELSE status END",
                &[],
            )
        };
        match event {
            run::Event::Started(e) => {
                self.run_sql(
                    "INSERT INTO runs VALUES (?1, ?2, ?3, ?4, ?5, 'started', 0, ?6, NULL, NULL,
                       NULL, ?1, NULL)",
                    (
                        self.position,
                        id,
                        e.ticket.as_str(),
                        e.role.as_str(),
                        &self.record.actor,
                        &self.time,
                    ),
                )?;
                let set = "status = 'started', run = ?4, runs = runs + 1";
                self.on_ticket_of(e.ticket.as_str(), set, &[&id])
            }
            run::Event::StepRecorded(e) => {
                let outcome = match e.outcome {
                    run::StepOutcome::Done => "done",
                    run::StepOutcome::Failed => "failed",
                    run::StepOutcome::Skipped => "skipped",
                };
                self.run_sql(
                    "INSERT INTO steps VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                    (
                        self.position,
                        id,
                        &e.name.0,
                        outcome,
                        e.summary.as_ref().map(|c| &*c.0),
                        e.confidence,
                        &self.time,
                    ),
                )?;
                self.run_sql(
                    "UPDATE runs SET steps = steps + 1, updated_position = ?2 WHERE id = ?1",
                    (id, self.position),
                )
            }
            run::Event::Completed(e) => {
                end("completed", e)?;
                self.end_lease_of(id)?;
                self.on_ticket_of(e.ticket.as_str(), "run = NULL", &[])
            }
            run::Event::Failed(e) => {
                end("failed", e)?;
                self.end_lease_of(id)?;
                give_back(e)
            }
            run::Event::Cancelled(e) => {
                end("cancelled", e)?;
                self.end_lease_of(id)?;
                give_back(e)
            }
        }
    }
}
