//! `canonry tickets|roles|runs list|show`, over the HTTP API.

use clap::{Args as ClapArgs, Subcommand};
use serde_json::Value;

use crate::args::{Api, Who};
use crate::context::Context;
use crate::failure::Failure;
use crate::{http, output};

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Tickets.
    Tickets,
    /// Roles.
    Roles,
    /// Runs.
    Runs,
}

/// `canonry tickets`, `roles` or `runs`.
#[derive(Debug, ClapArgs)]
#[command(after_help = "EXAMPLES:
    canonry tickets list --filter status=active --filter approval=asked
    canonry roles list --json
    canonry runs show run_01hzy3v7m8q6k4n2r9s5t1w0xa")]
pub struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List them, page by page
    List(List),
    /// Show one
    Show(Show),
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "EXAMPLES:
    canonry tickets list --filter status=active --limit 20
    canonry tickets list --as-of 1024
    canonry tickets list --all --json | jq -r .id")]
struct List {
    /// A filter of the API, such as status=active; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = filter)]
    filter: Vec<(String, String)>,
    /// Rows of a page
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
    /// Go on from the cursor that the page before told
    #[arg(long, value_name = "CURSOR")]
    cursor: Option<String>,
    /// Every page
    #[arg(long)]
    all: bool,
    /// As they were when this position was the last
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(u64).range(1..))]
    as_of: Option<u64>,
    /// Wait until the read models have reached this position
    #[arg(long, value_name = "POSITION")]
    min_position: Option<u64>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "EXAMPLES:
    canonry tickets show tkt_01hzy3v7m8q6k4n2r9s5t1w0xa
    canonry tickets show tkt_01hzy3v7m8q6k4n2r9s5t1w0xa --as-of 1024
    canonry runs show run_01hzy3v7m8q6k4n2r9s5t1w0xa --json")]
struct Show {
    /// Its id
    id: String,
    /// As it was when this position was the last
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(u64).range(1..))]
    as_of: Option<u64>,
    /// Wait until the read models have reached this position
    #[arg(long, value_name = "POSITION")]
    min_position: Option<u64>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    api: Api,
}

pub(crate) fn filter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected <name>=<value>")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Kind {
    const fn list_path(self) -> &'static str {
        match self {
            Self::Tickets => "/api/v1/tickets",
            Self::Roles => "/api/v1/roles",
            Self::Runs => "/api/v1/runs",
        }
    }

    fn show_path(self, id: &str) -> String {
        match self {
            Self::Tickets | Self::Roles => format!("{}/{id}", self.list_path()),
            Self::Runs => format!("/api/v1/exec/{id}/status"),
        }
    }

    /// The columns for people.
    const fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Tickets => &["id", "status", "approval", "priority", "role", "title"],
            Self::Roles => &["id", "status", "tier", "title"],
            Self::Runs => &["id", "status", "ticket", "worker", "started_at"],
        }
    }
}

/// Runs it.
///
/// # Errors
/// The API does not answer, or refuses.
pub async fn run(context: &Context, kind: Kind, args: Args) -> Result<(), Failure> {
    match args.command {
        Command::List(args) => list(context, kind, args).await,
        Command::Show(args) => show(context, kind, args).await,
    }
}

async fn list(context: &Context, kind: Kind, args: List) -> Result<(), Failure> {
    let (api, pen) = crate::context::both(
        context.api(args.api.url.as_deref()),
        context.pen(&args.who.tenant, &args.who.actor),
    )?;
    let mut cursor = args.cursor;
    loop {
        let mut query: Vec<(&str, String)> =
            args.filter.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        query.extend(args.limit.map(|n| ("limit", n.to_string())));
        query.extend(args.min_position.map(|p| ("min_position", p.to_string())));
        query.extend(args.as_of.map(|p| ("as_of", p.to_string())));
        query.extend(cursor.take().map(|c| ("cursor", c)));
        let page = http::get(&api, kind.list_path(), &query, &pen).await?;
        for row in page["items"].as_array().into_iter().flatten() {
            print_row(context, kind, row)?;
        }
        match page["next"].as_str() {
            Some(next) if args.all => cursor = Some(next.to_owned()),
            Some(next) => {
                output::say(format!("more: --cursor {next}"));
                return Ok(());
            }
            None => return Ok(()),
        }
    }
}

fn print_row(context: &Context, kind: Kind, row: &Value) -> Result<(), Failure> {
    if context.json {
        return output::json(row);
    }
    let cell = |name: &&str| match &row[*name] {
        Value::Null if row["erased_at"].is_string() => "(erased)".to_owned(),
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    output::line(&kind.columns().iter().map(cell).collect::<Vec<_>>().join("\t"));
    Ok(())
}

async fn show(context: &Context, kind: Kind, args: Show) -> Result<(), Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if args.id.is_empty() || !args.id.chars().all(plain) {
        return Err(Failure::usage(format!("{:?} is no id", args.id)));
    }
    one(context, &kind.show_path(&args.id), args.min_position, args.as_of, &args.who, &args.api)
        .await
}

/// Gets one thing, as it is or as it was, and prints it.
///
/// # Errors
/// The API does not answer, or refuses.
pub async fn one(
    context: &Context,
    path: &str,
    min_position: Option<u64>,
    as_of: Option<u64>,
    who: &Who,
    api: &Api,
) -> Result<(), Failure> {
    let (api, pen) = crate::context::both(
        context.api(api.url.as_deref()),
        context.pen(&who.tenant, &who.actor),
    )?;
    let query = [("min_position", min_position), ("as_of", as_of)];
    let query: Vec<_> =
        query.into_iter().filter_map(|(name, p)| Some((name, p?.to_string()))).collect();
    let found = http::get(&api, path, &query, &pen).await?;
    if context.json { output::json(&found) } else { output::pretty(&found) }
}
