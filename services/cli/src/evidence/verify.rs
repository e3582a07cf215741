//! `canonry evidence verify`: the answer of the pure verifier about a bundle.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use canonry_bundle::{Broken, Checked, Pins, Refused};
use canonry_record::Hash;
use canonry_tlog::VerifierKey;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::{Failure, exit};
use crate::ledger::scan::threads;
use crate::ledger::{identity, witness_key};
use crate::output;
use crate::progress::Bars;

/// Check a bundle offline.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing is asked of anybody: the records, their signatures and keys, their proofs against one signed \
checkpoint, and the approvals are checked with what the bundle holds. It shows that each record is in \
the log; that none was left out is shown only where the bundle was exported with --whole.
Exit codes: 0 it stands and the founder is the pinned one; 1 it does not, the reason is told; 3 it \
stands, but no founder was pinned; 4 as 0, but positions were lost once and the ledger was repaired.

EXAMPLES:
    canonry evidence verify ticket.evidence.tar --tenant sha256:9f2c…
    canonry evidence verify ticket.evidence.tar --tenant sha256:9f2c… --witness witness.example/w1+ab12…+BK…
    canonry evidence verify ticket.evidence.tar --json")]
pub struct Args {
    /// The bundle
    file: PathBuf,
    /// The tenant's identity, the hash of record 1: pins the founder
    #[arg(long = "tenant", visible_alias = "pin", value_name = "sha256:HASH", value_parser = identity)]
    pin: Option<Hash>,
    /// The key of a witness that must have cosigned the checkpoint; may be repeated
    #[arg(long, value_name = "KEY", value_parser = witness_key)]
    witness: Vec<VerifierKey>,
}

/// Checks a file.
///
/// # Errors
/// It cannot be read.
pub(super) fn checked(
    file: &Path,
    pins: &Pins,
    bars: Bars,
) -> Result<Result<Checked, Broken>, Failure> {
    let unreadable = |e: std::io::Error| Failure::refused(format!("{}: {e}", file.display()));
    let opened = File::open(file).map_err(unreadable)?;
    let bar = bars.bytes("verifying", opened.metadata().map_err(unreadable)?.len());
    let reader = BufReader::with_capacity(1 << 20, opened);
    match canonry_bundle::verify(reader, pins, threads(), |count| bar.inc(count)) {
        Ok(checked) => Ok(Ok(checked)),
        Err(Refused::Broken(broken)) => Ok(Err(broken)),
        Err(Refused::Io(error)) => Err(unreadable(error)),
    }
}

/// Runs it.
///
/// # Errors
/// The bundle does not stand, cannot be read, or nobody was pinned.
pub(super) fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let pins = Pins { tenant: args.pin, witnesses: args.witness.clone() };
    match checked(&args.file, &pins, context.bars())? {
        Ok(shown) => stands(context, &shown),
        Err(broken) => refused(context, &broken),
    }
}

fn refused(context: &Context, broken: &Broken) -> Result<(), Failure> {
    let Broken { code, message, entry, position } = broken;
    if context.json {
        output::json(&json!({
            "ok": false, "why": code, "message": message, "entry": entry, "position": position,
        }))?;
    } else {
        let place = match (position, entry) {
            (Some(position), _) => format!(" at position {position}"),
            (None, Some(entry)) => format!(" in {entry}"),
            (None, None) => String::new(),
        };
        output::line(&format!("broken{place}: {message} ({code})"));
    }
    Err(Failure::silent(exit::REFUSED))
}

fn stands(context: &Context, shown: &Checked) -> Result<(), Failure> {
    let identity = format!("sha256:{}", shown.identity);
    if context.json {
        let cosigned = |(name, time): &(String, u64)| json!({"name": name, "time": time});
        output::json(&json!({
            "ok": true, "pinned": shown.pinned, "why": null, "about": shown.about,
            "tenant": identity, "records": shown.records, "keys": shown.keys,
            "approvals": shown.approvals, "origin": shown.at.origin, "size": shown.at.size,
            "root": shown.at.root, "position": shown.upto, "complete": shown.complete,
            "witnesses": shown.witnesses.iter().map(cosigned).collect::<Vec<Value>>(),
            "repairs": shown.repairs,
        }))?;
    } else {
        in_words(shown, &identity);
    }
    if shown.pinned && shown.repairs.is_empty() {
        return Ok(());
    }
    if shown.pinned {
        return Err(Failure::silent(exit::REPAIRED));
    }
    let message = format!(
        "consistent, founder not pinned: compare the identity with one known from elsewhere, \
         --tenant {identity}"
    );
    Err(Failure { exit: exit::NOT_PINNED, message })
}

fn in_words(shown: &Checked, identity: &str) {
    let Checked { about, records, keys, approvals, upto, .. } = shown;
    output::line(&format!(
        "stands: {records} records about {about}, {keys} records of keys, tenant {identity}"
    ));
    output::line(&format!("each is in the log of {} records up to position {upto}", shown.at.size));
    if *approvals > 0 {
        output::line(&format!("{approvals} approvals or rejections, each by the person's own key"));
    }
    for (name, time) in &shown.witnesses {
        output::line(&format!("cosigned by {name} at {time}"));
    }
    for repair in &shown.repairs {
        output::line(&format!(
            "repaired: positions {} to {} hold nothing, those up to {} may have been records",
            repair.from, repair.to, repair.given
        ));
    }
    output::line(if shown.complete {
        "complete: the whole ledger is in the bundle, and holds no other record about it"
    } else {
        "not shown: whether a record was left out; a bundle exported with --whole shows that"
    });
}
