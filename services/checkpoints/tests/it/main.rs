//! The checkpointer and a witness on a real server: what they sign, and histories that cheat.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it stands")]

mod bed;
mod cheats;
mod growth;
