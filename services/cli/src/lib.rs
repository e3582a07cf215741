//! The command line.

pub mod client;
mod failure;

pub use failure::{Failure, chain, exit};

/// Entry.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
