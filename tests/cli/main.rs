//! The built program as its users meet it: exit codes, data as JSON, the demo, downloads, keys,
//! what is drawn at a terminal, what it tells of its health and its traces.
#![expect(clippy::unwrap_used, reason = "tests")]

mod backup;
#[path = "../../services/secrets/tests/it/bao.rs"]
#[expect(dead_code, reason = "the tests of the stores use the rest")]
mod bao;
mod bench;
mod bundle;
#[path = "../../services/decider/tests/it/canary.rs"]
mod canary;
mod checkpoints;
mod collector;
mod data;
mod dataset;
mod demo;
mod drill;
mod erase;
mod evidence;
mod http;
mod kept;
mod keys;
mod lease;
mod logins;
mod policy;
#[expect(dead_code, reason = "who makes users there wants its port")]
mod postgres;
mod program;
mod rotate;
#[path = "../../schemas/tests/files/sample.rs"]
mod sample;
mod secrets;
mod serve;
mod step_up;
mod terminal;
mod tls;
mod trace;
mod vault;
mod wrong;
