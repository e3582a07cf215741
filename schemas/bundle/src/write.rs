//! Writing a bundle. The same ledger, checkpoint and entity give the same bytes.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use canonry_record::Hash;
use canonry_schemas::ids::{TenantId, WorkId};
use canonry_tlog::{Note, Proof};

use crate::archive::Writer;
use crate::manifest::{
    CHECKPOINT, FORM, KEYS, LEDGER, Listed, MANIFEST, Manifest, RECORDS, proof_name,
};
use crate::verify::listed;

/// What goes into a bundle. Lines are those of an export, without line breaks, ascending.
pub struct Contents {
    /// The tenant.
    pub tenant: TenantId,
    /// Hash of record 1.
    pub identity: Hash,
    /// The ticket or run.
    pub about: WorkId,
    /// The checkpoint's size.
    pub size: u64,
    /// The signed checkpoint.
    pub note: Note,
    /// Records of keys, by position.
    pub keys: BTreeMap<u64, String>,
    /// Records about it, by position.
    pub records: BTreeMap<u64, String>,
    /// Leaf and path of each of these records, by position.
    pub proofs: BTreeMap<u64, (u64, Vec<Hash>)>,
}

/// A whole ledger to put in: its size, its SHA-256, and where to read it.
pub struct WholeLedger<R> {
    /// Bytes.
    pub bytes: u64,
    /// SHA-256 of them.
    pub sha256: Hash,
    /// The bytes themselves.
    pub from: R,
}

fn text(lines: &BTreeMap<u64, String>) -> Vec<u8> {
    lines.values().flat_map(|line| [line.as_bytes(), b"\n"]).flatten().copied().collect()
}

/// Writes a bundle, and answers its manifest.
///
/// # Errors
/// The writer or reader fails, or the ledger is not what it is said to be.
pub fn write<W: Write, R: Read>(
    to: W,
    contents: &Contents,
    ledger: Option<WholeLedger<R>>,
) -> io::Result<Manifest> {
    let note = &contents.note;
    let mut small: BTreeMap<String, Vec<u8>> = BTreeMap::from([
        (CHECKPOINT.to_owned(), note.to_string().into_bytes()),
        (KEYS.to_owned(), text(&contents.keys)),
        (RECORDS.to_owned(), text(&contents.records)),
    ]);
    for (position, (index, hashes)) in &contents.proofs {
        let (index, hashes, note) = (*index, hashes.clone(), note.clone());
        let proof = Proof { extra: None, index, hashes, note };
        small.insert(proof_name(*position), proof.to_string().into_bytes());
    }
    let mut files: Vec<Listed> = small.iter().map(|(name, bytes)| listed(name, bytes)).collect();
    if let Some(ledger) = &ledger {
        let (bytes, sha256) = (ledger.bytes, ledger.sha256);
        files.push(Listed { name: LEDGER.to_owned(), bytes, sha256 });
        files.sort_by(|a, b| a.name.cmp(&b.name));
    }
    let manifest = Manifest {
        form: FORM.to_owned(),
        tenant: contents.tenant.clone(),
        identity: contents.identity,
        about: contents.about.clone(),
        size: contents.size,
        positions: contents.records.keys().map(u64::to_string).collect(),
        files,
    };
    let mut archive = Writer::new(to);
    let bytes = manifest.to_bytes();
    archive.add(MANIFEST, bytes.len() as u64, bytes.as_slice())?;
    let mut ledger = ledger.map(|ledger| ledger.from);
    for Listed { name, bytes, .. } in &manifest.files {
        match (small.get(name), &mut ledger) {
            (Some(body), _) => archive.add(name, *bytes, body.as_slice())?,
            (None, Some(from)) => archive.add(name, *bytes, from)?,
            (None, None) => {}
        }
    }
    archive.end()?;
    Ok(manifest)
}
