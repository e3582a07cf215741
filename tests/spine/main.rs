//! Scenarios over the whole: real servers, third-party clients, the independent verifier.
#![expect(clippy::unwrap_used, reason = "tests")]

#[path = "../../services/decider/tests/it/harness.rs"]
#[expect(dead_code, reason = "the decider's own tests use the rest")]
mod harness;
mod killed;
mod packages;
mod python;
mod verifier;
