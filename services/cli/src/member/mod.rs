//! `canonry member …`: people and workers join, leave and change keys. Changes of keys are
//! authorised by the tenant's enrol key over the key head that the verified ledger has now:
//! [`change`] makes them, [`rotate`] replaces keys, [`strong`] is about what a person steps up with.

pub(crate) mod change;
mod logins;
mod rotate;
pub(crate) mod strong;

use canonry_decider::found::user_kind;
use canonry_record::ring::public_key;
use canonry_schemas::ids::{ActorId, RoleId};
use canonry_schemas::key::{PublicKey, Use};
use canonry_schemas::member::Part;
use canonry_schemas::time::Time;
use clap::Subcommand;
use serde_json::json;

use crate::args::{Api, Nats, Who};
use crate::context::{Context, both};
use crate::failure::{Failure, chain};
use crate::tenant::part;
use crate::{http, ledger, output, read};
use change::{Change, member_entry};
use rotate::Rotate;

/// `canonry member`.
#[derive(Debug, Subcommand)]
#[command(after_help = "EXAMPLES:
    canonry member enrol carol --part operator
    canonry member list
    canonry member approvers")]
pub enum Command {
    /// Enrol a person or a worker, with fresh keys
    Enrol(Enrol),
    /// Remove a member: their keys end
    Remove(Remove),
    /// Replace a member's keys: what logs in and what signs
    Rotate(Rotate),
    /// Make a key to step up with, on the device of whoever will use it
    MakeStepUpKey(strong::Make),
    /// Let a person step up with a key; a root key authorises it
    AddStepUpKey(strong::Add),
    /// Revoke at the NATS server every login that ended on the ledger
    RevokeLogins(logins::RevokeLogins),
    /// List the members
    List(List),
    /// Tell how those who approve do it: how long they take, how often in a row, what came of it
    Approvers(Approvers),
    /// Show one, as it is or as it was
    Show(Show),
}

/// Enrol a person or a worker.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The keys, the creds and a `nats` context of the new member are written to the home.

EXAMPLES:
    canonry member enrol carol --part operator --part approver --name 'Carol Ng'
    canonry member enrol triage-1 --part worker --role rol_01hzy3v7m8q6k4n2r9s5t1w0xa
    canonry member enrol temp --part operator --until 2030-01-31T18:00:00Z")]
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
    /// Until when their keys hold; without it, until they are revoked
    #[arg(long, value_parser = Time::lenient, value_name = "TIME")]
    until: Option<Time>,
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

/// How people answer what tickets and actions ask.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Many approvals in a row, each within seconds, are a sign that nobody reads. A reversal is an approval of \
something that was then rejected or denied, that failed, or of a ticket reopened or cancelled.

EXAMPLES:
    canonry member approvers
    canonry member approvers --json | jq 'select(.approvals_in_a_row > 50)'")]
pub struct Approvers {
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    api: Api,
}

/// Show one member.
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES:
    canonry member show carol
    canonry member show carol --as-of 1024 --json")]
pub struct Show {
    /// Who
    member: ActorId,
    /// As they were when this position was the last
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(u64).range(1..))]
    as_of: Option<u64>,
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
        Command::MakeStepUpKey(args) => strong::make(context, args),
        Command::AddStepUpKey(args) => strong::add(context, args).await,
        Command::RevokeLogins(args) => logins::run(context, args).await,
        Command::List(args) => list(context, args).await,
        Command::Approvers(args) => approvers(context, args).await,
        Command::Show(args) => {
            let path = format!("/api/v1/members/{}", args.member);
            read::one(context, &path, None, args.as_of, &args.who, &args.api).await
        }
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
    let until = args.until.map(Time::seconds);
    let login = cell.tenant_user_until(&tenant, &member, kind, until).map_err(failed)?;
    let key = cell.member_key(&tenant, &member).map_err(failed)?;
    let login_entry = public_key(&login.public, vec![Use::Login], member.clone());
    let keys = [login_entry, member_entry(&key)]
        .map(|key| PublicKey { notafter: args.until, ..key })
        .into();
    let authorized = change.authorized(keys, Vec::new(), None)?;
    let body = json!({
        "actor": member, "parts": args.parts, "role": args.role, "name": args.name,
    });
    let answer = change.submit("member", "enrol", body, &authorized).await?;
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
    let revoked: Vec<_> = change.ring.entries().filter(held).map(|e| e.key.id.clone()).collect();
    let authorized = change.authorized(Vec::new(), revoked.clone(), None)?;
    let body = json!({"actor": args.member, "reason": args.reason});
    let answer = change.submit("member", "remove", body, &authorized).await?;
    if answer.ok {
        logins::after(context, &args.nats, &change.ring, &revoked).await?;
    }
    output::answer(&answer, context.json)
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

async fn approvers(context: &Context, args: Approvers) -> Result<(), Failure> {
    let (api, pen) =
        both(context.api(args.api.url.as_deref()), context.pen(&args.who.tenant, &args.who.actor))?;
    let shown = |one: &serde_json::Value| {
        if context.json {
            return output::json(one);
        }
        let name = one["approver"].as_str().unwrap_or("-");
        output::line(&format!(
            "{name}\t{} answers, {} approved, {} in a row, {} s to decide, {} reversed later",
            one["answers"],
            one["approvals"],
            one["approvals_in_a_row"],
            one["seconds_to_decide"],
            one["later_reversals"],
        ));
        Ok(())
    };
    http::every(&api, "/api/v1/approvers", &[], &pen, shown).await
}
