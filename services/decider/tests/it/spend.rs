//! Report and enforcement agree: after a random history of reservations, settlements, lapses and
//! nights, the sums that people are told are the accounts that the decider decides on.

use std::collections::BTreeMap;
use std::sync::Arc;

use canonry_decider::snapshot::Snapshot;
use canonry_decider::world::{Bounds, Folded, World};
use canonry_domain::action::Stage;
use canonry_domain::budget::{self, Account, Accounts, Day, Held, Tally};
use canonry_domain::prices;
use canonry_projections::{By, PageRequest, Reader, Recorded, SpendFilter, Store};
use canonry_schemas::budget::{Amount, Period, Used, Worst};
use canonry_schemas::event::Event;
use canonry_schemas::ids::{ActorId, TenantId, generated};
use canonry_schemas::time::Time;
use serde_json::{Value, json};
use zeroize::Zeroizing;

const START: i64 = 1_800_000_000_000_000;
const SMALL: Bounds = Bounds { entities: 4, intents: 3, deadlines: 2 };
const ROLES: usize = 2;
const TICKETS: usize = 3;
const RUNS: usize = 5;
const TOOLS: [&str; 3] = ["mail", "search", "shell"];

/// Numbers that look random and are the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

fn id(prefix: &str, n: usize) -> String {
    generated(prefix, 1_700_000_000_000, n as u128)
}

/// A tenant: its world, and the same records as a projector has them.
struct Bed {
    world: World,
    records: Vec<Recorded>,
    now: Time,
    open: Vec<String>,
    numbers: Numbers,
    refused: usize,
}

impl Bed {
    fn new(folder: &std::path::Path, seed: u64) -> Self {
        let tenant: TenantId = "acme".parse().unwrap();
        let store = Snapshot::new(folder, tenant.clone(), Zeroizing::new([9; 32]));
        let world = World::new(tenant, Arc::clone(&store), SMALL);
        let numbers = Numbers(seed);
        let now = Time(START);
        let mut bed =
            Self { world, records: Vec::new(), now, open: Vec::new(), numbers, refused: 0 };
        for n in 0..ROLES {
            let hire = json!({"title": "Clerk", "job": "Sort.", "boundaries": [], "tools": TOOLS,
                "budget": {"per_ticket_micros": 400_000, "per_day_micros": 40_000},
                "escalation": ["founder"], "tier": "T1"});
            bed.add(&format!("role/{}", id("rol_", n)), "role.hired", hire);
        }
        for n in 0..TICKETS {
            let open = json!({"title": "x1:1-0:AAAA", "approval_required": false,
                "role": id("rol_", n % ROLES)});
            bed.add(&format!("ticket/{}", id("tkt_", n)), "ticket.opened", open);
        }
        for n in 0..RUNS {
            let (_, ticket, role) = place(n);
            let start = json!({"ticket": ticket, "role": role});
            bed.add(&format!("run/{}", id("run_", n)), "run.started", start);
        }
        let small = json!({"model": "small", "input_micros_per_million_tokens": 1_500_000,
            "output_micros_per_million_tokens": 6_000_000});
        bed.add("tenant/acme", "budget.priced", json!({"currency": "EUR", "models": [small]}));
        let limit = json!({"scope": "tenant", "period": "total", "calls": 1_100});
        bed.add("tenant/acme", "budget.limited", limit);
        bed
    }

    /// What the desk does with a decided event: it gets a place, and both sides fold it.
    fn add(&mut self, entity: &str, kind: &str, data: Value) {
        let position = self.records.len() as u64 + 1;
        let (aggregate, name) = kind.split_once('.').unwrap();
        let event = Event::parse(aggregate, name, 1, &data).unwrap().unwrap();
        let (hash, actor): (String, ActorId) = (format!("{position:064x}"), "ada".parse().unwrap());
        let folded = Folded {
            position,
            hash: &hash,
            time: self.now,
            actor: &actor,
            intent: None,
            entity,
            event: &event,
            content_key: None,
        };
        self.world.fold(&folded).unwrap();
        self.records.push(Recorded {
            position,
            hash,
            id: format!("id{position}"),
            time: self.now,
            actor: actor.to_string(),
            via: None,
            intentid: None,
            entity: entity.to_owned(),
            touches: Vec::new(),
            kind: format!("canonry.{kind}.v1"),
            data: data.to_string(),
            event,
        });
    }

    fn account(&mut self, entity: &str) -> Account {
        self.world.warm(entity).unwrap();
        let state = self.world.slot(entity).unwrap().state.as_ref();
        state.and_then(|state| state.account()).cloned().unwrap_or_default()
    }

    fn propose(&mut self) {
        let run = self.numbers.below(RUNS as u64) as usize;
        let (run_id, ticket, role) = place(run);
        let model = self.numbers.below(3) == 0;
        let tool = TOOLS[self.numbers.below(3) as usize];
        let worst = json!({"money_micros": self.numbers.below(900), "wall_seconds": 2,
            "tokens_in": self.numbers.below(200), "tokens_out": self.numbers.below(80)});
        let mut worst = worst;
        if model {
            worst["model"] = json!("small");
        }
        let asked: Worst = serde_json::from_value(worst.clone()).unwrap();
        self.world.warm("tenant/acme").unwrap();
        let books = self.world.books().unwrap().unwrap().clone();
        let (need, cost) = prices::worst(books.prices.as_ref(), &asked).unwrap();
        let of_role = self.account(&format!("role/{role}"));
        let of_ticket = self.account(&format!("ticket/{ticket}"));
        let of_run = self.account(&format!("run/{run_id}"));
        let own = self.world.role(&role).unwrap().unwrap().budget.clone();
        let accounts = Accounts {
            tenant: &books.account,
            role: (&role.parse().unwrap(), &of_role, &own),
            ticket: (&ticket.parse().unwrap(), &of_ticket),
            run: (&run_id.parse().unwrap(), &of_run),
        };
        let Ok(reservation) = budget::reserve(&accounts, &need, self.now) else {
            self.refused += 1;
            return;
        };
        let action = id("act_", self.records.len());
        let mut data = json!({"run": run_id, "ticket": ticket, "role": role, "tool": tool,
            "action": "go", "worst": worst, "arguments_digest": "0".repeat(64),
            "input_digest": "0".repeat(64), "input": "x1:1-0:AAAA",
            "decision": {"engine": "none", "verdict": "ALLOW", "rules": [], "obligations": []},
            "reserved": reservation.amount, "until": Time(self.now.0 + 60_000_000)});
        if let Some(cost) = cost {
            data["prices"] = json!(books.prices.unwrap().position.to_string());
            data["price"] = json!({"model": "small", "input_micros_per_million_tokens": cost.input,
                "output_micros_per_million_tokens": cost.output});
        }
        self.add(&format!("action/{action}"), "action.allowed", data);
        self.open.push(action);
    }

    fn held(&mut self, action: &str) -> Held {
        let entity = format!("action/{action}");
        self.world.warm(&entity).unwrap();
        match &self.world.action(action).unwrap().unwrap().stage {
            Stage::Allowed { held, .. } => (**held).clone(),
            other => panic!("{other:?}"),
        }
    }

    fn end(&mut self, lapse: bool) {
        if self.open.is_empty() {
            return;
        }
        let nth = self.numbers.below(self.open.len() as u64) as usize;
        let action = self.open.swap_remove(nth);
        let entity = format!("action/{action}");
        let allowed = self.records.iter().find(|r| r.entity == entity).unwrap();
        let at = allowed.time;
        let data: Value = serde_json::from_str(&allowed.data).unwrap();
        let held = self.held(&action);
        let place = |mut body: Value| {
            for name in ["run", "ticket", "role"] {
                body[name] = data[name].clone();
            }
            body["id"] = json!(action);
            body["allowed_at"] = json!(at);
            body
        };
        if lapse {
            let charged = budget::lapse(&held).charged;
            let body = place(json!({"at": self.now, "charged": charged}));
            return self.add(&entity, "action.lapsed", body);
        }
        let mut used = Used { money_micros: Some(self.numbers.below(900)), ..Used::default() };
        if self.numbers.below(2) == 0 {
            (used.tokens_in, used.calls) = (Some(self.numbers.below(300)), Some(0));
        }
        let end = budget::settle(&held, &used);
        let body = place(json!({"outcome": "done", "used": used, "reserved": held.amount,
            "charged": end.charged, "refunded": end.refunded, "overrun": end.overrun}));
        self.add(&entity, "action.settled", body);
    }
}

/// A run, its ticket and its role.
fn place(run: usize) -> (String, String, String) {
    let ticket = run % TICKETS;
    (id("run_", run), id("tkt_", ticket), id("rol_", ticket % ROLES))
}

fn told(spent: Amount, reserved: Amount) -> Tally {
    Tally { spent, reserved }
}

#[test]
fn the_report_is_what_was_enforced() {
    let folder = tempfile::tempdir().unwrap();
    let mut bed = Bed::new(folder.path(), 7);
    let mut nights = 0;
    for _ in 0..2_500 {
        match bed.numbers.below(10) {
            0..6 => bed.propose(),
            6 | 7 => bed.end(false),
            8 => bed.end(true),
            _ => {
                let before = Day::of(bed.now);
                bed.now.0 += (bed.numbers.below(3 * 3_600) as i64) * 1_000_000;
                nights += usize::from(Day::of(bed.now) > before && !bed.open.is_empty());
            }
        }
    }
    let (refused, open, records) = (bed.refused, bed.open.len(), bed.records.len());
    let enough = nights > 3 && refused > 50 && open > 3 && records > 800;
    assert!(enough, "{nights} nights, {refused} refused, {open} open, {records} records");

    let path = folder.path().join("told.sqlite");
    Store::open(&path).unwrap().apply(&bed.records, None).unwrap();
    let mut reader = Reader::open(&path).unwrap();
    let s = reader.snapshot().unwrap();
    let (today, page) = (Day::of(bed.now), PageRequest { limit: Some(500), cursor: None });
    let day = bed.now.to_string()[..10].to_owned();
    let mut entities = vec!["tenant/acme".to_owned()];
    entities.extend((0..ROLES).map(|n| format!("role/{}", id("rol_", n))));
    entities.extend((0..TICKETS).map(|n| format!("ticket/{}", id("tkt_", n))));
    entities.extend((0..RUNS).map(|n| format!("run/{}", id("run_", n))));
    for entity in &entities {
        let account = bed.account(entity);
        let scope = if entity.starts_with("tenant/") { "tenant" } else { entity };
        for row in s.budgets(Some(scope), &day, &page).unwrap().items {
            let by_day = row.period == Period::Day.name();
            let enforced = if by_day { account.on(today) } else { account.total() };
            assert_eq!(told(row.spent, row.reserved), enforced, "{scope} {}", row.period);
        }
    }
    // Every report has the same sum, and that of a kind of account is account by account.
    let whole = bed.account("tenant/acme").total();
    for (name, by) in By::ALL {
        let rows = s.spend(*by, &SpendFilter::default(), &page).unwrap().items;
        let add = |sum: Tally, row: &canonry_projections::rows::Spend| {
            told(sum.spent.plus(&row.spent), sum.reserved.plus(&row.reserved))
        };
        assert_eq!(rows.iter().fold(Tally::default(), add), whole, "by {name}");
        assert_eq!(rows.iter().map(|r| r.open).sum::<u64>(), bed.open.len() as u64, "by {name}");
        let prefix = match by {
            By::Ticket => "ticket",
            By::Run => "run",
            By::Role => "role",
            By::Model | By::Tool | By::Day => {
                assert!(rows.len() > 1, "by {name}");
                continue;
            }
        };
        let by_key: BTreeMap<_, _> = rows.iter().map(|r| (r.key.clone(), r)).collect();
        assert!(by_key.len() > 1, "by {name}");
        for (key, row) in by_key {
            let account = bed.account(&format!("{prefix}/{key}"));
            assert_eq!(told(row.spent, row.reserved), account.total(), "{prefix}/{key}");
        }
    }
    // The report of one ticket by day, too.
    let ticket = id("tkt_", 0);
    let filter = SpendFilter { ticket: Some(ticket.clone()), ..SpendFilter::default() };
    let days = s.spend(By::Day, &filter, &page).unwrap().items;
    let spent = days.iter().fold(Amount::default(), |sum, row| sum.plus(&row.spent));
    assert_eq!(spent, bed.account(&format!("ticket/{ticket}")).total().spent);
    let first = days.first().unwrap().key.clone();
    let filter = SpendFilter { to_day: Some(first), ..filter };
    assert_eq!(s.spend(By::Day, &filter, &page).unwrap().items, days[..1]);
}
