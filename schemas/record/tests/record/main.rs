//! Tests of the record as its readers see it: whole ledgers, written by [`forge`] with fixed keys.
#![allow(missing_docs, clippy::unwrap_used, clippy::allow_attributes, reason = "tests")]

mod beat;
mod chain;
mod forge;
mod golden;
mod keys;
mod repair;
mod tamper;
mod tokens;
mod vectors;
