//! Arguments that several commands share.

use std::path::PathBuf;
use std::time::Duration;

use canonry_schemas::address;
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

/// How the connection to NATS is guarded; beside an address that names files itself, these win.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Tls {
    /// PEM file of the authority that signed the certificate of NATS; TLS is then required
    #[arg(long, global = true, env = "CANONRY_TLS_CA", value_name = "FILE")]
    tls_ca: Option<PathBuf>,
    /// PEM file of our certificate, where NATS asks for one
    #[arg(long, global = true, env = "CANONRY_TLS_CERT", value_name = "FILE")]
    tls_cert: Option<PathBuf>,
    /// PEM file of its key
    #[arg(long, global = true, env = "CANONRY_TLS_KEY", value_name = "FILE")]
    tls_key: Option<PathBuf>,
}

impl From<Tls> for address::Tls {
    fn from(args: Tls) -> Self {
        // Absolute, because addresses go into files that are read from elsewhere.
        let whole =
            |file: Option<PathBuf>| file.map(|file| std::path::absolute(&file).unwrap_or(file));
        Self { ca: whole(args.tls_ca), cert: whole(args.tls_cert), key: whole(args.tls_key) }
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

/// Reads a time such as `90s`, `15m` or `24h`.
///
/// # Errors
/// Anything else, and nothing at all.
pub fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || "expected a number and s, m or h, such as 90s, 15m or 24h".to_owned();
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 60 * 60,
        _ => return Err(wrong()),
    };
    let number: u32 = number.parse().map_err(|_| wrong())?;
    if number == 0 {
        return Err(wrong());
    }
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_strictly() {
        assert_eq!(duration("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("24h"), Ok(Duration::from_secs(86_400)));
        for bad in ["", "s", "0s", "5", "-1m", "1d", "1 h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }
}
