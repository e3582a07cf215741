//! What a checkpointer says of itself in metrics: how much its checkpoints cover, since when
//! somebody waits, and what is wrong. Tenants that another process signs for are not its own.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use canonry_decider::holder::now;
use canonry_schemas::ids::TenantId;
use canonry_telemetry::Metrics;

/// What is known of one tenant.
#[derive(Debug, Default)]
struct Seen {
    size: u64,
    /// Unix seconds; 0 before its ledger was ever covered.
    covered: u64,
    wrong: bool,
    refused: bool,
}

/// What is known of all.
#[derive(Debug)]
pub struct Told {
    metrics: Metrics,
    tenants: Mutex<BTreeMap<TenantId, Seen>>,
}

impl Told {
    /// Nothing yet.
    #[must_use]
    pub fn new(metrics: Metrics) -> Self {
        Self { metrics, tenants: Mutex::default() }
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<TenantId, Seen>)) {
        let mut tenants = self.tenants.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut tenants);
        let records = tenants.values().map(|seen| seen.size).sum();
        let oldest = tenants.values().map(|seen| seen.covered).min().unwrap_or(0);
        let alarms = tenants.values().filter(|seen| seen.wrong || seen.refused).count();
        self.metrics.checkpoints(records, oldest, alarms as u64);
    }

    /// This process signs for the tenant from now on; what was wrong is looked at again.
    pub fn begins(&self, tenant: &TenantId) {
        self.change(|all| all.entry(tenant.clone()).or_default().wrong = false);
    }

    /// A checkpoint of this size covers all that the ledger has now.
    pub fn covers(&self, tenant: &TenantId, size: u64) {
        let covered = u64::try_from(now().0 / 1_000_000).unwrap_or(0);
        self.change(|all| {
            let seen = all.entry(tenant.clone()).or_default();
            (seen.size, seen.covered) = (size, covered);
        });
    }

    /// The ledger is not what was signed.
    pub fn is_wrong(&self, tenant: &TenantId) {
        self.change(|all| all.entry(tenant.clone()).or_default().wrong = true);
    }

    /// Whether a witness refuses.
    pub fn refuses(&self, tenant: &TenantId, refuses: bool) {
        self.change(|all| all.entry(tenant.clone()).or_default().refused = refuses);
    }

    /// Another process signs for the tenant.
    pub fn leaves(&self, tenant: &TenantId) {
        self.change(|all| all.retain(|known, _| known != tenant));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_longest_and_what_is_wrong_is_told() {
        let metrics = Metrics::new();
        let told = Told::new(metrics.clone());
        let says = |line: &str| assert!(metrics.encode().contains(line), "{line}");
        let [one, two]: [TenantId; 2] = ["one", "two"].map(|name| name.parse().unwrap());
        told.covers(&one, 5);
        told.begins(&two);
        says("canonry_checkpoint_records 5\n");
        says("canonry_checkpoint_oldest_timestamp_seconds 0\n");
        told.covers(&two, 7);
        says("canonry_checkpoint_records 12\n");
        assert!(!metrics.encode().contains("canonry_checkpoint_oldest_timestamp_seconds 0\n"));
        told.is_wrong(&one);
        told.refuses(&one, true);
        told.refuses(&two, true);
        says("canonry_checkpoint_alarms 2\n");
        told.refuses(&two, false);
        told.begins(&one);
        says("canonry_checkpoint_alarms 1\n");
        told.leaves(&one);
        told.leaves(&two);
        says("canonry_checkpoint_alarms 0\n");
        says("canonry_checkpoint_records 0\n");
    }
}
