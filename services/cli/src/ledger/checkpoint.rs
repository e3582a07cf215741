//! `canonry ledger checkpoint|prove|verify-proof`: the newest signed checkpoint, a proof that a
//! record is in the log, and the check of such a proof offline.

use std::path::PathBuf;

use canonry_checkpoints::Store;
use canonry_checkpoints::follow::log_keys;
use canonry_checkpoints::store::{CHECKPOINT, COSIGNED};
use canonry_nats::Log;
use canonry_record::export::{Entry, OwnedLine, parse_line, write_line};
use canonry_record::verify::Pins;
use canonry_record::{Hash, Verifier, record, record_hash};
use canonry_schemas::ids::TenantId;
use canonry_schemas::limits::PROOF_BYTES;
use canonry_tlog::note::{NoteError, Signed};
use canonry_tlog::{Checkpoint, Kind, Note, Proof, VerifierKey, origin};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::scan::{last, line, verified};
use crate::args::{Nats, Of};
use crate::context::Context;
use crate::failure::{Failure, chain, exit};
use crate::output;

/// Print the newest signed checkpoint.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Its signature is checked with the keys on the ledger. Keep what it prints somewhere else: \
`ledger verify --checkpoint FILE` shows later whether the ledger still begins with it. The exit code \
is 1 where there is none, or where the checkpointer or a witness found something wrong.

EXAMPLES:
    canonry ledger checkpoint --of acme > acme.checkpoint
    canonry ledger checkpoint --of acme --cosigned --json")]
pub struct Show {
    #[command(flatten)]
    of: Of,
    /// The newest that a witness cosigned
    #[arg(long)]
    cosigned: bool,
    #[command(flatten)]
    nats: Nats,
}

/// Prove that a record is in the log.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The proof holds the record, its path in the tree, the checkpoint and the log's key: one file that \
`canonry ledger verify-proof` checks without a server.

EXAMPLES:
    canonry ledger prove 42 --of acme --out ticket.tlog-proof
    canonry ledger prove 42 --of acme")]
pub struct Prove {
    /// The record's position
    #[arg(value_name = "POSITION", value_parser = clap::value_parser!(u64).range(1..))]
    position: u64,
    #[command(flatten)]
    of: Of,
    /// Where to write; stdout without it
    #[arg(long, short, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    nats: Nats,
}

/// Check a proof offline.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Exit codes: 0 the record is in the log of the pinned key; 1 it is not; 3 the proof is consistent, but \
no key of the log was pinned.

EXAMPLES:
    canonry ledger verify-proof ticket.tlog-proof --key canonry/acme/9f2c…+33d7b496+AeHT…
    canonry ledger verify-proof ticket.tlog-proof --key … --witness witness.example/w1+ab12…+BK…")]
pub struct Check {
    /// The proof
    file: PathBuf,
    /// The log's key, known from elsewhere; may be repeated where it was rotated
    #[arg(long, value_name = "KEY", value_parser = log_key)]
    key: Vec<VerifierKey>,
    /// The key of a witness that must have cosigned; may be repeated
    #[arg(long, value_name = "KEY", value_parser = witness_key)]
    witness: Vec<VerifierKey>,
    /// The record's hash, where the proof does not hold the record
    #[arg(long, value_name = "HASH")]
    record: Option<Hash>,
}

fn key_of(kind: Kind, text: &str) -> Result<VerifierKey, String> {
    let key: VerifierKey = text.parse().map_err(|e: NoteError| e.to_string())?;
    if key.kind() == kind { Ok(key) } else { Err("a key of the other kind".to_owned()) }
}

pub(crate) fn log_key(text: &str) -> Result<VerifierKey, String> {
    key_of(Kind::Log, text)
}

pub(crate) fn witness_key(text: &str) -> Result<VerifierKey, String> {
    key_of(Kind::Witness, text)
}

/// What our proofs carry besides; nothing in it is signed.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Extra {
    /// The record's line of an export.
    record: String,
    /// The key that signed the checkpoint.
    key: String,
}

pub(crate) fn store_failure(error: &canonry_checkpoints::StoreError) -> Failure {
    match error {
        canonry_checkpoints::StoreError::Nats(e) if e.api_code().is_none() => {
            Failure::unavailable(chain(error))
        }
        other => Failure::refused(chain(other)),
    }
}

/// The keys of a tenant's log: those of record 1, and where they did not sign this note, those of
/// the whole verified ledger.
async fn keys_for(
    context: &Context,
    log: &Log,
    tenant: &TenantId,
    note: &Note,
) -> Result<Vec<VerifierKey>, Failure> {
    let mut verifier = Verifier::new(tenant.clone(), Pins::default());
    let first = log.get(1).await.map_err(|e| Failure::unavailable(chain(&e)))?;
    let first = first.ok_or_else(|| Failure::refused("the ledger is empty"))?;
    verifier.push(&line(&first)).map_err(Failure::refused)?;
    let keys = |verifier: &Verifier| {
        let state = verifier.state().map(|s| log_keys(&s.ring, &origin(tenant, &s.founder)));
        state.unwrap_or_default()
    };
    let founding = keys(&verifier);
    if note.verify(&founding).is_ok() {
        return Ok(founding);
    }
    let mut verifier = Verifier::new(tenant.clone(), Pins::default());
    let upto = last(log).await?;
    verified(log, &mut verifier, upto, context.bars(), |_| Ok(())).await?;
    Ok(keys(&verifier))
}

/// `canonry ledger checkpoint`.
pub(super) async fn show(context: &Context, args: Show) -> Result<(), Failure> {
    let tenant = &args.of.tenant;
    let log = context.ledger(args.nats.named(), tenant).await?;
    let store = Store::open(log.connection().clone(), tenant).map_err(|e| store_failure(&e))?;
    let which = if args.cosigned { COSIGNED } else { CHECKPOINT };
    let stored = store.note(which).await.map_err(|e| store_failure(&e))?;
    let none = || {
        Failure::refused(format!(
            "{tenant} has no such checkpoint: does `canonry serve checkpoints` run?"
        ))
    };
    let (note, _) = stored.ok_or_else(none)?;
    let at = Checkpoint::of(&note).map_err(Failure::refused)?;
    let keys = keys_for(context, &log, tenant, &note).await?;
    let signed = note.verify(&keys).map_err(Failure::refused)?;
    let key = signed.first().map(|signed| signed.key.to_string());
    let alarm = store.alarm().await.map_err(|e| store_failure(&e))?;
    if context.json {
        output::json(&json!({
            "origin": at.origin, "size": at.size, "root": at.root, "key": key,
            "note": note.to_string(), "alarm": alarm,
        }))?;
    } else {
        output::line(note.to_string().trim_end());
        output::say(format!("log key: {}", key.unwrap_or_default()));
    }
    match alarm {
        None => Ok(()),
        Some(alarm) => {
            let (code, position) = (alarm.code, alarm.position);
            Err(Failure::refused(format!("{code} at position {position}: {}", alarm.why)))
        }
    }
}

/// `canonry ledger prove`.
pub(super) async fn prove(context: &Context, args: Prove) -> Result<(), Failure> {
    let (tenant, position) = (&args.of.tenant, args.position);
    let log = context.ledger(args.nats.named(), tenant).await?;
    let stored = log.get(position).await.map_err(|e| Failure::unavailable(chain(&e)))?;
    let stored =
        stored.ok_or_else(|| Failure::refused(format!("there is no position {position}")))?;
    let store = Store::open(log.connection().clone(), tenant).map_err(|e| store_failure(&e))?;
    let positions = store.positions().await.map_err(|e| store_failure(&e))?;
    let leaf = positions.leaf(position).ok_or_else(|| {
        Failure::refused(format!(
            "no checkpoint covers position {position} yet; try again in a second"
        ))
    })?;
    let (note, at) = store.covering(leaf + 1).await.map_err(|e| store_failure(&e))?;
    let (index, hashes) =
        store.inclusion(position, at.size).await.map_err(|e| store_failure(&e))?;
    let keys = keys_for(context, &log, tenant, &note).await?;
    let key = note.verify(&keys).map_err(Failure::refused)?[0].key.to_string();
    let extra = Extra { record: write_line(&line(&stored)), key };
    let extra = Some(serde_json::to_vec(&extra).map_err(Failure::refused)?);
    let proof = Proof { extra, index, hashes, note };
    // A tile that is wrong must not leave as a proof.
    let hash = record_hash(&stored.subject, &stored.body);
    proof.check(&hash).map_err(|e| Failure::refused(format!("the stored tiles: {e}")))?;
    let Some(out) = args.out else {
        output::line(proof.to_string().trim_end());
        return Ok(());
    };
    let text = proof.to_string();
    std::fs::write(&out, text).map_err(|e| Failure::refused(format!("{}: {e}", out.display())))?;
    if context.json {
        let file = out.to_string_lossy();
        let size = at.size;
        return output::json(
            &json!({"file": file, "position": position, "index": index, "size": size}),
        );
    }
    output::line(&format!("{}: leaf {index} of {}", out.display(), at.size));
    Ok(())
}

/// The name of a witness, and when it cosigned, seconds since 1970.
pub(super) type Cosigner = (String, Option<u64>);
/// A stable code, and the same in words.
pub(super) type Because = (&'static str, String);

/// A proof that was checked.
struct Proved {
    at: Checkpoint,
    index: u64,
    hash: Hash,
    record: Option<OwnedLine>,
    witnesses: Vec<Cosigner>,
    key: String,
    pinned: bool,
}

fn checked(text: &str, args: &Check) -> Result<Proved, Because> {
    let note = |e: NoteError| (e.code(), e.to_string());
    let malformed = |why: &str| ("proof-malformed", why.to_owned());
    let proof: Proof = text.parse().map_err(|_| malformed("this is no proof of a log"))?;
    let extra: Option<Extra> =
        proof.extra.as_ref().and_then(|extra| serde_json::from_slice(extra).ok());
    let record = match extra.as_ref().map(|extra| parse_line(&extra.record)) {
        Some(Ok(Entry::Record(line))) => Some(line),
        Some(_) => return Err(malformed("the record in it does not read")),
        None => None,
    };
    let of_line = record.as_ref().map(|line| record_hash(&line.subject, &line.body));
    if let (Some(named), Some(held)) = (args.record, of_line)
        && named != held
    {
        return Err(("proof-of-another-record", "it holds another record".to_owned()));
    }
    let hash = args.record.or(of_line);
    let hash = hash.ok_or_else(|| malformed("it holds no record: name its hash with --record"))?;
    let at = proof.check(&hash).map_err(|e| ("proof-wrong", e.to_string()))?;
    let pinned = !args.key.is_empty();
    let keys = match extra.as_ref().and_then(|extra| log_key(&extra.key).ok()) {
        _ if pinned => args.key.clone(),
        Some(own) => vec![own],
        None => return Err(malformed("it holds no key of its log: name it with --key")),
    };
    if keys.iter().all(|key| key.name() != at.origin) {
        return Err(("proof-of-another-log", format!("it is of the log {}", at.origin)));
    }
    let signed = proof.note.verify(&keys).map_err(note)?;
    let key = signed[0].key.to_string();
    let witnesses = cosigned_by(&proof.note, &args.witness)?;
    Ok(Proved { at, index: proof.index, hash, record, witnesses, key, pinned })
}

/// Which of these witnesses cosigned; all of them must have.
pub(super) fn cosigned_by(
    note: &Note,
    witnesses: &[VerifierKey],
) -> Result<Vec<Cosigner>, Because> {
    let one = |key: &VerifierKey| {
        let signed = note.verify(std::slice::from_ref(key));
        let time = |signed: Vec<Signed<'_>>| (key.name().to_owned(), signed[0].time);
        let missing = || format!("{} did not cosign this", key.name());
        signed.map(time).map_err(|_| ("cosignature-missing", missing()))
    };
    witnesses.iter().map(one).collect()
}

/// `canonry ledger verify-proof`.
pub(super) fn check(context: &Context, args: &Check) -> Result<(), Failure> {
    let unreadable = |e: std::io::Error| Failure::refused(format!("{}: {e}", args.file.display()));
    let length = std::fs::metadata(&args.file).map_err(unreadable)?.len();
    if length > PROOF_BYTES as u64 {
        return Err(Failure::refused(format!("{}: larger than a proof", args.file.display())));
    }
    let text = std::fs::read_to_string(&args.file).map_err(unreadable)?;
    match checked(&text, args) {
        Ok(proved) => report(context, &proved),
        Err((code, why)) => {
            if context.json {
                output::json(&json!({"ok": false, "why": code, "message": why}))?;
            } else {
                output::line(&format!("not proved: {why} ({code})"));
            }
            Err(Failure::silent(exit::REFUSED))
        }
    }
}

fn report(context: &Context, proved: &Proved) -> Result<(), Failure> {
    let line = proved.record.as_ref();
    let parsed = line.and_then(|line| record::parse(&line.body).ok());
    let position = line.map(|line| line.seq);
    let kind = parsed.as_ref().map(|record| record.kind());
    let entity = parsed.as_ref().map(|r| r.entity.to_string());
    let (index, size) = (proved.index, proved.at.size);
    if context.json {
        let witnesses: Vec<Value> = proved
            .witnesses
            .iter()
            .map(|(name, time)| json!({"name": name, "time": time}))
            .collect();
        output::json(&json!({
            "ok": true, "pinned": proved.pinned, "why": null, "origin": proved.at.origin,
            "size": size, "index": index, "hash": proved.hash, "position": position, "type": kind,
            "entity": entity, "key": proved.key, "witnesses": witnesses,
        }))?;
    } else {
        let what = kind.unwrap_or_else(|| proved.hash.to_string());
        let entity = entity.unwrap_or_default();
        output::line(&format!(
            "proved: {what} {entity} is leaf {index} of {size} in {}",
            proved.at.origin
        ));
        for (name, time) in &proved.witnesses {
            output::line(&format!("cosigned by {name} at {}", time.unwrap_or_default()));
        }
    }
    if proved.pinned {
        return Ok(());
    }
    let message = format!(
        "consistent, log key not pinned: compare it with one known from elsewhere, --key {}",
        proved.key
    );
    Err(Failure { exit: exit::NOT_PINNED, message })
}
