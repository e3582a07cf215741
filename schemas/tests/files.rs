//! The files beside the types: schemas of commands, records and the answer, pages of errors, the
//! AsyncAPI document. Files are compared with what the types say; `CANONRY_BLESS=1` writes those
//! that are generated.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "files/blessed.rs"]
mod blessed;
#[path = "files/errors.rs"]
mod errors;
#[path = "files/records.rs"]
mod records;

use canonry_schemas::event::{Command, Event};
use serde_json::Value;

use blessed::{below, hold, pretty};

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
