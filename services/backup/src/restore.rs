//! Restoring a tenant from a place into servers that hold nothing of it: the same records at the
//! same positions, byte for byte, verified before they are stored and again as they are read back.
//! Until then the tenant's frozen flag stands, so that no decider opens it; a restore that was cut
//! off goes on where it stood.
//!
//! Nobody else but a decider's committer writes a ledger. This does, with the committer's creds and
//! the same guard, and only into a ledger that holds nothing but the beginning of the same records.

use canonry_nats::log::Outgoing;
use canonry_nats::{Append, Bytes, Cas, Connection, Kv, Log};
use canonry_provision::{Bus, Cell, volumes};
use canonry_record::export::{HeadLine, OwnedLine};
use canonry_record::verify::Pins;
use canonry_record::{Hash, Verifier, record_hash};
use canonry_schemas::header;
use canonry_schemas::ids::{ObjectId, TenantId};
use canonry_schemas::limits::COMMIT_STORE;
use canonry_schemas::subject::{BUCKET_FROZEN, BUCKET_HEADS, content_bucket, ledger_stream};
use serde_json::{Value, json};

use crate::check::{Checked, Progress, check};
use crate::error::Error;
use crate::evidence::{Contents, ReadBack, Sealed, put_back};
use crate::keys::KeyCopy;
use crate::limits::{RESTORE_BATCH, RESTORE_BATCH_BYTES, RESTORE_TRIES};
use crate::place::Place;
use crate::walk::Walk;

/// Why the tenant is frozen meanwhile.
const UNDER_WAY: &str = "a restore is under way";
/// What belongs to a record; whatever else a server added to it does not.
const HEADERS: [&str; 4] =
    [header::RECORD_ID, header::RECORD_HASH, header::RECORD_SIGNATURE, header::TRACEPARENT];

/// Where to.
#[derive(Debug)]
pub struct Target<'t, S, C> {
    /// The cell, whose key store has the tenant's keys.
    pub cell: &'t Cell,
    /// The provisioning user of SYS.
    pub sys: &'t S,
    /// The provisioning user of CANONRY.
    pub streams: &'t C,
    /// The committer.
    pub committer: Connection,
    /// Whoever stores evidence.
    pub evidence: Connection,
    /// Replicas of the streams.
    pub replicas: u8,
}

/// What the ledger says of content keys that were shredded: they must not come back, even where
/// the copy of the keys is older than the record.
pub trait Erasures: Send {
    /// Sees every record, in order, before the first key is stored.
    fn see(&mut self, record: &OwnedLine);
    /// The stored value of `name` without what was shredded; `None` to leave it away.
    ///
    /// # Errors
    /// The value does not open, so that nothing can be taken out of it.
    fn keep(&mut self, name: &str, value: Vec<u8>) -> Result<Option<Vec<u8>>, Error>;
    /// Opens evidence with the copied keys; nothing is opened where there is no key to them.
    fn contents<'k>(&self, _: &'k KeyCopy) -> Box<dyn Contents + Send + Sync + 'k> {
        Box::new(Sealed)
    }
}

/// For ledgers that know no erasure.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoErasures;

impl Erasures for NoErasures {
    fn see(&mut self, _: &OwnedLine) {}

    fn keep(&mut self, _: &str, value: Vec<u8>) -> Result<Option<Vec<u8>>, Error> {
        Ok(Some(value))
    }
}

/// What was restored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// Records.
    pub records: u64,
    /// The head.
    pub head: HeadLine,
    /// The tenant's identity.
    pub identity: Hash,
    /// Stored content keys.
    pub content_keys: u64,
    /// Evidence objects that came back.
    pub evidence: ReadBack,
    /// Evidence objects that did not, or that do not open to what the ledger says, and why.
    pub evidence_wrong: Vec<(ObjectId, String)>,
    /// Whether the founder was compared with an identity known from elsewhere.
    pub pinned: bool,
}

/// Restores a tenant. `known` is a head known from elsewhere.
///
/// # Errors
/// The backup does not stand, the target holds something else or does not answer;
/// [`Error::RecordsLost`] when the backup ends before `known`: everything is restored then, and the
/// tenant stays frozen.
pub async fn restore<S: Bus, C: Bus>(
    target: &Target<'_, S, C>,
    place: &Place,
    tenant: &TenantId,
    identity: Option<Hash>,
    known: Option<(u64, Hash)>,
    erasures: &mut dyn Erasures,
    progress: Progress<'_>,
) -> Result<Restored, Error> {
    let place = place.below(tenant.as_str());
    let reaches =
        Walk::begin(&place, Verifier::new(tenant.clone(), Pins::default())).await?.reaches;
    let lost = known.filter(|(position, _)| *position > reaches);
    let pins = Pins { tenant_hash: identity, head: known.filter(|_| lost.is_none()) };
    let mut see = |record: &OwnedLine| erasures.see(record);
    let checked = check(&place, tenant, pins.clone(), &mut *progress, &mut see).await?;
    let head = checked.whole()?.clone();

    let frozen = claim(target, tenant).await?;
    let provisioned =
        target.cell.found_accounts(target.sys, target.streams, tenant, target.replicas).await;
    provisioned?;
    let content_keys = keys(target, tenant, &checked, erasures).await?;
    let log = Log::open(target.committer.clone(), &ledger_stream(tenant)).await;
    let log = log.map_err(|e| Error::nats("opening the ledger", e))?;
    let log = log.with_reader_name("committer");
    let verifier = Verifier::new(tenant.clone(), pins.clone());
    let filling = Filling { log: &log, head: &head, tenant, target };
    filling.fill(&place, verifier, progress).await?;
    let summary = read_back(&log, tenant, pins, &head).await?;
    let (evidence, evidence_wrong) = bring_evidence(target, &place, &checked, erasures).await?;
    store_head(target, tenant, &head).await?;
    if let Some((known, _)) = lost {
        let why = format!("records up to {known} were given out and are lost");
        let flag = json!({"position": head.head.position + 1, "why": why}).to_string();
        frozen.put(tenant.as_str(), flag).await.map_err(|e| Error::nats("freezing", e))?;
        return Err(Error::RecordsLost { position: head.head.position, known });
    }
    frozen.delete(tenant.as_str()).await.map_err(|e| Error::nats("lifting the flag", e))?;
    Ok(Restored {
        records: summary.records,
        head,
        identity: summary.founder,
        content_keys,
        evidence,
        evidence_wrong,
        pinned: summary.pinned,
    })
}

/// Stores every object again that the ledger names and that was not erased. One that does not come
/// back keeps nobody from the ledger: it is told by name.
async fn bring_evidence<S, C>(
    target: &Target<'_, S, C>,
    place: &Place,
    checked: &Checked,
    erasures: &dyn Erasures,
) -> Result<(ReadBack, Vec<(ObjectId, String)>), Error> {
    let (mut done, mut wrong) = (ReadBack::default(), Vec::new());
    let Some(keys) = &checked.content_keys else { return Ok((done, wrong)) };
    let contents = erasures.contents(keys);
    for (object, of) in checked.attached.kept() {
        let Some((described, _)) = checked.evidence.get(object) else {
            wrong.push((object.clone(), "it was never copied".to_owned()));
            continue;
        };
        let at = checked.head.as_ref().map_or(keys.at, |head| head.head.time);
        match put_back(&target.evidence, place, described, of, &*contents, at).await {
            Ok(opened) => {
                done.objects += 1;
                done.bytes += described.bytes();
                done.opened += u64::from(opened);
            }
            Err(Error::Object { name, why }) => {
                wrong.push((object.clone(), format!("{name}: {why}")))
            }
            Err(error) => return Err(error),
        }
    }
    Ok((done, wrong))
}

/// Makes sure that nothing of the tenant is there but what this restore began, and that no decider
/// opens it from now on.
async fn claim<S: Bus, C: Bus>(target: &Target<'_, S, C>, tenant: &TenantId) -> Result<Kv, Error> {
    let failed = |e: canonry_nats::Error| Error::nats("looking at the target", e);
    target.cell.create_cell_buckets(target.streams, target.replicas).await?;
    let frozen = Kv::open(target.committer.clone(), BUCKET_FROZEN).map_err(failed)?;
    if let Some(entry) = frozen.get(tenant.as_str()).await.map_err(failed)?.filter(|e| !e.deleted) {
        let flag: Value = serde_json::from_slice(&entry.value).unwrap_or_default();
        if flag["why"] == UNDER_WAY {
            return Ok(frozen);
        }
        return Err(Error::TargetInUse(format!("{tenant} is frozen there: {}", flag["why"])));
    }
    for name in [ledger_stream(tenant), format!("KV_{}", content_bucket(tenant))] {
        let info = target.committer.stream_info(&name).await.map_err(failed)?;
        let last = info.and_then(|i| i["state"]["last_seq"].as_u64()).unwrap_or(0);
        if last > 0 {
            return Err(Error::TargetInUse(format!("{name} holds something")));
        }
    }
    let flag = json!({"position": 0, "why": UNDER_WAY}).to_string();
    match frozen.create(tenant.as_str(), flag).await.map_err(failed)? {
        Cas::Won(_) => Ok(frozen),
        Cas::Lost => Err(Error::TargetInUse(format!("somebody else froze {tenant}"))),
    }
}

/// Stores the content keys as they were, but for what was shredded.
async fn keys<S, C>(
    target: &Target<'_, S, C>,
    tenant: &TenantId,
    checked: &Checked,
    erasures: &mut dyn Erasures,
) -> Result<u64, Error> {
    let failed = |e: canonry_nats::Error| Error::nats("storing content keys", e);
    let copy = checked.content_keys.as_ref();
    let copy = copy.ok_or_else(|| Error::object(crate::layout::KEYS, "it is not there"))?;
    let bucket = Kv::open(target.committer.clone(), &content_bucket(tenant)).map_err(failed)?;
    let mut stored = 0;
    for (name, value) in copy.values() {
        let Some(value) = erasures.keep(name, value)? else { continue };
        let value = Bytes::from(value);
        if bucket.create(name, value.clone()).await.map_err(failed)? == Cas::Lost {
            let there = bucket.get(name).await.map_err(failed)?;
            if there.is_none_or(|there| there.deleted || there.value != value) {
                return Err(Error::TargetInUse(format!("another content key {name} is there")));
            }
        }
        stored += 1;
    }
    Ok(stored)
}

/// Storing the records.
struct Filling<'f, 't, S, C> {
    log: &'f Log,
    head: &'f HeadLine,
    tenant: &'f TenantId,
    target: &'f Target<'t, S, C>,
}

impl<S: Bus, C: Bus> Filling<'_, '_, S, C> {
    /// Verifies each segment again as it is read, and stores what is not there yet.
    async fn fill(
        &self,
        place: &Place,
        verifier: Verifier,
        progress: Progress<'_>,
    ) -> Result<(), Error> {
        let info = self.log.info().await.map_err(|e| Error::nats("reading the target", e))?;
        let there = info.last_seq;
        if there > self.head.head.position {
            let why =
                format!("its ledger is at {there}, the backup at {}", self.head.head.position);
            return Err(Error::TargetInUse(why));
        }
        let mut walk = Walk::begin(place, verifier).await?;
        while let Some(read) = walk.next().await? {
            if let Some(line) = read.lines.iter().find(|l| l.seq == there) {
                self.same(line).await?;
            }
            let new: Vec<OwnedLine> = read.lines.into_iter().filter(|l| l.seq > there).collect();
            for batch in batches(&new) {
                self.store(batch).await?;
                progress(batch.last().map_or(0, |l| l.seq), self.head.head.position);
            }
        }
        Ok(())
    }

    async fn store(&self, batch: &[OwnedLine]) -> Result<(), Error> {
        let (Some(first), Some(last)) = (batch.first(), batch.last()) else { return Ok(()) };
        self.open(first.seq).await?;
        let messages: Vec<Outgoing> = batch.iter().map(outgoing).collect();
        let mut why = String::new();
        for _ in 0..RESTORE_TRIES {
            match self.log.append(&messages, first.seq - 1, COMMIT_STORE).await {
                Append::Committed { last_seq } if last_seq == last.seq => return Ok(()),
                Append::Committed { last_seq } => {
                    let why = format!("position {} was stored at {last_seq}", last.seq);
                    return Err(Error::TargetInUse(why));
                }
                // The same bytes again, until it is known.
                Append::Unknown { why: unknown } => why = unknown,
                Append::Conflict { .. } => return self.same(last).await,
                Append::Refused { code, description } => {
                    let why = format!("{description} ({code})");
                    return Err(Error::nats("storing records", why));
                }
            }
        }
        Err(Error::nats("storing records", why))
    }

    /// Makes sure that the next record stored gets this position. Only a repair leaves positions
    /// out: as then, the volume before is closed, and the next begins at the repair.
    async fn open(&self, first: u64) -> Result<(), Error> {
        let failed = |e: canonry_nats::Error| Error::nats("reading the target", e);
        if self.log.info().await.map_err(failed)?.last_seq + 1 >= first {
            return Ok(());
        }
        let (tenant, bus) = (self.tenant, self.target.streams);
        let standing = volumes::standing(bus, tenant).await?;
        let last = standing.last().ok_or_else(|| Error::TargetInUse("no volume".to_owned()))?;
        let closed = volumes::close(bus, tenant, last).await?;
        let (number, after) = (last.number + 1, Some(closed.last));
        volumes::open(bus, tenant, number, first, after, self.target.replicas).await?;
        self.log.info().await.map(drop).map_err(failed)
    }

    /// Whether the target has this very record, and by its chain all before it.
    async fn same(&self, line: &OwnedLine) -> Result<(), Error> {
        let stored = self.log.get(line.seq).await;
        let stored = stored.map_err(|e| Error::nats("reading the target", e))?;
        let hash = stored.map(|s| record_hash(&s.subject, &s.body));
        if hash == Some(record_hash(&line.subject, &line.body)) {
            return Ok(());
        }
        Err(Error::TargetInUse(format!("its ledger holds another record at {}", line.seq)))
    }
}

/// Parts of a segment that one commit takes.
fn batches(lines: &[OwnedLine]) -> Vec<&[OwnedLine]> {
    let (mut parts, mut from, mut bytes) = (Vec::new(), 0, 0);
    for (at, line) in lines.iter().enumerate() {
        let full = at - from >= RESTORE_BATCH || bytes + line.body.len() > RESTORE_BATCH_BYTES;
        if at > from && (full || line.seq != lines[at - 1].seq + 1) {
            parts.push(&lines[from..at]);
            (from, bytes) = (at, 0);
        }
        bytes += line.body.len();
    }
    parts.push(&lines[from..]);
    parts
}

fn outgoing(line: &OwnedLine) -> Outgoing {
    let value = |name: &'static str| {
        let found = line.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| (name, value.clone()))
    };
    Outgoing {
        subject: line.subject.clone(),
        headers: HEADERS.into_iter().filter_map(value).collect(),
        body: Bytes::from(line.body.clone()),
    }
}

/// Reads the whole ledger from the server and verifies it against the signed head.
async fn read_back(
    log: &Log,
    tenant: &TenantId,
    pins: Pins,
    head: &HeadLine,
) -> Result<canonry_record::verify::Summary, Error> {
    let mut reader = crate::live::Live::new(log, Verifier::new(tenant.clone(), pins));
    reader.upto(head.head.position).await?;
    Ok(reader.verifier().finish(Some(head))?)
}

async fn store_head<S, C>(
    target: &Target<'_, S, C>,
    tenant: &TenantId,
    head: &HeadLine,
) -> Result<(), Error> {
    let failed = |e: canonry_nats::Error| Error::nats("storing the signed head", e);
    let heads = Kv::open(target.committer.clone(), BUCKET_HEADS).map_err(failed)?;
    let text = head.to_text();
    if heads.create(tenant.as_str(), text.clone()).await.map_err(failed)? == Cas::Lost {
        let there = heads.get(tenant.as_str()).await.map_err(failed)?;
        if there.is_none_or(|there| there.value != text.as_bytes()) {
            return Err(Error::TargetInUse("another signed head is there".to_owned()));
        }
    }
    Ok(())
}
