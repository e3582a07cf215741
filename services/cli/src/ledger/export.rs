//! `canonry ledger export`: JSON Lines up to the signed head that the holder keeps, and that head
//! as the last line. A file appears under its name only when it is complete.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use canonry_nats::{Kv, Log};
use canonry_record::Verifier;
use canonry_record::export::{HeadLine, parse_head, write_line};
use canonry_record::verify::Pins;
use canonry_schemas::ids::TenantId;
use canonry_schemas::limits::HEAD_EVERY;
use canonry_schemas::subject::BUCKET_HEADS;

use super::scan::{Stop, last, line, verified};
use crate::args::{Nats, Of};
use crate::context::Context;
use crate::failure::{Failure, chain};
use crate::output;
use crate::progress::Bars;

/// How long to wait for a head that covers what stands now.
const HEAD_WITHIN: Duration = HEAD_EVERY.saturating_mul(5);
/// Between two looks at it.
const HEAD_POLL: Duration = Duration::from_millis(100);

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
        return write(&log, &args.of.tenant, &head, out, context.bars().beside_lines()).await;
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
    done?;
    let (position, hash) = (head.head.position, head.head.hash);
    if context.json {
        let file = name.to_string_lossy();
        let head = format!("{position}:{hash}");
        return output::json(&serde_json::json!({"file": file, "records": position, "head": head}));
    }
    output::line(&format!("{}: {position} records, head {position}:{hash}", name.display()));
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The signed head of what stands now: the holder signs one when the ledger moved, a moment later.
/// Where none comes, because nobody holds the tenant, the newest there is.
async fn fresh_head(log: &Log, tenant: &TenantId) -> Result<HeadLine, Failure> {
    let due = last(log).await?;
    let until = tokio::time::Instant::now() + HEAD_WITHIN;
    loop {
        let head = signed_head(log, tenant).await?;
        let position = head.head.position;
        if position >= due {
            return Ok(head);
        }
        if tokio::time::Instant::now() >= until {
            let newer = due - position;
            output::say(format!(
                "nobody signs a newer head: {newer} records after it are left out"
            ));
            return Ok(head);
        }
        tokio::time::sleep(HEAD_POLL).await;
    }
}

/// The newest head that the holder signed.
async fn signed_head(log: &Log, tenant: &TenantId) -> Result<HeadLine, Failure> {
    let heads = Kv::open(log.connection().clone(), BUCKET_HEADS);
    let heads = heads.map_err(|e| Failure::unavailable(chain(&e)))?;
    let entry = heads.get(tenant.as_str()).await.map_err(|e| Failure::unavailable(chain(&e)))?;
    let none = || Failure::refused(format!("no signed head of {tenant}: is it founded?"));
    let entry = entry.filter(|e| !e.deleted).ok_or_else(none)?;
    let text = std::str::from_utf8(&entry.value).map_err(Failure::refused)?;
    parse_head(text).map_err(|why| Failure::refused(format!("the head of {tenant}: {why}")))
}

async fn write(
    log: &Log,
    tenant: &TenantId,
    head: &HeadLine,
    mut out: impl Write,
    bars: Bars,
) -> Result<(), Failure> {
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
    done.map(drop).map_err(Failure::from)
}
