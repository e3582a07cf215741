//! A small synthetic log in the real one's form, for machines without data. Every value in it
//! is invented by a generator in `tests/sample.rs`, which also checks that the file is what the
//! generator yields; no row comes from the real log, and no figure measured on it means much.

use crate::log::{Error, IncidentLog};

/// The sample as CSV.
pub const CSV: &[u8] = include_bytes!("sample.csv");

/// Reads the sample.
///
/// # Errors
/// Never, as long as this crate's tests pass.
pub fn read() -> Result<IncidentLog, Error> {
    IncidentLog::read(CSV)
}
