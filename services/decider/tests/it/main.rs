//! The decider against real servers: the way of a command, its refusals, and its faults.
#![expect(clippy::unwrap_used, reason = "tests")]

mod entrance;
mod faults;
mod harness;
mod intake;
mod snapshot;
mod ticket;
mod told;
mod world;
