//! Approvals: a person's own signature inside a record. The key must be the person's at that
//! position, and what was approved must be what a record of the bundle asked.

use std::collections::BTreeMap;

use canonry_record::jws::{Approval, Decision, peek, verify_as};
use canonry_record::read::Read;
use canonry_record::{Hash, KeyRing};
use canonry_schemas::key::Use;
use serde_json::Value;

/// The records that asked for approval: by position, the hash and the entity.
#[derive(Debug, Default)]
pub struct Asked(BTreeMap<u64, (Hash, String)>);

impl Asked {
    /// Remembers a record that asks.
    pub fn take(&mut self, read: &Read<'_>) {
        if read.record.aggregate == "ticket" && read.record.event == "approval-requested" {
            self.0.insert(read.seq, (read.hash, read.record.entity.to_string()));
        }
    }

    /// Checks the approval in a record, if it decides something; `None` where it does not.
    ///
    /// `Some(Err)` holds why it does not stand.
    pub fn check(&self, ring: &KeyRing, read: &Read<'_>) -> Option<Result<(), String>> {
        let record = &read.record;
        let decision = match (record.aggregate.as_str(), record.event.as_str()) {
            ("ticket", "approved") => Decision::Approve,
            ("ticket", "rejected") => Decision::Reject,
            _ => return None,
        };
        Some(self.stands(ring, read, decision))
    }

    fn stands(&self, ring: &KeyRing, read: &Read<'_>, decision: Decision) -> Result<(), String> {
        let record = &read.record;
        let data: Value = serde_json::from_str(record.data).map_err(|e| e.to_string())?;
        let token = data["approval"].as_str().ok_or("the record holds no approval")?;
        let kid = peek(token).map_err(|e| e.to_string())?.kid;
        let key = ring.key(&kid).filter(|key| key.may(Use::Member) && key.holds_at(read.seq));
        let key = key.filter(|key| !key.has_expired(record.time));
        let key = key.ok_or("it is not signed with a member's key that holds there")?;
        let claims: Approval = verify_as(token, &key.verifying).map_err(|e| e.to_string())?;
        let person = key.key.actor.as_str();
        if claims.iss != person || record.actor != person {
            return Err(format!("it is signed with a key of {person}, who did not decide"));
        }
        let asked = self.0.get(&claims.position).filter(|(_, entity)| *entity == record.entity);
        let (hash, entity) = asked.ok_or("no record of the bundle asked for it")?;
        let intent = record.intentid.as_deref().unwrap_or_default();
        let what = (entity.as_str(), decision);
        let (at, now) = ((claims.position, *hash), record.time.seconds());
        claims.check(&record.tenant, what, intent, at, now).map_err(|e| e.to_string())
    }
}
