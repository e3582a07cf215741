//! A copy of a policy: as old as the worse clock says, and never younger than what was heard.

use std::time::Duration;

use canonry_policy::distributed::{Copy, Held, Moment, Standing, Unheard};
use canonry_record::Hash;
use canonry_record::beat::{Beat, Published};
use canonry_schemas::text::Label;
use canonry_schemas::time::Time;
use proptest::prelude::*;

const NOW: i64 = 1_800_000_000;

fn published(position: u64, revision: u64) -> Published {
    Published {
        position,
        hash: Hash([1; 32]),
        digest: format!("{revision:064}").parse().unwrap(),
        revision,
        version: Label(revision.to_string()),
        expires: Time((NOW + 10_000) * 1_000_000),
        ttl_seconds: 300,
    }
}

fn held(position: u64, revision: u64) -> Held {
    Held { published: published(position, revision), archive: Vec::new() }
}

/// A beat at these seconds, of a holder of this epoch who has so many records.
fn beat(seconds: i64, epoch: u64, position: u64, policy: Option<Published>) -> Beat {
    Beat {
        tenant: "acme".parse().unwrap(),
        epoch,
        position,
        hash: Hash([2; 32]),
        keyhead: Hash([3; 32]),
        time: Time((NOW + seconds) * 1_000_000),
        policy,
    }
}

/// Seconds by the two clocks.
fn at(since: i64, wall: i64) -> Moment {
    let since = Duration::from_secs(u64::try_from(since).unwrap());
    Moment { since, wall: Time((NOW + wall) * 1_000_000) }
}

fn code(copy: &Copy, now: Moment) -> &'static str {
    copy.standing(now).denies().unwrap_or("fresh")
}

fn fresh() -> Copy {
    let mut copy = Copy::default();
    copy.take(held(5, 1)).unwrap();
    copy.hear(&beat(0, 2, 9, Some(published(5, 1))), at(100, 0)).unwrap();
    copy
}

#[test]
fn a_copy_lives_as_long_as_its_bundle_says_by_either_clock() {
    let copy = fresh();
    assert_eq!(code(&copy, at(100, 0)), "fresh");
    assert_eq!(code(&copy, at(399, 299)), "fresh");
    assert_eq!(code(&copy, at(400, 299)), "policy-stale", "the monotonic clock");
    assert_eq!(code(&copy, at(100, 300)), "policy-stale", "the time of day: the machine slept");
    assert_eq!(code(&copy, at(400, -5_000)), "policy-stale", "set back");
    assert_eq!(copy.age(at(130, 20)), Some(Duration::from_secs(30)));
}

#[test]
fn what_was_old_when_it_came_is_as_old() {
    let mut copy = Copy::default();
    assert_eq!(code(&copy, at(0, 0)), "policy-stale");
    copy.take(held(5, 1)).unwrap();
    assert_eq!(code(&copy, at(0, 0)), "policy-stale", "nobody said that it is in force");
    copy.hear(&beat(0, 2, 9, Some(published(5, 1))), at(0, 299)).unwrap();
    assert_eq!(code(&copy, at(0, 299)), "fresh");
    assert_eq!(code(&copy, at(1, 0)), "policy-stale", "299 seconds old, and one more");
}

#[test]
fn no_policy_and_an_expired_one_have_codes_of_their_own() {
    let mut copy = Copy::default();
    copy.hear(&beat(0, 2, 9, None), at(0, 0)).unwrap();
    assert_eq!(code(&copy, at(0, 0)), "policy-missing");
    assert_eq!(code(&copy, at(900, 0)), "policy-stale");
    let mut copy = fresh();
    let now = at(10_000, 9_990);
    copy.hear(&beat(9_990, 2, 9, Some(published(5, 1))), now).unwrap();
    assert_eq!(code(&copy, now), "fresh");
    let end = at(10_010, 10_000);
    assert_eq!(code(&copy, end), "policy-expired");
    copy.hear(&beat(10_000, 2, 9, Some(published(5, 1))), end).unwrap();
    assert_eq!(code(&copy, at(10_011, 9_000)), "policy-expired", "the clock was set back");
}

#[test]
fn each_beat_that_is_not_newer_or_says_otherwise_counts_for_nothing() {
    let policy = || Some(published(5, 1));
    let changed = |change: fn(&mut Published)| {
        let mut other = published(5, 1);
        change(&mut other);
        Some(other)
    };
    for (what, one, why) in [
        ("replayed", beat(0, 2, 9, policy()), Unheard::Replayed),
        ("older", beat(-1, 2, 9, policy()), Unheard::Replayed),
        ("earlier holder", beat(1, 1, 9, policy()), Unheard::Deposed),
        ("shorter ledger", beat(1, 2, 8, policy()), Unheard::RolledBack),
        ("ahead", beat(56, 2, 9, policy()), Unheard::Future),
        ("no policy", beat(1, 2, 9, None), Unheard::RolledBack),
        ("older policy", beat(1, 2, 9, Some(published(4, 1))), Unheard::RolledBack),
        (
            "other digest",
            beat(1, 2, 9, changed(|p| p.digest = "f".repeat(64).parse().unwrap())),
            Unheard::Differs,
        ),
        ("longer life", beat(1, 2, 9, changed(|p| p.ttl_seconds = 900)), Unheard::Differs),
        ("other record", beat(1, 2, 9, changed(|p| p.hash = Hash([9; 32]))), Unheard::Differs),
    ] {
        let mut copy = fresh();
        let before = copy.age(at(150, 50));
        assert_eq!(copy.hear(&one, at(150, 50)), Err(why), "{what}");
        assert_eq!(copy.age(at(150, 50)), before, "{what}");
        assert_eq!(code(&copy, at(399, 299)), "fresh", "{what}");
        assert_eq!(code(&copy, at(400, 300)), "policy-stale", "{what}");
    }
}

#[test]
fn a_policy_that_is_not_here_makes_the_one_that_is_worthless() {
    let mut copy = fresh();
    let newer = beat(1, 2, 12, Some(published(12, 2)));
    assert_eq!(copy.hear(&newer, at(101, 1)), Err(Unheard::Unread));
    assert_eq!(code(&copy, at(101, 1)), "policy-stale");
    // Neither an older one of the ledger nor an older revision takes its place.
    assert_eq!(copy.take(held(4, 7)), Err(Unheard::RolledBack));
    assert_eq!(copy.take(held(12, 1)), Err(Unheard::RolledBack));
    copy.take(held(12, 2)).unwrap();
    copy.hear(&newer, at(102, 2)).unwrap();
    let Standing::Fresh(now) = copy.standing(at(102, 2)) else { panic!("it is in force") };
    assert_eq!(now.published.revision, 2);
    // After a repair that left it out the older one is in force again, but not by an old beat.
    copy.begin_again();
    copy.take(held(5, 1)).unwrap();
    let old = beat(1, 2, 9, Some(published(5, 1)));
    assert_eq!(copy.hear(&old, at(103, 3)), Err(Unheard::RolledBack));
    copy.hear(&beat(4, 3, 40, Some(published(5, 1))), at(104, 4)).unwrap();
    assert_eq!(code(&copy, at(104, 4)), "fresh");
}

proptest! {
    /// Whatever is heard in whatever order: what decides was confirmed within its time to live, by
    /// both clocks, at a position that never fell.
    #[test]
    fn what_decides_was_confirmed_in_time(
        heard in prop::collection::vec((0i64..2_000, 0u64..4, 0u64..20, 0i64..2_000, -50i64..2_000), 1..40),
        since in 0i64..3_000, wall in -100i64..3_000,
    ) {
        let mut copy = Copy::default();
        copy.take(held(5, 1)).unwrap();
        let mut last: Option<(i64, i64)> = None;
        let (mut epochs, mut positions) = (0, 0);
        let mut clock = 0;
        for (seconds, epoch, position, later, wall) in heard {
            clock = clock.max(later);
            let one = beat(seconds, epoch, position, Some(published(5, 1)));
            if copy.hear(&one, at(clock, wall)).is_ok() {
                prop_assert!(epoch >= epochs && position >= positions && seconds <= wall + 5);
                prop_assert!(last.is_none_or(|(before, _)| seconds > before));
                (epochs, positions, last) = (epoch, position, Some((seconds, clock)));
            }
        }
        let now = at(clock + since, wall);
        if matches!(copy.standing(now), Standing::Fresh(_)) {
            let (seconds, came) = last.expect("nothing is fresh that nobody confirmed");
            prop_assert!(clock + since - came < 300 && wall - seconds < 300);
        }
    }
}
