//! `canonry events append|register|kinds`: custom record types.

use canonry_schemas::ids::{EntityName, IntentId, KindId};
use canonry_schemas::json;
use canonry_schemas::kind::{Compiled, Object};
use clap::Subcommand;
use serde_json::{Value, json};

use crate::args::{Api, Nats, Who};
use crate::context::Context;
use crate::failure::Failure;
use crate::submit::{body_of, intent_or_new};
use crate::{http, output};

/// Custom records.
#[derive(Debug, Subcommand)]
#[command(after_help = "EXAMPLES:
    canonry events register parcel-left 1 schema.json
    canonry events kinds")]
pub enum Command {
    /// Append a record of a registered kind
    Append(Append),
    /// Register a version of a kind with its JSON Schema; founders only
    Register(Register),
    /// List the registered kinds
    Kinds(Kinds),
}

/// Append a record of a registered kind.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What the kind's schema marks `x-content` is encrypted in the record. Operators append about anything, \
workers about tickets and runs of their own role, or about nothing in particular.
Exit codes: 0 became a record; 1 refused, the code is told; 64 no creds; 69 no answer.

EXAMPLES:
    canonry events append parcel-left 1 '{\"parcel\":\"P-17\",\"note\":\"At the back door\"}'
    jq -c . data.json | canonry events append parcel-left 1 -
    canonry events append parcel-left 1 {} --about ticket/tkt_01hzy3v7m8q6k4n2r9s5t1w0xa")]
pub struct Append {
    /// Which kind
    kind: KindId,
    /// Which version of it
    version: u32,
    /// The data as JSON; - reads it from stdin
    data: String,
    /// The member, role, ticket or run that it is about
    #[arg(long, value_name = "ENTITY")]
    about: Option<EntityName>,
    /// Repeats an earlier command: the first answer is given again
    #[arg(long, value_name = "ULID")]
    intent_id: Option<IntentId>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    nats: Nats,
}

/// Register a version of a kind.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The schema is checked here before anything is sent, and told where it does not fit. A registered \
version never changes; versions only grow. The dialect is in docs/record-format.md.
Exit codes: 0 registered; 1 refused, the code is told; 2 the schema does not do; 64 no creds.

EXAMPLES:
    canonry events register parcel-left 1 schema.json
    jq .schema kind.json | canonry events register parcel-left 2 -")]
pub struct Register {
    /// Which kind: [a-z][a-z0-9-]{0,62}
    kind: KindId,
    /// Its version, higher than any before
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    version: u32,
    /// File with the schema; - reads it from stdin
    schema: String,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    nats: Nats,
}

/// List the registered kinds.
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES:
    canonry events kinds
    canonry events kinds --kind parcel-left --json | jq .schema")]
pub struct Kinds {
    /// Of one kind
    #[arg(long, value_name = "KIND")]
    kind: Option<KindId>,
    /// Wait until the read models have reached this position
    #[arg(long, value_name = "POSITION")]
    min_position: Option<u64>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    api: Api,
}

/// Runs it.
///
/// # Errors
/// Refused, not reached, or not what it should be.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Append(args) => append(context, args).await,
        Command::Register(args) => register(context, args).await,
        Command::Kinds(args) => kinds(context, args).await,
    }
}

fn strict(what: &str, text: &[u8]) -> Result<Value, Failure> {
    json::parse(text).map_err(|e| Failure::usage(format!("{what}: {e}")))
}

async fn append(context: &Context, args: Append) -> Result<(), Failure> {
    let mut body = json!({
        "kind": args.kind, "version": args.version,
        "data": strict("the data", &body_of(&args.data)?)?,
    });
    if let Some(about) = &args.about {
        body["entity"] = json!(about);
    }
    let id = intent_or_new(args.intent_id)?;
    let client = context.client(args.nats.named(), &args.who.tenant, &args.who.actor).await?;
    let answer = client.submit("ext", "append", body.to_string().as_bytes(), &id).await;
    output::answer(&answer?, context.json)
}

async fn register(context: &Context, args: Register) -> Result<(), Failure> {
    let text = match args.schema.as_str() {
        "-" => body_of("-")?,
        file => std::fs::read(file).map_err(|e| Failure::usage(format!("{file}: {e}")))?,
    };
    let schema = strict("the schema", &text)?;
    let schema = Object::new(schema).ok_or_else(|| Failure::usage("a schema is an object"))?;
    Compiled::new(&schema).map_err(|unfit| Failure::usage(format!("the schema: {unfit}")))?;
    let body = json!({"kind": args.kind, "version": args.version, "schema": schema});
    let client = context.client(args.nats.named(), &args.who.tenant, &args.who.actor).await?;
    let id = intent_or_new(None)?;
    let answer = client.submit("ext", "register", body.to_string().as_bytes(), &id).await;
    output::answer(&answer?, context.json)
}

async fn kinds(context: &Context, args: Kinds) -> Result<(), Failure> {
    let (api, pen) = crate::context::both(
        context.api(args.api.url.as_deref()),
        context.pen(&args.who.tenant, &args.who.actor),
    )?;
    let mut query: Vec<(&str, String)> = Vec::new();
    query.extend(args.kind.as_ref().map(|k| ("kind", k.to_string())));
    query.extend(args.min_position.map(|p| ("min_position", p.to_string())));
    let shown = |row: &Value| {
        if context.json {
            return output::json(row);
        }
        let text = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
        let (kind, by, at) = (text("kind"), text("registered_by"), text("registered_at"));
        output::line(&format!("{kind}\t{}\t{by}\t{at}", row["version"]));
        Ok(())
    };
    http::every(&api, "/api/v1/events/kinds", &query, &pen, shown).await
}
