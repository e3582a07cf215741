//! The record: its bytes, hash, signature, keys, chain, export, sealed content and tokens.
//!
//! Pure: no IO, no async, no clock, no randomness (moments and nonces are arguments). What is
//! written here is never migrated: `docs/record-format.md` is the contract, and the golden files
//! under `tests/golden` and the verifier in `tests/verifier` hold this crate to it. Start at
//! [`envelope`] to write, [`verify`] to check.

mod batch;
pub mod beat;
pub mod content;
mod crew;
mod debt;
pub mod encoding;
pub mod envelope;
pub mod evidence;
pub mod export;
mod grammar;
pub mod hash;
pub mod jws;
mod key_error;
mod quick;
pub mod read;
pub mod record;
pub mod repair;
pub mod ring;
mod scan;
pub mod seal;
mod stamp;
pub mod verify;
pub mod whole;

pub use hash::{Hash, key_id, record_hash};
pub use ring::KeyRing;
pub use verify::{Line, Verifier};

/// Re-exported so that users of this crate need not name the library of signatures.
pub use ed25519_dalek::{SigningKey, VerifyingKey};
