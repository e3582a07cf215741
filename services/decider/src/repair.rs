//! `canonry ledger repair`: what is left of a damaged ledger is verified, and a new volume is opened
//! beyond every position that was ever given out. Its first record, `tenant.repaired`, follows the
//! last verified one, names what is lost, and carries a root key's word. Runs offline, with the
//! provisioning user, the committer's creds, the root, record and checkpoint keys; deciders may run,
//! because a frozen tenant is served by none.
//!
//! Every step can be repeated: an interrupted repair goes on with the volume that it made. Nothing
//! is taken for true that a signed head, a snapshot or a read model says of lost records: they only
//! show which positions were given out. Next: [`canonry_record::repair`] for what verifiers accept.

use std::path::Path;
use std::sync::Arc;

use canonry_keystore::{Environment, KEYS_VARIABLE, KeyStore, KeyUse, Sources};
use canonry_nats::{Append, Log, ReadError, Stored};
use canonry_provision::{CellUser, volumes};
use canonry_record::repair::{Repair, repaired};
use canonry_record::seal::Signer;
use canonry_record::verify::{self, State};
use canonry_record::{Hash, Line, Verifier};
use canonry_schemas::event::Event;
use canonry_schemas::ids::{TenantId, generated};
use canonry_schemas::key::Use;
use canonry_schemas::limits::{COMMIT_STORE, CONTENT_KEY_GROUP, REPAIR_MARGIN};
use canonry_schemas::subject::ledger_stream;
use canonry_schemas::tenant;
use futures_util::StreamExt as _;

use crate::draft::{self, Head};
use crate::holder::now;
use crate::keeper::{Keeper, nonce};
use crate::serve::{OverNats, connect_cell};
use crate::signers::Signers;
use crate::snapshot::Snapshot;

/// Records verified at once.
const CHUNK: usize = 512;

/// What a repair is told.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Which tenant.
    pub tenant: TenantId,
    /// The highest position known from read models or from elsewhere; 0 when nothing is.
    pub seen: u64,
    /// Replicas of the new volume.
    pub replicas: u8,
}

/// What a repair did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// What was repaired; `None` where the ledger was whole and only the flag was lifted.
    pub repair: Option<Repair>,
    /// The ledger's head.
    pub head: (u64, Hash),
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Repairs a frozen tenant's ledger and lifts the flag. `progress` hears how many records stand.
///
/// # Errors
/// A sentence that says what is missing or wrong; nothing is lost by running it again.
pub async fn repair(
    keys: &KeyStore,
    url: &str,
    wanted: &Wanted,
    progress: impl Fn(u64) + Send + Sync,
) -> Result<Done, String> {
    let tenant = &wanted.tenant;
    let root = keys.stored_key(tenant, KeyUse::Root).map_err(|e| format!("the root key: {e}"))?;
    let given = std::env::var(KEYS_VARIABLE).unwrap_or_default();
    let given = Environment::parse(&given).map_err(text)?;
    let sources = Arc::new(Sources::new(keys.clone(), given));
    let mut signers = Signers::new(tenant.clone(), sources);
    let kek = keys.kek(tenant).map_err(text)?;
    let committer = connect_cell(url, keys, &CellUser::Committer).await?;
    let streams = OverNats(connect_cell(url, keys, &CellUser::ProvisionStreams).await?);
    let keeper = Keeper::open(&committer, tenant, kek.as_bytes()).await;
    let keeper = keeper.map_err(|e| format!("{e:?}"))?;
    if keeper.frozen().await.map_err(|e| format!("{e:?}"))?.is_none() {
        return Err(format!("{tenant} is not frozen: there is nothing to repair"));
    }

    let log = Log::open(committer.clone(), &ledger_stream(tenant)).await.map_err(text)?;
    let log = log.with_reader_name("committer");
    let begin = Verifier::new(tenant.clone(), verify::Pins::default());
    let left = survey(&log, begin, &progress).await?;
    // Before anything is sealed: a key of another ledger must leave this one as it is.
    let root = Signer::new(root.key.clone());
    let holds = left.state.ring.key(&root.id).is_some_and(|e| e.is_current() && e.may(Use::Root));
    if !holds {
        return Err(format!(
            "the root key at hand, {}, holds on no record of this ledger",
            root.id
        ));
    }
    // The keys that hold after the last record that stands, whatever the lost ones changed.
    let record = signers.record(&left.state.ring)?;
    let checkpoint = signers.checkpoint(&left.state.ring, now().max(left.state.time))?;
    let known = keeper.head().await.map_err(|e| format!("{e:?}"))?;
    let standing = volumes::standing(&streams, tenant).await.map_err(text)?;
    let stored = standing.iter().map(|v| v.last).max().unwrap_or(0);
    let signed = known.as_ref().map_or(0, |head| head.position);
    let kept = snapshots(keys, tenant, &keeper)?;
    // An empty volume that an interrupted repair made is beyond everything already.
    let made = standing.last().filter(|v| !v.closed && v.is_empty() && v.after + 1 < v.first);
    let stored = made.map_or(stored, |made| {
        standing.iter().filter(|v| v.number != made.number).map(|v| v.last).max().unwrap_or(0)
    });
    let given = stored.max(signed).max(kept).max(wanted.seen).max(left.state.position);

    let done = if left.is_whole && made.is_none() && given == left.state.position {
        if known.is_some_and(|head| head.position == given && head.hash != left.state.hash) {
            return Err(format!(
                "the ledger verifies, but holds another record at {given} than a signed head \
                 names: it was written anew; restore it from a copy"
            ));
        }
        Done { repair: None, head: (left.state.position, left.state.hash) }
    } else {
        open_beyond(&log, &streams, &keeper, wanted, &left.state, given, &root, &record).await?
    };
    let last = volumes::standing(&streams, tenant).await.map_err(text)?.last().map(|v| v.number);
    volumes::mirror(&streams, tenant, last.unwrap_or(1), wanted.replicas).await.map_err(text)?;
    finish(&log, &keeper, tenant, done.head, &checkpoint).await?;
    for connection in [&committer, &streams.0] {
        connection.close().await;
    }
    Ok(done)
}

/// An id that nobody else draws.
pub(crate) fn fresh_id(prefix: &str) -> Result<String, String> {
    let random = u128::from_le_bytes(nonce()[..16].try_into().map_err(text)?);
    Ok(generated(prefix, now().millis(), random))
}

/// What is left of a ledger.
pub(crate) struct Left {
    /// Where the last record stands that was verified.
    pub(crate) state: State,
    /// Whether nothing is wrong up to the end of the stream.
    pub(crate) is_whole: bool,
}

/// Reads and verifies behind where `verifier` stands, to the first break or to the end.
pub(crate) async fn survey(
    log: &Log,
    mut verifier: Verifier,
    progress: &(impl Fn(u64) + Send + Sync),
) -> Result<Left, String> {
    let upto = log.info().await.map_err(text)?.last_seq;
    let mut is_whole = true;
    let mut chunk: Vec<Stored> = Vec::with_capacity(CHUNK);
    if let Some(state) = verifier.state().filter(|state| state.position >= upto) {
        return Ok(Left { is_whole: state.position == upto, state: state.clone() });
    }
    let mut records = match log.read(verifier.position() + 1, Some(upto)).await {
        Err(ReadError::Gap { .. }) if verifier.position() > 0 => {
            let state = verifier.state().cloned().ok_or("nothing was verified")?;
            return Ok(Left { state, is_whole: false });
        }
        Ok(records) => records,
        Err(ReadError::Gap { .. }) => return Err("the first record is lost".to_owned()),
        Err(error) => return Err(text(error)),
    };
    loop {
        let next = match records.next().await {
            Some(Ok(stored)) => Some(stored),
            Some(Err(ReadError::Gap { .. })) => {
                is_whole = false;
                None
            }
            Some(Err(error)) => return Err(text(error)),
            None => None,
        };
        let end = next.is_none();
        chunk.extend(next);
        if chunk.len() == CHUNK || end {
            let (stands, all) = verified(verifier, std::mem::take(&mut chunk)).await?;
            verifier = stands;
            progress(verifier.position());
            is_whole &= all;
            if end || !all {
                break;
            }
        }
    }
    let state = verifier.state().cloned();
    let state = state.ok_or("the first record does not stand: nothing is left to go on from")?;
    Ok(Left { state, is_whole })
}

/// The verifier after the last record of the chunk that stands, and whether all of them do.
async fn verified(verifier: Verifier, chunk: Vec<Stored>) -> Result<(Verifier, bool), String> {
    let work = tokio::task::spawn_blocking(move || {
        let lines: Vec<Line<'_>> = chunk
            .iter()
            .map(|s| Line { seq: s.seq, subject: &s.subject, headers: &s.headers, body: &s.body })
            .collect();
        let mut quick = verifier.clone();
        if quick.push_batch(&lines).is_ok() {
            return (quick, true);
        }
        // One by one: a verifier that found a break may have gone beyond what stands.
        let mut stands = verifier;
        for line in &lines {
            let mut next = stands.clone();
            if next.push(line).is_err() {
                return (stands, false);
            }
            stands = next;
        }
        (stands, true)
    });
    work.await.map_err(text)
}

/// The highest position that a decider's snapshot store on this home has seen.
fn snapshots(keys: &KeyStore, tenant: &TenantId, keeper: &Keeper) -> Result<u64, String> {
    let folder = keys.home().join("deciders");
    let read = |folder: &Path| -> Result<u64, String> {
        let store = Snapshot::new(folder, tenant.clone(), keeper.snapshot_key());
        // One that does not read says nothing; the margin is for what nobody can tell.
        Ok(store.position().ok().flatten().unwrap_or(0))
    };
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(format!("{}: {error}", folder.display())),
    };
    let mut highest = 0;
    for entry in entries {
        let path = entry.map_err(|e| format!("{}: {e}", folder.display()))?.path();
        highest = highest.max(read(&path)?);
    }
    Ok(highest)
}

/// Closes what grows, opens a volume beyond `given`, and writes its first record.
#[expect(clippy::too_many_arguments, reason = "each is a part of the one act, used once")]
async fn open_beyond(
    log: &Log,
    streams: &OverNats,
    keeper: &Keeper,
    wanted: &Wanted,
    state: &State,
    given: u64,
    root: &Signer,
    record: &Signer,
) -> Result<Done, String> {
    let tenant = &wanted.tenant;
    let after = state.position;
    let standing = volumes::standing(streams, tenant).await.map_err(text)?;
    let last = standing.last().ok_or("there is no volume")?;
    let made = !last.closed && last.is_empty() && last.after == after && last.first > given;
    let first = if made {
        last.first
    } else {
        volumes::close(streams, tenant, last).await.map_err(text)?;
        let first = given.max(last.first) + REPAIR_MARGIN + 1;
        let number = last.number + 1;
        let opened = volumes::open(streams, tenant, number, first, Some(after), wanted.replicas);
        opened.await.map_err(text)?;
        first
    };
    let group = keeper.last_group().await.map_err(|e| format!("{e:?}"))?;
    let content_key = (group > 0).then(|| format!("{group}-{}", CONTENT_KEY_GROUP - 1));
    let data = repaired(tenant, (after, state.hash), first, given, content_key, root);
    let authority = state.ring.key(&root.id).map(|entry| entry.key.actor.clone());
    let before =
        Head { position: first - 1, hash: state.hash, time: state.time, epoch: state.epoch };
    let authority = authority.ok_or("the root key at hand is not one of this ledger")?;
    let event = Event::Tenant(tenant::Event::Repaired(data));
    let told = (authority, format!("tenant/{tenant}"), event);
    let draft = draft::unasked(tenant, &before, state.epoch, now(), fresh_id("")?, told);
    let draft = draft.ok_or("the record cannot be written")?;
    let head = draft.head;
    let signature = draft::sign(record, &[head.hash])[0];
    let message = draft::outgoing(&draft, record, &signature);
    // What verifiers would refuse must not be stored: nobody could take it back.
    let stored: Vec<(String, String)> =
        message.headers.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let line =
        Line { seq: first, subject: &message.subject, headers: &stored, body: &message.body };
    let mut check = Verifier::resume(State { repairs: Vec::new(), ..state.clone() });
    check.push(&line).map_err(|e| format!("the repair would not stand: {}", e.why))?;
    match log.append(&[message], first - 1, COMMIT_STORE).await {
        Append::Committed { .. } => {}
        other => return Err(format!("the repair was not committed, run it again: {other:?}")),
    }
    let repair = check.state().and_then(|state| state.repairs.last().cloned());
    Ok(Done { repair, head: (first, head.hash) })
}

/// Signs the new head and lifts the flag.
async fn finish(
    log: &Log,
    keeper: &Keeper,
    tenant: &TenantId,
    (position, hash): (u64, Hash),
    checkpoint: &Signer,
) -> Result<(), String> {
    let stored = log.get(position).await.map_err(text)?;
    let stored = stored.ok_or("the repair cannot be read back: run it again")?;
    let read = canonry_record::record::parse(&stored.body).map_err(text)?;
    let head = Head { position, hash, time: read.time, epoch: read.epoch };
    if !keeper.write_head(tenant, &head, checkpoint).await {
        return Err("the head could not be signed: run it again".to_owned());
    }
    keeper.lift().await.map_err(|e| format!("the frozen flag could not be lifted: {e:?}"))
}
