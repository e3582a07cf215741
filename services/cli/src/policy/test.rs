//! `canonry policy test`: the tests in Rego of a folder.

use std::path::PathBuf;

use canonry_policy::tests::{self, Outcome};
use serde_json::json;

use super::files;
use crate::context::Context;
use crate::failure::{Failure, exit};
use crate::output;

/// Run the tests in Rego of a folder.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Every rule whose name begins with test_ is a test and passes where it is true; todo_test_ is skipped. \
Exit code 1 where any failed, or where there is none.

EXAMPLES:
    canonry policy test policies/
    canonry policy test policies/ --run tier --json")]
pub struct Args {
    /// The folder
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Only tests whose name holds this
    #[arg(long, value_name = "TEXT")]
    run: Option<String>,
}

/// Runs it.
pub fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let source = files::folder(&args.folder)?;
    let mut all = tests::run(&source).map_err(Failure::refused)?;
    if let Some(part) = &args.run {
        all.retain(|t| t.name.contains(part.as_str()));
    }
    let count = |wanted: fn(&Outcome) -> bool| all.iter().filter(|t| wanted(&t.outcome)).count();
    let passed = count(|o| *o == Outcome::Passed);
    let skipped = count(|o| *o == Outcome::Skipped);
    let failed = all.len() - passed - skipped;
    if context.json {
        output::json(&json!({
            "passed": passed, "failed": failed, "skipped": skipped, "tests": all,
        }))?;
    } else {
        for test in &all {
            let word = match &test.outcome {
                Outcome::Passed => "pass".to_owned(),
                Outcome::Failed => "FAIL".to_owned(),
                Outcome::Skipped => "skip".to_owned(),
                Outcome::Error(why) => format!("ERROR {}", why.trim().replace('\n', "\n      ")),
            };
            output::line(&format!("{} {} {word}", test.place, test.name));
            test.prints.iter().for_each(|p| output::line(&format!("      {p}")));
        }
        output::line(&format!("{passed} passed, {failed} failed, {skipped} skipped"));
    }
    if all.is_empty() {
        return Err(Failure::refused("there is no test: a test is a rule named test_…"));
    }
    if failed > 0 { Err(Failure::silent(exit::REFUSED)) } else { Ok(()) }
}
