//! What a Canonry process tells about itself: logs on stderr, spans over OTLP, metrics as text.
//!
//! [`init`] is called once, first thing, and its [`Guard`] is kept until the end of `main`.
//! [`Context`] carries a trace from one process to the next: senders put the context of their span
//! into the header `traceparent`, receivers adopt it as the parent of theirs.
//! [`Metrics`] is cloned to whoever counts; the HTTP API shows it. Every name of a span or metric
//! stands in [`names`]. This crate must not print content: spans and labels carry codes, ids and
//! numbers only.

mod context;
mod metrics;
pub mod names;
mod trace;

pub use context::{Context, adopt, exports};
pub use metrics::{Class, Kind, Metrics, Streams, Way};
pub use trace::{Guard, discreet, init};
