//! `canonry policy`: what an author of policies does. Before anybody decides by them: test, check,
//! build and sign a bundle, and ask it, all of it offline; then compare it with the one in force, ask
//! it what was decided before, publish it, and ask the one in force. Rules of bundles are in
//! `canonry-policy`.

mod ask;
mod build;
mod diff;
mod eval;
mod files;
mod new;
mod publish;
mod simulate;
mod test;

use clap::Subcommand;

use crate::context::Context;
use crate::failure::Failure;

/// `canonry policy`.
#[derive(Debug, Subcommand)]
#[command(after_help = "EXAMPLES:
    canonry policy new policies/
    canonry policy test policies/
    canonry policy build policies/ --out bundle.tar.gz --revision 7 --key founder.key
    canonry policy eval --bundle bundle.tar.gz --public \"$KEY\" --input call.json
    canonry policy diff --dir policies/
    canonry policy simulate --dir policies/ --last 500
    canonry policy publish bundle.tar.gz
    canonry policy ask --input call.json")]
pub enum Command {
    /// Begin a folder of policies, with one to start from
    New(new::Args),
    /// Run the tests in Rego of a folder
    Test(test::Args),
    /// Say whether a folder or a bundle is a policy that can decide
    Check(eval::Check),
    /// Make a bundle of a folder, and sign it
    Build(build::Args),
    /// Ask a policy about one input
    Eval(eval::Args),
    /// Show what differs between a draft and the policy in force
    Diff(diff::Args),
    /// Ask a draft about what was decided before, and show what it would decide otherwise
    Simulate(simulate::Args),
    /// Put a bundle in force
    Publish(publish::Args),
    /// Ask the policy in force what it would say of an action
    Ask(ask::Args),
}

/// Runs it.
///
/// # Errors
/// A test failed, the policy or bundle is refused, or nobody answers.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::New(args) => new::run(context, &args),
        Command::Test(args) => test::run(context, &args),
        Command::Check(args) => eval::check(context, &args),
        Command::Build(args) => build::run(context, &args),
        Command::Eval(args) => eval::run(context, &args),
        Command::Diff(args) => diff::run(context, args).await,
        Command::Simulate(args) => simulate::run(context, args).await,
        Command::Publish(args) => publish::run(context, args).await,
        Command::Ask(args) => ask::run(context, args).await,
    }
}
