//! Leases at NATS. The ledger says which leases there are; here their users are signed, and their
//! connections ended when they are over.
//!
//! [`follow`] reads each tenant's ledger, verified from its first record on, into a [`roster`].
//! [`issuer`] answers a worker with the token of a lease that was committed and lives; [`warden`]
//! ends the connections of those that are over, and of those that come back. Nothing here writes a
//! ledger, and nothing here decides: a command of a lease that is over is refused by the decider,
//! connected or not.

pub mod follow;
pub mod issuer;
pub mod roster;
pub mod serve;
pub mod warden;

pub use serve::{Config, Leases};
