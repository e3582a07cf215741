//! The checkpointer: follows each ledger through verified reads, grows the Merkle tree over its
//! record hashes, stores tiles, and signs a checkpoint every half second while it grows.
//!
//! It writes no ledger. It never signs two roots for one size, nor a smaller tree: what was signed
//! before is read first, and a ledger that does not pass through it is told and frozen. [`store`]
//! is how tiles, checkpoints and proofs are read (by the API and the command line too), [`follow`]
//! is one tenant, [`serve`] all of them, [`witnesses`] who is asked to cosign. The bytes are in
//! `canonry-tlog` and `docs/checkpoints.md`.

pub mod follow;
mod lease;
pub mod serve;
pub mod store;
mod told;
pub mod witnesses;

pub use serve::{Checkpointer, Config};
pub use store::{Alarm, Store, StoreError};
pub use witnesses::Witness;
