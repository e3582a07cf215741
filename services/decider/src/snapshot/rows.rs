//! Rows and their digests.

use canonry_domain::directory::Directory;
use canonry_record::content::intent_digest;
use canonry_record::hash::sha256;
use canonry_record::{Hash, KeyRing};
use canonry_schemas::ids::TenantId;
use canonry_schemas::time::Time;
use rusqlite::{Connection, OptionalExtension as _, Transaction, params};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Change, Core, Deadlines, Error, FOLD};
use crate::intents::{Answered, Fingerprint, Row, horizon};
use crate::world::{Slot, watched};

type Key = [u8; 32];
type Sum = [u8; 32];

/// Intents looked at in one go when old ones are forgotten.
const FORGET: i64 = 10_000;

fn foreign(what: impl Into<String>) -> Error {
    Error::Foreign(what.into())
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("our own states are JSON: string keys, no floats")
}

fn parsed<T: DeserializeOwned>(body: &[u8], what: &str) -> Result<T, Error> {
    serde_json::from_slice(body).map_err(|_| foreign(what))
}

fn slot_mac(key: &Key, entity: &str, due: Option<i64>, body: &[u8]) -> Sum {
    let due = due.map_or_else(|| "-".to_owned(), |due| due.to_string());
    let whole = [b"slot\0", entity.as_bytes(), b"\0", due.as_bytes(), b"\0", body].concat();
    intent_digest(key, &whole).0
}

fn intent_mac(key: &Key, row: &Row) -> Sum {
    let mut whole = [0; 7 + 16 + 8 * 4];
    whole[..7].copy_from_slice(b"intent\0");
    whole[7..23].copy_from_slice(&row.key);
    whole[23..31].copy_from_slice(&row.answered.position.to_le_bytes());
    whole[31..39].copy_from_slice(&row.answered.digest);
    whole[39..47].copy_from_slice(&row.answered.millis.to_le_bytes());
    whole[47..].copy_from_slice(&row.id_millis.to_le_bytes());
    intent_digest(key, &whole).0
}

/// Adds modulo 2^256: with keyed digests as summands nobody without the key finds another set of
/// rows with the same sum (MSet-Add-Hash, Clarke and others, 2003).
fn add(sum: &mut Sum, more: &Sum) {
    let mut carry = 0;
    for (a, b) in sum.iter_mut().zip(more) {
        let total = u16::from(*a) + u16::from(*b) + carry;
        *a = total.to_le_bytes()[0];
        carry = total >> 8;
    }
}

fn subtract(sum: &mut Sum, less: &Sum) {
    let mut borrow = 0;
    for (a, b) in sum.iter_mut().zip(less) {
        let total = i16::from(*a) - i16::from(*b) - borrow;
        *a = total.rem_euclid(256).to_le_bytes()[0];
        borrow = i16::from(total < 0);
    }
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The core row, if there is one.
pub fn core(c: &Connection, key: &Key) -> Result<Option<Core>, Error> {
    let row = c.query_row("SELECT body, mac FROM core", [], |r| {
        Ok((r.get::<_, Vec<u8>>(0)?, r.get::<_, Vec<u8>>(1)?))
    });
    let Some((body, mac)) = row.optional()? else { return Ok(None) };
    if mac != core_mac(key, &body) {
        return Err(foreign("a core row"));
    }
    parsed(&body, "a core row").map(Some)
}

fn core_mac(key: &Key, body: &[u8]) -> Sum {
    intent_digest(key, &[b"core\0", body].concat()).0
}

/// The directory and the key ring, as the core row names them.
pub fn parts(c: &Connection, core: &Core) -> Result<(Directory, KeyRing), Error> {
    let part = |name: &str, digest: Hash| -> Result<Vec<u8>, Error> {
        let row = c.query_row("SELECT body FROM parts WHERE name = ?1", [name], |r| r.get(0));
        let body: Vec<u8> = row.optional()?.ok_or_else(|| foreign("no such part"))?;
        if sha256(&body) == digest { Ok(body) } else { Err(foreign(name)) }
    };
    let directory = parsed(&part("directory", core.parts[0])?, "a directory")?;
    let ring = parsed(&part("ring", core.parts[1])?, "a key ring")?;
    Ok((directory, ring))
}

/// The sums of all rows, each digest computed anew.
pub fn sums(c: &Connection, key: &Key) -> Result<[Hash; 2], Error> {
    let (mut slots, mut intents) = ([0; 32], [0; 32]);
    let mut query = c.prepare("SELECT entity, due, body FROM slots")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (entity, body) = (row.get_ref(0)?, row.get_ref(2)?);
        let entity = entity.as_str().map_err(|_| foreign("an entity's name"))?;
        let body = body.as_blob().map_err(|_| foreign("an entity"))?;
        add(&mut slots, &slot_mac(key, entity, row.get(1)?, body));
    }
    let mut query = c.prepare("SELECT key, position, digest, millis, id_millis FROM intents")?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        add(&mut intents, &intent_mac(key, &intent_row(row)?));
    }
    Ok([Hash(slots), Hash(intents)])
}

fn intent_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let answered = Answered {
        position: unsigned(row.get(1)?),
        digest: row.get(2)?,
        millis: unsigned(row.get(3)?),
    };
    Ok(Row { key: row.get(0)?, answered, id_millis: unsigned(row.get(4)?) })
}

/// An entity.
pub fn slot(c: &Connection, key: &Key, entity: &str) -> Result<Option<Slot>, Error> {
    let mut query = c.prepare_cached("SELECT body, due, mac FROM slots WHERE entity = ?1")?;
    let row = query
        .query_row([entity], |r| Ok((r.get::<_, Vec<u8>>(0)?, r.get(1)?, r.get::<_, Vec<u8>>(2)?)));
    let Some((body, due, mac)) = row.optional()? else { return Ok(None) };
    if mac != slot_mac(key, entity, due, &body) {
        return Err(foreign(entity));
    }
    parsed(&body, entity).map(Some)
}

/// An intent.
pub fn intent(c: &Connection, key: &Key, of: &Fingerprint) -> Result<Option<Answered>, Error> {
    let mut query = c.prepare_cached(
        "SELECT key, position, digest, millis, id_millis, mac FROM intents WHERE key = ?1",
    )?;
    let row = query.query_row([of], |r| Ok((intent_row(r)?, r.get::<_, Vec<u8>>(5)?)));
    let Some((row, mac)) = row.optional()? else { return Ok(None) };
    if mac != intent_mac(key, &row) {
        return Err(foreign("an intent"));
    }
    Ok(Some(row.answered))
}

/// The newest intents, oldest of them first.
pub fn newest_intents(c: &Connection, key: &Key, most: usize) -> Result<Vec<Row>, Error> {
    let mut query = c.prepare(
        "SELECT key, position, digest, millis, id_millis, mac FROM intents
         ORDER BY position DESC LIMIT ?1",
    )?;
    let mut rows = query.query([signed(most as u64)])?;
    let mut newest = Vec::new();
    while let Some(row) = rows.next()? {
        let (read, mac) = (intent_row(row)?, row.get::<_, Vec<u8>>(5)?);
        if mac != intent_mac(key, &read) {
            return Err(foreign("an intent"));
        }
        newest.push(read);
    }
    newest.reverse();
    Ok(newest)
}

/// Deadlines after a moment. Those of the same moment come together.
pub fn deadlines(c: &Connection, key: &Key, after: Time, most: usize) -> Result<Deadlines, Error> {
    let mut last =
        c.prepare_cached("SELECT due FROM slots WHERE due > ?1 ORDER BY due LIMIT 1 OFFSET ?2")?;
    let skip = signed(most as u64).saturating_sub(1);
    let last: Option<i64> = last.query_row(params![after.0, skip], |r| r.get(0)).optional()?;
    let mut query = c.prepare_cached(
        "SELECT due, entity, body, mac FROM slots WHERE due > ?1 AND due <= ?2 ORDER BY due",
    )?;
    let mut rows = query.query(params![after.0, last.unwrap_or(i64::MAX)])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let entity: String = row.get(1)?;
        let (body, mac): (Vec<u8>, Vec<u8>) = (row.get(2)?, row.get(3)?);
        if mac != slot_mac(key, &entity, row.get(0)?, &body) {
            return Err(foreign(entity));
        }
        let slot: Slot = parsed(&body, &entity)?;
        found.push(watched(&entity, &slot).ok_or_else(|| foreign("a deadline"))?);
    }
    Ok((found, last.map(Time)))
}

/// Writes a change.
pub fn write(
    c: &mut Connection,
    key: &Key,
    tenant: &TenantId,
    kept: u64,
    before: Option<Core>,
    change: &Change,
) -> Result<Core, Error> {
    let t = c.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    if core(&t, key)? != before {
        return Err(foreign("the rows of another process"));
    }
    let mut next = before.unwrap_or_else(|| Core {
        fold: FOLD,
        tenant: tenant.clone(),
        founder: change.founder,
        position: 0,
        hash: Hash::ZERO,
        time: change.head.time,
        epoch: 0,
        bytes: 0,
        last_content_key: None,
        floor: 0,
        intents: 0,
        greatest_intent: 0,
        sums: [Hash::ZERO; 2],
        parts: [Hash::ZERO; 2],
    });
    next.position = change.head.position;
    next.hash = change.head.hash;
    next.time = change.head.time;
    next.epoch = change.head.epoch;
    next.bytes = change.bytes;
    next.last_content_key = change.capture.last_content_key;
    put_slots(&t, key, &mut next, change)?;
    put_intents(&t, key, &mut next, change)?;
    forget(&t, kept, &mut next)?;
    if let Some(directory) = &change.capture.directory {
        next.parts[0] = put_part(&t, "directory", &json(&**directory))?;
    }
    if let Some(ring) = &change.ring {
        next.parts[1] = put_part(&t, "ring", &json(ring))?;
    }
    let body = json(&next);
    t.execute(
        "INSERT OR REPLACE INTO core (one, body, mac) VALUES (1, ?1, ?2)",
        params![body, core_mac(key, &body)],
    )?;
    t.commit()?;
    Ok(next)
}

fn put_part(t: &Transaction<'_>, name: &str, body: &[u8]) -> Result<Hash, Error> {
    t.execute("INSERT OR REPLACE INTO parts (name, body) VALUES (?1, ?2)", params![name, body])?;
    Ok(sha256(body))
}

fn put_slots(
    t: &Transaction<'_>,
    key: &Key,
    core: &mut Core,
    change: &Change,
) -> Result<(), Error> {
    let mut old = t.prepare_cached("SELECT mac FROM slots WHERE entity = ?1")?;
    let mut put = t.prepare_cached(
        "INSERT OR REPLACE INTO slots (entity, body, due, mac) VALUES (?1, ?2, ?3, ?4)",
    )?;
    for (entity, slot) in &change.capture.slots {
        if let Some(mac) = old.query_row([entity], |r| r.get::<_, Sum>(0)).optional()? {
            subtract(&mut core.sums[0].0, &mac);
        }
        let (body, due) = (json(slot), watched(entity, slot).map(|(due, _)| due.0));
        let mac = slot_mac(key, entity, due, &body);
        put.execute(params![entity, body, due, mac])?;
        add(&mut core.sums[0].0, &mac);
    }
    Ok(())
}

fn put_intents(
    t: &Transaction<'_>,
    key: &Key,
    core: &mut Core,
    change: &Change,
) -> Result<(), Error> {
    let mut put = t.prepare_cached(
        "INSERT OR IGNORE INTO intents (key, position, digest, millis, id_millis, mac)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for row in &change.capture.intents {
        let mac = intent_mac(key, row);
        let new = put.execute(params![
            row.key,
            signed(row.answered.position),
            row.answered.digest,
            signed(row.answered.millis),
            signed(row.id_millis),
            mac
        ])?;
        core.greatest_intent = core.greatest_intent.max(row.id_millis);
        if new == 1 {
            core.intents += 1;
            add(&mut core.sums[1].0, &mac);
        }
    }
    Ok(())
}

/// Forgets intents that are too old or too many, oldest first; the floor rises above them.
fn forget(t: &Transaction<'_>, kept: u64, core: &mut Core) -> Result<(), Error> {
    let (oldest, now) = (horizon(core.time.millis()), core.time.millis());
    let surplus = core.intents.saturating_sub(kept);
    let mut query = t.prepare_cached(
        "SELECT key, millis, id_millis, mac FROM intents ORDER BY position LIMIT ?1",
    )?;
    let mut remove = t.prepare_cached("DELETE FROM intents WHERE key = ?1")?;
    let mut rows = query.query([FORGET.max(signed(surplus))])?;
    let (mut forgotten, mut keys) = (0, Vec::new());
    while let Some(row) = rows.next()? {
        if forgotten >= surplus && unsigned(row.get(1)?) >= oldest {
            break;
        }
        forgotten += 1;
        core.floor = core.floor.max(unsigned(row.get(2)?).min(now) + 1);
        subtract(&mut core.sums[1].0, &row.get::<_, Sum>(3)?);
        keys.push(row.get::<_, Fingerprint>(0)?);
    }
    for key in keys {
        remove.execute([key])?;
    }
    core.intents -= forgotten;
    Ok(())
}
