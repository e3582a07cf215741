//! Arguments that several commands share.

use canonry_schemas::ids::{ActorId, TenantId};

use crate::context::DEFAULT_TENANT;

/// Where NATS is.
#[derive(Debug, Clone, clap::Args)]
pub struct Nats {
    /// Address of NATS; without it, the server that `canonry up` runs
    #[arg(id = "nats", long = "nats", env = "CANONRY_NATS", value_name = "URL")]
    pub url: Option<String>,
}

impl Nats {
    /// The address, where one was named.
    #[must_use]
    pub fn named(&self) -> Option<&str> {
        self.url.as_deref()
    }
}

/// Where the HTTP API is.
#[derive(Debug, Clone, clap::Args)]
pub struct Api {
    /// Address of the HTTP API; without it, the one that `canonry up` runs
    #[arg(id = "api", long = "api", env = "CANONRY_API", value_name = "URL")]
    pub url: Option<String>,
}

/// In whose name.
#[derive(Debug, Clone, clap::Args)]
pub struct Who {
    /// The tenant
    #[arg(long, env = "CANONRY_TENANT", default_value = DEFAULT_TENANT, value_name = "NAME")]
    pub tenant: TenantId,
    /// The person or worker whose creds and key are used
    #[arg(long = "as", default_value = "founder", value_name = "ACTOR")]
    pub actor: ActorId,
}

/// Whose ledger.
#[derive(Debug, Clone, clap::Args)]
pub struct Of {
    /// The tenant whose ledger it is
    #[arg(long = "of", env = "CANONRY_TENANT", default_value = DEFAULT_TENANT, value_name = "NAME")]
    pub tenant: TenantId,
}
