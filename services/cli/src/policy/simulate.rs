//! `canonry policy simulate`: a draft is asked what the policies before it were asked, with the same
//! inputs, and what it would decide otherwise is told. The inputs are content: whoever may read them
//! may simulate.

use canonry_policy::Policy;
use canonry_policy::draft::{Said, Simulated};
use canonry_schemas::limits::SIMULATED;

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

/// Reads the last decisions and asks the policy about each.
async fn ask(
    api: &str,
    pen: &Pen,
    policy: &Policy,
    last: u64,
    bar: &indicatif::ProgressBar,
) -> Result<Simulated, Failure> {
    let mut found = Simulated::default();
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
            found.take(policy, row).map_err(Failure::refused)?;
            bar.set_position(found.decisions);
        }
        match page["next"].as_str() {
            Some(next) if found.decisions < last => cursor = Some(next.to_owned()),
            _ => return Ok(found),
        }
    }
}

/// The rules behind a verdict, or the codes where none said it.
fn words(now: &Said) -> String {
    format!("{}{}", now.rules.join(" "), now.codes.join(" "))
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
        return output::json(&found);
    }
    for one in &found.changed {
        let verdict = |said: &Said| serde_json::to_string(&said.verdict).unwrap_or_default();
        output::line(&format!(
            "{}\t{}\t{}.{}\t{} -> {}\t{}",
            one.position,
            one.action,
            one.tool,
            one.does,
            verdict(&one.was).trim_matches('"'),
            verdict(&one.now).trim_matches('"'),
            words(&one.now),
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
