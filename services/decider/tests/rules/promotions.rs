//! What moves a role is recomputed from the records alone, by another program than the one that
//! decided: as whoever checks a ledger would, who knows nothing of states.

use std::collections::{BTreeMap, BTreeSet};

use canonry_domain::tier::judge;
use canonry_schemas::action;
use canonry_schemas::event::Event;
use canonry_schemas::lease::{self, Cause};
use canonry_schemas::role::{self, Counters, Moved};
use canonry_schemas::run;
use canonry_schemas::tier::{self, Configure, TIERS, Tier};
use proptest::prelude::*;
use proptest::test_runner::TestCaseResult;

use crate::moves::{Play, moves};
use crate::table::history;
use crate::tenant::Fact;

/// A role as its records tell it.
#[derive(Debug, Clone)]
struct Told {
    tier: Tier,
    since: Counters,
    counted: u64,
    print: Option<(String, String, String)>,
}

/// Codes of denied actions that are violations, as the record format says.
const BROKEN: [&str; 3] = ["policy-denied", "tool-not-allowed", "tier-too-low"];

#[derive(Default)]
struct Reader {
    roles: BTreeMap<String, Told>,
    runs: BTreeMap<String, String>,
    violated: BTreeSet<String>,
    ended: BTreeSet<String>,
    set: Option<(u64, Configure)>,
}

impl Reader {
    fn ended(&mut self, fact: &Fact, completed: bool) {
        let (run, position) = (fact.id.clone(), fact.at.position);
        if !self.ended.insert(run.clone()) {
            return;
        }
        let good = completed && !self.violated.contains(&run);
        let Some(told) = self.runs.get(&run).and_then(|role| self.roles.get_mut(role)) else {
            return;
        };
        told.since.runs += 1;
        told.counted = position;
        if good {
            told.since.compliant += 1;
            told.since.consecutive += 1;
        } else {
            told.since.consecutive = 0;
        }
    }

    fn violated(&mut self, fact: &Fact, run: &str, role: &str) {
        self.violated.insert(run.to_owned());
        if let Some(told) = self.roles.get_mut(role) {
            told.since.violations += 1;
            told.since.consecutive = 0;
            told.counted = fact.at.position;
        }
    }

    fn role(&mut self, fact: &Fact, event: &role::Event) -> TestCaseResult {
        if let role::Event::Hired(e) = event {
            let told = Told { tier: e.tier, since: Counters::default(), counted: 0, print: None };
            self.roles.insert(fact.id.clone(), told);
            return Ok(());
        }
        let set = self.set.clone();
        let told = self.roles.get_mut(&fact.id).expect("hired before");
        match event {
            role::Event::Amended(e) => {
                if let Some(to) = e.tier.filter(|to| *to != told.tier) {
                    (told.tier, told.since) = (to, Counters::default());
                }
            }
            role::Event::Promoted(e) | role::Event::Demoted(e) => {
                rests(told, e, set)?;
                prop_assert_eq!(e.to > e.from, matches!(event, role::Event::Promoted(_)));
                (told.tier, told.since) = (e.to, Counters::default());
            }
            role::Event::PromotionProposed(e) => {
                rests(told, e, set)?;
                prop_assert!(e.to > e.from);
            }
            role::Event::Fingerprinted(e) => {
                let (model, prompt) = (e.model.0.clone(), e.prompt_digest.to_string());
                let print = (model, prompt, e.tools_digest.to_string());
                let floor = set.map_or(Tier::T0, |(_, set)| set.floor);
                let changed = told.print.as_ref().is_some_and(|old| *old != print);
                let lowers = changed && told.tier > floor;
                let expected = if lowers { floor } else { told.tier };
                prop_assert_eq!(e.tier, expected);
                prop_assert_eq!(e.lowered_from, lowers.then_some(told.tier));
                if changed {
                    told.since = Counters::default();
                }
                (told.tier, told.print) = (e.tier, Some(print));
            }
            role::Event::Hired(_)
            | role::Event::Paused(_)
            | role::Event::Resumed(_)
            | role::Event::Retired(_) => {}
        }
        Ok(())
    }

    fn hear(&mut self, fact: &Fact) -> TestCaseResult {
        match &fact.event {
            Event::Role(e) => self.role(fact, e)?,
            Event::Tier(tier::Event::Configured(e)) => {
                self.set = Some((fact.at.position, e.clone()));
            }
            Event::Run(run::Event::Started(e)) => {
                self.runs.insert(fact.id.clone(), e.role.to_string());
            }
            Event::Run(run::Event::Completed(_)) => self.ended(fact, true),
            Event::Run(run::Event::Failed(_) | run::Event::Cancelled(_)) => {
                self.ended(fact, false);
            }
            Event::Lease(lease::Event::Revoked(e)) if e.cause == Cause::Violation => {
                self.violated(fact, e.run.as_str(), e.role.as_str());
            }
            Event::Action(action::Event::Denied(e)) if BROKEN.contains(&&*e.code.0) => {
                self.violated(fact, e.run.as_str(), e.role.as_str());
            }
            Event::Action(action::Event::Lapsed(e)) => {
                self.violated(fact, e.run.as_str(), e.role.as_str());
            }
            _ => {}
        }
        Ok(())
    }
}

/// A move names what it rests on, and follows from it.
fn rests(told: &Told, moved: &Moved, set: Option<(u64, Configure)>) -> TestCaseResult {
    let (position, set) = set.expect("nothing moves before anything is set");
    prop_assert_eq!(moved.from, told.tier);
    prop_assert_eq!(moved.counters, told.since);
    prop_assert_eq!(&moved.counted, &told.counted.to_string());
    prop_assert_eq!(&moved.thresholds, &position.to_string());
    prop_assert_eq!(judge(moved.from, &moved.counters, &set), Some(moved.to));
    Ok(())
}

/// Holds a whole history to it.
fn read(history: &[Fact]) -> Result<Reader, TestCaseError> {
    let mut reader = Reader::default();
    history.iter().try_for_each(|fact| reader.hear(fact))?;
    Ok(reader)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 160, failure_persistence: None, ..ProptestConfig::default()
    })]

    /// What the world says of a role is what its records say.
    #[test]
    fn what_records_say_is_what_the_world_says(moves in moves(160)) {
        let mut play = Play::default();
        for one in &moves {
            let ask = play.ask(one);
            if let Ok(event) = play.tenant.decide(&ask) {
                play.commit(&ask, event);
            }
        }
        let reader = read(&play.history)?;
        for (id, role) in &play.tenant.roles {
            let told = &reader.roles[id];
            prop_assert_eq!(role.tier, told.tier);
            prop_assert_eq!(role.standing.since, told.since);
            prop_assert_eq!(role.standing.counted, told.counted);
        }
    }

    /// No step of more than one tier, none down without violations, none up with too many.
    #[test]
    fn a_move_is_one_step(
        at in 0..5_usize, runs in 0..50_u32, compliant in 0..50_u32, consecutive in 0..50_u32,
        violations in 0..4_u32, need in 1..20_u32, share in 0..=1_000_u16, most in 1..4_u32,
        steps in prop::collection::btree_set(1..5_usize, 0..5),
    ) {
        let step = |to: &usize| tier::Promotion {
            to: TIERS[*to], runs: need, compliant_per_mille: share, consecutive: need,
        };
        let set = Configure {
            leases: tier::LeasesWanted::Optional,
            automatic: true,
            floor: Tier::T0,
            promotions: steps.iter().map(step).collect(),
            violations: most,
        };
        let since = Counters { runs, compliant, consecutive, violations };
        let to = judge(TIERS[at], &since, &set).map(|to| TIERS.iter().position(|t| *t == to));
        let down = violations >= most;
        let good = runs >= need
            && consecutive >= need
            && u64::from(compliant) * 1_000 >= u64::from(share) * u64::from(runs);
        let expected = match (down, at) {
            (true, 0) => None,
            (true, at) => Some(at - 1),
            (false, at) => Some(at + 1).filter(|next| good && steps.contains(next)),
        };
        prop_assert_eq!(to.flatten(), expected);
    }
}

/// The reader finds what does not follow.
#[test]
fn a_move_that_rests_on_nothing_is_found() {
    let earned = "tier.configured; role.hired; ticket.opened; worker: run.started of @run;
        worker: run.completed; worker: run.started of @again;
        worker: run.completed {\"id\":\"@again\"}";
    let good = format!("{earned}; timer: role.promoted {{\"counted\":\"11\"}}");
    assert!(read(&history(&good)).is_ok());
    for broken in [
        r#"{"counted":"10"}"#,
        r#"{"counted":"11","thresholds":"4"}"#,
        r#"{"counted":"11","to":"T3"}"#,
        r#"{"counted":"11","from":"T0"}"#,
        r#"{"counted":"11","counters":{"runs":3,"compliant":2,"consecutive":2,"violations":0}}"#,
    ] {
        assert!(
            read(&history(&format!("{earned}; timer: role.promoted {broken}"))).is_err(),
            "{broken}"
        );
    }
}
