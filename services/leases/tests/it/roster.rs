//! What the roster says after each kind of record: the same as the decider's rules, whose rows are
//! in `services/decider/tests/rules/under.rs`.

use canonry_leases::roster::Roster;
use canonry_schemas::event::Event;
use canonry_schemas::time::Time;
use serde_json::{Value, json};

const LEASE: &str = "lse_00000000000000000000000001";
const NEXT: &str = "lse_00000000000000000000000002";
const RUN: &str = "run_00000000000000000000000001";
const ROLE: &str = "rol_00000000000000000000000001";
const TICKET: &str = "tkt_00000000000000000000000001";
const DAWN: i64 = 1_800_000_000_000_000;
const HOUR: i64 = 3_600_000_000;

fn data(name: &str) -> Value {
    let authorization = json!({"keyhead": "0".repeat(64),
        "signature": format!("ed25519:{}:{}", "0".repeat(16), "A".repeat(86))});
    match name {
        "role.hired" => json!({"title": "Clerk", "job": "Sort.", "boundaries": [], "tools": [],
            "escalation": ["founder"], "tier": "T1",
            "budget": {"per_ticket_micros": 1, "per_day_micros": 1}}),
        "lease.issued" => json!({"run": RUN, "ticket": TICKET, "role": ROLE, "worker": "clerk",
            "tier": "T1", "login": "A".repeat(43), "key": "B".repeat(43),
            "key_id": "000000000000000b", "expires": Time(DAWN + HOUR)}),
        "lease.revoked" => json!({"id": LEASE, "run": RUN, "role": ROLE, "cause": "other"}),
        "member.removed" => json!({"actor": "clerk", "keys": [], "revoked": [],
            "authorization": authorization}),
        "run.completed" | "run.failed" | "run.cancelled" => json!({"id": RUN, "ticket": TICKET}),
        "run.started" => json!({"ticket": TICKET, "role": ROLE}),
        _ => json!({"id": ROLE}),
    }
}

fn told(roster: &mut Roster, name: &str, id: &str, over: Value) {
    let (aggregate, event) = name.split_once('.').unwrap();
    let mut data = data(name);
    for (field, value) in over.as_object().into_iter().flatten() {
        data[field] = value.clone();
    }
    let event = Event::parse(aggregate, event, 1, &data).unwrap().unwrap();
    roster.fold(id, &event, Time(DAWN));
}

fn issued() -> Roster {
    let mut roster = Roster::default();
    told(&mut roster, "role.hired", ROLE, json!({}));
    told(&mut roster, "run.started", RUN, json!({}));
    told(&mut roster, "lease.issued", LEASE, json!({}));
    roster
}

fn over(roster: &Roster, now: i64) -> Vec<String> {
    roster.over(Time(now)).map(|(id, _)| id.to_string()).collect()
}

#[test]
fn each_record_that_ends_a_lease_puts_it_over() {
    for (name, id, change, ends) in [
        ("lease.revoked", LEASE, json!({}), true),
        ("lease.revoked", NEXT, json!({"id": NEXT}), false),
        ("run.completed", RUN, json!({}), true),
        ("run.failed", RUN, json!({}), true),
        ("run.cancelled", RUN, json!({}), true),
        ("run.failed", "run_00000000000000000000000002", json!({}), false),
        ("role.paused", ROLE, json!({}), true),
        ("role.retired", ROLE, json!({}), true),
        ("role.paused", "rol_00000000000000000000000002", json!({}), false),
        ("role.amended", ROLE, json!({"tier": "T0"}), true),
        ("role.amended", ROLE, json!({"tier": "T3"}), false),
        ("role.amended", ROLE, json!({"title": "Else"}), false),
        ("member.removed", "clerk", json!({}), true),
        ("member.removed", "other", json!({"actor": "other"}), false),
    ] {
        let mut roster = issued();
        assert!(over(&roster, DAWN).is_empty());
        told(&mut roster, name, id, change.clone());
        assert_eq!(!over(&roster, DAWN).is_empty(), ends, "{name} of {id} {change}");
        let known = roster.get(&LEASE.parse().unwrap()).unwrap();
        assert_eq!(!roster.holds(known), ends);
        // A token that expired needs nobody to end it.
        assert!(over(&roster, DAWN + HOUR).is_empty(), "{name}");
    }
}

#[test]
fn what_goes_on_comes_back_and_what_is_replaced_does_not() {
    let mut roster = issued();
    told(&mut roster, "role.paused", ROLE, json!({}));
    told(&mut roster, "role.resumed", ROLE, json!({}));
    assert!(over(&roster, DAWN).is_empty());
    told(&mut roster, "lease.issued", NEXT, json!({"renews": LEASE}));
    assert_eq!(over(&roster, DAWN), [LEASE]);
    assert!(roster.holds(roster.get(&NEXT.parse().unwrap()).unwrap()));
    // A run's end is for good, also for a role that is resumed later.
    told(&mut roster, "run.failed", RUN, json!({}));
    told(&mut roster, "role.paused", ROLE, json!({}));
    told(&mut roster, "role.resumed", ROLE, json!({}));
    assert_eq!(over(&roster, DAWN), [LEASE, NEXT]);
}

#[test]
fn what_expired_is_forgotten() {
    let mut roster = issued();
    let event = Event::parse("lease", "issued", 1, &data("lease.issued")).unwrap().unwrap();
    roster.fold(NEXT, &event, Time(DAWN + HOUR));
    assert!(roster.get(&LEASE.parse().unwrap()).is_none());
    assert!(roster.get(&NEXT.parse().unwrap()).is_some());
}
