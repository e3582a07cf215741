//! A bundle from its first byte to its last: the archive, the manifest, every file, every record,
//! the checkpoint and who signed it. Record by record is in [`crate::walk`], the whole ledger in
//! [`crate::whole`].
//!
//! The order of checks is part of the format, so that two readers name the same reason.

use std::collections::BTreeMap;
use std::io::Read;

use canonry_record::Hash;
use canonry_record::hash::sha256;
use canonry_record::repair::Repair;
use canonry_record::verify::{Break, State};
use canonry_schemas::ids::WorkId;
use canonry_schemas::key::Use;
use canonry_schemas::limits::BUNDLE_MANIFEST_BYTES;
use canonry_tlog::note::NoteError;
use canonry_tlog::{Checkpoint, Kind as KeyKind, Note, Proof, VerifierKey, origin};
use sha2::{Digest as _, Sha256};

use crate::archive::{ArchiveError, Entry, Reader};
use crate::manifest::{CHECKPOINT, KEYS, Kind, LEDGER, Listed, MANIFEST, Manifest, RECORDS};
use crate::walk::{Against, Walked, lines, walk};
use crate::whole::Ledger;

/// What the caller knows from elsewhere.
#[derive(Debug, Clone, Default)]
pub struct Pins {
    /// The tenant's identity: the hash of record 1.
    pub tenant: Option<Hash>,
    /// Witnesses that must have cosigned the checkpoint.
    pub witnesses: Vec<VerifierKey>,
}

/// Why a bundle does not stand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct Broken {
    /// The stable code.
    pub code: &'static str,
    /// In words.
    pub message: String,
    /// The file that it is about.
    pub entry: Option<String>,
    /// The position of the record that it is about.
    pub position: Option<u64>,
}

impl Broken {
    pub(crate) fn new(code: &'static str, message: &str) -> Self {
        Self { code, message: message.to_owned(), entry: None, position: None }
    }

    pub(crate) fn of(mut self, entry: &str) -> Self {
        self.entry.get_or_insert_with(|| entry.to_owned());
        self
    }

    pub(crate) fn at(mut self, position: u64) -> Self {
        self.position.get_or_insert(position);
        self
    }
}

impl From<Break> for Broken {
    fn from(broken: Break) -> Self {
        Self::new(broken.why.code(), &broken.why.to_string()).at(broken.position)
    }
}

/// Why there is no answer that all is well.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The bundle does not stand.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The file cannot be read.
    #[error(transparent)]
    Io(std::io::Error),
}

impl From<ArchiveError> for Refused {
    fn from(error: ArchiveError) -> Self {
        let code = match &error {
            ArchiveError::Io(_) => "",
            ArchiveError::Truncated => "archive-truncated",
            ArchiveError::Malformed(_) => "archive-malformed",
        };
        match error {
            ArchiveError::Io(error) => Self::Io(error),
            other => Self::Broken(Broken::new(code, &other.to_string())),
        }
    }
}

/// What a bundle shows.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What it is about.
    pub about: WorkId,
    /// The tenant's identity, the hash of record 1.
    pub identity: Hash,
    /// Whether it was compared with one known from elsewhere.
    pub pinned: bool,
    /// Records about it.
    pub records: u64,
    /// Records of keys.
    pub keys: u64,
    /// Approvals, rejections and step-ups, each by the key of the person who answered.
    pub approvals: u64,
    /// The checkpoint.
    pub at: Checkpoint,
    /// The last position that the checkpoint covers.
    pub upto: u64,
    /// Whether the whole ledger is there, so that nothing was left out.
    pub complete: bool,
    /// The witnesses asked for, and when they cosigned, seconds since 1970.
    pub witnesses: Vec<(String, u64)>,
    /// What was lost up to the checkpoint, and repaired.
    pub repairs: Vec<Repair>,
}

/// The files that are looked at when all of them were read.
#[derive(Default)]
struct Files {
    note: Option<(Note, Checkpoint)>,
    keys: Vec<u8>,
    records: Vec<u8>,
    proofs: BTreeMap<u64, Proof>,
    ledger: Option<Ledger>,
}

/// Checks a bundle; `told` hears how many bytes were read.
///
/// # Errors
/// It does not stand, or cannot be read.
pub fn verify(
    from: impl Read,
    pins: &Pins,
    threads: usize,
    mut told: impl FnMut(u64),
) -> Result<Checked, Refused> {
    let mut archive = Reader::new(from);
    let manifest = first(&mut archive)?;
    let mut files = Files::default();
    for listed in &manifest.files {
        let entry = archive.entry()?;
        expect(&manifest, listed, entry.as_ref())?;
        let name = listed.name.as_str();
        let unknown = || Broken::new("entry-name", "a bundle has no such file").of(name);
        let kind = Kind::of(name).ok_or_else(unknown)?;
        if listed.bytes > kind.most() {
            let why = format!("{} bytes, at most {} are read", listed.bytes, kind.most());
            return Err(Broken::new("entry-too-large", &why).of(name).into());
        }
        files.take(&mut archive, &manifest, kind, listed, threads, &mut told)?;
    }
    if let Some(entry) = archive.entry()? {
        return Err(stranger(&manifest, &entry.name).into());
    }
    Ok(decide(&manifest, files, pins)?)
}

fn first(archive: &mut Reader<impl Read>) -> Result<Manifest, Refused> {
    let missing =
        || Broken::new("entry-missing", "the first file is not the manifest").of(MANIFEST);
    let entry = archive.entry()?.filter(|entry| entry.name == MANIFEST).ok_or_else(missing)?;
    if entry.bytes > BUNDLE_MANIFEST_BYTES {
        let why = format!("{} bytes, at most {BUNDLE_MANIFEST_BYTES} are read", entry.bytes);
        return Err(Broken::new("entry-too-large", &why).of(MANIFEST).into());
    }
    let mut bytes = Vec::new();
    archive.body(|piece| bytes.extend_from_slice(piece))?;
    let why = "it does not read, or is not written in the one way for what it says";
    let malformed = || Broken::new("manifest-malformed", why).of(MANIFEST);
    Ok(Manifest::parse(&bytes).ok_or_else(malformed)?)
}

/// The entry that stands here is the one that is listed.
fn expect(manifest: &Manifest, listed: &Listed, entry: Option<&Entry>) -> Result<(), Broken> {
    let name = listed.name.as_str();
    match entry {
        Some(entry) if entry.name == name && entry.bytes == listed.bytes => Ok(()),
        Some(entry) if entry.name == name => {
            Err(Broken::new("entry-changed", "its size is not the one listed").of(name))
        }
        // One that comes later, or none: this one was left out.
        None => Err(Broken::new("entry-missing", "it is listed, but not there").of(name)),
        Some(entry) if entry.name.as_str() > name && manifest.listed(&entry.name).is_some() => {
            Err(Broken::new("entry-missing", "it is listed, but not there").of(name))
        }
        Some(entry) => Err(stranger(manifest, &entry.name)),
    }
}

/// A file that has no place here.
fn stranger(manifest: &Manifest, name: &str) -> Broken {
    if name == MANIFEST || manifest.listed(name).is_some() {
        Broken::new("entry-twice", "it stands there twice").of(name)
    } else if Kind::of(name).is_none() {
        Broken::new("entry-name", "a bundle has no such file").of(name)
    } else {
        Broken::new("entry-unlisted", "the manifest does not list it").of(name)
    }
}

impl Files {
    fn take(
        &mut self,
        archive: &mut Reader<impl Read>,
        manifest: &Manifest,
        kind: Kind,
        listed: &Listed,
        threads: usize,
        told: &mut impl FnMut(u64),
    ) -> Result<(), Refused> {
        let name = listed.name.as_str();
        if kind == Kind::Ledger {
            // Its name is behind the checkpoint's.
            let at = self.note.as_ref().map(|(_, at)| at.clone());
            self.ledger = at.map(|at| Ledger::new(&manifest.about, at, threads));
        }
        let (mut digest, mut bytes) = (Sha256::new(), Vec::new());
        archive.body(|piece| {
            digest.update(piece);
            told(piece.len() as u64);
            match (&mut self.ledger, kind) {
                (Some(ledger), Kind::Ledger) => ledger.feed(piece),
                _ => bytes.extend_from_slice(piece),
            }
        })?;
        if Hash(digest.finalize().into()) != listed.sha256 {
            return Err(Broken::new("entry-changed", "its bytes are not those listed")
                .of(name)
                .into());
        }
        match kind {
            Kind::Checkpoint => self.note = Some(note(&bytes).map_err(|b| b.of(name))?),
            Kind::Keys => self.keys = bytes,
            Kind::Records => self.records = bytes,
            Kind::Ledger => {}
            Kind::Proof(position) => {
                let proof = self.proof(&bytes).map_err(|b| b.of(name).at(position))?;
                self.proofs.insert(position, proof);
            }
        }
        Ok(())
    }

    fn proof(&self, bytes: &[u8]) -> Result<Proof, Broken> {
        let text = std::str::from_utf8(bytes).ok();
        let proof: Option<Proof> = text.and_then(|text| text.parse().ok());
        let why = "this is no proof of a log";
        let proof = proof.ok_or_else(|| Broken::new("proof-malformed", why))?;
        if self.note.as_ref().map(|(note, _)| note) != Some(&proof.note) {
            let why = "it is a proof against another checkpoint";
            return Err(Broken::new("proof-of-another-checkpoint", why));
        }
        Ok(proof)
    }
}

fn note(bytes: &[u8]) -> Result<(Note, Checkpoint), Broken> {
    let read = || {
        let note: Note = std::str::from_utf8(bytes).ok()?.parse().ok()?;
        let at = Checkpoint::of(&note).ok()?;
        // Lines behind the root would be signed and say something that nobody here knows.
        (at.to_string() == note.text()).then_some((note, at))
    };
    read().ok_or_else(|| Broken::new("note-malformed", "this is no checkpoint"))
}

fn decide(manifest: &Manifest, files: Files, pins: &Pins) -> Result<Checked, Broken> {
    let Files { note, keys, records, proofs, ledger } = files;
    let (note, at) =
        note.ok_or_else(|| Broken::new("entry-missing", "there is none").of(CHECKPOINT))?;
    let (keys, records) = (lines(KEYS, &keys)?, lines(RECORDS, &records)?);
    let against = Against { tenant: &manifest.tenant, about: &manifest.about, proofs };
    let walked = walk(against, &keys, &records)?;
    let state = &walked.state;
    if pins.tenant.is_some_and(|pin| pin != state.founder) {
        let why = "record 1 is not the one that was named";
        return Err(Broken::new("tenant-pin", why).of(KEYS).at(1));
    }
    let witnesses = signed(&note, &at, state, pins).map_err(|b| b.of(CHECKPOINT))?;
    claims(manifest, &walked, &at)?;
    let lost: u64 = state.repairs.iter().map(|repair| repair.to - repair.from + 1).sum();
    let complete = ledger.is_some();
    if let Some(ledger) = ledger {
        whole(ledger, &walked, &at)?;
    }
    Ok(Checked {
        about: manifest.about.clone(),
        identity: state.founder,
        pinned: pins.tenant.is_some(),
        records: walked.concerned.len() as u64,
        keys: walked.keys.len() as u64,
        approvals: walked.approvals,
        upto: at.size + lost,
        at,
        complete,
        witnesses,
        repairs: walked.state.repairs,
    })
}

/// The log's key is current after the bundle's records of keys, and every witness cosigned.
fn signed(
    note: &Note,
    at: &Checkpoint,
    state: &State,
    pins: &Pins,
) -> Result<Vec<(String, u64)>, Broken> {
    let origin = origin(&state.tenant, &state.founder);
    if at.origin != origin {
        let why = format!("it is of the log {}", at.origin);
        return Err(Broken::new("proof-of-another-log", &why));
    }
    let keys = state.ring.with_use(Use::Checkpoint);
    let keys = keys.filter_map(|key| VerifierKey::new(&origin, KeyKind::Log, key.verifying).ok());
    let keys: Vec<VerifierKey> = keys.collect();
    note.verify(&keys).map_err(|e: NoteError| Broken::new(e.code(), &e.to_string()))?;
    let one = |key: &VerifierKey| {
        let signed = note.verify(std::slice::from_ref(key)).ok();
        let time = signed.and_then(|signed| signed.first().and_then(|signed| signed.time));
        let why = format!("{} did not cosign it", key.name());
        let time = time.ok_or_else(|| Broken::new("cosignature-missing", &why))?;
        Ok((key.name().to_owned(), time))
    };
    pins.witnesses.iter().map(one).collect()
}

/// What the manifest says besides is what was found.
fn claims(manifest: &Manifest, walked: &Walked, at: &Checkpoint) -> Result<(), Broken> {
    let positions = walked.concerned.iter().map(|(position, _)| position.to_string());
    let same = manifest.identity == walked.state.founder
        && manifest.size == at.size
        && positions.eq(manifest.positions.iter().cloned());
    if walked.concerned.is_empty() {
        return Err(Broken::new("records-missing", "it holds no record").of(RECORDS));
    }
    if same {
        return Ok(());
    }
    let why = "it says something else than the files";
    Err(Broken::new("manifest-differs", why).of(MANIFEST))
}

fn whole(ledger: Ledger, walked: &Walked, at: &Checkpoint) -> Result<(), Broken> {
    let seen = ledger.finish().map_err(|broken| Broken::from(broken).of(LEDGER))?;
    if seen.summary.founder != walked.state.founder || seen.root != Some(at.root) {
        let why = "it is not the ledger that the checkpoint was signed for";
        return Err(Broken::new("ledger-differs", why).of(LEDGER));
    }
    for (code, name, all, held) in [
        ("records-missing", RECORDS, &seen.concerned, &walked.concerned),
        ("keys-missing", KEYS, &seen.keys, &walked.keys),
    ] {
        if all != held {
            let left_out = all.iter().find(|name| !held.contains(name));
            let position = left_out.map_or(0, |(position, _)| *position);
            let why = format!("the ledger has a record at {position} that belongs here");
            return Err(Broken::new(code, &why).of(name).at(position));
        }
    }
    Ok(())
}

/// SHA-256 and size of a file, as the manifest lists it.
#[must_use]
pub fn listed(name: &str, bytes: &[u8]) -> Listed {
    Listed { name: name.to_owned(), bytes: bytes.len() as u64, sha256: sha256(bytes) }
}
