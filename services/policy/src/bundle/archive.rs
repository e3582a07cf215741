//! The outside of a bundle: gzip and tar, within bounds whatever the bytes claim. Plain files only,
//! each name once, none that leads out of the bundle.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::malformed;
use crate::code::{Code, Refused};
use crate::limits;

/// The files of a bundle by their names, without the leading slash that `opa build` writes.
pub(super) fn read(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, Refused> {
    let too_large = |what: &str| Refused::new(Code::BundleTooLarge, what);
    if bytes.len() > limits::BUNDLE_BYTES {
        return Err(too_large("packed"));
    }
    let bound = limits::UNPACKED_BYTES as u64;
    let mut unpacked = Vec::new();
    let read = GzDecoder::new(bytes).take(bound + 1).read_to_end(&mut unpacked);
    // What was unpacked counts first: a bomb is a bomb even where its end is missing.
    if unpacked.len() as u64 > bound {
        return Err(too_large("unpacked"));
    }
    read.map_err(|_| malformed("not gzip, or cut"))?;
    let mut archive = tar::Archive::new(&unpacked[..]);
    let mut files = BTreeMap::new();
    for entry in archive.entries().map_err(|_| malformed("not a tar file"))? {
        let mut entry = entry.map_err(|_| malformed("not a tar file, or cut"))?;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            continue;
        }
        if !kind.is_file() {
            return Err(malformed("something that is not a plain file"));
        }
        let name = name(&entry.path_bytes())?;
        let mut content = Vec::new();
        entry.read_to_end(&mut content).map_err(|_| malformed("not a tar file, or cut"))?;
        if files.insert(name, content).is_some() {
            return Err(malformed("a file stands twice"));
        }
        if files.len() > limits::BUNDLE_FILES {
            return Err(too_large("files"));
        }
    }
    Ok(files)
}

/// A name that stays inside.
fn name(bytes: &[u8]) -> Result<String, Refused> {
    let odd = || malformed("a file whose name is odd or leads out of the bundle");
    let text = std::str::from_utf8(bytes).map_err(|_| odd())?;
    let text = text.strip_prefix("./").or_else(|| text.strip_prefix('/')).unwrap_or(text);
    let plain = |part: &str| {
        !part.is_empty()
            && part != "."
            && part != ".."
            && part.chars().all(|c| !c.is_control() && c != '\\' && c != ':')
    };
    if text.len() <= limits::NAME_BYTES && text.split('/').all(plain) {
        Ok(text.to_owned())
    } else {
        Err(odd())
    }
}

/// Packs files. The same files make the same bytes: no time, no owner.
pub(super) fn write(files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, Refused> {
    let failed = |e: std::io::Error| malformed(format!("cannot be packed: {e}"));
    let mut archive = tar::Builder::new(Vec::new());
    for (name, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        archive.append_data(&mut header, name, &content[..]).map_err(failed)?;
    }
    let tar = archive.into_inner().map_err(failed)?;
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed.write_all(&tar).map_err(failed)?;
    let packed = packed.finish().map_err(failed)?;
    // Whoever builds a bundle learns at once that nobody would read it.
    read(&packed)?;
    Ok(packed)
}
