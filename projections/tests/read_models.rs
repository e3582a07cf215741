//! Records go in, tables come out: every aggregate, paging, time ranges, gaps and rebuilds.
#![expect(clippy::unwrap_used, reason = "a test may")]

use canonry_projections::{
    EventFilter, PageRequest, Reader, Recorded, RunFilter, Store, TicketFilter, TicketSort,
};
use canonry_schemas::event::Event;
use canonry_schemas::ids::generated;
use canonry_schemas::time::Time;
use serde_json::{Value, json};

const START: i64 = 1_800_000_000_000_000;
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A ledger in memory: numbers and dates records as they come, one second apart.
#[derive(Default)]
struct Ledger(Vec<Recorded>);

impl Ledger {
    fn add(&mut self, actor: &str, entity: &str, event: &str, data: Value) -> u64 {
        let position = self.0.len() as u64 + 1;
        let (aggregate, name) = event.split_once('.').unwrap();
        let parsed = Event::parse(aggregate, name, 1, &data).unwrap().unwrap();
        let touches = data["ticket"].as_str().map(|t| format!("ticket/{t}")).into_iter().collect();
        self.0.push(Recorded {
            position,
            hash: format!("{position:064x}"),
            id: format!("id{position}"),
            time: Time(START + i64::try_from(position).unwrap() * 1_000_000),
            actor: actor.to_owned(),
            via: None,
            intentid: Some(format!("intent{position}")),
            entity: entity.to_owned(),
            touches,
            kind: format!("canonry.{event}.v1"),
            data: data.to_string(),
            event: parsed,
        });
        position
    }
}

fn key(id: &str, actor: &str) -> Value {
    json!({"id": id, "alg": "ed25519", "public": KEY, "use": ["member"], "actor": actor})
}

fn authorization() -> Value {
    json!({"keyhead": "0".repeat(64), "signature": format!("ed25519:{}:{}", "0".repeat(16), "A".repeat(86))})
}

fn id(prefix: &str, n: u128) -> String {
    generated(prefix, 1_800_000_000_000, n)
}

/// A founder, a role, its worker, a ticket with a question and an answer, and two runs.
fn story() -> Ledger {
    let mut l = Ledger::default();
    let (role, ticket) = (id("rol_", 1), id("tkt_", 1));
    let (first, second) = (id("run_", 1), id("run_", 2));
    let keys = json!([key("00000000000000f0", "ada")]);
    let founded = json!({"keys": keys, "members": [{"actor": "ada", "parts": ["founder"]}]});
    l.add("ada", "tenant/acme", "tenant.founded", founded);
    let hire = json!({"title": "Triage", "job": "Sort", "boundaries": [], "tools": ["mail"],
        "budget": {"per_ticket_micros": 5, "per_day_micros": 6}, "escalation": ["ada"], "tier": "T1"});
    l.add("ada", &format!("role/{role}"), "role.hired", hire);
    let enrol = json!({"actor": "bot", "parts": ["worker"], "role": role, "name": "x1:k:n",
        "keys": [key("00000000000000b0", "bot")], "revoked": [], "authorization": authorization()});
    l.add("ada", "member/bot", "member.enrolled", enrol);
    let entity = format!("ticket/{ticket}");
    let open =
        json!({"title": "x1:k:t", "role": role, "external": "INC7", "approval_required": true});
    l.add("ada", &entity, "ticket.opened", open);
    let start = json!({"ticket": ticket, "role": role});
    l.add("bot", &format!("run/{first}"), "run.started", start.clone());
    l.add("bot", &format!("run/{first}"), "run.failed", json!({"id": first, "ticket": ticket}));
    l.add("bot", &format!("run/{second}"), "run.started", start);
    let step = json!({"id": second, "name": "guess", "outcome": "done", "confidence": 640});
    l.add("bot", &format!("run/{second}"), "run.step-recorded", step);
    l.add("bot", &entity, "ticket.approval-requested", json!({"id": ticket, "reason": "x1:k:r"}));
    let early = json!({"code": "approval-missing", "message": "no"});
    l.add("bot", &entity, "ticket.complete-refused", early);
    l.add("ada", &entity, "ticket.approved", json!({"id": ticket, "approval": "jwt"}));
    l.add(
        "bot",
        &format!("run/{second}"),
        "run.completed",
        json!({"id": second, "ticket": ticket}),
    );
    l.add("bot", &entity, "ticket.completed", json!({"id": ticket, "evidence": "obj/1"}));
    l
}

fn filled(path: &std::path::Path, ledger: &Ledger) -> Reader {
    let mut store = Store::open(path).unwrap();
    assert_eq!(store.apply(&ledger.0, Some("{\"v\":1}")).unwrap(), ledger.0.len() as u64);
    Reader::open(path).unwrap()
}

#[test]
fn the_whole_slice_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("acme.sqlite");
    let mut reader = filled(&path, &story());
    let s = reader.snapshot().unwrap();
    assert_eq!((s.head().position, s.head().hash.as_str()), (13, &*format!("{:064x}", 13)));

    let ticket = s.ticket(&id("tkt_", 1)).unwrap().unwrap();
    assert_eq!((ticket.status.as_str(), ticket.approval.as_str()), ("completed", "approved"));
    let asked = ticket.asked.unwrap();
    assert_eq!((asked.position, asked.hash, asked.by), (9, format!("{:064x}", 9), "bot".into()));
    assert_eq!(ticket.answered.unwrap().position, 11);
    assert_eq!((ticket.runs, ticket.run, ticket.evidence), (2, None, Some("obj/1".into())));
    assert_eq!((ticket.title.as_str(), ticket.priority), ("x1:k:t", 3));

    let page = PageRequest::default();
    let filter = RunFilter { ticket: Some(ticket.id), ..RunFilter::default() };
    let runs = s.runs(&filter, &page).unwrap().items;
    let told: Vec<_> = runs.iter().map(|r| (r.status.as_str(), r.steps)).collect();
    assert_eq!(told, [("failed", 0), ("completed", 1)]);
    assert_eq!(s.steps(&runs[1].id, &page).unwrap().items[0].confidence, Some(640));

    assert_eq!(s.role(&id("rol_", 1)).unwrap().unwrap().tools, json!(["mail"]));
    assert_eq!(s.roles(Some("paused"), &page).unwrap().items, []);
    let members = s.members(&page).unwrap().items;
    assert_eq!(members[1].actor, "bot");
    assert_eq!(members[1].keys[0].id, "00000000000000b0");
    assert!(s.is_member("bot").unwrap() && !s.is_member("eve").unwrap());
    let key = s.key("00000000000000f0").unwrap().unwrap();
    assert_eq!((key.actor.as_str(), key.revoked_at), ("ada", None));
}

#[test]
fn events_are_found_by_all_that_is_known_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = filled(&dir.path().join("a.sqlite"), &story());
    let s = reader.snapshot().unwrap();
    let at = |n: i64| Some(Time(START + n * 1_000_000));
    let find = |f: EventFilter| -> Vec<u64> {
        let all = s.events(&f, &PageRequest::default()).unwrap().items;
        all.iter().map(|e| e.position).collect()
    };
    let none = EventFilter::default;
    assert_eq!(find(EventFilter { kind: Some("canonry.run.started.v1".into()), ..none() }), [5, 7]);
    assert_eq!(find(EventFilter { kind: Some("run".into()), ..none() }), [5, 6, 7, 8, 12]);
    assert_eq!(find(EventFilter { kind: Some("ticket.approved".into()), ..none() }), [11]);
    assert_eq!(find(EventFilter { actor: Some("ada".into()), ..none() }), [1, 2, 3, 4, 11]);
    let entity = Some(format!("ticket/{}", id("tkt_", 1)));
    let touching = [4, 5, 6, 7, 9, 10, 11, 12, 13];
    assert_eq!(find(EventFilter { entity, ..none() }), touching);
    assert_eq!(find(EventFilter { intent: Some("intent8".into()), ..none() }), [8]);
    assert_eq!(find(EventFilter { refusal: Some(true), ..none() }), [10]);
    assert_eq!(find(EventFilter { from_time: at(4), to_time: at(6), ..none() }), [4, 5, 6]);
    assert_eq!(find(EventFilter { from_time: at(14), ..none() }), [0; 0]);
    assert_eq!(find(EventFilter { to_time: at(0), ..none() }), [0; 0]);
    let range = EventFilter { from_position: Some(12), newest_first: true, ..none() };
    assert_eq!(find(range), [13, 12]);
}

#[test]
fn pages_hold_while_tickets_come() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.sqlite");
    let mut ledger = Ledger::default();
    let open = |ledger: &mut Ledger, n: u128| {
        let due = n.is_multiple_of(2).then(|| Time(START + i64::try_from(n).unwrap()));
        let data = json!({"title": "x1:k:t", "priority": n % 4 + 1});
        let mut data = data.as_object().unwrap().clone();
        data.extend(due.map(|d| ("due".to_owned(), json!(d))));
        ledger.add("ada", &format!("ticket/{}", id("tkt_", n)), "ticket.opened", data.into());
    };
    (0..25).for_each(|n| open(&mut ledger, n));
    let mut store = Store::open(&path).unwrap();
    store.apply(&ledger.0, None).unwrap();
    let mut reader = Reader::open(&path).unwrap();
    for (name, sort) in TicketSort::ALL {
        let mut seen = Vec::new();
        let mut page = PageRequest { limit: Some(4), cursor: None };
        loop {
            let s = reader.snapshot().unwrap();
            let got = s.tickets(&TicketFilter::default(), *sort, &page).unwrap();
            assert!(got.items.len() <= 4);
            seen.extend(got.items.into_iter().filter(|t| t.position <= 25));
            page.cursor = got.next;
            if page.cursor.is_none() {
                break;
            }
            drop(s);
            let n = ledger.0.len();
            open(&mut ledger, n as u128);
            store.apply(&ledger.0[n..], None).unwrap();
            if ledger.0.len() > 60 {
                break;
            }
        }
        let mut ids: Vec<_> = seen.iter().map(|t| &t.id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), seen.len(), "{name}: none twice");
        if *sort == TicketSort::Priority {
            assert!(seen.is_sorted_by_key(|t| (t.priority, t.position)), "{name}");
        }
        if *sort == TicketSort::Due {
            assert!(seen.is_sorted_by_key(|t| t.due.clone().unwrap_or("9".into())), "{name}");
        }
    }
    let s = reader.snapshot().unwrap();
    let foreign = PageRequest { limit: None, cursor: Some("due~x~1".into()) };
    assert!(s.tickets(&TicketFilter::default(), TicketSort::Opened, &foreign).is_err());
    let filter = TicketFilter {
        status: vec!["open".into()],
        priority: Some(2),
        breached: Some(false),
        approval_pending: Some(false),
        ..TicketFilter::default()
    };
    let page = PageRequest { limit: Some(9_999), cursor: None };
    let urgent = s.tickets(&filter, TicketSort::Newest, &page).unwrap().items;
    assert!(!urgent.is_empty() && urgent.iter().all(|t| t.priority == 2));
}

#[test]
fn a_gap_changes_nothing_and_state_stays_with_the_position() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.sqlite");
    let ledger = story();
    let mut store = Store::open(&path).unwrap();
    store.apply(&ledger.0[..4], Some("four")).unwrap();
    for bad in [&ledger.0[5..], &ledger.0[3..]] {
        let gap = store.apply(bad, Some("bad")).unwrap_err();
        assert!(matches!(gap, canonry_projections::Error::Gap { expected: 5, .. }), "{gap}");
    }
    assert_eq!(store.verifier_state().unwrap().as_deref(), Some("four"));
    drop(store);
    let mut store = Store::open(&path).unwrap();
    assert_eq!(store.position(), 4);
    assert_eq!(store.apply(&ledger.0[4..], None).unwrap(), 13);
    assert_eq!(store.verifier_state().unwrap().as_deref(), Some("four"));
}

#[test]
fn a_file_of_another_version_is_laid_out_anew() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.sqlite");
    drop(filled(&path, &story()));
    let other = rusqlite::Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA user_version = 999").unwrap();
    drop(other);
    assert_eq!(Store::open(&path).unwrap().position(), 0);
    std::fs::write(&path, b"not a database, and long enough to be looked at").unwrap();
    assert_eq!(Store::open(&path).unwrap().position(), 0);
}

#[test]
fn a_rebuild_beside_equals_the_original() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.sqlite");
    let ledger = story();
    let mut old = filled(&path, &ledger);
    let dump = |r: &mut Reader| {
        let s = r.snapshot().unwrap();
        let page = PageRequest::default();
        let tickets = s.tickets(&TicketFilter::default(), TicketSort::Opened, &page).unwrap();
        let runs = s.runs(&RunFilter::default(), &page).unwrap();
        (s.head().clone(), tickets, runs, s.members(&page).unwrap(), s.roles(None, &page).unwrap())
    };
    let before = dump(&mut old);
    let mut beside = Store::beside(&path).unwrap();
    for record in &ledger.0 {
        beside.apply(std::slice::from_ref(record), None).unwrap();
    }
    assert_eq!(dump(&mut old), before, "the old file is read meanwhile");
    drop(old);
    let store = beside.swap_into(&path).unwrap();
    assert_eq!((store.position(), store.path()), (13, path.as_path()));
    assert_eq!(dump(&mut Reader::open(&path).unwrap()), before);
}

#[test]
fn the_views_of_the_sources_answer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.sqlite");
    drop(filled(&path, &story()));
    let c = rusqlite::Connection::open(&path).unwrap();
    let count = |view: &str| -> i64 {
        c.query_row(&format!("SELECT count(*) FROM {view}"), [], |r| r.get(0)).unwrap()
    };
    let counts = ["ai_roles", "work_tickets", "governance_events", "agent_actions"].map(count);
    assert_eq!(counts, [1, 1, 13, 8]);
    let sql = "SELECT current_tier, total_runs, compliant_runs, consecutive_compliant, last_active
        FROM agent_metrics WHERE agent = 'bot'";
    let metrics: (String, i64, i64, i64, String) = c
        .query_row(sql, [], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?)))
        .unwrap();
    assert_eq!(metrics, ("T1".into(), 2, 1, 1, Time(START + 13_000_000).to_string()));
    let sql = "SELECT decision, success, error_type, error_message FROM agent_actions
        WHERE position = 10";
    let refused: (String, bool, String, String) =
        c.query_row(sql, [], |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))).unwrap();
    assert_eq!(refused, ("refused".into(), false, "approval-missing".into(), "no".into()));
}

/// All that is told of one role, one ticket with its runs and their steps.
fn told(s: &canonry_projections::Snapshot<'_>, entity: &str) -> String {
    let (kind, id) = entity.split_once('/').unwrap();
    let page = PageRequest::default();
    let filter = RunFilter { ticket: Some(id.to_owned()), ..RunFilter::default() };
    match kind {
        "role" => format!("{:?}", s.role(id).unwrap()),
        "run" => format!("{:?} {:?}", s.run(id).unwrap(), s.steps(id, &page).unwrap().items),
        _ => format!("{:?} {:?}", s.ticket(id).unwrap(), s.runs(&filter, &page).unwrap().items),
    }
}

#[test]
fn the_past_is_what_it_was_then() {
    let dir = tempfile::tempdir().unwrap();
    let whole = story();
    let mut now = filled(&dir.path().join("now.sqlite"), &whole);
    let now = now.snapshot().unwrap();
    let entities = [
        format!("role/{}", id("rol_", 1)),
        format!("ticket/{}", id("tkt_", 1)),
        format!("run/{}", id("run_", 1)),
        format!("run/{}", id("run_", 2)),
    ];
    let mut different = std::collections::BTreeSet::new();
    for position in 1..=whole.0.len() {
        let mut store = Store::open(&dir.path().join(format!("{position}.sqlite"))).unwrap();
        store.apply(&whole.0[..position], None).unwrap();
        let mut then = Reader::open(store.path()).unwrap();
        let then = then.snapshot().unwrap();
        for entity in &entities {
            let mut past = now.as_of(entity, position as u64).unwrap();
            let past = past.snapshot().unwrap();
            assert_eq!(past.head(), then.head());
            assert_eq!(told(&past, entity), told(&then, entity), "{entity} at {position}");
            different.insert(told(&past, entity));
        }
    }
    assert!(different.len() > 12, "the story moves");
}

/// Before, a query reads whole tables; afterwards, and for what comes later, it need not.
#[test]
fn a_file_that_has_caught_up_is_indexed_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.sqlite");
    let told = story().0;
    let (first, rest) = told.split_at(told.len() / 2);
    let mut store = Store::open(&path).unwrap();
    store.apply(first, None).unwrap();
    let plan = || {
        let connection = rusqlite::Connection::open(&path).unwrap();
        let plan = "EXPLAIN QUERY PLAN SELECT * FROM events WHERE actor = 'ada'";
        connection.query_row(plan, [], |r| r.get::<_, String>(3)).unwrap()
    };
    assert!(plan().starts_with("SCAN"), "{}", plan());
    store.index().unwrap();
    assert!(plan().contains("USING INDEX events_actor"), "{}", plan());
    store.apply(rest, None).unwrap();
    store.index().unwrap();
    drop(store);
    // A later process finds them there.
    Store::open(&path).unwrap().index().unwrap();
    assert!(plan().contains("USING INDEX events_actor"), "{}", plan());
}
