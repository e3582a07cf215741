//! What a trust tier may do, as data: one file a tier under `schemas/tiers`, compiled in. The NATS
//! permissions of a lease, the commands that the decider takes under it, its life and the actions
//! of tools that it may propose all come from the same file, so that they cannot differ.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::ids::{ActorId, LeaseId, TenantId};
pub use crate::role::Tier;

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
