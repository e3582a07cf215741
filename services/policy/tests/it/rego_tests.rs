//! Tests in Rego: what passes, fails, errs and is skipped.

use canonry_policy::Source;
use canonry_policy::tests::{Outcome, run};

const TESTS: &str = r#"package canonry.p_test

import data.canonry.p

test_allows if p.decisions[_].verdict == "ALLOW" with input as {"action": {"tool": "mail"}}

test_denies if count(p.decisions) == 0 with input as {"action": {"tool": "shell"}}

test_fails if {
    print("looking", 7)
    1 == 2
}

test_errs if to_number("x") == 1

todo_test_later if false

test_loops if {
    some a in numbers.range(1, 9000)
    some b in numbers.range(1, 9000)
    some c in numbers.range(1, 9000)
    a + b + c == 0
}
"#;

#[test]
fn each_test_has_its_outcome() {
    let mut source = super::source(
        r#"decisions contains {"rule": "a", "verdict": "ALLOW"} if input.action.tool == "mail""#,
    );
    source.modules.push(("p_test.rego".to_owned(), TESTS.to_owned()));
    let all = run(&source).unwrap();
    let outcome = |name: &str| {
        let name = format!("data.canonry.p_test.{name}");
        all.iter().find(|t| t.name == name).unwrap().clone()
    };
    assert_eq!(all.len(), 6);
    assert_eq!(outcome("test_allows").outcome, Outcome::Passed);
    assert_eq!(outcome("test_denies").outcome, Outcome::Passed);
    assert_eq!(outcome("test_fails").outcome, Outcome::Failed);
    assert!(outcome("test_fails").prints[0].contains("looking 7"), "{all:?}");
    assert_eq!(outcome("test_fails").place, "p_test.rego:9");
    assert!(matches!(outcome("test_errs").outcome, Outcome::Error(_)));
    assert_eq!(outcome("todo_test_later").outcome, Outcome::Skipped);
    assert!(matches!(outcome("test_loops").outcome, Outcome::Error(e) if e.contains("longer")));
    // The same files make a policy: tests are not what is decided by.
    assert_eq!(canonry_policy::Policy::compile(&source).unwrap().rules(), 1);
}

#[test]
fn a_file_that_does_not_read_is_told() {
    let source = Source {
        modules: vec![("x.rego".to_owned(), "package x\n\nallow if {".to_owned())],
        ..Source::default()
    };
    assert_eq!(run(&source).unwrap_err().code.code(), "policy-syntax");
}
