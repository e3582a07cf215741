//! `canonry policy diff`: what differs between a draft and the policy in force, file by file.

use std::fmt::Write as _;

use canonry_policy::bundle::{self, Trust};
use canonry_policy::draft::differences;
use canonry_policy::{Policy, Source};
use canonry_record::encoding::unbase64_padded;
use canonry_schemas::time::Time;
use serde_json::json;

use super::eval::Which;
use super::files;
use crate::args::{Api, Who};
use crate::client::Pen;
use crate::context::{Context, both};
use crate::failure::Failure;
use crate::{http, output};

/// Show what differs between a draft and the policy in force.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The policy in force is the one that was published last, or the one at --at. What it would decide \
otherwise `canonry policy simulate` shows.

EXAMPLES:
    canonry policy diff --dir policies/
    canonry policy diff --bundle bundle.tar.gz --public \"$KEY\" --json
    canonry policy diff --dir policies/ --at 1024")]
pub struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    signer: files::Signer,
    /// Position of the record that published the policy to compare with
    #[arg(long, value_name = "POSITION", value_parser = clap::value_parser!(u64).range(1..))]
    at: Option<u64>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    api: Api,
}

/// A policy that was published.
struct Published {
    position: u64,
    revision: u64,
    source: Source,
}

/// The policy in force, or the one that this record published.
async fn published(api: &str, pen: &Pen, at: Option<u64>) -> Result<Option<Published>, Failure> {
    let mut query = vec![
        ("type", "canonry.policy.published.v1".to_owned()),
        ("sort", "-position".to_owned()),
        ("limit", "1".to_owned()),
    ];
    let place = at.map(|position| position.to_string());
    query.extend(place.iter().map(|position| ("from_position", position.clone())));
    query.extend(place.iter().map(|position| ("to_position", position.clone())));
    let page = http::get(api, "/api/v1/events", &query, pen).await?;
    let Some(row) = page["items"].as_array().and_then(|items| items.first()) else {
        return match at {
            Some(position) => {
                Err(Failure::refused(format!("position {position} published no policy")))
            }
            None => Ok(None),
        };
    };
    let unread = || Failure::refused("the published bundle does not read");
    let archive = row["data"]["bundle"].as_str().and_then(unbase64_padded).ok_or_else(unread)?;
    // It was verified before it was recorded, and may have expired since.
    let trust = Trust { key: &|_| true, now: Time(0), newest: None };
    let bundle = bundle::open(&archive, &trust).map_err(Failure::refused)?;
    Ok(Some(Published {
        position: row["position"].as_u64().unwrap_or_default(),
        revision: bundle.revision,
        source: bundle.source,
    }))
}

/// Runs it.
pub async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let draft = args.which.source(&args.signer)?;
    let rules = Policy::compile(&draft).map_err(Failure::refused)?.rules();
    let (api, pen) =
        both(context.api(args.api.url.as_deref()), context.pen(&args.who.tenant, &args.who.actor))?;
    let published = published(&api, &pen, args.at).await?;
    let changed = differences(published.as_ref().map(|p| &p.source), &draft);
    if context.json {
        return output::json(&json!({
            "published": published.as_ref().map(|p| json!({
                "position": p.position, "revision": p.revision, "digest": p.source.digest,
            })),
            "rules": rules, "files": changed,
        }));
    }
    let mut text = match &published {
        Some(p) => format!("against revision {}, position {}", p.revision, p.position),
        None => "against nothing: no policy was published".to_owned(),
    };
    let _ = writeln!(text, ": {} files differ", changed.len());
    changed.iter().for_each(|c| text.push_str(&c.diff));
    output::line(text.trim_end());
    Ok(())
}
