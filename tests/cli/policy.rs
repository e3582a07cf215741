//! `canonry policy`: a folder is tested, built, signed, asked; what must be refused is refused with
//! its code, and exit codes say so.

use std::fs;
use std::path::Path;

use canonry_keystore::{KeyStore, KeyUse, StoredKey};
use serde_json::{Value, json};

use crate::http;
use crate::program::{Ran, Up, canonry, ran};

const REGO: &str = r#"package canonry.mail

decisions contains {"rule": "mail", "verdict": "ALLOW"} if {
    input.action.tool == "mail"
    not object.get(input.action.args, "force", false)
}
"#;
const TESTS: &str = r#"package canonry.mail_test

test_allows if count(data.canonry.mail.decisions) == 1 with input as {"action": {"tool": "mail", "args": {}}}
test_forced if count(data.canonry.mail.decisions) == 0 with input as {"action": {"tool": "mail", "args": {"force": true}}}
"#;

/// A folder with a policy, its tests, and a key.
fn author() -> (tempfile::TempDir, String, String) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("rules")).unwrap();
    fs::write(folder.path().join("rules/mail.rego"), REGO).unwrap();
    fs::write(folder.path().join("rules/mail_test.rego"), TESTS).unwrap();
    fs::write(folder.path().join("call.json"), r#"{"action": {"tool": "mail"}}"#).unwrap();
    let store = KeyStore::create(folder.path().join("home")).unwrap();
    let key = StoredKey::generate(&[KeyUse::Member], "founder".parse().unwrap()).unwrap();
    store.put_key(&"acme".parse().unwrap(), &key).unwrap();
    let file = find(&folder.path().join("home"), key.id().as_str()).unwrap();
    (folder, file, key.public_base64url())
}

/// The file below a folder whose content names this key.
fn find(folder: &Path, id: &str) -> Option<String> {
    fs::read_dir(folder).unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return find(&path, id);
        }
        let holds = fs::read_to_string(&path).is_ok_and(|text| text.contains(id));
        holds.then(|| path.to_str().unwrap().to_owned())
    })
}

fn policy(folder: &Path, words: &[&str]) -> Ran {
    ran(&mut canonry(folder, &[&["--json", "policy"], words].concat()))
}

pub fn said(done: &Ran) -> Value {
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    serde_json::from_str(&done.out).unwrap()
}

#[test]
fn a_policy_goes_from_its_folder_to_a_decision() {
    let (folder, key, public) = author();
    let at = folder.path();
    let tested = said(&policy(at, &["test", "rules"]));
    assert_eq!((&tested["passed"], &tested["failed"]), (&2.into(), &0.into()));
    let built = ["build", "rules", "--out", "b.tar.gz", "--revision", "7", "--key", &key];
    let built = said(&policy(at, &built));
    assert_eq!((&built["rules"], &built["public"]), (&1.into(), &Value::from(&*public)));
    let bundle = ["--bundle", "b.tar.gz", "--public", &public];
    assert_eq!(said(&policy(at, &[&["check"][..], &bundle].concat()))["rules"], 1);
    let asked = [&["eval", "--input", "call.json"][..], &bundle].concat();
    let decided = said(&policy(at, &asked));
    assert_eq!(decided["verdict"], "ALLOW");
    assert_eq!(decided["bundle"], built["digest"]);
    // The same from the folder, but for the digest.
    let decided = said(&policy(at, &["eval", "--dir", "rules", "--input", "call.json"]));
    assert_eq!((&decided["verdict"], &decided["bundle"]), (&"ALLOW".into(), &"".into()));
}

#[test]
fn what_must_be_refused_is_refused() {
    let (folder, key, public) = author();
    let at = folder.path();
    let told = |words: &[&str], code: &str| {
        let done = policy(at, words);
        assert_eq!(done.code, 1, "{words:?}: {}{}", done.out, done.err);
        assert!(done.err.contains(code), "{words:?}: {}", done.err);
    };
    said(&policy(at, &["build", "rules", "--out", "open.tar.gz", "--revision", "7"]));
    told(&["check", "--bundle", "open.tar.gz", "--public", &public], "bundle-unsigned");
    let short = ["build", "rules", "--out", "b.tar.gz", "--revision", "7", "--key", &key];
    said(&policy(at, &short));
    let other = StoredKey::generate(&[KeyUse::Member], "founder".parse().unwrap()).unwrap();
    let other = other.public_base64url();
    let hyphen = "-zvIRw7cd70uhBk6btAK2gyJ869W2d4_uEtQP0TbIjY";
    for other in [other.as_str(), hyphen] {
        let foreign = ["check", "--bundle", "b.tar.gz", "--public", other];
        told(&foreign, "bundle-signature-invalid");
    }
    let done = policy(at, &["check", "--bundle", "b.tar.gz"]);
    assert_eq!(done.code, 2, "{}", done.err);
    // A policy that a missing field would open is not even built.
    fs::write(
        at.join("rules/open.rego"),
        "package canonry.open\n\ndecisions contains \
        {\"rule\": \"open\", \"verdict\": \"ALLOW\"} if not input.action.args.blocked\n",
    )
    .unwrap();
    told(&["build", "rules", "--out", "x.tar.gz", "--revision", "8"], "policy-negation");
    assert!(!at.join("x.tar.gz").exists());
    // A test that fails ends with 1 and says which.
    fs::write(at.join("rules/bad_test.rego"), "package canonry.bad\n\ntest_bad if false\n")
        .unwrap();
    let done = policy(at, &["test", "rules"]);
    assert_eq!(done.code, 1);
    assert_eq!(serde_json::from_str::<Value>(&done.out).unwrap()["failed"], 1);
    told(&["test", "home"], "no Rego file");
}

#[test]
fn a_new_folder_holds_a_policy_that_asks_by_risk() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let made = said(&policy(at, &["new", "mine"]));
    assert_eq!(made["files"].as_array().unwrap().len(), 3);
    let tested = said(&policy(at, &["test", "mine"]));
    assert_eq!((&tested["failed"], &tested["passed"]), (&json!(0), &json!(6)), "{tested}");
    let asked = |action: &str| {
        let call = json!({"action": {"tool": "servicenow", "action": action}});
        fs::write(at.join("call.json"), call.to_string()).unwrap();
        said(&policy(at, &["eval", "--dir", "mine", "--input", "call.json"]))
    };
    let people = |decided: &Value| decided["approvals"][0]["approvers"].as_u64();
    assert_eq!(asked("incident.read")["verdict"], "ALLOW");
    assert_eq!(people(&asked("incident.update")), Some(1));
    assert_eq!(people(&asked("incident.close")), Some(2));
    assert_eq!(asked("incident.delete")["verdict"], "DENY");
    let call = json!({"action": {"tool": "servicenow", "action": "incident.read"},
        "counts": {"run": {"same_error": 2}}});
    fs::write(at.join("call.json"), call.to_string()).unwrap();
    let stopped = said(&policy(at, &["eval", "--dir", "mine", "--input", "call.json"]));
    assert_eq!(stopped["verdict"], "DENY", "{stopped}");
    // Nobody's work is written over.
    let done = policy(at, &["new", "mine"]);
    assert_eq!(done.code, 1, "{}", done.out);
    assert!(done.err.contains("not empty"), "{}", done.err);
}

#[test]
fn the_bench_tells_how_long_each_number_of_rules_takes() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["--json", "bench", "policy", "--decisions", "100"];
    let said = said(&ran(&mut canonry(folder.path(), &words)));
    let measured = said["measured"].as_array().unwrap();
    let rules: Vec<_> = measured.iter().map(|m| m["rules"].as_u64().unwrap()).collect();
    assert_eq!(rules, [1, 1, 10, 10, 100, 100, 1_000, 1_000]);
    for one in measured {
        assert!(one["p50_us"].as_f64() > Some(0.0), "{one}");
        assert!(one["p99_us"].as_f64() >= one["p50_us"].as_f64(), "{one}");
    }
}

/// A worker's run whose role has the tools `mail` and `disk`.
pub fn at_work(up: &Up) -> String {
    let sent = |aggregate: &str, verb: &str, body: &Value, by: &str| {
        let done = up.run(&["--json", "submit", aggregate, verb, &body.to_string(), "--as", by]);
        said(&done)["entity"].as_str().unwrap().split_once('/').unwrap().1.to_owned()
    };
    let hire = json!({
        "title": "Clerk", "job": "Sort the post.", "boundaries": [], "tools": ["mail", "disk"],
        "tier": "T3", "budget": {"per_ticket_micros": 9, "per_day_micros": 9},
        "escalation": ["operator"],
    });
    let role = sent("role", "hire", &hire, "founder");
    let enrolled = up.run(&["member", "enrol", "clerk", "--part", "worker", "--role", &role]);
    assert_eq!(enrolled.code, 0, "{enrolled:?}");
    let open = json!({"title": "Sort the post", "role": role});
    let ticket = sent("ticket", "open", &open, "operator");
    sent("run", "start", &json!({ "ticket": ticket }), "clerk")
}

#[test]
fn a_draft_is_compared_asked_about_the_past_and_published() {
    let up = Up::start(&["up"]);
    let at = up.folder.path();
    fs::create_dir(at.join("rules")).unwrap();
    fs::write(at.join("rules/mail.rego"), REGO).unwrap();
    let run = |words: &[&str]| said(&up.run(&[&["--json", "policy"], words].concat()));
    // Nothing was published: everything is new.
    let none = run(&["diff", "--dir", "rules"]);
    assert!(none["published"].is_null() && none["files"][0]["change"] == "added", "{none}");
    // The tenant of `up`, and its founder.
    let key = up.home().join("tenants/acme/members/founder.key");
    let key = key.to_str().unwrap();
    run(&["build", "rules", "--out", "one.tar.gz", "--revision", "1", "--key", key]);
    let first = run(&["publish", "one.tar.gz"]);
    assert_eq!(first["ok"], true, "{first}");
    // The same revision again is refused on the ledger; an unsigned bundle is not even sent.
    run(&["build", "rules", "--out", "open.tar.gz", "--revision", "2"]);
    for (file, code) in [("one.tar.gz", "bundle-rolled-back"), ("open.tar.gz", "bundle-unsigned")] {
        let done = up.run(&["policy", "publish", file]);
        let told = format!("{}{}", done.out, done.err);
        assert!(done.code == 1 && told.contains(code), "{done:?}");
    }
    advised(&up, 1, "ALLOW");
    let work = at_work(&up);
    let mut last = Value::Null;
    for (tool, code) in [("mail", 0), ("disk", 1), ("mail", 0)] {
        let body = json!({
            "run": work, "tool": tool, "action": "send", "arguments": {"to": "x"}, "worst": {},
        });
        let done =
            up.run(&["--json", "submit", "action", "propose", &body.to_string(), "--as", "clerk"]);
        assert_eq!(done.code, code, "{done:?}");
        last = serde_json::from_str(&done.out).unwrap();
    }
    let position = last["position"].as_str().unwrap();
    let reached = up.run(&["tickets", "list", "--min-position", position]);
    assert_eq!(reached.code, 0, "{reached:?}");
    // The same rules change nothing; a draft that wants a person for mail changes both.
    let same = run(&["simulate", "--dir", "rules"]);
    assert_eq!((&same["decisions"], &same["changed"]), (&json!(3), &json!([])), "{same}");
    let asks = r#""verdict": "REQUIRE_HITL", "approvals": [{"approvers": 1, "group": "approver"}],
        "four_eyes": false, "expiry": 3600"#;
    fs::write(at.join("rules/mail.rego"), REGO.replace(r#""verdict": "ALLOW""#, asks)).unwrap();
    let draft = run(&["simulate", "--dir", "rules"]);
    let changed = draft["changed"].as_array().unwrap();
    assert_eq!((changed.len(), &draft["decisions"]), (2, &json!(3)), "{draft}");
    for one in changed {
        let verdicts = (&one["was"]["verdict"], &one["now"]["verdict"]);
        assert_eq!(verdicts, (&json!("ALLOW"), &json!("REQUIRE_HITL")), "{one}");
        assert_eq!(one["tool"], "mail");
    }
    assert_eq!(run(&["simulate", "--dir", "rules", "--last", "1"])["decisions"], 1);
    // Over HTTP the same is told of the same draft.
    let text = fs::read_to_string(at.join("rules/mail.rego")).unwrap();
    let asked = json!({"draft": {"files": {"mail.rego": text}}}).to_string();
    let posted = |path: &str| {
        let bearer = format!("Bearer {}", up.run(&["token"]).out.trim());
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        let (status, body) = http::ask(up.api(), &format!("POST {path}"), &headers, &asked);
        assert_eq!(status, 200, "{body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    let simulated = posted("/api/v1/policy/simulate");
    assert_eq!((&simulated["changed"], &simulated["complete"]), (&draft["changed"], &json!(true)));
    assert_eq!(posted("/api/v1/policy/diff"), run(&["diff", "--dir", "rules"]));
    let told = up.run(&["policy", "simulate", "--dir", "rules"]);
    assert!(told.err.contains("2 of 3 decisions would be otherwise"), "{told:?}");
    let differs = run(&["diff", "--dir", "rules"]);
    assert_eq!(differs["published"]["revision"], 1);
    let diff = differs["files"][0]["diff"].as_str().unwrap();
    assert!(diff.contains("\n-") && diff.contains("REQUIRE_HITL"), "{diff}");
    // What is published takes the place of the copy's policy at once.
    run(&["build", "rules", "--out", "two.tar.gz", "--revision", "2", "--key", key]);
    assert_eq!(run(&["publish", "two.tar.gz"])["ok"], true);
    advised(&up, 2, "REQUIRE_HITL");
}

/// The copy of the API says of the tool `mail` what this revision says, and denies another tool.
fn advised(up: &Up, revision: u64, verdict: &str) {
    let ask = |tool: &str| {
        let input = json!({"action": {"tool": tool}});
        fs::write(up.folder.path().join("call.json"), input.to_string()).unwrap();
        said(&up.run(&["--json", "policy", "ask", "--input", "call.json"]))
    };
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let advice = loop {
        let advice = ask("mail");
        if advice["policy"]["revision"] == revision && advice["copy"]["worth"] == "fresh" {
            break advice;
        }
        assert!(std::time::Instant::now() < end, "never in force: {advice}");
    };
    assert_eq!((&advice["verdict"], &advice["advisory"]), (&json!(verdict), &json!(true)));
    let other = ask("disk");
    assert_eq!((&other["verdict"], &other["code"]), (&json!("DENY"), &json!("policy-undefined")));
}
