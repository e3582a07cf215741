//! Builtins that are ours, asked with what they take and what they refuse. OPA's own cases ask more
//! of them (`tests/conformance`), where they are at hand.

use canonry_policy::opa;
use serde_json::{Value, json};

/// What an expression gives: a value, nothing, or an error.
fn given(expression: &str) -> Result<Option<Value>, String> {
    let mut engine = opa::engine(true)?;
    let query = opa::read(&format!("x := {expression}"))?;
    let given = engine.eval_query(query, false).map_err(|e| e.to_string())?;
    let bindings = given.result.first().map(|r| serde_json::to_value(&r.bindings).unwrap());
    Ok(bindings.map(|b| b["x"].clone()))
}

fn gives(expression: &str, wanted: Value) {
    assert_eq!(given(expression), Ok(Some(wanted)), "{expression}");
}

fn refused(expression: &str, why: &str) {
    let told = given(expression).unwrap_err();
    assert!(told.contains(why), "{expression}: {told}");
}

#[test]
fn patterns_that_share_a_text_are_found() {
    for (one, other, both) in [
        ("a.c", "abc", true),
        ("a.c", "ab", false),
        ("[a-c]+", "[c-e]*", true),
        ("[a-b]+", "[c-e]*", false),
        // The empty text alone is none.
        ("a*", "b*", false),
        ("a*b", "b", true),
        ("a+b", "b", false),
        (r"\\[x\\]", r"[[]x[\\]]", true),
        (r"\\.", "x", false),
        (r"[\\]]", r"\\]", true),
    ] {
        for (a, b) in [(one, other), (other, one)] {
            gives(&format!(r#"regex.globs_match("{a}", "{b}")"#), json!(both));
        }
    }
    for wrong in ["a]", "[a", "*", "[b-a]", "[a-", r"\\"] {
        refused(&format!(r#"regex.globs_match("{wrong}", "a")"#), "invalid");
    }
    let long = "a*".repeat(200);
    refused(&format!(r#"regex.globs_match("{long}", "{long}")"#), "longer");
}

#[test]
fn templates_are_filled_in() {
    let values = r#"{"a": {"b": "x"}, "list": [1, 2], "none": [], "zero": 0, "yes": true}"#;
    for (template, wanted) in [
        ("{{.a.b}}-{{ .yes }}-{{.c}}", "x-true-<undefined>"),
        ("{{range .list}}<{{.}}>{{end}}", "<1><2>"),
        ("{{range $v := .list}}{{$v}}{{$.a.b}}{{end}}", "1x2x"),
        ("{{range $i, $v := .list}}{{if $i}},{{end}}{{$v}}{{end}}", "1,2"),
        ("{{range .none}}a{{else}}b{{end}}", "b"),
        ("{{if .zero}}a{{else}}b{{end}}{{if .yes}}c{{end}}", "bc"),
        ("{{range $k, $v := .a}}{{$k}}={{$v}}{{end}}", "b=x"),
    ] {
        gives(&format!("strings.render_template(`{template}`, {values})"), json!(wanted));
    }
    for wrong in ["{{", "{{if .a}}", "{{end}}", "{{len .a}}", "{{$x}}", "{{.list}}", "{{.a|b}}"] {
        refused(&format!("strings.render_template(`{wrong}`, {values})"), "template");
    }
    let nested = "{{if .yes}}".repeat(100);
    refused(&format!("strings.render_template(`{nested}`, {values})"), "nested");
}

#[test]
fn templates_that_make_much_of_little_end() {
    let list = vec!["1"; 30].join(",");
    let (open, close) = ("{{range $.l}}".repeat(4), "{{end}}".repeat(4));
    let values = format!(r#"{{"l": [{list}]}}"#);
    refused(&format!("strings.render_template(`{open}x{close}`, {values})"), "longer");
}

#[test]
fn documents_are_held_against_schemas() {
    let schema = r#"{"type": "object", "properties": {"n": {"type": "integer", "maximum": 3}}}"#;
    gives(&format!("json.match_schema({{\"n\": 1}}, {schema})"), json!([true, []]));
    gives(&format!("json.match_schema(`{{\"n\": 1}}`, `{schema}`)"), json!([true, []]));
    let told = given(&format!("json.match_schema({{\"n\": 4}}, {schema})")).unwrap().unwrap();
    assert_eq!((&told[0], &told[1][0]["field"]), (&json!(false), &json!("n")));
    let type_of = r#"json.match_schema({"n": {"m": true}}, {"properties": {"n": {"properties": {"m": {"type": "null"}}}}})"#;
    let told = given(type_of).unwrap().unwrap();
    assert_eq!(told[1][0]["error"], "n.m: Invalid type. Expected: null, given: boolean");
    gives(&format!("json.verify_schema({schema})"), json!([true, null]));
    for wrong in
        [r#"{"type": "x"}"#, r#"{"properties": {"a": {"type": "x"}}}"#, r#"{"minimum": "a"}"#]
    {
        let told = given(&format!("json.verify_schema({wrong})")).unwrap().unwrap();
        assert_eq!(told[0], false, "{wrong}");
    }
    // Nothing is fetched.
    let elsewhere = r#"{"$ref": "http://localhost:1/x"}"#;
    refused(&format!("json.match_schema({{}}, {elsewhere})"), "");
    refused("json.match_schema(1, {})", "operand");
}

#[test]
fn what_is_no_text_is_neither_json_nor_yaml() {
    gives("json.is_valid(1)", json!(false));
    gives("json.is_valid(`{\"a\": [1]}`)", json!(true));
    gives("json.is_valid(`{`)", json!(false));
    gives("yaml.is_valid([1])", json!(false));
    gives("yaml.is_valid(\"a: [1]\")", json!(true));
    gives("yaml.is_valid(\"a: [1\")", json!(false));
}

#[test]
fn occurrences_that_do_not_overlap_are_counted() {
    gives(r#"strings.count("11111", "11")"#, json!(2));
    gives(r#"strings.count("abc", "")"#, json!(4));
    gives(r#"strings.count("", "x")"#, json!(0));
    refused(r#"strings.count(1, "x")"#, "string");
}
