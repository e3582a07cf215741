//! How long it takes until a large tenant is answered again: by a standby when its holder leaves,
//! by a decider that starts again, and by one that has nothing and reads the whole ledger.

use std::time::{Duration, Instant};

use canonry_decider::Decider;
use canonry_schemas::ids::TenantId;
use canonry_schemas::limits::FOLLOW_EVERY_MOST;
use serde_json::json;

use super::cell::{Bench, failed, serving};
use super::load::{Door, fill};
use super::stats::rate;
use crate::context::Context;
use crate::demo::report::peak_kb;
use crate::failure::Failure;
use crate::output;

/// Commands in flight while the tenant is filled.
const IN_FLIGHT: usize = 1_024;
/// Give up after this.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long a decider needs to take a large tenant over.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The tenant is filled through the commit path, with a standby that follows. Then the first answer is \
timed: of the standby when the holder leaves, of a decider that starts again on its own snapshot, \
and, with --cold, of one that reads the whole ledger.

EXAMPLES:
    canonry bench take-over --records 1000000 --json
    canonry bench take-over --records 20000 --cold")]
pub struct Args {
    /// Records of the tenant
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=5_000_000))]
    records: u64,
    /// Seconds in which the standby may catch up; the longest pause between two looks without it
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=600))]
    rest: Option<u64>,
    /// Also time a decider without a snapshot
    #[arg(long)]
    cold: bool,
}

pub(super) async fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let bars = context.bars();
    let bench = Bench::start().await?;
    let tenant = bench.found(0).await?;
    let first = bench.decider("first").await?;
    serving(&first, std::slice::from_ref(&tenant)).await?;
    let standby = bench.decider("standby").await?;
    let door = first.inbox(&tenant).map(Door::Local).ok_or_else(|| failed("not served"))?;
    let begun = Instant::now();
    {
        let bar = bars.count("filling", args.records);
        fill(&[door], IN_FLIGHT, args.records, &bar).await?;
    }
    let filled = rate(args.records, begun.elapsed());
    {
        let _bar = bars.spinner("the standby follows");
        let rest = args.rest.map_or(FOLLOW_EVERY_MOST, Duration::from_secs);
        tokio::time::sleep(rest).await;
    }
    let begun = Instant::now();
    first.stop().await;
    let stopping = begun.elapsed();
    let by_standby = first_answer(&standby, &tenant).await?;
    standby.stop().await;
    let begun = Instant::now();
    let again = bench.decider("standby").await?;
    first_answer(&again, &tenant).await?;
    let restarted = begun.elapsed();
    again.stop().await;
    let mut cold = None;
    if args.cold {
        let _bar = bars.spinner("reading the whole ledger");
        let begun = Instant::now();
        let fresh = bench.decider("fresh").await?;
        first_answer(&fresh, &tenant).await?;
        cold = Some(begun.elapsed().as_secs_f64());
        fresh.stop().await;
    }
    bench.end().await?;
    let rss = peak_kb("self").map_or(0, |kb| kb / 1_024);
    let report = json!({
        "records": args.records, "fill_per_s": filled, "stop_s": stopping.as_secs_f64(),
        "standby_first_answer_s": by_standby.as_secs_f64(),
        "restart_first_answer_s": restarted.as_secs_f64(),
        "cold_first_answer_s": cold, "rss_mb": rss,
    });
    if context.json {
        return output::json(&report);
    }
    output::pretty(&report)
}

/// The time until a decider has answered a command.
async fn first_answer(decider: &Decider, tenant: &TenantId) -> Result<Duration, Failure> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if decider.serving().contains(tenant)
            && let Some(door) = decider.inbox(tenant).map(Door::Local)
            && fill(&[door], 1, 1, &indicatif::ProgressBar::hidden()).await.is_ok()
        {
            return Ok(begun.elapsed());
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err(failed("nobody answers for the tenant"))
}
