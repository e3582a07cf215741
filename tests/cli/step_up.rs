//! A policy wants somebody to be authenticated more strongly: an action is held, a person opens a
//! key of their own with its passphrase, the action goes on. What is not that is refused.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::policy::{at_work, said};
use crate::program::{Ran, Up, canonry, ran};

const REGO: &str = r#"package canonry.mail

decisions contains {"rule": "mail", "verdict": "REQUIRE_STEP_UP", "level": 2} if {
    input.action.tool == "mail"
}
"#;
const PHRASE: &str = "correct horse battery";

/// Runs with a passphrase on stdin.
fn typed(up: &Up, phrase: &str, words: &[&str]) -> Ran {
    let at = up.folder.path().join("phrase");
    fs::write(&at, format!("{phrase}\n")).unwrap();
    ran(canonry(up.folder.path(), words).stdin(File::open(&at).unwrap()))
}

fn publish(up: &Up) {
    let at = up.folder.path();
    fs::create_dir(at.join("rules")).unwrap();
    fs::write(at.join("rules/mail.rego"), REGO).unwrap();
    let key = up.home().join("tenants/acme/members/founder.key");
    let built = ["policy", "build", "rules", "--out", "one.tar.gz", "--revision", "1", "--key"];
    let built = up.run(&[&built[..], &[key.to_str().unwrap()]].concat());
    assert_eq!(built.code, 0, "{built:?}");
    assert_eq!(up.run(&["policy", "publish", "one.tar.gz"]).code, 0);
}

fn propose(up: &Up, run: &str) -> Ran {
    let mail = ["--json", "actions", "propose", run, "mail", "send", "{\"to\":\"x\"}"];
    up.run(&[&mail[..], &["--as", "clerk"]].concat())
}

fn code(done: &Ran) -> String {
    let told: Value = serde_json::from_str(&done.out).unwrap_or_default();
    told["code"].as_str().unwrap_or_default().to_owned()
}

/// Asks the verifier in Python.
fn python(program: &str, file: &Path) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/verifier").join(program);
    let done = ran(Command::new("python3").arg(path).arg(file));
    serde_json::from_str(&done.out).unwrap_or_else(|e| panic!("{e}: {done:?}"))
}

#[test]
fn a_person_steps_up_and_the_action_goes_on() {
    let up = Up::start(&["up"]);
    publish(&up);
    let run = at_work(&up);
    // No key of anybody reaches the level.
    let denied = propose(&up, &run);
    assert_eq!((denied.code, code(&denied).as_str()), (1, "approvers-none"), "{denied:?}");

    let make = ["--json", "member", "make-step-up-key", "founder", "--level", "2"];
    let short = typed(&up, "short", &make);
    assert_eq!(short.code, 64, "{short:?}");
    let made = said(&typed(&up, PHRASE, &make));
    let again = typed(&up, PHRASE, &make);
    assert!(again.code == 2 && again.err.contains("there already"), "{again:?}");
    let public = made["public"].as_str().unwrap();
    let add = ["--json", "member", "add-step-up-key", "founder", "--level", "2", "--public"];
    assert_eq!(said(&up.run(&[&add[..], &[public]].concat()))["ok"], true);

    let held = said(&propose(&up, &run));
    assert_eq!(held["event"], "held", "{held}");
    let action = held["entity"].as_str().unwrap().strip_prefix("action/").unwrap().to_owned();
    let resume = ["--json", "actions", "resume", &action, "{\"to\":\"x\"}", "--as", "clerk"];
    let early = up.run(&resume);
    assert_eq!((early.code, code(&early).as_str()), (1, "approval-missing"), "{early:?}");

    let step = ["--json", "actions", "step-up", &action, "--as", "founder"];
    let wrong = typed(&up, "correct horse batterz", &step);
    assert!(wrong.code == 64 && wrong.err.contains("store-damaged"), "{wrong:?}");
    // The key that signs approvals is none, and who has no key is told how to get one.
    let none = ["actions", "step-up", &action, "--as", "approver"];
    let none = typed(&up, PHRASE, &none);
    assert!(none.code == 64 && none.err.contains("make-step-up-key"), "{none:?}");
    let stepped = said(&typed(&up, PHRASE, &step));
    assert_eq!(stepped["event"], "stepped-up", "{stepped}");
    let twice = typed(&up, PHRASE, &step);
    assert_eq!((twice.code, code(&twice).as_str()), (1, "assertion-not-asked"), "{twice:?}");

    let position = stepped["position"].as_str().unwrap();
    let shown = up.run(&["--json", "actions", "show", &action, "--min-position", position]);
    let asked = said(&shown)["asked"].clone();
    let level = (&asked["approvals"]["level"], &asked["reached"], &asked["stepped_up_by"]);
    assert_eq!(level, (&json!(2), &json!(2), &json!("founder")), "{asked}");

    let allowed = said(&up.run(&resume));
    assert_eq!(allowed["event"], "allowed", "{allowed}");
    strangers_agree(&up, &action);

    // The device is lost: whoever has it steps up for nothing.
    let rotate = ["--json", "member", "rotate", "founder", "--only", "member", "--end-step-up"];
    assert_eq!(said(&up.run(&rotate))["ok"], true);
    let denied = propose(&up, &run);
    assert_eq!(code(&denied), "approvers-none", "{denied:?}");
}

/// Both verifiers of the ledger know the key; both of the evidence check the assertion.
fn strangers_agree(up: &Up, action: &str) {
    let at = up.folder.path();
    let done = up.run(&["ledger", "export", "--out", "acme.jsonl"]);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(python("verify.py", &at.join("acme.jsonl"))["ok"], true);
    let ticket = said(&up.run(&["--json", "actions", "show", action]))["ticket"].clone();
    let export = ["evidence", "export", "--ticket", ticket.as_str().unwrap(), "--out", "t.tar"];
    let done = up.run(&[&export[..], &["--whole"]].concat());
    assert_eq!(done.code, 0, "{done:?}");
    let done = up.run(&["--json", "evidence", "verify", "t.tar", "--tenant", up.identity()]);
    assert_eq!(said(&done)["approvals"], 1, "{done:?}");
    let told = python("bundle.py", &at.join("t.tar"));
    assert_eq!((&told["ok"], &told["approvals"]), (&json!(true), &json!(1)), "{told}");
}
