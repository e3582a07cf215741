//! The command line: parses, mounts the services, maps every end to an exit code. Data goes to
//! stdout through [`output`], all else to stderr. It decides nothing; look at [`client`] for how
//! a command leaves, at [`up`] and [`serve`] for what runs here.

mod actions;
mod approve;
mod args;
mod backup;
mod bench;
mod budget;
pub mod client;
mod content;
pub mod context;
mod copy;
mod demo;
mod diff;
mod events;
mod evidence;
mod failure;
pub mod http;
mod lease;
mod ledger;
mod lock;
mod member;
pub mod output;
mod policy;
mod progress;
mod read;
pub mod secrets;
mod serve;
mod step_up;
mod submit;
mod tenant;
pub mod up;
mod upkeep;
mod witness;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use context::{Context, DEFAULT_HOME};
pub use failure::{Failure, chain, exit};

/// The runtime in which an organisation employs AI workers.
#[derive(Debug, Parser)]
#[command(
    name = "canonry",
    version,
    disable_help_subcommand = true,
    after_help = "\
Exit codes:
     0  done
     1  refused, broken or not found
     2  the command line is wrong
     3  a ledger or bundle is consistent, but its founder was not pinned
     4  a ledger is whole and its founder pinned, but positions were lost and it was repaired
    64  the configuration is wrong; all that is wrong is told at once
    69  a server or service does not answer

EXAMPLES:
    canonry up
    canonry submit ticket open '{\"title\":\"Printer on fire\"}'
    canonry ledger verify --of acme"
)]
pub struct Cli {
    /// The cell's home: keys, creds, stores
    #[arg(
        long, global = true, env = "CANONRY_HOME", default_value = DEFAULT_HOME, value_name = "DIR"
    )]
    home: PathBuf,
    /// Data as JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    tls: args::Tls,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the main job on a server of its own, and print what was measured
    Demo(demo::Args),
    /// Start everything on this machine; the first time, make it
    Up(up::Args),
    /// Start one service alone
    #[command(subcommand)]
    Serve(serve::Command),
    /// Found tenants, look after their own keys
    #[command(subcommand)]
    Tenant(tenant::Command),
    /// Enrol, remove and list people and workers
    #[command(subcommand)]
    Member(member::Command),
    /// Erase content for ever
    #[command(subcommand)]
    Content(content::Command),
    /// Send a command and print its answer
    Submit(submit::Submit),
    /// Print the headers that a plain `nats req` needs
    Sign(submit::Sign),
    /// Print a bearer for the HTTP API
    Token(submit::Token),
    /// Approve what a ticket or action asks for
    Approve(approve::Approve),
    /// Reject what a ticket or action asks for
    Reject(approve::Reject),
    /// List and show tickets
    Tickets(read::Args),
    /// List and show roles
    Roles(read::Args),
    /// List and show runs
    Runs(read::Args),
    /// Show what changed between two positions
    Diff(diff::Args),
    /// Append custom records, register their kinds
    #[command(subcommand)]
    Events(events::Command),
    /// Ask for actions, look them up, settle them
    #[command(subcommand)]
    Actions(actions::Command),
    /// Limit what may be spent, set prices, show what is left
    #[command(subcommand)]
    Budget(budget::Command),
    /// Report what was spent, by ticket, run, role, model, tool or day
    Spend(budget::Spend),
    /// Attach files to tickets and runs, get them back; bundles for strangers
    #[command(subcommand)]
    Evidence(evidence::Command),
    /// Write, test and build policies
    #[command(subcommand)]
    Policy(policy::Command),
    /// Short-lived credentials of workers: ask for them, end them, list them
    #[command(subcommand)]
    Lease(lease::Command),
    /// Read and check ledgers
    Ledger(ledger::Args),
    /// Cosign checkpoints of logs as a witness
    #[command(subcommand)]
    Witness(witness::Command),
    /// Measure the whole path against the limits of server and machine
    Bench(bench::Args),
    /// Keep secrets in a sealed file or a vault
    #[command(subcommand)]
    Secrets(secrets::Command),
    /// Keep a second copy of a ledger outside NATS
    Copy(copy::Args),
    /// Back tenants up and restore them
    #[command(subcommand)]
    Backup(backup::Command),
    /// Look after the read models
    #[command(subcommand)]
    Projections(upkeep::Projections),
    /// Download data sets
    #[command(subcommand)]
    Dataset(upkeep::Dataset),
    /// Print the completions of a shell
    Completion(Completion),
}

/// Print the completions of a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES:
    canonry completion bash > ~/.local/share/bash-completion/completions/canonry
    canonry completion zsh > ~/.zfunc/_canonry")]
struct Completion {
    /// Which shell
    shell: clap_complete::Shell,
}

/// Runs the command line.
#[must_use]
pub fn main() -> ExitCode {
    let wrong = context::environment_problems(|name| std::env::var(name).ok());
    // Who asks for help is helped all the same.
    let asks = |word: &str| matches!(word, "-h" | "--help" | "-V" | "--version");
    let asks = std::env::args().any(|word| asks(&word));
    if !wrong.is_empty() && !asks {
        return end(Err(Failure::config(wrong.join("\n"))));
    }
    let cli = Cli::parse();
    // Until the end, so that the last spans leave.
    let _telemetry = canonry_telemetry::init("canonry");
    let context = Context { home: cli.home, json: cli.json, tls: cli.tls.into() };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return end(Err(Failure::unavailable(error))),
    };
    let done = runtime.block_on(Box::pin(dispatch(&context, cli.command)));
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    end(done)
}

/// Runs one command line in this process, without logging and exit codes of its own.
///
/// # Errors
/// As the command; a line that does not parse is a usage failure.
pub async fn run<W: Into<std::ffi::OsString> + Clone>(
    words: impl IntoIterator<Item = W>,
) -> Result<(), Failure> {
    let cli = Cli::try_parse_from(words).map_err(Failure::usage)?;
    let context = Context { home: cli.home, json: cli.json, tls: cli.tls.into() };
    Box::pin(dispatch(&context, cli.command)).await
}

fn end(done: Result<(), Failure>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.message.lines().for_each(|line| output::say(format!("canonry: {line}")));
            ExitCode::from(failure.exit)
        }
    }
}

async fn dispatch(context: &Context, command: Command) -> Result<(), Failure> {
    use read::Kind;
    match command {
        Command::Demo(args) => Box::pin(demo::run(args, context)).await,
        Command::Up(args) => Box::pin(up::run(context, args)).await,
        Command::Serve(command) => Box::pin(serve::run(context, command)).await,
        Command::Tenant(command) => Box::pin(tenant::run(context, command)).await,
        Command::Member(command) => Box::pin(member::run(context, command)).await,
        Command::Content(command) => Box::pin(content::run(context, command)).await,
        Command::Submit(args) => submit::submit(context, args).await,
        Command::Sign(args) => submit::sign(context, args),
        Command::Token(args) => submit::bearer(context, args),
        Command::Approve(args) => Box::pin(approve::approve(context, args)).await,
        Command::Reject(args) => Box::pin(approve::reject(context, args)).await,
        Command::Tickets(args) => read::run(context, Kind::Tickets, args).await,
        Command::Roles(args) => read::run(context, Kind::Roles, args).await,
        Command::Runs(args) => read::run(context, Kind::Runs, args).await,
        Command::Diff(args) => diff::run(context, args).await,
        Command::Events(command) => Box::pin(events::run(context, command)).await,
        Command::Actions(command) => Box::pin(actions::run(context, command)).await,
        Command::Budget(command) => Box::pin(budget::run(context, command)).await,
        Command::Spend(args) => Box::pin(budget::spend(context, args)).await,
        Command::Evidence(command) => Box::pin(evidence::run(context, command)).await,
        Command::Policy(command) => Box::pin(policy::run(context, command)).await,
        Command::Lease(command) => Box::pin(lease::run(context, command)).await,
        Command::Ledger(args) => Box::pin(ledger::run(context, args)).await,
        Command::Witness(command) => Box::pin(witness::run(context, command)).await,
        Command::Bench(args) => Box::pin(bench::run(context, args)).await,
        Command::Secrets(command) => Box::pin(secrets::run(context, command)).await,
        Command::Copy(args) => Box::pin(copy::run(context, args)).await,
        Command::Backup(command) => Box::pin(backup::run(context, command)).await,
        Command::Projections(upkeep::Projections::Rebuild(args)) => upkeep::rebuild(context, args),
        Command::Dataset(upkeep::Dataset::Fetch(args)) => upkeep::fetch(context, args).await,
        Command::Completion(args) => {
            let mut text = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "canonry", &mut text);
            output::line(String::from_utf8_lossy(&text).trim_end());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests;
