//! `canonry policy`: a folder is tested, built, signed, asked; what must be refused is refused with
//! its code, and exit codes say so.

use std::fs;
use std::path::Path;

use canonry_keystore::{KeyStore, KeyUse, StoredKey};
use serde_json::Value;

use crate::program::{Ran, canonry, ran};

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

fn json(done: &Ran) -> Value {
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    serde_json::from_str(&done.out).unwrap()
}

#[test]
fn a_policy_goes_from_its_folder_to_a_decision() {
    let (folder, key, public) = author();
    let at = folder.path();
    let tested = json(&policy(at, &["test", "rules"]));
    assert_eq!((&tested["passed"], &tested["failed"]), (&2.into(), &0.into()));
    let built = ["build", "rules", "--out", "b.tar.gz", "--revision", "7", "--key", &key];
    let built = json(&policy(at, &built));
    assert_eq!((&built["rules"], &built["public"]), (&1.into(), &Value::from(&*public)));
    let bundle = ["--bundle", "b.tar.gz", "--public", &public];
    assert_eq!(json(&policy(at, &[&["check"][..], &bundle].concat()))["rules"], 1);
    let asked = [&["eval", "--input", "call.json"][..], &bundle].concat();
    let decided = json(&policy(at, &asked));
    assert_eq!(decided["verdict"], "ALLOW");
    assert_eq!(decided["bundle"], built["digest"]);
    // The same from the folder, but for the digest.
    let decided = json(&policy(at, &["eval", "--dir", "rules", "--input", "call.json"]));
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
    json(&policy(at, &["build", "rules", "--out", "open.tar.gz", "--revision", "7"]));
    told(&["check", "--bundle", "open.tar.gz", "--public", &public], "bundle-unsigned");
    let short = ["build", "rules", "--out", "b.tar.gz", "--revision", "7", "--key", &key];
    json(&policy(at, &short));
    let other = StoredKey::generate(&[KeyUse::Member], "founder".parse().unwrap()).unwrap();
    let other = other.public_base64url();
    let foreign = ["check", "--bundle", "b.tar.gz", "--public", &other];
    told(&foreign, "bundle-signature-invalid");
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
fn the_bench_tells_how_long_each_number_of_rules_takes() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["--json", "bench", "policy", "--decisions", "100"];
    let said = json(&ran(&mut canonry(folder.path(), &words)));
    let measured = said["measured"].as_array().unwrap();
    let rules: Vec<_> = measured.iter().map(|m| m["rules"].as_u64().unwrap()).collect();
    assert_eq!(rules, [1, 1, 10, 10, 100, 100, 1_000, 1_000]);
    for one in measured {
        assert!(one["p50_us"].as_f64() > Some(0.0), "{one}");
        assert!(one["p99_us"].as_f64() >= one["p50_us"].as_f64(), "{one}");
    }
}
