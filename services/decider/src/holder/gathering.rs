//! What a batch is worth waiting for. A batch costs the store milliseconds whatever is in it, so
//! callers who send one command after the other would split into two groups that wait for each
//! other's commits. After a batch, the next one waits a part of that time for those who were just
//! answered, as PostgreSQL's `commit_delay` does; with few callers, or more than a batch holds,
//! nothing waits.

use std::time::{Duration, Instant};

use canonry_schemas::limits::{BATCH_RECORDS, GATHER_MOST, GATHER_PART, PLAIN_PUBLISHES};

/// Until when, and for how many.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    until: Option<Instant>,
    wanted: usize,
}

impl Gathering {
    /// A commit of `answered` ended after `took`; `waited` others had been decided before any of
    /// these was answered.
    pub(super) fn landed(&mut self, answered: usize, waited: u64, took: Duration) {
        let waited = usize::try_from(waited).unwrap_or(BATCH_RECORDS);
        self.wanted = answered.saturating_add(waited).min(BATCH_RECORDS);
        // Plain publishes take so little that a timer would cost more.
        let worth = answered > PLAIN_PUBLISHES && waited < self.wanted;
        self.until = worth.then(|| Instant::now() + (took / GATHER_PART).min(GATHER_MOST));
    }

    /// Whether the next commit is to wait, with so many ready; once it is not, it does not wait
    /// again before another has landed.
    pub(super) fn waits_for_more(&mut self, ready: usize) -> bool {
        let waits = ready < self.wanted && self.until.is_some_and(|until| Instant::now() < until);
        if !waits {
            self.until = None;
        }
        waits
    }

    /// Ends when the time is up; never where nothing waits.
    pub(super) async fn over(&self) {
        match self.until {
            Some(until) => tokio::time::sleep_until(until.into()).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(3_600);

    fn after(answered: usize, waited: u64) -> Gathering {
        let mut gathering = Gathering::default();
        gathering.landed(answered, waited, LONG);
        // The bound is for noise on a machine, not for this test.
        gathering.until = gathering.until.map(|_| Instant::now() + LONG);
        gathering
    }

    #[test]
    fn it_waits_for_those_who_were_answered() {
        let mut half = after(32, 32);
        assert!(half.waits_for_more(32));
        assert!(half.waits_for_more(63));
        assert!(!half.waits_for_more(64), "all are there");
        assert!(!half.waits_for_more(1), "and it is over");
        let mut all = after(64, 0);
        assert!(all.waits_for_more(0) && all.waits_for_more(1) && !all.waits_for_more(64));
    }

    #[test]
    fn few_and_many_do_not_wait() {
        assert!(!after(1, 0).waits_for_more(0));
        assert!(!after(PLAIN_PUBLISHES, 3).waits_for_more(3));
        assert!(!after(BATCH_RECORDS, BATCH_RECORDS as u64).waits_for_more(BATCH_RECORDS));
    }

    #[tokio::test]
    async fn it_waits_a_part_of_the_time_and_no_more() {
        let mut gathering = Gathering::default();
        gathering.landed(64, 0, Duration::from_millis(40));
        let until = gathering.until.expect("it waits");
        assert!(until <= Instant::now() + GATHER_MOST);
        gathering.over().await;
        assert!(Instant::now() >= until);
        assert!(!gathering.waits_for_more(1));
    }
}
