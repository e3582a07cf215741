//! Reading it back: the chain verified from the stream, records counted by kind, the read model
//! built from zero, and the export.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use canonry_api_host::projector;
use canonry_nats::{Kv, Stored};
use canonry_projections::{Reader, Store};
use canonry_record::export::{parse_head, write_line};
use canonry_record::{Line, Verifier, verify};
use futures_util::StreamExt as _;

use super::setup::Demo;
use crate::failure::Failure;
use crate::progress::Bars;

/// Records verified and applied at once.
const CHUNK: usize = 1_000;

/// What was read back.
#[derive(Debug)]
pub struct Checked {
    /// Records by type.
    pub kinds: BTreeMap<String, usize>,
    /// The head.
    pub head: String,
    /// What the verifier said.
    pub verified: String,
    /// Tickets by status, from the rebuilt read model.
    pub tickets: Vec<(String, u64)>,
    /// Seconds for reading, verifying and rebuilding.
    pub seconds: f64,
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::refused(error)
}

/// Makes the file that the export goes to.
///
/// # Errors
/// It cannot be written.
pub fn export_file(path: &Path) -> Result<File, Failure> {
    let unwritable = |e| Failure::config(format!("--export {}: {e}", path.display()));
    File::create(path).map_err(unwritable)
}

/// Reads everything back.
///
/// # Errors
/// The ledger does not verify, or the read model does not follow.
pub async fn all(demo: &Demo, export: Option<File>, bars: Bars) -> Result<Checked, Failure> {
    let begun = Instant::now();
    let log = demo.log().await?;
    let heads = Kv::open(log.connection().clone(), "heads").map_err(failed)?;
    let entry = heads.get(demo.tenant.as_str()).await.map_err(failed)?;
    let entry = entry.ok_or_else(|| failed("no signed head"))?;
    let head = parse_head(std::str::from_utf8(&entry.value).map_err(failed)?).map_err(failed)?;
    let info = log.info().await.map_err(failed)?;
    if head.head.position != info.last_seq {
        return Err(failed("the signed head is not at the end of the ledger"));
    }
    let pins = verify::Pins { tenant_hash: Some(demo.identity), head: None };
    let mut verifier = Verifier::new(demo.tenant.clone(), pins);
    let folder = tempfile::tempdir().map_err(failed)?;
    let file = folder.path().join("read-model.sqlite");
    let mut store = Store::open(&file).map_err(failed)?;
    let mut out = export.map(std::io::BufWriter::new);
    let mut kinds = BTreeMap::new();
    let bar = bars.count("verifying", info.last_seq);
    let mut records = log.read(1, Some(info.last_seq)).await.map_err(failed)?;
    let mut chunk: Vec<Stored> = Vec::with_capacity(CHUNK);
    loop {
        let next = records.next().await.transpose().map_err(failed)?;
        let end = next.is_none();
        chunk.extend(next);
        if chunk.len() == CHUNK || end {
            let lines: Vec<Line<'_>> = chunk
                .iter()
                .map(|s| Line {
                    seq: s.seq,
                    subject: &s.subject,
                    headers: &s.headers,
                    body: &s.body,
                })
                .collect();
            verifier.push_parallel(&lines, 2).map_err(|b| failed(format!("{b:?}")))?;
            if let Some(out) = &mut out {
                for line in &lines {
                    writeln!(out, "{}", write_line(line).trim_end()).map_err(Failure::config)?;
                }
            }
            let recorded: Result<Vec<_>, _> = chunk.iter().map(projector::read).collect();
            let recorded = recorded.map_err(failed)?;
            for record in &recorded {
                *kinds.entry(short(&record.kind).to_owned()).or_default() += 1;
            }
            store.apply(&recorded, None).map_err(failed)?;
            bar.inc(chunk.len() as u64);
            chunk.clear();
        }
        if end {
            break;
        }
    }
    drop(bar);
    log.connection().close().await;
    if let Some(mut out) = out {
        let end = writeln!(out, "{}", head.to_text().trim_end()).and_then(|()| out.flush());
        end.map_err(Failure::config)?;
    }
    let summary = verifier.finish(Some(&head)).map_err(|b| failed(format!("{b:?}")))?;
    // The read model is read by a reader that opened the file anew.
    drop(store);
    let mut reader = Reader::open(&file).map_err(failed)?;
    let snapshot = reader.snapshot().map_err(failed)?;
    let tickets = snapshot.ticket_counts().map_err(failed)?;
    Ok(Checked {
        kinds,
        head: format!("{}:{}", summary.position, summary.hash),
        verified: format!("whole, founder pinned, {} records", summary.records),
        tickets,
        seconds: begun.elapsed().as_secs_f64(),
    })
}

/// `canonry.ticket.opened.v1` as people say it: `ticket.opened`.
fn short(kind: &str) -> &str {
    let name = kind.strip_prefix("canonry.").and_then(|kind| kind.rsplit_once(".v"));
    name.map_or(kind, |(name, _)| name)
}
