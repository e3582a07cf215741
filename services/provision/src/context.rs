//! Contexts of the `nats` CLI: server, creds and inbox prefix in one file, so that
//! `nats --context acme-founder req command.acme.founder.ticket.open …` works as it stands.

use std::path::Path;

use canonry_schemas::address::{Address, Tls};
use canonry_schemas::ids::{ActorId, TenantId};
use serde_json::{Value, json};

use crate::accounts::AUDIT_PREFIX;
use crate::users::{CellUser, TenantUser, auditor_inbox};

/// The context of a person or worker.
#[must_use]
pub fn tenant_user(
    tenant: &TenantId,
    actor: &ActorId,
    kind: TenantUser,
    url: &str,
    creds: &Path,
) -> String {
    let description = format!("{actor} of {tenant}");
    let mut context = match kind {
        TenantUser::Auditor => base(&description, url, creds, &auditor_inbox(tenant, actor)),
        TenantUser::Member | TenantUser::Worker => {
            base(&description, url, creds, &format!("_INBOX.{actor}"))
        }
    };
    if kind == TenantUser::Auditor {
        context["jetstream_api_prefix"] = AUDIT_PREFIX.into();
    }
    pretty(&context)
}

/// The context of a user of the cell.
#[must_use]
pub fn cell_user(user: &CellUser, url: &str, creds: &Path) -> String {
    let inbox = format!("_INBOX.{}", user.name());
    pretty(&base(&format!("{} of the cell", user.name()), url, creds, &inbox))
}

fn base(description: &str, url: &str, creds: &Path, inbox: &str) -> Value {
    let address: Address =
        url.parse().unwrap_or_else(|_| Address { servers: url.to_owned(), ..Address::default() });
    let mut context = json!({
        "description": description, "url": address.servers, "creds": creds.to_string_lossy(),
        "inbox_prefix": inbox,
    });
    let Tls { ca, cert, key } = address.tls;
    for (name, file) in [("ca", ca), ("cert", cert), ("key", key)] {
        if let Some(file) = file {
            context[name] = file.to_string_lossy().into();
        }
    }
    context
}

fn pretty(context: &Value) -> String {
    format!("{context:#}\n")
}
