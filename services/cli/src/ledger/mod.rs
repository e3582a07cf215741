//! `canonry ledger …`: reads a ledger and checks it. What changes its streams is in [`volumes`]; a
//! replay into another stream refuses every stream of a cell.

mod checkpoint;
mod compare;
pub(crate) mod export;
mod replay;
pub(crate) mod scan;
mod show;
mod target;
pub(crate) mod verify;
mod volumes;

pub(crate) use checkpoint::{log_key, store_failure, witness_key};
pub(crate) use scan::{asked, current, standing};
pub(crate) use verify::{head, identity};

use clap::{Args as ClapArgs, Subcommand};

use crate::context::Context;
use crate::failure::Failure;

/// `canonry ledger`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "EXAMPLES:
    canonry ledger verify --of acme
    canonry ledger export --of acme --out acme.jsonl")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Check every hash, link and signature of a ledger or of an export
    Verify(verify::Args),
    /// Write a ledger as JSON Lines that ends at its signed head
    Export(export::Args),
    /// Print the newest signed checkpoint
    Checkpoint(checkpoint::Show),
    /// Prove that a record is in the log
    Prove(checkpoint::Prove),
    /// Check a proof offline
    VerifyProof(checkpoint::Check),
    /// Print verified records in order, or write them to a file or another stream
    Replay(replay::Args),
    /// Print the last records, then new ones as they are stored
    Tail(show::Tail),
    /// Print one record
    Show(show::Show),
    /// Close the volume that grows and open the next one
    CloseVolume(volumes::Close),
    /// Go on after a loss, with a root key
    Repair(volumes::Repair),
}

/// Runs it.
///
/// # Errors
/// The ledger is broken, unknown or cannot be read.
pub async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    match args.command {
        Command::Verify(args) => verify::run(context, args).await,
        Command::Export(args) => export::run(context, args).await,
        Command::Checkpoint(args) => checkpoint::show(context, args).await,
        Command::Prove(args) => checkpoint::prove(context, args).await,
        Command::VerifyProof(args) => checkpoint::check(context, &args),
        Command::Replay(args) => replay::run(context, args).await,
        Command::Tail(args) => show::tail(context, args).await,
        Command::Show(args) => show::show(context, args).await,
        Command::CloseVolume(args) => volumes::close(context, args).await,
        Command::Repair(args) => volumes::repaired(context, args).await,
    }
}
