//! What is encrypted is what the schemas mark: `Command::content` names exactly the fields marked
//! `x-content`, and a fact carries them at the same pointers, because the decider encrypts in the
//! command, under the command's pointer, before the rules make a fact of it.

use std::collections::{BTreeMap, BTreeSet};

use canonry_schemas::event::{Command, Event};
use serde_json::{Value, json};

use super::sample;

/// The verb that each fact comes of. Founding, hand-overs, sums and refusals come of none.
const VERBS: [(&str, &str, &str); 54] = [
    ("tenant", "rotate-keys", "keys-rotated"),
    ("content", "erase", "erased"),
    ("member", "enrol", "enrolled"),
    ("member", "remove", "removed"),
    ("member", "rotate-keys", "keys-rotated"),
    ("member", "delegate", "delegated"),
    ("member", "end-delegation", "delegation-ended"),
    ("role", "hire", "hired"),
    ("role", "amend", "amended"),
    ("role", "pause", "paused"),
    ("role", "resume", "resumed"),
    ("role", "retire", "retired"),
    ("ticket", "open", "opened"),
    ("ticket", "amend", "amended"),
    ("ticket", "assign", "assigned"),
    ("ticket", "request-approval", "approval-requested"),
    ("ticket", "approve", "approved"),
    ("ticket", "reject", "rejected"),
    ("ticket", "start", "started"),
    ("ticket", "complete", "completed"),
    ("ticket", "reopen", "reopened"),
    ("ticket", "cancel", "cancelled"),
    ("ticket", "breach", "deadline-breached"),
    ("run", "start", "started"),
    ("run", "record-step", "step-recorded"),
    ("run", "complete", "completed"),
    ("run", "fail", "failed"),
    ("run", "cancel", "cancelled"),
    ("ext", "register", "registered"),
    ("ext", "append", "appended"),
    ("evidence", "attach", "attached"),
    ("role", "fingerprint", "fingerprinted"),
    ("role", "review", "promoted"),
    ("role", "review", "demoted"),
    ("role", "review", "promotion-proposed"),
    ("tier", "configure", "configured"),
    ("lease", "issue", "issued"),
    ("lease", "revoke", "revoked"),
    ("budget", "limit", "limited"),
    ("budget", "price", "priced"),
    ("policy", "publish", "published"),
    ("action", "propose", "allowed"),
    ("action", "propose", "held"),
    ("action", "propose", "routed"),
    ("action", "propose", "denied"),
    ("action", "resume", "allowed"),
    ("action", "approve", "approved"),
    ("action", "reject", "rejected"),
    ("action", "step-up", "stepped-up"),
    ("action", "ask-again", "asked-again"),
    ("action", "settle", "settled"),
    ("action", "expire", "expired"),
    ("action", "escalate", "escalated"),
    ("action", "lapse", "lapsed"),
];

/// Content that the decider makes and no command has: the policy's input.
const MADE: [(&str, &str, &str); 4] = [
    ("action", "allowed", "/input"),
    ("action", "held", "/input"),
    ("action", "routed", "/input"),
    ("action", "denied", "/input"),
];

/// A command with every field filled.
pub fn filled(aggregate: &str, verb: &str, schema: &Value) -> (Command, Value) {
    let body = sample::whole(schema);
    let fits = jsonschema::draft202012::new(schema).unwrap();
    assert!(fits.is_valid(&body), "{:?}", fits.iter_errors(&body).collect::<Vec<_>>());
    (Command::parse(aggregate, verb, body.clone()).unwrap(), body)
}

#[test]
fn a_command_names_the_content_that_its_schema_marks() {
    let mut marks = 0;
    for (aggregate, verb, schema) in Command::schemas() {
        let schema = Value::from(schema);
        let (mut command, body) = filled(aggregate, verb, &schema);
        let mut named = Vec::new();
        for (pointer, text) in command.content() {
            assert_eq!(body.pointer(pointer), Some(&json!(text.0)), "{aggregate}.{verb} {pointer}");
            named.push(pointer.to_owned());
        }
        named.sort();
        assert_eq!(named, sample::content(&schema), "{aggregate}.{verb}");
        marks += named.len();
    }
    assert!(marks > 10, "only {marks} content fields were found");
}

#[test]
fn a_fact_carries_content_where_its_command_had_it() {
    let commands: BTreeMap<_, _> =
        Command::schemas().into_iter().map(|(a, v, s)| ((a, v), Value::from(s))).collect();
    let verbs: BTreeSet<_> = VERBS.iter().map(|(a, v, _)| (*a, *v)).collect();
    assert_eq!(verbs, commands.keys().copied().collect(), "the table above, and the verbs");
    let mut facts = BTreeSet::new();
    for (aggregate, event, version, schema) in Event::schemas() {
        let (schema, label) = (Value::from(schema), format!("{aggregate}.{event}.v{version}"));
        let made = VERBS.iter().find(|(a, _, e)| (*a, *e) == (aggregate, event.as_str()));
        let mut content = made.map_or_else(Vec::new, |(a, verb, e)| {
            facts.insert((*a, *e));
            sample::content(&commands[&(*a, *verb)])
        });
        let own = MADE.iter().filter(|(a, e, _)| (*a, *e) == (aggregate, event.as_str()));
        content.extend(own.map(|(_, _, pointer)| (*pointer).to_owned()));
        assert_eq!(sample::content(&schema), content, "{label}");
    }
    assert_eq!(facts, VERBS.iter().map(|(a, _, e)| (*a, *e)).collect(), "facts of no schema");
}

#[test]
fn every_field_of_a_fact_is_read_and_written() {
    for (aggregate, event, version, schema) in Event::schemas() {
        let schema = Value::from(schema);
        let data = sample::whole(&schema);
        let label = format!("{aggregate}.{event}.v{version}");
        let fits = jsonschema::draft202012::new(&schema).unwrap();
        assert!(fits.is_valid(&data), "{label}: {:?}", fits.iter_errors(&data).collect::<Vec<_>>());
        let read = Event::parse(aggregate, &event, version, &data).expect(&label).expect(&label);
        let text = Event::parse_text(aggregate, &event, version, &data.to_string());
        assert_eq!(text.expect(&label).expect(&label), read, "{label}");
        assert_eq!((read.aggregate(), read.name(), read.version()), (aggregate, event, version));
        let written: Value = serde_json::from_str(&read.data().unwrap()).unwrap();
        assert_eq!(written, data, "{label}");
        // What deciders and projectors take for content is what the schema marks, and all of it.
        let marked = sample::content(&schema);
        let mut marked: Vec<_> = marked.iter().map(|p| data.pointer(p).unwrap().clone()).collect();
        let mut named: Vec<_> = read.content().iter().map(|c| json!(c)).collect();
        marked.sort_by_key(Value::to_string);
        named.sort_by_key(Value::to_string);
        assert_eq!(named, marked, "{label}");
    }
}
