//! From SQLite's rows to ours, by column name.

use rusqlite::types::Type;
use rusqlite::{Result, Row};
use serde::de::DeserializeOwned;

use crate::rows::{Answered, Asked, Event, Key, Kind, Member, Role, RoleBudget, Run, Step, Ticket};
use crate::store::natural;

pub(crate) fn json<T: DeserializeOwned>(row: &Row<'_>, column: &str) -> Result<T> {
    let text: String = row.get(column)?;
    serde_json::from_str(&text)
        .map_err(|e| rusqlite::Error::FromSqlConversionFailure(0, Type::Text, Box::new(e)))
}

pub(crate) fn number(row: &Row<'_>, column: &str) -> Result<u64> {
    Ok(natural(row.get(column)?))
}

pub(crate) fn maybe_number(row: &Row<'_>, column: &str) -> Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(natural))
}

impl Role {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            title: row.get("title")?,
            job: row.get("job")?,
            boundaries: json(row, "boundaries")?,
            budget: RoleBudget {
                per_ticket_micros: number(row, "per_ticket_micros")?,
                per_day_micros: number(row, "per_day_micros")?,
            },
            tools: json(row, "tools")?,
            escalation: json(row, "escalation")?,
            tier: row.get("tier")?,
            status: row.get("status")?,
            reason: row.get("reason")?,
            hired_by: row.get("hired_by")?,
            hired_at: row.get("hired_at")?,
            updated_at: row.get("updated_at")?,
            position: number(row, "position")?,
            updated_position: number(row, "updated_position")?,
            erased_at: row.get("erased_at")?,
        })
    }
}

impl Kind {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            kind: row.get("kind")?,
            version: number(row, "version")?,
            schema: json(row, "schema")?,
            registered_by: row.get("registered_by")?,
            registered_at: row.get("registered_at")?,
            position: number(row, "position")?,
        })
    }
}

impl Ticket {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self> {
        let asked = match maybe_number(row, "asked_position")? {
            None => None,
            Some(position) => Some(Asked {
                by: row.get("asked_by")?,
                at: row.get("asked_at")?,
                position,
                hash: row.get("asked_hash")?,
                reason: row.get("asked_reason")?,
            }),
        };
        let answered = match maybe_number(row, "answered_position")? {
            None => None,
            Some(position) => Some(Answered {
                by: row.get("answered_by")?,
                at: row.get("answered_at")?,
                position,
                reason: row.get("answered_reason")?,
            }),
        };
        Ok(Self {
            id: row.get("id")?,
            title: row.get("title")?,
            note: row.get("note")?,
            priority: row.get("priority")?,
            due: row.get("due")?,
            role: row.get("role")?,
            approval_required: row.get("approval_required")?,
            external: row.get("external")?,
            status: row.get("status")?,
            approval: row.get("approval")?,
            asked,
            answered,
            breached: row.get("breached")?,
            run: row.get("run")?,
            runs: number(row, "runs")?,
            evidence: row.get("evidence")?,
            result: row.get("result")?,
            reason: row.get("reason")?,
            opened_by: row.get("opened_by")?,
            opened_at: row.get("opened_at")?,
            updated_at: row.get("updated_at")?,
            position: number(row, "position")?,
            updated_position: number(row, "updated_position")?,
            erased_at: row.get("erased_at")?,
        })
    }
}

impl Run {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            ticket: row.get("ticket")?,
            role: row.get("role")?,
            worker: row.get("worker")?,
            status: row.get("status")?,
            steps: number(row, "steps")?,
            started_at: row.get("started_at")?,
            ended_at: row.get("ended_at")?,
            reason: row.get("reason")?,
            position: number(row, "position")?,
            updated_position: number(row, "updated_position")?,
            erased_at: row.get("erased_at")?,
        })
    }
}

impl Step {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            position: number(row, "position")?,
            name: row.get("name")?,
            outcome: row.get("outcome")?,
            summary: row.get("summary")?,
            confidence: row.get("confidence")?,
            time: row.get("time")?,
        })
    }
}

impl Event {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            position: number(row, "position")?,
            hash: row.get("hash")?,
            id: row.get("id")?,
            time: row.get("time")?,
            kind: row.get("kind")?,
            actor: row.get("actor")?,
            via: row.get("via")?,
            intentid: row.get("intentid")?,
            entity: row.get("entity")?,
            touches: row.get("touches")?,
            refusal: row.get("refusal")?,
            code: row.get("code")?,
            data: json(row, "data")?,
        })
    }
}

impl Member {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            actor: row.get("actor")?,
            parts: json(row, "parts")?,
            role: row.get("role")?,
            name: row.get("name")?,
            enrolled_at: row.get("enrolled_at")?,
            removed_at: row.get("removed_at")?,
            position: number(row, "position")?,
            erased_at: row.get("erased_at")?,
            keys: Vec::new(),
        })
    }
}

impl Key {
    pub(crate) fn read(row: &Row<'_>) -> Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            actor: row.get("actor")?,
            public: row.get("public")?,
            uses: json(row, "uses")?,
            position: number(row, "position")?,
            revoked: row.get("revoked")?,
            revoked_at: row.get("revoked_at")?,
            revoked_position: maybe_number(row, "revoked_position")?,
            notafter: row.get("notafter")?,
            level: row.get("level")?,
        })
    }
}
