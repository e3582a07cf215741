//! Logins that ended on the ledger, revoked at the NATS server as well: it cuts their connections and
//! lets them in no more. That takes the provisioning user and the operator's seed, which may lie
//! elsewhere; then it is said, and `canonry member revoke-logins` does it there.

use canonry_decider::holder::now;
use canonry_decider::serve::{OverNats, connect_cell};
use canonry_provision::revocation::Revoked;
use canonry_provision::{Cell, CellUser};
use canonry_record::KeyRing;
use canonry_schemas::ids::{KeyId, TenantId};
use canonry_schemas::key::Use;
use serde_json::json;

use crate::args::{Nats, Of};
use crate::context::{Context, both};
use crate::failure::{Failure, chain};
use crate::{ledger, output};

/// Revoke at the server every login that ended on the ledger.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Reads the verified ledger, so it needs nobody's word, and may be repeated. Needs the operator's seed \
and the provisioning user of SYS in the home.

EXAMPLES:
    canonry member revoke-logins
    canonry member revoke-logins --of globex --json")]
pub struct RevokeLogins {
    #[command(flatten)]
    of: Of,
    #[command(flatten)]
    nats: Nats,
}

/// Runs it.
///
/// # Errors
/// The ledger is broken, the provisioning user is not here, or the server refuses.
pub async fn run(context: &Context, args: RevokeLogins) -> Result<(), Failure> {
    let url = context.nats(args.nats.named());
    let (cell, url) = both(context.cell(), url)?;
    let tenant = &args.of.tenant;
    let nobody = "nobody".parse().map_err(Failure::config)?;
    let (ring, _) = ledger::standing(context, args.nats.named(), tenant, &nobody).await?;
    let revoked = ended(&ring, &[]);
    push(&cell, &url, tenant, &revoked).await?;
    if context.json {
        return output::json(&json!({"tenant": tenant, "revoked": revoked.len()}));
    }
    output::line(&format!("{} logins of {tenant} are revoked at the server", revoked.len()));
    Ok(())
}

/// After a change that was committed: revokes what it ended, or says how to.
pub(super) async fn after(
    context: &Context,
    nats: &Nats,
    ring: &KeyRing,
    just: &[KeyId],
) -> Result<(), Failure> {
    let revoked = ended(ring, just);
    if revoked.is_empty() {
        return Ok(());
    }
    let (tenant, url) = (ring.tenant(), context.nats(nats.named())?);
    let done = match context.cell() {
        Ok(cell) => push(&cell, &url, tenant, &revoked).await,
        Err(failure) => Err(failure),
    };
    if let Err(failure) = done {
        output::say(format!(
            "the old login ended on the ledger, but the NATS server still lets it connect: {}\n\
             run `canonry member revoke-logins --of {tenant}` where the provisioning user lies",
            failure.message
        ));
    }
    Ok(())
}

async fn push(cell: &Cell, url: &str, tenant: &TenantId, all: &Revoked) -> Result<(), Failure> {
    let sys = connect_cell(url, cell.key_store(), &CellUser::ProvisionSys).await;
    let sys = sys.map_err(Failure::unavailable)?;
    let pushed = cell.revoke_logins(&OverNats(sys), tenant, all).await;
    pushed.map_err(|e| Failure::refused(chain(&e)))
}

/// Every login that was revoked, has expired, or ends with a change that was made just now.
fn ended(ring: &KeyRing, just: &[KeyId]) -> Revoked {
    let now = now();
    let logins = ring.entries().filter(|e| e.may(Use::Login));
    let over = logins.filter(|e| !e.is_current() || e.has_expired(now) || just.contains(&e.key.id));
    Revoked::of(over.map(|e| e.verifying.as_bytes()))
}
