//! One backup of one tenant: what was copied before is read back and verified, what is new is
//! copied, the copy of content keys is overwritten, and a manifest says what was found. It reads
//! with the cell's reader alone and writes nothing in NATS.

use canonry_nats::{Connection, Log};
use canonry_provision::streams;
use canonry_record::Verifier;
use canonry_record::verify::Pins;
use canonry_schemas::ids::{ObjectId, TenantId};
use canonry_schemas::time::Time;
use serde_json::Value;

use crate::check::{Checked, Progress, check};
use crate::copy::Copier;
use crate::error::Error;
use crate::evidence::{self, ListedObject};
use crate::heads::fresh;
use crate::keys::KeyCopy;
use crate::layout::{BACKUPS, manifest_file};
use crate::manifest::{FORM, Listed, MANIFEST_BYTES, Manifest, Named, Verified};
use crate::place::Place;

/// A backup that was made.
#[derive(Debug)]
pub struct Done {
    /// Its manifest's name and digest.
    pub named: Named,
    /// The manifest.
    pub manifest: Manifest,
    /// Records that stood in the ledger when it began and that no signed head covered.
    pub left_out: u64,
    /// Records that it copied.
    pub new_records: u64,
    /// Evidence objects that records name, and that neither the bucket nor the place has.
    pub missing: Vec<ObjectId>,
    /// Goes on from here.
    pub copier: Copier,
}

/// Makes a backup into a place. `log` is the tenant's ledger as the reader has it, `at` the time.
///
/// # Errors
/// What is there or in the ledger does not stand, the ledger is not the one that was copied
/// before, keys were lost, or something does not answer.
pub async fn backup(
    log: &Log,
    place: &Place,
    tenant: &TenantId,
    pins: Pins,
    at: Time,
    progress: Progress<'_>,
) -> Result<Done, Error> {
    let place = place.below(tenant.as_str());
    let before = match check(&place, tenant, pins.clone(), &mut *progress, &mut |_| ()).await {
        Ok(checked) => Some(checked),
        Err(Error::Nothing { .. }) => None,
        Err(error) => return Err(error),
    };
    let mut copier = match &before {
        Some(before) => {
            evidence::verify(&place, &before.attached, &before.evidence, &evidence::Sealed).await?;
            Copier::behind(place.clone(), before)
        }
        None => Copier::new(place.clone(), Verifier::new(tenant.clone(), pins)),
    };
    let (head, stood) = fresh(log, tenant).await?;
    let written = copier.round(log, &head, at, progress).await?;
    // After the records: whatever key they use was stored before them.
    let keys = KeyCopy::take(log.connection(), tenant, at).await?;
    keys.write(&place, before.as_ref().and_then(|b| b.content_keys.as_ref())).await?;

    let summary = copier.verifier().finish(Some(&head))?;
    let left_out = stood.saturating_sub(summary.position);
    let mut parts = parts(before);
    let verified = &mut parts.verified;
    verified.records = summary.records;
    verified.segments += written.segments.len() as u64;
    verified.bytes += written.segments.iter().map(|s| s.bytes).sum::<u64>();
    verified.pinned = summary.pinned;
    parts.segments.extend(written.segments);
    parts.evidence.extend(written.evidence);
    let manifest = Manifest {
        form: FORM,
        tenant: tenant.clone(),
        identity: summary.founder,
        at,
        head,
        previous: parts.previous,
        segments: parts.segments,
        content_keys: keys.entries.len() as u64,
        streams: configurations(log.connection(), tenant).await?,
        evidence: parts.evidence,
        verified: parts.verified,
    };
    let named = write(&place, &manifest).await?;
    Ok(Done {
        named,
        manifest,
        left_out,
        new_records: written.records,
        missing: written.missing,
        copier,
    })
}

/// What the manifest takes over from what was there.
struct Parts {
    segments: Vec<Listed>,
    evidence: Vec<ListedObject>,
    verified: Verified,
    previous: Option<Named>,
}

fn parts(before: Option<Checked>) -> Parts {
    match before {
        Some(b) => Parts {
            segments: b.unlisted,
            evidence: b.unlisted_evidence,
            verified: b.verified,
            previous: b.newest.map(|(named, _)| named),
        },
        None => Parts {
            segments: Vec::new(),
            evidence: Vec::new(),
            verified: Verified { records: 0, segments: 0, bytes: 0, pinned: false },
            previous: None,
        },
    }
}

async fn write(place: &Place, manifest: &Manifest) -> Result<Named, Error> {
    let file = manifest_file(manifest.at, manifest.head.head.position);
    let (name, bytes) = (format!("{BACKUPS}/{file}"), manifest.to_bytes());
    place.put_new(&name, bytes.clone().into()).await?;
    if place.get(&name, MANIFEST_BYTES).await?.as_deref() != Some(&bytes[..]) {
        return Err(Error::object(name, "it reads back otherwise"));
    }
    Ok(Manifest::named(&file, &bytes))
}

/// The live configurations of the tenant's streams and buckets.
async fn configurations(connection: &Connection, tenant: &TenantId) -> Result<Vec<Value>, Error> {
    let mut all = Vec::new();
    for wanted in streams::cell(1).iter().chain(&streams::tenant(tenant, 1)) {
        let name = streams::name(wanted);
        let info = connection.stream_info(name).await;
        let info = info.map_err(|e| Error::nats(format!("reading the state of {name}"), e))?;
        all.extend(info.map(|mut info| info["config"].take()));
    }
    Ok(all)
}
