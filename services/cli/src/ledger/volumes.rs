//! `canonry ledger close-volume` and `canonry ledger repair`: what only the offline users may do to
//! a ledger's streams.

use canonry_checkpoints::Store;
use canonry_checkpoints::store::CHECKPOINT;
use canonry_decider::closing::{Refused, close_volume};
use canonry_decider::repair::{Wanted, repair};
use canonry_decider::serve::connect_cell;
use canonry_keystore::KeyStore;
use canonry_projections::Reader;
use canonry_provision::{CellUser, Error};
use canonry_schemas::ids::TenantId;
use canonry_tlog::Checkpoint;
use serde_json::json;

use crate::args::{Nats, Of};
use crate::context::{Context, both};
use crate::failure::{Failure, chain};
use crate::output;

/// Close the volume that grows and open the next one.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The ledger is verified, the tenant taken over for a moment, so that nothing can be under way, the \
stream sealed for good, its subject moved aside, and the next stream opened at the next position. \
Deciders may run: one of them takes the tenant over again, and commands meanwhile are answered \
`retry`, which clients repeat. Needs the offline user provision-streams and the record key. An \
interrupted run is finished by the next one; a volume without records is left as it is.

EXAMPLES:
    canonry ledger close-volume --of acme
    canonry ledger close-volume --of acme --replicas 3 --json")]
pub struct Close {
    #[command(flatten)]
    of: Of,
    /// Replicas of the new volume
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    replicas: u8,
    #[command(flatten)]
    nats: Nats,
}

/// Go on after a loss: lift the freeze of a tenant whose ledger is damaged.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What is left is verified from the first record on. A new volume begins beyond every position that \
was ever given out: of the streams, the signed head, the snapshots and read models of this home, \
and what --beyond names from elsewhere (an export, another machine). Its first record names what is \
lost, and `canonry ledger verify` tells of it for ever. Look for a copy of the lost records first: \
nothing brings them back into this ledger afterwards. Needs the root key of the tenant and the user \
provision-streams, both kept offline. An interrupted run is finished by the next one.

EXAMPLES:
    canonry ledger repair --of acme
    canonry ledger repair --of acme --beyond 120000 --json")]
pub struct Repair {
    #[command(flatten)]
    of: Of,
    /// A position that somebody else has seen; the new volume begins beyond it
    #[arg(long, default_value_t = 0, value_name = "POSITION",
        value_parser = clap::value_parser!(u64).range(..1 << 52))]
    beyond: u64,
    /// Replicas of the new volume
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    replicas: u8,
    #[command(flatten)]
    nats: Nats,
}

pub(super) async fn close(context: &Context, args: Close) -> Result<(), Failure> {
    let (keys, url) = both(context.keys(), context.nats(args.nats.named()))?;
    let tenant = &args.of.tenant;
    let bar = context.bars().spinner("verifying the ledger");
    let heard = |position| bar.set_message(format!("verifying the ledger: {position}"));
    let done = Box::pin(close_volume(&keys, &url, tenant, args.replicas, heard)).await;
    drop(bar);
    let done = done.map_err(|e| match e {
        Refused::Unavailable(_) | Refused::Provision(Error::Request { .. }) => {
            Failure::unavailable(chain(&e))
        }
        e => Failure::refused(chain(&e)),
    })?;
    if context.json {
        return output::json(&json!({
            "closed": done.closed, "open": done.open, "first": done.first,
        }));
    }
    match done.closed {
        Some(volume) => output::line(&format!("closed volume {volume}")),
        None => output::line("nothing to close: an earlier run did, or it holds no record yet"),
    }
    output::line(&format!("volume {} is open, from position {} on", done.open, done.first));
    Ok(())
}

/// The last position that a checkpoint covers; 0 where none was signed or none can be read: what
/// cannot be known from there must be named with `--beyond`.
async fn signed(keys: &KeyStore, url: &str, tenant: &TenantId) -> Result<u64, Failure> {
    let reader = connect_cell(url, keys, &CellUser::Reader).await.map_err(Failure::unavailable)?;
    let store = Store::open(reader.clone(), tenant).map_err(|e| Failure::refused(chain(&e)))?;
    let read = async {
        let (note, _) = store.note(CHECKPOINT).await.ok()??;
        let size = Checkpoint::of(&note).ok()?.size;
        store.positions().await.ok()?.position(size.checked_sub(1)?)
    };
    let position = read.await.unwrap_or(0);
    reader.close().await;
    Ok(position)
}

pub(super) async fn repaired(context: &Context, args: Repair) -> Result<(), Failure> {
    let (keys, url) = both(context.keys(), context.nats(args.nats.named()))?;
    let tenant = args.of.tenant;
    let file = context.projections().join(format!("{tenant}.sqlite"));
    // A read model that does not open has seen nothing that it could tell.
    let projected = if file.exists() {
        let head = Reader::open(&file).and_then(|mut r| r.snapshot().map(|s| s.head().position));
        head.unwrap_or(0)
    } else {
        0
    };
    let wanted = Wanted {
        tenant: tenant.clone(),
        seen: args.beyond.max(projected).max(signed(&keys, &url, &tenant).await?),
        replicas: args.replicas,
    };
    let bar = context.bars().spinner("verifying what is left");
    let heard = |position| bar.set_message(format!("verifying what is left: {position}"));
    let done = Box::pin(repair(&keys, &url, &wanted, heard)).await;
    let done = done.map_err(Failure::refused)?;
    drop(bar);
    let (position, hash) = done.head;
    if context.json {
        return output::json(&json!({
            "tenant": tenant, "repair": done.repair, "head": format!("{position}:{hash}"),
        }));
    }
    match done.repair {
        Some(r) => output::line(&format!(
            "repaired: the last record that stands is {}:{}; positions {} to {} hold nothing, those \
             up to {} may have been records",
            r.after, r.hash, r.from, r.to, r.given
        )),
        None => {
            output::line("the ledger is whole up to every position known: the freeze is lifted")
        }
    }
    output::line(&format!("head {position}:{hash}"));
    Ok(())
}
