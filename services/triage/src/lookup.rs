//! The plain look-up that a worker has to beat: the most frequent final group per key in the
//! training incidents, the most frequent of all where the key is new. Ties go to the group seen
//! first, and a missing value is a value like any other; so the published figures come out.

use std::collections::HashMap;

use crate::log::{Code, Incident};
use crate::score::Score;

/// What the look-up goes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key {
    /// Nothing: always the most frequent group.
    Nothing,
    /// The category.
    Category,
    /// Category and subcategory.
    Subcategory,
    /// Category, subcategory and location.
    Location,
    /// The first row's group.
    FirstGroup,
}

type Values = [Option<Code>; 3];

impl Key {
    fn of(self, incident: &Incident) -> Values {
        let Incident { category, subcategory, location, first_group, .. } = *incident;
        match self {
            Self::Nothing => [None; 3],
            Self::Category => [category, None, None],
            Self::Subcategory => [category, subcategory, None],
            Self::Location => [category, subcategory, location],
            Self::FirstGroup => [first_group, None, None],
        }
    }
}

/// A trained look-up.
#[derive(Debug, Clone)]
pub struct Lookup {
    key: Key,
    otherwise: Option<Code>,
    best: HashMap<Values, Code>,
}

impl Lookup {
    /// Counts the final groups of the training incidents; those without one are passed over.
    pub fn train(key: Key, training: &[&Incident]) -> Self {
        let mut all = Tally::default();
        let mut tallies: HashMap<Values, Tally> = HashMap::new();
        for incident in training {
            if let Some(group) = incident.final_group {
                all.count(group);
                tallies.entry(key.of(incident)).or_default().count(group);
            }
        }
        let best = tallies.into_iter().filter_map(|(values, tally)| Some((values, tally.best()?)));
        Self { key, otherwise: all.best(), best: best.collect() }
    }

    /// The group for an incident, none when nothing was learnt.
    pub fn propose(&self, incident: &Incident) -> Option<Code> {
        self.best.get(&self.key.of(incident)).copied().or(self.otherwise)
    }

    /// Right proposals among incidents with a known final group.
    pub fn score(&self, held_out: &[&Incident]) -> Score {
        let known = held_out.iter().filter(|incident| incident.final_group.is_some());
        known.map(|incident| self.propose(incident) == incident.final_group).collect()
    }
}

/// Counts per group in order of first appearance.
#[derive(Default)]
struct Tally(Vec<(Code, u32)>);

impl Tally {
    fn count(&mut self, group: Code) {
        match self.0.iter_mut().find(|(seen, _)| *seen == group) {
            Some((_, count)) => *count += 1,
            None => self.0.push((group, 1)),
        }
    }

    /// The largest count; `max_by_key` would give the last of equals, so walk from the end.
    fn best(&self) -> Option<Code> {
        self.0.iter().rev().max_by_key(|(_, count)| *count).map(|(group, _)| *group)
    }
}
