//! How people answer what tickets and actions ask: how long it takes them, how often in a row they
//! agree, and what became of it. Who answers without reading shows here.

use rusqlite::{Row, Transaction, params};
use schemars::JsonSchema;
use serde::Serialize;

use crate::page::{Page, PageRequest};
use crate::query::{Snapshot, Where};
use crate::recorded::Recorded;
use crate::store::{Error, integer, natural};

/// Somebody who has answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Approver {
    /// Who.
    pub approver: String,
    /// How many questions of tickets and actions they answered.
    pub answers: u64,
    /// How often with a yes.
    pub approvals: u64,
    /// From the question to their answer, on average.
    pub seconds_to_decide: u64,
    /// How often they said yes since they last said no.
    pub approvals_in_a_row: u64,
    /// How many of their approvals were of something that was then rejected or denied, that failed,
    /// or of a ticket that was reopened or cancelled afterwards.
    pub later_reversals: u64,
}

impl Approver {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        let count = |name| row.get(name).map(natural);
        Ok(Self {
            approver: row.get("approver")?,
            answers: count("answers")?,
            approvals: count("approvals")?,
            seconds_to_decide: count("seconds_to_decide")?,
            approvals_in_a_row: count("approvals_in_a_row")?,
            later_reversals: count("later_reversals")?,
        })
    }
}

/// What asked: the table that says when.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Asked {
    Ticket,
    Action,
}

/// Folds an answer to the question that the record's ticket or action put last.
pub(crate) fn answered(
    tx: &Transaction<'_>,
    r: &Recorded,
    asked: Asked,
    yes: bool,
    stood_in_for: Option<&str>,
) -> Result<(), Error> {
    let sql = match asked {
        Asked::Ticket => {
            "INSERT INTO answers SELECT ?1, ?2, ?3, ?4, ?5, asked_at, ?6, 0 FROM tickets WHERE id = ?7"
        }
        Asked::Action => {
            "INSERT INTO answers SELECT ?1, ?2, ?3, ?4, ?5, asked_at, ?6, 0 FROM actions WHERE id = ?7"
        }
    };
    let time = r.time.to_string();
    let (position, id) = (integer(r.position), r.entity_id());
    tx.prepare_cached(sql)?.execute(params![
        position,
        r.entity,
        r.actor,
        stood_in_for,
        yes,
        time,
        id
    ])?;
    Ok(())
}

/// Folds that what people agreed to did not stand.
pub(crate) fn reversed(tx: &Transaction<'_>, r: &Recorded) -> Result<(), Error> {
    tx.prepare_cached("UPDATE answers SET reversed = 1 WHERE entity = ?1 AND yes = 1")?
        .execute([&r.entity])?;
    Ok(())
}

impl Snapshot<'_> {
    /// Everybody who has answered, in the order of their names.
    ///
    /// # Errors
    /// A foreign cursor, or SQLite.
    pub fn approvers(&self, page: &PageRequest) -> Result<Page<Approver>, Error> {
        let mut w = Where::default();
        if let Some((last, _)) = page.after("approver")? {
            w.and("approver > ?", last);
        }
        let items = self.list("approver_statistics", w, "approver", page.rows(), Approver::read)?;
        Ok(Page::cut(items, page.rows(), "approver", |a| (a.approver.clone(), 0)))
    }
}
