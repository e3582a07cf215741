//! Bundles in OPA's format: a `tar.gz` of Rego files, documents, a `.manifest` and a
//! `.signatures.json`. What `opa build` and `opa sign` make is read; [`build`] makes the same.
//!
//! [`open`] is the only way in, and nothing can be switched off: a bundle is signed by a key that the
//! caller knows, whole, not expired and not older than the newest that was ever taken.

mod archive;
pub mod build;
mod signature;

use std::collections::BTreeMap;

use canonry_schemas::time::Time;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::code::{Code, Refused};
use crate::policy::{Source, digest};

pub use signature::Signed;

/// The file of the signature.
pub const SIGNATURES: &str = ".signatures.json";
/// The file that says what the bundle is.
pub const MANIFEST: &str = ".manifest";
/// The scope that signatures of bundles have: a token for something else signs no policy.
pub const SCOPE: &str = "canonry/policy";

/// What a bundle is judged by.
pub struct Trust<'a> {
    /// Whether a signature is right, and by a key that may sign policies now.
    pub key: &'a dyn Fn(&Signed<'_>) -> bool,
    /// The time.
    pub now: Time,
    /// The newest bundle that was ever taken.
    pub newest: Option<Newest>,
}

/// The newest bundle that was ever taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Newest {
    /// Its revision.
    pub revision: u64,
    /// Its digest.
    pub digest: String,
}

/// A bundle that was verified.
#[derive(Debug, Clone)]
pub struct Bundle {
    /// Its revision; a later bundle has a greater one.
    pub revision: u64,
    /// When it ends.
    pub expires: Time,
    /// The id of the key that signed it.
    pub key: String,
    /// What is compiled, with the digest of the bundle's bytes.
    pub source: Source,
}

#[derive(Debug, Default, Deserialize)]
struct Manifest {
    #[serde(default)]
    revision: String,
    #[serde(default)]
    roots: Option<Vec<String>>,
    #[serde(default)]
    rego_version: Option<u64>,
    #[serde(default)]
    metadata: Map<String, Value>,
}

/// Reads and verifies a bundle.
///
/// # Errors
/// What [`Code`] calls a fault of a bundle, the signature before everything that it covers.
pub fn open(bytes: &[u8], trust: &Trust<'_>) -> Result<Bundle, Refused> {
    let files = archive::read(bytes)?;
    let key = signature::verify(&files, trust.key)?;
    let manifest = files.get(MANIFEST).ok_or_else(|| malformed("no .manifest"))?;
    // OPA's own members may come and go; ours are read strictly below.
    let manifest: Manifest = canonry_schemas::json::parse(manifest)
        .map_err(|e| malformed(format!("{MANIFEST}: {e}")))
        .and_then(|v| {
            serde_json::from_value(v).map_err(|e| malformed(format!("{MANIFEST}: {e}")))
        })?;
    let revision = revision(&manifest)?;
    let expires = expires(&manifest, trust.now)?;
    let digest = digest(bytes);
    if let Some(newest) = &trust.newest {
        let same = revision == newest.revision && digest == newest.digest;
        if revision <= newest.revision && !same {
            let detail = format!("revision {revision}, and {} was taken", newest.revision);
            return Err(Refused::new(Code::RolledBack, detail));
        }
    }
    let source = contents(&files, &manifest, digest)?;
    Ok(Bundle { revision, expires, key, source })
}

fn malformed(what: impl Into<String>) -> Refused {
    Refused::new(Code::Malformed, what)
}

/// A whole number above 0, so that any two can be compared.
fn revision(manifest: &Manifest) -> Result<u64, Refused> {
    let text = &manifest.revision;
    let plain = !text.starts_with('0') && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(revision) if plain => Ok(revision),
        _ => Err(malformed("the revision is not a whole number above 0")),
    }
}

fn expires(manifest: &Manifest, now: Time) -> Result<Time, Refused> {
    let expired = |what: String| Refused::new(Code::Expired, what);
    let text = manifest.metadata.get("expires").and_then(Value::as_str);
    let text = text.ok_or_else(|| expired("metadata.expires is missing".to_owned()))?;
    let at = Time::lenient(text).map_err(|e| expired(format!("metadata.expires: {e}")))?;
    if at <= now { Err(expired(format!("it ended at {at}"))) } else { Ok(at) }
}

/// The modules and documents of a bundle, each below one of its roots.
fn contents(
    files: &BTreeMap<String, Vec<u8>>,
    manifest: &Manifest,
    digest: String,
) -> Result<Source, Refused> {
    if manifest.rego_version.is_some_and(|v| v != 1) {
        return Err(malformed("rego_version is not 1"));
    }
    let source = Source { digest, ..source(files)? };
    rooted(&source, manifest)?;
    Ok(source)
}

/// The modules and documents among `files`, as an author has them: nothing is signed, and there is
/// no digest.
///
/// # Errors
/// A file that is neither, or two documents at one place.
pub fn source(files: &BTreeMap<String, Vec<u8>>) -> Result<Source, Refused> {
    let mut source = Source { data: Value::Object(Map::new()), ..Source::default() };
    for (name, bytes) in files {
        let base = name.rsplit('/').next().unwrap_or(name);
        match base {
            MANIFEST | SIGNATURES => {}
            "data.json" => {
                let value = canonry_schemas::json::parse(bytes)
                    .map_err(|e| malformed(format!("{name}: {e}")))?;
                let folder = name.strip_suffix("data.json").unwrap_or_default();
                let folder = folder.split('/').filter(|p| !p.is_empty());
                within(&mut source.data, folder, value)
                    .ok_or_else(|| malformed(format!("{name}: two documents at one place")))?;
            }
            "data.yaml" | "data.yml" | "patch.json" => {
                return Err(malformed(format!("{name}: documents are JSON, and whole")));
            }
            _ if base.ends_with(".rego") => {
                let text = String::from_utf8(bytes.clone())
                    .map_err(|_| malformed(format!("{name}: not UTF-8")))?;
                source.modules.push((name.clone(), text));
            }
            _ => return Err(malformed(format!("{name}: neither Rego nor data.json"))),
        }
    }
    Ok(source)
}

/// Puts `value` at a place; `None` where something else stands there.
fn within<'a>(
    all: &mut Value,
    mut folder: impl Iterator<Item = &'a str>,
    value: Value,
) -> Option<()> {
    let Some(first) = folder.next() else {
        let (Value::Object(here), Value::Object(new)) = (all, value) else { return None };
        for (name, one) in new {
            if here.insert(name, one).is_some() {
                return None;
            }
        }
        return Some(());
    };
    let here = all.as_object_mut()?.entry(first).or_insert_with(|| Value::Object(Map::new()));
    within(here, folder, value)
}

/// Refuses documents outside the roots that the manifest claims. Packages are the engine's to read.
fn rooted(source: &Source, manifest: &Manifest) -> Result<(), Refused> {
    let Some(roots) = &manifest.roots else { return Ok(()) };
    for name in source.data.as_object().into_iter().flat_map(Map::keys) {
        let below = |root: &String| {
            root.is_empty() || root == name || root.starts_with(&format!("{name}/"))
        };
        if !roots.iter().any(below) {
            return Err(malformed(format!("the document {name} is below no root")));
        }
    }
    for (file, text) in &source.modules {
        let package = text.lines().find_map(|l| l.strip_prefix("package ")).unwrap_or_default();
        let path = package.trim().replace('.', "/");
        let below = |r: &String| r.is_empty() || path == *r || path.starts_with(&format!("{r}/"));
        if !roots.iter().any(below) {
            return Err(malformed(format!("{file}: its package is below no root")));
        }
    }
    Ok(())
}
