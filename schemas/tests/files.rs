//! The files beside the types: schemas of commands, records and the answer, pages of errors, the
//! AsyncAPI document. Files are compared with what the types say; `CANONRY_BLESS=1` writes those
//! that are generated.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "files/asyncapi.rs"]
mod asyncapi;
#[path = "files/blessed.rs"]
mod blessed;
#[path = "files/content.rs"]
mod content;
#[path = "files/errors.rs"]
mod errors;
#[path = "files/records.rs"]
mod records;
#[path = "files/sample.rs"]
mod sample;
#[path = "files/yaml.rs"]
mod yaml;

use canonry_schemas::answer::Answer;
use canonry_schemas::event::{Command, Event};
use canonry_schemas::lease::{AskCredentials, Credentials};
use serde_json::Value;

use blessed::{below, hold, hold_file, pretty};

#[test]
fn every_command_has_its_schema() {
    let wanted = Command::schemas().into_iter().map(|(aggregate, verb, schema)| {
        (format!("{aggregate}.{verb}.json"), pretty(&Value::from(schema)))
    });
    hold(&below("commands"), &wanted.collect());
}

#[test]
fn every_record_has_its_schema() {
    let wanted = Event::schemas().into_iter().map(|(aggregate, event, version, schema)| {
        let body = records::body(aggregate, &event, version, schema);
        (format!("{aggregate}.{event}.v{version}.json"), pretty(&body))
    });
    hold(&below("records"), &wanted.collect());
}

#[test]
fn the_credentials_of_a_lease_have_their_schemas() {
    let ask = Value::from(schemars::schema_for!(AskCredentials));
    hold_file(&below("ask-credentials.json"), &pretty(&ask));
    hold_file(
        &below("credentials.json"),
        &pretty(&Value::from(schemars::schema_for!(Credentials))),
    );
    let fits = jsonschema::draft202012::new(&ask).unwrap();
    let of =
        |lease: &str, position: &str| serde_json::json!({"lease": lease, "position": position});
    assert!(fits.is_valid(&of("lse_01hzy3v7m8q6k4n2r9s5t1w0xa", "7")));
    assert!(!fits.is_valid(&of("run_01hzy3v7m8q6k4n2r9s5t1w0xa", "7")));
    assert!(!fits.is_valid(&of("lse_01hzy3v7m8q6k4n2r9s5t1w0xa", "07")));
}

#[test]
fn the_answer_has_its_schema() {
    let schema = Value::from(schemars::schema_for!(Answer));
    hold_file(&below("answer.json"), &pretty(&schema));
    let fits = jsonschema::draft202012::new(&schema).unwrap();
    let mut answer = Answer::unrecorded("retry", "again");
    let fit = |answer: &Answer| fits.is_valid(&serde_json::to_value(answer).unwrap());
    assert!(fit(&answer));
    answer.receipt = Some(format!("acme/7/{}", "0".repeat(64)));
    (answer.position, answer.entity) = (Some("7".into()), Some("ticket/tkt_1".into()));
    assert!(fit(&answer));
    for position in ["0", "07", "x"] {
        answer.position = Some(position.into());
        assert!(!fit(&answer), "{position}");
    }
}
