//! Many tenants on one decider: how much memory it needs, and how long it takes them over.

use std::time::Instant;

use serde_json::json;

use super::cell::{Bench, failed, serving};
use super::load::{Door, fill};
use super::stats::rate;
use crate::context::Context;
use crate::demo::report::peak_kb;
use crate::failure::Failure;
use crate::output;

/// Memory of one decider that serves many tenants.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Decider and senders are one process, nats-server is another. What is told of memory is this \
process's.

EXAMPLES:
    canonry bench tenants --tenants 1000 --records 1000 --json
    canonry bench tenants --tenants 20 --records 100")]
pub struct Args {
    /// Tenants
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=5_000))]
    tenants: u32,
    /// Records of each
    #[arg(long, default_value_t = 1_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    records: u64,
    /// Commands in flight for each tenant that is filled
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_024))]
    in_flight: u32,
    /// Tenants that are filled at once: a commit waits for those of the others
    #[arg(long, default_value_t = 16, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    at_once: u32,
}

/// Resident memory of this process, MiB.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kb = line.and_then(|l| l.split_whitespace().next()?.parse::<u64>().ok());
    kb.map_or(0, |kb| kb / 1_024)
}

pub(super) async fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let bars = context.bars();
    let bench = Bench::start().await?;
    let mut tenants = Vec::new();
    let begun = Instant::now();
    {
        let bar = bars.count("founding", u64::from(args.tenants));
        for n in 0..args.tenants as usize {
            tenants.push(bench.found(n).await?);
            bar.inc(1);
        }
    }
    let founding = begun.elapsed();
    let begun = Instant::now();
    let decider = bench.decider("crowd").await?;
    serving(&decider, &tenants).await?;
    let taken = begun.elapsed();
    let served = resident();
    let doors = tenants.iter().map(|tenant| {
        decider.inbox(tenant).map(Door::Local).ok_or_else(|| failed("a tenant is not served"))
    });
    let doors = doors.collect::<Result<Vec<_>, _>>()?;
    let begun = Instant::now();
    let all = args.records * u64::from(args.tenants);
    {
        let bar = bars.count("commands", all);
        for some in doors.chunks(args.at_once as usize) {
            fill(some, some.len() * args.in_flight as usize, args.records, &bar).await?;
        }
    }
    let filled = rate(all, begun.elapsed());
    let loaded = resident();
    drop(doors);
    decider.stop().await;
    let begun = Instant::now();
    let decider = bench.decider("crowd").await?;
    serving(&decider, &tenants).await?;
    let again = begun.elapsed();
    decider.stop().await;
    let server = bench.server.pid().and_then(|pid| peak_kb(&pid.to_string()));
    bench.end().await?;
    let report = json!({
        "tenants": args.tenants, "records_each": args.records,
        "founding_s": founding.as_secs_f64(), "taking_all_s": taken.as_secs_f64(),
        "taking_all_again_s": again.as_secs_f64(), "fill_per_s": filled,
        "rss_serving_mb": served, "rss_loaded_mb": loaded,
        "rss_mb": peak_kb("self").map_or(0, |kb| kb / 1_024),
        "server_rss_mb": server.map_or(0, |kb| kb / 1_024),
    });
    if context.json {
        return output::json(&report);
    }
    output::pretty(&report)
}
