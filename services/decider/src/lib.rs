//! The decider: turns commands into records. It hosts one [`holder::Holder`] for each tenant that
//! it serves, and may be killed at any time: nothing lives here that the ledger cannot rebuild.
//!
//! Order of a command: [`intake`] or a request -> [`holder`] -> [`desk`] (who, which, whether) ->
//! [`draft`] (chain, sign) -> [`commit`] -> the answer. It must not act on the outside world, and
//! nobody but [`commit`] and [`found`] writes a ledger.

pub mod assign;
mod beat;
pub mod closing;
pub mod commit;
pub mod content_keys;
pub mod desk;
pub mod draft;
pub mod due;
pub mod entrance;
pub mod erasure;
pub mod fence;
pub mod follow;
pub mod found;
pub mod holder;
pub mod hosted;
pub mod intake;
pub mod intents;
pub mod judge;
pub mod keeper;
pub mod patrol;
pub mod rebuild;
pub mod repair;
pub mod reply;
pub mod serve;
pub mod signers;
pub mod snapshot;
pub mod throttle;
pub mod tokens;
pub mod traced;
pub mod world;

pub use serve::{Config, Decider, Health, OverNats};

/// The token under which the decider's own records stand.
pub const ACTOR: &str = "svc_decider";
