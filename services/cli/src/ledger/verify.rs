//! `canonry ledger verify`: the answer of the pure verifier, for a live ledger or a file.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;

use canonry_nats::Log;
use canonry_record::repair::{Repair, hides, records_upto};
use canonry_record::verify::{Break, Pins, Summary, Why};
use canonry_record::whole::Whole;
use canonry_record::{Hash, KeyRing, Verifier};
use canonry_schemas::ids::ActorId;
use canonry_schemas::limits::EXPORT_LINE_BYTES;
use canonry_tlog::VerifierKey;
use serde_json::{Value, json};

use super::checkpoint::witness_key;
use super::compare::{Against, Differs};
use super::scan::{Stop, last, line, threads, verified};
use crate::args::{Nats, Of};
use crate::context::Context;
use crate::failure::{Failure, chain, exit};
use crate::output;
use crate::progress::Bars;

/// Check every hash, link and signature of a ledger or of an export.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 whole and the founder is the pinned one; 1 broken, the position is told; 3 whole, but \
no founder was pinned; 4 as 0, but positions were lost once and the ledger was repaired; 69 the \
ledger cannot be read. What was lost is told whatever the code. A live ledger must also pass through \
the newest checkpoint that was signed, or the one of --checkpoint.

EXAMPLES:
    canonry ledger verify --of acme
    canonry ledger verify --of acme --tenant sha256:9f2c… --head 1024:77ab…
    canonry ledger verify --of acme --as auditor --creds auditor.creds --nats nats://h:4222
    canonry ledger verify --of acme --checkpoint acme.checkpoint --witness witness.example/w1+ab12…+BK…
    canonry ledger verify --file acme.jsonl --json")]
pub struct Args {
    /// Verify this export instead of a live ledger
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Verify the auditors' mirror of the ledger, in the name of this auditor
    #[arg(long = "as", value_name = "ACTOR", conflicts_with = "file")]
    auditor: Option<ActorId>,
    /// The auditor's creds, where they are not in the home
    #[arg(long, value_name = "FILE", requires = "auditor")]
    creds: Option<PathBuf>,
    #[command(flatten)]
    of: Of,
    /// The tenant's identity, the hash of record 1: pins the founder
    #[arg(long = "tenant", visible_alias = "pin", value_name = "sha256:HASH", value_parser = identity)]
    pin: Option<Hash>,
    /// A head known from elsewhere that the ledger must pass through
    #[arg(long, value_name = "POSITION:HASH", value_parser = head)]
    head: Option<(u64, Hash)>,
    /// A checkpoint known from elsewhere that a live ledger must pass through
    #[arg(long, value_name = "FILE", conflicts_with = "file")]
    checkpoint: Option<PathBuf>,
    /// The key of a witness that must have cosigned the checkpoint; may be repeated
    #[arg(
        long, value_name = "KEY", conflicts_with = "file", value_parser = witness_key
    )]
    witness: Vec<VerifierKey>,
    #[command(flatten)]
    nats: Nats,
}

pub(crate) fn identity(text: &str) -> Result<Hash, String> {
    let hash = text.strip_prefix("sha256:").unwrap_or(text);
    hash.parse().map_err(|e| format!("{e}; expected sha256: and 64 hex digits"))
}

pub(crate) fn head(text: &str) -> Result<(u64, Hash), String> {
    let (position, hash) = text.split_once(':').ok_or("expected <position>:<hash>")?;
    let position = position.parse().map_err(|_| "the position is not a number")?;
    Ok((position, identity(hash)?))
}

pub(super) async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let pins = Pins { tenant_hash: args.pin, head: args.head };
    let pinned = args.pin.is_some();
    let Some(file) = &args.file else { return live(context, args, pins).await };
    let (records, answer) = verify_file(file, pins, context.bars())?;
    report(context, records, pinned, &answer, None)
}

async fn live(context: &Context, args: Args, pins: Pins) -> Result<(), Failure> {
    let pinned = pins.tenant_hash.is_some();
    let (nats, tenant) = (args.nats.named(), &args.of.tenant);
    let log = match &args.auditor {
        Some(auditor) => context.mirror(nats, tenant, auditor, args.creds.as_deref()).await?,
        None => context.ledger(nats, tenant).await?,
    };
    // Before the end of the ledger is asked for: what was signed by now must be in it. A mirror may
    // lag behind, and an auditor reads nothing else.
    let file = args.checkpoint.as_deref();
    let mut against = match (file, &args.auditor) {
        (None, Some(_)) => None,
        _ => Against::find(file, args.witness, &log, tenant).await?,
    };
    let upto = last(&log).await?;
    let mut verifier = Verifier::new(tenant.clone(), pins);
    let read = verified(&log, &mut verifier, upto, context.bars(), |stored| {
        against.iter_mut().for_each(|against| against.take(stored));
        Ok(())
    });
    let mut answer = match read.await {
        Ok(()) => verifier.finish_live(),
        Err(Stop::Broken(broken)) => Err(broken),
        Err(Stop::Failed(failure)) => return Err(failure),
    };
    let state = verifier.state();
    let repairs = state.map_or(&[][..], |state| &state.repairs);
    let mut records = records_upto(repairs, verifier.position());
    if let Some(state) = state.filter(|_| answer.is_ok()) {
        for repair in repairs {
            if hidden(&log, repair, &state.ring).await? {
                let broken = Break { position: repair.from, why: Why::RepairHides };
                (records, answer) = (records_upto(repairs, repair.after), Err(broken));
                break;
            }
        }
    }
    let compared = match (&against, verifier.state()) {
        (Some(against), Some(state)) if answer.is_ok() => Some(against.finish(state)),
        _ => None,
    };
    report(context, records, pinned, &answer, compared.as_ref())
}

/// Whether the store still holds, at the first position that a repair left out, a record that
/// stands.
async fn hidden(log: &Log, repair: &Repair, ring: &KeyRing) -> Result<bool, Failure> {
    for volume in log.volumes().iter().filter(|v| (v.first..=v.last).contains(&repair.from)) {
        let held = log.get_in(volume, repair.from).await;
        let held = held.map_err(|e| Failure::unavailable(chain(&e)))?;
        if held.is_some_and(|stored| hides(repair, ring, &line(&stored))) {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(crate) fn verify_file(
    file: &std::path::Path,
    pins: Pins,
    bars: Bars,
) -> Result<(u64, Result<Summary, Break>), Failure> {
    let unreadable = |e: std::io::Error| Failure::refused(format!("{}: {e}", file.display()));
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    let bar = bars.bytes("verifying", opened.metadata().map_err(unreadable)?.len());
    let mut reader = BufReader::with_capacity(1 << 20, opened);
    let pinned_head = pins.head;
    let mut whole = Whole::new(pins, threads());
    let mut text = Vec::new();
    loop {
        text.clear();
        let most = EXPORT_LINE_BYTES as u64;
        let count = reader.by_ref().take(most).read_until(b'\n', &mut text).map_err(unreadable)?;
        if count == 0 {
            break;
        }
        bar.inc(count as u64);
        if text.last() == Some(&b'\n') {
            text.pop();
        } else if count == EXPORT_LINE_BYTES {
            text.clear();
        }
        // What is too long or no UTF-8 is no line; the verifier says at which position.
        if let Err(broken) = whole.push(std::str::from_utf8(&text).unwrap_or_default()) {
            return Ok((records_upto(&whole.repairs(), broken.position - 1), Err(broken)));
        }
    }
    let read = whole.position();
    let repairs = whole.repairs();
    let beyond = pinned_head.is_some_and(|(position, _)| position > read);
    let answer = whole.finish();
    let records = match &answer {
        Ok(summary) => summary.records,
        Err(broken) => match broken.why {
            Why::HeadMissing | Why::HeadMismatch | Why::HeadSignature => {
                records_upto(&repairs, read)
            }
            Why::HeadPin if beyond => records_upto(&repairs, read),
            _ => records_upto(&repairs, broken.position - 1),
        },
    };
    Ok((records, answer))
}

fn report(
    context: &Context,
    records: u64,
    pinned: bool,
    answer: &Result<Summary, Break>,
    compared: Option<&Result<Value, Differs>>,
) -> Result<(), Failure> {
    if let Some(Err(differs)) = compared {
        let Differs { position, code, why } = differs;
        if context.json {
            output::json(&json!({
                "records": records, "ok": false, "pinned": pinned, "position": position,
                "why": code, "message": why,
            }))?;
        } else {
            output::line(&format!("broken against its checkpoint: {why} ({code})"));
        }
        return Err(Failure::silent(exit::REFUSED));
    }
    let checkpoint = compared.and_then(|compared| compared.as_ref().ok());
    match answer {
        Ok(summary) => {
            let (position, hash) = (summary.position, summary.hash);
            if context.json {
                output::json(&json!({
                    "records": summary.records, "ok": true, "pinned": pinned,
                    "position": position, "why": null,
                    "head": format!("{position}:{hash}"),
                    "tenant": format!("sha256:{}", summary.founder),
                    "checkpoint": checkpoint,
                    "repairs": summary.repairs,
                }))?;
            } else {
                output::line(&format!(
                    "whole: {} records, head {position}:{hash}, tenant sha256:{}",
                    summary.records, summary.founder
                ));
                if let Some(checkpoint) = checkpoint {
                    let size = &checkpoint["size"];
                    output::line(&match checkpoint["lost_before"].as_str() {
                        None => format!("the checkpoint of {size} records stands"),
                        Some(repair) => format!(
                            "the checkpoint of {size} records covers some that were lost before the \
                             repair at {repair}"
                        ),
                    });
                }
            }
            for repair in summary.repairs.iter().filter(|_| !context.json) {
                output::line(&format!(
                    "repaired: positions {} to {} hold nothing, those up to {} may have been \
                     records; {} goes on after {}:{}",
                    repair.from,
                    repair.to,
                    repair.given,
                    repair.position,
                    repair.after,
                    repair.hash
                ));
            }
            if pinned && summary.repairs.is_empty() {
                return Ok(());
            }
            if pinned {
                return Err(Failure::silent(exit::REPAIRED));
            }
            let message = format!(
                "consistent, founder not pinned: compare the identity with one known from \
                 elsewhere, --tenant sha256:{}",
                summary.founder
            );
            Err(Failure { exit: exit::NOT_PINNED, message })
        }
        Err(broken) => {
            let (position, why) = (broken.position, broken.why.code());
            if context.json {
                output::json(&json!({
                    "records": records, "ok": false, "pinned": pinned,
                    "position": position, "why": why, "message": broken.why.to_string(),
                }))?;
            } else {
                output::line(&format!("broken at position {position}: {} ({why})", broken.why));
            }
            Err(Failure::silent(exit::REFUSED))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pins_are_read_strictly() {
        let hash = "ab".repeat(32);
        assert_eq!(identity(&format!("sha256:{hash}")).unwrap().to_string(), hash);
        assert_eq!(head(&format!("7:{hash}")).unwrap().0, 7);
        for bad in ["", "7", "x:ab", "7:ab"] {
            assert!(head(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_empty_export_is_broken_at_its_first_position() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (records, answer) = verify_file(file.path(), Pins::default(), Bars::new(true)).unwrap();
        assert_eq!((records, answer.unwrap_err().position), (0, 1));
    }
}
