//! `canonry policy build`: a folder as a bundle, checked before it is written.

use std::path::PathBuf;
use std::time::Duration;

use canonry_keystore::StoredKey;
use canonry_policy::bundle::build::{Plan, Signing, build};
use canonry_policy::{Policy, bundle, digest};
use canonry_schemas::time::Time;
use ed25519_dalek::Signer as _;
use serde_json::json;

use super::files;
use crate::context::Context;
use crate::failure::{Failure, chain};
use crate::output;

/// Make a bundle of a folder, and sign it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The folder's Rego files and data.json become a bundle in OPA's format. It is compiled first: what \
could not decide is not built. Without --key it is unsigned, and nobody takes it before it is signed.

EXAMPLES:
    canonry policy build policies/ --out bundle.tar.gz --revision 7 --key .canonry/tenants/acme/members/founder.key
    canonry policy build policies/ --out bundle.tar.gz --revision 8 --expires-in 24h")]
pub struct Args {
    /// The folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Its revision: greater than that of every bundle before
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    revision: u64,
    /// The private key that signs it, a file as the key store writes them
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// How long it may be taken
    #[arg(long, default_value = "24h", value_name = "TIME", value_parser = crate::args::duration)]
    expires_in: Duration,
    /// A path of documents and packages that is the bundle's alone; may be repeated
    #[arg(long = "root", default_value = "", value_name = "PATH")]
    roots: Vec<String>,
}

/// Runs it.
pub fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let files = files::below(&args.folder)?;
    let source = bundle::source(&files).map_err(Failure::refused)?;
    let rules = Policy::compile(&source).map_err(Failure::refused)?.rules();
    let life = i64::try_from(args.expires_in.as_micros()).map_err(Failure::usage)?;
    let expires = Time(files::now().0.saturating_add(life));
    let plan = Plan { files, revision: args.revision, expires, roots: args.roots.clone() };
    let key = args.key.as_deref().map(StoredKey::from_file).transpose();
    let key = key.map_err(|e| Failure::config(chain(&e)))?;
    let bytes = match &key {
        None => build(&plan, None),
        Some(key) => {
            let sign = |message: &[u8]| key.key.sign(message).to_bytes().to_vec();
            let id = key.id();
            build(&plan, Some(&Signing { key: id.as_str(), algorithm: "EdDSA", sign: &sign }))
        }
    };
    let bytes = bytes.map_err(Failure::refused)?;
    std::fs::write(&args.out, &bytes)
        .map_err(|e| Failure::refused(format!("{}: {e}", args.out.display())))?;
    let public = key.as_ref().map(StoredKey::public_base64url);
    let digest = digest(&bytes);
    if context.json {
        return output::json(&json!({
            "digest": digest, "revision": args.revision, "expires": expires.to_string(),
            "rules": rules, "bytes": bytes.len(), "public": public,
        }));
    }
    let signed = public.map_or_else(|| "unsigned".to_owned(), |key| format!("signed by {key}"));
    output::line(&format!(
        "revision {} with {rules} rules, sha256:{digest}, until {expires}, {signed}",
        args.revision
    ));
    Ok(())
}
