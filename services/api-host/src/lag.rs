//! How far the projectors of this process are behind: for each tenant the head that was seen and
//! the position applied. Only the greatest difference is shown, so that no tenant is a label.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use canonry_schemas::ids::TenantId;
use canonry_telemetry::Metrics;

#[derive(Debug, Default, Clone, Copy)]
struct Place {
    head: u64,
    applied: u64,
    /// The head that was seen first: what stands up to it was there before this process.
    first: u64,
}

/// All tenants of a process.
#[derive(Debug)]
pub struct Lag {
    places: Mutex<HashMap<TenantId, Place>>,
    metrics: Metrics,
}

impl Lag {
    /// With no tenant.
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        Self { places: Mutex::default(), metrics }
    }

    fn note(&self, tenant: &TenantId, change: impl FnOnce(&mut Place)) -> Place {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry(tenant.clone()).or_default();
        change(place);
        let noted = *place;
        let behind = places.values().map(|p| p.head.saturating_sub(p.applied)).max();
        self.metrics.lag(behind.unwrap_or(0));
        noted
    }

    /// A ledger's head was seen, and where its read models stand. The head that was seen first.
    pub fn seen(&self, tenant: &TenantId, head: u64, applied: u64) -> u64 {
        let place = self.note(tenant, |place| {
            if place.first == 0 {
                place.first = head;
            }
            (place.head, place.applied) = (head, applied);
        });
        place.first
    }

    /// Records up to a position were applied, so many of them.
    pub fn applied(&self, tenant: &TenantId, position: u64, records: u64) {
        self.metrics.projected(records);
        self.note(tenant, |place| place.applied = position);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenant_that_is_most_behind_is_shown() {
        let metrics = Metrics::new();
        let lag = Lag::new(metrics.clone());
        let (acme, globex): (TenantId, TenantId) =
            ("acme".parse().unwrap(), "globex".parse().unwrap());
        assert_eq!(lag.seen(&acme, 10, 4), 10);
        assert_eq!(lag.seen(&globex, 100, 98), 100);
        assert!(metrics.encode().contains("canonry_projector_lag_records 6\n"));
        lag.applied(&acme, 10, 6);
        assert!(metrics.encode().contains("canonry_projector_lag_records 2\n"));
        lag.applied(&globex, 100, 2);
        assert_eq!(lag.seen(&globex, 101, 100), 100, "the first head stays");
        let text = metrics.encode();
        assert!(text.contains("canonry_projector_lag_records 1\n"), "{text}");
        assert!(text.contains("canonry_projected_records_total 8\n"), "{text}");
    }
}
