//! The knowledge behind the demo's triage worker: the incident log, a baseline that proposes an
//! assignment group, and the priority table. Pure functions over a file; it knows nothing of
//! NATS, tickets or tenants, and it must never see a column that holds an incident's outcome.
//!
//! Where to look: [`locate`] finds a log (or falls back to [`sample`]), [`fetch`] downloads it,
//! [`log`] reads it, [`split`] parts training from held-out incidents, [`baseline`] learns and
//! proposes, [`lookup`] is the plain look-up it has to beat, [`priority`] is a table.

pub mod baseline;
pub mod digest;
pub mod facts;
pub mod fetch;
pub mod limits;
pub mod locate;
pub mod log;
pub mod lookup;
mod metered;
pub mod priority;
pub mod sample;
pub mod score;
pub mod split;
