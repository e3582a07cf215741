//! `canonry member make-step-up-key`, `add-step-up-key`: what a person steps up with. The private
//! half is made on their own device and never leaves its sealed file; the public one stands on the
//! ledger with the level that it reaches, once a root key has authorised it.

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

use canonry_keystore::KeyStore;
use canonry_record::encoding::{base64url, unbase64url_exact};
use canonry_record::ring::public_key;
use canonry_schemas::ids::{ActorId, TenantId};
use canonry_schemas::key::{PublicKey, Use};
use canonry_schemas::member::Part;
use canonry_schemas::time::Time;
use canonry_secrets::{DeviceKey, Secret};
use serde_json::json;
use zeroize::Zeroizing;

use super::change::Change;
use crate::args::{Nats, Who};
use crate::context::{Context, DEFAULT_TENANT};
use crate::failure::{Failure, chain};
use crate::{ledger, output};

/// Bytes of a passphrase, at most.
const PHRASE_BYTES: u64 = 1_024;

/// Make a key to step up with, on the device of whoever will use it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The file is sealed with a passphrase (asked for, or the first line of stdin; 12 characters or more). \
Whoever holds a root key then announces the public half with `canonry member add-step-up-key`.

EXAMPLES:
    canonry member make-step-up-key founder --level 2
    canonry member make-step-up-key founder --level 3 --out new.age --json")]
pub struct Make {
    /// Whose key
    member: ActorId,
    /// The level that it is to reach
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=9), value_name = "1-9")]
    level: u8,
    /// Where it is kept; without it, in this home
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The tenant
    #[arg(long, env = "CANONRY_TENANT", default_value = DEFAULT_TENANT, value_name = "NAME")]
    tenant: TenantId,
}

/// Let a person step up with a key.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A root key of this home authorises it: neither an enrol key nor the member's own can. Keys that the \
member stepped up with before are revoked.

EXAMPLES:
    canonry member add-step-up-key founder --level 2 --public rYx…
    canonry member add-step-up-key founder --level 3 --public rYx… --keep-old
    canonry member add-step-up-key carol --level 2 --public rYx… --until 2030-01-31T18:00:00Z")]
pub struct Add {
    /// Whose key
    member: ActorId,
    /// The level that it reaches
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=9), value_name = "1-9")]
    level: u8,
    /// The public half, base64url, as `make-step-up-key` tells it
    // base64url may begin with a hyphen.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    public: String,
    /// Until when it holds; without it, until it is revoked
    #[arg(long, value_parser = Time::lenient, value_name = "TIME")]
    until: Option<Time>,
    /// Add the key, revoke none
    #[arg(long)]
    keep_old: bool,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    nats: Nats,
}

/// Where a home keeps what a member steps up with.
pub(crate) fn kept_at(keys: &KeyStore, tenant: &TenantId, member: &ActorId) -> PathBuf {
    let folder = keys.home().join("tenants").join(tenant.as_str()).join("step-up");
    folder.join(format!("{member}.age"))
}

/// A failure of a sealed file, with its stable code.
pub(crate) fn unsealed(error: canonry_secrets::Error) -> Failure {
    let code = error.code();
    Failure::config(format!("{}: {code}", chain(&error)))
}

/// A passphrase: typed where nobody sees it, else the first line of stdin.
pub(crate) fn passphrase(twice: bool) -> Result<Secret, Failure> {
    let unread = |e: std::io::Error| Failure::usage(format!("the passphrase cannot be read: {e}"));
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        let mut text = Zeroizing::new(String::with_capacity(PHRASE_BYTES as usize));
        stdin.lock().take(PHRASE_BYTES).read_to_string(&mut text).map_err(unread)?;
        let line = text.lines().next().unwrap_or_default();
        return Secret::new(line.as_bytes().to_vec()).map_err(unsealed);
    }
    let typed = |ask: &str| rpassword::prompt_password(ask).map(Zeroizing::new).map_err(unread);
    let phrase = typed("passphrase: ")?;
    if twice && *phrase != *typed("passphrase again: ")? {
        return Err(Failure::usage("the two passphrases differ"));
    }
    Secret::new(phrase.as_bytes().to_vec()).map_err(unsealed)
}

/// Makes one.
///
/// # Errors
/// There is one already, the passphrase is too short, or the disk refuses.
pub fn make(context: &Context, args: Make) -> Result<(), Failure> {
    let path = match args.out {
        Some(path) => path,
        None => kept_at(&context.keys()?, &args.tenant, &args.member),
    };
    if path.exists() {
        let there = path.display();
        return Err(Failure::usage(format!("{there} is there already: name another with --out")));
    }
    let phrase = passphrase(true)?;
    let made = DeviceKey::generate(args.tenant, args.member, args.level).map_err(unsealed)?;
    made.keep(&path, &phrase).map_err(unsealed)?;
    let public = base64url(&made.key.verifying_key().to_bytes());
    if context.json {
        let id = canonry_keystore::key_id(&made.key.verifying_key());
        let told = json!({"id": id, "public": public, "level": made.level, "file": path});
        return output::json(&told);
    }
    output::say(format!("kept in {}", path.display()));
    output::line(&public);
    Ok(())
}

/// Announces one.
///
/// # Errors
/// Refused, no root key here, or no answer.
pub async fn add(context: &Context, args: Add) -> Result<(), Failure> {
    let public = unbase64url_exact::<32>(&args.public)
        .ok_or_else(|| Failure::usage("--public: not 32 bytes in base64url"))?;
    let member = &args.member;
    let change = Change::begin(context, &args.who, &args.nats, member).await?;
    if change.parts.is_empty() || change.parts.contains(&Part::Worker) {
        return Err(Failure::refused(format!("{member} is no person of {}", args.who.tenant)));
    }
    let key = PublicKey {
        level: Some(args.level),
        notafter: args.until,
        ..public_key(&public, vec![Use::StepUp], member.clone())
    };
    let old = ledger::current(&change.ring, member, Use::StepUp);
    let revoked = if args.keep_old { Vec::new() } else { old };
    let authorized = change.authorized_by_root(vec![key], revoked)?;
    let answer =
        change.submit("member", "rotate-keys", json!({"actor": member}), &authorized).await?;
    output::answer(&answer, context.json)
}
