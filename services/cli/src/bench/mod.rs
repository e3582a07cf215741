//! `canonry bench`: the whole path measured in one run on a server of its own, with a sync of the
//! disk for every commit. Absolute figures are of this machine and this moment; the ratios to the
//! limit that was measured beside them are what counts (DESIGN, "Numbers to meet").
//!
//! [`cell`] makes the cell, [`load`] sends commands and keeps their latencies, [`raw`] is the limit
//! of the server, [`verifying`] and [`rebuilding`] are the readers, [`postgres`] is the peer,
//! [`takeover`] and [`crowd`] are the two large cases, [`report`] says it all. Nothing here is used
//! by anything else.

mod cell;
mod crowd;
mod load;
mod policy;
mod postgres;
mod raw;
mod rebuilding;
mod report;
mod stats;
mod takeover;
mod verifying;
mod whole;

use std::time::Duration;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

/// Measure the whole path, in one run, against the limits of the server and of the machine.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every part is measured several times, in turn with its limit, and the median round is told. The \
machine should rest meanwhile. Exit code 0 says that it was measured, not that a target was met.

EXAMPLES:
    canonry bench
    canonry bench --json --rounds 5
    canonry bench --postgres postgresql://postgres@127.0.0.1/postgres
    canonry bench take-over --records 1000000
    canonry bench policy --json
    canonry bench tenants --tenants 1000 --records 1000")]
#[command(args_conflicts_with_subcommands = true)]
pub struct Args {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    whole: Whole,
}

/// The settings of the whole run.
#[derive(Debug, Clone, clap::Args)]
pub struct Whole {
    /// Seconds of each measurement in a round
    #[arg(long, default_value_t = 3, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Rounds
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Records that are verified and projected, at most
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u64).range(100..=2_000_000))]
    records: u64,
    /// A PostgreSQL server whose append-only table is measured as a peer, in a schema of its own
    #[arg(long, value_name = "URL", env = "CANONRY_BENCH_POSTGRES")]
    postgres: Option<String>,
}

/// Parts that are too long for the whole run.
#[derive(Debug, Subcommand)]
enum What {
    /// How long a decider needs to take a large tenant over, as a standby and after a restart
    TakeOver(takeover::Args),
    /// How long a policy takes to decide, by the number of its rules
    Policy(policy::Args),
    /// Memory of one decider that serves many tenants
    Tenants(crowd::Args),
    /// Sends commands over NATS for a while and prints what was measured; used by the bench itself
    #[command(hide = true)]
    Drive(load::Drive),
}

/// Runs the bench.
///
/// # Errors
/// No server, or a command that was not answered as it must be.
pub async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    match args.what {
        None => Box::pin(whole::run(context, &args.whole)).await,
        Some(What::TakeOver(args)) => Box::pin(takeover::run(context, &args)).await,
        Some(What::Policy(args)) => policy::run(context, &args),
        Some(What::Tenants(args)) => Box::pin(crowd::run(context, &args)).await,
        Some(What::Drive(args)) => Box::pin(load::drive(args)).await,
    }
}

impl Whole {
    const fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}
