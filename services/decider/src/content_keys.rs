//! Content keys in memory: groups of them, made ahead and stored wrapped, so that no commit waits
//! for a key. An entity takes the next unused key; which ones are used is read from the ledger.

use std::collections::BTreeMap;

use canonry_schemas::limits::CONTENT_KEY_GROUP;
use zeroize::{Zeroize as _, Zeroizing};

use crate::world::ContentKey;

/// Groups that a holder has stored and in memory before their first key is used.
pub const GROUPS_AHEAD: u32 = 8;

/// What stands in the place of a key that was shredded. Nothing is ever sealed with it.
pub const SHREDDED: [u8; 32] = [0; 32];

/// Overwrites one key of a group; false when there was none any more.
pub fn shred(group: &mut [u8], index: u16) -> bool {
    let from = usize::from(index) * 32;
    match group.get_mut(from..from + 32) {
        Some(key) if key != SHREDDED => {
            key.zeroize();
            true
        }
        _ => false,
    }
}

/// The loaded groups of one tenant.
#[derive(Default)]
pub struct ContentKeys(BTreeMap<u32, Zeroizing<Vec<u8>>>);

impl ContentKeys {
    /// The key to use after the last one in use.
    #[must_use]
    pub fn after(last: Option<ContentKey>) -> ContentKey {
        match last {
            None => ContentKey { group: 1, index: 0 },
            Some(k) if usize::from(k.index) + 1 < CONTENT_KEY_GROUP => {
                ContentKey { group: k.group, index: k.index + 1 }
            }
            Some(k) => ContentKey { group: k.group.saturating_add(1), index: 0 },
        }
    }

    /// A key, if its group is loaded and it was not shredded.
    #[must_use]
    pub fn get(&self, key: ContentKey) -> Option<&[u8; 32]> {
        let from = usize::from(key.index) * 32;
        let found: &[u8; 32] = self.0.get(&key.group)?.get(from..from + 32)?.try_into().ok()?;
        (*found != SHREDDED).then_some(found)
    }

    /// Overwrites a key in memory.
    pub fn shred(&mut self, key: ContentKey) {
        if let Some(group) = self.0.get_mut(&key.group) {
            shred(group, key.index);
        }
    }

    /// Keeps a loaded group.
    pub fn insert(&mut self, group: u32, keys: Zeroizing<Vec<u8>>) {
        self.0.insert(group, keys);
    }

    /// Whether a group is loaded.
    #[must_use]
    pub fn has(&self, group: u32) -> bool {
        self.0.contains_key(&group)
    }
}

impl std::fmt::Debug for ContentKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ContentKeys({} groups)", self.0.len())
    }
}
