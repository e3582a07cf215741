//! What changed between two positions: each entity that a fact touched, as it was before and after.
//! Both sides are folded anew from the records ([`crate::query::Snapshot::as_of`]); what is compared
//! are the rows that readers see. Content is still sealed: who may read it opens it first.

use std::collections::BTreeMap;

use canonry_schemas::limits::{DIFF_ENTITIES, DIFF_RECORDS};
use rusqlite::Transaction;
use serde_json::{Map, Value, json};

use crate::past::as_of;
use crate::query::Snapshot;
use crate::store::{Error, integer, natural};

/// One entity on both sides.
#[derive(Debug, Clone, PartialEq)]
pub struct Changed {
    /// `<aggregate>/<id>`.
    pub entity: String,
    /// Facts between the positions that are its own or touch it.
    pub facts: u64,
    /// Its row at the earlier position; `None` where it was not there, or has no row at all.
    pub before: Option<Value>,
    /// Its row at the later one.
    pub after: Option<Value>,
}

/// The entities that facts touched after `from` and up to `to`, in the order of their first.
pub(crate) fn changed(tx: &Transaction<'_>, from: u64, to: u64) -> Result<Vec<Changed>, Error> {
    // Counted, not told by the positions: a repair leaves some out.
    let between = "SELECT count(*) FROM (SELECT 1 FROM events
         WHERE position > ?1 AND position <= ?2 LIMIT ?3)";
    let most = integer(DIFF_RECORDS + 1);
    let count: i64 = tx.query_row(between, (integer(from), integer(to), most), |row| row.get(0))?;
    if natural(count) > DIFF_RECORDS {
        return Err(Error::Wide { most: DIFF_RECORDS, what: "records" });
    }
    let mut found: Vec<(String, u64)> = Vec::new();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let mut query = tx.prepare_cached(
        "SELECT entity, touches FROM events
         WHERE position > ?1 AND position <= ?2 AND refusal = 0 ORDER BY position",
    )?;
    let mut rows = query.query((integer(from), integer(to)))?;
    while let Some(row) = rows.next()? {
        let (entity, touches): (String, Option<String>) = (row.get(0)?, row.get(1)?);
        let touched = touches.iter().flat_map(|t| t.split(' '));
        for one in std::iter::once(entity.as_str()).chain(touched) {
            let place = *places.entry(one.to_owned()).or_insert_with(|| {
                found.push((one.to_owned(), 0));
                found.len() - 1
            });
            found[place].1 += 1;
        }
        if found.len() > DIFF_ENTITIES {
            return Err(Error::Wide { most: DIFF_ENTITIES as u64, what: "entities" });
        }
    }
    let side = |position| as_of(tx, found.iter().map(|(entity, _)| entity.as_str()), position);
    let (mut before, mut after) = (side(from)?, side(to)?);
    let (before, after) = (before.snapshot()?, after.snapshot()?);
    let both = |(entity, facts): &(String, u64)| {
        let (before, after) = (row(&before, entity)?, row(&after, entity)?);
        Ok(Changed { entity: entity.clone(), facts: *facts, before, after })
    };
    found.iter().map(both).collect()
}

/// An entity's row as JSON; `None` for one that has none.
fn row(snapshot: &Snapshot<'_>, entity: &str) -> Result<Option<Value>, Error> {
    fn value<T: serde::Serialize>(row: Option<T>) -> Result<Option<Value>, Error> {
        Ok(row.map(serde_json::to_value).transpose()?)
    }
    match entity.split_once('/') {
        Some(("role", id)) => value(snapshot.role(id)?),
        Some(("ticket", id)) => value(snapshot.ticket(id)?),
        Some(("run", id)) => value(snapshot.run(id)?),
        Some(("member", id)) => value(snapshot.member(id)?),
        _ => Ok(None),
    }
}

/// The fields that differ, each with `before` and `after`; what is absent on one side is left out
/// there. Objects are compared field by field, lists as a whole.
#[must_use]
pub fn fields(before: Option<&Value>, after: Option<&Value>) -> Map<String, Value> {
    let mut found = Map::new();
    walk("", before, after, &mut found);
    found
}

fn walk(name: &str, before: Option<&Value>, after: Option<&Value>, found: &mut Map<String, Value>) {
    let object = |v: Option<&Value>| v.is_none_or(Value::is_object);
    if object(before) && object(after) {
        let members = |v: Option<&Value>| v.and_then(Value::as_object).cloned().unwrap_or_default();
        let (before, after) = (members(before), members(after));
        let names: std::collections::BTreeSet<&String> =
            before.keys().chain(after.keys()).collect();
        for member in names {
            let inner = if name.is_empty() { member.clone() } else { format!("{name}.{member}") };
            walk(&inner, before.get(member), after.get(member), found);
        }
    } else if before != after {
        let sides = [("before", before), ("after", after)];
        let sides = sides.into_iter().filter_map(|(side, v)| Some((side.to_owned(), v?.clone())));
        found.insert(name.to_owned(), json!(sides.collect::<Map<_, _>>()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_told() {
        let before = json!({"id": "a", "status": "open", "budget": {"day": 1, "one": 2}, "old": 1});
        let after =
            json!({"id": "a", "status": "ended", "budget": {"day": 3, "one": 2}, "tools": ["x"]});
        let told = json!({
            "status": {"before": "open", "after": "ended"},
            "budget.day": {"before": 1, "after": 3},
            "old": {"before": 1},
            "tools": {"after": ["x"]},
        });
        assert_eq!(Value::from(fields(Some(&before), Some(&after))), told);
        assert!(fields(Some(&before), Some(&before)).is_empty());
        assert!(fields(None, None).is_empty());
        assert_eq!(fields(None, Some(&json!({"id": 1})))["id"], json!({"after": 1}));
    }
}
