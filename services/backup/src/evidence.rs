//! Evidence objects in a copy: their chunks as they lie in the bucket, sealed, cut into parts that
//! never change, and a description, written last, that names the parts by digest. Which objects
//! there are the ledger says. What an erasure took the key of is not copied any more.
//!
//! The sealed bytes are compared by SHA-256 wherever they are read. Whether they open, and to what
//! the ledger's record says, only somebody with the content keys can tell: [`Contents`].

use std::collections::{BTreeMap, BTreeSet};

use bytes::{Bytes, BytesMut};
use canonry_nats::{Connection, Note, Objects};
use canonry_record::Hash;
use canonry_record::evidence::TAG;
use canonry_record::export::OwnedLine;
use canonry_record::hash::sha256;
use canonry_record::record;
use canonry_schemas::event::Event;
use canonry_schemas::evidence::{self, Attach};
use canonry_schemas::ids::{ObjectId, TenantId};
use canonry_schemas::limits::EVIDENCE_CHUNK;
use canonry_schemas::subject::evidence_bucket;
use canonry_schemas::{content, time::Time};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::layout::{EVIDENCE, description_file, description_of, part_file};
use crate::limits::{DESCRIPTION_BYTES, OBJECT_BYTES, PART_CHUNKS};
use crate::manifest::FORM;
use crate::place::Place;

/// Bytes of a sealed chunk that is not the last.
const SEALED_CHUNK: usize = EVIDENCE_CHUNK + TAG;
/// Bytes of a part that is not the last.
const PART_BYTES: usize = SEALED_CHUNK * PART_CHUNKS;

/// A record that attached an object.
#[derive(Debug, Clone)]
pub struct Attachment {
    /// Where it stands.
    pub position: u64,
    /// The ticket or run.
    pub entity: String,
    /// What it says; the secret is sealed content.
    pub attach: Attach,
}

impl Attachment {
    /// Bytes of the object, sealed.
    #[must_use]
    pub const fn sealed_bytes(&self) -> u64 {
        self.attach.size + self.chunks() * TAG as u64
    }

    const fn chunks(&self) -> u64 {
        self.attach.size.div_ceil(EVIDENCE_CHUNK as u64)
    }
}

/// What a ledger says of evidence, up to where it was read.
#[derive(Debug, Clone, Default)]
pub struct Attached {
    objects: BTreeMap<ObjectId, Attachment>,
    erased: BTreeSet<String>,
}

impl Attached {
    /// Sees every record, in order; whether it erased something.
    ///
    /// # Errors
    /// [`Error::Object`] for a record about evidence that this program does not know.
    pub fn see(&mut self, line: &OwnedLine) -> Result<bool, Error> {
        let about = [".evidence.attached", ".content.erased"];
        if !about.iter().any(|end| line.subject.ends_with(end)) {
            return Ok(false);
        }
        let wrong = |why: String| Error::object(format!("record {}", line.seq), why);
        let read = record::parse(&line.body).map_err(|e| wrong(e.to_string()))?;
        let data = serde_json::from_str(read.data).map_err(|e| wrong(e.to_string()))?;
        let event = Event::parse(&read.aggregate, &read.event, read.version, &data);
        let event = event.ok_or_else(|| wrong("of a version not known: upgrade first".into()))?;
        match event.map_err(|e| wrong(e.to_string()))? {
            Event::Evidence(evidence::Event::Attached(attach)) => {
                let (object, entity) = (attach.object.clone(), read.entity.to_string());
                let attachment = Attachment { position: line.seq, entity, attach };
                // The first record that names an object is the one that its bytes belong to.
                self.objects.entry(object).or_insert(attachment);
                Ok(false)
            }
            Event::Content(content::Event::Erased(erased)) => {
                self.erased.insert(erased.entity.to_string());
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// The attachments whose content can be opened by whoever has the keys, in order of their names.
    pub fn kept(&self) -> impl Iterator<Item = (&ObjectId, &Attachment)> {
        self.objects.iter().filter(|(_, one)| !self.erased.contains(&one.entity))
    }

    /// What the ledger says of an object that was not erased.
    #[must_use]
    pub fn get(&self, object: &ObjectId) -> Option<&Attachment> {
        self.objects.get(object).filter(|one| !self.erased.contains(&one.entity))
    }
}

/// One part of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: Hash,
}

/// The description of an object that lies in a place as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// [`FORM`].
    pub form: u32,
    /// Whose.
    pub tenant: TenantId,
    /// Which.
    pub object: ObjectId,
    /// SHA-256 of all sealed bytes.
    pub sha256: Hash,
    /// Its parts, in order.
    pub parts: Vec<Part>,
}

impl Description {
    /// Bytes of all parts.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.bytes).sum()
    }

    fn read(name: &str, bytes: &[u8], tenant: &TenantId) -> Result<Self, Error> {
        let read: Self = serde_json::from_slice(bytes).map_err(|e| Error::object(name, e))?;
        if read.form != FORM || read.tenant != *tenant {
            return Err(Error::object(name, "of another form or tenant"));
        }
        Ok(read)
    }
}

/// An object as a manifest tells it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListedObject {
    /// Which.
    pub object: ObjectId,
    /// Its sealed size.
    pub bytes: u64,
    /// SHA-256 of its description.
    pub sha256: Hash,
}

/// Opens evidence to compare it with what the ledger says: for whoever has the content keys.
pub trait Contents {
    /// Begins with one object; `None` where its key is not here.
    fn begin<'c>(&'c self, object: &ObjectId, of: &'c Attachment) -> Option<Box<dyn Opening + 'c>>;
}

/// One object that is being opened.
pub trait Opening: Send {
    /// The next sealed chunk.
    ///
    /// # Errors
    /// It does not open.
    fn chunk(&mut self, sealed: &[u8]) -> Result<(), Error>;
    /// There is no more.
    ///
    /// # Errors
    /// Something is missing, or the keyed digest is another.
    fn end(self: Box<Self>) -> Result<(), Error>;
}

/// For whoever has no content keys.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sealed;

impl Contents for Sealed {
    fn begin<'c>(&'c self, _: &ObjectId, _: &'c Attachment) -> Option<Box<dyn Opening + 'c>> {
        None
    }
}

/// The objects whose descriptions lie in a place, with what a manifest says of each; `place` is the
/// tenant's.
///
/// # Errors
/// [`Error::Object`] for a name or a description that does not read; [`Error::Place`].
pub async fn described(
    place: &Place,
    tenant: &TenantId,
) -> Result<BTreeMap<ObjectId, (Description, ListedObject)>, Error> {
    let mut all = BTreeMap::new();
    for (file, _) in place.list(EVIDENCE).await? {
        let Some(object) = description_of(&file) else { continue };
        let name = format!("{EVIDENCE}/{file}");
        let bytes = place.get(&name, DESCRIPTION_BYTES).await?;
        let bytes = bytes.ok_or_else(|| Error::object(&name, "listed, but not there"))?;
        let read = Description::read(&name, &bytes, tenant)?;
        if read.object.as_str() != object {
            return Err(Error::object(name, "of another object"));
        }
        let listed = ListedObject {
            object: read.object.clone(),
            bytes: read.bytes(),
            sha256: sha256(&bytes),
        };
        all.insert(read.object.clone(), (read, listed));
    }
    Ok(all)
}

/// An object that is read back part by part, every digest compared.
struct Reading<'r> {
    place: &'r Place,
    described: &'r Description,
    next: usize,
    left: Bytes,
    whole: Sha256,
}

impl<'r> Reading<'r> {
    fn new(place: &'r Place, described: &'r Description) -> Self {
        Self { place, described, next: 0, left: Bytes::new(), whole: Sha256::new() }
    }

    /// The next sealed chunk; `None` when all of the object was read and is what it was.
    ///
    /// # Errors
    /// [`Error::Object`] when a part is missing or changed; [`Error::Place`].
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        while self.left.is_empty() {
            let Some(part) = self.described.parts.get(self.next) else {
                let whole = Hash(self.whole.clone().finalize().into());
                if whole == self.described.sha256 {
                    return Ok(None);
                }
                let object = self.described.object.as_str();
                return Err(Error::object(object, "its parts are not those of the object"));
            };
            self.left = self.part(part).await?;
            self.whole.update(&self.left);
            self.next += 1;
        }
        Ok(Some(self.left.split_to(self.left.len().min(SEALED_CHUNK))))
    }

    async fn part(&self, part: &Part) -> Result<Bytes, Error> {
        let file = part_file(self.described.object.as_str(), self.next, &part.sha256);
        let name = format!("{EVIDENCE}/{file}");
        let bytes = self.place.get(&name, OBJECT_BYTES).await?;
        let bytes = bytes.ok_or_else(|| Error::object(&name, "it is not there"))?;
        if sha256(&bytes) != part.sha256 || bytes.len() as u64 != part.bytes {
            return Err(Error::object(name, "it was changed"));
        }
        Ok(bytes)
    }
}

/// What reading all evidence of a place back came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReadBack {
    /// Objects read.
    pub objects: u64,
    /// Sealed bytes.
    pub bytes: u64,
    /// Objects that were opened and compared with the ledger's keyed digest.
    pub opened: u64,
}

/// Reads every object back that the ledger still names, and opens what can be opened.
///
/// # Errors
/// [`Error::Object`] for a part that is missing or changed, and for what does not open;
/// [`Error::Place`].
pub async fn verify(
    place: &Place,
    attached: &Attached,
    there: &BTreeMap<ObjectId, (Description, ListedObject)>,
    contents: &(dyn Contents + Sync),
) -> Result<ReadBack, Error> {
    let mut done = ReadBack::default();
    for (object, of) in attached.kept() {
        let Some((described, _)) = there.get(object) else { continue };
        let mut opening = contents.begin(object, of);
        let mut reading = Reading::new(place, described);
        while let Some(chunk) = reading.next().await? {
            opening.as_mut().map_or(Ok(()), |opening| opening.chunk(&chunk))?;
        }
        if let Some(opening) = opening {
            opening.end()?;
            done.opened += 1;
        }
        done.objects += 1;
        done.bytes += described.bytes();
    }
    Ok(done)
}

fn bucket(connection: &Connection, tenant: &TenantId, name: &str) -> Result<Objects, Error> {
    let bucket = Objects::open(connection.clone(), &evidence_bucket(tenant), name);
    bucket.map_err(|e| Error::nats("opening the evidence bucket", e))
}

/// What was copied of evidence.
#[derive(Debug, Default)]
pub struct Copied {
    /// Objects that are new in the place.
    pub new: Vec<ListedObject>,
    /// Objects that the ledger names, and that are neither in the bucket as a whole nor in the place.
    pub missing: Vec<ObjectId>,
}

/// Copies the objects that the ledger names and the place does not have.
///
/// # Errors
/// [`Error::Nats`], [`Error::Place`], [`Error::Object`] when a part reads back otherwise.
pub async fn copy(
    connection: &Connection,
    place: &Place,
    tenant: &TenantId,
    attached: &Attached,
    there: &BTreeSet<ObjectId>,
) -> Result<Copied, Error> {
    let mut copied = Copied::default();
    let bucket = bucket(connection, tenant, "reader")?;
    for (object, of) in attached.kept().filter(|(object, _)| !there.contains(*object)) {
        match one(&bucket, place, tenant, object, of).await? {
            Some(listed) => copied.new.push(listed),
            None => copied.missing.push(object.clone()),
        }
    }
    Ok(copied)
}

/// Copies one object; `None` where the bucket does not hold as much of it as the ledger says.
async fn one(
    bucket: &Objects,
    place: &Place,
    tenant: &TenantId,
    object: &ObjectId,
    of: &Attachment,
) -> Result<Option<ListedObject>, Error> {
    let failed = |e: canonry_nats::Error| Error::nats(format!("reading evidence {object}"), e);
    let mut chunks = bucket.read(object.as_str()).await.map_err(failed)?;
    let (mut parts, mut whole, mut bytes) = (Vec::new(), Sha256::new(), 0);
    let mut waiting = BytesMut::new();
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(failed)?;
        bytes += chunk.len() as u64;
        // More than the ledger says, or cut otherwise: not what an upload leaves.
        if chunk.len() != SEALED_CHUNK && bytes != of.sealed_bytes() {
            return Ok(None);
        }
        whole.update(&chunk);
        waiting.extend_from_slice(&chunk);
        if waiting.len() == PART_BYTES {
            parts.push(put(place, object, parts.len(), waiting.split().freeze()).await?);
        }
    }
    if bytes != of.sealed_bytes() {
        return Ok(None);
    }
    if !waiting.is_empty() {
        parts.push(put(place, object, parts.len(), waiting.freeze()).await?);
    }
    let sha256 = Hash(whole.finalize().into());
    let (form, tenant) = (FORM, tenant.clone());
    let described = Description { form, tenant, object: object.clone(), sha256, parts };
    Ok(Some(describe(place, &described).await?))
}

/// Writes a part that reads back as it is.
async fn put(place: &Place, object: &ObjectId, number: usize, bytes: Bytes) -> Result<Part, Error> {
    let part = Part { bytes: bytes.len() as u64, sha256: sha256(&bytes) };
    let name = format!("{EVIDENCE}/{}", part_file(object.as_str(), number, &part.sha256));
    place.put_new(&name, bytes.clone()).await?;
    if place.get(&name, OBJECT_BYTES).await?.as_ref() != Some(&bytes) {
        return Err(Error::object(name, "it reads back otherwise"));
    }
    Ok(part)
}

async fn describe(place: &Place, described: &Description) -> Result<ListedObject, Error> {
    let object = &described.object;
    let name = format!("{EVIDENCE}/{}", description_file(object.as_str()));
    let bytes = serde_json::to_vec(described).map_err(|e| Error::object(&name, e))?;
    let listed =
        ListedObject { object: object.clone(), bytes: described.bytes(), sha256: sha256(&bytes) };
    place.put_new(&name, bytes.into()).await?;
    Ok(listed)
}

/// Stores an object again in the bucket of a restored tenant, compares what is opened on the way
/// with the ledger, and reads it back from the server.
///
/// # Errors
/// The object or the bucket does not stand; [`Error::Nats`], [`Error::Place`].
pub async fn put_back(
    connection: &Connection,
    place: &Place,
    described: &Description,
    of: &Attachment,
    contents: &(dyn Contents + Sync),
    at: Time,
) -> Result<bool, Error> {
    let object = &described.object;
    let failed = |e: canonry_nats::Error| Error::nats(format!("storing evidence {object}"), e);
    let bucket = bucket(connection, &described.tenant, "evidence")?;
    let left = bucket.read(object.as_str()).await.map_err(failed)?.next().await;
    if left.is_some() {
        // By a restore that was cut off.
        bucket.remove(object.as_str(), None).await.map_err(failed)?;
    }
    let (mut opening, mut chunks) = (contents.begin(object, of), 0);
    let mut reading = Reading::new(place, described);
    while let Some(chunk) = reading.next().await? {
        chunks += 1;
        opening.as_mut().map_or(Ok(()), |opening| opening.chunk(&chunk))?;
        bucket.append(object.as_str(), chunk.to_vec()).await.map_err(failed)?;
    }
    let was_opened = opening.is_some();
    opening.map_or(Ok(()), Opening::end)?;
    let (mut back, mut whole) =
        (bucket.read(object.as_str()).await.map_err(failed)?, Sha256::new());
    while let Some(chunk) = back.next().await {
        whole.update(chunk.map_err(failed)?);
    }
    if Hash(whole.finalize().into()) != described.sha256 {
        return Err(Error::object(object.as_str(), "the bucket reads back otherwise"));
    }
    let note = Note {
        object: object.to_string(),
        name: format!("{}.{object}", of.attach.digest),
        size: described.bytes(),
        chunks,
        sha256: described.sha256.0,
        time: at.to_string(),
    };
    bucket.note(&note).await.map_err(failed)?;
    Ok(was_opened)
}
