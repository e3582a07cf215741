//! `canonry policy publish`: a bundle becomes the policy in force, by a founder's command. Who may have
//! signed it the decider knows from the ledger; here it is read and compiled, so that what cannot
//! decide is not sent.

use std::path::PathBuf;

use canonry_policy::bundle::{self, Trust};
use canonry_policy::{Policy, digest};
use canonry_record::encoding::base64_padded;
use canonry_schemas::ids::IntentId;
use canonry_schemas::limits::BUNDLE_BYTES;
use serde_json::json;

use super::files;
use crate::args::{Nats, Who};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::submit::intent_or_new;

/// Put a bundle in force.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A founder publishes; the bundle is signed by a founder's member key. It decides from the next position \
on, and every decision names its digest. Look before with `canonry policy diff` and `simulate`.

EXAMPLES:
    canonry policy publish bundle.tar.gz
    canonry policy publish bundle.tar.gz --as ada --json")]
pub struct Args {
    /// The bundle, as `canonry policy build` or `opa build` and `opa sign` make it
    #[arg(value_name = "FILE")]
    bundle: PathBuf,
    #[command(flatten)]
    who: Who,
    /// Repeats an earlier command: the first answer is given again
    #[arg(long, value_name = "ULID")]
    intent_id: Option<IntentId>,
    #[command(flatten)]
    nats: Nats,
}

/// Runs it.
pub async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let file = &args.bundle;
    let bytes =
        std::fs::read(file).map_err(|e| Failure::refused(format!("{}: {e}", file.display())))?;
    if bytes.len() > BUNDLE_BYTES {
        let text = format!("bundle-too-large: a published bundle has at most {BUNDLE_BYTES} bytes");
        return Err(Failure::refused(text));
    }
    let trust = Trust { key: &|_| true, now: files::now(), newest: None };
    let read = bundle::open(&bytes, &trust).map_err(Failure::refused)?;
    let rules = Policy::compile(&read.source).map_err(Failure::refused)?.rules();
    let body = json!({ "bundle": base64_padded(&bytes), "revision": read.revision });
    let client = context.client(args.nats.named(), &args.who.tenant, &args.who.actor).await?;
    let id = intent_or_new(args.intent_id)?;
    let answer = client.submit("policy", "publish", body.to_string().as_bytes(), &id).await?;
    if answer.ok && !context.json {
        output::say(format!(
            "revision {} with {rules} rules, sha256:{}, until {}",
            read.revision,
            digest(&bytes),
            read.expires
        ));
    }
    output::answer(&answer, context.json)
}
