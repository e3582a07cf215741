//! `canonry submit|sign|token`: commands and what has to be signed for them.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use canonry_schemas::header::{INTENT_ID, REQUEST_TOKEN};
use canonry_schemas::ids::IntentId;
use canonry_schemas::limits::{BEARER_LIFE, COMMAND_BYTES};
use serde_json::json;

use crate::args::{Nats, Who};
use crate::client::{Client, new_intent};
use crate::context::{Context, both};
use crate::failure::{Failure, chain};
use crate::lease::Kept;
use crate::output;

/// How long `--wait` waits for an outcome.
const OUTCOME: Duration = Duration::from_secs(30);

/// Send a command and print its answer.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The command is signed with the member key where it is at hand, and repeated for 15 s with the same \
intent id while the tenant changes hands.
Exit codes: 0 became a fact; 1 refused, the code is told; 64 no creds; 69 no answer.

EXAMPLES:
    canonry submit ticket open '{\"title\":\"Printer on fire\"}' --as founder
    jq -c . role.json | canonry submit role hire -
    canonry submit ticket open '{\"title\":\"Later\"}' --durable --wait
    canonry submit run complete '{\"id\":\"run_01hzy3v7m8q6k4n2r9s5t1w0xa\"}' --lease clerk.creds")]
pub struct Submit {
    /// What it is about: ticket, role, run, member or ext
    aggregate: String,
    /// What is asked for: open, assign, hire, …
    verb: String,
    /// The body as JSON; - reads it from stdin
    #[arg(default_value = "{}")]
    body: String,
    #[command(flatten)]
    who: Who,
    /// Send it under the lease whose credentials are in this file; its worker asks
    #[arg(long, value_name = "FILE", value_parser = crate::lease::whole,
        conflicts_with_all = ["actor", "durable"])]
    lease: Option<PathBuf>,
    /// Repeats an earlier command: the first answer is given again
    #[arg(long, value_name = "ULID")]
    intent_id: Option<IntentId>,
    /// Hand it over: the answer says that it is stored, the outcome follows
    #[arg(long)]
    durable: bool,
    /// With --durable: wait for the outcome
    #[arg(long, requires = "durable")]
    wait: bool,
    #[command(flatten)]
    nats: Nats,
}

/// Print the headers that a plain `nats req` needs.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The token stands for this body and intent only, for five minutes.

EXAMPLES:
    canonry sign role hire \"$(cat role.json)\" --as founder
    eval nats --context acme-founder req command.acme.founder.role.hire \
\"'$(cat role.json)'\" $(canonry sign role hire \"$(cat role.json)\")")]
pub struct Sign {
    /// What it is about
    aggregate: String,
    /// What is asked for
    verb: String,
    /// The body, byte for byte as it will be sent; - reads it from stdin
    body: String,
    #[command(flatten)]
    who: Who,
    /// The command's intent id; a fresh one without it
    #[arg(long, value_name = "ULID")]
    intent_id: Option<IntentId>,
}

/// Print a bearer for the HTTP API.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It suffices for reads and ordinary writes; founder-only commands need `canonry sign`.

EXAMPLES:
    canonry token --as operator --minutes 60
    curl -H \"Authorization: Bearer $(canonry token --as operator)\" $CANONRY_API/api/v1/tickets")]
pub struct Token {
    #[command(flatten)]
    who: Who,
    /// How long it lives
    #[arg(long, default_value_t = 15, value_name = "N", value_parser = minutes)]
    minutes: u32,
}

fn minutes(text: &str) -> Result<u32, String> {
    let most = u32::try_from(BEARER_LIFE.as_secs() / 60).unwrap_or(u32::MAX);
    let wanted: u32 = text.parse().map_err(|_| "not a number".to_owned())?;
    let right = (1..=most).contains(&wanted);
    right.then_some(wanted).ok_or_else(|| format!("1 to {most} minutes"))
}

/// A body as it was given; - is stdin.
///
/// # Errors
/// It cannot be read, or is too long.
pub fn body_of(text: &str) -> Result<Vec<u8>, Failure> {
    if text != "-" {
        return Ok(text.as_bytes().to_vec());
    }
    let mut body = Vec::new();
    let most = COMMAND_BYTES as u64 + 1;
    std::io::stdin().lock().take(most).read_to_end(&mut body).map_err(Failure::usage)?;
    if body.len() > COMMAND_BYTES {
        return Err(Failure::usage(format!("the body has more than {COMMAND_BYTES} bytes")));
    }
    while body.last().is_some_and(u8::is_ascii_whitespace) {
        body.pop();
    }
    Ok(body)
}

/// The given intent id, or a fresh one.
///
/// # Errors
/// The operating system gives no randomness.
pub fn intent_or_new(given: Option<IntentId>) -> Result<IntentId, Failure> {
    given.map_or_else(new_intent, Ok)
}

/// A word that may stand in a subject: what is no command is refused by the decider, but a dot or
/// a wildcard would be another subject.
fn token<'a>(what: &str, text: &'a str) -> Result<&'a str, Failure> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !text.is_empty() && text.chars().all(plain) {
        return Ok(text);
    }
    Err(Failure::usage(format!("{text:?} is no {what}: letters, digits, - and _ only")))
}

/// `canonry submit`.
///
/// # Errors
/// Refused, or no answer.
pub async fn submit(context: &Context, args: Submit) -> Result<(), Failure> {
    let body = body_of(&args.body)?;
    let named = (token("aggregate", &args.aggregate)?, token("verb", &args.verb)?);
    let client = match &args.lease {
        Some(file) => leased(context, args.nats.named(), file).await?,
        None => context.client(args.nats.named(), &args.who.tenant, &args.who.actor).await?,
    };
    let id = intent_or_new(args.intent_id)?;
    let answer = match (args.durable, args.wait) {
        (false, _) => client.submit(named.0, named.1, &body, &id).await,
        (true, false) => client.hand_over(named.0, named.1, &body, &id).await,
        (true, true) => client.hand_over_and_wait(named, &body, &id, OUTCOME).await,
    };
    output::answer(&answer?, context.json)
}

async fn leased(context: &Context, nats: Option<&str>, file: &Path) -> Result<Client, Failure> {
    let (url, keys) = both(context.nats(nats), context.keys())?;
    let kept = Kept::read(&keys, file)?;
    let creds = keys.read_text(file).map_err(|e| Failure::config(chain(&e)))?;
    Client::under_lease(&url, creds.to_string(), &kept).await
}

/// `canonry sign`.
///
/// # Errors
/// No key.
pub fn sign(context: &Context, args: Sign) -> Result<(), Failure> {
    let body = body_of(&args.body)?;
    let named = (token("aggregate", &args.aggregate)?, token("verb", &args.verb)?);
    let pen = context.pen(&args.who.tenant, &args.who.actor)?;
    let id = intent_or_new(args.intent_id)?;
    let request = pen.request_token(named, &body, &id);
    if context.json {
        return output::json(&json!({INTENT_ID: id, REQUEST_TOKEN: request}));
    }
    output::line(&format!("-H {INTENT_ID}:{id} -H {REQUEST_TOKEN}:{request}"));
    Ok(())
}

/// `canonry token`.
///
/// # Errors
/// No key.
pub fn bearer(context: &Context, args: Token) -> Result<(), Failure> {
    let pen = context.pen(&args.who.tenant, &args.who.actor)?;
    let token = pen.bearer(args.minutes, &new_intent()?);
    if context.json {
        return output::json(&json!({"token": token, "minutes": args.minutes}));
    }
    output::line(&token);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_leaves_its_token() {
        assert!(token("verb", "request-approval").is_ok());
        for bad in ["", "a.b", "*", ">", "a b"] {
            assert_eq!(token("verb", bad).unwrap_err().exit, crate::exit::USAGE, "{bad}");
        }
    }

    #[test]
    fn a_bearer_lives_an_hour_at_most() {
        assert_eq!(minutes("60"), Ok(60));
        assert!(minutes("0").is_err() && minutes("61").is_err() && minutes("x").is_err());
    }
}
