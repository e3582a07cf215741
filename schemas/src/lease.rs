//! Leases: a worker's short-lived credentials, bound to one run. The worker makes two keys of its
//! own and names their public halves; no secret is ever in a record.

use serde::{Deserialize, Serialize};

use crate::catalogue::{commands, data, events};
use crate::ids::{ActorId, KeyId, LeaseId, RoleId, RunId, TicketId};
use crate::role::Tier;
use crate::time::Time;

/// Why a lease was ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Cause {
    /// The worker gives it back.
    Returned,
    /// Its keys may be in other hands.
    Compromised,
    /// The worker broke a rule: it counts against its role.
    Violation,
    /// Anything else.
    Other,
}

data! {
    /// Asks for a lease for a run that goes on.
    Issue {
        /// The run.
        run: RunId,
        /// The ed25519 key that will log in to NATS, 32 bytes in base64url. It signs nothing else.
        #[schemars(regex(pattern = r"^[A-Za-z0-9_-]{43}$"))]
        login: String,
        /// The ed25519 key that will sign lease tokens, another one.
        #[schemars(regex(pattern = r"^[A-Za-z0-9_-]{43}$"))]
        key: String,
        /// The living lease of the run that this one takes the place of.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        renews: Option<LeaseId>,
    }
    /// A lease; its id is in `entity`. It holds while its run goes on, its role is workable and of
    /// this tier or a higher one, its worker is a member, nobody revoked it, and until it expires.
    Issued {
        /// The run.
        run: RunId,
        /// The run's ticket.
        ticket: TicketId,
        /// The run's role.
        role: RoleId,
        /// Who works.
        worker: ActorId,
        /// The role's tier: what the lease may do is in the file of this tier.
        tier: Tier,
        /// The key that logs in to NATS.
        #[schemars(regex(pattern = r"^[A-Za-z0-9_-]{43}$"))]
        login: String,
        /// The key that signs lease tokens.
        #[schemars(regex(pattern = r"^[A-Za-z0-9_-]{43}$"))]
        key: String,
        /// That key's id.
        key_id: KeyId,
        /// The lease that ends with this record.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        renews: Option<LeaseId>,
        /// Until when.
        expires: Time,
    }
    /// Ends a lease at once.
    Revoke {
        /// Which.
        id: LeaseId,
        /// Why.
        cause: Cause,
    }
    /// A lease that was ended.
    Revoked {
        /// Which.
        id: LeaseId,
        /// Its run.
        run: RunId,
        /// Its role.
        role: RoleId,
        /// Why.
        cause: Cause,
    }
}

commands! { "lease";
    /// Asks for one.
    "issue" => Issue(Issue),
    /// Ends it.
    "revoke" => Revoke(Revoke),
}

events! { "lease";
    /// Issued; the id is in `entity`.
    "issued" v 1 => Issued(Issued),
    /// Ended before its time.
    "revoked" v 1 => Revoked(Revoked),
}

/// What the issuer is asked on `lease.<tenant>.<worker>.credentials`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AskCredentials {
    /// The lease.
    pub lease: LeaseId,
    /// The position of its record, a decimal: the issuer waits until it has read so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = r"^[1-9][0-9]{0,19}$"))]
    pub position: Option<String>,
}

/// What the issuer answers. The token is no secret: it is worth something only together with the
/// seed of its login key, which the worker keeps.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Credentials {
    /// Whether there is a token.
    pub ok: bool,
    /// The token of the lease's NATS user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jwt: Option<String>,
    /// Until when the server lets it in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Time>,
    /// The stable code, where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// What happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
