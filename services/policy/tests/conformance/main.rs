//! OPA's own cases for version 1 of the language, run on the engine that decides. The file
//! `unsupported.tsv` beside this one lists by name every case that does not pass, with what it
//! needs; a case that is listed and passes, or is not listed and does not, fails the test.
//!
//! The cases are no part of the repository: `$CANONRY_DATA/vectors/opa-compliance-v1-cases.jsonl.gz`,
//! and without it nothing is run, which is said. `CANONRY_BLESS=1` writes the list anew.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it stands")]
#![expect(clippy::print_stdout, reason = "what was run is to be seen in the output of the test")]

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use canonry_policy::opa;
use regorus::Value;
use serde_json::json;

type Json = serde_json::Value;

/// How many cases there are.
const CASES: usize = 2_067;

/// The cases, where they are at hand.
fn cases() -> Option<Vec<Json>> {
    let data = PathBuf::from(std::env::var_os("CANONRY_DATA")?);
    let packed = std::fs::File::open(data.join("vectors/opa-compliance-v1-cases.jsonl.gz")).ok()?;
    let mut text = String::new();
    flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
    Some(text.lines().map(|l| serde_json::from_str(l).unwrap()).collect())
}

/// The bindings that a query gave, or what went wrong.
fn answered(case: &Json) -> Result<Json, String> {
    let failed = |e: &dyn std::fmt::Display| e.to_string();
    let mut engine = opa::engine(case["strict_error"] == true)?;
    let value = |json: &Json| Value::from_json_str(&json.to_string());
    if let Some(data) = case.get("data") {
        let data = value(data).map_err(|e| failed(&e))?;
        engine.add_data(data).map_err(|e| failed(&e))?;
    }
    if let Some(input) = case.get("input") {
        engine.set_input(value(input).map_err(|e| failed(&e))?);
    }
    if let Some(term) = case.get("input_term").and_then(Json::as_str) {
        let given = engine.eval_query(opa::read(term)?, false).map_err(|e| failed(&e))?;
        let last = given.result.last().and_then(|r| r.expressions.last());
        engine.set_input(last.ok_or("the input gives nothing")?.value.clone());
    }
    for (number, module) in case["modules"].as_array().into_iter().flatten().enumerate() {
        let text = opa::read(module.as_str().unwrap())?;
        engine.add_policy(format!("m{number}.rego"), text).map_err(|e| failed(&e))?;
    }
    let query = opa::read(case["query"].as_str().unwrap())?;
    let given = engine.eval_query(query, false).map_err(|e| failed(&e))?;
    let bindings = given.result.iter().map(|r| serde_json::to_value(&r.bindings).unwrap());
    Ok(bindings.collect())
}

/// The order of answers means nothing; that of a binding's list only where the case says so.
fn ordered(mut all: Json, bindings_too: bool) -> Json {
    let sort = |list: &mut Json| {
        if let Some(items) = list.as_array_mut() {
            items.sort_by_key(Json::to_string);
        }
    };
    if bindings_too {
        let each = all.as_array_mut().into_iter().flatten();
        each.filter_map(Json::as_object_mut).flat_map(|o| o.values_mut()).for_each(sort);
    }
    sort(&mut all);
    all
}

fn passes(case: &Json) -> bool {
    // The engine's builtins can panic on odd arguments; `Policy::decide` makes that a DENY.
    let run = std::panic::AssertUnwindSafe(|| answered(case));
    let given = std::panic::catch_unwind(run).unwrap_or_else(|_| Err("panic".to_owned()));
    let errs = case.get("want_error").is_some() || case.get("want_error_code").is_some();
    match given {
        Err(why) => errs && why != "panic",
        Ok(_) if errs => false,
        Ok(given) => {
            let sorted = case["sort_bindings"] == true;
            let wanted = case.get("want_result").cloned().unwrap_or_else(|| json!([]));
            ordered(given, sorted) == ordered(wanted, sorted)
        }
    }
}

/// A case by its file and its name.
fn named(case: &Json) -> String {
    let text = |name: &str| case[name].as_str().unwrap().replace(['\t', '\n'], " ");
    format!("{}\t{}", text("file"), text("note"))
}

#[test]
fn the_cases_of_opa_pass_but_those_that_are_listed() {
    let Some(cases) = cases() else {
        println!("not run: CANONRY_DATA names no folder with the cases");
        return;
    };
    // What panics is counted; its message would hide the rest.
    std::panic::set_hook(Box::new(|_| {}));
    let failing: BTreeSet<String> = cases.iter().filter(|c| !passes(c)).map(named).collect();
    drop(std::panic::take_hook());
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/unsupported.tsv");
    if std::env::var_os("CANONRY_BLESS").is_some() {
        let mut text = String::new();
        for one in &failing {
            writeln!(text, "{one}").unwrap();
        }
        std::fs::write(&file, text).unwrap();
    }
    assert_eq!(cases.len(), CASES);
    let listed = std::fs::read_to_string(&file).unwrap();
    let listed: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
    let passed = cases.len() - failing.len();
    println!("{passed} of {} cases pass, {} are listed", cases.len(), listed.len());
    let unlisted: Vec<_> = failing.difference(&listed).collect();
    assert_eq!(unlisted, [""; 0], "these do not pass, and are not listed");
    let better: Vec<_> = listed.difference(&failing).collect();
    assert_eq!(better, [""; 0], "these pass, and are listed: take them out");
}

#[test]
fn every_listed_case_needs_something_that_the_documentation_calls_unsupported() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let listed = std::fs::read_to_string(here.join("tests/conformance/unsupported.tsv")).unwrap();
    let page = std::fs::read_to_string(here.join("../../docs/policy.md")).unwrap();
    let table = page.split("## Not supported").nth(1).unwrap();
    let mut groups: BTreeMap<&str, usize> = BTreeMap::new();
    for group in listed.lines().filter_map(|l| l.split('/').next()) {
        *groups.entry(group).or_default() += 1;
    }
    let row = |(group, cases): (&&str, &usize)| format!("| `{group}` | {cases} | `");
    let missing: Vec<_> = groups.iter().map(row).filter(|r| !table.contains(r)).collect();
    assert_eq!(missing, [""; 0], "rows that docs/policy.md has not");
    let rows = table.lines().filter(|l| l.starts_with("| `")).count();
    assert_eq!(rows, groups.len(), "docs/policy.md has rows of groups that are not listed");
    let passing = CASES - listed.lines().count();
    let said = format!("OPA has {} cases", grouped(CASES));
    assert!(table.contains(&said), "docs/policy.md says another number of cases");
    let said = format!("{} of them pass", grouped(passing));
    assert!(table.contains(&said), "docs/policy.md: {passing} pass");
    assert!(passing * 100 >= CASES * 97, "less than 97 % pass: {passing}");
}

/// A number with a comma between its thousands.
fn grouped(number: usize) -> String {
    format!("{},{:03}", number / 1_000, number % 1_000)
}
