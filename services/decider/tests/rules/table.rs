//! Tables of given, when, then, as text. A row is a name and its lines, rows are parted by an
//! empty line; who did a given fact may be left out (the founder did), as may bodies:
//!
//! ```text
//! a worker starts no ticket by hand
//!   given operator: ticket.opened {"role":"@clerk"}
//!   when  worker at @noon: ticket.start
//!   then  not-allowed
//! ```
//!
//! Besides, `given 10 x …` repeats a fact, `… of <id>` names its entity, `sign …` changes the
//! approval or assertion that came with the command (`sign none` takes it away), `reaches {…}` says
//! the level of people's keys, `keys <code>` makes its change
//! of keys unlawful, or the keys of its lease, `judge …` has the policy say so, `bundle …` finds a
//! bundle to be so, `fits <code>` has what is appended not fit its
//! schema. `then` is an event with what the command's body does not say, or a code. A
//! line that stands eight spaces in goes on from the one before.

use canonry_domain::action::Actions;
use canonry_domain::ext::Exts;
use canonry_domain::lease::Leases;
use canonry_domain::policy::{Checked, Policies};
use canonry_domain::role::Roles;
use canonry_domain::run::Runs;
use canonry_domain::ticket::Tickets;
use canonry_domain::weigh::{Ask as Asks, Judged, Ruling};
use canonry_domain::{Approval, Assertion};
use canonry_schemas::event::{Command, Event};
use canonry_schemas::refusal::{Denial, Refusal};
use canonry_schemas::text::{Content, Label};
use canonry_schemas::time::Time;
use canonry_schemas::{action, run, ticket};
use serde_json::{Map, Value, json};

use crate::tenant::{Ask, Fact, Tenant, hash, kind_of, target};
use crate::told;
use crate::words::{self, ACTION, MOMENTS, TICKET};

const INTENT: &str = "01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// One row.
#[derive(Debug)]
pub struct Row {
    /// What it shows.
    pub name: String,
    /// What happened before.
    pub given: Vec<Fact>,
    /// What is asked, by whom, when.
    pub ask: Ask,
    /// What comes of it.
    pub then: Result<Event, Refusal>,
}

/// A refusal by its code.
pub fn refusal(code: &str) -> Option<Refusal> {
    Refusal::ALL.iter().copied().find(|r| r.code() == code)
}

fn split(text: &str) -> (&str, Value) {
    match text.find('{') {
        Some(at) => (text[..at].trim(), words::object(&text[at..])),
        None => (text.trim(), json!({})),
    }
}

/// `[<count> x] [<actor>:] <aggregate>.<event> [of <id>] [{…}]`
fn tell(history: &mut Vec<Fact>, line: &str) {
    let (head, over) = split(line);
    let (count, head) = match head.split_once(" x ") {
        Some((count, rest)) => (count.parse().unwrap(), rest),
        None => (1, head),
    };
    let (who, name) = head.split_once(':').unwrap_or(("founder", head));
    let (name, id) = match name.trim().split_once(" of ") {
        Some((name, id)) => (name, words::object(&format!("{{\"id\":\"{id}\"}}"))["id"].take()),
        None => (name.trim(), Value::Null),
    };
    for _ in 0..count {
        let position = history.len() as u64 + 1;
        history.push(words::fact(position, who.trim(), name, id.as_str(), over.clone()));
    }
}

/// The approval that fits: by the one who answers, for what was asked last.
fn fitting(history: &[Fact], ask: &Ask) -> Option<Approval> {
    let approve = match &ask.command {
        Command::Ticket(ticket::Command::Approve(_)) => true,
        Command::Ticket(ticket::Command::Reject(_)) => false,
        Command::Action(action::Command::Approve(_)) => true,
        Command::Action(action::Command::Reject(_)) => false,
        _ => return None,
    };
    let position = asked_last(history);
    let (aggregate, _) = ask.command.name();
    let id = if aggregate == "action" { ACTION } else { TICKET };
    Some(Approval {
        by: ask.actor.clone(),
        entity: format!("{aggregate}/{id}"),
        approve,
        intent: ask.intent.clone(),
        position,
        hash: hash(position),
    })
}

/// The record that asked last; 0 where none did.
fn asked_last(history: &[Fact]) -> u64 {
    let asks = |f: &&Fact| {
        matches!(
            f.event,
            Event::Ticket(ticket::Event::ApprovalRequested(_))
                | Event::Action(action::Event::Held(_) | action::Event::AskedAgain(_))
        )
    };
    history.iter().rfind(asks).map_or(0, |f| f.at.position)
}

/// The assertion that fits, of level 2 by a key that reaches 3.
fn asserting(history: &[Fact], ask: &Ask) -> Option<Assertion> {
    let Command::Action(action::Command::StepUp(_)) = &ask.command else { return None };
    let position = asked_last(history);
    Some(Assertion {
        by: ask.actor.clone(),
        entity: format!("action/{ACTION}"),
        level: 2,
        reach: 3,
        intent: ask.intent.clone(),
        position,
        hash: hash(position),
    })
}

/// Changes the assertion that came with a command.
fn assert_else(assertion: &mut Option<Assertion>, line: &str) {
    let (what, Value::Object(over)) = split(line) else { panic!("sign {line}") };
    if what == "none" {
        *assertion = None;
    }
    for (field, value) in over {
        let assertion = assertion.as_mut().expect("an assertion");
        let level = || u8::try_from(value.as_u64().unwrap()).unwrap();
        let text = || value.as_str().unwrap().to_owned();
        match field.as_str() {
            "by" => assertion.by = words::actor(&text()),
            "entity" => assertion.entity = text(),
            "level" => assertion.level = level(),
            "reach" => assertion.reach = level(),
            "intent" => assertion.intent = text(),
            "position" => assertion.position = value.as_u64().unwrap(),
            "hash" => assertion.hash = text(),
            other => panic!("an assertion has no {other}"),
        }
    }
}

fn sign(approval: &mut Option<Approval>, line: &str) {
    if line.trim() == "none" {
        *approval = None;
        return;
    }
    let approval = approval.as_mut().expect("sign stands with approve or reject");
    let (_, Value::Object(over)) = split(line) else { panic!("sign {line}") };
    for (field, value) in over {
        match (field.as_str(), value) {
            ("by", Value::String(by)) => approval.by = words::actor(&by),
            ("entity", Value::String(entity)) => approval.entity = entity,
            ("approve", Value::Bool(yes)) => approval.approve = yes,
            ("intent", Value::String(intent)) => approval.intent = intent,
            ("position", Value::Number(n)) => approval.position = n.as_u64().unwrap(),
            ("hash", Value::String(hash)) => approval.hash = hash,
            (other, _) => panic!("an approval has no {other}"),
        }
    }
}

/// `<verdict> [<code>] [{…}]`: what the policy says.
pub fn judge(line: &str) -> Judged {
    let (head, over) = split(line);
    let (verdict, code) = head.split_once(' ').unwrap_or((head, "policy-denied"));
    let number = |name: &str| over[name].as_u64().map(|n| u32::try_from(n).unwrap());
    let ruling = match verdict {
        "ALLOW" => Ruling::Allow,
        "DENY" => Ruling::Deny(*Denial::ALL.iter().find(|d| d.code() == code).expect("a code")),
        "THROTTLE" => Ruling::Throttle { after_seconds: number("after").unwrap_or(60) },
        "ROUTE" => Ruling::Route(serde_json::from_value(over["to"].clone()).unwrap()),
        _ => Ruling::Ask(Asks {
            groups: serde_json::from_value(over["groups"].clone()).unwrap_or_default(),
            four_eyes: over["four_eyes"] != false,
            level: number("level").map(|n| u8::try_from(n).unwrap()),
            life_seconds: number("life"),
            escalate_after_seconds: number("escalate"),
        }),
    };
    let digest = |name: &str| {
        let fill = over[name].as_str().unwrap_or("0");
        fill.repeat(64).parse().unwrap()
    };
    Judged {
        decision: serde_json::from_value(json!({"engine": "e", "verdict": verdict, "rules": [],
            "obligations": []}))
        .unwrap(),
        ruling,
        arguments_digest: digest("arguments"),
        input_digest: digest("input"),
        input: Content("i".to_owned()),
    }
}

/// The bundle in a command, as it was looked at.
pub fn bundle(body: &Value, over: Value) -> Checked {
    let said = |name: &str| over.get(name).or(body.get(name)).cloned();
    Checked {
        digest: "0".repeat(64).parse().unwrap(),
        revision: said("revision").and_then(|n| n.as_u64()).unwrap_or(1),
        version: Label("1.0.0".to_owned()),
        expires: said("expires").map_or(MOMENTS[2].1, |t| serde_json::from_value(t).unwrap()),
        ttl_seconds: 300,
    }
}

/// What becomes of a command about an action: a decision as the policy said, or what its body says.
fn of_action(ask: &Ask, body: &Value, what: &str, over: Map<String, Value>) -> Value {
    let decided = matches!(what, "allowed" | "held" | "routed" | "denied");
    let mut data = if decided {
        let mut data = words::body(&format!("action.{what}"), json!({}), 0);
        let judged = ask.judged.as_ref().unwrap();
        data["decision"] = serde_json::to_value(&judged.decision).unwrap();
        for field in ["tool", "action", "worst"] {
            if let Some(said) = body.get(field) {
                data[field] = said.clone();
            }
        }
        data
    } else {
        body.clone()
    };
    over.into_iter().for_each(|(field, value)| data[field] = value);
    data
}

/// `<actor>[ at <moment>]: <aggregate>.<verb> [{…}]`, asked after these facts; with its body.
pub fn asked(history: &[Fact], line: &str) -> (Ask, Value) {
    let (head, over) = split(line);
    let (who, name) = head.split_once(':').unwrap_or_else(|| panic!("who asks? {line}"));
    let (who, moment) = who.split_once(" at ").unwrap_or((who, ""));
    let now = match MOMENTS.iter().find(|(name, _)| *name == moment.trim()) {
        Some((_, time)) => *time,
        None => Time(history.last().unwrap().at.time.0 + 1_000_000),
    };
    let body = words::body(name.trim(), over, 0);
    let mut ask = Ask {
        actor: words::actor(who.trim()),
        intent: INTENT.to_owned(),
        now,
        approval: None,
        assertion: None,
        reaches: ["founder", "approver", "operator"].map(|who| (words::actor(who), 9)).to_vec(),
        keys: Ok(()),
        appended: Ok(()),
        judged: Ok(judge("ALLOW")),
        bundle: Ok(bundle(&body, json!({}))),
        lease_key: Ok("000000000000000b".parse().unwrap()),
        command: words::command(name.trim(), body.clone()),
    };
    ask.approval = fitting(history, &ask);
    ask.assertion = asserting(history, &ask);
    (ask, body)
}

/// A history: facts parted by `;` after the prologue.
pub fn history(text: &str) -> Vec<Fact> {
    let mut facts = words::prologue();
    text.split(';').map(str::trim).filter(|t| !t.is_empty()).for_each(|t| tell(&mut facts, t));
    facts
}

fn row(block: &str) -> Row {
    let block = block.replace("\n        ", " ");
    let mut lines = block.lines().filter(|l| !l.trim_start().starts_with('#'));
    let name = lines.next().expect("a row has a name").trim().to_owned();
    let (mut given, mut when, mut then) = (words::prologue(), None, None);
    for line in lines {
        let (word, rest) = line.trim().split_once(' ').unwrap_or((line.trim(), ""));
        match (word, &mut when) {
            ("given", None) => tell(&mut given, rest),
            ("when", None) => when = Some(asked(&given, rest)),
            ("sign", Some((ask, _))) if ask.assertion.is_some() => {
                assert_else(&mut ask.assertion, rest);
            }
            ("sign", Some((ask, _))) => sign(&mut ask.approval, rest),
            ("reaches", Some((ask, _))) => {
                let Value::Object(levels) = words::object(rest) else { panic!("{name}: {rest}") };
                let level = |n: &Value| u8::try_from(n.as_u64().unwrap()).unwrap();
                ask.reaches = levels.iter().map(|(who, n)| (words::actor(who), level(n))).collect();
            }
            ("keys", Some((ask, _))) => {
                ask.keys = Err(refusal(rest.trim()).unwrap());
                ask.lease_key = Err(refusal(rest.trim()).unwrap());
            }
            ("judge", Some((ask, _))) => {
                ask.judged = refusal(rest).map_or_else(|| Ok(judge(rest)), Err)
            }
            ("bundle", Some((ask, body))) => {
                let (code, over) = split(rest);
                ask.bundle = refusal(code).map_or_else(|| Ok(bundle(body, over)), Err);
            }
            ("fits", Some((ask, _))) => ask.appended = Err(refusal(rest.trim()).unwrap()),
            ("then", Some((ask, body))) => {
                let (what, Value::Object(over)) = split(rest) else { panic!("{name}") };
                then = Some(match refusal(what) {
                    Some(refusal) => Err(refusal),
                    None if ask.command.name().0 == "action" => Ok(words::event(
                        &format!("action.{what}"),
                        &of_action(ask, body, what, over),
                    )),
                    None => {
                        over.into_iter().for_each(|(field, value)| body[field] = value);
                        let (aggregate, _) = ask.command.name();
                        Ok(words::event(&format!("{aggregate}.{what}"), body))
                    }
                });
            }
            _ => panic!("{name}: {line}"),
        }
    }
    let (ask, _) = when.unwrap_or_else(|| panic!("{name}: nothing is asked"));
    let then = then.unwrap_or_else(|| panic!("{name}: nothing is expected"));
    Row { name, given, ask, then }
}

/// The rows of a table.
pub fn rows(text: &str) -> Vec<Row> {
    let blocks = text.split("\n\n").map(str::trim).filter(|b| !b.is_empty());
    blocks.filter(|b| !b.lines().all(|l| l.starts_with('#'))).map(row).collect()
}

/// The facts that one entity folds.
fn of_entity(history: &[Fact], aggregate: &str, id: &str) -> Vec<Fact> {
    let mut runs_at = None;
    let folds = |fact: &&Fact| match &fact.event {
        Event::Run(event) if aggregate == "ticket" => {
            if let run::Event::Started(e) = event {
                runs_at = Some(e.ticket.to_string());
            }
            runs_at.as_deref() == Some(id) && !matches!(event, run::Event::StepRecorded(_))
        }
        event => event.aggregate() == aggregate && fact.id == id,
    };
    history.iter().filter(folds).cloned().collect()
}

/// Holds the rules to a row.
pub fn check(row: &Row) {
    // Shown when it fails.
    eprintln!("{}", row.name);
    let tenant = Tenant::of(&row.given);
    let facts = match tenant.facts(&row.ask) {
        Ok(facts) => facts,
        Err(refusal) => return assert_eq!(Err(refusal), row.then),
    };
    let (aggregate, _) = row.ask.command.name();
    let id = target(&row.ask.command).unwrap_or_default();
    let own = of_entity(&row.given, aggregate, &id);
    macro_rules! told {
        ($rules:ty, $command:expr, $event:path) => {{
            let then = row.then.clone().map(|event| match event {
                $event(own) => own,
                other => panic!("{} is of another aggregate", other.name()),
            });
            told::expect::<$rules>(&own, &id, facts, $command, then);
        }};
    }
    match row.ask.command.clone() {
        // What runs and leases came to the kit cannot be given.
        Command::Role(c)
            if row.given.iter().all(|f| {
                matches!(f.event.aggregate(), "role" | "tenant" | "member" | "ticket")
            }) =>
        {
            told!(Roles, c, Event::Role);
        }
        Command::Role(_) => assert_eq!(tenant.decide(&row.ask), row.then),
        Command::Ticket(c) => told!(Tickets, c, Event::Ticket),
        // A run's own state knows of its lease, which the kit cannot be given.
        Command::Run(c) if row.given.iter().all(|f| !matches!(f.event, Event::Lease(_))) => {
            told!(Runs, c, Event::Run);
        }
        Command::Run(_) => assert_eq!(tenant.decide(&row.ask), row.then),
        Command::Lease(c) => told!(Leases, c, Event::Lease),
        Command::Ext(c) => {
            let kind = kind_of(&c).to_owned();
            let own = of_entity(&row.given, aggregate, &kind);
            let then = row.then.clone().map(|event| match event {
                Event::Ext(own) => own,
                other => panic!("{} is of another aggregate", other.name()),
            });
            told::expect::<Exts>(&own, &kind, facts, c, then);
        }
        Command::Policy(c) => {
            let own = of_entity(&row.given, aggregate, "acme");
            let then = row.then.clone().map(|event| match event {
                Event::Policy(own) => own,
                other => panic!("{} is of another aggregate", other.name()),
            });
            told::expect::<Policies>(&own, "acme", facts, c, then);
        }
        Command::Action(c) => {
            // What the policy need not be asked for is told before.
            assert_eq!(tenant.decide(&row.ask), row.then);
            told!(Actions, c, Event::Action);
        }
        // Its state is another aggregate's, which the kit cannot be given.
        Command::Evidence(_) | Command::Budget(_) => assert_eq!(tenant.decide(&row.ask), row.then),
        Command::Member(_) | Command::Tenant(_) | Command::Content(_) | Command::Tier(_) => {
            assert_eq!(tenant.decide_own(&row.ask), row.then);
        }
    }
}
