//! Making a bundle: the same files, revision and key make the same bytes.

use std::collections::BTreeMap;

use canonry_schemas::time::Time;
use serde_json::json;

use super::{MANIFEST, SIGNATURES, archive, malformed, signature};
use crate::code::Refused;

/// What a bundle is made of.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Rego files and `data.json`s by their names.
    pub files: BTreeMap<String, Vec<u8>>,
    /// Greater than that of every bundle before.
    pub revision: u64,
    /// When it ends.
    pub expires: Time,
    /// The paths of documents and packages that are the bundle's alone.
    pub roots: Vec<String>,
}

/// Who signs.
pub struct Signing<'a> {
    /// The id of the key.
    pub key: &'a str,
    /// The algorithm: `EdDSA`.
    pub algorithm: &'a str,
    /// Signs a message.
    pub sign: &'a dyn Fn(&[u8]) -> Vec<u8>,
}

/// The bytes of a bundle; without `signing`, of one that somebody else has to sign.
///
/// # Errors
/// A file that the bundle itself holds, and whatever [`super::open`] would refuse of its form.
pub fn build(plan: &Plan, signing: Option<&Signing<'_>>) -> Result<Vec<u8>, Refused> {
    let mut files = plan.files.clone();
    if files.contains_key(MANIFEST) || files.contains_key(SIGNATURES) {
        return Err(malformed("the manifest and the signature are not yours to write"));
    }
    let manifest = json!({
        "revision": plan.revision.to_string(),
        "roots": plan.roots,
        "rego_version": 1,
        "metadata": {"expires": plan.expires.to_string()},
    });
    files.insert(MANIFEST.to_owned(), manifest.to_string().into_bytes());
    if let Some(Signing { key, algorithm, sign }) = signing {
        let signed = signature::sign(&files, key, algorithm, sign)?;
        files.insert(SIGNATURES.to_owned(), signed);
    }
    archive::write(&files)
}
