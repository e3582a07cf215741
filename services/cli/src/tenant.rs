//! `canonry tenant …`. Founding a tenant with its first people: there is no founding command on the
//! bus, this runs with the provisioning users. The tenant's own keys are in [`keys`].

mod keys;

use std::path::{Path, PathBuf};

use canonry_decider::found::{found, user_kind};
use canonry_provision::Cell;
use canonry_record::{Hash, record_hash};
use canonry_schemas::ids::{ActorId, TenantId};
use canonry_schemas::member::Part;
use clap::Subcommand;
use serde_json::json;

use crate::args::Nats;
use crate::context::Context;
use crate::failure::{Failure, chain};
use crate::output;
use crate::progress::Bars;

/// The first people when none are named.
pub const FIRST: [(&str, Part); 4] = [
    ("founder", Part::Founder),
    ("approver", Part::Approver),
    ("operator", Part::Operator),
    ("auditor", Part::Auditor),
];

/// A person and their parts.
pub type Person = (ActorId, Vec<Part>);

/// `canonry tenant`.
#[derive(Debug, Subcommand)]
#[command(after_help = "EXAMPLES:
    canonry tenant found globex
    canonry tenant keys")]
pub enum Command {
    /// Found a tenant: its account, streams, keys and first people
    Found(Found),
    /// List the tenant's own keys, as the ledger has them
    Keys(keys::List),
    /// Replace or add one of the tenant's own keys
    RotateKey(keys::Rotate),
    /// Revoke one of the tenant's own keys
    RevokeKey(keys::Revoke),
}

/// Found a tenant.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without --person it gets founder, approver, operator and auditor. Keep the identity that is \
printed: `canonry ledger verify --tenant` compares with it. The root key lies in the home under \
tenants/NAME/offline: take it off the machine.

EXAMPLES:
    canonry tenant found globex
    canonry tenant found globex --person ada=founder --person bob=approver,operator")]
pub struct Found {
    /// The tenant's name
    name: TenantId,
    /// A person and their parts; may be repeated
    #[arg(long, value_name = "ACTOR=PART,…", value_parser = person)]
    person: Vec<Person>,
    /// Replicas of its streams
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    replicas: u8,
    #[command(flatten)]
    nats: Nats,
}

/// Reads `founder` and the like.
///
/// # Errors
/// No such part.
pub fn part(text: &str) -> Result<Part, String> {
    let known = "founder, approver, operator, auditor or worker";
    serde_json::from_value(text.into()).map_err(|_| format!("{text:?} is no part: {known}"))
}

fn person(text: &str) -> Result<Person, String> {
    let (actor, parts) = text.split_once('=').ok_or("expected <actor>=<part>,…")?;
    let parts = parts.split(',').map(part).collect::<Result<Vec<_>, _>>()?;
    Ok((actor.parse().map_err(|e| format!("{e}"))?, parts))
}

/// The people of a tenant for whom none were named.
///
/// # Errors
/// Never: the names are ours.
pub fn first_people() -> Result<Vec<Person>, Failure> {
    let one = |(name, part): (&str, Part)| Ok((name.parse().map_err(Failure::config)?, vec![part]));
    FIRST.into_iter().map(one).collect()
}

/// Founds a tenant and writes the `nats` contexts of its people.
///
/// # Errors
/// It is founded already, or the server refuses.
pub async fn found_tenant(
    cell: &Cell,
    url: &str,
    tenant: &TenantId,
    people: &[Person],
    replicas: u8,
    bars: Bars,
) -> Result<Hash, Failure> {
    if let Some(file) = remembered(cell.key_store().home(), tenant) {
        let file = file.display();
        return Err(Failure::refused(format!(
            "{tenant} was served from this home before ({file}), and its ledger is not there: \
             restore it with `canonry backup restore`; founded anew it would be another tenant"
        )));
    }
    let _spinner = bars.spinner("founding");
    let founding = found(cell, url, tenant, people, replicas).await;
    let founding = founding.map_err(Failure::refused)?;
    write_contexts(cell, url, tenant, people)?;
    Ok(founding.identity)
}

/// What a decider or a projector of this home kept of a tenant whose ledger it read.
fn remembered(home: &Path, tenant: &TenantId) -> Option<PathBuf> {
    let deciders = std::fs::read_dir(home.join("deciders")).into_iter().flatten();
    let folders = deciders.filter_map(|entry| Some(entry.ok()?.path()));
    let mut files = folders.chain([home.join("projections")]);
    files.find_map(|folder| Some(folder.join(format!("{tenant}.sqlite"))).filter(|f| f.exists()))
}

/// Writes the `nats` contexts of a tenant's people.
///
/// # Errors
/// The disk refuses.
pub fn write_contexts(
    cell: &Cell,
    url: &str,
    tenant: &TenantId,
    people: &[Person],
) -> Result<(), Failure> {
    for (actor, parts) in people {
        let written = cell.write_context(tenant, actor, user_kind(parts), url);
        written.map_err(|e| Failure::config(chain(&e)))?;
    }
    Ok(())
}

/// The identity of a tenant that is founded: the hash of its first record.
///
/// # Errors
/// The ledger cannot be read.
pub async fn identity(
    context: &Context,
    url: &str,
    tenant: &TenantId,
) -> Result<Option<Hash>, Failure> {
    let log = match context.ledger(Some(url), tenant).await {
        Ok(log) => log,
        // No stream yet.
        Err(failure) if failure.exit == crate::exit::REFUSED => return Ok(None),
        Err(failure) => return Err(failure),
    };
    let first = log.get(1).await.map_err(|e| Failure::unavailable(chain(&e)))?;
    Ok(first.map(|stored| record_hash(&stored.subject, &stored.body)))
}

/// Runs it.
///
/// # Errors
/// See [`found_tenant`] and [`keys`].
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Found(args) => found_one(context, args).await,
        Command::Keys(args) => keys::list(context, args).await,
        Command::RotateKey(args) => keys::rotate(context, args).await,
        Command::RevokeKey(args) => keys::revoke(context, args).await,
    }
}

async fn found_one(context: &Context, args: Found) -> Result<(), Failure> {
    let (cell, url) = crate::context::both(context.cell(), context.nats(args.nats.named()))?;
    let people = if args.person.is_empty() { first_people()? } else { args.person };
    let identity =
        found_tenant(&cell, &url, &args.name, &people, args.replicas, context.bars()).await?;
    if context.json {
        let answer = json!({"tenant": args.name, "identity": format!("sha256:{identity}")});
        return output::json(&answer);
    }
    output::line(&format!("{} sha256:{identity}", args.name));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_read() {
        let (actor, parts) = person("bob=approver,operator").unwrap();
        assert_eq!((actor.as_str(), parts), ("bob", vec![Part::Approver, Part::Operator]));
        for bad in ["bob", "bob=", "bob=king", "B=founder"] {
            assert!(person(bad).is_err(), "{bad}");
        }
        assert_eq!(first_people().unwrap().len(), 4);
    }
}
