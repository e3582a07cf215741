//! `canonry evidence export`: one archive about a ticket or run. The ledger is verified on the way,
//! and the finished bundle as a stranger would, before it has its name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Seek as _, Write};
use std::path::PathBuf;

use canonry_bundle::concern::{Concern, is_of_keys};
use canonry_bundle::write::{Contents, WholeLedger, write};
use canonry_bundle::{Checked, Pins};
use canonry_checkpoints::Store;
use canonry_checkpoints::store::{CHECKPOINT, COSIGNED};
use canonry_nats::{Log, Stored};
use canonry_record::export::write_line;
use canonry_record::verify;
use canonry_record::{Hash, Verifier, record};
use canonry_schemas::ids::{RunId, TenantId, TicketId, WorkId};
use canonry_schemas::limits::{BUNDLE_ENTRIES, BUNDLE_TEXT_BYTES, CHECKPOINT_EVERY};
use canonry_tlog::{Checkpoint, Note};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::verify::checked;
use crate::args::{Nats, Of};
use crate::context::Context;
use crate::failure::{Failure, chain};
use crate::ledger::export::{beside, fresh_head};
use crate::ledger::scan::{last, line, verified};
use crate::ledger::store_failure;
use crate::output;

/// How often a newer checkpoint is looked for.
const LOOK: std::time::Duration = CHECKPOINT_EVERY;
/// How many times: a checkpoint of what stands is signed within a second where somebody signs.
const LOOKS: u32 = 20;

/// Write a bundle about a ticket or run that a stranger can check offline.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The archive (plain tar) holds every record about the ticket with its runs, or about the run, every \
record that changed the tenant's keys, a proof for each against one signed checkpoint, and a \
manifest. Content stays sealed in it. A reader cannot see whether a record was left out, unless \
--whole puts the whole ledger in.
Exit codes: 0 written and checked; 1 the ledger is broken, or knows nothing about it; 69 no answer.

EXAMPLES:
    canonry evidence export --ticket tkt_01hzy3v7m8q6k4n2r9s5t1w0xa --out ticket.evidence.tar
    canonry evidence export --run run_01hzy3v7m8q6k4n2r9s5t1w0xa --whole --json")]
#[group(id = "about", required = true, multiple = false, args = ["ticket", "run"])]
pub struct Args {
    /// The ticket; its runs are part of it
    #[arg(long, value_name = "ID")]
    ticket: Option<TicketId>,
    /// The run
    #[arg(long, value_name = "ID")]
    run: Option<RunId>,
    /// Put the whole ledger in, so that a reader sees that nothing was left out
    #[arg(long)]
    whole: bool,
    /// Where to write; <ID>.evidence.tar without it
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    nats: Nats,
}

impl Args {
    fn about(&self) -> Result<WorkId, Failure> {
        let id = self.ticket.as_ref().map(TicketId::as_str);
        let id = id.or(self.run.as_ref().map(RunId::as_str)).unwrap_or_default();
        id.parse().map_err(Failure::usage)
    }
}

/// A record that may go into the bundle.
struct Found {
    leaf: u64,
    line: String,
    of_keys: bool,
    concerned: bool,
}

/// Gathers what belongs into a bundle, in the order of the ledger.
struct Gatherer {
    concern: Concern,
    leaves: u64,
    bytes: u64,
    found: BTreeMap<u64, Found>,
}

impl Gatherer {
    fn take(&mut self, stored: &Stored) -> Result<(), Failure> {
        let leaf = self.leaves;
        self.leaves += 1;
        let read = record::parse(&stored.body).map_err(Failure::refused)?;
        let (of_keys, concerned) = (is_of_keys(&read), self.concern.takes(&read));
        if !of_keys && !concerned {
            return Ok(());
        }
        let text = write_line(&line(stored));
        self.bytes += text.len() as u64 + 1;
        // Beside the proofs stand the manifest, the checkpoint, the ledger and two files of lines.
        if self.bytes > BUNDLE_TEXT_BYTES || self.found.len() + 6 > BUNDLE_ENTRIES {
            let most = BUNDLE_ENTRIES - 6;
            return Err(Failure::refused(format!(
                "bundle-too-large: a bundle holds at most {most} records of {BUNDLE_TEXT_BYTES} bytes"
            )));
        }
        self.found.insert(stored.seq, Found { leaf, line: text, of_keys, concerned });
        Ok(())
    }

    /// The leaf of the last record about it.
    fn last(&self) -> Option<u64> {
        self.found.values().filter(|found| found.concerned).map(|found| found.leaf).max()
    }
}

/// The whole export in a file, and what was written of it.
struct Spool {
    to: BufWriter<File>,
    digest: Sha256,
    bytes: u64,
}

impl Spool {
    fn new() -> Result<Self, Failure> {
        let file = tempfile::tempfile().map_err(Failure::refused)?;
        Ok(Self { to: BufWriter::with_capacity(1 << 20, file), digest: Sha256::new(), bytes: 0 })
    }

    fn line(&mut self, text: &str) -> Result<(), Failure> {
        for part in [text.as_bytes(), b"\n"] {
            self.digest.update(part);
            self.bytes += part.len() as u64;
            self.to.write_all(part).map_err(Failure::refused)?;
        }
        Ok(())
    }

    fn done(self) -> Result<WholeLedger<BufReader<File>>, Failure> {
        let mut file = self.to.into_inner().map_err(Failure::refused)?;
        file.rewind().map_err(Failure::refused)?;
        let sha256 = Hash(self.digest.finalize().into());
        Ok(WholeLedger { bytes: self.bytes, sha256, from: BufReader::new(file) })
    }
}

async fn note(store: &Store, which: &str) -> Result<Option<(Note, Checkpoint)>, Failure> {
    let Some((note, _)) = store.note(which).await.map_err(|e| store_failure(&e))? else {
        return Ok(None);
    };
    let at = Checkpoint::of(&note).map_err(Failure::refused)?;
    Ok(Some((note, at)))
}

/// The newest checkpoint, once it covers the records of now or nobody signs; with the position of its last leaf.
async fn newest(store: &Store, stood: u64) -> Result<(Note, Checkpoint, u64), Failure> {
    let mut looks = 0;
    loop {
        looks += 1;
        if let Some((note, at)) = note(store, CHECKPOINT).await? {
            let positions = store.positions().await.map_err(|e| store_failure(&e))?;
            let upto = at.size.checked_sub(1).and_then(|leaf| positions.position(leaf));
            if let Some(upto) = upto.filter(|upto| *upto >= stood || looks >= LOOKS) {
                if upto < stood {
                    let left = stood - upto;
                    output::say(format!(
                        "nobody signs a newer checkpoint: {left} positions after it are left out"
                    ));
                }
                return Ok((note, at, upto));
            }
        }
        if looks >= LOOKS {
            let why = "there is no checkpoint: does `canonry serve checkpoints` run?";
            return Err(Failure::refused(why));
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Reads the ledger, verified, and gathers; with the whole of it where it was asked for.
async fn gather(
    context: &Context,
    log: &Log,
    args: &Args,
    gatherer: &mut Gatherer,
    upto: u64,
) -> Result<(Hash, Option<WholeLedger<BufReader<File>>>), Failure> {
    let tenant = &args.of.tenant;
    let head = if args.whole { Some(fresh_head(log, tenant).await?) } else { None };
    let end = head.as_ref().map_or(upto, |head| head.head.position);
    if end < upto {
        return Err(Failure::refused(format!(
            "the signed head ends at {end}, before the checkpoint"
        )));
    }
    let mut spool = head.as_ref().map(|_| Spool::new()).transpose()?;
    let mut verifier = Verifier::new(tenant.clone(), verify::Pins::default());
    verified(log, &mut verifier, end, context.bars(), |stored| {
        if let Some(spool) = &mut spool {
            spool.line(&write_line(&line(stored)))?;
        }
        gatherer.take(stored)
    })
    .await?;
    if let (Some(spool), Some(head)) = (&mut spool, &head) {
        verifier.finish(Some(head)).map_err(Failure::refused)?;
        spool.line(&head.to_text())?;
    }
    let founder = verifier.state().map(|state| state.founder);
    let founder = founder.ok_or_else(|| Failure::refused("the ledger is empty"))?;
    Ok((founder, spool.map(Spool::done).transpose()?))
}

/// The contents against the checkpoint that covers all of it: one that a witness cosigned, if it
/// goes so far.
async fn contents(
    store: &Store,
    (tenant, identity, about): (&TenantId, Hash, WorkId),
    gatherer: Gatherer,
    newest: (Note, Checkpoint),
) -> Result<Contents, Failure> {
    let last = gatherer.last().filter(|leaf| *leaf < newest.1.size);
    let unknown = || Failure::refused(format!("the ledger holds nothing about {about}"));
    let last = last.ok_or_else(unknown)?;
    let cosigned = note(store, COSIGNED).await?.filter(|(_, at)| at.size > last);
    let (note, at) = cosigned.filter(|(_, at)| at.size <= newest.1.size).unwrap_or(newest);
    let mut prover = store.prover(at.size);
    let mut contents = Contents {
        tenant: tenant.clone(),
        identity,
        about,
        size: at.size,
        note,
        keys: BTreeMap::new(),
        records: BTreeMap::new(),
        proofs: BTreeMap::new(),
    };
    for (position, found) in gatherer.found {
        if found.leaf >= at.size {
            break;
        }
        let path = prover.leaf(found.leaf).await.map_err(|e| store_failure(&e))?;
        contents.proofs.insert(position, (found.leaf, path));
        if found.of_keys {
            contents.keys.insert(position, found.line.clone());
        }
        if found.concerned {
            contents.records.insert(position, found.line);
        }
    }
    Ok(contents)
}

/// Runs it.
///
/// # Errors
/// The ledger is broken, unknown or cannot be read, or the file cannot be written.
pub(super) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let about = args.about()?;
    let out = args.out.clone().unwrap_or_else(|| PathBuf::from(format!("{about}.evidence.tar")));
    let log = context.ledger(args.nats.named(), &args.of.tenant).await?;
    let store =
        Store::open(log.connection().clone(), &args.of.tenant).map_err(|e| store_failure(&e))?;
    let stood = last(&log).await?;
    let (note, at, upto) = newest(&store, stood).await?;
    let mut gatherer =
        Gatherer { concern: Concern::new(&about), leaves: 0, bytes: 0, found: BTreeMap::new() };
    let (identity, ledger) = Box::pin(gather(context, &log, &args, &mut gatherer, upto)).await?;
    let whose = (&args.of.tenant, identity, about);
    let contents = contents(&store, whose, gatherer, (note, at)).await?;

    let unwritable = |e: std::io::Error| Failure::refused(format!("{}: {e}", out.display()));
    let part = beside(&out, ".part");
    let file = File::create(&part).map_err(unwritable)?;
    let done = write(BufWriter::with_capacity(1 << 20, &file), &contents, ledger);
    let shown = match done.map_err(unwritable) {
        Ok(_) => look(context, &part, identity),
        Err(failure) => Err(failure),
    };
    let shown = match shown {
        Ok(shown) => shown,
        Err(failure) => {
            // What does not stand is not kept.
            let _ = std::fs::remove_file(&part);
            return Err(failure);
        }
    };
    file.sync_all().map_err(unwritable)?;
    std::fs::rename(&part, &out).map_err(unwritable)?;
    report(context, &out, &shown)
}

/// The finished file as a stranger sees it: a tile that is wrong must not leave as a proof.
fn look(context: &Context, file: &std::path::Path, identity: Hash) -> Result<Checked, Failure> {
    let pins = Pins { tenant: Some(identity), witnesses: Vec::new() };
    let shown = checked(file, &pins, context.bars())?;
    shown.map_err(|broken| {
        Failure::refused(format!("the bundle does not stand: {}", chain(&broken)))
    })
}

fn report(context: &Context, out: &std::path::Path, shown: &Checked) -> Result<(), Failure> {
    let identity = format!("sha256:{}", shown.identity);
    if context.json {
        return output::json(&json!({
            "file": out.to_string_lossy(), "about": shown.about, "tenant": identity,
            "records": shown.records, "keys": shown.keys, "approvals": shown.approvals,
            "size": shown.at.size, "position": shown.upto, "complete": shown.complete,
        }));
    }
    let (file, records, keys) = (out.display(), shown.records, shown.keys);
    output::line(&format!("{file}: {records} records, {keys} records of keys, tenant {identity}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use canonry_record::export::{Entry, parse_line};

    use super::*;

    /// Record 1 of a ledger.
    fn founded() -> Stored {
        let path = "../../tests/verifier/fixtures/healthy.jsonl";
        let text = std::fs::read_to_string(path).unwrap();
        let Ok(Entry::Record(line)) = parse_line(text.lines().next().unwrap()) else { panic!() };
        let body = line.body.into();
        Stored { seq: line.seq, subject: line.subject, headers: line.headers, body, time: 0 }
    }

    fn gatherer() -> Gatherer {
        let about: WorkId = "tkt_00000000000000000000000001".parse().unwrap();
        Gatherer { concern: Concern::new(&about), leaves: 0, bytes: 0, found: BTreeMap::new() }
    }

    #[test]
    fn what_a_reader_would_not_take_is_not_gathered() {
        let (stored, mut good) = (founded(), gatherer());
        good.take(&stored).unwrap();
        assert_eq!((good.leaves, good.found.len(), good.last()), (1, 1, None));
        let mut long = gatherer();
        long.bytes = BUNDLE_TEXT_BYTES - good.bytes + 1;
        let refused = long.take(&stored).unwrap_err();
        assert!(refused.message.starts_with("bundle-too-large"), "{refused}");
        long = gatherer();
        long.bytes = BUNDLE_TEXT_BYTES - good.bytes;
        long.take(&stored).unwrap();
        let mut many = gatherer();
        let empty = || Found { leaf: 0, line: String::new(), of_keys: true, concerned: false };
        many.found = (2..=BUNDLE_ENTRIES as u64 - 4).map(|seq| (seq, empty())).collect();
        assert!(many.take(&stored).unwrap_err().message.starts_with("bundle-too-large"));
    }
}
