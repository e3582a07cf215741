//! `canonry policy ask`: what the policy in force would say of an action, as the API's copy of it
//! says. Advice: only a decision that a decider recorded allows anything.

use std::path::PathBuf;

use serde_json::Value;

use super::eval::input;
use crate::args::{Api, Who};
use crate::context::{Context, both};
use crate::failure::Failure;
use crate::{http, output};

/// Ask the policy in force about one input.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The input is a whole input document (docs/policy.md); fields that are left out are empty, and `tenant` \
and `time` are filled in. The answer is advice and allows nothing. It tells how long ago the holder \
of the tenant confirmed the policy; a copy that is older than the bundle allows denies, policy-stale. \
Exit code 0 whatever the verdict.

EXAMPLES:
    canonry policy ask --input call.json
    echo '{\"action\":{\"tool\":\"mail\"}}' | canonry policy ask --json")]
pub struct Args {
    /// The input; without it, standard input
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    api: Api,
}

/// Runs it.
pub async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let text = input(args.input.as_ref())?;
    let (api, pen) =
        both(context.api(args.api.url.as_deref()), context.pen(&args.who.tenant, &args.who.actor))?;
    let said = http::post(&api, "/api/v1/policy/check", text, &pen).await?;
    if context.json {
        return output::json(&said);
    }
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let rules = said["rules"].as_array().into_iter().flatten();
    let why = match said["code"].as_str() {
        Some(code) => code.to_owned(),
        None => rules.filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
    };
    output::line(&format!("{}\t{why}", text(&said["verdict"])));
    let age =
        said["copy"]["age_seconds"].as_u64().map_or("never".to_owned(), |s| format!("{s} s ago"));
    let policy = match said["policy"]["revision"].as_u64() {
        Some(revision) => format!("revision {revision}, position {}", said["policy"]["position"]),
        None => "no policy".to_owned(),
    };
    output::say(format!(
        "advice only: {policy}, {}, confirmed {age}",
        text(&said["copy"]["worth"])
    ));
    Ok(())
}
