//! Policies in Rego: what may be done, by whom, how often, and who has to agree.
//!
//! [`Policy::compile`] takes a bundle's files ([`bundle`] reads and verifies them) and refuses what
//! no decision may do; [`Policy::decide`] takes an [`Input`] and gives a [`Decision`], within time and
//! memory, on the thread that asks. Nothing here knows NATS, a clock or a file: times and bytes are
//! arguments. `docs/policy.md` is the contract for authors; ADR 18 says why it is built like this.

mod builtins;
pub mod bundle;
pub mod code;
pub mod decision;
pub mod distributed;
pub mod draft;
mod engine;
mod index;
pub mod input;
pub mod limits;
mod meter;
pub mod opa;
mod policy;
mod ready;
pub mod recorded;
mod rego;
pub mod starter;
pub mod tests;

pub use code::{Code, Refused};
pub use decision::{Approval, Decision, Obligations, Target, Verdict};
pub use engine::version as engine_version;
pub use input::Input;
pub use policy::{Bounds, Policy, Source, digest};
pub use rego::builtins::ALLOWED as BUILTINS;

/// Lower-case hex.
fn hex(bytes: &[u8]) -> String {
    canonry_record::encoding::hex(bytes)
}
