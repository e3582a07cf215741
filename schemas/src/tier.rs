//! What a trust tier may do, as data: one file a tier under `schemas/tiers`, compiled in. The NATS
//! permissions of a lease, the commands that the decider takes under it, its life and the actions
//! of tools that it may propose all come from the same file, so that they cannot differ.

use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::catalogue::{commands, data, events};
use crate::ids::{ActorId, LeaseId, TenantId};
pub use crate::role::Tier;

/// Whether workers need a lease for what a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LeasesWanted {
    /// They may work without.
    Optional,
    /// They may not.
    Required,
}

data! {
    /// What earns the next tier, counted since the tier last changed.
    Promotion {
        /// The tier that is earned, from the one below.
        to: Tier,
        /// So many runs ended.
        #[schemars(range(min = 1, max = 1_000_000))]
        runs: u32,
        /// So many of them, per mille, were compliant.
        #[schemars(range(max = 1_000))]
        compliant_per_mille: u16,
        /// So many of the last ones were compliant without a break.
        #[schemars(range(max = 1_000_000))]
        consecutive: u32,
    }
    /// Sets what moves roles between tiers, and whether leases are wanted. Founder only. It holds for
    /// what is counted from then on.
    Configure {
        /// Whether workers need leases.
        leases: LeasesWanted,
        /// Whether a role that earned a tier gets it by itself; else a founder is asked.
        automatic: bool,
        /// The tier that a change of model, prompt or tools lowers a role to.
        floor: Tier,
        /// What earns which tier, ascending; a tier that is not named is not earned.
        #[schemars(length(max = 4))]
        promotions: Vec<Promotion>,
        /// So many violations lower a role by one tier.
        #[schemars(range(min = 1, max = 1_000_000))]
        violations: u32,
    }
}

commands! { "tier";
    /// Sets it.
    "configure" => Configure(Configure),
}

events! { "tier";
    /// Set.
    "configured" v 1 => Configured(Configure),
}

/// Every tier, least first.
pub const TIERS: [Tier; 5] = [Tier::T0, Tier::T1, Tier::T2, Tier::T3, Tier::T4];

const FILES: [&str; 5] = [
    include_str!("../tiers/t0.json"),
    include_str!("../tiers/t1.json"),
    include_str!("../tiers/t2.json"),
    include_str!("../tiers/t3.json"),
    include_str!("../tiers/t4.json"),
];

/// One tier's file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Which tier.
    pub tier: Tier,
    /// What people call it.
    pub name: String,
    /// How long a lease of this tier lives, in seconds.
    pub life_seconds: u32,
    /// The commands that may be sent under a lease, `<aggregate>.<verb>`.
    pub commands: Vec<String>,
    /// The news that may be heard, `<aggregate>.<event>` with `*` for either.
    pub hears: Vec<String>,
    /// The actions that may be proposed, `<tool>/<action>`; each may end with `*`.
    pub actions: Vec<String>,
    /// The name of the policy in a secret store.
    pub vault_policy: String,
}

impl Policy {
    /// The file of a tier.
    ///
    /// # Panics
    /// A file that was compiled in does not read; a test reads all of them.
    #[must_use]
    pub fn of(tier: Tier) -> &'static Self {
        static ALL: OnceLock<Vec<Policy>> = OnceLock::new();
        let all = ALL.get_or_init(|| {
            let read = |text: &&str| serde_json::from_str(text).expect("a tier's file reads");
            FILES.iter().map(read).collect()
        });
        &all[tier as usize]
    }

    /// Whether a command may be sent under a lease of this tier.
    #[must_use]
    pub fn may_command(&self, aggregate: &str, verb: &str) -> bool {
        self.commands.iter().any(|c| c.split_once('.') == Some((aggregate, verb)))
    }

    /// Whether an action of a tool may be proposed.
    #[must_use]
    pub fn may_act(&self, tool: &str, action: &str) -> bool {
        self.actions.iter().filter_map(|pattern| pattern.split_once('/')).any(|(of, does)| {
            let fits = |pattern: &str, text: &str| match pattern.strip_suffix('*') {
                Some(begin) => text.starts_with(begin),
                None => pattern == text,
            };
            fits(of, tool) && fits(does, action)
        })
    }

    /// What the NATS user of a lease may publish to.
    #[must_use]
    pub fn publishes(&self, tenant: &TenantId, worker: &str) -> Vec<String> {
        self.commands.iter().map(|c| format!("command.{tenant}.{worker}.{c}")).collect()
    }

    /// What it may subscribe to.
    #[must_use]
    pub fn subscribes(&self, tenant: &TenantId, worker: &str, lease: &str) -> Vec<String> {
        let news = self.hears.iter().map(|h| format!("live.{tenant}.{h}"));
        news.chain([format!("_INBOX.{worker}.{lease}.>")]).collect()
    }
}

/// The inbox prefix of a lease's connection: below its worker's own, so that no name collides.
#[must_use]
pub fn inbox(worker: &ActorId, lease: &LeaseId) -> String {
    format!("_INBOX.{worker}.{lease}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::LEASE_LIFE;

    #[test]
    fn every_file_reads_and_is_of_its_tier() {
        for (tier, before) in TIERS.into_iter().zip([None, Some(0), Some(1), Some(2), Some(3)]) {
            let policy = Policy::of(tier);
            assert_eq!(policy.tier, tier);
            assert!((1..=LEASE_LIFE.as_secs()).contains(&u64::from(policy.life_seconds)));
            // Who is trusted more may do no less, for no longer at a time.
            let Some(lower) = before.map(|n: usize| Policy::of(TIERS[n])) else { continue };
            assert!(lower.commands.iter().all(|c| policy.commands.contains(c)), "{tier:?}");
            assert!(policy.life_seconds <= lower.life_seconds, "{tier:?}");
        }
        let lives = TIERS.map(|tier| Policy::of(tier).life_seconds / 60);
        assert_eq!(lives, [60, 30, 30, 15, 15]);
    }

    /// What each tier may first do; everything above may do it too.
    const ACTIONS: [(&str, &str, Tier); 12] = [
        ("crm", "read", Tier::T0),
        ("crm", "list-people", Tier::T0),
        ("crm", "search", Tier::T0),
        ("desk", "comment", Tier::T1),
        ("desk", "update-group", Tier::T1),
        ("desk", "assign", Tier::T1),
        ("git", "create-branch", Tier::T2),
        ("git", "write", Tier::T2),
        ("shell", "run", Tier::T3),
        ("mail", "send", Tier::T3),
        ("iam", "grant", Tier::T4),
        ("bank", "pay", Tier::T4),
    ];

    #[test]
    fn each_action_has_a_least_tier() {
        for (tool, action, least) in ACTIONS {
            for tier in TIERS {
                let may = Policy::of(tier).may_act(tool, action);
                assert_eq!(may, tier >= least, "{tool}/{action} at {tier:?}");
            }
        }
    }

    #[test]
    fn patterns_fit_whole_words_or_beginnings() {
        let mut policy = Policy::of(Tier::T0).clone();
        policy.actions = vec!["crm/read".to_owned(), "mail*/s*".to_owned()];
        for (tool, action, may) in [
            ("crm", "read", true),
            ("crm", "read-all", false),
            ("crm2", "read", false),
            ("mail", "send", true),
            ("mailer", "s", true),
            ("mail", "read", false),
            ("", "", false),
        ] {
            assert_eq!(policy.may_act(tool, action), may, "{tool}/{action}");
        }
    }
}
