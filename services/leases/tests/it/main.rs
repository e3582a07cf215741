//! Leases against a real server: a worker who gets one, works, loses it with its connection open,
//! and comes back; and what the roster says after each kind of record.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bed;
mod cut;
mod roster;
