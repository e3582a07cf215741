//! Evidence bundles: one archive with all that the ledger says about a ticket or run, proved
//! against one signed checkpoint, so that a stranger can check it without a server.
//!
//! Pure: no IO but through `Read` and `Write`, no clock, no randomness. The bytes are told in
//! `docs/evidence.md` and may not change; `tests/verifier/bundle.py` is a second reader. An archive
//! is hostile input: every bound is in `canonry_schemas::limits`. Start at [`verify`] for what is
//! checked, [`manifest`] for what a bundle holds, [`archive`] for its bytes.

mod approval;
pub mod archive;
pub mod concern;
pub mod manifest;
pub mod verify;
mod walk;
mod whole;
pub mod write;

pub use concern::Concern;
pub use manifest::Manifest;
pub use verify::{Broken, Checked, Pins, Refused, verify};
