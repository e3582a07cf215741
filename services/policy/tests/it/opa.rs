//! Held against OPA itself. The program `opa` is in no registry that our machines reach, but its
//! library is, in a wheel: its engine and its signatures are asked, in Python. What only the program
//! does, `opa build` and the way it hashes documents, is not tried here.
//!
//! Where the library cannot be had a test says so and passes, unless `CANONRY_REQUIRE_OPA` is set.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use canonry_policy::bundle::SIGNATURES;
use canonry_policy::{Policy, Source};
use canonry_provision::tool::Tool;
use serde_json::{Value, json};

use crate::bundles::{again, key, opened, plan, refused, signed, unpacked};
use crate::call;

/// OPA 1.20.2 as a shared library.
const OPA: Tool<'static> = Tool {
    name: "libopabridge.so",
    variable: "OPA_LIBRARY",
    ask: &[],
    least: (0, 0),
    package: "opa-golib-python-bindings",
    pinned: "0.4.4",
    wheels: &[("linux-x86_64", "d411c901e14b8c7c3023e23e4a944f4cf429c1d31baf80e959e57d11efbfd24a")],
    inside: "opa_bindings/libopabridge.so",
    foreign: Some(("3.14", "manylinux_2_34_x86_64")),
};

/// Where OPA is; none where it cannot be had, which is said.
fn library() -> Option<PathBuf> {
    match OPA.find() {
        Ok(library) => Some(library),
        Err(why) if std::env::var_os("CANONRY_REQUIRE_OPA").is_none() => {
            eprintln!("SKIPPED, no OPA: {why}");
            None
        }
        Err(why) => panic!("no OPA: {why}"),
    }
}

/// What OPA answers to each query over these files.
fn asked(library: &Path, modules: &Value, queries: &[(&str, Value)]) -> Vec<Value> {
    let queries: Vec<Value> =
        queries.iter().map(|(query, input)| json!({"query": query, "input": input})).collect();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/opa.py");
    let mut asking = Command::new("python3")
        .arg(script)
        .arg(library)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let request = json!({"modules": modules, "queries": queries}).to_string();
    asking.stdin.take().unwrap().write_all(request.as_bytes()).unwrap();
    let done = asking.wait_with_output().unwrap();
    assert!(done.status.success(), "{done:?}");
    serde_json::from_slice(&done.stdout).unwrap()
}

/// The one signature of a bundle.
fn token(bundle: &[u8]) -> String {
    let files = unpacked(bundle);
    let (_, file) = files.iter().find(|(name, _)| name == SIGNATURES).unwrap();
    let file: Value = serde_json::from_slice(file).unwrap();
    file["signatures"][0].as_str().unwrap().to_owned()
}

/// A public key as OPA is given it.
fn pem() -> String {
    let mut der = vec![0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    der.extend(key().verifying_key().as_bytes());
    format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
}

#[test]
fn opa_takes_our_signature_and_reads_what_it_lists() {
    let Some(library) = library() else { return };
    let bundle = signed(&plan(4));
    let token = token(&bundle);
    let mut forged = token.clone();
    forged.replace_range(token.len() - 4.., "AAAA");
    let verify = "x := io.jwt.verify_eddsa(input.token, input.key)";
    let input = |token: &str| json!({"token": token, "key": pem()});
    let mut queries = vec![
        (verify, input(&token)),
        (verify, input(&forged)),
        ("[_, x, _] := io.jwt.decode(input.token)", input(&token)),
    ];
    // What OPA makes of each file: its bytes, or what it says.
    let files: Vec<_> = unpacked(&bundle).into_iter().filter(|(n, _)| n != SIGNATURES).collect();
    for (name, bytes) in &files {
        let text = String::from_utf8(bytes.clone()).unwrap();
        let document = name.ends_with("data.json") || name.ends_with(".manifest");
        let query = match document {
            true => "x := crypto.sha256(json.marshal(json.unmarshal(input.text)))",
            false => "x := crypto.sha256(input.text)",
        };
        queries.push((query, json!({ "text": text })));
    }
    let answers = asked(&library, &json!({}), &queries);
    assert_eq!((&answers[0], &answers[1]), (&json!(true), &json!(false)));
    let payload = &answers[2];
    assert_eq!(payload["scope"], "canonry/policy");
    let listed = payload["files"].as_array().unwrap();
    assert_eq!(listed.len(), files.len());
    for ((name, _), hash) in files.iter().zip(&answers[3..]) {
        let one = listed.iter().find(|one| one["name"] == name.as_str()).unwrap();
        assert_eq!((&one["hash"], &one["algorithm"]), (hash, &json!("SHA-256")), "{name}");
    }
}

#[test]
fn what_opa_signs_is_taken() {
    let Some(library) = library() else { return };
    let bundle = signed(&plan(4));
    let payload = token(&bundle).split('.').nth(1).unwrap().to_owned();
    let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    let jwk = json!({
        "kty": "OKP", "crv": "Ed25519",
        "x": URL_SAFE_NO_PAD.encode(key().verifying_key().as_bytes()),
        "d": URL_SAFE_NO_PAD.encode(key().to_bytes()),
    });
    let sign = "x := io.jwt.encode_sign_raw(input.header, input.payload, input.key)";
    let input = |payload: &str, header: Value| json!({"header": header.to_string(), "payload": payload, "key": jwk.to_string()});
    // As `opa sign` does: the id of the key in the header, or, as it did before, in the payload.
    let header = json!({"alg": "EdDSA", "kid": "policy-1"});
    let old = payload.replacen('{', "{\"keyid\":\"policy-1\",", 1);
    let answers = asked(
        &library,
        &json!({}),
        &[
            (sign, input(&payload, header.clone())),
            (sign, input(&old, json!({"alg": "EdDSA"}))),
            (sign, input(&payload.replace("canonry/policy", "write"), header)),
        ],
    );
    let with = |token: &Value| {
        let mut files = unpacked(&bundle);
        let file = json!({ "signatures": [token] }).to_string().into_bytes();
        files.iter_mut().find(|(n, _)| n == SIGNATURES).unwrap().1 = file;
        again(&files)
    };
    for taken in &answers[..2] {
        assert_eq!(opened(&with(taken)).unwrap().revision, 4);
    }
    assert_eq!(refused(&with(&answers[2])), "bundle-signature-invalid", "another scope");
}

/// The example of docs/policy.md and what else decides: OPA gives the same decisions.
const RULES: &str = r#"package canonry.mail

import rego.v1

decisions contains {"rule": "inside", "verdict": "ALLOW", "obligations": {"redact": ["/bcc"]}} if {
    input.action.tool == "mail"
    endswith(object.get(input.action.args, "to", ""), "@example.com")
}

decisions contains {
    "rule": "outside", "verdict": "REQUIRE_HITL", "four_eyes": true, "expiry": 3600,
    "approvals": [{"approvers": 2, "group": "security"}],
} if {
    input.action.tool == "mail"
    not endswith(object.get(input.action.args, "to", ""), "@example.com")
}

decisions contains {"rule": sprintf("list-%d", [count(input.action.args.all)]), "verdict": "DENY"} if {
    some one in input.action.args.all
    regex.match(`^[a-z]+@forbidden\.`, one)
}
"#;

#[test]
fn opa_decides_as_we_do() {
    let Some(library) = library() else { return };
    let source = Source {
        modules: vec![("mail.rego".to_owned(), RULES.to_owned())],
        data: json!({}),
        digest: String::new(),
    };
    let policy = Policy::compile(&source).unwrap();
    let calls = [
        call("mail", json!({"to": "a@example.com"})),
        call("mail", json!({"to": "a@example.org"})),
        call("mail", json!({})),
        call("mail", json!({"to": "a@example.com", "all": ["x@forbidden.com", "y"]})),
        call("disk", json!({"all": ["z@forbidden.com"]})),
        call("disk", json!({})),
    ];
    let query = "x := {d.rule | some d in data.canonry.mail.decisions}";
    let queries: Vec<_> = calls.iter().map(|input| (query, json!(input))).collect();
    let answers = asked(&library, &json!({"mail.rego": RULES}), &queries);
    let mut matched = 0;
    for (input, answer) in calls.iter().zip(answers) {
        let ours: BTreeSet<String> = policy.decide(input).rules.into_iter().collect();
        let theirs: BTreeSet<String> = serde_json::from_value(answer).unwrap();
        assert_eq!(ours, theirs, "{input:?}");
        matched += ours.len();
    }
    assert_eq!(matched, 6);
}
