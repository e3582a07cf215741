//! `canonry tenant keys`, `rotate-key`, `revoke-key`: the keys that are no member's. Each change is
//! one record, authorised by a root key over the key head that the verified ledger has now.
//!
//! A new private key lies in the key store before the command goes out, so that a decider can open
//! it the moment the record stands; one that was never used does no harm. An answer that was lost
//! is taken up by the next of these commands.

use canonry_keystore::{ErrorKind, KeyStore, KeyUse, StoredKey};
use canonry_record::KeyRing;
use canonry_record::encoding::unbase64url_exact;
use canonry_record::ring::{Entry, public_key};
use canonry_schemas::ids::{ActorId, KeyId};
use canonry_schemas::key::{PublicKey, Use};
use canonry_schemas::time::Time;
use serde_json::{Value, json};

use crate::args::{Nats, Who};
use crate::context::Context;
use crate::failure::{Failure, chain};
use crate::member::change::Change;
use crate::{ledger, output};

/// Whose a witness key is unless somebody else is named.
const WITNESS: &str = "svc_witness";

/// List the tenant's own keys.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The ledger is verified first. A line is: id, uses, whose, the position from which the key holds, \
and what ended it or will.

EXAMPLES:
    canonry tenant keys
    canonry tenant keys --all --json")]
pub struct List {
    /// Members' keys too, and those that were revoked
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    nats: Nats,
}

/// Replace or add one of the tenant's own keys.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The root key must be on this home; so must the decider's key store for --use record and --use \
checkpoint, because a key that the decider cannot open is refused. The decider signs with the new \
key at once, without a restart. The old files move to tenants/NAME/retired. A witness key is only \
added: the witness makes it and names its public half.

EXAMPLES:
    canonry tenant rotate-key --use record
    canonry tenant rotate-key --use root --keep-old
    canonry tenant rotate-key --use enrol --until 2030-01-31T12:00:00Z")]
pub struct Rotate {
    /// What the key is for
    #[arg(long = "use", value_enum, value_name = "USE")]
    wanted: Wanted,
    /// Add the key, revoke none
    #[arg(long)]
    keep_old: bool,
    /// The public half of a key that was made elsewhere, base64url
    // base64url may begin with a hyphen.
    #[arg(long, value_name = "KEY", allow_hyphen_values = true)]
    public: Option<String>,
    /// Whose key; without it, yours, the decider's or the witness's, as fits the use
    #[arg(long, value_name = "ACTOR")]
    of: Option<ActorId>,
    /// Until when it holds; without it, until it is revoked
    #[arg(long, value_parser = Time::lenient, value_name = "TIME")]
    until: Option<Time>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    nats: Nats,
}

/// Revoke one of the tenant's own keys.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Members' keys end with `canonry member rotate` or `canonry member remove`.

EXAMPLES:
    canonry tenant revoke-key 0123456789abcdef")]
pub struct Revoke {
    /// Which key, as `canonry tenant keys` names it
    id: KeyId,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    nats: Nats,
}

/// The uses of a tenant's own keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Wanted {
    /// Signs records
    Record,
    /// Signs heads
    Checkpoint,
    /// Authorises members' keys
    Enrol,
    /// Authorises every change of keys
    Root,
    /// Cosigns checkpoints
    Witness,
}

impl Wanted {
    const fn both(self) -> (KeyUse, Use) {
        match self {
            Self::Record => (KeyUse::Record, Use::Record),
            Self::Checkpoint => (KeyUse::Checkpoint, Use::Checkpoint),
            Self::Enrol => (KeyUse::Enrol, Use::Enrol),
            Self::Root => (KeyUse::Root, Use::Root),
            Self::Witness => (KeyUse::Witness, Use::Witness),
        }
    }
}

fn unstored(error: canonry_keystore::Error) -> Failure {
    Failure::config(chain(&error))
}

/// Whether a key is a member's, which these commands leave alone.
fn personal(key: &PublicKey) -> bool {
    key.uses.iter().any(|u| matches!(u, Use::Member | Use::Login | Use::StepUp))
}

/// Lists the keys.
///
/// # Errors
/// The ledger is broken or cannot be read.
pub async fn list(context: &Context, args: List) -> Result<(), Failure> {
    let who = &args.who;
    let (ring, _) = ledger::standing(context, args.nats.named(), &who.tenant, &who.actor).await?;
    let mut entries: Vec<&Entry> =
        ring.entries().filter(|e| args.all || (e.is_current() && !personal(&e.key))).collect();
    entries.sort_by_key(|e| (e.since, e.key.id.clone()));
    for entry in entries {
        if context.json {
            output::json(&told(entry))?;
            continue;
        }
        let uses: Vec<String> =
            entry.key.uses.iter().map(|u| format!("{u:?}").to_lowercase()).collect();
        let end = match (entry.revoked_at, entry.key.notafter) {
            (Some(at), _) => format!("revoked at {at}"),
            (None, Some(end)) => format!("until {end}"),
            (None, None) => "holds".to_owned(),
        };
        let (id, actor) = (&entry.key.id, &entry.key.actor);
        output::line(&format!("{id}\t{}\t{actor}\tfrom {}\t{end}", uses.join(","), entry.since));
    }
    Ok(())
}

fn told(entry: &Entry) -> Value {
    let mut told = json!(entry.key);
    told["since"] = json!(entry.since);
    told["current"] = json!(entry.is_current());
    if let Some(at) = entry.revoked_at {
        told["revoked_at"] = json!(at);
    }
    told
}

/// Replaces or adds a key.
///
/// # Errors
/// Refused, no root key here, or no answer.
pub async fn rotate(context: &Context, args: Rotate) -> Result<(), Failure> {
    let tenant = &args.who.tenant;
    let (stored, wanted) = args.wanted.both();
    if args.keep_old && wanted == Use::Record {
        return Err(Failure::usage("--keep-old: a tenant has exactly one record key"));
    }
    let change = Change::begin(context, &args.who, &args.nats, &args.who.actor).await?;
    tidy(&change.keys, &change.ring)?;
    let owner = owner(&args)?;
    let (mut key, made) = match &args.public {
        Some(text) => {
            let public = unbase64url_exact::<32>(text)
                .ok_or_else(|| Failure::usage("--public: not 32 bytes in base64url"))?;
            (public_key(&public, vec![wanted], owner), None)
        }
        None => {
            let made = StoredKey::generate(&[stored], owner.clone()).map_err(unstored)?;
            change.keys.put_key(tenant, &made).map_err(unstored)?;
            let public = made.key.verifying_key().to_bytes();
            (public_key(&public, vec![wanted], owner), Some(made.id()))
        }
    };
    key.notafter = args.until;
    let replaces = !args.keep_old && wanted != Use::Witness;
    let old = change.ring.with_use(wanted).filter(|_| replaces);
    let revoked: Vec<KeyId> = old.map(|e| e.key.id.clone()).collect();
    let authorized = change.authorized_by_root(vec![key], revoked.clone());
    // No answer: the new key stays, for a decider that has the record.
    let answer = match authorized {
        Ok(authorized) => change.submit("tenant", "rotate-keys", json!({}), &authorized).await?,
        Err(failure) => {
            made.iter().try_for_each(|id| retire(&change.keys, &change.ring, id))?;
            return Err(failure);
        }
    };
    let ended = if answer.ok { revoked } else { made.into_iter().collect() };
    ended.iter().try_for_each(|id| retire(&change.keys, &change.ring, id))?;
    output::answer(&answer, context.json)
}

fn owner(args: &Rotate) -> Result<ActorId, Failure> {
    let usual = match args.wanted {
        Wanted::Record | Wanted::Checkpoint => canonry_decider::ACTOR,
        Wanted::Witness => WITNESS,
        Wanted::Enrol | Wanted::Root => args.who.actor.as_str(),
    };
    args.of.clone().map_or_else(|| usual.parse().map_err(Failure::config), Ok)
}

/// Revokes a key.
///
/// # Errors
/// Refused, no root key here, or no answer.
pub async fn revoke(context: &Context, args: Revoke) -> Result<(), Failure> {
    let change = Change::begin(context, &args.who, &args.nats, &args.who.actor).await?;
    tidy(&change.keys, &change.ring)?;
    let entry = change.ring.key(&args.id);
    let entry = entry.ok_or_else(|| Failure::refused(format!("there is no key {}", args.id)))?;
    if personal(&entry.key) {
        let (id, actor) = (&args.id, &entry.key.actor);
        return Err(Failure::refused(format!(
            "key {id} is a key of {actor}: run `canonry member rotate {actor}`"
        )));
    }
    let authorized = change.authorized_by_root(Vec::new(), vec![args.id.clone()])?;
    let answer = change.submit("tenant", "rotate-keys", json!({}), &authorized).await?;
    if answer.ok {
        retire(&change.keys, &change.ring, &args.id)?;
    }
    output::answer(&answer, context.json)
}

/// Puts a key file aside; one that lies elsewhere is none of ours.
fn retire(keys: &KeyStore, ring: &KeyRing, id: &KeyId) -> Result<(), Failure> {
    match keys.retire_key(ring.tenant(), id) {
        Err(error) if error.kind != ErrorKind::Missing => Err(unstored(error)),
        _ => Ok(()),
    }
}

/// Puts aside what the ledger has revoked: the answer to an earlier change may have been lost.
fn tidy(keys: &KeyStore, ring: &KeyRing) -> Result<(), Failure> {
    for wanted in [KeyUse::Root, KeyUse::Enrol, KeyUse::Record, KeyUse::Checkpoint, KeyUse::Witness]
    {
        for key in keys.keys_for(ring.tenant(), wanted).map_err(unstored)? {
            if ring.key(&key.id()).is_some_and(|entry| !entry.is_current()) {
                retire(keys, ring, &key.id())?;
            }
        }
    }
    Ok(())
}
