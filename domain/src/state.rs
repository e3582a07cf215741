//! Any entity's state, as hosts keep and store it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ext::Kind;
use crate::lease::Lease;
use crate::role::Role;
use crate::run::Run;
use crate::ticket::Ticket;
use crate::tier::Tiers;

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
    /// A worker's lease.
    Lease(Lease),
    /// What moves roles between tiers.
    Tiers(Tiers),
}
