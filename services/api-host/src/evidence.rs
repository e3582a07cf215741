//! Evidence objects: sealed on their way into the tenant's bucket and opened on their way out, a
//! chunk at a time. Each object has a fresh secret, which leaves here once, for the command that
//! attaches it; the decider seals it under the content key of the ticket or run (ADR 12). So this
//! needs no content key to write, and what was shredded cannot be read.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use canonry_api::{Clear, Evidence, EvidenceError, StoredEvidence};
use canonry_keystore::KeyStore;
use canonry_nats::{Chunks, Connection, Error, Log, Note, Objects};
use canonry_projections::{EventFilter, PageRequest};
use canonry_record::content::derive;
use canonry_record::encoding::{base64url, unbase64url, unbase64url_exact};
use canonry_record::evidence::{Opener, Place, Sealed, Sealer, sign_url, url_holds};
use canonry_schemas::evidence::Attach;
use canonry_schemas::ids::{KeyedDigest, ObjectId, TenantId, generated};
use canonry_schemas::limits::{
    EVIDENCE_BYTES, EVIDENCE_ORPHAN_AGE, EVIDENCE_SWEEP_EVERY, PAGE_MAX,
};
use canonry_schemas::subject::{evidence_bucket, ledger_stream};
use futures_util::{StreamExt as _, stream};
use tokio::sync::watch;
use zeroize::Zeroizing;

use crate::projector::Shared;

/// The prefix of its consumers' names.
const READER: &str = "evidence";

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> EvidenceError {
    EvidenceError::Failed(error.into())
}

/// The name that an object is noted under.
fn named(digest: &KeyedDigest, object: &ObjectId) -> String {
    format!("{digest}.{object}")
}

/// The way to the buckets.
pub struct InBucket {
    connection: Connection,
    keys: KeyStore,
}

impl InBucket {
    /// Over a connection of the user `evidence`.
    #[must_use]
    pub const fn new(connection: Connection, keys: KeyStore) -> Self {
        Self { connection, keys }
    }

    fn bucket(&self, tenant: &TenantId) -> Result<Objects, Error> {
        Objects::open(self.connection.clone(), &evidence_bucket(tenant), READER)
    }

    fn key(&self, tenant: &TenantId, label: &str) -> Result<Zeroizing<[u8; 32]>, EvidenceError> {
        let kek = self.keys.kek(tenant).map_err(failed)?;
        Ok(derive(kek.as_bytes(), label))
    }
}

/// Seals what comes and stores it; what it came to, once all of it is stored.
async fn pour(
    bucket: &Objects,
    object: &ObjectId,
    mut sealer: Sealer,
    mut clear: Clear,
) -> Result<Sealed, EvidenceError> {
    while let Some(bytes) = clear.next().await {
        let bytes = bytes?;
        if sealer.size() + bytes.len() as u64 > EVIDENCE_BYTES {
            return Err(EvidenceError::Invalid("the upload has more than 2 GiB"));
        }
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            if let Some(chunk) = sealer.push(&mut rest) {
                bucket.append(object.as_str(), chunk).await.map_err(failed)?;
            }
        }
    }
    if sealer.size() == 0 {
        return Err(EvidenceError::Invalid("the upload has no bytes"));
    }
    let (last, sealed) = sealer.finish();
    bucket.append(object.as_str(), last).await.map_err(failed)?;
    Ok(sealed)
}

#[async_trait]
impl Evidence for InBucket {
    async fn store(
        &self,
        tenant: &TenantId,
        entity: &str,
        clear: Clear,
    ) -> Result<StoredEvidence, EvidenceError> {
        let bucket = self.bucket(tenant).map_err(failed)?;
        let (mut secret, mut random) = (Zeroizing::new([0; 32]), [0; 16]);
        getrandom::fill(&mut *secret).map_err(failed)?;
        getrandom::fill(&mut random).map_err(failed)?;
        let now = canonry_decider::holder::now();
        let object = generated("evd_", now.millis(), u128::from_le_bytes(random));
        let object: ObjectId = object.parse().map_err(failed)?;
        let place = Place { tenant: tenant.as_str(), entity, object: object.as_str() };
        let sealer = Sealer::new(&secret, &*self.key(tenant, "evidence-digest")?, place);
        let stored = async {
            let sealed = pour(&bucket, &object, sealer, clear).await?;
            let digest: KeyedDigest = sealed.digest.to_string().parse().map_err(failed)?;
            let note = Note {
                object: object.to_string(),
                name: named(&digest, &object),
                size: sealed.sealed_size,
                chunks: sealed.chunks,
                sha256: sealed.sha256.0,
                time: now.to_string(),
            };
            bucket.note(&note).await.map_err(failed)?;
            Ok((digest, sealed.size))
        };
        match stored.await {
            Ok((digest, size)) => {
                Ok(StoredEvidence { object, digest, size, secret: base64url(&*secret) })
            }
            Err(error) => {
                if let Err(error) = bucket.remove(object.as_str(), None).await {
                    tracing::warn!(%tenant, %object, %error, "left for the sweep");
                }
                Err(error)
            }
        }
    }

    async fn discard(&self, tenant: &TenantId, object: &ObjectId, digest: &KeyedDigest) {
        let removed = match self.bucket(tenant) {
            Ok(bucket) => bucket.remove(object.as_str(), Some(&named(digest, object))).await,
            Err(error) => Err(error),
        };
        if let Err(error) = removed {
            tracing::warn!(%tenant, %object, %error, "left for the sweep");
        }
    }

    async fn open(
        &self,
        tenant: &TenantId,
        entity: &str,
        attached: &Attach,
    ) -> Result<Clear, EvidenceError> {
        let secret = unbase64url_exact::<32>(&attached.secret.0).map(Zeroizing::new);
        let secret = secret.ok_or(EvidenceError::Missing)?;
        let object = attached.object.as_str();
        let place = Place { tenant: tenant.as_str(), entity, object };
        let opener = Opener::new(&secret, attached.size, place);
        let bucket = self.bucket(tenant).map_err(failed)?;
        let chunks = bucket.read(object).await.map_err(failed)?;
        let mut clear = unseal(chunks, opener);
        // Whether it is there at all shows before anything is answered.
        let first = clear.next().await.ok_or(EvidenceError::Missing)??;
        Ok(Box::pin(stream::iter([Ok(first)]).chain(clear)))
    }

    fn sign(
        &self,
        tenant: &TenantId,
        position: u64,
        object: &ObjectId,
        expires: u64,
    ) -> Result<String, EvidenceError> {
        let key = self.key(tenant, "evidence-url")?;
        let signed = sign_url(&key, tenant.as_str(), position, object.as_str(), expires);
        Ok(base64url(&signed))
    }

    fn holds(
        &self,
        tenant: &TenantId,
        position: u64,
        object: &ObjectId,
        expires: u64,
        signature: &str,
    ) -> bool {
        let Ok(key) = self.key(tenant, "evidence-url") else { return false };
        let Some(signature) = unbase64url(signature) else { return false };
        url_holds(&key, tenant.as_str(), position, object.as_str(), expires, &signature)
    }
}

/// Opens chunks as they come; ends with an error where one does not open or is not there.
fn unseal(chunks: Chunks, opener: Opener) -> Clear {
    Box::pin(stream::unfold(Some((chunks, opener)), |state| async move {
        let (mut chunks, mut opener) = state?;
        if opener.left() == 0 {
            return None;
        }
        let sealed = match chunks.next().await {
            Some(Ok(sealed)) => sealed,
            Some(Err(error)) => return Some((Err(failed(error)), None)),
            None => return Some((Err(EvidenceError::Missing), None)),
        };
        match opener.open(&sealed) {
            Ok(clear) => Some((Ok(Bytes::from(clear)), Some((chunks, opener)))),
            Err(_) => Some((Err(EvidenceError::Missing), None)),
        }
    }))
}

/// Looks for objects that no record names, for ever.
pub async fn sweep_always(
    shared: Arc<Shared>,
    bucket: InBucket,
    store: KeyStore,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVIDENCE_SWEEP_EVERY) => {}
            _ = stop.changed() => return,
        }
        for tenant in store.tenants().unwrap_or_default() {
            match sweep(&shared, &bucket, &tenant, EVIDENCE_ORPHAN_AGE).await {
                Ok(0) => {}
                Ok(count) => {
                    tracing::info!(%tenant, count, "removed evidence that no record names")
                }
                Err(why) => tracing::warn!(%tenant, %why, "evidence was not swept"),
            }
        }
    }
}

/// Removes the objects of a tenant whose last chunk is older than `age` and that no record names,
/// and says how many. Where the read models do not know the whole ledger, nothing is removed.
///
/// # Errors
/// The bucket, the ledger or the read models do not answer.
pub async fn sweep(
    shared: &Shared,
    bucket: &InBucket,
    tenant: &TenantId,
    age: Duration,
) -> Result<usize, String> {
    let objects = bucket.bucket(tenant).map_err(|e| e.to_string())?;
    let limit = i128::from(canonry_decider::holder::now().0) * 1_000
        - i128::try_from(age.as_nanos()).unwrap_or(i128::MAX);
    let held = objects.held().await.map_err(|e| e.to_string())?;
    let old = held.into_iter().filter(|held| held.time < limit);
    let mut orphans: BTreeMap<String, Option<String>> =
        old.map(|held| (held.object, None)).collect();
    if orphans.is_empty() || !knows_all(shared, tenant).await? {
        return Ok(0);
    }
    spare_named(shared, tenant, &mut orphans).await?;
    for (name, object) in objects.noted().await.map_err(|e| e.to_string())? {
        if let Some(noted) = orphans.get_mut(&object) {
            *noted = Some(name);
        }
    }
    for (object, name) in &orphans {
        objects.remove(object, name.as_deref()).await.map_err(|e| e.to_string())?;
    }
    Ok(orphans.len())
}

/// Whether the read models hold as, and reach as far as, the ledger does now.
async fn knows_all(shared: &Shared, tenant: &TenantId) -> Result<bool, String> {
    if shared.projections.broken(tenant).map_err(|e| e.to_string())?.is_some() {
        return Ok(false);
    }
    let log = Log::open(shared.connection.clone(), &ledger_stream(tenant)).await;
    let last = log.map_err(|e| e.to_string())?.info().await.map_err(|e| e.to_string())?.last_seq;
    let head = shared.projections.read(tenant, |_| Ok(())).await.map_err(|e| e.to_string())?.0;
    Ok(head.position >= last)
}

async fn spare_named(
    shared: &Shared,
    tenant: &TenantId,
    orphans: &mut BTreeMap<String, Option<String>>,
) -> Result<(), String> {
    let mut cursor = None;
    loop {
        let filter = EventFilter {
            kind: Some("canonry.evidence.attached.v1".to_owned()),
            ..EventFilter::default()
        };
        let page = PageRequest { limit: Some(PAGE_MAX), cursor };
        let read = shared.projections.read(tenant, move |s| s.events(&filter, &page)).await;
        let (_, page) = read.map_err(|e| e.to_string())?;
        for event in &page.items {
            if let Some(object) = event.data["object"].as_str() {
                orphans.remove(object);
            }
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use canonry_api::Projections;
    use canonry_decider::found::found;
    use canonry_decider::serve::connect_cell;
    use canonry_provision::CellUser;
    use canonry_provision::testing::TestCell;
    use canonry_schemas::member::Part;
    use canonry_telemetry::Metrics;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::content::Keys;
    use crate::lag::Lag;
    use crate::projector::catch_up;

    struct World {
        test: TestCell,
        tenant: TenantId,
        shared: Shared,
        bucket: InBucket,
    }

    async fn world() -> World {
        let test = TestCell::start().await.unwrap();
        let tenant: TenantId = "acme".parse().unwrap();
        let people = [("founder".parse().unwrap(), vec![Part::Founder])];
        found(&test.cell, &test.url(), &tenant, &people, 1).await.unwrap();
        let keys = test.cell.key_store().clone();
        let reader = connect_cell(&test.url(), &keys, &CellUser::Reader).await.unwrap();
        let objects = connect_cell(&test.url(), &keys, &CellUser::Evidence).await.unwrap();
        let files = test.dir().join("projections");
        std::fs::create_dir(&files).unwrap();
        let shared = Shared {
            connection: reader.clone(),
            projections: Arc::new(Projections::new(&files)),
            keys: Arc::new(Keys::new(reader, keys.clone())),
            reading: Semaphore::new(1),
            lag: Lag::new(Metrics::new()),
        };
        World { bucket: InBucket::new(objects, keys), test, tenant, shared }
    }

    fn clear(parts: Vec<Result<Bytes, EvidenceError>>) -> Clear {
        stream::iter(parts).boxed()
    }

    #[tokio::test]
    async fn orphans_are_removed_when_they_are_old_and_the_ledger_is_known() {
        let w = world().await;
        let held = async || w.bucket.bucket(&w.tenant).unwrap().held().await.unwrap().len();
        let whole = clear(vec![Ok(Bytes::from_static(b"whole"))]);
        assert!(w.bucket.store(&w.tenant, "ticket/t", whole).await.is_ok());
        // An upload whose process died: chunks, and no note.
        let bucket = w.bucket.bucket(&w.tenant).unwrap();
        bucket.append("evd_half", vec![1; 9]).await.unwrap();
        assert_eq!(held().await, 2);
        let now = Duration::ZERO;
        let swept = |age| sweep(&w.shared, &w.bucket, &w.tenant, age);
        // The read models have read nothing: a record may name any of them.
        w.shared.projections.open(&w.tenant).await.unwrap();
        assert_eq!((swept(now).await, held().await), (Ok(0), 2));
        assert!(catch_up(&w.shared, &w.tenant).await.is_ok());
        assert_eq!((swept(EVIDENCE_ORPHAN_AGE).await, held().await), (Ok(0), 2), "too young");
        assert_eq!((swept(now).await, held().await), (Ok(2), 0));
        assert_eq!(bucket.noted().await.unwrap(), []);
        drop(w.test);
    }

    #[tokio::test]
    async fn an_upload_that_breaks_off_leaves_nothing() {
        let w = world().await;
        let piece = || Ok(Bytes::from(vec![7; 700_000]));
        let broken = clear(vec![piece(), piece(), Err(EvidenceError::Invalid("broke off"))]);
        let stored = w.bucket.store(&w.tenant, "ticket/t", broken).await;
        assert!(matches!(stored, Err(EvidenceError::Invalid("broke off"))));
        let bucket = w.bucket.bucket(&w.tenant).unwrap();
        assert_eq!(bucket.held().await.unwrap(), []);
        let empty = w.bucket.store(&w.tenant, "ticket/t", clear(Vec::new())).await;
        assert!(matches!(empty, Err(EvidenceError::Invalid(_))));
        assert_eq!(bucket.held().await.unwrap(), []);
    }
}
