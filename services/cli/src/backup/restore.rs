//! `canonry backup restore`: into the cell of this home, with the provisioning users and the
//! committer's creds, on a server of its own or a running one.

use canonry_backup::{Place, Restored, Target, restore};
use canonry_decider::OverNats;
use canonry_decider::serve::connect_cell;
use canonry_provision::server::Options;
use canonry_provision::{Cell, CellUser};
use canonry_record::Hash;
use serde_json::json;

use super::erased::Erased;
use super::{Why, progress};
use crate::args::{Nats, Of};
use crate::context::Context;
use crate::failure::{Failure, chain, exit};
use crate::lock::Lock;
use crate::{ledger, output};

/// Restore a tenant into servers that hold nothing of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The home must hold the tenant's keys and the cell's creds: it is restored by other means first, and \
`canonry up` must not have run on the empty server, because it would found the tenant anew. Without \
--nats the home's own server is started for it. The tenant stays closed until everything was read \
back and verified; cut off, start it again. Evidence is stored again where it was not erased, and \
opened to compare it with the ledger; what does not come back is named, and the exit code is 1. With --head it is not opened if the backup ends before \
a record that is known to have been given out.

EXAMPLES:
    canonry backup restore --from file:///srv/backups --of acme
    canonry backup restore --of acme --from s3://ledgers/cell-1 --tenant sha256:9f2c… --head 1024:77ab…")]
pub struct Args {
    /// Where the backup lies
    #[arg(long, env = "CANONRY_BACKUP", value_name = "URL")]
    from: String,
    /// The tenant's identity, the hash of record 1: pins the founder
    #[arg(long = "tenant", visible_alias = "pin", value_name = "sha256:HASH", value_parser = ledger::identity)]
    pin: Option<Hash>,
    /// The last head known from elsewhere
    #[arg(long, value_name = "POSITION:HASH", value_parser = ledger::head)]
    head: Option<(u64, Hash)>,
    /// Replicas of the streams
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    replicas: u8,
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    nats: Nats,
}

pub(super) async fn run(context: &Context, args: Args) -> Result<(), Why> {
    let place = Place::open(&args.from)?;
    // Absolute, because nats-server is started elsewhere.
    let home = context.absolute_home();
    let cell = Context { home, ..context.clone() }.cell()?;
    // What its decider signs and opens with must be there before anything is made.
    let kek = cell.key_store().kek(&args.of.tenant);
    kek.map_err(|e| Failure::config(format!("the tenant's keys are not here: {}", chain(&e))))?;
    if let Some(url) = args.nats.named() {
        return into(context, &args, &place, &cell, url).await;
    }
    let _lock = Lock::take(cell.key_store().home(), "up", "canonry up")?;
    let spinner = context.bars().spinner("starting nats-server");
    let server = cell.start_server(Options::default()).await;
    spinner.finish_and_clear();
    let mut server = server.map_err(|e| Failure::unavailable(chain(&e)))?;
    let done = into(context, &args, &place, &cell, &server.url()).await;
    let stopped = server.stop().await.map_err(|e| Failure::unavailable(chain(&e)));
    done?;
    Ok(stopped?)
}

async fn into(
    context: &Context,
    args: &Args,
    place: &Place,
    cell: &Cell,
    url: &str,
) -> Result<(), Why> {
    let user = async |user: CellUser| {
        connect_cell(url, cell.key_store(), &user).await.map_err(Failure::unavailable)
    };
    let sys = OverNats(user(CellUser::ProvisionSys).await?);
    let streams = OverNats(user(CellUser::ProvisionStreams).await?);
    let committer = user(CellUser::Committer).await?;
    let replicas = args.replicas;
    let evidence = user(CellUser::Evidence).await?;
    let target = Target { cell, sys: &sys, streams: &streams, committer, evidence, replicas };
    let bar = context.bars().count("restoring", 0);
    let (tenant, mut progress) = (&args.of.tenant, progress(&bar));
    let kek = cell.key_store().kek(tenant).map_err(|e| Failure::config(chain(&e)))?;
    let erasures = &mut Erased::new(tenant.clone(), kek);
    let done = restore(&target, place, tenant, args.pin, args.head, erasures, &mut progress).await;
    bar.finish_and_clear();
    let done = done?;
    let (head, identity) = (&done.head.head, format!("sha256:{}", done.identity));
    let at = format!("{}:{}", head.position, head.hash);
    if context.json {
        output::json(&json!({
            "ok": true, "records": done.records, "head": at, "tenant": identity,
            "pinned": done.pinned, "content_keys": done.content_keys,
            "evidence": done.evidence.objects, "evidence_opened": done.evidence.opened,
            "evidence_wrong": done.evidence_wrong.iter().map(|(object, _)| object).collect::<Vec<_>>(),
        }))?;
        return told_wrong(&done);
    }
    output::line(&format!(
        "{tenant}: {} records, {} content keys and {} evidence objects ({} opened) restored and \
         verified, head {at}, tenant {identity}",
        done.records, done.content_keys, done.evidence.objects, done.evidence.opened,
    ));
    if !done.pinned {
        output::say(
            "the founder was not pinned: compare the identity with one known from elsewhere",
        );
    }
    told_wrong(&done)
}

/// The tenant is restored; which of its evidence is not.
fn told_wrong(done: &Restored) -> Result<(), Why> {
    for (object, why) in &done.evidence_wrong {
        output::say(format!("evidence {object} did not come back: {why}"));
    }
    if done.evidence_wrong.is_empty() { Ok(()) } else { Err(Failure::silent(exit::REFUSED).into()) }
}
