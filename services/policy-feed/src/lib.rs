//! Which policy is in force, for those who are not the decider: an API, later a gateway.
//!
//! The holder of a tenant says it in signed beats, in the KV bucket `policies`. A beat only names
//! the policy. Keys, founders and the bundle come from the ledger ([`trail`]), each record verified,
//! the bundle's own signature too; what a copy is then worth says [`canonry_policy::distributed`].
//! [`Feed`] joins the three for all tenants of a cell. Nothing here writes, and a message on a
//! subject proves nothing. ADR 26 says why it is built like this.

mod clock;
mod feed;
pub mod trail;

pub use clock::Clock;
pub use feed::{Deaf, Feed};
