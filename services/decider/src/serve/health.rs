//! What a decider says of itself to `/readyz` and `/metrics`. It changes nothing.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use canonry_schemas::refusal::unrecorded;

use super::Shop;

/// What a decider says of itself to readiness and metrics.
#[derive(Clone)]
pub struct Health(pub(super) Arc<Shop>);

impl std::fmt::Debug for Health {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Health").field("fault", &self.fault()).finish_non_exhaustive()
    }
}

impl Health {
    /// Whether some tenant's store gives no answer.
    #[must_use]
    pub fn store_unavailable(&self) -> bool {
        let held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.values().any(|(status, _)| status.unavailable.load(Ordering::Relaxed))
    }

    /// Why it cannot serve: a code and what is missing. `None` when it can.
    #[must_use]
    pub fn fault(&self) -> Option<(&'static str, String)> {
        let connections = [&self.0.committer, &self.0.responder, &self.0.intake];
        let why = if connections.iter().any(|c| !c.is_connected()) {
            "the decider has no connection to NATS"
        } else if self.store_unavailable() {
            "a commit has had no answer from the store for a long time"
        } else {
            return None;
        };
        Some((unrecorded::STORE, why.to_owned()))
    }

    /// How many tenants are frozen: their commands are refused here, all else goes on.
    #[must_use]
    pub fn frozen(&self) -> usize {
        self.0.frozen.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Brings the metrics of this decider up to date with what waits and what is in flight.
    pub fn measure(&self) {
        let held = self.0.held.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut waiting, mut in_flight) = (0, 0);
        for (status, sender) in held.values() {
            waiting += (sender.max_capacity() - sender.capacity()) as u64;
            let committed = status.committed.load(Ordering::Relaxed);
            in_flight += status.decided.load(Ordering::Relaxed).saturating_sub(committed);
        }
        self.0.config.metrics.frozen(self.frozen() as u64);
        self.0.config.metrics.commands(waiting, in_flight, held.len() as u64);
    }
}
