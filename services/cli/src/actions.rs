//! `canonry actions`: propose, look up, resume and settle what a worker does under the policy.

use std::collections::BTreeMap;

use canonry_schemas::ids::{ActionId, IntentId, RunId};
use canonry_schemas::json;
use clap::{Args as ClapArgs, Subcommand};
use serde_json::{Value, json};

use crate::args::{Api, Nats, Who};
use crate::context::Context;
use crate::failure::Failure;
use crate::submit::{body_of, intent_or_new};
use crate::{http, output};

/// Actions.
#[derive(Debug, Subcommand)]
#[command(after_help = "EXAMPLES:
    canonry actions propose run_01hzy3v7m8q6k4n2r9s5t1w0xa mail send '{\"to\":\"a@example.com\"}'
    canonry actions list --filter status=held
    canonry actions settle act_01hzy3v7m8q6k4n2r9s5t1w0xa --money-micros 1200")]
pub enum Command {
    /// List them, page by page
    List(List),
    /// Show one: where it stands, what the policy said, who is asked
    Show(Show),
    /// Ask whether an action may be done
    Propose(Propose),
    /// Show again, at a stronger level, who you are
    StepUp(crate::step_up::StepUp),
    /// Go on with an action that people agreed to
    Resume(Resume),
    /// Put a question anew that was parked
    AskAgain(One),
    /// Say what an allowed action has cost
    Settle(Settle),
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "EXAMPLES:
    canonry actions list --filter status=held
    canonry actions list --filter ticket=tkt_01hzy3v7m8q6k4n2r9s5t1w0xa --json | jq -r .id")]
pub struct List {
    /// A filter of the API: status, run, ticket, role or tool; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = crate::read::filter)]
    filter: Vec<(String, String)>,
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
    canonry actions show act_01hzy3v7m8q6k4n2r9s5t1w0xa --json")]
pub struct Show {
    /// Which one
    id: ActionId,
    /// Wait until the read models have reached this position
    #[arg(long, value_name = "POSITION")]
    min_position: Option<u64>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    api: Api,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
The answer names the event: allowed, held (people are asked), routed; a denial is answered with its \
code. Only an action whose event is allowed may be done, once.
Exit codes: 0 became a record; 1 denied or refused, the code is told; 64 no creds; 69 no answer.

EXAMPLES:
    canonry actions propose run_01hzy3v7m8q6k4n2r9s5t1w0xa mail send '{\"to\":\"a@example.com\"}'
    canonry actions propose run_01hzy3v7m8q6k4n2r9s5t1w0xa llm chat - --model small --tokens-in 4000")]
pub struct Propose {
    /// The run that it is part of
    run: RunId,
    /// The tool
    tool: String,
    /// What the tool is to do
    action: String,
    /// The arguments, a JSON object; - reads them from stdin
    arguments: String,
    #[command(flatten)]
    amounts: Amounts,
    /// The model that is called
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// Repeats an earlier command: the first answer is given again
    #[arg(long, value_name = "ULID")]
    intent_id: Option<IntentId>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    nats: Nats,
}

/// How much of each thing that a budget bounds.
#[derive(Debug, ClapArgs)]
struct Amounts {
    /// Money, in millionths of the tenant's currency
    #[arg(long, value_name = "N")]
    money_micros: Option<u64>,
    /// Tokens that go in
    #[arg(long, value_name = "N")]
    tokens_in: Option<u64>,
    /// Tokens that come out
    #[arg(long, value_name = "N")]
    tokens_out: Option<u64>,
    /// Calls
    #[arg(long, value_name = "N")]
    calls: Option<u64>,
    /// Seconds of wall time
    #[arg(long, value_name = "N")]
    wall_seconds: Option<u64>,
}

impl Amounts {
    fn named(&self) -> BTreeMap<&'static str, Value> {
        let all = [
            ("money_micros", self.money_micros),
            ("tokens_in", self.tokens_in),
            ("tokens_out", self.tokens_out),
            ("calls", self.calls),
            ("wall_seconds", self.wall_seconds),
        ];
        all.into_iter().filter_map(|(name, n)| n.map(|n| (name, json!(n)))).collect()
    }
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
The arguments must be those that were proposed. The policy is asked again.

EXAMPLES:
    canonry actions resume act_01hzy3v7m8q6k4n2r9s5t1w0xa '{\"to\":\"a@example.com\"}'")]
pub struct Resume {
    /// Which one
    id: ActionId,
    /// The arguments, a JSON object; - reads them from stdin
    arguments: String,
    /// Repeats an earlier command: the first answer is given again
    #[arg(long, value_name = "ULID")]
    intent_id: Option<IntentId>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    nats: Nats,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "EXAMPLES:
    canonry actions ask-again act_01hzy3v7m8q6k4n2r9s5t1w0xa")]
pub struct One {
    /// Which one
    id: ActionId,
    /// Repeats an earlier command: the first answer is given again
    #[arg(long, value_name = "ULID")]
    intent_id: Option<IntentId>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    nats: Nats,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "\
What is not said is charged as it was reserved.

EXAMPLES:
    canonry actions settle act_01hzy3v7m8q6k4n2r9s5t1w0xa --money-micros 1200
    canonry actions settle act_01hzy3v7m8q6k4n2r9s5t1w0xa --failed --error timeout")]
pub struct Settle {
    /// Which one
    id: ActionId,
    /// The call failed
    #[arg(long)]
    failed: bool,
    /// What went wrong, as a code
    #[arg(long, value_name = "CODE")]
    error: Option<String>,
    #[command(flatten)]
    amounts: Amounts,
    /// Repeats an earlier command: the first answer is given again
    #[arg(long, value_name = "ULID")]
    intent_id: Option<IntentId>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    nats: Nats,
}

/// Runs it.
///
/// # Errors
/// Denied, refused, not reached, or not what it should be.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::List(args) => list(context, args).await,
        Command::Show(args) => show(context, args).await,
        Command::Propose(args) => {
            let mut worst = args.amounts.named();
            worst.extend(args.model.map(|model| ("model", json!(model))));
            let body = json!({"run": args.run, "tool": args.tool, "action": args.action,
                "arguments": arguments(&args.arguments)?, "worst": worst});
            send(context, "propose", &body, args.intent_id, (&args.who, &args.nats)).await
        }
        Command::StepUp(args) => crate::step_up::run(context, args).await,
        Command::Resume(args) => {
            let body = json!({"id": args.id, "arguments": arguments(&args.arguments)?});
            send(context, "resume", &body, args.intent_id, (&args.who, &args.nats)).await
        }
        Command::AskAgain(args) => {
            let body = json!({"id": args.id});
            send(context, "ask-again", &body, args.intent_id, (&args.who, &args.nats)).await
        }
        Command::Settle(args) => {
            let outcome = if args.failed { "failed" } else { "done" };
            let mut body = json!({"id": args.id, "outcome": outcome, "used": args.amounts.named()});
            if let Some(error) = args.error {
                body["error"] = json!(error);
            }
            send(context, "settle", &body, args.intent_id, (&args.who, &args.nats)).await
        }
    }
}

/// The arguments of a call: a JSON object of whole numbers, texts, lists and objects.
fn arguments(text: &str) -> Result<Value, Failure> {
    let value =
        json::parse(&body_of(text)?).map_err(|e| Failure::usage(format!("the arguments: {e}")))?;
    if value.is_object() { Ok(value) } else { Err(Failure::usage("the arguments: not an object")) }
}

async fn send(
    context: &Context,
    verb: &str,
    body: &Value,
    intent: Option<IntentId>,
    (who, nats): (&Who, &Nats),
) -> Result<(), Failure> {
    let body = serde_json::to_vec(body).map_err(Failure::usage)?;
    let client = context.client(nats.named(), &who.tenant, &who.actor).await?;
    let id = intent_or_new(intent)?;
    output::answer(&client.submit("action", verb, &body, &id).await?, context.json)
}

async fn list(context: &Context, args: List) -> Result<(), Failure> {
    let (api, pen) = crate::context::both(
        context.api(args.api.url.as_deref()),
        context.pen(&args.who.tenant, &args.who.actor),
    )?;
    let mut query: Vec<(&str, String)> =
        args.filter.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    query.extend(args.min_position.map(|p| ("min_position", p.to_string())));
    let shown = |row: &Value| {
        if context.json {
            return output::json(row);
        }
        let columns = ["id", "status", "verdict", "tool", "action", "ticket", "proposed_by"];
        let text = |name: &str| row[name].as_str().unwrap_or("-").to_owned();
        output::line(&columns.map(text).join("\t"));
        Ok(())
    };
    http::every(&api, "/api/v1/actions", &query, &pen, shown).await
}

async fn show(context: &Context, args: Show) -> Result<(), Failure> {
    let (api, pen) = crate::context::both(
        context.api(args.api.url.as_deref()),
        context.pen(&args.who.tenant, &args.who.actor),
    )?;
    let query: Vec<(&str, String)> =
        args.min_position.map(|p| ("min_position", p.to_string())).into_iter().collect();
    let path = format!("/api/v1/actions/{}", args.id);
    let action = http::get(&api, &path, &query, &pen).await?;
    if context.json { output::json(&action) } else { output::pretty(&action) }
}
