//! A policy that errs, loops or swallows memory denies, and leaves nothing behind.

use std::time::{Duration, Instant};

use canonry_policy::{Bounds, Policy, Verdict};
use serde_json::json;

use super::{call, codes, decided, source};

const ALLOW: &str = r#"decisions contains {"rule": "a", "verdict": "ALLOW"} if true"#;

fn denied_with(rules: &str, code: &str) {
    // Time is no part of this: a busy machine would make all of them policy-timeout.
    let bounds = Bounds { time: Duration::from_secs(60), ..Bounds::default() };
    let whole = source(&format!("{ALLOW}\n{rules}"));
    let policy = Policy::compile_within(&whole, bounds).unwrap();
    let decision = policy.decide(&call("mail", json!({"n": "x"})));
    assert_eq!(decision.verdict, Verdict::Deny {}, "{rules}");
    assert_eq!(codes(&decision), [code], "{rules}");
}

#[test]
fn a_policy_that_errs_denies() {
    for rules in [
        // A builtin that fails.
        r#"decisions contains {"rule": "b", "verdict": "ALLOW"} if to_number(input.action.args.n) > 1"#,
        r#"decisions contains {"rule": "b", "verdict": "ALLOW"} if 1 / (input.tier - 2) > 0"#,
        // Two values of one rule.
        "x := 1 if input.tier == 2\nx := 2 if input.tenant == \"acme\"\n\
         decisions contains {\"rule\": \"b\", \"verdict\": \"DENY\"} if x == 1",
        // More than a list may hold.
        r#"decisions contains {"rule": "b", "verdict": "ALLOW"} if count(numbers.range(1, 1000000000)) > 1"#,
    ] {
        denied_with(rules, "policy-error");
    }
}

/// A rule that takes a very long time, and another that takes a great deal of memory.
const LOOPS: &str = r#"decisions contains {"rule": "b", "verdict": "DENY"} if {
    some a in numbers.range(1, 9000)
    some b in numbers.range(1, 9000)
    some c in numbers.range(1, 9000)
    a + b + c == 0
}"#;
const SWALLOWS: &str = r#"decisions contains {"rule": "b", "verdict": "DENY"} if {
    many := [text | some a in numbers.range(1, 9000); some b in numbers.range(1, 9000); text := sprintf("%d-%d-%s", [a, b, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"])]
    count(many) == 0
}"#;

#[test]
fn a_policy_that_loops_denies_in_time() {
    let rules = format!("{ALLOW}\n{LOOPS}");
    let policy = Policy::compile(&source(&rules)).unwrap();
    let began = Instant::now();
    for _ in 0..3 {
        let decision = policy.decide(&call("mail", json!({})));
        assert_eq!(decision.verdict, Verdict::Deny {});
        assert_eq!(codes(&decision), ["policy-timeout"]);
    }
    // 3 times 50 ms, on a machine that may be very busy; unbounded it would take hours.
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
fn a_policy_that_swallows_memory_denies() {
    let bounds = Bounds { time: Duration::from_secs(600), memory: 4 << 20 };
    let rules = format!("{ALLOW}\n{SWALLOWS}");
    let policy = Policy::compile_within(&source(&rules), bounds).unwrap();
    let decision = policy.decide(&call("mail", json!({})));
    assert_eq!(decision.verdict, Verdict::Deny {});
    assert_eq!(codes(&decision), ["policy-memory"]);
}

#[test]
fn one_policy_that_is_stopped_stops_no_other() {
    let slow = Policy::compile(&source(&format!("{ALLOW}\n{LOOPS}"))).unwrap();
    let quick = Policy::compile(&source(ALLOW)).unwrap();
    std::thread::scope(|scope| {
        let running = scope.spawn(|| slow.decide(&call("mail", json!({}))));
        for _ in 0..200 {
            assert_eq!(quick.decide(&call("mail", json!({}))).verdict, Verdict::Allow {});
        }
        assert_eq!(codes(&running.join().unwrap()), ["policy-timeout"]);
    });
    // The same thread, and the same policy with another input, go on as before.
    assert_eq!(quick.decide(&call("mail", json!({}))).verdict, Verdict::Allow {});
}

#[test]
fn texts_cannot_be_blown_up_in_one_step() {
    for rules in [
        // Each replaces every letter by the whole: 2 KB, 4 MB, 16 TB.
        r#"x := replace("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "a", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa")
y := replace(x, "a", x)
z := replace(y, "a", y)
decisions contains {"rule": "b", "verdict": "DENY"} if startswith(z, "b")"#,
        r#"x := concat("", [s | some i in numbers.range(1, 9000); s := sprintf("%d aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", [i])])
decisions contains {"rule": "b", "verdict": "DENY"} if startswith(x, "b")"#,
        r#"decisions contains {"rule": "b", "verdict": "DENY"} if to_number("1e999999999") > 1"#,
    ] {
        denied_with(rules, "policy-error");
    }
}

#[test]
fn the_longest_chain_of_wholefits_the_stack_of_a_thread() {
    use std::fmt::Write as _;
    // Functions that call each other, each from within expressions nested as deep as they may be.
    let mut rules = String::from("f0(x) := x\n");
    for n in 1..14 {
        let (open, close) = ("abs(".repeat(20), ")".repeat(20));
        writeln!(rules, "f{n}(x) := {open}f{}(x){close}", n - 1).unwrap();
    }
    rules.push_str(
        r#"decisions contains {"rule": "a", "verdict": "ALLOW"} if f13(input.tier) == 2"#,
    );
    assert_eq!(decided(&rules, &call("mail", json!({}))).verdict, Verdict::Allow {});
}
