//! `canonry backup …`: makes, lists, verifies and restores backups. What they are is in
//! `canonry-backup`; here is only how they are asked for and told.

mod erased;
mod opened;
mod restore;
pub(crate) mod serve;

use canonry_backup::check::manifests;
use canonry_backup::evidence::{self, ReadBack};
use canonry_backup::manifest::Manifest;
use canonry_backup::{Checked, Error, Place, backup, check};
use canonry_record::Hash;
use canonry_record::verify::Pins;
use clap::Subcommand;
use indicatif::ProgressBar;
use serde_json::{Value, json};

use crate::args::{Nats, Of};
use crate::context::Context;
use crate::failure::{Failure, chain, exit};
use crate::{ledger, output};

/// `canonry backup`.
#[derive(Debug, Subcommand)]
#[command(after_help = "EXAMPLES:
    canonry backup now --to file:///srv/backups
    canonry backup restore --from file:///srv/backups --of acme")]
pub enum Command {
    /// Back a tenant up, and verify all of it by reading it back
    Now(Now),
    /// List the backups of a tenant
    List(List),
    /// Verify what lies in a place: every record, head and digest
    Verify(Verify),
    /// Restore a tenant into servers that hold nothing of it
    Restore(restore::Args),
}

/// Back a tenant up.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Private keys are not part of a backup: keep a copy of the home yourself, apart from this one. \
What a backup found is printed, and kept beside it as JSON.

EXAMPLES:
    canonry backup now --to file:///srv/backups
    canonry backup now --of acme --to s3://ledgers/cell-1 --json")]
pub struct Now {
    /// Where to: file:///folder or s3://bucket/prefix
    #[arg(long, env = "CANONRY_BACKUP", value_name = "URL")]
    to: String,
    /// The tenant's identity, the hash of record 1: pins the founder
    #[arg(long = "tenant", visible_alias = "pin", value_name = "sha256:HASH", value_parser = ledger::identity)]
    pin: Option<Hash>,
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    nats: Nats,
}

/// List the backups of a tenant.
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES:
    canonry backup list --from file:///srv/backups
    canonry backup list --of acme --from s3://ledgers/cell-1 --json")]
pub struct List {
    /// Where they lie
    #[arg(long, env = "CANONRY_BACKUP", value_name = "URL")]
    from: String,
    #[command(flatten)]
    of: Of,
}

/// Verify what lies in a place.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Needs no server. Exit codes: 0 whole and the founder is the pinned one; 1 broken; 3 whole, but no \
founder was pinned; 69 the place does not answer.

EXAMPLES:
    canonry backup verify --from file:///srv/backups
    canonry backup verify --of acme --from s3://ledgers/cell-1 --tenant sha256:9f2c…")]
pub struct Verify {
    /// Where it lies
    #[arg(long, env = "CANONRY_BACKUP", value_name = "URL")]
    from: String,
    /// The tenant's identity, the hash of record 1: pins the founder
    #[arg(long = "tenant", visible_alias = "pin", value_name = "sha256:HASH", value_parser = ledger::identity)]
    pin: Option<Hash>,
    /// A head known from elsewhere that the ledger must pass through
    #[arg(long, value_name = "POSITION:HASH", value_parser = ledger::head)]
    head: Option<(u64, Hash)>,
    #[command(flatten)]
    of: Of,
}

/// Runs it.
///
/// # Errors
/// What is there does not stand, or something does not answer.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Now(args) => told(context, now(context, args).await),
        Command::List(args) => told(context, list(context, args).await),
        Command::Verify(args) => told(context, verify(context, args).await),
        Command::Restore(args) => told(context, restore::run(context, args).await),
    }
}

/// Why it came to nothing: the backup's own reason, or another.
pub(crate) enum Why {
    Backup(Error),
    Other(Failure),
}

impl From<Error> for Why {
    fn from(error: Error) -> Self {
        Self::Backup(error)
    }
}

impl From<Failure> for Why {
    fn from(failure: Failure) -> Self {
        Self::Other(failure)
    }
}

/// With `--json` a reason of the backup's is data as well.
fn told(context: &Context, done: Result<(), Why>) -> Result<(), Failure> {
    match done {
        Ok(()) => Ok(()),
        Err(Why::Other(failure)) => Err(failure),
        Err(Why::Backup(error)) if context.json => {
            let (code, message) = (error.code(), chain(&error));
            output::json(&json!({"ok": false, "code": code, "message": message}))?;
            Err(Failure::silent(failure(&error).exit))
        }
        Err(Why::Backup(error)) => Err(failure(&error)),
    }
}

/// A reason with its code in words, and the exit code.
pub(crate) fn failure(error: &Error) -> Failure {
    let message = format!("{} ({})", chain(error), error.code());
    match error {
        Error::Address { .. } => Failure::config(message),
        error if error.is_unavailable() => Failure::unavailable(message),
        _ => Failure::refused(message),
    }
}

/// Moves a bar along.
pub(crate) fn progress(bar: &ProgressBar) -> impl FnMut(u64, u64) + Send + use<> {
    let bar = bar.clone();
    move |position, upto| {
        bar.set_length(upto);
        bar.set_position(position);
    }
}

async fn now(context: &Context, args: Now) -> Result<(), Why> {
    let tenant = &args.of.tenant;
    let place = Place::make(&args.to)?;
    let log = context.ledger(args.nats.named(), tenant).await?;
    let pins = Pins { tenant_hash: args.pin, head: None };
    let bar = context.bars().count("backing up", 0);
    let at = canonry_decider::holder::now();
    let done = backup(&log, &place, tenant, pins, at, &mut progress(&bar)).await;
    bar.finish_and_clear();
    let done = done?;
    if done.left_out > 0 {
        let newer = done.left_out;
        output::say(format!("nobody signs a newer head: {newer} records after it are left out"));
    }
    say_missing(&done.missing);
    if context.json {
        return Ok(output::json(&told_as_json(&done.named.name, &done.manifest))?);
    }
    output::line(&format!("{}/{tenant}: {}", place.shown(), in_words(&done.manifest)));
    Ok(())
}

/// Says what of evidence could not be copied.
pub(crate) fn say_missing(missing: &[canonry_schemas::ids::ObjectId]) {
    if let Some(first) = missing.first() {
        output::say(format!(
            "{} evidence objects are not in their bucket, such as {first}: they were never stored, \
             or are lost",
            missing.len()
        ));
    }
}

fn told_as_json(name: &str, manifest: &Manifest) -> Value {
    let mut value = serde_json::to_value(manifest).unwrap_or_default();
    value["ok"] = true.into();
    value["name"] = name.into();
    value
}

fn in_words(manifest: &Manifest) -> String {
    let (head, verified) = (&manifest.head.head, &manifest.verified);
    format!(
        "{} records verified in {} segments ({} bytes), {} new segments, {} content keys, {} new \
         evidence objects, head {}:{}",
        verified.records,
        verified.segments,
        verified.bytes,
        manifest.segments.len(),
        manifest.content_keys,
        manifest.evidence.len(),
        head.position,
        head.hash,
    )
}

async fn list(context: &Context, args: List) -> Result<(), Why> {
    let tenant = &args.of.tenant;
    let place = Place::open(&args.from)?.below(tenant.as_str());
    for (named, manifest) in manifests(&place, tenant).await? {
        if context.json {
            output::json(&told_as_json(&named.name, &manifest))?;
        } else {
            output::line(&format!("{}\t{}", manifest.at, in_words(&manifest)));
        }
    }
    Ok(())
}

async fn verify(context: &Context, args: Verify) -> Result<(), Why> {
    let tenant = &args.of.tenant;
    let place = Place::open(&args.from)?.below(tenant.as_str());
    let pins = Pins { tenant_hash: args.pin, head: args.head };
    let bar = context.bars().count("verifying", 0);
    let found = check(&place, tenant, pins, &mut progress(&bar), &mut |_| ()).await;
    bar.finish_and_clear();
    let found = found?;
    let opened = opened(context, &args.of, &found)?;
    let read = read_evidence(context, &args.of, &place, &found).await?;
    let head = found.whole()?;
    let summary = found.verifier.finish(Some(head)).map_err(Error::from)?;
    let (verified, identity) = (&found.verified, format!("sha256:{}", summary.founder));
    let at = format!("{}:{}", summary.position, summary.hash);
    if context.json {
        output::json(&json!({
            "ok": true, "pinned": summary.pinned, "tenant": identity, "head": at,
            "records": verified.records, "segments": verified.segments, "bytes": verified.bytes,
            "backups": found.backups, "content_keys": found.content_keys.map(|k| k.entries.len()),
            "content_keys_opened": opened, "evidence": read.objects, "evidence_bytes": read.bytes,
            "evidence_opened": read.opened,
        }))?;
    } else {
        let keys =
            opened.map_or("not opened: no key store here".to_owned(), |n| format!("{n} open"));
        output::line(&format!(
            "whole: {} records in {} segments, {} backups, content keys {keys}, {} evidence objects \
             ({} opened), head {at}, tenant {identity}",
            verified.records, verified.segments, found.backups, read.objects, read.opened,
        ));
    }
    if summary.pinned {
        return Ok(());
    }
    let message =
        format!("consistent, founder not pinned: compare the identity, --tenant {identity}");
    Err(Why::Other(Failure { exit: exit::NOT_PINNED, message }))
}

/// Reads all evidence back; with the key of this home it is opened and compared with the ledger.
async fn read_evidence(
    context: &Context,
    of: &Of,
    place: &Place,
    found: &Checked,
) -> Result<ReadBack, Why> {
    let kek = context.keys().ok().and_then(|keys| keys.kek(&of.tenant).ok());
    let (attached, there) = (&found.attached, &found.evidence);
    Ok(match (kek, &found.content_keys) {
        (Some(kek), Some(copy)) => {
            let contents = opened::Opened::new(kek.as_bytes(), copy);
            evidence::verify(place, attached, there, &contents).await?
        }
        _ => evidence::verify(place, attached, there, &evidence::Sealed).await?,
    })
}

/// How many of the copied content keys open under the key of this home; `None` where it has none.
fn opened(context: &Context, of: &Of, found: &Checked) -> Result<Option<usize>, Why> {
    let kek = context.keys().ok().and_then(|keys| keys.kek(&of.tenant).ok());
    let (Some(kek), Some(copy)) = (kek, &found.content_keys) else { return Ok(None) };
    Ok(Some(copy.open(kek.as_bytes())?))
}
