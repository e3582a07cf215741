//! The moments that the timer watches: deadlines of tickets, ends of questions and allowances,
//! reviews of roles. The nearest are in memory, all of them in the snapshot store.

use std::collections::BTreeSet;

use canonry_domain::action::Wake;
use canonry_schemas::ids::{ActionId, RoleId, TicketId};
use canonry_schemas::time::Time;
use serde_json::json;

/// What the timer does when a moment comes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watch {
    /// A ticket's deadline is breached.
    Breach(TicketId),
    /// An action expires, escalates or lapses.
    Act(Wake, ActionId),
    /// A role's counters move it to another tier.
    Review(RoleId),
}

impl Watch {
    /// The entity that it is about.
    #[must_use]
    pub fn entity(&self) -> String {
        match self {
            Self::Breach(ticket) => format!("ticket/{ticket}"),
            Self::Act(_, action) => format!("action/{action}"),
            Self::Review(role) => format!("role/{role}"),
        }
    }

    /// The command that says so: aggregate, verb, body.
    #[must_use]
    pub fn command(&self, at: Time) -> (&'static str, &'static str, String) {
        match self {
            Self::Breach(id) => ("ticket", "breach", json!({ "id": id, "due": at }).to_string()),
            Self::Act(wake, id) => {
                let verb = match wake {
                    Wake::Expire => "expire",
                    Wake::Escalate => "escalate",
                    Wake::Lapse => "lapse",
                };
                ("action", verb, json!({ "id": id, "at": at }).to_string())
            }
            Self::Review(id) => ("role", "review", json!({ "id": id }).to_string()),
        }
    }
}

/// The nearest deadlines.
#[derive(Debug, Default)]
pub struct Deadlines {
    near: BTreeSet<(Time, Watch)>,
    /// Those later than this are only in the store; `None` when all are here.
    horizon: Option<Time>,
}

impl Deadlines {
    /// Adds one.
    pub fn insert(&mut self, due: Time, what: Watch) {
        if self.horizon.is_none_or(|horizon| due <= horizon) {
            self.near.insert((due, what));
        }
    }

    /// Takes one away.
    pub fn remove(&mut self, due: Time, what: &Watch) {
        self.near.remove(&(due, what.clone()));
    }

    /// The first that passed, at most `most`.
    #[must_use]
    pub fn overdue(&self, now: Time, most: usize) -> Vec<(Time, Watch)> {
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
