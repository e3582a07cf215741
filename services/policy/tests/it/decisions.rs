//! What rules say and what comes of it.

use canonry_policy::{Approval, Target, Verdict};
use serde_json::json;

use super::{call, codes, decided};

const ALLOW_MAIL: &str =
    r#"decisions contains {"rule": "mail", "verdict": "ALLOW"} if input.action.tool == "mail""#;

#[test]
fn what_no_rule_allows_is_denied() {
    let allowed = decided(ALLOW_MAIL, &call("mail", json!({})));
    assert_eq!((allowed.verdict, allowed.rules), (Verdict::Allow {}, vec!["mail".to_owned()]));
    let denied = decided(ALLOW_MAIL, &call("shell", json!({})));
    assert_eq!(denied.verdict, Verdict::Deny {});
    assert_eq!(codes(&denied), ["policy-undefined"]);
}

/// One rule for each verdict, from the mildest; rule n matches where `args.n` is true.
const ALL: &str = r#"
decisions contains {"rule": "a", "verdict": "ALLOW"} if input.action.args.allow
decisions contains {"rule": "b", "verdict": "ROUTE", "to": {"model": "small"}} if input.action.args.route
decisions contains {"rule": "c", "verdict": "THROTTLE", "retry_after": 30} if input.action.args.throttle
decisions contains {"rule": "d", "verdict": "REQUIRE_HITL", "approvals": [{"approvers": 2, "group": "ops"}], "four_eyes": true, "expiry": 3600} if input.action.args.hitl
decisions contains {"rule": "e", "verdict": "REQUIRE_STEP_UP", "level": 2} if input.action.args.step
decisions contains {"rule": "f", "verdict": "DENY"} if input.action.args.deny
"#;

#[test]
fn the_strictest_verdict_wins() {
    let order = ["allow", "route", "throttle", "hitl", "step", "deny"];
    let names = ["ALLOW", "ROUTE", "THROTTLE", "REQUIRE_HITL", "REQUIRE_STEP_UP", "DENY"];
    for strictest in 0..order.len() {
        for other in 0..=strictest {
            let args = json!({order[strictest]: true, order[other]: true});
            let decision = decided(ALL, &call("mail", args));
            assert_eq!(decision.verdict.name(), names[strictest], "{strictest} {other}");
            assert_eq!(codes(&decision), [""; 0]);
        }
    }
}

/// What is asked of many is not lost where something stronger is asked of one.
#[test]
fn beside_a_step_up_people_must_still_agree() {
    let people = |args| decided(ALL, &call("mail", args)).people;
    let wanted = Verdict::RequireHitl {
        approvals: vec![Approval { approvers: 2, group: "ops".to_owned() }],
        four_eyes: true,
        expiry: 3600,
        escalate_after: None,
    };
    assert_eq!(people(json!({"step": true, "hitl": true, "throttle": true})), Some(wanted));
    assert_eq!(people(json!({"step": true, "throttle": true})), None);
    assert_eq!(people(json!({"hitl": true})), None);
    assert_eq!(people(json!({"step": true, "hitl": true, "deny": true})), None);
}

#[test]
fn verdicts_of_one_strictness_are_joined_to_the_stricter() {
    let rules = r#"
decisions contains {"rule": "a", "verdict": "REQUIRE_HITL", "approvals": [{"approvers": 1, "group": "ops"}, {"approvers": 1, "group": "law"}], "four_eyes": false, "expiry": 60} if true
decisions contains {"rule": "b", "verdict": "REQUIRE_HITL", "approvals": [{"approvers": 2, "group": "ops"}], "four_eyes": true, "expiry": 600} if true
"#;
    let approval = |group: &str, approvers| Approval { approvers, group: group.to_owned() };
    let wanted = Verdict::RequireHitl {
        approvals: vec![approval("law", 1), approval("ops", 2)],
        four_eyes: true,
        expiry: 60,
        escalate_after: None,
    };
    assert_eq!(decided(rules, &call("mail", json!({}))).verdict, wanted);
}

#[test]
fn obligations_are_united() {
    let rules = r#"
decisions contains {"rule": "a", "verdict": "ALLOW", "obligations": {"redact": ["/to"], "cap": {"/n": 10}}} if true
decisions contains {"rule": "b", "verdict": "ROUTE", "to": {"queue": "slow"}, "obligations": {"redact": ["/cc"], "cap": {"/n": 5}, "add_header": {"X-By": "canonry"}}} if true
"#;
    let decision = decided(rules, &call("mail", json!({})));
    let to = [(Target::Queue, "slow".to_owned())].into();
    assert_eq!(decision.verdict, Verdict::Route { to });
    let wanted =
        json!({"redact": ["/cc", "/to"], "cap": {"/n": 5}, "add_header": {"X-By": "canonry"}});
    assert_eq!(serde_json::to_value(&decision.obligations).unwrap(), wanted);
    assert_eq!(decision.rules, ["a", "b"]);
}

#[test]
fn rules_that_contradict_each_other_deny() {
    let routes = r#"
decisions contains {"rule": "a", "verdict": "ROUTE", "to": {"model": "x"}} if true
decisions contains {"rule": "b", "verdict": "ROUTE", "to": {"model": "y"}} if true
"#;
    let headers = r#"
decisions contains {"rule": "a", "verdict": "ALLOW", "obligations": {"add_header": {"X-A": "1"}}} if true
decisions contains {"rule": "b", "verdict": "ALLOW", "obligations": {"add_header": {"X-A": "2"}}} if true
"#;
    for rules in [routes, headers] {
        let decision = decided(rules, &call("mail", json!({})));
        assert_eq!(decision.verdict, Verdict::Deny {});
        assert_eq!(codes(&decision), ["policy-conflict"]);
    }
}

#[test]
fn what_is_not_exactly_a_decision_denies() {
    for odd in [
        r#""ALLOW""#,
        r#"{"verdict": "ALLOW"}"#,
        r#"{"rule": "", "verdict": "ALLOW"}"#,
        r#"{"rule": "a", "verdict": "allow"}"#,
        r#"{"rule": "a", "verdict": "PERMIT"}"#,
        r#"{"rule": "a", "verdict": "ALLOW", "more": 1}"#,
        r#"{"rule": "a", "verdict": "THROTTLE"}"#,
        r#"{"rule": "a", "verdict": "THROTTLE", "retry_after": 0}"#,
        r#"{"rule": "a", "verdict": "THROTTLE", "retry_after": 1.5}"#,
        r#"{"rule": "a", "verdict": "REQUIRE_HITL", "approvals": [], "four_eyes": true, "expiry": 9}"#,
        r#"{"rule": "a", "verdict": "ROUTE", "to": {}}"#,
        r#"{"rule": "a", "verdict": "ALLOW", "obligations": {"redact": ["to"]}}"#,
        r#"{"rule": "a", "verdict": "ALLOW", "obligations": {"add_header": {"X-A": "1\nX-B: 2"}}}"#,
    ] {
        let rules = format!("{ALLOW_MAIL}\ndecisions contains {odd} if true");
        let decision = decided(&rules, &call("mail", json!({})));
        assert_eq!(decision.verdict, Verdict::Deny {}, "{odd}");
        assert_eq!(codes(&decision), ["policy-unknown-decision"], "{odd}");
    }
}

#[test]
fn a_decision_names_what_it_takes_to_decide_again() {
    let input = call("mail", json!({"b": 1, "a": "x"}));
    let decision = decided(ALLOW_MAIL, &input);
    // SHA-256 of the canonical JSON of the input, made anew.
    let canonical = serde_json_canonicalizer::to_vec(&input).unwrap();
    assert_eq!(decision.input, canonry_policy::digest(&canonical));
    assert_eq!(decision.bundle, "0".repeat(64));
    assert!(decision.engine.starts_with("regorus-"));
    let text = serde_json::to_string(&decision).unwrap();
    assert_eq!(serde_json::from_str::<canonry_policy::Decision>(&text).unwrap(), decision);
}

#[test]
fn an_input_that_is_not_of_whole_numbers_or_too_large_is_denied() {
    let mut deep = json!(1);
    for _ in 0..40 {
        deep = json!([deep]);
    }
    for args in [json!({"n": 1.5}), json!({"s": "x".repeat(200_000)}), json!({"d": deep})] {
        let decision = decided(ALLOW_MAIL, &call("mail", args));
        assert_eq!(decision.verdict, Verdict::Deny {});
        assert_eq!(codes(&decision), ["policy-input-invalid"]);
    }
}

#[test]
fn a_policy_may_be_written_in_the_newer_language() {
    let rules = r#"
if.urgent if input.ticket.priority > 3

decisions contains {"rule": $"{input.action.tool}-{input.tier}", "verdict": "ALLOW"} if {
    not if.urgent
    crypto.sha256(input.tenant, digest)
    startswith(digest, "8")
    net.cidr_contains("10.0.0.0/8", "10.1.2.3")
}"#;
    let allowed = decided(rules, &call("mail", json!({})));
    assert_eq!((allowed.verdict.name(), &*allowed.rules), ("ALLOW", &["mail-2".to_owned()][..]));
    let mut urgent = call("mail", json!({}));
    urgent.ticket.priority = 4;
    assert_eq!(codes(&decided(rules, &urgent)), ["policy-undefined"]);
}

#[test]
fn builtins_that_sign_or_list_much_are_not_for_decisions() {
    for call in [
        "io.jwt.decode(input.tenant)",
        "net.cidr_expand(\"10.0.0.0/8\")",
        "net.cidr_merge([])",
        "crypto.md5(\"a\")",
        "providers.aws.sign_req({}, {}, 1)",
    ] {
        let rules = format!("{ALLOW_MAIL}\nother := {call}\n");
        let code = super::compile(&format!("{rules}\ndecisions contains other if true")).err();
        assert_eq!(code.map(|e| e.code.code()), Some("policy-builtin"), "{call}");
    }
}

#[test]
fn a_rule_that_walks_through_arguments_matches() {
    for walk in ["[_, value] := walk(input.action.args)", "walk(input.action.args, [_, value])"] {
        let rules = format!(
            "{ALLOW_MAIL}\ndecisions contains {{\"rule\": \"w\", \"verdict\": \"DENY\"}} if {{\n\
             \t{walk}\n\tvalue == \"bad\"\n}}"
        );
        let denied = decided(&rules, &call("mail", json!({"a": [{"b": "bad"}]})));
        assert_eq!((denied.verdict.name(), denied.rules.join(" ")), ("DENY", "mail w".to_owned()));
        let allowed = decided(&rules, &call("mail", json!({"a": [{"b": "good"}]})));
        assert_eq!(allowed.verdict.name(), "ALLOW");
    }
}
