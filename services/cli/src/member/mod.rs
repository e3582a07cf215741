//! `canonry member …`: people and workers join, leave and change keys. Changes of keys are
//! authorised by the tenant's enrol key over the key head that the verified ledger has now:
//! [`change`] makes them, [`rotate`] replaces keys.

mod change;
mod rotate;

use canonry_decider::found::user_kind;
use canonry_record::ring::public_key;
use canonry_schemas::ids::{ActorId, RoleId};
use canonry_schemas::key::Use;
use canonry_schemas::member::Part;
use clap::Subcommand;
use serde_json::json;

use crate::args::{Api, Nats, Who};
use crate::context::{Context, both};
use crate::failure::{Failure, chain};
use crate::tenant::part;
use crate::{http, ledger, output};
use change::{Change, member_entry};
use rotate::Rotate;

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
    /// Replace a member's keys: what logs in and what signs
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
        Command::Rotate(args) => rotate::run(context, args).await,
        Command::List(args) => list(context, args).await,
    }
}

async fn enrol(context: &Context, args: Enrol) -> Result<(), Failure> {
    let url = context.nats(args.nats.named());
    let (cell, url) = both(context.cell(), url)?;
    let (tenant, member) = (args.who.tenant.clone(), args.member);
    let change = Change::begin(context, &args.who, &args.nats, &member).await?;
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
    let change = Change::begin(context, &args.who, &args.nats, &args.member).await?;
    let held =
        |entry: &&canonry_record::ring::Entry| entry.is_current() && entry.key.actor == args.member;
    let revoked = change.ring.entries().filter(held).map(|e| e.key.id.clone()).collect();
    let authorized = change.authorized(Vec::new(), revoked, None)?;
    let body = json!({"actor": args.member, "reason": args.reason});
    output::answer(&change.submit("remove", body, &authorized).await?, context.json)
}

async fn list(context: &Context, args: List) -> Result<(), Failure> {
    let (api, pen) =
        both(context.api(args.api.url.as_deref()), context.pen(&args.who.tenant, &args.who.actor))?;
    let shown = |member: &serde_json::Value| {
        if context.json {
            return output::json(member);
        }
        let actor = member["actor"].as_str().or_else(|| member["id"].as_str());
        let (actor, parts) = (actor.unwrap_or("-"), &member["parts"]);
        output::line(&format!("{actor}\t{parts}"));
        Ok(())
    };
    http::every(&api, "/api/v1/members", &[], &pen, shown).await
}
