use std::fmt::Write as _;
use std::time::Instant;
use canonry_policy::input::Action;
use canonry_policy::{Input, Policy, Source};
use serde_json::json;
/// Numbers of rules that are measured.
const RULES: [usize; 4] = [1, 10, 100, 1_000];
/// Bytes of the input's canonical JSON, about.
const INPUT: usize = 1_024;

/// Runs it.
fn main() -> Result<(), String> {
 if std::env::args().nth(1).as_deref()==Some("conf") { conf::run(); return Ok(()); }

 let a=std::env::args().nth(1).and_then(|a|a.parse().ok()).unwrap_or(10_000u32);
    let mut all = Vec::new();
    for rules in RULES {
        let policy = Policy::compile(&source(rules)).map_err(|e| format!("{e:?}"))?;
        for matching in [true, false] {
            let (p50, p99) = measured(&policy, matching, rules, a)?;
            all.push(json!({
                "rules": rules, "matching": matching, "p50_us": p50, "p99_us": p99,
            }));
        }
    }
    for x in all { println!("{x}"); }
    Ok(())
}
/// So many rules, each for a tool of its own.
fn source(rules: usize) -> Source {
    let mut text = String::from("package canonry.bench\n");
    for n in 0..rules {
        write!(
            text,
            "\ndecisions contains {{\"rule\": \"r{n}\", \"verdict\": \"ALLOW\"}} if {{\n    \
             input.action.tool == \"tool-{n}\"\n    input.tier >= 1\n    \
             input.cost.run < 1000000\n    \
             not object.get(input.action.args, \"dry\", false)\n}}\n"
        )
        .expect("a text can be written to");
    }
    Source { modules: vec![("bench.rego".to_owned(), text)], ..Source::default() }
}

fn measured(
    policy: &Policy,
    matching: bool,
    rules: usize,
    decisions: u32,
) -> Result<(f64, f64), String> {
    let tool = if matching { format!("tool-{}", rules / 2) } else { "none".to_owned() };
    let mut input = Input { tier: 2, ..Input::default() };
    input.action = Action { tool, action: "send".to_owned(), ..Action::default() };
    let so_far = serde_json::to_vec(&input).map_err(|e| format!("{e:?}"))?.len();
    let text = "x".repeat(INPUT.saturating_sub(so_far));
    input.action.args.insert("text".to_owned(), text.into());
    let wanted = if matching { "ALLOW" } else { "DENY" };
    let mut nanos = Vec::with_capacity(decisions as usize);
    // The first hundred warm the caches.
    for n in 0..decisions + 100 {
        let began = Instant::now();
        let decision = policy.decide(&input);
        let taken = began.elapsed().as_nanos();
        if decision.verdict.name() != wanted {
            return Err((format!("a wrong verdict: {:?}", decision.codes)));
        }
        if n >= 100 {
            nanos.push(u64::try_from(taken).unwrap_or(u64::MAX));
        }
    }
    nanos.sort_unstable();
    let at = |per_mille: usize| {
        let nanos = nanos.get(nanos.len() * per_mille / 1_000).copied().unwrap_or_default();
        nanos as f64 / 1_000.0
    };
    Ok((at(500), at(990)))
}

#[allow(unused_imports,dead_code)]
mod conf {

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use canonry_policy::opa;
use regorus::Value;
use serde_json::json;

type Json = serde_json::Value;

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

pub fn run() {
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
    let listed = std::fs::read_to_string(&file).unwrap();
    let listed: BTreeSet<String> = listed.lines().map(str::to_owned).collect();
    let passed = cases.len() - failing.len();
    println!("{passed} of {} cases pass, {} are listed", cases.len(), listed.len());
    let unlisted: Vec<_> = failing.difference(&listed).collect();
    assert_eq!(unlisted, [""; 0], "these do not pass, and are not listed");
    let better: Vec<_> = listed.difference(&failing).collect();
    assert_eq!(better, [""; 0], "these pass, and are listed: take them out");
}


}
