//! Accounts of a small tenant, and beside them a plain list of all that was ever reserved: the
//! oracle, which adds up and remembers nothing else.

use canonry_domain::budget::{Account, Accounts, Day, Exceeded, Held, Reservation, Settlement};
use canonry_domain::budget::{lapse, reserve, settle};
use canonry_schemas::budget::{Amount, Dimension, Limits, Line, MOST, Period, Used, Worst};
use canonry_schemas::ids::{RoleId, RunId, Scope, TicketId, generated};
use canonry_schemas::role::Budget;
use canonry_schemas::time::Time;

pub const ROLES: usize = 2;
pub const TICKETS: usize = 3;
pub const RUNS: usize = 4;

/// Which account, in the order tenant, roles, tickets, runs.
pub const ACCOUNTS: usize = 1 + ROLES + TICKETS + RUNS;

/// One reservation, and what became of it.
#[derive(Debug, Clone)]
pub struct Entry {
    pub run: usize,
    pub held: Held,
    pub charged: Option<Amount>,
}

pub struct World {
    pub accounts: Vec<Account>,
    pub budgets: Vec<Budget>,
    pub entries: Vec<Entry>,
    pub now: Time,
    roles: Vec<RoleId>,
    tickets: Vec<TicketId>,
    runs: Vec<RunId>,
}

fn ids<T: std::str::FromStr>(prefix: &str, count: usize) -> Vec<T> {
    let one = |n: usize| generated(prefix, 1, n as u128).parse().ok().unwrap();
    (0..count).map(one).collect()
}

/// The accounts of a run: the tenant's, its role's, its ticket's, its own.
pub fn of_run(run: usize) -> [usize; 4] {
    [0, 1 + run % ROLES, 1 + ROLES + run % TICKETS, 1 + ROLES + TICKETS + run]
}

impl World {
    pub fn new() -> Self {
        let free = Budget { per_ticket_micros: MOST, per_day_micros: MOST };
        Self {
            accounts: vec![Account::default(); ACCOUNTS],
            budgets: vec![free; ROLES],
            entries: Vec::new(),
            now: Time(1_800_000_000_000_000),
            roles: ids("rol_", ROLES),
            tickets: ids("tkt_", TICKETS),
            runs: ids("run_", RUNS),
        }
    }

    pub fn today(&self) -> Day {
        Day::of(self.now)
    }

    pub fn accounts_of(&self, run: usize) -> Accounts<'_> {
        let [tenant, role, ticket, own] = of_run(run);
        let r = run % ROLES;
        Accounts {
            tenant: &self.accounts[tenant],
            role: (&self.roles[r], &self.accounts[role], &self.budgets[r]),
            ticket: (&self.tickets[run % TICKETS], &self.accounts[ticket]),
            run: (&self.runs[run], &self.accounts[own]),
        }
    }

    pub fn scope(&self, account: usize) -> Scope {
        match account {
            0 => Scope::tenant(),
            n if n <= ROLES => Scope::role(&self.roles[n - 1]),
            n if n <= ROLES + TICKETS => Scope::ticket(&self.tickets[n - 1 - ROLES]),
            n => Scope::run(&self.runs[n - 1 - ROLES - TICKETS]),
        }
    }

    /// What the list says is spent and reserved on an account, on one day or ever.
    pub fn listed(&self, account: usize, day: Option<Day>) -> [[u128; 4]; 2] {
        let mut sums = [[0_u128; 4]; 2];
        for entry in &self.entries {
            let on = day.is_none_or(|day| entry.held.day == day);
            if !on || !of_run(entry.run).contains(&account) {
                continue;
            }
            let (which, much) = match &entry.charged {
                Some(charged) => (0, charged),
                None => (1, &entry.held.amount),
            };
            for (sum, d) in sums[which].iter_mut().zip(Dimension::ALL) {
                *sum += u128::from(much.of(d));
            }
        }
        sums
    }

    /// The limits that hold for an account of a run, the role's budget included.
    pub fn limits(&self, run: usize, account: usize, period: Period) -> Limits {
        let own = *self.accounts[account].limits(period);
        let budget = &self.budgets[run % ROLES];
        let [_, role, ticket, _] = of_run(run);
        let more = match period {
            Period::Day if account == role => budget.per_day_micros,
            Period::Total if account == ticket => budget.per_ticket_micros,
            _ => return own,
        };
        Limits { money_micros: Some(own.money_micros.map_or(more, |m| m.min(more))), ..own }
    }

    /// Every bound of a run: account, period, limits.
    pub fn bounds(&self, run: usize) -> Vec<(usize, Period, Limits)> {
        let [tenant, role, ticket, own] = of_run(run);
        [
            (tenant, Period::Day),
            (tenant, Period::Total),
            (role, Period::Day),
            (role, Period::Total),
            (ticket, Period::Total),
            (own, Period::Total),
        ]
        .map(|(account, period)| (account, period, self.limits(run, account, period)))
        .to_vec()
    }

    pub fn reserve(&mut self, run: usize, amount: &Amount) -> Result<Vec<Line>, Exceeded> {
        let Reservation { amount, day, warnings } =
            reserve(&self.accounts_of(run), amount, self.now)?;
        for account in of_run(run) {
            self.accounts[account].hold(&amount, day);
        }
        // No prices here: tokens that go in stand for all, and the amount is what counts.
        let worst = Worst {
            money_micros: Some(amount.money_micros),
            tokens_in: Some(amount.tokens),
            tokens_out: None,
            model: None,
            calls: u32::try_from(amount.calls).ok(),
            wall_seconds: u32::try_from(amount.wall_seconds).ok(),
        };
        let held = Held { worst, cost: None, amount, day };
        self.entries.push(Entry { run, held, charged: None });
        Ok(warnings)
    }

    /// Settles or, without a word of what was used, lapses the nth open reservation.
    pub fn end(&mut self, nth: usize, used: Option<&Used>) -> Option<Settlement> {
        let open = self.entries.iter().filter(|e| e.charged.is_none()).count();
        let mut open_ones = self.entries.iter_mut().filter(|e| e.charged.is_none());
        let entry = open_ones.nth(nth.checked_rem(open)?)?;
        let end = used.map_or_else(|| lapse(&entry.held), |used| settle(&entry.held, used));
        entry.charged = Some(end.charged);
        let (run, held) = (entry.run, entry.held.clone());
        for account in of_run(run) {
            self.accounts[account].release(&held.amount, &end.charged, held.day);
        }
        Some(end)
    }
}
