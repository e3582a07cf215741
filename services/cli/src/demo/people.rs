//! The names of the demo's people and the tenant.

use canonry_schemas::ids::{ActorId, TenantId};
use canonry_schemas::member::Part;

/// The worker's token.
pub const WORKER: &str = "triage-1";

/// The tenant.
pub fn tenant() -> TenantId {
    "acme".parse().expect("a tenant token")
}

/// A token that this module wrote.
pub fn actor(name: &str) -> ActorId {
    name.parse().expect("an actor token")
}

/// The first people.
pub fn first() -> Vec<(ActorId, Vec<Part>)> {
    [
        ("founder", Part::Founder),
        ("approver", Part::Approver),
        ("operator", Part::Operator),
        ("auditor", Part::Auditor),
    ]
    .map(|(name, part)| (actor(name), vec![part]))
    .to_vec()
}
