//! The deadlines that the timer watches: the nearest in memory, all of them in the snapshot store.

use std::collections::BTreeSet;

use canonry_schemas::ids::TicketId;
use canonry_schemas::time::Time;

/// The nearest deadlines.
#[derive(Debug, Default)]
pub struct Deadlines {
    near: BTreeSet<(Time, TicketId)>,
    /// Those later than this are only in the store; `None` when all are here.
    horizon: Option<Time>,
}

impl Deadlines {
    /// Adds one.
    pub fn insert(&mut self, due: Time, ticket: TicketId) {
        if self.horizon.is_none_or(|horizon| due <= horizon) {
            self.near.insert((due, ticket));
        }
    }

    /// Takes one away.
    pub fn remove(&mut self, due: Time, ticket: &TicketId) {
        self.near.remove(&(due, ticket.clone()));
    }

    /// The first that passed, at most `most`.
    #[must_use]
    pub fn overdue(&self, now: Time, most: usize) -> Vec<(Time, TicketId)> {
        self.near.iter().take_while(|(due, _)| *due <= now).take(most).cloned().collect()
    }

    /// Forgets the latest beyond `keep`; all of them must be stored.
    pub fn trim(&mut self, keep: usize) {
        if let Some((last, _)) = self.near.iter().nth(keep.saturating_sub(1)).cloned()
            && self.near.len() > keep
        {
            self.near.retain(|(due, _)| *due <= last);
            self.horizon = Some(last);
        }
    }

    /// Beyond which moment the store must be asked, if that is near.
    #[must_use]
    pub fn wants_more(&self, soon: Time) -> Option<Time> {
        self.horizon.filter(|horizon| *horizon <= soon || self.near.is_empty())
    }

    /// Everything up to `horizon` was inserted; `None` when nothing is left in the store.
    pub fn reaches(&mut self, horizon: Option<Time>) {
        self.horizon = horizon;
    }
}
