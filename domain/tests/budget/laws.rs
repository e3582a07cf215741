//! Laws: whatever is reserved, settled, lapsed and limited, in whatever order and over whatever
//! nights, no account is overspent, nothing is lost, and a refusal has a reason.

use canonry_domain::budget::{Account, Day, Tally};
use canonry_schemas::budget::{Amount, Dimension, Limits, MOST, Period, Used};
use canonry_schemas::role::Budget;
use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestCaseResult};

use crate::amount;
use crate::world::{ACCOUNTS, ROLES, RUNS, World, of_run};

/// Moves of one play, at most.
const MOVES: usize = 3_000;
const HOUR: i64 = 3_600_000_000;

#[derive(Debug, Clone)]
enum Move {
    Reserve { run: usize, need: Amount },
    Settle { nth: usize, used: Used },
    Lapse { nth: usize },
    Limit { account: usize, period: Period, limits: Limits },
    Budget { role: usize, budget: Budget },
    Later { micros: i64 },
}

/// Up to `most`; nothing now and then, and the greatest of all once in a long while.
fn much(most: u64) -> impl Strategy<Value = u64> {
    prop_oneof![1_000 => 0..=most, 100 => Just(0), 1 => Just(MOST), 1 => MOST - 2..=MOST]
}

fn need() -> impl Strategy<Value = Amount> {
    (much(60), much(900), much(3), much(40)).prop_map(|(m, t, c, w)| amount(m, t, c, w))
}

fn limits() -> impl Strategy<Value = Limits> {
    let some = |most| prop::option::weighted(0.5, most / 10..most);
    (some(9_000), some(90_000_u64), some(500), some(6_000)).prop_map(|(m, t, c, w)| Limits {
        money_micros: m,
        tokens: t,
        calls: c,
        wall_seconds: w,
    })
}

fn used() -> impl Strategy<Value = Used> {
    let some = |most| prop::option::weighted(0.8, much(most));
    (some(31), some(300), some(100), some(2), some(21)).prop_map(|(m, i, o, c, w)| Used {
        money_micros: m,
        tokens_in: i,
        tokens_out: o,
        calls: c.map(|c| u32::try_from(c).unwrap_or(u32::MAX)),
        wall_seconds: w,
    })
}

fn one() -> impl Strategy<Value = Move> {
    let period = prop_oneof![Just(Period::Day), Just(Period::Total)];
    let budget = (much(4_000), much(9_000))
        .prop_map(|(t, d)| Budget { per_ticket_micros: t, per_day_micros: d });
    prop_oneof![
        60 => (0..RUNS, need()).prop_map(|(run, need)| Move::Reserve { run, need }),
        40 => (0..500_usize, used()).prop_map(|(nth, used)| Move::Settle { nth, used }),
        10 => (0..500_usize).prop_map(|nth| Move::Lapse { nth }),
        4 => (0..ACCOUNTS, period, limits())
            .prop_map(|(account, period, limits)| Move::Limit { account, period, limits }),
        1 => (0..ROLES, budget).prop_map(|(role, budget)| Move::Budget { role, budget }),
        2 => (0..30 * HOUR).prop_map(|micros| Move::Later { micros }),
    ]
}

fn four(amount: &Amount) -> [u128; 4] {
    Dimension::ALL.map(|d| u128::from(amount.of(d)))
}

/// An account says what the list says. What is spent stands still at [`MOST`].
fn agrees(told: Tally, listed: [[u128; 4]; 2], what: &str) -> TestCaseResult {
    let capped = listed[0].map(|n| n.min(u128::from(MOST)));
    prop_assert_eq!(four(&told.spent), capped, "spent, {}", what);
    prop_assert_eq!(four(&told.reserved), listed[1], "reserved, {}", what);
    Ok(())
}

fn accounts_agree(world: &World) -> TestCaseResult {
    for account in 0..ACCOUNTS {
        agrees(world.accounts[account].total(), world.listed(account, None), "total")?;
        let today = world.today();
        agrees(world.accounts[account].on(today), world.listed(account, Some(today)), "today")?;
    }
    Ok(())
}

/// What is used and what is free come to the limit, and to no more than what is used beyond it.
fn conserved(world: &World) -> TestCaseResult {
    for account in &world.accounts {
        for (period, tally) in
            [(Period::Total, account.total()), (Period::Day, account.on(world.today()))]
        {
            let limits = account.limits(period);
            let free = tally.free(limits);
            for d in Dimension::ALL {
                let (limit, used) = (limits.of(d).unwrap_or(MOST), tally.used().of(d));
                prop_assert_eq!(used + free.of(d), limit.max(used), "{:?}", d);
            }
        }
    }
    Ok(())
}

/// Used on the bound's account, by the list.
fn listed_used(world: &World, account: usize, period: Period) -> [u128; 4] {
    let day = (period == Period::Day).then(|| world.today());
    let [spent, reserved] = world.listed(account, day);
    let mut used = spent.map(|n| n.min(u128::from(MOST)));
    (0..4).for_each(|d| used[d] += reserved[d]);
    used
}

/// A reservation: within every limit afterwards, or refused for a limit that has no room.
fn reserved(world: &mut World, run: usize, need: &Amount) -> TestCaseResult {
    let before: Vec<Account> = world.accounts.clone();
    match world.reserve(run, need) {
        Ok(warnings) => {
            for (account, period, limits) in world.bounds(run) {
                let used = listed_used(world, account, period);
                for (n, d) in Dimension::ALL.into_iter().enumerate() {
                    let limit = u128::from(limits.of(d).unwrap_or(MOST));
                    prop_assert!(
                        used[n] <= limit,
                        "{:?} of {}: {} > {}",
                        d,
                        account,
                        used[n],
                        limit
                    );
                    let was = used[n] - u128::from(need.of(d));
                    let crossed = limits.of(d).is_some() && was * 100 < limit * 80;
                    let crossed = crossed && used[n] * 100 >= limit * 80;
                    let scope = world.scope(account);
                    let named = warnings.iter().any(|w| {
                        w.scope == scope
                            && w.period == period
                            && w.dimension == d
                            && u128::from(w.limit) == limit
                            && u128::from(w.used) == used[n]
                    });
                    prop_assert_eq!(crossed, named, "a warning of {:?} {:?}", period, d);
                }
            }
        }
        Err(refused) => {
            prop_assert_eq!(&before, &world.accounts, "all or none");
            let line = refused.0;
            let bound = world.bounds(run).into_iter().find(|(account, period, _)| {
                world.scope(*account) == line.scope && *period == line.period
            });
            let (account, period, limits) = bound.ok_or(TestCaseError::fail("no such bound"))?;
            let n = Dimension::ALL.iter().position(|d| *d == line.dimension).unwrap();
            let used = listed_used(world, account, period)[n];
            let limit = limits.of(line.dimension).unwrap_or(MOST);
            prop_assert_eq!(limit, line.limit);
            prop_assert_eq!(used.min(u128::from(MOST)), u128::from(line.used));
            prop_assert!(used + u128::from(need.of(line.dimension)) > u128::from(limit));
        }
    }
    Ok(())
}

fn step(world: &mut World, one: &Move) -> TestCaseResult {
    match one {
        Move::Reserve { run, need } => reserved(world, *run, need)?,
        Move::Settle { nth, used } => {
            let reserved = world.entries.clone();
            if let Some(end) = world.end(*nth, Some(used)) {
                let ended = reserved
                    .iter()
                    .zip(&world.entries)
                    .find(|(old, new)| old.charged.is_none() && new.charged.is_some());
                let held = &ended.unwrap().0.held;
                let back = end.charged.plus(&end.refunded);
                for d in Dimension::ALL {
                    let (was, charged) = (held.amount.of(d), end.charged.of(d));
                    prop_assert_eq!(back.of(d), was.max(charged), "refund of {:?}", d);
                }
                prop_assert_eq!(end.overrun, end.charged.exceeds(&held.amount));
            }
        }
        Move::Lapse { nth } => {
            if let Some(end) = world.end(*nth, None) {
                prop_assert!(end.refunded.is_zero() && !end.overrun);
            }
        }
        Move::Limit { account, period, limits } => world.accounts[*account].limit(*period, *limits),
        Move::Budget { role, budget } => world.budgets[*role] = budget.clone(),
        Move::Later { micros } => world.now.0 += micros,
    }
    Ok(())
}

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(12))]

    /// After every move the accounts say what a plain list of all reservations adds up to, no
    /// reservation passed a limit, and every refusal names a limit that had no room.
    #[test]
    fn accounts_and_list_never_disagree(moves in prop::collection::vec(one(), 1..MOVES)) {
        let mut world = World::new();
        for (n, one) in moves.iter().enumerate() {
            step(&mut world, one)?;
            conserved(&world)?;
            if n % 64 == 0 {
                accounts_agree(&world)?;
            }
        }
        accounts_agree(&world)?;
    }

    /// Where limits only rise and nobody uses more than was reserved, no account is ever beyond
    /// its limit, at no moment.
    #[test]
    fn honest_work_never_overspends(
        limit in 1..5_000_u64,
        moves in prop::collection::vec((0..RUNS, 0..60_u64, 0..4_u8, 0..300_usize), 1..MOVES)
    ) {
        let mut world = World::new();
        for account in 0..ACCOUNTS {
            let money = Limits { money_micros: Some(limit), ..Limits::default() };
            world.accounts[account].limit(Period::Total, money);
        }
        for (run, micros, what, nth) in moves {
            match what {
                0 => drop(world.end(nth, None)),
                1 => {
                    let used = Used { money_micros: Some(0), ..Used::default() };
                    world.end(nth, Some(&used));
                }
                _ => drop(world.reserve(run, &amount(micros, 0, 1, 0))),
            }
            for account in &world.accounts {
                prop_assert!(account.total().used().money_micros <= limit);
            }
        }
    }

    /// Any numbers at all, in any order, are counted without a panic and within bounds.
    #[test]
    fn folds_are_total(
        moves in prop::collection::vec((any::<[u64; 4]>(), any::<[u64; 4]>(), any::<i64>(), 0..3_u8), 1..60)
    ) {
        let mut account = Account::default();
        for (a, b, day, what) in moves {
            let [a, b] = [a, b].map(|n| amount(n[0], n[1], n[2], n[3]));
            match what {
                0 => account.hold(&a, Day(day)),
                1 => account.release(&a, &b, Day(day)),
                _ => account.limit(Period::Day, Limits { tokens: Some(a.tokens), ..Limits::default() }),
            }
            for tally in [account.total(), account.on(Day(day))] {
                for d in Dimension::ALL {
                    prop_assert!(tally.spent.of(d) <= MOST && tally.reserved.of(d) <= MOST);
                }
            }
        }
        let stored = serde_json::to_string(&account).unwrap();
        prop_assert_eq!(serde_json::from_str::<Account>(&stored).unwrap(), account);
    }
}

/// The laws are about something: moves of this kind reserve, refuse, warn, end and overrun.
#[test]
fn the_moves_reach_everything() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut taken, mut refused, mut warned, mut overrun, mut nights) = (0, 0, 0, 0, 0);
    for _ in 0..20 {
        let moves =
            prop::collection::vec(one(), MOVES / 2).new_tree(&mut runner).unwrap().current();
        let mut world = World::new();
        for one in moves {
            match one {
                Move::Reserve { run, need } => match world.reserve(run, &need) {
                    Ok(warnings) => (taken, warned) = (taken + 1, warned + warnings.len()),
                    Err(_) => refused += 1,
                },
                Move::Settle { nth, used } => {
                    let today = world.today();
                    let late =
                        world.entries.iter().any(|e| e.charged.is_none() && e.held.day < today);
                    let end = world.end(nth, Some(&used));
                    overrun += usize::from(end.is_some_and(|end| end.overrun));
                    nights += usize::from(late);
                }
                other => step(&mut world, &other).unwrap(),
            }
        }
    }
    let seen = [taken, refused, warned, overrun, nights];
    assert!(seen.iter().all(|n| *n > 40), "{seen:?}");
    assert_eq!(of_run(0)[0], 0);
}
