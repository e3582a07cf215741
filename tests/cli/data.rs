//! Every command that prints data prints JSON when it is asked to, on stdout and nothing else
//! there.

use serde_json::Value;

use crate::program::{Ran, Up, canonry, ran};

/// The lines of stdout, each a JSON value.
fn values(done: &Ran, words: &[&str]) -> Vec<Value> {
    let line = |line: &str| match serde_json::from_str(line) {
        Ok(value) => value,
        Err(why) => panic!("{words:?}: {why}: {line}"),
    };
    done.out.lines().map(line).collect()
}

#[test]
fn every_command_prints_json() {
    let up = Up::start(&["up"]);
    let said = |words: &[&str]| {
        let words = [&["--json"], words].concat();
        let done = up.run(&words);
        (done.code, values(&done, &words), done.err)
    };
    let open = ["submit", "ticket", "open", r#"{"title":"Printer on fire"}"#];
    let (code, opened, err) = said(&open);
    assert_eq!((code, &opened[0]["ok"]), (0, &Value::Bool(true)), "{err}");
    let ticket = opened[0]["entity"].as_str().unwrap().strip_prefix("ticket/").unwrap().to_owned();
    let position = opened[0]["position"].as_str().unwrap().to_owned();
    let ask = format!(r#"{{"id":"{ticket}","reason":"Costs money"}}"#);
    let hire = r#"{"title":"Triage","job":"Route.","boundaries":["No payments."],
        "budget":{"per_ticket_micros":1000,"per_day_micros":100000},"tools":["assign"],
        "escalation":["operator"],"tier":"T1"}"#;
    let (_, hired, _) = said(&["submit", "role", "hire", hire]);
    let role = hired[0]["entity"].as_str().unwrap().strip_prefix("role/").unwrap().to_owned();
    let at = ["--min-position", hired[0]["position"].as_str().unwrap()];
    let with = |words: &[&'static str]| [words, &at[..]].concat();
    let schema = up.folder.path().join("schema.json");
    let parcel = r#"{"type":"object","additionalProperties":false,
        "properties":{"parcel":{"type":"string"},"note":{"type":"string","x-content":true}}}"#;
    std::fs::write(&schema, parcel).unwrap();
    let schema = schema.to_str().unwrap();
    let (_, kind, _) = said(&["events", "register", "left", "1", schema]);
    let registered = kind[0]["position"].as_str().unwrap().to_owned();
    let of_ticket = format!("ticket/{ticket}");
    let prices = up.folder.path().join("prices.json");
    let table = r#"{"currency":"EUR","models":[{"model":"small",
        "input_micros_per_million_tokens":150000,"output_micros_per_million_tokens":600000}]}"#;
    std::fs::write(&prices, table).unwrap();
    let prices = prices.to_str().unwrap();
    let data = r#"{"parcel":"P-1","note":"At the back door"}"#;
    let export = up.folder.path().join("out.jsonl");
    let export = export.to_str().unwrap();
    // The command, its exit code, lines at least, and a field of each line.
    let table: &[(&[&str], i32, usize, &str)] = &[
        (&with(&["tickets", "list"]), 0, 1, "id"),
        (&with(&["roles", "list"]), 0, 1, "id"),
        (&with(&["runs", "list"]), 0, 0, "id"),
        (&["tickets", "show", &ticket, "--min-position", &position], 0, 1, "id"),
        (&["roles", "show", &role], 0, 1, "id"),
        (&["submit", "ticket", "open", "{}"], 1, 1, "code"),
        (&["submit", "ticket", "open", r#"{"title":"x"}"#, "--durable"], 0, 1, "intent"),
        (&["submit", "ticket", "open", r#"{"title":"y"}"#, "--durable", "--wait"], 0, 1, "receipt"),
        (&["submit", "ticket", "request-approval", &ask, "--as", "operator"], 0, 1, "receipt"),
        (&["reject", &ticket, "--reason", "no"], 0, 1, "receipt"),
        (&["submit", "ticket", "request-approval", &ask, "--as", "operator"], 0, 1, "ok"),
        (&["approve", &ticket], 0, 1, "receipt"),
        (&["events", "append", "left", "1", data], 0, 1, "receipt"),
        (&["events", "append", "left", "1", data, "--about", "member/founder"], 0, 1, "receipt"),
        (&["events", "append", "left", "2", data], 1, 1, "code"),
        (&["events", "append", "left", "1", "{"], 2, 0, ""),
        (&["events", "register", "left", "2", "Cargo.toml"], 2, 0, ""),
        (&["events", "kinds", "--min-position", &registered], 0, 1, "schema"),
        (&["budget", "limit", "tenant", "day", "--calls", "900"], 0, 1, "receipt"),
        (&["budget", "limit", &of_ticket, "day", "--calls", "9"], 1, 1, "code"),
        (&["budget", "limit", "tenant", "week"], 2, 0, ""),
        (&["budget", "limit", "member/founder", "day"], 2, 0, ""),
        (&["budget", "price", prices], 0, 1, "receipt"),
        (&["budget", "price", "Cargo.toml"], 2, 0, ""),
        (&["budget", "show"], 0, 3, "limits"),
        (&["budget", "show", "tenant", "--day", "2026-01-31"], 0, 2, "free"),
        (&["budget", "show", "--day", "monday"], 1, 0, ""),
        (&["spend", "--by", "model", "--from", "2026-01-01"], 0, 0, "spent"),
        (&["sign", "role", "hire", "{}"], 0, 1, "Canonry-Request-Token"),
        (&["token", "--minutes", "1"], 0, 1, "token"),
        (&["member", "enrol", "carol", "--part", "operator"], 0, 1, "receipt"),
        (&["member", "rotate", "carol"], 0, 1, "receipt"),
        (&["member", "remove", "carol"], 0, 1, "receipt"),
        (&["member", "list"], 0, 4, "parts"),
        (&["tenant", "found", "globex"], 0, 1, "identity"),
        (&["ledger", "verify", "--tenant", up.identity()], 0, 1, "head"),
        (&["ledger", "verify", "--of", "globex"], 3, 1, "head"),
        (&["ledger", "replay", "--from", "2"], 0, 5, "specversion"),
        (&["ledger", "show", "1"], 0, 1, "headers"),
        (&["ledger", "export", "--out", export], 0, 1, "file"),
        (&["ledger", "export", "--of", "globex"], 0, 2, ""),
        (&["ledger", "verify", "--file", export, "--tenant", up.identity()], 0, 1, "tenant"),
        (&["projections", "rebuild", "--dir", "none"], 0, 1, "deleted"),
    ];
    for (words, code, least, field) in table {
        let (found, lines, err) = said(words);
        assert_eq!(found, *code, "{words:?}: {lines:?} {err}");
        assert!(lines.len() >= *least, "{words:?}: {lines:?}");
        let has = |line: &Value| field.is_empty() || line.get(field).is_some();
        assert!(lines.iter().all(has), "{words:?} has no {field}: {lines:?}");
    }
}

#[test]
fn completions_are_made_for_every_shell() {
    let folder = tempfile::tempdir().unwrap();
    for (shell, wanted) in
        [("bash", "complete -F"), ("zsh", "#compdef canonry"), ("fish", "complete -c canonry")]
    {
        let done = ran(&mut canonry(folder.path(), &["completion", shell]));
        assert_eq!(done.code, 0, "{}", done.err);
        for word in [wanted, "export", "rotate"] {
            assert!(done.out.contains(word), "{shell} does not know {word}");
        }
    }
}
