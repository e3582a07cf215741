//! `tenant.repaired`: the one record that may stand beyond the position that is due. It names the
//! last verified record and every position that it leaves out, and a root key has allowed it.
//!
//! Whether a repair is lawful is decided here and nowhere else. What a store still holds of the
//! positions that it leaves out is looked at by [`hides`]. Next: [`crate::verify`].

use canonry_schemas::ids::TenantId;
use canonry_schemas::key::Use;
use canonry_schemas::tenant::{Lost, Repaired, Verified};
use serde::{Deserialize, Serialize};

use crate::hash::{Hash, sha256};
use crate::read::{Line, Read, Why, read};
use crate::ring::KeyRing;
use crate::seal::{Signer, parse_signature, signature_message, verify_strict};

/// A repair that was verified. `verify` tells of it for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repair {
    /// Position of the record that repairs.
    pub position: u64,
    /// Position of the last verified record before it.
    pub after: u64,
    /// Its hash.
    pub hash: Hash,
    /// The first position that is left out.
    pub from: u64,
    /// The last one.
    pub to: u64,
    /// The highest that anybody was known to have seen.
    pub given: u64,
}

/// `canonry/repair/v1` 0x00 tenant 0x00 SHA-256 of the canonical JSON of `data` without
/// `authorization`.
///
/// # Panics
/// Never: the data has strings only.
#[must_use]
pub fn repair_message(tenant: &TenantId, data: &Repaired) -> Vec<u8> {
    let mut value = serde_json::to_value(data).expect("strings alone");
    if let Some(members) = value.as_object_mut() {
        members.remove("authorization");
    }
    let canonical = serde_json_canonicalizer::to_vec(&value).expect("strings alone");
    let mut message = b"canonry/repair/v1\0".to_vec();
    message.extend_from_slice(tenant.as_str().as_bytes());
    message.push(0);
    message.extend_from_slice(&sha256(&canonical).0);
    message
}

/// The data of a repair at `position`, signed by a root key.
#[must_use]
pub fn repaired(
    tenant: &TenantId,
    (after, hash): (u64, Hash),
    position: u64,
    given: u64,
    content_key: Option<String>,
    root: &Signer,
) -> Repaired {
    let mut data = Repaired {
        after: Verified { position: after.to_string(), hash: hash.to_string() },
        lost: Lost { from: (after + 1).to_string(), to: (position - 1).to_string() },
        given: given.to_string(),
        content_key,
        authorization: String::new(),
    };
    data.authorization = root.sign_text(&repair_message(tenant, &data));
    data
}

/// Whether a record is a repair, as far as its type says.
pub(crate) fn is_repair(read: &Read<'_>) -> bool {
    read.record.aggregate == "tenant" && read.record.event == "repaired"
}

/// Checks a repair against the last verified record.
///
/// # Errors
/// It is not lawful.
pub(crate) fn check(
    ring: &KeyRing,
    (after, hash): (u64, Hash),
    read: &Read<'_>,
) -> Result<Repair, Why> {
    let raw: serde_json::Value =
        serde_json::from_str(read.record.data).map_err(|_| Why::RepairMalformed)?;
    let data = Repaired::deserialize(&raw).map_err(|_| Why::RepairMalformed)?;
    // What was signed is what stands there, to the last member.
    if serde_json::to_value(&data).ok() != Some(raw) {
        return Err(Why::RepairMalformed);
    }
    let number = |text: &str| {
        text.parse::<u64>().ok().filter(|n| n.to_string() == text).ok_or(Why::RepairMalformed)
    };
    if read.record.version != 1 || read.seq <= after + 1 {
        return Err(Why::RepairMalformed);
    }
    if number(&data.after.position)? != after || data.after.hash != hash.to_string() {
        return Err(Why::RepairHead);
    }
    let (from, to) = (number(&data.lost.from)?, number(&data.lost.to)?);
    let given = number(&data.given)?;
    if from != after + 1 || to != read.seq - 1 || given < after || given > to {
        return Err(Why::RepairMalformed);
    }
    let (id, signature) = parse_signature(&data.authorization).ok_or(Why::RepairAuthorization)?;
    let root = ring.key(&id).filter(|key| key.is_current() && key.may(Use::Root));
    let root = root.filter(|key| !key.has_expired(read.record.time));
    let root = root.ok_or(Why::RepairAuthorization)?;
    if !verify_strict(&root.verifying, &repair_message(ring.tenant(), &data), &signature) {
        return Err(Why::RepairAuthorization);
    }
    Ok(Repair { position: read.seq, after, hash, from, to, given })
}

/// How many records there are up to and including a position: without what repairs left out.
#[must_use]
pub fn records_upto(repairs: &[Repair], position: u64) -> u64 {
    let before = repairs.iter().filter(|r| r.position <= position);
    position - before.map(|r| r.to - r.from + 1).sum::<u64>()
}

/// Whether what a store still holds at the first position that a repair left out stands: it goes on
/// from the last verified record, and a record key of the tenant signed it.
#[must_use]
pub fn hides(repair: &Repair, ring: &KeyRing, line: &Line<'_>) -> bool {
    let Ok(read) = read(line) else { return false };
    line.seq == repair.from
        && read.record.tenant == ring.tenant().as_str()
        && read.record.prevhash == repair.hash
        && ring.key(&read.key).is_some_and(|key| {
            key.may(Use::Record)
                && key.holds_at(line.seq)
                && !key.has_expired(read.record.time)
                && verify_strict(&key.verifying, &signature_message(&read.hash), &read.signature)
        })
}
