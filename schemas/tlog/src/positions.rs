//! Positions and leaves. The n-th record of a chain is leaf n - 1; positions run beside it but for
//! the gaps that a repair leaves, so the two are joined by runs.

use serde::{Deserialize, Serialize};

/// Positions that follow each other without a gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Run {
    /// The leaf of the first.
    leaf: u64,
    /// Its position.
    position: u64,
}

/// Which leaf each position is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Positions {
    runs: Vec<Run>,
    size: u64,
}

impl Positions {
    /// Leaves so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Adds the next record; false, and nothing is added, when its position is not beyond the last.
    pub fn push(&mut self, position: u64) -> bool {
        let due = self.runs.last().map_or(1, |run| run.position + (self.size - run.leaf));
        if position < due {
            return false;
        }
        if position > due || self.runs.is_empty() {
            self.runs.push(Run { leaf: self.size, position });
        }
        self.size += 1;
        true
    }

    /// The leaf of the record at a position; `None` where there is none.
    #[must_use]
    pub fn leaf(&self, position: u64) -> Option<u64> {
        let at = self.runs.partition_point(|run| run.position <= position).checked_sub(1)?;
        let run = self.runs[at];
        let end = self.runs.get(at + 1).map_or(self.size, |next| next.leaf);
        Some(run.leaf + (position - run.position)).filter(|leaf| *leaf < end)
    }

    /// The position of a leaf; `None` where there is none.
    #[must_use]
    pub fn position(&self, leaf: u64) -> Option<u64> {
        let at = self.runs.partition_point(|run| run.leaf <= leaf).checked_sub(1)?;
        (leaf < self.size).then(|| self.runs[at].position + (leaf - self.runs[at].leaf))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leaves_run_on_where_positions_leave_a_gap() {
        let mut positions = Positions::default();
        for position in [1, 2, 3, 10, 11, 40] {
            assert!(positions.push(position));
        }
        assert!(!positions.push(40) && !positions.push(7));
        let leaves: Vec<_> = [0, 1, 3, 4, 9, 10, 11, 12, 40, 41].map(|p| positions.leaf(p)).into();
        let none = None;
        let found = [none, Some(0), Some(2), none, none, Some(3), Some(4), none, Some(5), none];
        assert_eq!(leaves, found);
        for leaf in 0..6 {
            assert_eq!(positions.leaf(positions.position(leaf).unwrap()), Some(leaf));
        }
        assert_eq!(positions.position(6), None);
        let text = serde_json::to_string(&positions).unwrap();
        assert_eq!(serde_json::from_str::<Positions>(&text).unwrap(), positions);
    }
}
