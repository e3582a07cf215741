//! What a Canonry process tells about itself: logs on stderr, spans over OTLP, metrics as text.
//!
//! [`init`] is called once, first thing, and its [`Guard`] is kept until the end of `main`.
//! [`Metrics`] is cloned to whoever counts; the HTTP API shows it. Every name of a span or metric
//! stands in [`names`]. This crate must not print content: spans and labels carry codes, ids and
//! numbers only.

mod metrics;
pub mod names;
mod trace;

pub use metrics::{Kind, Metrics, Way};
pub use trace::{Guard, discreet, init};
