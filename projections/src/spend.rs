//! What was spent, and what may be: filled from the records of actions alone (allowed, settled,
//! lapsed), the same that the accounts of the decider fold, so that report and enforcement agree.
//! A reservation counts on the day (UTC) it was made, whenever it is settled.

use std::fmt::Write as _;

use canonry_schemas::budget::{Amount, Dimension, Limits, MOST, Period};
use rusqlite::types::Value as Sql;
use rusqlite::{OptionalExtension as _, Row, Transaction, params};

use crate::page::{Page, PageRequest};
use crate::rows::{Account, Prices, Spend};
use crate::store::{Error, integer, natural};

/// What a report adds up by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// Ticket by ticket.
    Ticket,
    /// Run by run.
    Run,
    /// Role by role.
    Role,
    /// Model by model; actions without a model stand under the empty name.
    Model,
    /// Tool by tool.
    Tool,
    /// Day by day, UTC.
    Day,
}

impl By {
    /// All, with their names.
    pub const ALL: &'static [(&'static str, Self)] = &[
        ("ticket", Self::Ticket),
        ("run", Self::Run),
        ("role", Self::Role),
        ("model", Self::Model),
        ("tool", Self::Tool),
        ("day", Self::Day),
    ];

    const fn column(self) -> &'static str {
        match self {
            Self::Ticket => "ticket",
            Self::Run => "run",
            Self::Role => "role",
            Self::Model => "model",
            Self::Tool => "tool",
            Self::Day => "day",
        }
    }
}

/// Which actions; every field that is set narrows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SpendFilter {
    /// Of one ticket.
    pub ticket: Option<String>,
    /// Of one role.
    pub role: Option<String>,
    /// Not before this day, `2026-01-31`.
    pub from_day: Option<String>,
    /// Not after it.
    pub to_day: Option<String>,
}

/// An action that was allowed: what is reserved for it, and where it is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reserved<'a> {
    pub position: u64,
    pub id: &'a str,
    pub run: &'a str,
    pub ticket: &'a str,
    pub role: &'a str,
    pub tool: &'a str,
    pub model: Option<&'a str>,
    /// The record's time.
    pub time: &'a str,
    pub amount: &'a Amount,
}

/// The day of a time as it stands in records.
fn day_of(time: &str) -> &str {
    time.get(..10).unwrap_or(time)
}

/// Folds a reservation.
pub(crate) fn reserved(tx: &Transaction<'_>, r: &Reserved<'_>) -> Result<(), Error> {
    tx.prepare_cached(
        "INSERT OR IGNORE INTO spend VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 1, 0,
           ?9, ?10, ?11, ?12, 0, 0, 0, 0)",
    )?
    .execute(params![
        integer(r.position),
        r.id,
        r.run,
        r.ticket,
        r.role,
        r.tool,
        r.model.unwrap_or_default(),
        day_of(r.time),
        integer(r.amount.money_micros),
        integer(r.amount.tokens),
        integer(r.amount.calls),
        integer(r.amount.wall_seconds),
    ])?;
    Ok(())
}

/// Folds the end of a reservation.
pub(crate) fn ended(
    tx: &Transaction<'_>,
    id: &str,
    charged: &Amount,
    overrun: bool,
) -> Result<(), Error> {
    tx.prepare_cached(
        "UPDATE spend SET open = 0, overrun = ?2, reserved_money_micros = 0, reserved_tokens = 0,
           reserved_calls = 0, reserved_wall_seconds = 0, spent_money_micros = ?3,
           spent_tokens = ?4, spent_calls = ?5, spent_wall_seconds = ?6
         WHERE action = ?1 AND open = 1",
    )?
    .execute(params![
        id,
        overrun,
        integer(charged.money_micros),
        integer(charged.tokens),
        integer(charged.calls),
        integer(charged.wall_seconds),
    ])?;
    Ok(())
}

/// A sum of many columns, each in two parts: the greatest numbers of a thousand rows together
/// would pass the end of 64 bits.
const LOW: u32 = 20;

fn sums() -> String {
    let mut sql = String::new();
    for kind in ["spent", "reserved"] {
        for d in Dimension::ALL {
            let column = format!("{kind}_{}", d.name());
            let low = (1 << LOW) - 1;
            let _ = write!(
                sql,
                ", coalesce(sum({column} >> {LOW}), 0), coalesce(sum({column} & {low}), 0)"
            );
        }
    }
    sql
}

/// The eight sums of [`sums`], which begin at a column.
fn summed(row: &Row<'_>, first: usize) -> rusqlite::Result<(Amount, Amount)> {
    let mut all = [0_u64; 8];
    for (n, sum) in all.iter_mut().enumerate() {
        let (high, low): (i64, i64) = (row.get(first + 2 * n)?, row.get(first + 2 * n + 1)?);
        let whole = (u128::from(natural(high)) << LOW) + u128::from(natural(low));
        *sum = u64::try_from(whole).unwrap_or(MOST).min(MOST);
    }
    let amount = |n: usize| Amount {
        money_micros: all[n],
        tokens: all[n + 1],
        calls: all[n + 2],
        wall_seconds: all[n + 3],
    };
    Ok((amount(0), amount(4)))
}

/// A key inside a cursor: names of models and tools are any text.
fn hex(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

fn unhex(text: &str) -> Option<String> {
    let digits = text.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    String::from_utf8(digits.map(byte).collect::<Option<_>>()?).ok()
}

/// Sums by one thing, in the order of its names.
pub(crate) fn spend(
    tx: &Transaction<'_>,
    by: By,
    filter: &SpendFilter,
    page: &PageRequest,
) -> Result<Page<Spend>, Error> {
    let column = by.column();
    let (mut conditions, mut values) = (Vec::new(), Vec::<Sql>::new());
    let mut and = |condition: String, value: Option<String>| {
        if let Some(value) = value {
            conditions.push(condition);
            values.push(value.into());
        }
    };
    and("ticket = ?".to_owned(), filter.ticket.clone());
    and("role = ?".to_owned(), filter.role.clone());
    and("day >= ?".to_owned(), filter.from_day.clone());
    and("day <= ?".to_owned(), filter.to_day.clone());
    if let Some((key, _)) = page.after(column)? {
        let last = unhex(&key).ok_or(Error::Cursor)?;
        and(format!("{column} > ?"), Some(last));
    }
    let mut sql = format!("SELECT {column}, count(*), sum(open), sum(overrun){}", sums());
    sql.push_str(" FROM spend");
    if !conditions.is_empty() {
        let _ = write!(sql, " WHERE {}", conditions.join(" AND "));
    }
    let _ = write!(sql, " GROUP BY {column} ORDER BY {column} LIMIT {}", page.rows() + 1);
    let mut query = tx.prepare_cached(&sql)?;
    let rows = query.query_map(rusqlite::params_from_iter(values), |row| {
        let (spent, reserved) = summed(row, 4)?;
        Ok(Spend {
            key: row.get(0)?,
            actions: natural(row.get(1)?),
            open: natural(row.get(2)?),
            overruns: natural(row.get(3)?),
            spent,
            reserved,
        })
    })?;
    let items = rows.collect::<Result<Vec<_>, _>>()?;
    Ok(Page::cut(items, page.rows(), column, |row| (hex(&row.key), 0)))
}

/// The accounts that have a limit, and the tenant's and every role's, or one account alone.
pub(crate) fn budgets(
    tx: &Transaction<'_>,
    scope: Option<&str>,
    day: &str,
    page: &PageRequest,
) -> Result<Page<Account>, Error> {
    let known = match scope {
        Some(_) => "SELECT ?1 AS scope, 'total' AS period UNION SELECT ?1, 'day'",
        None => {
            "SELECT 'tenant' AS scope, 'day' AS period UNION SELECT 'tenant', 'total'
             UNION SELECT 'role/' || id, 'day' FROM roles UNION SELECT scope, period FROM limits"
        }
    };
    let after = match page.after("account")? {
        Some((key, _)) => unhex(&key).ok_or(Error::Cursor)?,
        None => String::new(),
    };
    // `?1` stands nowhere in the second list, and must be bound all the same.
    let sql = format!(
        "SELECT scope, period FROM ({known}) WHERE scope || ' ' || period > ?2 AND ?1 IS ?1
         ORDER BY scope || ' ' || period LIMIT {}",
        page.rows() + 1
    );
    let mut query = tx.prepare_cached(&sql)?;
    let found =
        query.query_map((scope.unwrap_or_default(), after), |r| Ok((r.get(0)?, r.get(1)?)))?;
    let found = found.collect::<Result<Vec<(String, String)>, _>>()?;
    let mut items = Vec::new();
    for (scope, period) in found {
        if let Some(row) = budget(tx, scope, &period, day)? {
            items.push(row);
        }
    }
    Ok(Page::cut(items, page.rows(), "account", |b| (hex(&format!("{} {}", b.scope, b.period)), 0)))
}

fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(natural))
}

/// One account for one period; `None` for one that is not counted so.
fn budget(
    tx: &Transaction<'_>,
    scope: String,
    period: &str,
    day: &str,
) -> Result<Option<Account>, Error> {
    let (aggregate, id) = scope.split_once('/').unwrap_or(("tenant", ""));
    let by_day = period == Period::Day.name();
    if by_day && !matches!(aggregate, "tenant" | "role") {
        return Ok(None);
    }
    let set = "SELECT money_micros, tokens, calls, wall_seconds, set_by, set_at, position
               FROM limits WHERE scope = ? AND period = ?";
    let set = tx.prepare_cached(set)?.query_row((&scope, period), |row| {
        let limits = Limits {
            money_micros: number(row, 0)?,
            tokens: number(row, 1)?,
            calls: number(row, 2)?,
            wall_seconds: number(row, 3)?,
        };
        Ok((limits, row.get(4)?, row.get(5)?, natural(row.get(6)?)))
    });
    let (mut limits, set_by, set_at, position) = match set.optional()? {
        Some((limits, by, at, position)) => (limits, Some(by), Some(at), Some(position)),
        None => (Limits::default(), None, None, None),
    };
    // What the role may spend by its own budget, as the decider counts it.
    let own = match (aggregate, by_day) {
        ("role", true) => Some("SELECT per_day_micros FROM roles WHERE id = ?"),
        ("ticket", false) => Some(
            "SELECT r.per_ticket_micros FROM tickets t JOIN roles r ON r.id = t.role WHERE t.id = ?",
        ),
        _ => None,
    };
    if let Some(own) = own {
        let micros = tx.prepare_cached(own)?.query_row([id], |row| number(row, 0)).optional()?;
        if let Some(micros) = micros.flatten() {
            limits.money_micros = Some(limits.money_micros.map_or(micros, |l| l.min(micros)));
        }
    }
    let (spent, reserved) = on_account(tx, aggregate, id, by_day.then_some(day))?;
    let used = spent.plus(&reserved);
    let free = |d: Dimension| limits.of(d).map(|limit| limit.saturating_sub(used.of(d)));
    let free = Limits {
        money_micros: free(Dimension::MoneyMicros),
        tokens: free(Dimension::Tokens),
        calls: free(Dimension::Calls),
        wall_seconds: free(Dimension::WallSeconds),
    };
    Ok(Some(Account {
        period: period.to_owned(),
        day: by_day.then(|| day.to_owned()),
        limits,
        spent,
        reserved,
        free,
        set_by,
        set_at,
        position,
        scope,
    }))
}

fn on_account(
    tx: &Transaction<'_>,
    aggregate: &str,
    id: &str,
    day: Option<&str>,
) -> Result<(Amount, Amount), Error> {
    let (mut conditions, mut values) = (vec!["1"], Vec::new());
    match aggregate {
        "role" => conditions.push("role = ?"),
        "ticket" => conditions.push("ticket = ?"),
        "run" => conditions.push("run = ?"),
        _ => {}
    }
    values.extend((conditions.len() > 1).then_some(id));
    if let Some(day) = day {
        conditions.push("day = ?");
        values.push(day);
    }
    let sums = sums();
    let columns = sums.trim_start_matches(", ");
    let sql = format!("SELECT {columns} FROM spend WHERE {}", conditions.join(" AND "));
    let mut query = tx.prepare_cached(&sql)?;
    Ok(query.query_row(rusqlite::params_from_iter(values), |row| summed(row, 0))?)
}

/// The price table in force.
pub(crate) fn prices(tx: &Transaction<'_>) -> Result<Option<Prices>, Error> {
    let sql = "SELECT position, currency, models, set_by, set_at FROM prices
               ORDER BY position DESC LIMIT 1";
    let found = tx.prepare_cached(sql)?.query_row([], |row| {
        let models: String = row.get(2)?;
        Ok((natural(row.get(0)?), row.get(1)?, models, row.get(3)?, row.get(4)?))
    });
    let Some((position, currency, models, set_by, set_at)) = found.optional()? else {
        return Ok(None);
    };
    Ok(Some(Prices { position, currency, models: serde_json::from_str(&models)?, set_by, set_at }))
}
