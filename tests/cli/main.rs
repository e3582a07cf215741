//! The built program as its users meet it: exit codes, data as JSON, the demo, downloads, keys,
//! what is drawn at a terminal.
#![expect(clippy::unwrap_used, reason = "tests")]

mod data;
mod dataset;
mod demo;
mod program;
mod rotate;
mod serve;
mod terminal;
mod wrong;
