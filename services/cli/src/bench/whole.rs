//! The whole run: each measurement in turn with its limit, several rounds, medians.

use canonry_decider::Decider;
use canonry_nats::Stored;
use canonry_schemas::ids::TenantId;
use canonry_schemas::limits::BATCH_RECORDS;

use super::cell::{Bench, failed, serving};
use super::load::{Door, closed_loop, fill, from_another_process};
use super::raw::{Like, Raw};
use super::report::Report;
use super::stats::{Sample, median};
use super::verifying::Ledger;
use super::{Whole, postgres, rebuilding};
use crate::context::Context;
use crate::demo::report::peak_kb;
use crate::failure::{Failure, chain};
use crate::progress::Bars;

/// Tenants that are loaded together.
const TENANTS: usize = 16;
/// Commands in flight at full load.
const FULL: usize = 1_024;
/// Commands in flight at a light load.
const LIGHT: usize = 64;
/// Rows of one transaction of the peer's client that batches.
const PEER_BATCH: usize = 64;

/// One round of commits.
#[derive(Default)]
struct Round {
    raw_batch: f64,
    raw_batch_512: f64,
    raw_batch_64: Sample,
    raw_single: Sample,
    one: Sample,
    one_nats: Sample,
    light: Sample,
    full: Sample,
    full_nats: Sample,
    tenants: Sample,
}

pub(super) async fn run(context: &Context, settings: &Whole) -> Result<(), Failure> {
    let bars = context.bars();
    let bench = {
        let _starting = bars.spinner("starting nats-server");
        Bench::start().await?
    };
    let mut tenants = Vec::new();
    {
        let bar = bars.count("founding", TENANTS as u64);
        for n in 0..TENANTS {
            tenants.push(bench.found(n).await?);
            bar.inc(1);
        }
    }
    let decider = bench.decider("bench").await?;
    serving(&decider, &tenants).await?;
    let record = one_record(&bench, &decider, &tenants[0]).await?;
    let mut raw = Raw::open(&bench, record).await?;
    let mut rounds = Vec::new();
    for _ in 0..settings.rounds {
        rounds.push(round(&bench, &decider, &mut raw, &tenants, settings, bars).await?);
    }
    let memory = peak_kb("self");
    let server_memory = bench.server.pid().and_then(|pid| peak_kb(&pid.to_string()));
    decider.stop().await;
    let mut report = of(&rounds);
    report.rss_mb = memory.map_or(0, |kb| kb / 1_024);
    report.server_rss_mb = server_memory.map_or(0, |kb| kb / 1_024);
    readers(&bench, &tenants[0], settings, bars, &mut report).await?;
    bench.end().await?;
    if let Some(url) = &settings.postgres {
        let _bar = bars.spinner("PostgreSQL");
        let mut found = (Vec::new(), Vec::new());
        for _ in 0..settings.rounds {
            found.0.push(postgres::rows(url, 1, settings.time()).await?);
            found.1.push(postgres::rows(url, PEER_BATCH, settings.time()).await?);
        }
        report.postgres_row_per_s = Some(median(found.0));
        report.postgres_batch_64_per_s = Some(median(found.1));
    }
    report.tell(context.json)
}

/// A record as they are committed here.
async fn one_record(
    bench: &Bench,
    decider: &Decider,
    tenant: &TenantId,
) -> Result<Stored, Failure> {
    let door = decider.inbox(tenant).map(Door::Local);
    let door = door.ok_or_else(|| failed("a tenant is not served"))?;
    let bar = indicatif::ProgressBar::hidden();
    fill(&[door], 1, 1, &bar).await?;
    let log = bench.ledger(tenant).await?;
    let last = log.last().await.map_err(|e| failed(chain(&e)))?;
    log.connection().close().await;
    last.ok_or_else(|| failed("the ledger is empty"))
}

async fn round(
    bench: &Bench,
    decider: &Decider,
    raw: &mut Raw,
    tenants: &[TenantId],
    settings: &Whole,
    bars: Bars,
) -> Result<Round, Failure> {
    let seconds = settings.time();
    let door = |tenant: &TenantId| {
        decider.inbox(tenant).map(Door::Local).ok_or_else(|| failed("a tenant is not served"))
    };
    let first = vec![door(&tenants[0])?];
    let all = tenants.iter().map(door).collect::<Result<Vec<_>, _>>()?;
    let told = |what: &'static str| bars.spinner(what);
    let mut round = Round::default();
    {
        let _bar = told("raw single publishes");
        round.raw_single = raw.singles(seconds).await?;
    }
    {
        let _bar = told("one command at a time");
        round.one = closed_loop(first.clone(), 1, seconds).await?;
        round.one_nats = from_another_process(bench, &tenants[0], 1, seconds).await?;
    }
    {
        let _bar = told("64 in flight");
        round.raw_batch_64 = raw.batches(Like::Record, LIGHT, seconds).await?;
        round.light = closed_loop(first.clone(), LIGHT, seconds).await?;
    }
    {
        let _bar = told("raw atomic batches");
        let records = |batches: Sample| batches.per_s * BATCH_RECORDS as f64;
        round.raw_batch = records(raw.batches(Like::Record, BATCH_RECORDS, seconds).await?);
        round.raw_batch_512 = records(raw.batches(Like::Bare, BATCH_RECORDS, seconds).await?);
    }
    {
        let _bar = told("1,024 in flight");
        round.full = closed_loop(first, FULL, seconds).await?;
    }
    {
        let _bar = told("1,024 in flight over NATS");
        round.full_nats = from_another_process(bench, &tenants[0], FULL, seconds).await?;
    }
    {
        let _bar = told("16 tenants");
        round.tenants = closed_loop(all, FULL, seconds).await?;
    }
    Ok(round)
}

fn of(rounds: &[Round]) -> Report {
    let mid = |of: fn(&Round) -> f64| median(rounds.iter().map(of));
    Report {
        raw_batch_per_s: mid(|r| r.raw_batch),
        raw_batch_512_per_s: mid(|r| r.raw_batch_512),
        raw_batch_64_p50_ms: mid(|r| r.raw_batch_64.p50_ms),
        raw_batch_64_p99_ms: mid(|r| r.raw_batch_64.p99_ms),
        raw_single_per_s: mid(|r| r.raw_single.per_s),
        raw_single_p50_ms: mid(|r| r.raw_single.p50_ms),
        commit_1_per_s: mid(|r| r.one.per_s),
        commit_1_p50_ms: mid(|r| r.one.p50_ms),
        commit_1_p99_ms: mid(|r| r.one.p99_ms),
        commit_nats_1_p50_ms: mid(|r| r.one_nats.p50_ms),
        commit_64_per_s: mid(|r| r.light.per_s),
        commit_64_p50_ms: mid(|r| r.light.p50_ms),
        commit_64_p99_ms: mid(|r| r.light.p99_ms),
        commit_1024_per_s: mid(|r| r.full.per_s),
        commit_1024_p50_ms: mid(|r| r.full.p50_ms),
        commit_1024_p99_ms: mid(|r| r.full.p99_ms),
        commit_nats_1024_per_s: mid(|r| r.full_nats.per_s),
        commit_nats_1024_p99_ms: mid(|r| r.full_nats.p99_ms),
        commit_16_tenants_per_s: mid(|r| r.tenants.per_s),
        commit_16_tenants_p99_ms: mid(|r| r.tenants.p99_ms),
        rounds: rounds.len(),
        ..Report::default()
    }
}

async fn readers(
    bench: &Bench,
    tenant: &TenantId,
    settings: &Whole,
    bars: Bars,
    report: &mut Report,
) -> Result<(), Failure> {
    let _bar = bars.spinner("verifying and projecting");
    let ledger = Ledger::read(bench, tenant, settings.records).await?;
    let mut found: [Vec<f64>; 5] = Default::default();
    for _ in 0..settings.rounds {
        found[0].push(ledger.signatures_alone()?);
        found[1].push(ledger.export()?);
        found[2].push(ledger.live(bench).await?);
        found[3].push(rebuilding::bare(&ledger.records, bench.folder())?);
        found[4].push(rebuilding::full(&ledger.records, tenant, bench.folder()).await?);
    }
    let [alone, export, live, bare, full] = found.map(median);
    report.ed25519_batch_verify_per_s = alone;
    report.verify_export_per_s = export;
    report.verify_live_per_s = live;
    report.bare_loop_per_s = bare;
    report.rebuild_per_s = full;
    report.verified_records = ledger.records.len() as u64;
    let bytes: usize = ledger.records.iter().map(|r| r.body.len()).sum();
    report.record_bytes = bytes as u64 / report.verified_records.max(1);
    Ok(())
}
