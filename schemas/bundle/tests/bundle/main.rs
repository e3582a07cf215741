//! Bundles: written the same way for ever, read back, refused when touched anywhere.
#![expect(clippy::unwrap_used, reason = "tests")]

mod archives;
mod bundles;
#[path = "../../../record/tests/record/forge.rs"]
#[expect(dead_code, reason = "the record's own tests use the rest")]
mod forge;
mod story;
