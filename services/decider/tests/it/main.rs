//! The decider against real servers: the way of a command, its refusals, and its faults.
#![expect(clippy::unwrap_used, reason = "tests")]

mod acting;
mod action;
mod attacks;
mod bad_input;
mod budget;
mod canary;
mod certificates;
mod content;
mod deadline;
mod disk;
mod entrance;
mod erasure;
mod ext;
mod faults;
mod flood;
mod harness;
mod intake;
mod keys;
mod lease;
mod let_in;
mod lost;
mod overspend;
mod proxy;
mod race;
mod snapshot;
mod spend;
mod story;
mod ticket;
mod tier;
mod tls;
mod tokens;
mod told;
mod under;
mod volumes;
mod world;
