//! A tenant's records as a transparency log: an RFC 6962 Merkle tree over record hashes, C2SP
//! tiles, signed notes, checkpoints, cosignatures and offline proofs.
//!
//! Pure: no IO, no clock, no randomness. The bytes are told in `docs/checkpoints.md` and may not
//! change; the public vectors hold this crate to the specifications. Start at [`tree`] for hashes
//! and proofs, [`tile`] for how a tree is stored, [`note`] for what is signed, [`witness`] for the
//! rules of a witness.

pub mod checkpoint;
pub mod grow;
pub mod note;
pub mod positions;
pub mod proof;
pub mod tile;
pub mod tree;
pub mod witness;

pub use checkpoint::{Checkpoint, origin};
pub use grow::{Growing, Piece};
pub use note::{Kind, Note, VerifierKey};
pub use positions::Positions;
pub use proof::Proof;
pub use tile::{Tile, TilePath};
pub use tree::{Frontier, Node, leaf_hash};
