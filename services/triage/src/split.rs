//! Training and held-out incidents, parted by time: what is learnt never comes from the future
//! of what it is tested on.
//!
//! The order of the steps matters and is the one the dataset's notes use:
//! 1. keep the incidents whose final group is known (22,761 of 24,918);
//! 2. sort them by opening time, ties in the order of the file;
//! 3. cut after the first 70 %, rounded down (15,932 and 6,829);
//! 4. only then leave out, on both sides, those already resolved on their first row, because
//!    that row's group is an outcome (14,461 and 6,561 remain).
//!
//! The notes' baselines are measured before step 4; a worker trains and is scored after it.

use crate::log::Incident;

/// The incidents with a known final group, in opening order, parted in two.
#[derive(Debug, Clone)]
pub struct Split<'log> {
    /// To learn from: the first 70 %, without those resolved on their first row.
    pub training: Vec<&'log Incident>,
    /// To be tested on: the last 30 %, without those resolved on their first row.
    pub held_out: Vec<&'log Incident>,
    /// The first 70 % before step 4; only to measure the notes' own baselines.
    pub training_before_step_4: Vec<&'log Incident>,
    /// The last 30 % before step 4; only to measure the notes' own baselines.
    pub held_out_before_step_4: Vec<&'log Incident>,
}

impl<'log> Split<'log> {
    /// Parts the incidents of a log.
    pub fn of(incidents: &'log [Incident]) -> Self {
        let mut known: Vec<&Incident> =
            incidents.iter().filter(|incident| incident.final_group.is_some()).collect();
        known.sort_by_key(|incident| incident.opened_at); // stable: ties keep the file's order
        let later = known.split_off(known.len() * 7 / 10);
        let open = |part: &[&'log Incident]| {
            part.iter().copied().filter(|incident| !incident.resolved_on_first_row).collect()
        };
        Self {
            training: open(&known),
            held_out: open(&later),
            training_before_step_4: known,
            held_out_before_step_4: later,
        }
    }
}
