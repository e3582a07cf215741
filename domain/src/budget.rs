//! Budgets: accounts, what is reserved on them before an action and what is spent after it. All
//! accounts of an action or none take a reservation; `spent + reserved` never passes a limit but
//! where a limit was lowered or an action used more than its worst case. Prices are in
//! [`crate::prices`], the commands' rules in [`crate::books`].
//!
//! A reservation belongs to the day (UTC) it was made on, whenever it is settled: a night that
//! passes meanwhile moves nothing from one day's account to another's.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::LazyLock;

use canonry_schemas::budget::{Amount, Dimension, Limits, Line, MOST, Period, Used, Worst};
use canonry_schemas::ids::{RoleId, RunId, Scope, TicketId};
use canonry_schemas::limits::BUDGET_WARNS_AT;
use canonry_schemas::role;
use canonry_schemas::time::Time;
use serde::{Deserialize, Serialize};

use crate::prices::{self, Cost};

/// A day, UTC, counted from 1970.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Day(pub i64);

impl Day {
    /// The day that a moment lies in.
    #[must_use]
    pub const fn of(time: Time) -> Self {
        Self(time.seconds().div_euclid(86_400))
    }
}

/// What is spent, and what is promised until it is settled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Spent for good.
    pub spent: Amount,
    /// Reserved, not settled yet.
    pub reserved: Amount,
}

impl Tally {
    /// Spent and reserved together.
    #[must_use]
    pub fn used(&self) -> Amount {
        self.spent.plus(&self.reserved)
    }

    /// What a limit leaves; nothing where it is passed.
    #[must_use]
    pub fn free(&self, limits: &Limits) -> Amount {
        let allowed = Amount::each(|d| limits.of(d).unwrap_or(MOST));
        allowed.minus(&self.used())
    }

    fn hold(&mut self, amount: &Amount) {
        self.reserved = self.reserved.plus(amount);
    }

    fn release(&mut self, reserved: &Amount, charged: &Amount) {
        self.reserved = self.reserved.minus(reserved);
        self.spent = self.spent.plus(charged);
    }
}

/// One account: the tenant's, a role's, a ticket's or a run's. Only folds change it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    total: Tally,
    today: Tally,
    /// The last day that something was reserved on.
    day: Day,
    total_limits: Limits,
    day_limits: Limits,
}

impl Account {
    /// Whether nothing was ever written into it: then it need not be stored.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        *self == Self::default()
    }

    /// Since the beginning.
    #[must_use]
    pub const fn total(&self) -> Tally {
        self.total
    }

    /// What was reserved on this day, and what became of it. Only the last such day is known; on
    /// any other, nothing.
    #[must_use]
    pub fn on(&self, day: Day) -> Tally {
        if day == self.day { self.today } else { Tally::default() }
    }

    /// The limits that a founder set.
    #[must_use]
    pub const fn limits(&self, period: Period) -> &Limits {
        match period {
            Period::Day => &self.day_limits,
            Period::Total => &self.total_limits,
        }
    }

    /// Folds new limits.
    pub fn limit(&mut self, period: Period, limits: Limits) {
        match period {
            Period::Day => self.day_limits = limits,
            Period::Total => self.total_limits = limits,
        }
    }

    /// Folds a reservation.
    pub fn hold(&mut self, amount: &Amount, day: Day) {
        self.total.hold(amount);
        if day > self.day {
            (self.day, self.today) = (day, Tally::default());
        }
        if day == self.day {
            self.today.hold(amount);
        }
    }

    /// Folds the end of a reservation that was made on `day`: what was reserved is free again,
    /// what is charged is spent.
    pub fn release(&mut self, reserved: &Amount, charged: &Amount, day: Day) {
        self.total.release(reserved, charged);
        if day == self.day {
            self.today.release(reserved, charged);
        }
    }
}

static FRESH: LazyLock<Account> = LazyLock::new(Account::default);

/// An entity's own account. Memory is taken when something is first written into it: of most
/// tickets and runs nothing ever is.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(from = "Account", into = "Account")]
pub struct OwnAccount(Option<Box<Account>>);

impl Deref for OwnAccount {
    type Target = Account;

    fn deref(&self) -> &Account {
        self.0.as_deref().unwrap_or(&FRESH)
    }
}

impl DerefMut for OwnAccount {
    fn deref_mut(&mut self) -> &mut Account {
        self.0.get_or_insert_default()
    }
}

impl OwnAccount {
    /// As [`Account::is_fresh`].
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        Account::is_fresh(self)
    }
}

impl From<Account> for OwnAccount {
    fn from(account: Account) -> Self {
        Self((!account.is_fresh()).then(|| Box::new(account)))
    }
}

impl From<OwnAccount> for Account {
    fn from(own: OwnAccount) -> Self {
        (*own).clone()
    }
}

// What it says and what it equals does not tell whether memory was taken.
impl fmt::Debug for OwnAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl PartialEq for OwnAccount {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for OwnAccount {}

/// The accounts that an action is charged to: all of them, or none.
#[derive(Debug, Clone, Copy)]
pub struct Accounts<'a> {
    /// The tenant's.
    pub tenant: &'a Account,
    /// The role's, with what it may spend on one ticket and in one day.
    pub role: (&'a RoleId, &'a Account, &'a role::Budget),
    /// The ticket's.
    pub ticket: (&'a TicketId, &'a Account),
    /// The run's.
    pub run: (&'a RunId, &'a Account),
}

#[derive(Clone, Copy)]
enum Whose {
    Tenant,
    Role,
    Ticket,
    Run,
}

/// The lower of a founder's limit and the role's own budget.
fn with_budget(limits: &Limits, micros: u64) -> Limits {
    let money = limits.money_micros.map_or(micros, |limit| limit.min(micros));
    Limits { money_micros: Some(money), ..*limits }
}

impl Accounts<'_> {
    fn scope(&self, whose: Whose) -> Scope {
        match whose {
            Whose::Tenant => Scope::tenant(),
            Whose::Role => Scope::role(self.role.0),
            Whose::Ticket => Scope::ticket(self.ticket.0),
            Whose::Run => Scope::run(self.run.0),
        }
    }

    /// Every limit and how much of it is used, in the order in which they are looked at.
    fn bounds(&self, day: Day) -> [(Whose, Period, Limits, Tally); 6] {
        let (tenant, ticket, run) = (self.tenant, self.ticket.1, self.run.1);
        let (_, role, budget) = self.role;
        let role_day = with_budget(&role.day_limits, budget.per_day_micros);
        // Whoever spent it: to hand a ticket to another role gives no fresh money for it.
        let ticket_total = with_budget(&ticket.total_limits, budget.per_ticket_micros);
        [
            (Whose::Tenant, Period::Day, tenant.day_limits, tenant.on(day)),
            (Whose::Tenant, Period::Total, tenant.total_limits, tenant.total),
            (Whose::Role, Period::Day, role_day, role.on(day)),
            (Whose::Role, Period::Total, role.total_limits, role.total),
            (Whose::Ticket, Period::Total, ticket_total, ticket.total),
            (Whose::Run, Period::Total, run.total_limits, run.total),
        ]
    }
}

/// The first limit that has no room for what is needed; `used` is what was used before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exceeded(pub Line);

/// Room on every account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reservation {
    /// How much.
    pub amount: Amount,
    /// On which day's accounts.
    pub day: Day,
    /// Limits that come to [`BUDGET_WARNS_AT`] per cent by it.
    pub warnings: Vec<Line>,
}

fn crosses(before: u64, after: u64, limit: u64) -> bool {
    let mark = u128::from(limit) * u128::from(BUDGET_WARNS_AT);
    u128::from(before) * 100 < mark && u128::from(after) * 100 >= mark
}

/// Whether every account has room for what an action needs. It changes nothing: the accounts fold
/// the record that comes of it, each by [`Account::hold`].
///
/// # Errors
/// The first limit without room. An account beyond its limit takes nothing at all.
pub fn reserve(accounts: &Accounts<'_>, need: &Amount, now: Time) -> Result<Reservation, Exceeded> {
    let day = Day::of(now);
    let mut warnings = Vec::new();
    for (whose, period, limits, tally) in accounts.bounds(day) {
        for dimension in Dimension::ALL {
            let limit = limits.of(dimension).unwrap_or(MOST);
            // Neither is more than 2^53, so this cannot pass the end of 64 bits.
            let before = tally.spent.of(dimension) + tally.reserved.of(dimension);
            let after = before.saturating_add(need.of(dimension));
            let line = |used: u64| Line {
                scope: accounts.scope(whose),
                period,
                dimension,
                limit,
                used: used.min(MOST),
            };
            if after > limit {
                return Err(Exceeded(line(before)));
            }
            if limits.of(dimension).is_some() && crosses(before, after, limit) {
                warnings.push(line(after));
            }
        }
    }
    Ok(Reservation { amount: *need, day, warnings })
}

/// What is reserved for one action until it is settled or lapses: part of the action's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// What the worst case was.
    pub worst: Worst,
    /// What the model cost then: a settlement takes the prices of its reservation.
    pub cost: Option<Cost>,
    /// How much is reserved.
    pub amount: Amount,
    /// On which day's accounts.
    pub day: Day,
}

/// The end of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settlement {
    /// What is spent.
    pub charged: Amount,
    /// What was reserved and is free again.
    pub refunded: Amount,
    /// Whether more was used than was reserved.
    pub overrun: bool,
}

fn charge(reserved: &Amount, charged: Amount) -> Settlement {
    let overrun = charged.exceeds(reserved);
    Settlement { charged, refunded: reserved.minus(&charged), overrun }
}

/// What is charged when an action says what it used. What it does not say is taken as its worst.
#[must_use]
pub fn settle(held: &Held, used: &Used) -> Settlement {
    let worst = prices::all_of(&held.worst);
    let used = Used {
        money_micros: used.money_micros.or(worst.money_micros),
        tokens_in: used.tokens_in.or(worst.tokens_in),
        tokens_out: used.tokens_out.or(worst.tokens_out),
        calls: used.calls.or(worst.calls),
        wall_seconds: used.wall_seconds.or(worst.wall_seconds),
    };
    charge(&held.amount, prices::at_most(&used, held.cost.as_ref()))
}

/// What is charged when nobody said what an action used: all that was reserved.
#[must_use]
pub fn lapse(held: &Held) -> Settlement {
    charge(&held.amount, held.amount)
}
