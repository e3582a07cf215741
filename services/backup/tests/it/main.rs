//! Copies, backups and restores against real servers.
#![expect(clippy::unwrap_used, reason = "tests")]

mod copies;
mod drill;
#[expect(dead_code, reason = "shared with the decider's tests, which use all of it")]
#[path = "../../../decider/tests/it/harness.rs"]
mod harness;
mod s3;
mod support;
