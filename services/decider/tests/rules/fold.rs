//! What a history leaves behind, where no refusal shows it: each fact of an entity, and the fields
//! of its state that it changes.

use serde_json::Value;

use crate::table::history;
use crate::tenant::{TENANT, Tenant};
use crate::words::{ACTION, CLERK, RUN, TICKET, object};

/// A history, the entity, and what must stand in its state.
const FOLDS: [(&str, &str, &str); 37] = [
    (
        "role.hired",
        CLERK,
        r#"{"stage":"Active","tier":"T1","budget":{"per_ticket_micros":10,"per_day_micros":100}}"#,
    ),
    (
        r#"role.hired; role.amended {"tier":"T4"}"#,
        CLERK,
        r#"{"tier":"T4","budget":{"per_ticket_micros":10,"per_day_micros":100}}"#,
    ),
    (
        r#"role.hired; role.amended {"budget":{"per_ticket_micros":1,"per_day_micros":2}}"#,
        CLERK,
        r#"{"tier":"T1","budget":{"per_ticket_micros":1,"per_day_micros":2}}"#,
    ),
    (r#"role.hired; role.paused; role.amended {"tier":"T0"}"#, CLERK, r#"{"stage":"Paused"}"#),
    ("role.hired; role.paused; role.resumed", CLERK, r#"{"stage":"Active","tier":"T1"}"#),
    ("role.hired; role.retired", CLERK, r#"{"stage":"Retired","tier":"T1"}"#),
    (
        r#"ticket.opened {"due":"@noon","role":"@clerk","approval_required":true}"#,
        TICKET,
        r#"{"stage":"Open","gate":"Unasked","approval_required":true,"role":"@clerk",
            "due":"@noon","breached":false,"run":null,"runs":0,"evidence":0}"#,
    ),
    (
        r#"ticket.opened {"due":"@noon","role":"@clerk","approval_required":true};
           ticket.amended {"title":"u"}"#,
        TICKET,
        r#"{"approval_required":true,"role":"@clerk","due":"@noon"}"#,
    ),
    (
        r#"ticket.opened {"due":"@noon"}; ticket.amended {"due":"@dusk"}"#,
        TICKET,
        r#"{"due":"@dusk","approval_required":false}"#,
    ),
    (
        r#"ticket.opened {"role":"@clerk"}; ticket.assigned {"role":"@porter"}"#,
        TICKET,
        r#"{"role":"@porter","stage":"Open"}"#,
    ),
    ("ticket.opened; ticket.started; ticket.completed", TICKET, r#"{"stage":"Completed"}"#),
    ("ticket.opened; ticket.cancelled", TICKET, r#"{"stage":"Cancelled"}"#),
    (
        "ticket.opened; worker: run.started of @run",
        TICKET,
        r#"{"stage":"Started","run":"@run","runs":1}"#,
    ),
    (
        "ticket.opened; worker: run.started of @run; worker: run.step-recorded",
        TICKET,
        r#"{"stage":"Started","run":"@run","runs":1}"#,
    ),
    (
        "ticket.opened; worker: run.started of @run; worker: run.completed",
        TICKET,
        r#"{"stage":"Started","run":null,"runs":1}"#,
    ),
    (
        "ticket.opened; worker: run.started of @run; worker: run.failed",
        TICKET,
        r#"{"stage":"Open","run":null,"runs":1}"#,
    ),
    (
        r#"ticket.opened {"due":"@noon"}; timer: ticket.deadline-breached; ticket.cancelled;
           ticket.reopened"#,
        TICKET,
        r#"{"stage":"Open","gate":"Unasked","due":"@noon","breached":true}"#,
    ),
    (
        "ticket.opened; operator: ticket.approval-requested",
        TICKET,
        // Four facts tell who is there, the fifth opens, the sixth asks.
        r#"{"stage":"Open","gate":{"Asked":{"by":"operator","position":6,
            "hash":"0000000000000000000000000000000000000000000000000000000000000006"}}}"#,
    ),
    (
        "worker: run.started of @run; 3 x worker: run.step-recorded",
        RUN,
        r#"{"ticket":"@ticket","worker":"worker","steps":3,"ended":false}"#,
    ),
    (
        "worker: run.started of @run; operator: run.cancelled",
        RUN,
        r#"{"worker":"worker","steps":0,"ended":true}"#,
    ),
    ("worker: run.started of @run; worker: run.failed", RUN, r#"{"ended":true}"#),
    ("ticket.opened; 3 x evidence.attached", TICKET, r#"{"stage":"Open","evidence":3}"#),
    (
        r#"worker: run.started of @run; worker: run.failed;
           2 x worker: evidence.attached {"id":"@run"}"#,
        RUN,
        r#"{"ended":true,"evidence":2}"#,
    ),
    (
        r#"role.hired {"title":"T","tools":["a"],"escalation":["founder"]};
           role.amended {"title":"U"}; role.amended {"tools":["b"]}"#,
        CLERK,
        r#"{"title":"U","tools":["b"],"escalation":["founder"]}"#,
    ),
    (
        r#"operator: ticket.opened {"priority":1}; ticket.amended {"title":"u"}"#,
        TICKET,
        r#"{"priority":1,"opened_by":"operator","counts":{"actions":0,"held":0,"routed":0,"denied":0}}"#,
    ),
    (
        r#"worker: run.started of @run; worker: run.step-recorded {"name":"look"};
           worker: action.held; worker: action.denied of act_00000000000000000000000002"#,
        RUN,
        r#"{"phase":"look","counts":{"actions":0,"held":1,"routed":0,"denied":1}}"#,
    ),
    (
        "role.hired; worker: action.allowed; worker: action.settled",
        CLERK,
        r#"{"counts":{"actions":1,"held":0,"routed":0,"denied":0}}"#,
    ),
    (
        "ticket.opened; worker: action.routed; timer: action.lapsed",
        TICKET,
        r#"{"counts":{"actions":0,"held":0,"routed":1,"denied":0,"violations":1}}"#,
    ),
    (
        r#"worker: run.started of @run; worker: action.settled {"outcome":"failed","error":"e"};
           worker: action.settled; worker: action.settled {"outcome":"failed","error":"e"}"#,
        RUN,
        r#"{"counts":{"actions":0,"held":0,"routed":0,"denied":0,"failed":2,"same_error":2,"error":"e"}}"#,
    ),
    (
        r#"ticket.opened; worker: action.settled {"outcome":"failed","error":"e"};
           worker: action.settled {"outcome":"failed"}"#,
        TICKET,
        r#"{"counts":{"actions":0,"held":0,"routed":0,"denied":0,"failed":2,"same_error":1}}"#,
    ),
    (
        r#"worker: action.held; approver: action.approved {"for":"founder"};
           timer: action.escalated {"step":1}"#,
        ACTION,
        r#"{"run":"@run","ticket":"@ticket","role":"@clerk","proposer":"worker","tool":"sorter",
            "action":"list"}"#,
    ),
    (
        r#"role.hired; budget.limited {"scope":"role/@clerk","period":"day","calls":9}"#,
        CLERK,
        r#"{"tier":"T1","account":{"day_limits":{"calls":9},"total_limits":{}}}"#,
    ),
    (
        r#"role.hired; budget.limited {"scope":"role/@clerk","calls":9,"tokens":1};
           role.amended {"tier":"T2"}; budget.limited {"scope":"role/@clerk","calls":8}"#,
        CLERK,
        r#"{"tier":"T2","account":{"day_limits":{},"total_limits":{"calls":8}}}"#,
    ),
    (
        r#"ticket.opened; budget.limited {"scope":"ticket/@ticket","money_micros":5};
           ticket.cancelled"#,
        TICKET,
        r#"{"stage":"Cancelled","account":{"total_limits":{"money_micros":5}}}"#,
    ),
    (
        r#"worker: run.started of @run; budget.limited {"scope":"run/@run","wall_seconds":5};
           run.step-recorded"#,
        RUN,
        r#"{"steps":1,"account":{"total_limits":{"wall_seconds":5}}}"#,
    ),
    (
        r#"budget.priced; budget.limited {"period":"day","tokens":7}"#,
        TENANT,
        r#"{"account":{"day_limits":{"tokens":7}},"prices":{"position":5,"currency":"EUR",
            "models":{"small":{"input":100000,"output":400000}}}}"#,
    ),
    (
        r#"budget.limited {"period":"day","tokens":7}; budget.priced {"models":[]}"#,
        TENANT,
        r#"{"account":{"day_limits":{"tokens":7}},"prices":{"position":6,"models":{}}}"#,
    ),
];

/// Whether all that is expected stands there; where nothing is, nothing may.
fn holds(state: &Value, expected: &Value) -> bool {
    match (state, expected) {
        (Value::Object(state), Value::Object(expected)) if !expected.is_empty() => expected
            .iter()
            .all(|(field, value)| state.get(field).is_some_and(|own| holds(own, value))),
        (state, expected) => state == expected,
    }
}

fn state(tenant: &Tenant, id: &str) -> Value {
    let role = tenant.roles.get(id).map(serde_json::to_value);
    let ticket = tenant.tickets.get(id).map(serde_json::to_value);
    let run = tenant.runs.get(id).map(serde_json::to_value);
    let action = tenant.actions.get(id).map(serde_json::to_value);
    let books = tenant.books.as_ref().filter(|_| id == TENANT).map(serde_json::to_value);
    role.or(ticket).or(run).or(action).or(books).expect("it is there").unwrap()
}

#[test]
fn what_a_history_leaves() {
    for (told, id, expected) in FOLDS {
        let state = state(&Tenant::of(&history(told)), id);
        let expected = object(expected);
        assert!(holds(&state, &expected), "{told}: {state} and not {expected}");
    }
}

/// What comes before an entity, or is not of it, changes nothing.
#[test]
fn facts_of_nothing_leave_nothing() {
    let strays = "ticket.amended {\"priority\":1}; ticket.assigned; ticket.approval-requested;
        ticket.approved; ticket.rejected; ticket.started; ticket.completed; ticket.reopened;
        ticket.cancelled; ticket.deadline-breached; role.amended; role.paused; role.resumed;
        role.retired; run.step-recorded; run.completed; run.failed; run.cancelled;
        action.approved; action.rejected; action.expired; action.asked-again; action.escalated;
        action.stepped-up;
        evidence.attached; evidence.attached {\"id\":\"@run\"};
        budget.limited {\"scope\":\"role/@clerk\"}; budget.limited {\"scope\":\"run/@run\"};
        budget.limited {\"scope\":\"ticket/@ticket\"};
        member.removed {\"actor\":\"nobody\"}; member.keys-rotated {\"actor\":\"nobody\"}";
    assert_eq!(Tenant::of(&history(strays)), Tenant::of(&history("")));
}

/// What parts and role members have, and that the removed stay on the list.
#[test]
fn what_members_are_left_with() {
    let told = r#"member.enrolled {"actor":"both","parts":["approver","operator"]};
        member.enrolled {"actor":"hand","parts":["worker"],"role":"@clerk"};
        hand: member.keys-rotated {"actor":"hand"}; member.removed {"actor":"both"}"#;
    let tenant = Tenant::of(&history(told));
    let of = |name: &str| {
        let member = tenant.directory.member(&name.parse().unwrap());
        serde_json::to_value(member).unwrap()
    };
    let gone = object(r#"{"parts":["approver","operator"],"role":null,"removed":true}"#);
    assert_eq!(of("both"), gone);
    let there = object(r#"{"parts":["worker"],"role":"@clerk","removed":false}"#);
    assert_eq!(of("hand"), there);
    assert_eq!(of("nobody"), Value::Null);
}
