//! Stores of secrets against the real thing: an age file on the disk, OpenBao, PostgreSQL; and what
//! may never be seen of them.
#![expect(clippy::unwrap_used, reason = "tests")]

mod bao;
mod canary;
mod database;
mod device;
mod double;
mod embedded;
mod keys;
#[path = "../../../../tests/cli/postgres.rs"]
#[expect(dead_code, reason = "the bench wants the address too")]
mod postgres;
mod support;
mod tiers;
mod vault;
mod wrong;
