//! `canonry ledger export`: JSON Lines up to the signed head that the holder keeps, and that head
//! as the last line. A file appears under its name only when it is complete.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use canonry_backup::heads;
use canonry_nats::Log;
use canonry_record::Verifier;
use canonry_record::export::{HeadLine, write_line};
use canonry_record::verify::Pins;
use canonry_schemas::ids::TenantId;

use super::scan::{Stop, line, verified};
use crate::args::{Nats, Of};
use crate::backup::failure;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::progress::Bars;

/// Write a ledger as JSON Lines that ends at its signed head.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every record is verified on its way out. What breaks is written as far as it was read, under the \
name FILE.broken, and the exit code is 1.

EXAMPLES:
    canonry ledger export --of acme --out acme.jsonl
    canonry ledger export --of acme | gzip > acme.jsonl.gz")]
pub struct Args {
    #[command(flatten)]
    of: Of,
    /// Where to write; stdout without it
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    nats: Nats,
}

pub(super) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let log = context.ledger(args.nats.named(), &args.of.tenant).await?;
    let head = fresh_head(&log, &args.of.tenant).await?;
    let Some(out) = args.out else {
        let out = BufWriter::with_capacity(1 << 20, std::io::stdout());
        return write(&log, &args.of.tenant, &head, out, context.bars().beside_lines())
            .await
            .map(drop);
    };
    let unwritable = |e: std::io::Error| Failure::refused(format!("{}: {e}", out.display()));
    let part = beside(&out, ".part");
    let file = File::create(&part).map_err(unwritable)?;
    let synced = file.try_clone().map_err(unwritable)?;
    let buffered = BufWriter::with_capacity(1 << 20, file);
    let done = write(&log, &args.of.tenant, &head, buffered, context.bars()).await;
    let name = if done.is_ok() { out.clone() } else { beside(&out, ".broken") };
    synced.sync_all().map_err(unwritable)?;
    std::fs::rename(&part, &name).map_err(unwritable)?;
    let records = done?;
    let (position, hash) = (head.head.position, head.head.hash);
    if context.json {
        let file = name.to_string_lossy();
        let head = format!("{position}:{hash}");
        return output::json(&serde_json::json!({"file": file, "records": records, "head": head}));
    }
    output::line(&format!("{}: {records} records, head {position}:{hash}", name.display()));
    Ok(())
}

pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The signed head of what stands now, or the newest there is.
pub(crate) async fn fresh_head(log: &Log, tenant: &TenantId) -> Result<HeadLine, Failure> {
    let (head, stood) = heads::fresh(log, tenant).await.map_err(|e| failure(&e))?;
    let newer = stood.saturating_sub(head.head.position);
    if newer > 0 {
        output::say(format!("nobody signs a newer head: {newer} records after it are left out"));
    }
    Ok(head)
}

async fn write(
    log: &Log,
    tenant: &TenantId,
    head: &HeadLine,
    mut out: impl Write,
    bars: Bars,
) -> Result<u64, Failure> {
    let mut verifier = Verifier::new(tenant.clone(), Pins::default());
    let unwritable = |e: std::io::Error| Failure::refused(format!("the export: {e}"));
    let done = verified(log, &mut verifier, head.head.position, bars, |stored| {
        writeln!(out, "{}", write_line(&line(stored))).map_err(unwritable)
    })
    .await;
    let done = done.and_then(|()| verifier.finish(Some(head)).map_err(Stop::Broken));
    if done.is_ok() {
        writeln!(out, "{}", head.to_text()).map_err(unwritable)?;
    }
    out.flush().map_err(unwritable)?;
    done.map(|summary| summary.records).map_err(Failure::from)
}
