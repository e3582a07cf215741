//! Any entity's state, as hosts keep and store it.

use std::fmt;

use canonry_schemas::action;
use serde::{Deserialize, Serialize};

use crate::action::{Action, book};
use crate::books::Books;
use crate::budget::Account;
use crate::ext::Kind;
use crate::facts::Applied;
use crate::lease::Lease;
use crate::policy::Policy;
use crate::role::Role;
use crate::run::Run;
use crate::ticket::Ticket;
use crate::tier::{Tiers, violates};

/// `<aggregate>/<id>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entity {
    /// The aggregate.
    pub aggregate: &'static str,
    /// The id inside it.
    pub id: String,
}

impl Entity {
    /// An entity of a known aggregate.
    #[must_use]
    pub fn new(aggregate: &'static str, id: impl Into<String>) -> Self {
        Self { aggregate, id: id.into() }
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.aggregate, self.id)
    }
}

/// The state of one entity that can be cold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// A role.
    Role(Role),
    /// A ticket.
    Ticket(Ticket),
    /// A run.
    Run(Run),
    /// A custom record type.
    Kind(Kind),
    /// The tenant's account and prices.
    Books(Books),
    /// The tenant's policy.
    Policy(Policy),
    /// An action.
    Action(Box<Action>),
    /// A worker's lease.
    Lease(Lease),
    /// What moves roles between tiers.
    Tiers(Tiers),
}

impl State {
    /// Folds an action's event into what it moves besides the action: counts, violations and the
    /// account. Whether a violation moves the role to another tier its host asks next.
    pub fn hear(&mut self, applied: &Applied<'_>, event: &action::Event) {
        match self {
            Self::Role(role) => {
                role.counts.hear(event);
                if violates(event) {
                    role.standing.violated(applied);
                }
            }
            Self::Ticket(ticket) => ticket.counts.hear(event),
            Self::Run(run) => {
                run.counts.hear(event);
                run.violations = run.violations.saturating_add(u32::from(violates(event)));
            }
            Self::Books(_)
            | Self::Kind(_)
            | Self::Policy(_)
            | Self::Action(_)
            | Self::Lease(_)
            | Self::Tiers(_) => {}
        }
        if let Some(account) = self.account_mut() {
            book(account, applied, event);
        }
    }

    /// Its account, if it has one.
    #[must_use]
    pub fn account(&self) -> Option<&Account> {
        match self {
            Self::Role(role) => Some(&*role.account),
            Self::Ticket(ticket) => Some(&*ticket.account),
            Self::Run(run) => Some(&*run.account),
            Self::Books(books) => Some(&*books.account),
            Self::Kind(_) | Self::Policy(_) | Self::Action(_) | Self::Lease(_) | Self::Tiers(_) => {
                None
            }
        }
    }

    /// Its account, for a fold.
    pub fn account_mut(&mut self) -> Option<&mut Account> {
        match self {
            Self::Role(role) => Some(&mut *role.account),
            Self::Ticket(ticket) => Some(&mut *ticket.account),
            Self::Run(run) => Some(&mut *run.account),
            Self::Books(books) => Some(&mut *books.account),
            Self::Kind(_) | Self::Policy(_) | Self::Action(_) | Self::Lease(_) | Self::Tiers(_) => {
                None
            }
        }
    }
}
