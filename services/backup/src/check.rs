//! Verifying what lies in a place: every hash, link and signature of the ledger, every digest and
//! every head that a manifest names, and the signed head at the end.

use std::collections::BTreeMap;

use canonry_record::export::{HeadLine, OwnedLine, parse_head};
use canonry_record::verify::{Break, Pins, Why};
use canonry_record::{Hash, Verifier, record_hash};
use canonry_schemas::ids::{ObjectId, TenantId};

use crate::error::Error;
use crate::evidence::{self, Attached, Description, ListedObject};
use crate::keys::KeyCopy;
use crate::layout::{BACKUPS, HEAD, Segment};
use crate::manifest::{Listed, MANIFEST_BYTES, Manifest, Named, Verified};
use crate::place::Place;
use crate::walk::{Read, Walk};

/// Told the last verified position, and the last that is there.
pub type Progress<'p> = &'p mut (dyn FnMut(u64, u64) + Send);

/// A place that was verified as a whole.
#[derive(Debug)]
pub struct Checked {
    /// The verifier at the last record.
    pub verifier: Verifier,
    /// The signed head; `None` where the copy was cut off before it wrote one.
    pub head: Option<HeadLine>,
    /// The newest manifest.
    pub newest: Option<(Named, Manifest)>,
    /// Backups there.
    pub backups: u64,
    /// Segments that no manifest names yet.
    pub unlisted: Vec<Listed>,
    /// Stored content keys in the current copy.
    pub content_keys: Option<KeyCopy>,
    /// What the ledger says of evidence.
    pub attached: Attached,
    /// Evidence objects that are described there. Their bytes are read by [`evidence::verify`].
    pub evidence: BTreeMap<ObjectId, (Description, ListedObject)>,
    /// Those that no manifest names yet.
    pub unlisted_evidence: Vec<ListedObject>,
    /// Counts.
    pub verified: Verified,
}

/// Manifests, from the first to the newest.
///
/// # Errors
/// [`Error::Object`] when one is missing or was changed; [`Error::Place`].
pub async fn manifests(place: &Place, tenant: &TenantId) -> Result<Vec<(Named, Manifest)>, Error> {
    let mut all: Vec<(Named, Manifest)> = Vec::new();
    for (file, _) in place.list(BACKUPS).await? {
        let name = format!("{BACKUPS}/{file}");
        let bytes = place.get(&name, MANIFEST_BYTES).await?;
        let bytes = bytes.ok_or_else(|| Error::object(&name, "listed, but not there"))?;
        let manifest = Manifest::parse(&name, &bytes, tenant)?;
        if manifest.previous.as_ref() != all.last().map(|(named, _)| named) {
            return Err(Error::object(name, "the backup before it is missing or was changed"));
        }
        all.push((Manifest::named(&file, &bytes), manifest));
    }
    Ok(all)
}

/// What manifests claim, to be compared with what is read.
struct Claims {
    digests: BTreeMap<Segment, Listed>,
    heads: BTreeMap<u64, Hash>,
    evidence: BTreeMap<ObjectId, ListedObject>,
}

impl Claims {
    fn of(manifests: &[(Named, Manifest)]) -> Result<Self, Error> {
        let (mut digests, mut heads) = (BTreeMap::new(), BTreeMap::new());
        let mut evidence = BTreeMap::new();
        for (named, manifest) in manifests {
            let listed = manifest.segments.iter().map(|s| (s.segment(), s.clone()));
            digests.extend(listed);
            evidence.extend(manifest.evidence.iter().map(|o| (o.object.clone(), o.clone())));
            let head = &manifest.head.head;
            if heads.insert(head.position, head.hash).is_some_and(|other| other != head.hash) {
                return Err(Error::object(&named.name, "two heads at one position"));
            }
        }
        Ok(Self { digests, heads, evidence })
    }

    /// What backups copied of evidence must be there, but for what was erased since; what is there
    /// and was never told is answered.
    fn compare_evidence(
        &self,
        attached: &Attached,
        there: &BTreeMap<ObjectId, (Description, ListedObject)>,
    ) -> Result<Vec<ListedObject>, Error> {
        for (object, told) in &self.evidence {
            let same = there.get(object).is_some_and(|(_, listed)| listed == told);
            if !same && attached.get(object).is_some() {
                return Err(Error::object(object.as_str(), "not what its backup wrote"));
            }
        }
        let new = there.iter().filter(|(object, _)| !self.evidence.contains_key(*object));
        Ok(new.map(|(_, (_, listed))| listed.clone()).collect())
    }

    fn compare(&self, read: &Read) -> Result<(), Error> {
        let listed = self.digests.get(&read.segment);
        if listed.is_some_and(|l| l.sha256 != read.sha256 || l.bytes != read.bytes) {
            return Err(Error::object(read.segment.name(), "not what its backup wrote"));
        }
        let hash = |line: &OwnedLine| record_hash(&line.subject, &line.body);
        for line in &read.lines {
            if self.heads.get(&line.seq).is_some_and(|known| *known != hash(line)) {
                let position = line.seq;
                return Err(Error::Broken(Break { position, why: Why::HeadPin }));
            }
        }
        Ok(())
    }
}

/// Verifies a tenant's part of a place; `place` is the tenant's. `each` sees every record once it
/// stands.
///
/// # Errors
/// [`Error::Nothing`], [`Error::Broken`], [`Error::Object`], [`Error::Place`].
pub async fn check(
    place: &Place,
    tenant: &TenantId,
    pins: Pins,
    progress: Progress<'_>,
    each: &mut (dyn FnMut(&OwnedLine) + Send),
) -> Result<Checked, Error> {
    let manifests = manifests(place, tenant).await?;
    let claims = Claims::of(&manifests)?;
    let mut walk = Walk::begin(place, Verifier::new(tenant.clone(), pins)).await?;
    let (reaches, mut unlisted) = (walk.reaches, Vec::new());
    let mut attached = Attached::default();
    let mut verified = Verified { records: 0, segments: 0, bytes: 0, pinned: false };
    while let Some(read) = walk.next().await? {
        claims.compare(&read)?;
        verified.records += read.lines.len() as u64;
        verified.segments += 1;
        verified.bytes += read.bytes;
        for line in &read.lines {
            attached.see(line)?;
            each(line);
        }
        progress(read.segment.last, reaches);
        if !claims.digests.contains_key(&read.segment) {
            let Segment { first, last } = read.segment;
            unlisted.push(Listed { first, last, bytes: read.bytes, sha256: read.sha256 });
        }
    }
    let verifier = walk.into_verifier();
    if verifier.position() == 0 {
        let (place, tenant) = (place.shown().to_owned(), tenant.to_string());
        return Err(Error::Nothing { place, tenant });
    }
    verified.pinned = verifier.finish_live()?.pinned;
    let position = verifier.position();
    if let Some((&beyond, _)) = claims.heads.range(position + 1..).next() {
        let why = format!("a backup reached {beyond}, the segments end at {position}");
        return Err(Error::object(HEAD, why));
    }
    let backups = manifests.len() as u64;
    let evidence = evidence::described(place, tenant).await?;
    let unlisted_evidence = claims.compare_evidence(&attached, &evidence)?;
    Ok(Checked {
        verifier,
        head: head(place).await?,
        newest: manifests.into_iter().next_back(),
        backups,
        unlisted,
        content_keys: KeyCopy::read(place, tenant).await?,
        attached,
        evidence,
        unlisted_evidence,
        verified,
    })
}

/// The head that lies there.
///
/// # Errors
/// [`Error::Object`] when it does not read; [`Error::Place`].
pub async fn head(place: &Place) -> Result<Option<HeadLine>, Error> {
    let Some(bytes) = place.get(HEAD, MANIFEST_BYTES).await? else { return Ok(None) };
    let text = std::str::from_utf8(&bytes).map_err(|e| Error::object(HEAD, e))?;
    parse_head(text.trim_end()).map(Some).map_err(|e| Error::object(HEAD, e))
}

impl Checked {
    /// The head, which must be that of the last record.
    ///
    /// # Errors
    /// [`Error::Broken`]: it is missing, of another record or not signed as it must be.
    pub fn whole(&self) -> Result<&HeadLine, Error> {
        self.verifier.finish(self.head.as_ref())?;
        let missing = || Break { position: self.verifier.position(), why: Why::HeadMissing };
        self.head.as_ref().ok_or_else(|| Error::Broken(missing()))
    }
}
