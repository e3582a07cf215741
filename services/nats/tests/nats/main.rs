//! The adapter against a real nats-server, one for each test. Nothing here is mocked.
//!
//! The server comes from `$NATS_SERVER`, from PATH, or from a pinned wheel: see [`server`].
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod append;
mod connection;
mod kv;
mod micro;
mod objects;
mod queue;
mod read;
mod server;
mod volumes;
