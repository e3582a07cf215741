//! What is refused before anything is evaluated, each with its code.

use canonry_policy::{Policy, Source};
use serde_json::json;

use super::{call, codes, compile, decided};

fn refused(rules: &str) -> &'static str {
    match compile(rules) {
        Ok(_) => "nothing",
        Err(e) => e.code.code(),
    }
}

const ALLOW: &str = r#"decisions contains {"rule": "a", "verdict": "ALLOW"} if "#;

#[test]
fn a_missing_field_matches_no_rule_that_negates() {
    for body in [
        // The field itself.
        "not input.action.args.blocked",
        "not input.action.args.blocked == true",
        // A rule that asks for it, directly and through another, with a default, with an else.
        "not helper\nhelper if input.action.args.blocked == true",
        "not one\none if two\ntwo if input.action.args.blocked",
        "not test(input.action.args)\ntest(args) if args.blocked",
        "flag == false\ndefault flag := false\nflag if input.action.args.blocked",
        "flag == 1\nflag := 2 if { input.action.args.blocked } else := 1",
        // An empty collection.
        "count([1 | input.action.args.blocked]) == 0",
        "count({x | some x in input.action.args.list}) == 0",
        "count(bad) == 0\nbad contains 1 if input.action.args.blocked",
        "every x in input.action.args.list { x > 1 }",
        // A text with expressions would say `<undefined>`.
        "$\"{input.action.args.blocked}\" == \"<undefined>\"",
        // The field under another name.
        "{ args := input.action.args\n not args.blocked }",
        "{ some name, value in input.action.args\n not value.blocked }",
        "{ some t in data.tools\n [t, _] = input.action.args.pair\n not t.blocked }",
        "{ t := data.tools\n count([1 | [t, _] := input.action.args.pair; not t.blocked]) == 1 }",
        "not whole.blocked\nwhole := input.action.args",
        "not data.canonry.p.whole.blocked\nwhole := input.action.args",
        "{ key := \"blocked\"\n not input.action.args[key] }",
        "{ key := \"args\"\n not input.action[key].blocked }",
    ] {
        assert_eq!(refused(&format!("{ALLOW}{body}")), "policy-negation", "{body}");
    }
    let aliased = "import input.action.args as mine\n\n";
    let rules = format!("{aliased}{ALLOW}not mine.blocked");
    assert_eq!(refused(&rules), "policy-negation");
}

#[test]
fn negation_of_what_is_always_there_is_welcome() {
    for body in [
        r#"not input.action.tool == "shell""#,
        "not input.tier > 3",
        r#"not object.get(input.action.args, "blocked", false)"#,
        r#"not data.tools[input.action.tool].risk == "high""#,
        "not risky\nrisky if data.tools[input.action.tool].risk == \"high\"",
        r#"count([t | some t in data.tools; t.risk == "none"]) == 0"#,
        "not high[input.action.tool]\nhigh contains name if { some name, tool in data.tools\n tool.risk == \"high\" }",
        "input.counts.run.denied == 0\ndefault unused := 1",
    ] {
        let rules = format!("{ALLOW}{body}");
        assert_eq!(refused(&rules), "nothing", "{body}");
        let decision = decided(&rules, &call("mail", json!({})));
        assert_eq!(decision.verdict.name(), "ALLOW", "{body}: {:?}", codes(&decision));
    }
}

#[test]
fn a_missing_field_matches_no_rule_that_asks_for_it() {
    let rules = format!(r#"{ALLOW}input.action.args.to != "root""#);
    assert_eq!(codes(&decided(&rules, &call("mail", json!({})))), ["policy-undefined"]);
    assert_eq!(decided(&rules, &call("mail", json!({"to": "me"}))).verdict.name(), "ALLOW");
}

#[test]
fn what_others_cannot_decide_again_is_not_called() {
    for call in [
        "time.now_ns() > 0",
        r#"http.send({"url": "x"}).status == 1"#,
        r#"uuid.rfc4122("x") == "y""#,
        "rand.intn(\"x\", 2) == 1",
        "opa.runtime().env.X == 1",
        "bits.lsh(1, 99999999999) > 1",
        r#"sprintf("%999999999d", [1]) == "x""#,
        "sprintf(input.phase, [1]) == \"x\"",
        "no.such.function(1)",
    ] {
        assert_eq!(refused(&format!("{ALLOW}{call}")), "policy-builtin", "{call}");
    }
}

#[test]
fn rules_that_hang_from_themselves_are_refused() {
    let chain: String = (0..20).map(|n| format!("r{n} if r{}\n", n + 1)).collect();
    for rules in [
        "f(1)\nf(x) if f(x)".to_owned(),
        "a\na if b\nb if a".to_owned(),
        "data.canonry.p.a\na if data.canonry.p[input.phase]".to_owned(),
        format!("r0\n{chain}r20 if true"),
    ] {
        assert_eq!(refused(&format!("{ALLOW}{rules}")), "policy-recursion", "{rules}");
    }
}

#[test]
fn decisions_have_one_form() {
    for rules in [
        r#"decisions := [{"rule": "a", "verdict": "ALLOW"}]"#.to_owned(),
        "default decisions := []".to_owned(),
        r#"decisions["x"] := 1 if true"#.to_owned(),
        r#"decisions(x) := 1 if true"#.to_owned(),
        format!("{ALLOW}count(decisions) > 0"),
        format!("{ALLOW}true with input as {{}}"),
        format!("{ALLOW}{{ some input in [1] }}"),
        format!("{ALLOW}true\ncanonry_rule_0 := 1"),
        // A name that is a rule here and a variable there would hide what `not` asks for.
        format!(
            "{ALLOW}{{ not flag\n count([1 | some flag in [1]; flag == 2]) == 0 }}\nflag if input.action.args.x"
        ),
        format!("{ALLOW}{{ not flag\n flag = true }}\nflag if input.action.args.x"),
    ] {
        let code = refused(&rules);
        assert!(
            ["policy-form", "policy-syntax", "policy-recursion"].contains(&code),
            "{rules}: {code}"
        );
    }
    // Nothing says what x is: no evaluation is needed to see it.
    assert_eq!(refused(&format!("{ALLOW}x > 1")), "policy-syntax");
    assert_eq!(refused("x := 1"), "policy-empty");
    assert_eq!(refused("decisions contains {"), "policy-syntax");
    // Another package decides nothing.
    let text = format!("package other\n\n{ALLOW}true");
    let other = Source { modules: vec![("p.rego".to_owned(), text)], ..Source::default() };
    assert_eq!(Policy::compile(&other).unwrap_err().code.code(), "policy-empty");
}

#[test]
fn a_policy_is_only_so_large() {
    let rule = |n: usize| format!("{ALLOW}input.tier == {n}\n");
    let many: String = (0..2_001).map(rule).collect();
    let large = format!("{ALLOW}true\n# {}", "x".repeat(256 * 1024));
    for rules in [many, large] {
        assert_eq!(refused(&rules), "policy-too-large");
    }
    let one = ("p.rego".to_owned(), format!("package canonry\n\n{}", rule(1)));
    let files = Source { modules: vec![one; 65], ..Source::default() };
    assert_eq!(Policy::compile(&files).unwrap_err().code.code(), "policy-too-large");
}

#[test]
fn the_documentation_names_every_builtin_that_may_be_called() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policy.md");
    let page = std::fs::read_to_string(page).unwrap();
    let part = page.split("These builtins may be called:").nth(1).unwrap();
    let line = part.lines().find(|l| l.starts_with('`')).unwrap();
    let named: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
    assert_eq!(named, canonry_policy::BUILTINS);
}
