//! Which records are about a ticket or run. Records are asked in the order of the ledger: a run is
//! known as the ticket's from the record that starts it, an action from what was decided about it.

use std::collections::BTreeSet;

use canonry_record::record::Record;
use canonry_schemas::ids::WorkId;

/// What a bundle is about, and the runs and actions that were seen so far.
#[derive(Debug, Clone)]
pub struct Concern {
    about: String,
    names: BTreeSet<String>,
}

impl Concern {
    /// A ticket with its runs, or one run; with their actions.
    #[must_use]
    pub fn new(about: &WorkId) -> Self {
        let about = about.entity();
        Self { names: BTreeSet::from([about.clone()]), about }
    }

    /// Whether a record is about it: it, or a run or an action of it, is the record's entity or is
    /// touched. What people answered about an action names nothing but the action.
    pub fn takes(&mut self, record: &Record<'_>) -> bool {
        let named = |name: &str| self.names.contains(name);
        let taken = named(&record.entity) || record.touched().any(named);
        let starts = record.aggregate == "run" && record.event == "started";
        let acts = record.aggregate == "action" && record.entity.starts_with("action/");
        if (starts || acts) && record.touched().any(|name| name == self.about) {
            self.names.insert(record.entity.to_string());
        }
        taken
    }
}

/// Whether a record must be among the keys: it changes them, or says which positions are empty.
#[must_use]
pub fn is_of_keys(record: &Record<'_>) -> bool {
    let name = (record.aggregate.as_str(), record.event.as_str());
    matches!(
        name,
        ("tenant", "founded" | "keys-rotated" | "repaired")
            | ("member", "enrolled" | "removed" | "keys-rotated")
    )
}
