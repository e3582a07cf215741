//! The decider against real servers: the way of a command, its refusals, and its faults.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bad_input;
mod faults;
mod harness;
mod intake;
mod ticket;
mod tokens;
