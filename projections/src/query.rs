//! The read side: one read-only connection, one consistent moment at a time. Content comes out
//! as it went in, encrypted; rows are described in [`crate::rows`].

use std::fmt::Write as _;
use std::path::Path;

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, Row, Transaction};

use crate::acts::{self, Action, ActionFilter, Policy};
use crate::diff::Changed;
pub use crate::filter::{EventFilter, RunFilter, TicketFilter, TicketSort};
use crate::page::{Page, PageRequest};
use crate::rows::{Account, Event, Key, Kind, Member, Prices, Role, Run, Spend, Step, Ticket};
use crate::schema::READER;
use crate::spend::{self, By, SpendFilter};
use crate::store::{Error, Head, head, integer, natural, plan_once};

/// A connection that reads.
#[derive(Debug)]
pub struct Reader(Connection);

impl Reader {
    /// Opens a file that a [`crate::Store`] has made.
    ///
    /// # Errors
    /// SQLite.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        plan_once(&connection)?;
        connection.execute_batch(READER)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Self(connection))
    }

    pub(crate) const fn over(connection: Connection) -> Self {
        Self(connection)
    }

    /// The read models at one moment: everything that is asked of it belongs to one position.
    ///
    /// # Errors
    /// SQLite.
    pub fn snapshot(&mut self) -> Result<Snapshot<'_>, Error> {
        let tx = self.0.transaction()?;
        let head = head(&tx)?;
        Ok(Snapshot { tx, head })
    }
}

/// One moment of a tenant.
#[derive(Debug)]
pub struct Snapshot<'a> {
    tx: Transaction<'a>,
    head: Head,
}

/// Conditions and their values, in order.
#[derive(Default)]
pub(crate) struct Where {
    sql: String,
    values: Vec<Sql>,
}

impl Where {
    pub(crate) fn and(&mut self, condition: &str, value: impl Into<Sql>) {
        self.and_that(condition);
        self.values.push(value.into());
    }

    /// Without a value: a plan is made before values are known, and only a condition as it stands
    /// in a partial index can use it.
    pub(crate) fn and_that(&mut self, condition: &str) {
        self.sql.push_str(if self.sql.is_empty() { " WHERE " } else { " AND " });
        self.sql.push_str(condition);
    }

    pub(crate) fn and_some(&mut self, condition: &str, value: Option<&String>) {
        if let Some(value) = value {
            self.and(condition, value.clone());
        }
    }
}

impl Snapshot<'_> {
    /// The moment.
    #[must_use]
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// One entity, with the runs that touched it, as of a position: read models of nothing else.
    ///
    /// # Errors
    /// [`Error::TooMuch`], or SQLite.
    pub fn as_of(&self, entity: &str, position: u64) -> Result<Reader, Error> {
        crate::past::as_of(&self.tx, [entity], position)
    }

    /// Everything as of a position.
    ///
    /// # Errors
    /// [`Error::TooMuch`], or SQLite.
    pub fn all_as_of(&self, position: u64) -> Result<Reader, Error> {
        crate::past::all_as_of(&self.tx, position)
    }

    /// Every entity that a fact touched after one position and up to another, as it was at each.
    ///
    /// # Errors
    /// [`Error::TooMuch`], [`Error::Wide`], or SQLite.
    pub fn changed(&self, from: u64, to: u64) -> Result<Vec<Changed>, Error> {
        crate::diff::changed(&self.tx, from, to)
    }

    /// Tickets, filtered, sorted, paged.
    ///
    /// # Errors
    /// A foreign cursor, or SQLite.
    pub fn tickets(
        &self,
        filter: &TicketFilter,
        sort: TicketSort,
        page: &PageRequest,
    ) -> Result<Page<Ticket>, Error> {
        let mut w = Where::default();
        if !filter.status.is_empty() {
            let names = serde_json::to_string(&filter.status)?;
            w.and("status IN (SELECT value FROM json_each(?))", names);
        }
        w.and_some("role = ?", filter.role.as_ref());
        w.and_some("external = ?", filter.external.as_ref());
        if let Some(priority) = filter.priority {
            w.and("priority = ?", i64::from(priority));
        }
        if let Some(breached) = filter.breached {
            w.and("breached = ?", i64::from(breached));
        }
        match filter.approval_pending {
            Some(true) => w.and_that("approval = 'asked'"),
            Some(false) => w.and_that("approval <> 'asked'"),
            None => {}
        }
        if let Some((key, position)) = page.after(sort.name())? {
            match sort {
                TicketSort::Opened => w.and("position > ?", position),
                TicketSort::Newest => w.and("position < ?", position),
                TicketSort::Priority => {
                    let key: i64 = key.parse().map_err(|_| Error::Cursor)?;
                    w.and("(priority, position) > (?, ?)", key);
                    w.values.push(position.into());
                }
                TicketSort::Due => {
                    w.and("(coalesce(due, '9'), position) > (?, ?)", key);
                    w.values.push(position.into());
                }
            }
        }
        let order = match sort {
            TicketSort::Opened => "position",
            TicketSort::Newest => "position DESC",
            TicketSort::Priority => "priority, position",
            TicketSort::Due => "coalesce(due, '9'), position",
        };
        let items = self.list("tickets", w, order, page.rows(), Ticket::read)?;
        Ok(Page::cut(items, page.rows(), sort.name(), |t| (sort.key(t), t.position)))
    }

    /// How many tickets there are in each status.
    ///
    /// # Errors
    /// SQLite.
    pub fn ticket_counts(&self) -> Result<Vec<(String, u64)>, Error> {
        let sql = "SELECT status, count(*) FROM tickets GROUP BY status ORDER BY status";
        let mut query = self.tx.prepare_cached(sql)?;
        let rows = query.query_map([], |r| Ok((r.get(0)?, natural(r.get(1)?))))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// One ticket.
    ///
    /// # Errors
    /// SQLite.
    pub fn ticket(&self, id: &str) -> Result<Option<Ticket>, Error> {
        self.one("SELECT * FROM tickets WHERE id = ?", id, Ticket::read)
    }

    /// One role.
    ///
    /// # Errors
    /// SQLite.
    pub fn role(&self, id: &str) -> Result<Option<Role>, Error> {
        self.one("SELECT * FROM roles WHERE id = ?", id, Role::read)
    }

    /// Roles in the order of hiring.
    ///
    /// # Errors
    /// A foreign cursor, or SQLite.
    pub fn roles(&self, status: Option<&str>, page: &PageRequest) -> Result<Page<Role>, Error> {
        let mut w = Where::default();
        w.and_some("status = ?", status.map(str::to_owned).as_ref());
        self.by_position("roles", w, page, Role::read, |r| r.position)
    }

    /// One run.
    ///
    /// # Errors
    /// SQLite.
    pub fn run(&self, id: &str) -> Result<Option<Run>, Error> {
        self.one("SELECT * FROM runs WHERE id = ?", id, Run::read)
    }

    /// Runs in the order of their start.
    ///
    /// # Errors
    /// A foreign cursor, or SQLite.
    pub fn runs(&self, filter: &RunFilter, page: &PageRequest) -> Result<Page<Run>, Error> {
        let mut w = Where::default();
        w.and_some("ticket = ?", filter.ticket.as_ref());
        w.and_some("worker = ?", filter.worker.as_ref());
        w.and_some("status = ?", filter.status.as_ref());
        self.by_position("runs", w, page, Run::read, |r| r.position)
    }

    /// The steps of a run, in order.
    ///
    /// # Errors
    /// A foreign cursor, or SQLite.
    pub fn steps(&self, run: &str, page: &PageRequest) -> Result<Page<Step>, Error> {
        let mut w = Where::default();
        w.and("run = ?", run.to_owned());
        self.by_position("steps", w, page, Step::read, |s| s.position)
    }

    /// Records.
    ///
    /// # Errors
    /// A foreign cursor, or SQLite.
    pub fn events(&self, filter: &EventFilter, page: &PageRequest) -> Result<Page<Event>, Error> {
        let mut w = Where::default();
        if let Some(kind) = &filter.kind {
            if kind.starts_with("canonry.") {
                w.and("kind = ?", kind.clone());
            } else {
                w.and("kind >= ?", format!("canonry.{kind}."));
                w.and("kind < ?", format!("canonry.{kind}/"));
            }
        }
        w.and_some("actor = ?", filter.actor.as_ref());
        w.and_some("intentid = ?", filter.intent.as_ref());
        if let Some(entity) = &filter.entity {
            let folded = "position IN (SELECT position FROM folded WHERE entity = ?)";
            w.and(folded, entity.clone());
        }
        if let Some(custom) = &filter.custom {
            let appended = "position IN (SELECT position FROM appended WHERE kind = ?)";
            w.and(appended, custom.clone());
        }
        if let Some(refusal) = filter.refusal {
            w.and("refusal = ?", i64::from(refusal));
        }
        let mut from = filter.from_position.unwrap_or(1);
        let mut to = filter.to_position.unwrap_or(u64::MAX);
        if let Some(time) = filter.from_time {
            from = from.max(self.first_where(|t| t >= time.to_string().as_str())?);
        }
        if let Some(time) = filter.to_time {
            let behind = self.first_where(|t| t > time.to_string().as_str())?;
            to = to.min(behind.saturating_sub(1));
        }
        let (name, order) = match filter.newest_first {
            true => ("-position", "position DESC"),
            false => ("position", "position"),
        };
        if let Some((_, last)) = page.after(name)? {
            match filter.newest_first {
                true => to = to.min(natural(last).saturating_sub(1)),
                false => from = from.max(natural(last).saturating_add(1)),
            }
        }
        w.and("position >= ?", integer(from));
        w.and("position <= ?", integer(to));
        let items = self.list("events", w, order, page.rows(), Event::read)?;
        Ok(Page::cut(items, page.rows(), name, |e| (String::new(), e.position)))
    }

    /// The first position whose time fits; times never fall along the chain, so halving finds it
    /// without an index.
    fn first_where(&self, fits: impl Fn(&str) -> bool) -> Result<u64, Error> {
        let mut query = self.tx.prepare_cached(
            "SELECT position, time FROM events WHERE position >= ? ORDER BY position LIMIT 1",
        )?;
        let (mut low, mut high) = (1, self.head.position + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let time: Option<String> =
                query.query_row([integer(middle)], |r| r.get(1)).optional()?;
            if time.is_none_or(|t| fits(&t)) { high = middle } else { low = middle + 1 }
        }
        Ok(low)
    }

    /// Versions of custom record types in the order of their registration.
    ///
    /// # Errors
    /// A foreign cursor, or SQLite.
    pub fn kinds(&self, kind: Option<&str>, page: &PageRequest) -> Result<Page<Kind>, Error> {
        let mut w = Where::default();
        w.and_some("kind = ?", kind.map(str::to_owned).as_ref());
        self.by_position("kinds", w, page, Kind::read, |k| k.position)
    }

    /// Actions in the order in which they were proposed.
    ///
    /// # Errors
    /// A foreign cursor, or SQLite.
    pub fn actions(&self, f: &ActionFilter, page: &PageRequest) -> Result<Page<Action>, Error> {
        let mut w = Where::default();
        w.and_some("status = ?", f.status.as_ref());
        w.and_some("run = ?", f.run.as_ref());
        w.and_some("ticket = ?", f.ticket.as_ref());
        w.and_some("role = ?", f.role.as_ref());
        w.and_some("tool = ?", f.tool.as_ref());
        self.by_position("actions", w, page, Action::read, |a| a.position)
    }

    /// One action.
    ///
    /// # Errors
    /// SQLite.
    pub fn action(&self, id: &str) -> Result<Option<Action>, Error> {
        self.one("SELECT * FROM actions WHERE id = ?", id, Action::read)
    }

    /// The policy in force, whether it has expired or not.
    ///
    /// # Errors
    /// SQLite.
    pub fn policy(&self) -> Result<Option<Policy>, Error> {
        acts::policy(&self.tx)
    }

    /// What was spent and is reserved, added up by one thing, in the order of its names.
    ///
    /// # Errors
    /// A foreign cursor, or SQLite.
    pub fn spend(
        &self,
        by: By,
        filter: &SpendFilter,
        page: &PageRequest,
    ) -> Result<Page<Spend>, Error> {
        spend::spend(&self.tx, by, filter, page)
    }

    /// Accounts with their limits: the tenant's, every role's, and whatever has a limit; or one
    /// account alone. Those counted by day as they are on the given one, `2026-01-31`.
    ///
    /// # Errors
    /// A foreign cursor, or SQLite.
    pub fn budgets(
        &self,
        scope: Option<&str>,
        day: &str,
        page: &PageRequest,
    ) -> Result<Page<Account>, Error> {
        spend::budgets(&self.tx, scope, day, page)
    }

    /// The price table in force.
    ///
    /// # Errors
    /// SQLite.
    pub fn prices(&self) -> Result<Option<Prices>, Error> {
        spend::prices(&self.tx)
    }

    /// All members, removed ones included, with their keys.
    ///
    /// # Errors
    /// SQLite.
    pub fn members(&self, page: &PageRequest) -> Result<Page<Member>, Error> {
        let mut w = Where::default();
        if let Some((actor, _)) = page.after("actor")? {
            w.and("actor > ?", actor);
        }
        let mut items = self.list("members", w, "actor", page.rows(), Member::read)?;
        for member in &mut items {
            member.keys = self.keys_of(&member.actor)?;
        }
        Ok(Page::cut(items, page.rows(), "actor", |m| (m.actor.clone(), m.position)))
    }

    /// One member, removed or not, with their keys.
    ///
    /// # Errors
    /// SQLite.
    pub fn member(&self, actor: &str) -> Result<Option<Member>, Error> {
        let found = self.one("SELECT * FROM members WHERE actor = ?", actor, Member::read)?;
        let Some(mut member) = found else { return Ok(None) };
        member.keys = self.keys_of(actor)?;
        Ok(Some(member))
    }

    fn keys_of(&self, actor: &str) -> Result<Vec<Key>, Error> {
        let sql = "SELECT * FROM keys WHERE actor = ? ORDER BY position, id";
        let mut query = self.tx.prepare_cached(sql)?;
        let keys = query.query_map([actor], Key::read)?;
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// One key.
    ///
    /// # Errors
    /// SQLite.
    pub fn key(&self, id: &str) -> Result<Option<Key>, Error> {
        self.one("SELECT * FROM keys WHERE id = ?", id, Key::read)
    }

    /// The ids of every content key that was erased.
    ///
    /// # Errors
    /// SQLite.
    pub fn erased_keys(&self) -> Result<Vec<String>, Error> {
        let mut query = self.tx.prepare_cached("SELECT content_key FROM erased")?;
        let keys = query.query_map([], |r| r.get(0))?;
        Ok(keys.collect::<Result<_, _>>()?)
    }

    /// The record that attached evidence, by its id or its position.
    ///
    /// # Errors
    /// SQLite.
    pub fn evidence(&self, id: &str) -> Result<Option<Event>, Error> {
        let kind = "kind = 'canonry.evidence.attached.v1'";
        let by_id = format!("SELECT * FROM events WHERE id = ? AND {kind}");
        let by_position =
            format!("SELECT * FROM events WHERE position = CAST(? AS INTEGER) AND {kind}");
        let number = id.len() < 20 && id.bytes().all(|c| c.is_ascii_digit());
        self.one(if number { &by_position } else { &by_id }, id, Event::read)
    }

    /// Whether a member is enrolled and was not removed.
    ///
    /// # Errors
    /// SQLite.
    pub fn is_member(&self, actor: &str) -> Result<bool, Error> {
        let sql = "SELECT removed_at IS NULL FROM members WHERE actor = ?";
        Ok(self.one(sql, actor, |r| r.get(0))?.unwrap_or(false))
    }

    pub(crate) fn one<T>(
        &self,
        sql: &str,
        id: &str,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, Error> {
        Ok(self.tx.prepare_cached(sql)?.query_row([id], |r| read(r)).optional()?)
    }

    pub(crate) fn by_position<T>(
        &self,
        table: &str,
        mut w: Where,
        page: &PageRequest,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
        position: impl Fn(&T) -> u64,
    ) -> Result<Page<T>, Error> {
        if let Some((_, last)) = page.after("position")? {
            w.and("position > ?", last);
        }
        let items = self.list(table, w, "position", page.rows(), read)?;
        Ok(Page::cut(items, page.rows(), "position", |t| (String::new(), position(t))))
    }

    /// One row more than wanted, which says whether there is a next page.
    pub(crate) fn list<T>(
        &self,
        table: &str,
        w: Where,
        order: &str,
        rows: usize,
        read: impl Fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, Error> {
        let mut sql = format!("SELECT * FROM {table}{} ORDER BY {order}", w.sql);
        let _ = write!(sql, " LIMIT {}", rows + 1);
        let mut query = self.tx.prepare_cached(&sql)?;
        let rows = query.query_map(rusqlite::params_from_iter(w.values), |r| read(r))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}
