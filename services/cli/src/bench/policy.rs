//! How long a policy takes to decide, by the number of its rules: those that can match, and those
//! that cannot, which must cost nothing.

use std::fmt::Write as _;
use std::time::Instant;

use canonry_policy::input::Action;
use canonry_policy::{Input, Policy, Source};
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// How long a policy takes to decide, by the number of its rules.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The input is 1 KB. Of the rules one matches, or none does. The digest of the input is made each time, \
as for a record.

EXAMPLES:
    canonry bench policy
    canonry bench policy --json --decisions 20000")]
pub struct Args {
    /// Decisions of each measurement
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    decisions: u32,
}

/// Numbers of rules that are measured.
const RULES: [usize; 4] = [1, 10, 100, 1_000];
/// Bytes of the input's canonical JSON, about.
const INPUT: usize = 1_024;

/// Runs it.
pub fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let mut all = Vec::new();
    for rules in RULES {
        let policy = Policy::compile(&source(rules)).map_err(Failure::refused)?;
        for matching in [true, false] {
            let (p50, p99) = measured(&policy, matching, rules, args.decisions)?;
            all.push(json!({
                "rules": rules, "matching": matching, "p50_us": p50, "p99_us": p99,
            }));
        }
    }
    if context.json {
        return output::json(&json!({
            "decisions": args.decisions, "input_bytes": INPUT, "measured": all,
        }));
    }
    output::line("rules  matching     p50 us     p99 us");
    for one in &all {
        let text = |name: &str| one[name].to_string();
        let (rules, matching) = (text("rules"), text("matching"));
        let (p50, p99) = (text("p50_us"), text("p99_us"));
        output::line(&format!("{rules:>5}  {matching:>8} {p50:>10} {p99:>10}"));
    }
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
) -> Result<(f64, f64), Failure> {
    let tool = if matching { format!("tool-{}", rules / 2) } else { "none".to_owned() };
    let mut input = Input { tier: 2, ..Input::default() };
    input.action = Action { tool, action: "send".to_owned(), ..Action::default() };
    let so_far = serde_json::to_vec(&input).map_err(Failure::refused)?.len();
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
            return Err(Failure::refused(format!("a wrong verdict: {:?}", decision.codes)));
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
