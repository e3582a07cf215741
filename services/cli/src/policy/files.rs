//! Where a policy comes from: a folder of an author, or a bundle, verified as anybody would.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use canonry_policy::bundle::{Bundle, Signed, Trust};
use canonry_policy::{Source, bundle, limits};
use canonry_record::encoding::unbase64url_exact;
use canonry_record::{VerifyingKey, key_id, seal};
use canonry_schemas::time::Time;

use crate::failure::Failure;

/// The Rego files and `data.json`s below a folder, by their names in a bundle.
pub fn below(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    let failed = |path: &Path, e| Failure::refused(format!("{}: {e}", path.display()));
    while let Some(here) = folders.pop() {
        let entries = std::fs::read_dir(&here).map_err(|e| failed(&here, e))?;
        for entry in entries {
            let path = entry.map_err(|e| failed(&here, e))?.path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if name.starts_with('.') {
                continue;
            }
            // A link could lead around in a circle, and a bundle has none.
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
                continue;
            }
            if !name.ends_with(".rego") && name != "data.json" {
                continue;
            }
            let inside = path.strip_prefix(folder).unwrap_or(&path);
            let inside = inside
                .to_str()
                .ok_or_else(|| Failure::refused(format!("{}: not UTF-8", path.display())))?;
            let bytes = std::fs::read(&path).map_err(|e| failed(&path, e))?;
            all.insert(inside.replace('\\', "/"), bytes);
            if all.len() > limits::BUNDLE_FILES {
                let most = limits::BUNDLE_FILES;
                return Err(Failure::refused(format!("more than {most} files below the folder")));
            }
        }
    }
    if all.is_empty() {
        let folder = folder.display();
        return Err(Failure::refused(format!("{folder}: no Rego file and no data.json")));
    }
    Ok(all)
}

/// A folder as it is: no signature, no digest that anybody could ask for.
pub fn folder(folder: &Path) -> Result<Source, Failure> {
    bundle::source(&below(folder)?).map_err(Failure::refused)
}

/// Which bundle, and whose signature.
#[derive(Debug, clap::Args)]
pub struct Signer {
    /// A public key that may sign it, base64url; may be repeated
    // base64url may begin with a hyphen.
    #[arg(long, value_name = "KEY", value_parser = public, allow_hyphen_values = true)]
    public: Vec<VerifyingKey>,
}

fn public(text: &str) -> Result<VerifyingKey, String> {
    let wrong = || "expected the 32 bytes of a public ed25519 key, base64url".to_owned();
    let bytes = unbase64url_exact::<32>(text).ok_or_else(wrong)?;
    VerifyingKey::from_bytes(&bytes).map_err(|_| wrong())
}

/// The time of this machine.
pub fn now() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Time(since.ok().and_then(|s| i64::try_from(s.as_micros()).ok()).unwrap_or_default())
}

/// A bundle, verified.
pub fn verified(file: &PathBuf, signer: &Signer) -> Result<Bundle, Failure> {
    if signer.public.is_empty() {
        return Err(Failure::usage("--bundle needs --public, the key that may have signed it"));
    }
    let bytes =
        std::fs::read(file).map_err(|e| Failure::refused(format!("{}: {e}", file.display())))?;
    let known = |signed: &Signed<'_>| {
        let Ok(signature) = <[u8; 64]>::try_from(signed.signature) else { return false };
        signed.algorithm == "EdDSA"
            && signer.public.iter().any(|key| {
                key_id(key.as_bytes()).as_str() == signed.key
                    && seal::verify_strict(key, signed.message, &signature)
            })
    };
    let trust = Trust { key: &known, now: now(), newest: None };
    bundle::open(&bytes, &trust).map_err(Failure::refused)
}
