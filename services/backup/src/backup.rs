//! One backup of one tenant: what was copied before is read back and verified, what is new is
//! copied, the copy of content keys is overwritten, and a manifest says what was found. It reads
//! with the cell's reader alone and writes nothing in NATS.

use canonry_nats::{Connection, Log};
use canonry_provision::streams;
use canonry_record::Verifier;
use canonry_record::verify::Pins;
use canonry_schemas::ids::TenantId;
use canonry_schemas::time::Time;
use serde_json::Value;

use crate::check::{Checked, Progress, check};
use crate::copy::Copier;
use crate::error::Error;
use crate::heads::fresh;
use crate::keys::KeyCopy;
use crate::layout::{BACKUPS, manifest_file};
use crate::manifest::{FORM, MANIFEST_BYTES, Manifest, Named, Verified};
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
    let verifier = before.as_ref().map(|b| b.verifier.clone());
    let verifier = verifier.unwrap_or_else(|| Verifier::new(tenant.clone(), pins));
    let (head, stood) = fresh(log, tenant).await?;
    let mut copier = Copier::new(place.clone(), verifier);
    let written = copier.round(log, &head, progress).await?;
    // After the records: whatever key they use was stored before them.
    let keys = KeyCopy::take(log.connection(), tenant, at).await?;
    keys.write(&place, before.as_ref().and_then(|b| b.content_keys.as_ref())).await?;

    let summary = copier.verifier().finish(Some(&head))?;
    let left_out = stood.saturating_sub(summary.position);
    let (mut segments, mut verified, previous) = parts(before);
    verified.records = summary.records;
    verified.segments += written.len() as u64;
    verified.bytes += written.iter().map(|s| s.bytes).sum::<u64>();
    verified.pinned = summary.pinned;
    segments.extend(written);
    let manifest = Manifest {
        form: FORM,
        tenant: tenant.clone(),
        identity: summary.founder,
        at,
        head,
        previous,
        segments,
        content_keys: keys.entries.len() as u64,
        streams: configurations(log.connection(), tenant).await?,
        evidence: Vec::new(),
        verified,
    };
    let named = write(&place, &manifest).await?;
    Ok(Done { named, manifest, left_out, copier })
}

/// What the manifest takes over from what was there.
fn parts(before: Option<Checked>) -> (Vec<crate::manifest::Listed>, Verified, Option<Named>) {
    match before {
        Some(b) => (b.unlisted, b.verified, b.newest.map(|(named, _)| named)),
        None => {
            let none = Verified { records: 0, segments: 0, bytes: 0, pinned: false };
            (Vec::new(), none, None)
        }
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
