//! Leases in the tables. Whether one has expired is for who reads to say: nothing here has a clock.

use canonry_schemas::lease::Event;
use canonry_schemas::role::Tier;

use super::Fold;
use crate::store::Error;

/// A tier as it is written.
pub(super) fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::T0 => "T0",
        Tier::T1 => "T1",
        Tier::T2 => "T2",
        Tier::T3 => "T3",
        Tier::T4 => "T4",
    }
}

impl Fold<'_> {
    pub(super) fn lease(&self, event: &Event) -> Result<(), Error> {
        match event {
            Event::Issued(e) => {
                if let Some(old) = &e.renews {
                    self.end_lease(old.as_str(), "replaced")?;
                }
                self.run_sql(
                    "INSERT INTO leases VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,
                       'issued', NULL, ?1)",
                    rusqlite::params![
                        self.position,
                        self.record.entity_id(),
                        e.run.as_str(),
                        e.ticket.as_str(),
                        e.role.as_str(),
                        e.worker.as_str(),
                        tier(e.tier),
                        e.login,
                        e.key,
                        &self.record.actor,
                        &self.time,
                        e.expires.to_string(),
                    ],
                )
            }
            Event::Revoked(e) => self.end_lease(e.id.as_str(), "revoked"),
        }
    }

    /// The tier that a role has from this record on.
    pub(super) fn tier_of(&self, role: &str, to: Tier) -> Result<(), Error> {
        self.run_sql(
            "UPDATE roles SET tier = ?2, updated_at = ?3, updated_position = ?4 WHERE id = ?1",
            (role, tier(to), &self.time, self.position),
        )
    }

    fn end_lease(&self, id: &str, status: &str) -> Result<(), Error> {
        self.run_sql(
            "UPDATE leases SET status = ?2, ended_at = ?3, updated_position = ?4
               WHERE id = ?1 AND status = 'issued'",
            (id, status, &self.time, self.position),
        )
    }

    /// The lease of a run that ended.
    pub(super) fn end_lease_of(&self, run: &str) -> Result<(), Error> {
        self.run_sql(
            "UPDATE leases SET status = 'ended', ended_at = ?2, updated_position = ?3
               WHERE run = ?1 AND status = 'issued'",
            (run, &self.time, self.position),
        )
    }
}
