//! The index never changes a verdict: what it leaves out could not have matched.

use std::fmt::Write as _;

use canonry_policy::{Bounds, Input, Policy};
use proptest::prelude::*;
use serde_json::json;

use super::{call, source};

/// One statement of a body: guards of every form, and statements that are none.
fn statement() -> impl Strategy<Value = String> {
    let field = prop_oneof![
        Just("input.action.tool"),
        Just("input.action.action"),
        Just("input.tier"),
        Just("input.action.args.n"),
        Just(r#"input["action"]["tool"]"#),
    ];
    let constant = prop_oneof![
        Just(r#""mail""#.to_owned()),
        Just(r#""shell""#.to_owned()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        (0..4_u8).prop_map(|n| n.to_string()),
        (0..4_u8).prop_map(|n| format!("{n}.0")),
    ];
    let many = proptest::collection::vec(constant.clone(), 1..3);
    (field, constant, many, 0..8_u8).prop_map(|(field, one, many, form)| match form {
        0 => format!("{field} == {one}"),
        1 => format!("{one} == {field}"),
        2 => format!("{field} = {one}"),
        3 => format!("{field} in {{{}}}", many.join(", ")),
        4 => format!("{field} in [{}]", many.join(", ")),
        5 => format!("{field} != {one}"),
        6 => format!("object.get(input.action.args, \"n\", {one}) == {one}"),
        _ => format!("not input.action.tool == {one}"),
    })
}

fn rules() -> impl Strategy<Value = String> {
    let verdict = prop_oneof![
        Just(r#""ALLOW""#),
        Just(r#""DENY""#),
        Just(r#""THROTTLE", "retry_after": 5"#),
        Just(r#""REQUIRE_STEP_UP", "level": 1"#),
    ];
    let bodies = proptest::collection::vec(proptest::collection::vec(statement(), 1..4), 1..3);
    proptest::collection::vec((verdict, bodies), 1..12).prop_map(|all| {
        let mut text = String::new();
        for (number, (verdict, bodies)) in all.iter().enumerate() {
            for body in bodies {
                let body = body.join("\n    ");
                writeln!(
                    text,
                    "decisions contains {{\"rule\": \"r{number}\", \"verdict\": {verdict}}} if {{\n    {body}\n}}"
                )
                .unwrap();
            }
        }
        text
    })
}

fn input() -> impl Strategy<Value = Input> {
    let args = prop_oneof![
        Just(json!({})),
        Just(json!({"n": null})),
        Just(json!({"n": true})),
        Just(json!({"n": "mail"})),
        (0..4_u8).prop_map(|n| json!({"n": n})),
    ];
    let tool = prop_oneof![Just("mail"), Just("shell"), Just("")];
    (tool, args, 0..4_u64).prop_map(|(tool, args, tier)| Input { tier, ..call(tool, args) })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn indexed_and_plain_evaluation_agree(
        rules in rules(),
        inputs in proptest::collection::vec(input(), 8),
    ) {
        // Time is no part of this: a busy machine would make both deny.
        let time = std::time::Duration::from_secs(60);
        let bounds = Bounds { time, ..Bounds::default() };
        let policy = Policy::compile_within(&source(&rules), bounds).unwrap();
        for input in inputs {
            prop_assert_eq!(policy.decide(&input), policy.decide_unindexed(&input));
        }
    }
}

#[test]
fn rules_that_cannot_match_are_not_evaluated() {
    // Each of the others would err, so that looking at any of them is seen.
    let mut rules = String::from(
        "decisions contains {\"rule\": \"ok\", \"verdict\": \"ALLOW\"} if input.action.tool == \"mail\"\n",
    );
    for n in 0..100 {
        writeln!(
            rules,
            "decisions contains {{\"rule\": \"x{n}\", \"verdict\": \"ALLOW\"}} if {{ \
             to_number(input.tenant) == 1\n input.action.tool == \"t{n}\" }}"
        )
        .unwrap();
    }
    let policy = Policy::compile(&source(&rules)).unwrap();
    assert_eq!(policy.rules(), 101);
    let input = call("mail", json!({}));
    assert_eq!(policy.decide(&input).verdict.name(), "ALLOW");
    assert_eq!(policy.decide_unindexed(&input).codes[0].code(), "policy-error");
}
