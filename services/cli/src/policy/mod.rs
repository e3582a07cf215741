//! `canonry policy`: what an author of policies does before anybody decides by them: test, check,
//! build and sign a bundle, and ask it. It talks to nobody; rules of bundles are in
//! `canonry-policy`.

mod build;
mod eval;
mod files;
mod test;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

/// `canonry policy`.
#[derive(Debug, Subcommand)]
#[command(after_help = "EXAMPLES:
    canonry policy test policies/
    canonry policy build policies/ --out bundle.tar.gz --revision 7 --key founder.key
    canonry policy eval --bundle bundle.tar.gz --public \"$KEY\" --input call.json")]
pub enum Command {
    /// Run the tests in Rego of a folder
    Test(test::Args),
    /// Say whether a folder or a bundle is a policy that can decide
    Check(eval::Check),
    /// Make a bundle of a folder, and sign it
    Build(build::Args),
    /// Ask a policy about one input
    Eval(eval::Args),
}

/// Runs it.
///
/// # Errors
/// A test failed, or the policy or bundle is refused.
pub fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Test(args) => test::run(context, &args),
        Command::Check(args) => eval::check(context, &args),
        Command::Build(args) => build::run(context, &args),
        Command::Eval(args) => eval::run(context, &args),
    }
}
