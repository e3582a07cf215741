//! Accounts and prices: what limits leave behind, whose accounts are told, page by page.
#![expect(clippy::unwrap_used, reason = "a test may")]

use canonry_projections::{By, PageRequest, Reader, Recorded, SpendFilter, Store, rows};
use canonry_schemas::budget::Limits;
use canonry_schemas::event::Event;
use canonry_schemas::ids::generated;
use canonry_schemas::time::Time;
use serde_json::{Value, json};

/// 2027-01-15T08:00:00Z.
const START: i64 = 1_800_000_000_000_000;
const TODAY: &str = "2027-01-15";

fn id(prefix: &str, n: u128) -> String {
    generated(prefix, 1_800_000_000_000, n)
}

/// A ledger in memory: numbers records as they come, one second apart.
#[derive(Default)]
struct Ledger(Vec<Recorded>);

impl Ledger {
    fn add(&mut self, entity: &str, event: &str, data: Value) -> u64 {
        let position = self.0.len() as u64 + 1;
        let (aggregate, name) = event.split_once('.').unwrap();
        let parsed = Event::parse(aggregate, name, 1, &data).unwrap().unwrap();
        self.0.push(Recorded {
            position,
            hash: format!("{position:064x}"),
            id: format!("id{position}"),
            time: Time(START + i64::try_from(position).unwrap() * 1_000_000),
            actor: "ada".to_owned(),
            via: None,
            intentid: None,
            entity: entity.to_owned(),
            touches: Vec::new(),
            kind: format!("canonry.{event}.v1"),
            data: data.to_string(),
            event: parsed,
        });
        position
    }

    fn hire(&mut self, n: u128) -> String {
        let role = id("rol_", n);
        let hire = json!({"title": "Triage", "job": "Sort", "boundaries": [], "tools": ["mail"],
            "budget": {"per_ticket_micros": 50, "per_day_micros": 80}, "escalation": ["ada"],
            "tier": "T1"});
        self.add(&format!("role/{role}"), "role.hired", hire);
        role
    }

    fn limit(&mut self, scope: &str, period: &str, more: &Value) -> u64 {
        let mut data = json!({"scope": scope, "period": period});
        for (name, much) in more.as_object().unwrap() {
            data[name] = much.clone();
        }
        let entity = if scope == "tenant" { "tenant/acme" } else { scope };
        self.add(entity, "budget.limited", data)
    }

    fn filled(&self, path: &std::path::Path) -> Reader {
        Store::open(path).unwrap().apply(&self.0, None).unwrap();
        Reader::open(path).unwrap()
    }
}

fn names(rows: &[rows::Account]) -> Vec<String> {
    rows.iter().map(|row| format!("{} {}", row.scope, row.period)).collect()
}

#[test]
fn accounts_are_told_with_their_limits() {
    let dir = tempfile::tempdir().unwrap();
    let mut l = Ledger::default();
    let (role, ticket) = (l.hire(1), id("tkt_", 1));
    let (of_role, of_ticket) = (format!("role/{role}"), format!("ticket/{ticket}"));
    l.add(
        &of_ticket,
        "ticket.opened",
        json!({"title": "x1:k:t", "role": role,
        "approval_required": false}),
    );
    l.limit("tenant", "day", &json!({"money_micros": 7, "calls": 9}));
    let last = l.limit("tenant", "day", &json!({"tokens": 5}));
    l.limit(&of_role, "total", &json!({"wall_seconds": 3}));
    l.limit(&of_ticket, "total", &json!({"money_micros": 70, "calls": 2}));
    let mut reader = l.filled(&dir.path().join("acme.sqlite"));
    let s = reader.snapshot().unwrap();
    let page = PageRequest::default();
    let all = s.budgets(None, TODAY, &page).unwrap().items;
    assert_eq!(
        names(&all),
        [
            format!("{of_role} day"),
            format!("{of_role} total"),
            "tenant day".to_owned(),
            "tenant total".to_owned(),
            format!("{of_ticket} total"),
        ]
    );
    let none = Limits::default();
    // A role's own budget is a limit of its day, and of each of its tickets.
    assert_eq!(all[0].limits, Limits { money_micros: Some(80), ..none });
    assert_eq!((all[0].day.as_deref(), &all[0].set_by), (Some(TODAY), &None));
    assert_eq!((all[1].limits, &all[1].day), (Limits { wall_seconds: Some(3), ..none }, &None));
    // The last word stands, and all of it.
    assert_eq!(all[2].limits, Limits { tokens: Some(5), ..none });
    assert_eq!((all[2].position, all[2].set_by.as_deref()), (Some(last), Some("ada")));
    assert_eq!((all[3].limits, all[3].free), (none, none));
    assert_eq!(all[4].limits, Limits { money_micros: Some(50), calls: Some(2), ..none });
    assert_eq!(all[4].free, all[4].limits, "nothing was spent");

    // One account alone, also one that nobody limited.
    let of = |scope: &str| names(&s.budgets(Some(scope), TODAY, &page).unwrap().items);
    assert_eq!(of("tenant"), ["tenant day", "tenant total"]);
    assert_eq!(of(&of_ticket), [format!("{of_ticket} total")]);
    let run = format!("run/{}", id("run_", 9));
    assert_eq!(of(&run), [format!("{run} total")]);

    // Page by page it is the same.
    let (mut cursor, mut paged) = (None, Vec::new());
    loop {
        let one = s.budgets(None, TODAY, &PageRequest { limit: Some(2), cursor }).unwrap();
        paged.extend(one.items);
        cursor = one.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(paged, all);
    for cursor in ["tag~00~0", "account~zz~0", "account~ff~0"] {
        let page = PageRequest { limit: None, cursor: Some(cursor.to_owned()) };
        assert!(s.budgets(None, TODAY, &page).is_err(), "{cursor}");
    }
}

#[test]
fn the_last_price_table_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut l = Ledger::default();
    let model = |name: &str| {
        json!({"model": name, "input_micros_per_million_tokens": 15,
        "output_micros_per_million_tokens": 60})
    };
    l.hire(1);
    let mut reader = l.filled(&dir.path().join("none.sqlite"));
    assert_eq!(reader.snapshot().unwrap().prices().unwrap(), None);
    l.add("tenant/acme", "budget.priced", json!({"currency": "EUR", "models": [model("a")]}));
    let both = json!({"currency": "EUR", "models": [model("b"), model("c")]});
    let last = l.add("tenant/acme", "budget.priced", both.clone());
    let mut reader = l.filled(&dir.path().join("acme.sqlite"));
    let s = reader.snapshot().unwrap();
    let prices = s.prices().unwrap().unwrap();
    assert_eq!((prices.position, prices.currency.as_str()), (last, "EUR"));
    assert_eq!(serde_json::to_value(&prices.models).unwrap(), both["models"]);
    // Nothing was spent: no report has a row.
    for (_, by) in By::ALL {
        let page = s.spend(*by, &SpendFilter::default(), &PageRequest::default()).unwrap();
        assert_eq!(page.items, []);
    }
}

/// An action of the story: where it belongs and what is reserved for it.
fn allow(l: &mut Ledger, n: u128, tool: &str, model: Option<&str>, amount: &Value) -> String {
    let action = id("act_", n);
    let mut data = json!({"run": id("run_", n % 2), "ticket": id("tkt_", n % 2),
        "role": id("rol_", 1), "tool": tool, "action": "go", "worst": {},
        "arguments_digest": "0".repeat(64), "input_digest": "0".repeat(64), "input": "x1:1-0:AAAA",
        "decision": {"engine": "none", "verdict": "ALLOW", "rules": [], "obligations": []},
        "reserved": amount, "until": Time(START)});
    if let Some(model) = model {
        data["worst"]["model"] = json!(model);
    }
    l.add(&format!("action/{action}"), "action.allowed", data);
    action
}

fn amount(money: u64, tokens: u64) -> Value {
    json!({"money_micros": money, "tokens": tokens, "calls": 1, "wall_seconds": 0})
}

fn end(action: &str, n: u128, charged: &Value) -> Value {
    json!({"id": action, "run": id("run_", n % 2), "ticket": id("tkt_", n % 2),
        "role": id("rol_", 1), "charged": charged, "allowed_at": Time(START)})
}

#[test]
fn actions_are_added_up() {
    const MOST: u64 = 9_007_199_254_740_991;
    let dir = tempfile::tempdir().unwrap();
    let mut l = Ledger::default();
    l.hire(1);
    let first = allow(&mut l, 0, "mail", Some("a~b"), &amount(100, 10));
    let second = allow(&mut l, 1, "shell", None, &amount(MOST, 0));
    let third = allow(&mut l, 2, "~", Some("c"), &amount(7, 3));
    allow(&mut l, 3, "mail", None, &amount(1, 1));
    let mut settled = end(&first, 0, &amount(60, 4));
    for (name, value) in [
        ("outcome", json!("done")),
        ("used", json!({})),
        ("reserved", amount(100, 10)),
        ("refunded", amount(40, 6)),
        ("overrun", json!(false)),
    ] {
        settled[name] = value;
    }
    settled["overrun"] = json!(true);
    l.add(&format!("action/{first}"), "action.settled", settled.clone());
    // Told once more it changes nothing.
    settled["charged"] = amount(999, 999);
    l.add(&format!("action/{first}"), "action.settled", settled);
    let mut lapsed = end(&second, 1, &amount(MOST, 0));
    lapsed["at"] = json!(Time(START));
    l.add(&format!("action/{second}"), "action.lapsed", lapsed);
    let mut lapsed = end(&third, 2, &amount(7, 3));
    lapsed["at"] = json!(Time(START));
    l.add(&format!("action/{third}"), "action.lapsed", lapsed);
    let mut reader = l.filled(&dir.path().join("acme.sqlite"));
    let s = reader.snapshot().unwrap();
    let by = |by, filter: &SpendFilter| {
        // One row a page: names of any kind carry over.
        let (mut cursor, mut rows) = (None, Vec::new());
        loop {
            let page = PageRequest { limit: Some(1), cursor };
            let one = s.spend(by, filter, &page).unwrap();
            rows.extend(one.items);
            cursor = one.next;
            if cursor.is_none() {
                break rows;
            }
        }
    };
    let told = |rows: &[rows::Spend]| {
        let row = |r: &rows::Spend| {
            (r.key.clone(), r.actions, r.open, r.overruns, r.spent.money_micros, r.reserved.tokens)
        };
        rows.iter().map(row).collect::<Vec<_>>()
    };
    let all = SpendFilter::default();
    let key = |text: &str| text.to_owned();
    assert_eq!(
        told(&by(By::Model, &all)),
        [(key(""), 2, 1, 0, MOST, 1), (key("a~b"), 1, 0, 1, 60, 0), (key("c"), 1, 0, 0, 7, 0),]
    );
    assert_eq!(
        told(&by(By::Tool, &all)),
        [
            (key("mail"), 2, 1, 1, 60, 1),
            (key("shell"), 1, 0, 0, MOST, 0),
            (key("~"), 1, 0, 0, 7, 0),
        ]
    );
    // Sums end where integers of records do.
    let role = by(By::Role, &all);
    assert_eq!((role.len(), role[0].spent.money_micros, role[0].spent.tokens), (1, MOST, 7));
    let one = SpendFilter { ticket: Some(id("tkt_", 0)), ..all.clone() };
    assert_eq!(told(&by(By::Day, &one)), [(key(TODAY), 2, 0, 1, 67, 0)]);
    for (from, to, rows) in [("2027-01-15", "2027-01-15", 1), ("2027-01-16", "2027-02-01", 0)] {
        let days = SpendFilter {
            from_day: Some(key(from)),
            to_day: Some(key(to)),
            ..SpendFilter::default()
        };
        assert_eq!(by(By::Day, &days).len(), rows, "{from}");
    }
    let account = s.budgets(Some("role/none"), TODAY, &PageRequest::default()).unwrap().items;
    assert!(account.iter().all(|row| row.spent == Default::default()), "of another role");
}
