//! `canonry diff`: what changed between two positions, over the HTTP API.

use serde_json::Value;

use crate::args::{Api, Who};
use crate::context::{Context, both};
use crate::failure::Failure;
use crate::{http, output};

/// Show what changed between two positions.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every role, ticket, run and member that a fact touched is folded as of both positions; the fields \
that differ are shown with their values before and after.

EXAMPLES:
    canonry diff --from 100 --to 250
    canonry diff --from 0 --to 250 --json")]
pub struct Args {
    /// The earlier position; 0 is before the first record
    #[arg(long, value_name = "POSITION")]
    from: u64,
    /// The later position
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(u64).range(1..))]
    to: u64,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    api: Api,
}

/// Runs it.
///
/// # Errors
/// The API does not answer, or refuses: the positions lie too far apart, or one is not there yet.
pub async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    if args.from > args.to {
        return Err(Failure::usage("--from must not lie behind --to"));
    }
    let (api, pen) =
        both(context.api(args.api.url.as_deref()), context.pen(&args.who.tenant, &args.who.actor))?;
    let query = [("from", args.from.to_string()), ("to", args.to.to_string())];
    let spinner = context.bars().spinner("comparing");
    let found = http::get(&api, "/api/v1/diff", &query, &pen).await;
    spinner.finish_and_clear();
    let found = found?;
    if context.json {
        return output::json(&found);
    }
    for entity in found["entities"].as_array().into_iter().flatten() {
        lines(entity).iter().for_each(|line| output::line(line));
    }
    Ok(())
}

/// One entity for people.
fn lines(entity: &Value) -> Vec<String> {
    let text = |v: &Value| match v {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let facts = &entity["facts"];
    let mut lines =
        vec![format!("{} {} ({facts} facts)", text(&entity["entity"]), text(&entity["change"]))];
    let fields = entity["fields"].as_object().into_iter().flatten();
    lines.extend(
        fields.map(|(name, v)| {
            format!("    {name}: {} -> {}", text(&v["before"]), text(&v["after"]))
        }),
    );
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entity_in_words() {
        let one = serde_json::json!({
            "entity": "ticket/tkt_1", "change": "changed", "facts": 2,
            "fields": {"status": {"before": "open", "after": "cancelled"}, "due": {"after": "x"}},
        });
        let words = lines(&one);
        assert_eq!(words[0], "ticket/tkt_1 changed (2 facts)");
        assert!(words.contains(&"    status: open -> cancelled".to_owned()), "{words:?}");
        assert!(words.contains(&"    due: - -> x".to_owned()), "{words:?}");
    }
}
