//! `canonry member rotate`: a member's `login` and `member` keys, replaced in one record. The new
//! keys lie beside the old ones until the ledger has them; a rotation that was cut off between the
//! commit and that moment is taken up by the next change of keys.

use std::path::{Path, PathBuf};

use canonry_decider::found::user_kind;
use canonry_keystore::{ErrorKind, KeyStore, KeyUse, StoredKey};
use canonry_provision::Cell;
use canonry_record::KeyRing;
use canonry_record::ring::public_key;
use canonry_schemas::ids::{ActorId, KeyId, TenantId};
use canonry_schemas::key::{PublicKey, Use};
use canonry_schemas::member::Part;
use canonry_schemas::time::Time;
use serde_json::json;

use super::change::{Change, member_entry};
use super::logins;
use crate::args::{Nats, Who};
use crate::context::Context;
use crate::failure::{Failure, chain};
use crate::{ledger, output};

/// Replace a member's keys.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
One record replaces both keys, and the creds are written anew. The login can be issued only where \
the seed of the tenant's account lies; elsewhere use --only member, which the member may do alone.
From then on the ledger names the new keys and nothing signed with an old one counts. The old creds \
are revoked at the NATS server too, where the provisioning user lies in this home; else run \
`canonry member revoke-logins` there.

EXAMPLES:
    canonry member rotate carol
    canonry member rotate carol --as carol --only member
    canonry member rotate carol --end-step-up")]
pub struct Rotate {
    /// Whose keys
    pub member: ActorId,
    /// Only this key; both without it
    #[arg(long, value_enum, value_name = "KEY")]
    only: Option<Only>,
    /// What they step up with ends too: the device is lost
    #[arg(long)]
    end_step_up: bool,
    /// Until when the new keys hold; without it, until they are revoked
    #[arg(long, value_parser = Time::lenient, value_name = "TIME")]
    until: Option<Time>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    nats: Nats,
}

/// One of the two keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Only {
    /// What logs in to NATS
    Login,
    /// What signs
    Member,
}

fn unstored(error: canonry_keystore::Error) -> Failure {
    Failure::config(chain(&error))
}

/// Runs it.
///
/// # Errors
/// Refused, or no answer.
pub async fn run(context: &Context, args: Rotate) -> Result<(), Failure> {
    let (tenant, member) = (&args.who.tenant, &args.member);
    let wants = |key| args.only.is_none_or(|only| only == key);
    // Before anything is made.
    let cell = if wants(Only::Login) { Some(context.cell()?) } else { None };
    let change = Change::begin(context, &args.who, &args.nats, member).await?;
    if change.parts.is_empty() {
        return Err(Failure::refused(format!("{member} is no member of {tenant}")));
    }
    let (mut keys, mut revoked) = (Vec::new(), Vec::new());
    let mut login = None;
    if let Some(cell) = &cell {
        let fresh = Login::issue(cell, tenant, member, &change.parts, args.until)?;
        keys.push(fresh.entry.clone());
        revoked.extend(ledger::current(&change.ring, member, Use::Login));
        login = Some(fresh);
    }
    let mut signing = None;
    if wants(Only::Member) {
        let key = StoredKey::generate(&[KeyUse::Member], member.clone()).map_err(unstored)?;
        change.keys.put_key(tenant, &key).map_err(unstored)?;
        keys.push(member_entry(&key));
        revoked.extend(ledger::current(&change.ring, member, Use::Member));
        signing = Some(key);
    }
    if args.end_step_up {
        revoked.extend(ledger::current(&change.ring, member, Use::StepUp));
    }
    keys.iter_mut().for_each(|key: &mut PublicKey| key.notafter = args.until);
    let authorized = change.authorized(keys, revoked.clone(), Some(member))?;
    // No answer: what was kept beside stays, for `take_up`.
    let answer =
        change.submit("member", "rotate-keys", json!({"actor": member}), &authorized).await?;
    if let Some(key) = signing {
        if answer.ok {
            change.keys.put_member_key(tenant, &key).map_err(unstored)?;
        }
        change.keys.retire_key(tenant, &key.id()).map_err(unstored)?;
    }
    if let Some(login) = login {
        login.settle(&change.keys, tenant, member, answer.ok)?;
        if answer.ok {
            logins::after(context, &args.nats, &change.ring, &revoked).await?;
        }
    }
    output::answer(&answer, context.json)
}

/// A fresh login whose creds are not in use yet.
struct Login {
    entry: PublicKey,
}

impl Login {
    /// Issues it, and puts its creds beside those that hold.
    fn issue(
        cell: &Cell,
        tenant: &TenantId,
        member: &ActorId,
        parts: &[Part],
        until: Option<Time>,
    ) -> Result<Self, Failure> {
        let keys = cell.key_store();
        let path = keys.tenant_creds_path(tenant, member);
        let held = match keys.read_text(&path) {
            Ok(creds) => Some(creds),
            Err(error) if error.kind == ErrorKind::Missing => None,
            Err(error) => return Err(unstored(error)),
        };
        let until = until.map(Time::seconds);
        let issued = cell.tenant_user_until(tenant, member, user_kind(parts), until);
        let issued = issued.map_err(|e| Failure::config(chain(&e)))?;
        let entry = public_key(&issued.public, vec![Use::Login], member.clone());
        let fresh = keys.read_text(&path).map_err(unstored)?;
        let put = |path: &Path, creds: &str| {
            keys.put_creds(path, &format!("{creds}\n")).map_err(unstored)
        };
        put(&beside(keys, tenant, member, &entry.id), &fresh)?;
        if let Some(held) = held {
            put(&path, &held)?;
        }
        Ok(Self { entry })
    }

    /// Puts the creds in their place, or takes them away again.
    fn settle(
        &self,
        keys: &KeyStore,
        tenant: &TenantId,
        member: &ActorId,
        committed: bool,
    ) -> Result<(), Failure> {
        let path = beside(keys, tenant, member, &self.entry.id);
        if committed {
            adopt(keys, tenant, member, &self.entry.id)?;
            let creds = keys.tenant_creds_path(tenant, member);
            output::say(format!("creds {}", creds.display()));
            return Ok(());
        }
        std::fs::remove_file(&path).map_err(|e| Failure::config(format!("{}: {e}", path.display())))
    }
}

/// Where the creds of a login lie until the ledger has it.
fn beside(keys: &KeyStore, tenant: &TenantId, member: &ActorId, id: &KeyId) -> PathBuf {
    keys.tenant_creds_path(tenant, member).with_file_name(format!("{member}.{id}.creds"))
}

fn adopt(keys: &KeyStore, tenant: &TenantId, member: &ActorId, id: &KeyId) -> Result<(), Failure> {
    let path = beside(keys, tenant, member, id);
    let creds = keys.tenant_creds_path(tenant, member);
    std::fs::rename(&path, &creds).map_err(|e| Failure::config(format!("{}: {e}", path.display())))
}

/// Takes up a rotation of which the ledger knows, but this home does not.
pub(super) fn take_up(keys: &KeyStore, ring: &KeyRing, actor: &ActorId) -> Result<(), Failure> {
    let tenant = ring.tenant();
    for id in ledger::current(ring, actor, Use::Login) {
        if beside(keys, tenant, actor, &id).exists() {
            adopt(keys, tenant, actor, &id)?;
        }
    }
    let current = ledger::current(ring, actor, Use::Member);
    for key in keys.keys(tenant).map_err(unstored)? {
        if key.uses == [KeyUse::Member] && current.contains(&key.id()) {
            keys.put_member_key(tenant, &key).map_err(unstored)?;
            keys.retire_key(tenant, &key.id()).map_err(unstored)?;
        }
    }
    Ok(())
}
