//! `canonry ledger tail|show`: records as they stand, for people or as JSON. Content stays
//! sealed: who may read it asks the API.

use canonry_nats::{ReadError, Stored};
use futures_util::StreamExt as _;
use serde_json::{Value, json};

use super::scan::{last, line};
use crate::args::{Nats, Of};
use crate::context::Context;
use crate::failure::{Failure, chain};
use crate::output;

/// Print the last records, then new ones as they are stored.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
    canonry ledger tail --of acme
    canonry ledger tail --of acme --last 100 --json")]
pub struct Tail {
    #[command(flatten)]
    of: Of,
    /// How many records of before
    #[arg(long, default_value_t = 10, value_name = "N")]
    last: u64,
    #[command(flatten)]
    nats: Nats,
}

/// Print one record.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
    canonry ledger show 1 --of acme
    canonry ledger show 42 --of acme --json")]
pub struct Show {
    /// Its position
    #[arg(value_name = "POSITION", value_parser = clap::value_parser!(u64).range(1..))]
    position: u64,
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    nats: Nats,
}

pub(super) fn print(context: &Context, stored: &Stored) -> Result<(), Failure> {
    let body = std::str::from_utf8(&stored.body).map_err(Failure::refused)?;
    if context.json {
        // The bytes as they stand: nothing is written again.
        output::line(body);
        return Ok(());
    }
    let record: Value = serde_json::from_str(body).map_err(Failure::refused)?;
    let text = |name: &str| record[name].as_str().unwrap_or_default();
    let mut out = format!(
        "{:>7} {} {:<32} {:<36} {}",
        stored.seq,
        text("time"),
        text("type"),
        text("entity"),
        text("actor")
    );
    if let Some(code) = record["data"]["code"].as_str() {
        out.push_str(&format!(" ({code})"));
    }
    output::line(&out);
    Ok(())
}

pub(super) async fn tail(context: &Context, args: Tail) -> Result<(), Failure> {
    let log = context.ledger(args.nats.named(), &args.of.tenant).await?;
    let mut due = (last(&log).await? + 1).saturating_sub(args.last).max(1);
    loop {
        let mut records = match log.follow(due).await {
            Ok(records) => records,
            Err(error @ ReadError::Gap { .. }) => return Err(Failure::refused(chain(&error))),
            Err(error) => return Err(Failure::unavailable(chain(&error))),
        };
        loop {
            let next = tokio::select! {
                next = records.next() => next,
                _ = tokio::signal::ctrl_c() => return Ok(()),
            };
            match next {
                Some(Ok(stored)) => {
                    due = stored.seq + 1;
                    print(context, &stored)?;
                }
                Some(Err(error @ ReadError::Gap { .. })) => {
                    return Err(Failure::refused(chain(&error)));
                }
                Some(Err(error)) => {
                    tracing::info!(%error, "reading again");
                    break;
                }
                None => break,
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    }
}

pub(super) async fn show(context: &Context, args: Show) -> Result<(), Failure> {
    let log = context.ledger(args.nats.named(), &args.of.tenant).await?;
    let found = log.get(args.position).await.map_err(|e| Failure::unavailable(chain(&e)))?;
    let none = || Failure::refused(format!("there is no position {}", args.position));
    let stored = found.ok_or_else(none)?;
    let read = canonry_record::read::read(&line(&stored));
    if let Err(why) = &read {
        output::say(format!("this record does not stand: {why}"));
    }
    let body: Value = serde_json::from_slice(&stored.body).map_err(Failure::refused)?;
    let whole = json!({
        "seq": stored.seq, "subject": stored.subject, "headers": stored.headers, "body": body,
    });
    let shown = if context.json { output::json(&whole) } else { output::pretty(&whole) };
    shown?;
    if read.is_ok() { Ok(()) } else { Err(Failure::silent(crate::exit::REFUSED)) }
}
