//! The state of one entity as of a position: what the file has of it up to there is folded anew,
//! by the same fold, into a database in memory.

use std::collections::BTreeSet;

use canonry_schemas::event::Event;
use canonry_schemas::limits::AS_OF_RECORDS;
use rusqlite::{Connection, OptionalExtension as _, Row, Transaction};

use crate::fold::fold;
use crate::query::Reader;
use crate::recorded::Recorded;
use crate::schema::TABLES;
use crate::store::{Error, integer, natural, plan_once};

/// Positions of an entity's records up to one, in order.
fn positions(tx: &Transaction<'_>, entity: &str, upto: u64) -> Result<Vec<u64>, Error> {
    let mut query = tx.prepare_cached(
        "SELECT position FROM folded WHERE entity = ?1 AND position <= ?2 ORDER BY position LIMIT ?3",
    )?;
    let most = integer(AS_OF_RECORDS + 1);
    let rows = query.query_map((entity, integer(upto), most), |r| r.get(0).map(natural))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn recorded(row: &Row<'_>) -> Result<Recorded, Error> {
    let (kind, data): (String, String) = (row.get("kind")?, row.get("data")?);
    let (time, touches): (String, Option<String>) = (row.get("time")?, row.get("touches")?);
    let event = parsed(&kind, &data).ok_or_else(|| Error::Past(kind.clone()))?;
    Ok(Recorded {
        position: natural(row.get("position")?),
        hash: row.get("hash")?,
        id: row.get("id")?,
        time: time.parse().map_err(|_| Error::Past(kind.clone()))?,
        actor: row.get("actor")?,
        via: row.get("via")?,
        intentid: row.get("intentid")?,
        entity: row.get("entity")?,
        touches: touches.iter().flat_map(|t| t.split(' ')).map(str::to_owned).collect(),
        kind,
        data,
        event,
    })
}

/// `canonry.<aggregate>.<event>.v<n>`, as the projector read it before.
fn parsed(kind: &str, data: &str) -> Option<Event> {
    let (name, version) = kind.strip_prefix("canonry.")?.rsplit_once(".v")?;
    let (aggregate, event) = name.split_once('.')?;
    Event::parse_text(aggregate, event, version.parse().ok()?, data)?.ok()
}

/// Where the keys of members can change without a record of theirs: the founding, and whatever else
/// the tenant itself did to keys.
fn of_the_tenant(tx: &Transaction<'_>, upto: u64) -> Result<Vec<u64>, Error> {
    let mut query = tx.prepare_cached(
        "SELECT f.position FROM folded f JOIN events e ON e.position = f.position
         WHERE f.entity >= 'tenant/' AND f.entity < 'tenant0' AND f.position <= ?1
           AND e.refusal = 0 AND e.kind NOT LIKE 'canonry.tenant.taken-over.%'
         ORDER BY f.position LIMIT ?2",
    )?;
    let most = integer(AS_OF_RECORDS + 1);
    let rows = query.query_map((integer(upto), most), |r| r.get(0).map(natural))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// What must be folded to know an entity: its records, and those of the runs that touched it.
fn due(tx: &Transaction<'_>, entity: &str, position: u64) -> Result<BTreeSet<u64>, Error> {
    let mut due: BTreeSet<u64> = positions(tx, entity, position)?.into_iter().collect();
    let touching: BTreeSet<String> = due
        .iter()
        .map(|at| {
            let mut entity = tx.prepare_cached("SELECT entity FROM events WHERE position = ?1")?;
            entity.query_row([integer(*at)], |r| r.get(0))
        })
        .collect::<rusqlite::Result<_>>()?;
    for other in touching.iter().filter(|other| other.starts_with("run/") && *other != entity) {
        due.extend(positions(tx, other, position)?);
    }
    if entity.starts_with("member/") {
        due.extend(of_the_tenant(tx, position)?);
    }
    Ok(due)
}

/// Read models that hold these entities, and the runs that touched them, as of a position.
pub fn as_of<'e>(
    tx: &Transaction<'_>,
    entities: impl IntoIterator<Item = &'e str>,
    position: u64,
) -> Result<Reader, Error> {
    let mut all = BTreeSet::new();
    for entity in entities {
        all.append(&mut due(tx, entity, position)?);
        if all.len() as u64 > AS_OF_RECORDS {
            return Err(Error::TooMuch { most: AS_OF_RECORDS });
        }
    }
    anew(tx, all, position)
}

/// Read models that hold everything, as of a position.
pub fn all_as_of(tx: &Transaction<'_>, position: u64) -> Result<Reader, Error> {
    // Counted, not told by the position: a repair leaves positions out.
    let mut query = tx.prepare_cached(
        "SELECT position FROM events WHERE position <= ?1 ORDER BY position LIMIT ?2",
    )?;
    let most = integer(AS_OF_RECORDS + 1);
    let rows = query.query_map((integer(position), most), |r| r.get(0).map(natural))?;
    let all: Vec<u64> = rows.collect::<rusqlite::Result<_>>()?;
    if all.len() as u64 > AS_OF_RECORDS {
        return Err(Error::TooMuch { most: AS_OF_RECORDS });
    }
    anew(tx, all, position)
}

/// Folds these records, in order, into a database in memory whose head is at `position`.
fn anew(
    tx: &Transaction<'_>,
    records: impl IntoIterator<Item = u64>,
    position: u64,
) -> Result<Reader, Error> {
    let mut query = tx.prepare_cached("SELECT * FROM events WHERE position = ?1")?;
    let mut past = Connection::open_in_memory()?;
    plan_once(&past)?;
    past.execute_batch(TABLES)?;
    let writing = past.transaction()?;
    for at in records {
        let record = query.query_row([integer(at)], |row| Ok(recorded(row)))??;
        fold(&writing, &record)?;
    }
    let head = query.query_row([integer(position)], |row| {
        Ok((row.get::<_, String>("hash")?, row.get::<_, String>("time")?))
    });
    if let Some((hash, time)) = head.optional()? {
        let moment = (integer(position), hash, time);
        writing.execute("UPDATE head SET position = ?1, hash = ?2, time = ?3", moment)?;
    }
    writing.commit()?;
    Ok(Reader::over(past))
}
