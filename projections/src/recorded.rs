//! A verified record, as the projector hands it over.

use canonry_schemas::event::Event;
use canonry_schemas::time::Time;

/// A record whose chain and signature were checked, and whose content is still encrypted.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Its number in the tenant's chain.
    pub position: u64,
    /// Its hash, 64 hex digits.
    pub hash: String,
    /// Its id.
    pub id: String,
    /// Its moment.
    pub time: Time,
    /// Whose name stands on the command.
    pub actor: String,
    /// The service that sent it for the actor.
    pub via: Option<String>,
    /// The command's idempotency id.
    pub intentid: Option<String>,
    /// The entity commanded, `<aggregate>/<id>`.
    pub entity: String,
    /// Further entities that fold it.
    pub touches: Vec<String>,
    /// The record's type, `canonry.<aggregate>.<event>.v<n>`.
    pub kind: String,
    /// The data as it stands in the record, JSON text.
    pub data: String,
    /// The same, understood.
    pub event: Event,
}

impl Recorded {
    /// The id inside its entity.
    #[must_use]
    pub fn entity_id(&self) -> &str {
        self.entity.split_once('/').map_or(self.entity.as_str(), |(_, id)| id)
    }
}
