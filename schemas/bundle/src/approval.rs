//! Answers: a person's own signature inside a record, an approval, a rejection or a step-up. The key
//! must be the person's at that position, of the use that it needs, and what was answered must be what
//! a record of the bundle asked.

use std::collections::BTreeMap;

use canonry_record::jws::{Approval, Assertion, Decision, peek, verify_as};
use canonry_record::read::Read;
use canonry_record::ring::Entry;
use canonry_record::{Hash, KeyRing};
use canonry_schemas::key::Use;
use serde_json::Value;

/// What a record of the bundle asked for.
#[derive(Debug)]
struct Question {
    hash: Hash,
    entity: String,
}

/// The records that asked, by position; and the level that each entity's question asks for.
#[derive(Debug, Default)]
pub struct Asked {
    questions: BTreeMap<u64, Question>,
    levels: BTreeMap<String, u64>,
}

/// Why an answer does not stand: the code, and in words.
pub type Wrong = (&'static str, String);

impl Asked {
    /// Remembers a record that asks.
    pub fn take(&mut self, read: &Read<'_>) {
        let record = &read.record;
        let entity = record.entity.to_string();
        match (record.aggregate.as_str(), record.event.as_str()) {
            ("ticket", "approval-requested") | ("action", "asked-again") => {}
            ("action", "held") => {
                let data: Value = serde_json::from_str(record.data).unwrap_or_default();
                match data["approvals"]["level"].as_u64() {
                    Some(level) => drop(self.levels.insert(entity.clone(), level)),
                    None => drop(self.levels.remove(&entity)),
                }
            }
            _ => return,
        }
        self.questions.insert(read.seq, Question { hash: read.hash, entity });
    }

    /// Checks the answer in a record, if it is one; `None` where it is not.
    pub fn check(&self, ring: &KeyRing, read: &Read<'_>) -> Option<Result<(), Wrong>> {
        let record = &read.record;
        let decision = match (record.aggregate.as_str(), record.event.as_str()) {
            ("ticket" | "action", "approved") => Decision::Approve,
            ("ticket" | "action", "rejected") => Decision::Reject,
            ("action", "stepped-up") => {
                return Some(self.steps_up(ring, read).map_err(|why| ("assertion-wrong", why)));
            }
            _ => return None,
        };
        Some(self.decides(ring, read, decision).map_err(|why| ("approval-wrong", why)))
    }

    fn decides(&self, ring: &KeyRing, read: &Read<'_>, decision: Decision) -> Result<(), String> {
        let record = &read.record;
        let data = data_of(read)?;
        let (token, key) = signed(ring, read, &data["approval"], Use::Member)?;
        let claims: Approval = verify_as(token, &key.verifying).map_err(|e| e.to_string())?;
        by_its_person(&claims.iss, key, &record.actor)?;
        let asked = self.asked(claims.position, &record.entity)?;
        let intent = record.intentid.as_deref().unwrap_or_default();
        let (at, now) = ((claims.position, asked.hash), record.time.seconds());
        let what = (asked.entity.as_str(), decision);
        claims.check(&record.tenant, what, intent, at, now).map_err(|e| e.to_string())
    }

    fn steps_up(&self, ring: &KeyRing, read: &Read<'_>) -> Result<(), String> {
        let record = &read.record;
        let data = data_of(read)?;
        let (token, key) = signed(ring, read, &data["assertion"], Use::StepUp)?;
        let claims: Assertion = verify_as(token, &key.verifying).map_err(|e| e.to_string())?;
        by_its_person(&claims.iss, key, &record.actor)?;
        let asked = self.asked(claims.position, &record.entity)?;
        let intent = record.intentid.as_deref().unwrap_or_default();
        let (at, now) = ((claims.position, asked.hash), record.time.seconds());
        claims.check(&record.tenant, &asked.entity, intent, at, now).map_err(|e| e.to_string())?;
        let level = self.levels.get(&asked.entity).ok_or("no level was asked for")?;
        let said = data["level"].as_u64() == Some(u64::from(claims.level));
        let reaches = key.key.level.is_some_and(|reach| claims.level <= reach);
        if said && reaches && u64::from(claims.level) >= *level {
            return Ok(());
        }
        Err("the level is not the record's, not its key's, or lower than was asked for".to_owned())
    }

    fn asked(&self, position: u64, entity: &str) -> Result<&Question, String> {
        let asked = self.questions.get(&position).filter(|asked| asked.entity == entity);
        asked.ok_or_else(|| "no record of the bundle asked for it".to_owned())
    }
}

fn data_of(read: &Read<'_>) -> Result<Value, String> {
    serde_json::from_str(read.record.data).map_err(|e| e.to_string())
}

/// A token of a record, and the key of this use that signed it and holds there.
fn signed<'t, 'r>(
    ring: &'r KeyRing,
    read: &Read<'_>,
    token: &'t Value,
    wanted: Use,
) -> Result<(&'t str, &'r Entry), String> {
    let token = token.as_str().ok_or("the record holds no answer")?;
    let kid = peek(token).map_err(|e| e.to_string())?.kid;
    let key = ring.key(&kid).filter(|key| key.may(wanted) && key.holds_at(read.seq));
    let key = key.filter(|key| !key.has_expired(read.record.time));
    let key = key.ok_or("it is not signed with a key of its use that holds there")?;
    Ok((token, key))
}

fn by_its_person(issuer: &str, key: &Entry, actor: &str) -> Result<(), String> {
    let person = key.key.actor.as_str();
    if issuer == person && actor == person {
        return Ok(());
    }
    Err(format!("it is signed with a key of {person}, who did not decide"))
}
