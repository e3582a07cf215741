//! The transparency log against published vectors, against a slow tree, and against who cheats.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it stands")]

mod laws;
mod notes;
mod vectors;
mod witness;
