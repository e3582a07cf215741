//! One by one: what is reserved, refused, warned of, settled, lapsed and priced.

use canonry_domain::budget::{Account, Day, Held, Tally, lapse, settle};
use canonry_domain::prices::{Cost, Prices, Unpriced, worst};
use canonry_schemas::budget::{
    Amount, Dimension, Limits, MOST, ModelPrice, Period, Price, Used, Worst,
};
use canonry_schemas::ids::Scope;
use canonry_schemas::role::Budget;
use canonry_schemas::text::Label;
use canonry_schemas::time::Time;

use crate::amount;
use crate::world::World;

fn money(limit: u64) -> Limits {
    Limits { money_micros: Some(limit), ..Limits::default() }
}

/// Account, period, limit, what is used before, what is needed: whether there is room.
#[test]
fn a_limit_is_reached_and_not_passed() {
    let four = |n: usize, much: u64| {
        let mut all = [0; 4];
        all[n] = much;
        amount(all[0], all[1], all[2], all[3])
    };
    for (n, dimension) in Dimension::ALL.into_iter().enumerate() {
        for account in [0, 1, 3, 6] {
            for (limit, used, need, room) in [
                (100, 0, 100, true),
                (100, 0, 101, false),
                (100, 60, 40, true),
                (100, 60, 41, false),
                (100, 100, 0, true),
                (0, 0, 0, true),
                (0, 0, 1, false),
                (MOST, MOST - 1, 1, true),
                (MOST, MOST, 1, false),
            ] {
                let mut world = World::new();
                world.reserve(0, &four(n, used)).unwrap();
                let limits = four(n, limit);
                let limits = Limits {
                    money_micros: (n == 0).then_some(limits.money_micros),
                    tokens: (n == 1).then_some(limits.tokens),
                    calls: (n == 2).then_some(limits.calls),
                    wall_seconds: (n == 3).then_some(limits.wall_seconds),
                };
                world.accounts[account].limit(Period::Total, limits);
                let answer = world.reserve(0, &four(n, need));
                assert_eq!(answer.is_ok(), room, "{dimension:?} {account}: {used}+{need}/{limit}");
                // At the greatest of all the tenant's account, looked at first, is full as well.
                if let Some(refused) = answer.err().filter(|_| limit < MOST) {
                    assert_eq!(refused.0.scope, world.scope(account));
                    assert_eq!(refused.0.dimension, dimension);
                    assert_eq!((refused.0.limit, refused.0.used), (limit, used));
                }
            }
        }
    }
}

#[test]
fn without_a_limit_counting_ends_where_integers_do() {
    let mut world = World::new();
    world.reserve(0, &amount(MOST - 5, 0, 1, 0)).unwrap();
    let refused = world.reserve(0, &amount(6, 0, 1, 0)).unwrap_err().0;
    assert_eq!((refused.limit, refused.used), (MOST, MOST - 5));
    world.reserve(0, &amount(5, 0, 1, 0)).unwrap();
}

#[test]
fn a_role_spends_no_more_than_its_own_budget() {
    let budget = Budget { per_ticket_micros: 50, per_day_micros: 80 };
    let mut world = World::new();
    world.budgets[0] = budget;
    // Runs 0 and 2 are of role 0, on tickets 0 and 2.
    world.reserve(0, &amount(50, 0, 1, 0)).unwrap();
    let refused = world.reserve(0, &amount(1, 0, 1, 0)).unwrap_err().0;
    assert_eq!((refused.scope, refused.period), (world.scope(3), Period::Total));
    let refused = world.reserve(2, &amount(31, 0, 1, 0)).unwrap_err().0;
    assert_eq!((refused.scope, refused.period), (world.scope(1), Period::Day));
    world.reserve(2, &amount(30, 0, 1, 0)).unwrap();
    // Run 1 is of another role.
    world.reserve(1, &amount(500, 0, 1, 0)).unwrap();
    // The lower of budget and limit counts; tomorrow is another day.
    world.now = Time(world.now.0 + 86_400_000_000);
    world.reserve(2, &amount(20, 0, 1, 0)).unwrap();
    world.accounts[1].limit(Period::Day, money(25));
    world.budgets[0].per_ticket_micros = MOST;
    assert_eq!(world.reserve(2, &amount(6, 0, 1, 0)).unwrap_err().0.limit, 25);
    world.reserve(2, &amount(5, 0, 1, 0)).unwrap();
}

#[test]
fn a_night_that_passes_moves_nothing_to_another_day() {
    let mut world = World::new();
    world.accounts[0].limit(Period::Day, money(100));
    // A minute to midnight.
    let midnight = 86_400_000_000 * (world.today().0 + 1);
    world.now = Time(midnight - 60_000_000);
    let yesterday = world.today();
    world.reserve(0, &amount(90, 0, 1, 0)).unwrap();
    assert!(world.reserve(0, &amount(11, 0, 1, 0)).is_err());
    // The last microsecond of the day is still the day.
    world.now = Time(midnight - 1);
    assert!(world.reserve(0, &amount(11, 0, 1, 0)).is_err());
    world.now = Time(midnight);
    assert_eq!(world.today().0, yesterday.0 + 1);
    // Settled after midnight, before anything else: it is yesterday's.
    let used = Used { money_micros: Some(70), ..Used::default() };
    world.end(0, Some(&used)).unwrap();
    assert_eq!(world.accounts[0].on(yesterday).spent.money_micros, 70);
    assert_eq!(world.accounts[0].on(world.today()), Tally::default());
    // All of the new day is there, and what is settled late does not touch it.
    world.reserve(0, &amount(60, 0, 1, 0)).unwrap();
    world.now = Time(midnight + 86_400_000_000);
    world.reserve(0, &amount(100, 0, 1, 0)).unwrap();
    world.end(0, None).unwrap();
    assert_eq!(world.accounts[0].on(world.today()).used().money_micros, 100);
    assert_eq!(world.accounts[0].total().spent.money_micros, 130);
}

#[test]
fn who_is_beyond_a_limit_takes_nothing_more() {
    let mut world = World::new();
    world.accounts[3].limit(Period::Total, money(100));
    world.reserve(0, &amount(90, 0, 1, 0)).unwrap();
    let over = Used { money_micros: Some(120), ..Used::default() };
    let end = world.end(0, Some(&over)).unwrap();
    assert!(end.overrun);
    assert_eq!((end.charged.money_micros, end.refunded.money_micros), (120, 0));
    assert_eq!(world.accounts[3].total().free(&money(100)).money_micros, 0);
    let refused = world.reserve(0, &amount(0, 0, 1, 0)).unwrap_err().0;
    assert_eq!((refused.limit, refused.used), (100, 120));
    world.accounts[3].limit(Period::Total, Limits::default());
    world.reserve(0, &amount(0, 0, 1, 0)).unwrap();
}

#[test]
fn a_warning_comes_once_at_four_fifths() {
    let mut world = World::new();
    world.accounts[6].limit(Period::Total, money(100));
    assert_eq!(world.reserve(0, &amount(79, 0, 1, 0)).unwrap(), []);
    let warnings = world.reserve(0, &amount(1, 0, 1, 0)).unwrap();
    assert_eq!(warnings.len(), 1);
    let line = &warnings[0];
    assert_eq!((line.limit, line.used, line.period), (100, 80, Period::Total));
    assert_eq!(line.scope, world.scope(6));
    assert_eq!(world.reserve(0, &amount(20, 0, 1, 0)).unwrap(), []);
    // Freed and reached again, it comes again.
    world.end(0, Some(&Used { money_micros: Some(0), ..Used::default() })).unwrap();
    assert_eq!(world.reserve(0, &amount(70, 0, 1, 0)).unwrap().len(), 1);
    // Several at once are all named.
    let mut world = World::new();
    world.accounts[0].limit(Period::Day, money(10));
    world.accounts[1].limit(Period::Total, money(10));
    let scopes: Vec<_> =
        world.reserve(0, &amount(9, 0, 1, 0)).unwrap().into_iter().map(|w| w.scope).collect();
    assert_eq!(scopes, [Scope::tenant(), world.scope(1)]);
}

fn priced(input: u64, output: u64) -> Prices {
    let model = ModelPrice {
        model: Label("m1".to_owned()),
        input_micros_per_million_tokens: input,
        output_micros_per_million_tokens: output,
    };
    Prices::new(7, &Price { currency: "EUR".parse().unwrap(), models: vec![model] })
}

fn call(tokens_in: u64, tokens_out: u64) -> Worst {
    Worst {
        tokens_in: Some(tokens_in),
        tokens_out: Some(tokens_out),
        model: Some(Label("m1".to_owned())),
        ..Worst::default()
    }
}

#[test]
fn a_call_costs_what_its_tokens_cost_rounded_up_once() {
    for (prices, tokens, micros) in [
        ((3_000_000, 15_000_000), (1_000, 500), 3_000 + 7_500),
        ((1, 1), (0, 0), 0),
        ((1, 1), (1, 0), 1),
        ((1, 1), (1, 1), 1),
        ((1, 1), (1_000_000, 0), 1),
        ((1, 1), (1_000_000, 1), 2),
        ((0, 0), (MOST, 0), 0),
        ((250_000, 0), (3, 9), 1),
        ((1_000_000_000_000, 0), (9_000_000_000, 0), 9_000_000_000_000_000),
    ] {
        let (amount, cost) =
            worst(Some(&priced(prices.0, prices.1)), &call(tokens.0, tokens.1)).unwrap();
        assert_eq!(amount.money_micros, micros, "{prices:?} {tokens:?}");
        assert_eq!((amount.tokens, amount.calls), (tokens.0 + tokens.1, 1));
        assert_eq!(cost, Some(Cost { input: prices.0, output: prices.1 }));
    }
}

#[test]
fn what_has_no_amount_is_refused() {
    let prices = priced(1_000_000_000_000, 1);
    let most = |worst: Worst| Worst { wall_seconds: Some(u32::MAX), ..worst };
    assert_eq!(worst(None, &call(1, 1)), Err(Unpriced::Unknown));
    let other = Worst { model: Some(Label("m2".to_owned())), ..Worst::default() };
    assert_eq!(worst(Some(&prices), &other), Err(Unpriced::Unknown));
    assert_eq!(worst(Some(&prices), &call(MOST, 0)), Err(Unpriced::TooMuch));
    assert_eq!(worst(Some(&priced(0, 0)), &call(MOST, 1)), Err(Unpriced::TooMuch));
    let fee = Worst { money_micros: Some(MOST), ..call(1, 1) };
    assert_eq!(worst(Some(&prices), &fee), Err(Unpriced::TooMuch));
    assert!(worst(Some(&prices), &most(call(1, 1))).is_ok());
    // Without a model tokens are counted and cost nothing; a fee comes on top.
    let plain = Worst { tokens_in: Some(5), money_micros: Some(3), ..Worst::default() };
    assert_eq!(worst(None, &plain), Ok((amount(3, 5, 1, 0), None)));
    let (with_fee, _) =
        worst(Some(&priced(1_000_000, 0)), &Worst { money_micros: Some(3), ..call(5, 0) }).unwrap();
    assert_eq!(with_fee.money_micros, 8);
}

#[test]
fn a_settlement_takes_the_prices_of_its_reservation() {
    let (amount, cost) = worst(Some(&priced(2_000_000, 4_000_000)), &call(100, 50)).unwrap();
    assert_eq!(amount.money_micros, 400);
    let held = Held { worst: call(100, 50), cost, amount, day: Day(20_000) };
    let none = Amount::default();
    let some = |i, o| Used { tokens_in: i, tokens_out: o, ..Used::default() };
    for (used, money, tokens) in [
        (some(Some(100), Some(50)), 400, 150),
        (some(Some(10), Some(5)), 40, 15),
        (some(None, Some(0)), 200, 100),
        // What is not said is taken as its worst.
        (Used::default(), 400, 150),
        (some(Some(200), Some(50)), 600, 250),
    ] {
        let end = settle(&held, &used);
        assert_eq!((end.charged.money_micros, end.charged.tokens), (money, tokens), "{used:?}");
        assert_eq!(end.charged.calls, 1);
        assert_eq!(end.overrun, money > 400);
        assert_eq!(end.refunded, held.amount.minus(&end.charged));
    }
    let nothing = Used { calls: Some(0), ..some(Some(0), Some(0)) };
    assert_eq!(settle(&held, &nothing).charged, none);
    let all = lapse(&held);
    assert_eq!((all.charged, all.refunded, all.overrun), (held.amount, none, false));
    // The greatest numbers stand still at the bound.
    let end = settle(&held, &some(Some(MOST), Some(MOST)));
    assert_eq!((end.charged.tokens, end.overrun), (MOST, true));
}

#[test]
fn an_account_is_stored_whole() {
    let mut account = Account::default();
    account.hold(&amount(1, 2, 3, 4), Day(20_000));
    account.limit(Period::Day, money(9));
    let text = serde_json::to_string(&account).unwrap();
    assert_eq!(serde_json::from_str::<Account>(&text).unwrap(), account);
}
