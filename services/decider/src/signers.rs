//! The private keys that a holder signs with: opened by the id that the ledger names, from
//! wherever this process has them, and the positions from which each signs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use canonry_keystore::KeySource;
use canonry_record::KeyRing;
use canonry_record::ring::Entry;
use canonry_record::seal::Signer;
use canonry_schemas::ids::{KeyId, TenantId};
use canonry_schemas::key::Use;
use canonry_schemas::time::Time;

/// The opened keys of one tenant.
#[derive(Clone)]
pub struct Signers {
    tenant: TenantId,
    source: Arc<dyn KeySource>,
    opened: BTreeMap<KeyId, Arc<Signer>>,
    absent: BTreeSet<KeyId>,
}

impl Signers {
    /// With nothing opened.
    #[must_use]
    pub const fn new(tenant: TenantId, source: Arc<dyn KeySource>) -> Self {
        Self { tenant, source, opened: BTreeMap::new(), absent: BTreeSet::new() }
    }

    /// Whether a key can be opened here; none before it was looked for.
    #[must_use]
    pub fn known(&self, id: &KeyId) -> Option<bool> {
        if self.opened.contains_key(id) {
            return Some(true);
        }
        self.absent.contains(id).then_some(false)
    }

    /// Looks for a key.
    ///
    /// # Errors
    /// The source does not answer.
    pub fn look(&mut self, id: &KeyId) -> Result<Option<Arc<Signer>>, String> {
        if let Some(signer) = self.opened.get(id) {
            return Ok(Some(Arc::clone(signer)));
        }
        let found = self.source.open(&self.tenant, id).map_err(|e| e.to_string())?;
        let Some(key) = found else {
            self.absent.insert(id.clone());
            return Ok(None);
        };
        let signer = Arc::new(Signer::new(key));
        self.opened.insert(id.clone(), Arc::clone(&signer));
        Ok(Some(signer))
    }

    /// A key that was not there may be there the next time.
    pub fn look_again(&mut self) {
        self.absent.clear();
    }

    /// The key that signs the next record.
    ///
    /// # Errors
    /// It is not here, or does not open.
    pub fn record(&mut self, ring: &KeyRing) -> Result<Arc<Signer>, String> {
        let id = ring.record_key().map(|entry| entry.key.id.clone());
        let id = id.ok_or("the ledger names no record key")?;
        let missing = || format!("record key {id} is in no key store of this decider");
        self.look(&id)?.ok_or_else(missing)
    }

    /// The key that signs heads: the newest that holds at this time and is here.
    ///
    /// # Errors
    /// There is none.
    pub fn checkpoint(&mut self, ring: &KeyRing, now: Time) -> Result<Arc<Signer>, String> {
        let mut holding: Vec<&Entry> =
            ring.with_use(Use::Checkpoint).filter(|entry| !entry.has_expired(now)).collect();
        // One that ends is used only where no other is here.
        holding.sort_by_key(|e| (e.key.notafter.is_some(), std::cmp::Reverse(e.since)));
        for entry in holding {
            if let Some(signer) = self.look(&entry.key.id)? {
                return Ok(signer);
            }
        }
        Err("no checkpoint key that holds is in a key store of this decider".to_owned())
    }
}

/// Which key signs from which position on.
#[derive(Clone)]
pub struct Timeline(Vec<(u64, Arc<Signer>)>);

impl Timeline {
    /// One key for every position.
    #[must_use]
    pub fn new(signer: Arc<Signer>) -> Self {
        Self(vec![(0, signer)])
    }

    /// Another key from this position on.
    pub fn change(&mut self, from: u64, signer: Arc<Signer>) {
        if self.0.last().is_none_or(|(_, last)| last.id != signer.id) {
            self.0.push((from, signer));
        }
    }

    /// The key that signs at a position.
    #[must_use]
    pub fn at(&self, position: u64) -> &Arc<Signer> {
        let after = self.0.partition_point(|(from, _)| *from <= position);
        &self.0[after.saturating_sub(1)].1
    }

    /// Nothing before this position is signed any more.
    pub fn forget_before(&mut self, position: u64) {
        let keep = self.0.partition_point(|(from, _)| *from <= position).saturating_sub(1);
        self.0.drain(..keep);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_position_has_the_key_of_its_time() {
        let key = |n| Arc::new(Signer::from_seed(&[n; 32]));
        let mut timeline = Timeline::new(key(1));
        timeline.change(8, key(2));
        timeline.change(9, key(2));
        timeline.change(20, key(3));
        let at = |t: &Timeline, position| t.at(position).id.clone();
        for (position, n) in [(1, 1), (7, 1), (8, 2), (19, 2), (20, 3), (99, 3)] {
            assert_eq!(at(&timeline, position), key(n).id, "{position}");
        }
        timeline.forget_before(8);
        assert_eq!(timeline.0.len(), 2);
        assert_eq!((at(&timeline, 8), at(&timeline, 20)), (key(2).id.clone(), key(3).id.clone()));
    }
}
