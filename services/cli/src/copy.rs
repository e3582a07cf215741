//! `canonry copy`: a second copy of a ledger outside NATS, verified on its way and kept up to date
//! until it is stopped.

use std::time::Duration;

use canonry_backup::copy::Round;
use canonry_backup::{Copier, Place, check, heads};
use canonry_record::Verifier;
use canonry_record::verify::Pins;
use serde_json::json;

use crate::args::{Nats, Of, duration};
use crate::backup::{failure, progress, say_missing};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::serve::StopSignals;

/// Keep a second copy of a ledger outside NATS.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Records are written as segments that never change, each verified before it is written and read \
back after; the signed head comes last. Started again, it verifies what is there and goes on behind \
it. For a bucket set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and, where it is not \
Amazon's, AWS_ENDPOINT_URL; or name a file with AWS_SHARED_CREDENTIALS_FILE.

EXAMPLES:
    canonry copy --to file:///srv/copies --once
    canonry copy --of acme --to s3://ledgers/cell-1 --every 5m")]
pub struct Args {
    /// Where to: file:///folder or s3://bucket/prefix
    #[arg(long, env = "CANONRY_BACKUP", value_name = "URL")]
    to: String,
    /// Copy what is there now, and end
    #[arg(long)]
    once: bool,
    /// How often what is new is copied
    #[arg(long, default_value = "60s", value_name = "TIME", value_parser = duration)]
    every: Duration,
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    nats: Nats,
}

/// Runs it.
///
/// # Errors
/// The ledger or the copy does not stand, or something does not answer.
pub async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let tenant = &args.of.tenant;
    let place = Place::make(&args.to).map_err(|e| failure(&e))?.below(tenant.as_str());
    let log = context.ledger(args.nats.named(), tenant).await?;
    let signals = StopSignals::hear()?;
    let copying = async {
        let bar = context.bars().count("reading back", 0);
        let there = check(&place, tenant, Pins::default(), &mut progress(&bar), &mut |_| ()).await;
        drop(bar);
        let mut copier = match there {
            Ok(checked) => Copier::behind(place.clone(), &checked),
            Err(canonry_backup::Error::Nothing { .. }) => {
                Copier::new(place.clone(), Verifier::new(tenant.clone(), Pins::default()))
            }
            Err(error) => return Err(failure(&error)),
        };
        loop {
            let before = copier.verifier().position();
            let (head, _) = heads::fresh(&log, tenant).await.map_err(|e| failure(&e))?;
            let bar = context.bars().count("copying", 0);
            let at = canonry_decider::holder::now();
            let done = copier.round(&log, &head, at, &mut progress(&bar)).await;
            drop(bar);
            let written = done.map_err(|e| failure(&e))?;
            let position = copier.verifier().position();
            say_missing(&written.missing);
            if args.once || position > before {
                say(context, &place, position, &written)?;
            }
            if args.once {
                return Ok(());
            }
            tokio::time::sleep(args.every).await;
        }
    };
    tokio::select! {
        done = copying => done,
        // A segment that is cut off leaves nothing: the next start goes on.
        () = signals.wait() => Ok(()),
    }
}

fn say(context: &Context, place: &Place, position: u64, round: &Round) -> Result<(), Failure> {
    let place = place.shown();
    let (segments, evidence) = (round.segments.len(), round.evidence.len());
    let records = round.records;
    if context.json {
        return output::json(&json!({
            "place": place, "position": position, "records": records, "segments": segments,
            "evidence": evidence,
        }));
    }
    output::line(&format!(
        "{place}: {records} records in {segments} segments, {evidence} evidence objects, up to \
         {position}"
    ));
    Ok(())
}
