//! `canonry policy eval` and `check`: ask a policy, or ask whether it is one.

use std::io::Read as _;
use std::path::PathBuf;

use canonry_policy::{Input, Policy, Source};
use serde_json::json;

use super::files;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// Which policy.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false, id = "which")]
pub(super) struct Which {
    /// A bundle; it is verified as a decider would
    #[arg(long, value_name = "FILE")]
    bundle: Option<PathBuf>,
    /// A folder of an author, unsigned
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

impl Which {
    pub(super) fn source(&self, signer: &files::Signer) -> Result<Source, Failure> {
        match (&self.bundle, &self.dir) {
            (Some(file), _) => Ok(files::verified(file, signer)?.source),
            (None, Some(dir)) => files::folder(dir),
            (None, None) => Err(Failure::usage("--bundle or --dir")),
        }
    }
}

/// Ask a policy about one input.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The input is a whole input document (docs/policy.md); fields that are left out are empty. The answer \
is the decision as a decider would record it. Exit code 0 whatever the verdict.

EXAMPLES:
    canonry policy eval --dir policies/ --input call.json
    echo '{\"action\":{\"tool\":\"mail\"}}' | canonry policy eval --bundle b.tar.gz --public \"$KEY\" --json")]
pub struct Args {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    signer: files::Signer,
    /// The input; without it, standard input
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
}

/// Say whether a folder or a bundle is a policy that can decide.
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES:
    canonry policy check --dir policies/
    canonry policy check --bundle bundle.tar.gz --public \"$KEY\" --json")]
pub struct Check {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    signer: files::Signer,
}

/// Runs `check`.
pub fn check(context: &Context, args: &Check) -> Result<(), Failure> {
    let policy = args
        .which
        .source(&args.signer)
        .and_then(|source| Ok((Policy::compile(&source).map_err(Failure::refused)?, source)));
    let (policy, source) = policy?;
    let (rules, files) = (policy.rules(), source.modules.len());
    let engine = canonry_policy::engine_version();
    if context.json {
        return output::json(&json!({"rules": rules, "files": files, "engine": engine}));
    }
    output::line(&format!("ok: {rules} rules in {files} files, {engine}"));
    Ok(())
}

/// The text of an input: of a file, or of standard input.
pub(super) fn input(file: Option<&PathBuf>) -> Result<String, Failure> {
    if let Some(file) = file {
        return std::fs::read_to_string(file)
            .map_err(|e| Failure::refused(format!("{}: {e}", file.display())));
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).map_err(Failure::refused)?;
    Ok(text)
}

/// Runs `eval`.
pub fn run(context: &Context, args: &Args) -> Result<(), Failure> {
    let source = args.which.source(&args.signer)?;
    let policy = Policy::compile(&source).map_err(Failure::refused)?;
    let text = input(args.input.as_ref())?;
    let input: Input = canonry_policy::input::completed(text.as_bytes())
        .map_err(|e| Failure::refused(format!("the input: {e}")))?;
    let decision = policy.decide(&input);
    if context.json { output::json(&decision) } else { output::pretty(&decision) }
}
