//! Actions as people look them up: each stage, each question, and what is told of approvers.
#![expect(clippy::unwrap_used, reason = "a test may")]

use canonry_projections::approvers::Approver;
use canonry_projections::{ActionFilter, PageRequest, Reader, Recorded, Store};
use canonry_schemas::event::Event;
use canonry_schemas::ids::generated;
use canonry_schemas::time::Time;
use serde_json::{Value, json};

/// 2027-01-15T08:00:00Z.
const START: i64 = 1_800_000_000_000_000;

fn id(prefix: &str, n: u128) -> String {
    generated(prefix, 1_800_000_000_000, n)
}

/// A ledger in memory: numbers records as they come, one second apart.
#[derive(Default)]
struct Ledger(Vec<Recorded>);

impl Ledger {
    fn add(&mut self, actor: &str, entity: &str, event: &str, data: Value) -> u64 {
        let position = self.0.len() as u64 + 1;
        let (aggregate, name) = event.split_once('.').unwrap();
        let parsed = Event::parse(aggregate, name, 1, &data).unwrap().unwrap();
        self.0.push(Recorded {
            position,
            hash: format!("{position:064x}"),
            id: format!("id{position}"),
            time: Time(START + i64::try_from(position).unwrap() * 1_000_000),
            actor: actor.to_owned(),
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

    /// A decision about the `n`th action.
    fn decide(&mut self, n: u128, event: &str, more: &Value) -> u64 {
        let mut data = json!({"run": id("run_", 1), "ticket": id("tkt_", 1), "role": id("rol_", 1),
            "tool": "mail", "action": "send", "worst": {}, "arguments_digest": "0".repeat(64),
            "input_digest": "0".repeat(64), "input": "x1:k:t",
            "decision": {"policy": "1", "bundle": "0".repeat(64), "engine": "e",
                "verdict": "ALLOW", "rules": ["r"], "obligations": []}});
        for (name, value) in more.as_object().unwrap() {
            data[name] = value.clone();
        }
        self.add("bot", &act(n), event, data)
    }

    fn filled(&self, path: &std::path::Path) -> Reader {
        Store::open(path).unwrap().apply(&self.0, None).unwrap();
        Reader::open(path).unwrap()
    }
}

fn act(n: u128) -> String {
    format!("action/{}", id("act_", n))
}

fn time(position: u64) -> String {
    Time(START + i64::try_from(position).unwrap() * 1_000_000).to_string()
}

fn one_call() -> Value {
    json!({"money_micros": 0, "tokens": 0, "calls": 1, "wall_seconds": 0})
}

fn story() -> Ledger {
    let mut l = Ledger::default();
    let published = json!({"bundle": "AAAA", "revision": 3, "digest": "0".repeat(64),
        "version": "3.0.0", "expires": time(900), "ttl_seconds": 600});
    l.add("founder", "policy/acme", "policy.published", published);
    let held = json!({"approvals": {"groups": [{"needed": 2, "name": "approver",
        "part": "approver"}], "four_eyes": true, "expires": time(100)}});
    let allowed = json!({"reserved": one_call(), "until": time(200), "approved_by": ["5"]});
    l.decide(1, "action.held", &held);
    let first = json!({"id": id("act_", 1), "approval": "jwt", "of": 2, "given": 1});
    l.add("ada", &act(1), "action.approved", first);
    let expired = json!({"id": id("act_", 1), "at": time(100)});
    l.add("svc_decider", &act(1), "action.expired", expired);
    let again = json!({"id": id("act_", 1), "expires": time(300)});
    l.add("bot", &act(1), "action.asked-again", again);
    for (who, given) in [("ada", 1), ("ben", 2)] {
        let yes = json!({"id": id("act_", 1), "approval": "jwt", "of": 2, "given": given});
        l.add(who, &act(1), "action.approved", yes);
    }
    l.decide(1, "action.allowed", &allowed);
    l.decide(2, "action.denied", &json!({"code": "policy-undefined"}));
    l.decide(3, "action.held", &held);
    let no = json!({"id": id("act_", 3), "approval": "jwt", "reason": "x1:k:r", "for": "ada"});
    l.add("ben", &act(3), "action.rejected", no);
    l.decide(4, "action.routed", &json!({"to": [{"kind": "queue", "name": "people"}]}));
    l.decide(5, "action.allowed", &json!({"reserved": one_call(), "until": time(200)}));
    l
}

#[test]
fn an_action_is_told_at_each_stage() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = story();
    let stages = |l: &Ledger, name: &str| {
        let mut reader = l.filled(&dir.path().join(name));
        let s = reader.snapshot().unwrap();
        let all = s.actions(&ActionFilter::default(), &PageRequest::default()).unwrap().items;
        all.into_iter().map(|a| a.status).collect::<Vec<_>>()
    };
    assert_eq!(stages(&ledger, "a"), ["allowed", "denied", "rejected", "routed", "allowed"]);
    let settled = json!({"id": id("act_", 1), "run": id("run_", 1), "ticket": id("tkt_", 1),
        "role": id("rol_", 1), "outcome": "failed", "error": "timeout", "used": {},
        "reserved": one_call(), "charged": one_call(), "overrun": false, "allowed_at": time(8),
        "refunded": {"money_micros": 0, "tokens": 0, "calls": 0, "wall_seconds": 0}});
    ledger.add("bot", &act(1), "action.settled", settled);
    let lapsed = json!({"id": id("act_", 5), "at": time(200), "run": id("run_", 1),
        "ticket": id("tkt_", 1), "role": id("rol_", 1), "charged": one_call(),
        "allowed_at": time(13)});
    ledger.add("svc_decider", &act(5), "action.lapsed", lapsed);
    assert_eq!(stages(&ledger, "b"), ["settled", "denied", "rejected", "routed", "lapsed"]);

    let mut reader = ledger.filled(&dir.path().join("c"));
    let s = reader.snapshot().unwrap();
    let one = s.action(&id("act_", 1)).unwrap().unwrap();
    assert_eq!((one.position, one.proposed_by.as_str(), &one.policy), (2, "bot", &Some(1)));
    assert_eq!((one.outcome.as_deref(), one.error.as_deref()), (Some("failed"), Some("timeout")));
    let asked = one.asked.unwrap();
    // Asked again in record 5: answers name that.
    assert_eq!((asked.position, asked.hash), (5, format!("{:064x}", 5)));
    assert_eq!((asked.given, asked.expires), (2, time(300)));
    assert_eq!(
        s.action(&id("act_", 2)).unwrap().unwrap().code.as_deref(),
        Some("policy-undefined")
    );
    assert!(s.action(&id("act_", 9)).unwrap().is_none());
    let policy = s.policy().unwrap().unwrap();
    assert_eq!((policy.revision, policy.ttl_seconds, policy.position), (3, 600, 1));
}

/// What was reached stands until the question is put anew.
#[test]
fn a_step_up_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut ledger = Ledger::default();
    let asks = json!({"approvals": {"groups": [], "four_eyes": false, "level": 2,
        "expires": time(100)}});
    ledger.decide(1, "action.held", &asks);
    let asked = |l: &Ledger, name: &str| {
        let mut reader = l.filled(&dir.path().join(name));
        let action = reader.snapshot().unwrap().action(&id("act_", 1)).unwrap().unwrap();
        let asked = action.asked.unwrap();
        assert_eq!(asked.approvals["level"], 2);
        (asked.reached, asked.stepped_up_by)
    };
    assert_eq!(asked(&ledger, "a"), (None, None));
    let stepped = json!({"id": id("act_", 1), "assertion": "jwt", "level": 3});
    ledger.add("ada", &act(1), "action.stepped-up", stepped);
    assert_eq!(asked(&ledger, "b"), (Some(3), Some("ada".to_owned())));
    let again = json!({"id": id("act_", 1), "expires": time(300)});
    ledger.add("bot", &act(1), "action.asked-again", again);
    assert_eq!(asked(&ledger, "c"), (None, None));
}

#[test]
fn lists_are_narrowed_and_paged() {
    let dir = tempfile::tempdir().unwrap();
    let mut reader = story().filled(&dir.path().join("acme.sqlite"));
    let s = reader.snapshot().unwrap();
    let ids = |filter: &ActionFilter, page: &PageRequest| {
        let page = s.actions(filter, page).unwrap();
        (page.items.iter().map(|a| a.position).collect::<Vec<_>>(), page.next)
    };
    let all = PageRequest::default();
    let status = |name: &str| ActionFilter { status: Some(name.to_owned()), ..Default::default() };
    assert_eq!(ids(&status("allowed"), &all).0, [2, 13]);
    assert_eq!(ids(&status("held"), &all).0, [0_u64; 0]);
    let other = ActionFilter { tool: Some("shell".to_owned()), ..Default::default() };
    assert_eq!(ids(&other, &all).0, [0_u64; 0]);
    let run = ActionFilter { run: Some(id("run_", 1)), ..Default::default() };
    let (first, next) = ids(&run, &PageRequest { limit: Some(3), cursor: None });
    assert_eq!(first, [2, 9, 10]);
    let (rest, next) = ids(&run, &PageRequest { limit: Some(3), cursor: next });
    assert_eq!((rest, next), (vec![12, 13], None));
}

/// The story, and a ticket: asked, agreed to by ada after four seconds, and then reopened or not.
fn answered(reopened: bool) -> Ledger {
    let mut l = story();
    let ticket = format!("ticket/{}", id("tkt_", 1));
    let opened = json!({"title": "x1:k:t", "approval_required": true});
    l.add("bot", &ticket, "ticket.opened", opened);
    let this = json!({"id": id("tkt_", 1)});
    let asked = json!({"id": id("tkt_", 1), "reason": "x1:k:r"});
    l.add("bot", &ticket, "ticket.approval-requested", asked);
    for _ in 0..3 {
        l.add("bot", "actor/bot", "actor.command-refused", json!({"code": "c", "message": "m"}));
    }
    let yes = json!({"id": id("tkt_", 1), "approval": "jwt"});
    l.add("ada", &ticket, "ticket.approved", yes);
    if reopened {
        l.add("ben", &ticket, "ticket.reopened", this);
    }
    l
}

#[test]
fn approvers_are_told_how_they_answer() {
    let dir = tempfile::tempdir().unwrap();
    let told = |name: &str, ledger: &Ledger, page: &PageRequest| {
        let mut reader = ledger.filled(&dir.path().join(name));
        let page = reader.snapshot().unwrap().approvers(page).unwrap();
        let of = |a: &Approver| {
            let counts = [
                a.answers,
                a.approvals,
                a.seconds_to_decide,
                a.approvals_in_a_row,
                a.later_reversals,
            ];
            (a.approver.clone(), counts)
        };
        (page.items.iter().map(of).collect::<Vec<_>>(), page.next)
    };
    let all = PageRequest::default();
    // Ada agreed after one second each time; Ben after two, and then said no after one.
    let (ada, ben) = (("ada".to_owned(), [2, 2, 1, 2, 0]), ("ben".to_owned(), [2, 1, 2, 0, 0]));
    assert_eq!(told("a", &story(), &all).0, [ada, ben.clone()]);
    // A ticket's answer counts as well, and what was reopened is a reversal of its approval.
    let stands = told("b", &answered(false), &all).0;
    assert_eq!(stands, [("ada".to_owned(), [3, 3, 2, 3, 0]), ben.clone()]);
    let reversed = told("c", &answered(true), &all).0;
    assert_eq!(reversed, [("ada".to_owned(), [3, 3, 2, 3, 1]), ben.clone()]);
    // An action that both agreed to failed: both were wrong about it, once for each yes.
    let mut failed = story();
    let settled = json!({"id": id("act_", 1), "run": id("run_", 1), "ticket": id("tkt_", 1),
        "role": id("rol_", 1), "outcome": "failed", "used": {},
        "reserved": one_call(), "charged": one_call(), "overrun": false, "allowed_at": time(8),
        "refunded": {"money_micros": 0, "tokens": 0, "calls": 0, "wall_seconds": 0}});
    failed.add("bot", &act(1), "action.settled", settled);
    let both = told("d", &failed, &all).0;
    assert_eq!(both.iter().map(|(_, counts)| counts[4]).collect::<Vec<_>>(), [2, 1]);
    let (first, next) = told("e", &story(), &PageRequest { limit: Some(1), cursor: None });
    assert_eq!((first.len(), first[0].0.as_str()), (1, "ada"));
    assert_eq!(told("e2", &story(), &PageRequest { limit: Some(1), cursor: next }).0, [ben]);
}
