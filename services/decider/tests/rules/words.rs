//! The words of the tables: names for ids and times, and bodies that say only what matters.

use canonry_schemas::event::{Command, Event};
use canonry_schemas::ids::ActorId;
use canonry_schemas::member::Part;
use canonry_schemas::tenant::{self, FirstMember, Founded};
use canonry_schemas::time::Time;
use serde_json::{Value, json};

use crate::tenant::{At, Fact, TENANT};

/// The ticket of the tables.
pub const TICKET: &str = "tkt_00000000000000000000000001";
/// The run of the tables.
pub const RUN: &str = "run_00000000000000000000000001";
/// Another run of the tables.
pub const AGAIN: &str = "run_00000000000000000000000002";
/// The lease of the tables.
pub const LEASE: &str = "lse_00000000000000000000000001";
/// The role that the worker works for.
pub const CLERK: &str = "rol_00000000000000000000000001";
/// The action of the tables.
pub const ACTION: &str = "act_00000000000000000000000001";
/// Another role; the porter works for it.
pub const PORTER: &str = "rol_00000000000000000000000002";

/// When all histories begin; each fact comes a second after the one before.
pub const DAWN: Time = Time(1_800_000_000_000_000);
const HOUR: i64 = 3_600_000_000;
/// Names of moments.
pub const MOMENTS: [(&str, Time); 4] = [
    ("@dawn", DAWN),
    ("@noon", Time(DAWN.0 + 6 * HOUR)),
    ("@dusk", Time(DAWN.0 + 12 * HOUR)),
    ("@night", Time(DAWN.0 + 18 * HOUR)),
];

/// Who is there from the first record on: token, parts.
pub const CAST: [(&str, &[Part]); 4] = [
    ("founder", &[Part::Founder]),
    ("operator", &[Part::Operator]),
    ("approver", &[Part::Approver]),
    ("auditor", &[Part::Auditor]),
];
/// Workers, enrolled next, and the role that each works for.
pub const WORKERS: [(&str, Option<&str>); 3] =
    [("worker", Some(CLERK)), ("porter", Some(PORTER)), ("idler", None)];

/// An actor by their token.
pub fn actor(name: &str) -> ActorId {
    let token = if name == "timer" { canonry_decider::ACTOR } else { name };
    token.parse().unwrap_or_else(|e| panic!("{e}"))
}

fn at(position: u64, who: &str) -> At {
    let time = Time(DAWN.0 + i64::try_from(position).unwrap() * 1_000_000);
    At { position, time, actor: actor(who) }
}

/// The fact at a position.
pub fn fact(position: u64, who: &str, name: &str, id: Option<&str>, over: Value) -> Fact {
    let body = body(name, over, position);
    let own = body.get("actor").or_else(|| body.get("id")).and_then(Value::as_str);
    let kind = body.get("kind").and_then(Value::as_str);
    let scope = body.get("scope").and_then(Value::as_str);
    let usual = match name.split_once('.').unwrap().0 {
        "ext" => kind.unwrap(),
        "ticket" => TICKET,
        "run" => RUN,
        "evidence" => TICKET,
        "action" => ACTION,
        "policy" => "acme",
        "budget" => scope.and_then(|scope| scope.split_once('/')).map_or(TENANT, |(_, id)| id),
        "lease" => LEASE,
        _ => CLERK,
    };
    let id = id.or(own).unwrap_or(usual).to_owned();
    Fact { at: at(position, who), id, event: event(name, &body) }
}

/// The facts that are true in every table: the cast is there.
pub fn prologue() -> Vec<Fact> {
    let members =
        CAST.iter().map(|(name, parts)| FirstMember { actor: actor(name), parts: parts.to_vec() });
    let founded = Founded { keys: Vec::new(), members: members.collect() };
    let first = Event::Tenant(tenant::Event::Founded(founded));
    let mut facts = vec![Fact { at: at(1, "timer"), id: TENANT.to_owned(), event: first }];
    for (name, role) in WORKERS {
        let mut over = json!({"actor": name, "parts": ["worker"]});
        if let Some(role) = role {
            over["role"] = json!(role);
        }
        facts.push(fact(facts.len() as u64 + 1, "founder", "member.enrolled", None, over));
    }
    facts
}

/// A JSON object of the tables, with names for ids and moments.
pub fn object(text: &str) -> Value {
    let mut text = text.to_owned();
    for (aggregate, name, id) in
        [("ticket", "@ticket", TICKET), ("run", "@run", RUN), ("role", "@clerk", CLERK)]
    {
        text = text.replace(&format!("{aggregate}/{name}"), &format!("{aggregate}/{id}"));
    }
    let names = [
        ("@ticket", TICKET),
        ("@run", RUN),
        ("@clerk", CLERK),
        ("@porter", PORTER),
        ("@action", ACTION),
        ("@lease", LEASE),
        ("@again", AGAIN),
    ];
    for (name, id) in names {
        text = text.replace(&format!("\"{name}\""), &format!("\"{id}\""));
    }
    for (name, moment) in MOMENTS {
        text = text.replace(&format!("\"{name}\""), &format!("\"{moment}\""));
    }
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn keys_of(actor: &str) -> Value {
    let key = |n: u8, uses: &str| {
        json!({"id": format!("{n:016x}"), "alg": "ed25519", "public": "A".repeat(43),
            "use": [uses], "actor": actor})
    };
    json!([key(1, "login"), key(2, "member")])
}

fn one_call() -> Value {
    json!({"money_micros": 0, "tokens": 0, "calls": 1, "wall_seconds": 0})
}

/// A decision about the action of the tables.
fn decided(name: &str) -> Value {
    let mut all = json!({"run": RUN, "ticket": TICKET, "role": CLERK, "tool": "sorter",
        "action": "list", "worst": {}, "arguments_digest": "0".repeat(64),
        "input_digest": "0".repeat(64), "input": "i",
        "decision": {"engine": "e", "verdict": "ALLOW", "rules": [], "obligations": []}});
    let more = match name {
        "action.allowed" => json!({"reserved": one_call(), "until": MOMENTS[1].1}),
        "action.held" => json!({"approvals": {"four_eyes": true, "expires": MOMENTS[1].1,
            "groups": [{"needed": 1, "name": "approver", "part": "approver"}]}}),
        "action.routed" => json!({"to": [{"kind": "queue", "name": "people"}]}),
        _ => json!({"code": "policy-denied"}),
    };
    let Value::Object(more) = more else { unreachable!("an object") };
    more.into_iter().for_each(|(field, value)| all[field] = value);
    all
}

/// The body of a command, or the data of an event, of this name: what the table says, and what
/// must stand there besides. In the `n`th fact, `@n` in a string is `n`.
pub fn body(name: &str, over: Value, n: u64) -> Value {
    let key_change = json!({"keyhead": "0".repeat(64),
        "signature": format!("ed25519:{}:{}", "0".repeat(16), "A".repeat(86))});
    let mut body = match name {
        "ticket.open" | "ticket.opened" => json!({"title": "t"}),
        "ticket.assign" | "ticket.assigned" => json!({"id": TICKET, "role": CLERK}),
        "ticket.request-approval" | "ticket.approval-requested" => {
            json!({"id": TICKET, "reason": "r"})
        }
        "ticket.approve" | "ticket.approved" => json!({"id": TICKET, "approval": "jwt"}),
        "ticket.reject" | "ticket.rejected" => {
            json!({"id": TICKET, "approval": "jwt", "reason": "r"})
        }
        "ticket.complete" | "ticket.completed" => json!({"id": TICKET, "evidence": "ev/1"}),
        "ticket.breach" | "ticket.deadline-breached" => {
            json!({"id": TICKET, "due": MOMENTS[1].1})
        }
        "role.hire" | "role.hired" => json!({"title": "Clerk", "job": "Sort the post.",
            "boundaries": ["Open nothing."], "tools": ["sorter"], "escalation": ["founder"],
            "budget": {"per_ticket_micros": 10, "per_day_micros": 100}, "tier": "T1"}),
        "run.start" => json!({"ticket": TICKET}),
        "run.started" => json!({"ticket": TICKET, "role": CLERK}),
        "run.record-step" | "run.step-recorded" => {
            json!({"id": RUN, "name": "sort", "outcome": "done"})
        }
        "run.completed" | "run.failed" | "run.cancelled" => json!({"id": RUN, "ticket": TICKET}),
        "member.enrol" | "member.enrolled" => json!({"actor": "newcomer", "parts": ["operator"],
            "revoked": [], "authorization": key_change}),
        "member.remove" | "member.removed" => json!({"actor": "operator", "keys": [],
            "revoked": ["0000000000000001"], "authorization": key_change}),
        "member.rotate-keys" | "member.keys-rotated" => json!({"actor": "operator",
            "revoked": ["0000000000000001"], "authorization": key_change}),
        "tenant.rotate-keys" | "tenant.keys-rotated" => json!({"keys": [],
            "revoked": ["0000000000000001"], "authorization": key_change}),
        "content.erase" => json!({"entity": format!("ticket/{TICKET}")}),
        "content.erased" => json!({"entity": format!("ticket/{TICKET}"), "key": "1-0"}),
        "ext.register" | "ext.registered" => json!({"kind": "parcel-left", "version": 1, "schema":
            {"type": "object", "additionalProperties": false, "properties": {}}}),
        "ext.append" | "ext.appended" => json!({"kind": "parcel-left", "version": 1, "data": {}}),
        "evidence.attach" | "evidence.attached" => json!({"id": TICKET,
            "object": "evd_00000000000000000000000001", "digest": "0".repeat(64), "size": 1,
            "media_type": "text/plain", "secret": "s"}),
        "member.delegate" | "member.delegated" => json!({"to": "operator", "until": MOMENTS[2].1}),
        "member.end-delegation" | "member.delegation-ended" => json!({}),
        "policy.publish" => json!({"bundle": "AAAA", "revision": 1}),
        "policy.published" => json!({"bundle": "AAAA", "revision": 1, "digest": "0".repeat(64),
            "version": "1.0.0", "expires": MOMENTS[2].1, "ttl_seconds": 300}),
        "action.propose" => json!({"run": RUN, "tool": "sorter", "action": "list",
            "arguments": {}, "worst": {}}),
        "action.resume" => json!({"id": ACTION, "arguments": {}}),
        "action.approve" => json!({"id": ACTION, "approval": "jwt"}),
        "action.reject" | "action.rejected" => json!({"id": ACTION, "approval": "jwt"}),
        "action.step-up" => json!({"id": ACTION, "assertion": "jwt"}),
        "action.stepped-up" => json!({"id": ACTION, "assertion": "jwt", "level": 2}),
        "action.approved" => json!({"id": ACTION, "approval": "jwt", "of": 1, "given": 1}),
        "action.settle" => json!({"id": ACTION, "outcome": "done", "used": {}}),
        "action.asked-again" => json!({"id": ACTION, "expires": MOMENTS[2].1}),
        "action.expire" | "action.expired" | "action.escalate" | "action.lapse" => {
            json!({"id": ACTION, "at": MOMENTS[1].1})
        }
        "action.escalated" => json!({"id": ACTION, "at": MOMENTS[1].1, "to": "founder", "step": 1}),
        "action.settled" => json!({"id": ACTION, "run": RUN, "ticket": TICKET, "role": CLERK,
            "outcome": "done", "used": {}, "reserved": one_call(), "charged": one_call(),
            "refunded": {"money_micros": 0, "tokens": 0, "calls": 0, "wall_seconds": 0},
            "overrun": false, "allowed_at": MOMENTS[0].1}),
        "action.lapsed" => json!({"id": ACTION, "at": MOMENTS[1].1, "run": RUN, "ticket": TICKET,
            "role": CLERK, "charged": one_call(), "allowed_at": MOMENTS[0].1}),
        "action.allowed" | "action.held" | "action.routed" | "action.denied" => decided(name),
        _ if name.starts_with("action.") => json!({"id": ACTION}),
        "budget.limit" | "budget.limited" => json!({"scope": "tenant", "period": "total"}),
        "budget.price" | "budget.priced" => json!({"currency": "EUR", "models": [
            {"model": "small", "input_micros_per_million_tokens": 100_000,
             "output_micros_per_million_tokens": 400_000}]}),
        "role.fingerprint" => json!({"id": CLERK, "model": "m1",
            "prompt_digest": "0".repeat(64), "tools_digest": "1".repeat(64)}),
        "role.fingerprinted" => json!({"id": CLERK, "model": "m1",
            "prompt_digest": "0".repeat(64), "tools_digest": "1".repeat(64), "tier": "T1"}),
        "role.promoted" | "role.demoted" | "role.promotion-proposed" => json!({"id": CLERK,
            "from": "T1", "to": "T2", "counted": "9", "thresholds": "5",
            "counters": {"runs": 2, "compliant": 2, "consecutive": 2, "violations": 0}}),
        "tier.configure" | "tier.configured" => json!({"leases": "optional", "automatic": true,
            "floor": "T0", "violations": 1, "promotions": [
                {"to": "T2", "runs": 2, "compliant_per_mille": 500, "consecutive": 2}]}),
        "lease.issue" => json!({"run": RUN, "login": "A".repeat(43), "key": "B".repeat(43)}),
        "lease.issued" => json!({"run": RUN, "ticket": TICKET, "role": CLERK, "worker": "worker",
            "tier": "T1", "login": "A".repeat(43), "key": "B".repeat(43),
            "key_id": "000000000000000b", "expires": MOMENTS[1].1}),
        "lease.revoke" => json!({"id": LEASE, "cause": "other"}),
        "lease.revoked" => json!({"id": LEASE, "run": RUN, "role": CLERK, "cause": "other"}),
        _ if name.starts_with("ticket.") => json!({"id": TICKET}),
        _ if name.starts_with("role.") => json!({"id": CLERK}),
        _ => json!({"id": RUN}),
    };
    let Value::Object(over) = over else { panic!("{name}: not an object: {over}") };
    for (field, value) in over {
        body[field] = match value {
            Value::String(text) => Value::String(text.replace("@n", &n.to_string())),
            other => other,
        };
    }
    let keyed = !name.starts_with("member.delegat") && name != "member.end-delegation";
    if name.starts_with("member.") && keyed && body.get("keys").is_none() {
        body["keys"] = keys_of(body["actor"].as_str().unwrap());
    }
    body
}

/// A command of this name, `aggregate.verb`.
pub fn command(name: &str, body: Value) -> Command {
    let (aggregate, verb) = name.split_once('.').unwrap();
    Command::parse(aggregate, verb, body.clone()).unwrap_or_else(|e| panic!("{name} {body}: {e:?}"))
}

/// An event of this name, `aggregate.event`.
pub fn event(name: &str, data: &Value) -> Event {
    let (aggregate, event) = name.split_once('.').unwrap();
    let parsed = Event::parse(aggregate, event, 1, data);
    let parsed = parsed.unwrap_or_else(|| panic!("{name} is no event"));
    parsed.unwrap_or_else(|e| panic!("{name} {data}: {e}"))
}
