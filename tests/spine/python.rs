//! Python programs of the tests, and the test of a third party's client.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::Spine;
use crate::packages::packages;

/// A Python program of `tests/`.
pub fn program(path: &str) -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", packages());
    command.arg(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests").join(path));
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nats_py_commands_and_replays() {
    let mut spine = Spine::start().await;
    // Once somebody serves.
    spine.person("founder").await.send("ticket", "open", json!({"title": "first"})).await;
    let keys = spine.test.cell.key_store();
    let creds = |actor: &str| keys.tenant_creds_path(&spine.tenant, &actor.parse().unwrap());
    let mut client = program("clients/nats_client.py");
    client.arg(spine.test.url()).arg("acme").arg(creds("founder")).arg(creds("auditor"));
    let output = tokio::task::spawn_blocking(move || client.output()).await.unwrap().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(said["answer"]["ok"], true, "{said}");
    assert_eq!(said["event"], said["answer"]["position"]);
    assert_eq!(said["stored"]["ok"], true);
    assert_eq!(said["outcome"]["ok"], true);
    let intent = said["stored"]["intent"].as_str().unwrap();
    assert_eq!(said["outcome_subject"], format!("outcome.acme.founder.{intent}"));
    assert_eq!(said["refused"]["code"], "schema-violation");
    assert_eq!(said["kinds"][0], "canonry.tenant.founded.v1");
    let last = said["kinds"].as_array().unwrap().last().unwrap();
    assert_eq!(last, "canonry.ticket.open-refused.v1");
    spine.stop().await;
}
