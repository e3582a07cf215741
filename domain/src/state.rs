//! Any entity's state, as hosts keep and store it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::books::Books;
use crate::budget::Account;
use crate::ext::Kind;
use crate::role::Role;
use crate::run::Run;
use crate::ticket::Ticket;

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
}

impl State {
    /// Its account, if it has one.
    #[must_use]
    pub fn account(&self) -> Option<&Account> {
        match self {
            Self::Role(role) => Some(&role.account),
            Self::Ticket(ticket) => Some(&ticket.account),
            Self::Run(run) => Some(&run.account),
            Self::Books(books) => Some(&books.account),
            Self::Kind(_) => None,
        }
    }

    /// Its account, for a fold.
    pub fn account_mut(&mut self) -> Option<&mut Account> {
        match self {
            Self::Role(role) => Some(&mut role.account),
            Self::Ticket(ticket) => Some(&mut ticket.account),
            Self::Run(run) => Some(&mut run.account),
            Self::Books(books) => Some(&mut books.account),
            Self::Kind(_) => None,
        }
    }
}
