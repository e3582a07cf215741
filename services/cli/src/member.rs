//! `canonry member …`: people and workers join, leave and change keys. Changes of keys are
//! authorised by the tenant's enrol key over the key head that the verified ledger has now.

use canonry_decider::found::user_kind;
use canonry_keystore::{KeyStore, KeyUse, StoredKey};
use canonry_record::KeyRing;
use canonry_record::ring::{authorize, public_key};
use canonry_record::seal::Signer;
use canonry_schemas::answer::Answer;
use canonry_schemas::ids::{ActorId, KeyId, RoleId};
use canonry_schemas::key::{KeyChange, PublicKey, Use};
use canonry_schemas::member::Part;
use clap::Subcommand;
use serde_json::{Value, json};

use crate::args::{Api, Nats, Who};
use crate::client::{Client, new_intent};
use crate::context::{Context, both};
use crate::failure::{Failure, chain};
use crate::tenant::part;
use crate::{http, ledger, output};

/// `canonry member`.
#[derive(Debug, Subcommand)]
#[command(after_help = "EXAMPLES:
    canonry member enrol carol --part operator
    canonry member list")]
pub enum Command {
    /// Enrol a person or a worker, with fresh keys
    Enrol(Enrol),
    /// Remove a member: their keys end
    Remove(Remove),
    /// Replace a member's signing key
    Rotate(Rotate),
    /// List the members
    List(List),
}

/// Enrol a person or a worker.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The keys, the creds and a `nats` context of the new member are written to the home.

EXAMPLES:
    canonry member enrol carol --part operator --part approver --name 'Carol Ng'
    canonry member enrol triage-1 --part worker --role rol_01hzy3v7m8q6k4n2r9s5t1w0xa")]
pub struct Enrol {
    /// The new member's token
    member: ActorId,
    /// What they may do; may be repeated
    #[arg(long = "part", required = true, value_parser = part, value_name = "PART")]
    parts: Vec<Part>,
    /// The role that a worker works for
    #[arg(long)]
    role: Option<RoleId>,
    /// The person's name
    #[arg(long)]
    name: Option<String>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    nats: Nats,
}

/// Remove a member.
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES:
    canonry member remove carol --reason 'Left the company'")]
pub struct Remove {
    /// Who goes
    member: ActorId,
    /// Why
    #[arg(long)]
    reason: Option<String>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    nats: Nats,
}

/// Replace a member's signing key.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The new key is kept beside the old one until the ledger has it.

EXAMPLES:
    canonry member rotate carol
    canonry member rotate carol --as carol")]
pub struct Rotate {
    /// Whose key
    member: ActorId,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    nats: Nats,
}

/// List the members.
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES:
    canonry member list --json")]
pub struct List {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    api: Api,
}

/// Runs it.
///
/// # Errors
/// Refused, or no answer.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Enrol(args) => enrol(context, args).await,
        Command::Remove(args) => remove(context, args).await,
        Command::Rotate(args) => rotate(context, args).await,
        Command::List(args) => list(context, args).await,
    }
}

/// What a change of keys needs.
struct Change {
    keys: KeyStore,
    ring: KeyRing,
    client: Client,
}

impl Change {
    async fn begin(context: &Context, who: &Who, nats: &Nats) -> Result<Self, Failure> {
        let keys = context.keys()?;
        let client = context.client(nats.named(), &who.tenant, &who.actor).await?;
        let ring = ledger::ring(context, nats.named(), &who.tenant).await?;
        Ok(Self { keys, ring, client })
    }

    /// Authorised by the enrol key; where it is not at hand, by the member's own old key.
    fn authorized(
        &self,
        keys: Vec<PublicKey>,
        revoked: Vec<KeyId>,
        own: Option<&ActorId>,
    ) -> Result<KeyChange, Failure> {
        let tenant = &self.client.tenant;
        let enrol = self.keys.signing_key(tenant, KeyUse::Enrol);
        let key = match (enrol, own) {
            (Err(_), Some(member)) => self.keys.member_key(tenant, member),
            (enrol, _) => enrol,
        };
        let signer = Signer::new(key.map_err(Failure::config)?);
        Ok(authorize(tenant, &self.ring.keyhead(), keys, revoked, &signer))
    }

    async fn submit(
        &self,
        verb: &str,
        mut body: Value,
        change: &KeyChange,
    ) -> Result<Answer, Failure> {
        let change = serde_json::to_value(change).map_err(Failure::refused)?;
        if let (Some(body), Value::Object(change)) = (body.as_object_mut(), change) {
            body.extend(change);
            // An optional member that is not given is absent, never null.
            body.retain(|_, value| !value.is_null());
        }
        let body = serde_json::to_vec(&body).map_err(Failure::refused)?;
        self.client.submit("member", verb, &body, &new_intent()?).await
    }
}

fn member_entry(key: &StoredKey) -> PublicKey {
    let public = key.key.verifying_key().to_bytes();
    public_key(&public, vec![Use::Member], key.actor.clone())
}

async fn enrol(context: &Context, args: Enrol) -> Result<(), Failure> {
    let url = context.nats(args.nats.named());
    let (cell, url) = both(context.cell(), url)?;
    let (tenant, member) = (args.who.tenant.clone(), args.member);
    let change = Change::begin(context, &args.who, &args.nats).await?;
    let known = [Use::Login, Use::Member].map(|u| ledger::current(&change.ring, &member, u));
    if known.iter().any(|keys| !keys.is_empty()) {
        // Fresh creds and keys would overwrite the ones that hold.
        return Err(Failure::refused(format!("{member} is a member of {tenant} already")));
    }
    let kind = user_kind(&args.parts);
    let failed = |e: canonry_provision::Error| Failure::config(chain(&e));
    let login = cell.tenant_user(&tenant, &member, kind).map_err(failed)?;
    let key = cell.member_key(&tenant, &member).map_err(failed)?;
    let keys =
        vec![public_key(&login.public, vec![Use::Login], member.clone()), member_entry(&key)];
    let authorized = change.authorized(keys, Vec::new(), None)?;
    let body = json!({
        "actor": member, "parts": args.parts, "role": args.role, "name": args.name,
    });
    let answer = change.submit("enrol", body, &authorized).await?;
    if answer.ok {
        let written = cell.write_context(&tenant, &member, kind, &url).map_err(failed)?;
        output::say(format!("creds {}, context {}", login.creds.display(), written.display()));
    }
    output::answer(&answer, context.json)
}

async fn remove(context: &Context, args: Remove) -> Result<(), Failure> {
    let change = Change::begin(context, &args.who, &args.nats).await?;
    let held =
        |entry: &&canonry_record::ring::Entry| entry.is_current() && entry.key.actor == args.member;
    let revoked = change.ring.entries().filter(held).map(|e| e.key.id.clone()).collect();
    let authorized = change.authorized(Vec::new(), revoked, None)?;
    let body = json!({"actor": args.member, "reason": args.reason});
    output::answer(&change.submit("remove", body, &authorized).await?, context.json)
}

async fn rotate(context: &Context, args: Rotate) -> Result<(), Failure> {
    let change = Change::begin(context, &args.who, &args.nats).await?;
    let tenant = &args.who.tenant;
    let old = ledger::current(&change.ring, &args.member, Use::Member);
    if old.is_empty() {
        return Err(Failure::refused(format!("{} has no key that holds", args.member)));
    }
    let key = StoredKey::generate(&[KeyUse::Member], args.member.clone());
    let key = key.map_err(Failure::config)?;
    // Kept before it is sent: were we to die between the commit and the next line but one, the
    // only key that holds would be lost.
    change.keys.put_key(tenant, &key).map_err(Failure::config)?;
    let authorized = change.authorized(vec![member_entry(&key)], old, Some(&args.member))?;
    let answer = change.submit("rotate-keys", json!({"actor": args.member}), &authorized).await?;
    if answer.ok {
        change.keys.put_member_key(tenant, &key).map_err(Failure::config)?;
    }
    change.keys.retire_key(tenant, &key.id()).map_err(Failure::config)?;
    output::answer(&answer, context.json)
}

async fn list(context: &Context, args: List) -> Result<(), Failure> {
    let (api, pen) =
        both(context.api(args.api.url.as_deref()), context.pen(&args.who.tenant, &args.who.actor))?;
    let mut query = Vec::new();
    loop {
        let page = http::get(&api, "/api/v1/members", &query, &pen).await?;
        for member in page["items"].as_array().into_iter().flatten() {
            if context.json {
                output::json(member)?;
            } else {
                let actor = member["actor"].as_str().or_else(|| member["id"].as_str());
                let (actor, parts) = (actor.unwrap_or("-"), &member["parts"]);
                output::line(&format!("{actor}\t{parts}"));
            }
        }
        let Some(next) = page["next"].as_str() else { return Ok(()) };
        query = vec![("cursor", next.to_owned())];
    }
}
