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
            data,
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
