//! A witness (C2SP tlog-witness): a process of its own, with its own key and state, that cosigns a
//! log's checkpoint only if it continues what it cosigned before. It knows neither NATS nor
//! tenants: names of logs, their public keys, sizes and roots.
//!
//! [`state`] is what it keeps, [`serve`] its HTTP. The rules are in `canonry_tlog::witness`.

pub mod serve;
pub mod state;

pub use serve::{Witness, serve};
pub use state::{Error, Home};
