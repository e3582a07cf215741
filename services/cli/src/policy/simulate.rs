//! `canonry policy simulate`: a draft is asked what the policies before it were asked, with the same
//! inputs, and what it would decide otherwise is told. The inputs are content: whoever may read them
//! may simulate.

use canonry_decider::judge::recorded;
use canonry_policy::{Input, Policy};
use canonry_schemas::decision::Decision;
use canonry_schemas::limits::SIMULATED;
use serde_json::{Value, json};

use super::eval::Which;
use super::files;
use crate::args::{Api, Who};
use crate::client::Pen;
use crate::context::{Context, both};
use crate::failure::Failure;
use crate::{http, output};

/// Events of one page of the API.
const PAGE: u64 = 200;

/// Ask a draft about what was decided before.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The last decisions about actions are read over the API, each with the input that the policy saw then, \
and the draft is asked about each. Told are those whose verdict or obligations would change. Role, tier \
and budgets can deny an action whatever a policy says; they are not asked. Exit code 0 whatever changes.

EXAMPLES:
    canonry policy simulate --dir policies/ --last 500
    canonry policy simulate --bundle bundle.tar.gz --public \"$KEY\" --json")]
pub struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    signer: files::Signer,
    /// How many decisions, the newest first
    #[arg(long, default_value_t = 200, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=SIMULATED))]
    last: u64,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    api: Api,
}

/// What came of a simulation.
#[derive(Debug, Default)]
struct Found {
    decisions: u64,
    /// Positions whose input cannot be opened any more.
    unreadable: Vec<u64>,
    changed: Vec<Value>,
}

impl Found {
    /// Takes one record: what is no decision is passed over.
    fn take(&mut self, policy: &Policy, row: &Value) -> Result<(), Failure> {
        let data = &row["data"];
        if !data["decision"].is_object() {
            return Ok(());
        }
        self.decisions += 1;
        let position = row["position"].as_u64().unwrap_or_default();
        let unread = |e| Failure::refused(format!("position {position}: {e}"));
        let was: Decision = serde_json::from_value(data["decision"].clone()).map_err(unread)?;
        let Some(input) = data["input"].as_str() else {
            self.unreadable.push(position);
            return Ok(());
        };
        let input: Input = serde_json::from_str(input).map_err(unread)?;
        let said = policy.decide(&input);
        let now = recorded(&said, None, None);
        if (was.verdict, &was.obligations) != (now.verdict, &now.obligations) {
            let told = |d: &Decision| {
                let (verdict, rules, obligations) = (&d.verdict, &d.rules, &d.obligations);
                json!({"verdict": verdict, "rules": rules, "obligations": obligations})
            };
            let mut told_now = told(&now);
            // Why it is DENY though no rule says so.
            told_now["codes"] = said.codes.iter().map(|code| code.code()).collect();
            self.changed.push(json!({
                "position": position, "action": row["entity"], "tool": data["tool"],
                "does": data["action"], "role": data["role"], "was": told(&was), "now": told_now,
            }));
        }
        Ok(())
    }
}

/// Reads the last decisions and asks the policy about each.
async fn ask(
    api: &str,
    pen: &Pen,
    policy: &Policy,
    last: u64,
    bar: &indicatif::ProgressBar,
) -> Result<Found, Failure> {
    let mut found = Found::default();
    let mut cursor: Option<String> = None;
    loop {
        let mut query = vec![
            ("type", "action".to_owned()),
            ("refusal", "false".to_owned()),
            ("sort", "-position".to_owned()),
            ("content", "true".to_owned()),
            ("limit", PAGE.to_string()),
        ];
        query.extend(cursor.take().map(|next| ("cursor", next)));
        let page = http::get(api, "/api/v1/events", &query, pen).await?;
        for row in page["items"].as_array().into_iter().flatten() {
            if found.decisions >= last {
                return Ok(found);
            }
            found.take(policy, row)?;
            bar.set_position(found.decisions);
        }
        match page["next"].as_str() {
            Some(next) if found.decisions < last => cursor = Some(next.to_owned()),
            _ => return Ok(found),
        }
    }
}

/// The rules behind a verdict, or the codes where none said it.
fn words(now: &Value) -> String {
    let list = |name: &str| {
        let all = now[name].as_array().into_iter().flatten();
        all.filter_map(Value::as_str).collect::<Vec<_>>().join(" ")
    };
    format!("{}{}", list("rules"), list("codes"))
}

/// Runs it.
pub async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let source = args.which.source(&args.signer)?;
    let policy = Policy::compile(&source).map_err(Failure::refused)?;
    let (api, pen) =
        both(context.api(args.api.url.as_deref()), context.pen(&args.who.tenant, &args.who.actor))?;
    let bar = context.bars().count("asking", args.last);
    let found = ask(&api, &pen, &policy, args.last, &bar).await;
    bar.finish_and_clear();
    let found = found?;
    if context.json {
        return output::json(&json!({
            "decisions": found.decisions, "changed": found.changed,
            "unreadable": found.unreadable,
        }));
    }
    for one in &found.changed {
        let text = |v: &Value| v.as_str().unwrap_or("-").to_owned();
        output::line(&format!(
            "{}\t{}\t{}.{}\t{} -> {}\t{}",
            one["position"],
            text(&one["action"]),
            text(&one["tool"]),
            text(&one["does"]),
            text(&one["was"]["verdict"]),
            text(&one["now"]["verdict"]),
            words(&one["now"]),
        ));
    }
    let (changed, all) = (found.changed.len(), found.decisions);
    output::say(format!("{changed} of {all} decisions would be otherwise"));
    if !found.unreadable.is_empty() {
        let count = found.unreadable.len();
        output::say(format!("{count} could not be asked: their content is erased"));
    }
    Ok(())
}
