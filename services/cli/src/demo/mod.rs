//! `canonry demo`: the main job, end to end, on a server of its own. Every figure printed is
//! measured. The worker and the approver use their own creds over NATS; what is counted is read
//! back from the stream and from a read model that is rebuilt from it.
//!
//! [`setup`] makes the cell and hires, [`work`] does the tickets, [`check`] reads it all back.

mod check;
mod people;
mod report;
mod setup;
mod work;

use std::path::PathBuf;
use std::time::Instant;

use canonry_triage::baseline::{Mode, Model};
use canonry_triage::locate::{Located, Places, locate};
use canonry_triage::log::{Incident, IncidentLog};
use canonry_triage::split::Split;

use crate::failure::Failure;
use crate::output;

/// How many incidents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Count {
    /// All of the log.
    All,
    /// This many of the held-out part.
    Some(usize),
}

impl std::str::FromStr for Count {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        if s == "all" {
            return Ok(Self::All);
        }
        match s.parse() {
            Ok(n) if n > 0 => Ok(Self::Some(n)),
            _ => Err("a number above 0, or `all`".to_owned()),
        }
    }
}

/// Runs the main job: triage of an incident log, from intent to verified ledger.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
EXAMPLES:
    canonry demo
    canonry demo --incidents all --yes
    canonry demo --incident-log incident_event_log.csv.gz --export demo.jsonl
    canonry demo --interactive --incidents 20")]
pub struct Args {
    /// The UCI incident log (.csv or .csv.gz); else $CANONRY_DATA, the cache, or a small sample
    #[arg(long, value_name = "PATH")]
    pub incident_log: Option<PathBuf>,
    /// How many incidents: a number of the held-out part, or `all`
    #[arg(long, default_value = "500", value_name = "N|all")]
    pub incidents: Count,
    /// Ask at the terminal for each approval
    #[arg(long, conflicts_with = "yes")]
    pub interactive: bool,
    /// Answer every approval with the demo approver's key (the default)
    #[arg(long)]
    pub yes: bool,
    /// Ask for approval below this confidence, per mille
    #[arg(long, default_value_t = 500, value_name = "PER_MILLE")]
    pub threshold: u16,
    /// Leave the server running in `.canonry-demo` and say how to look
    #[arg(long)]
    pub keep: bool,
    /// Write the ledger as JSON Lines
    #[arg(long, value_name = "FILE")]
    pub export: Option<PathBuf>,
}

/// Runs the demo.
///
/// # Errors
/// Anything that does not add up: the exit code is 1.
pub async fn run(args: Args, json: bool) -> Result<(), Failure> {
    let begun = Instant::now();
    let place = locate(&Places::from_env(args.incident_log.clone()))
        .map_err(|e| Failure::config(crate::chain(&e)))?;
    output::say(&place);
    let log = place.read().map_err(|e| Failure::config(crate::chain(&e)))?;
    let split = Split::of(&log.incidents);
    let train = |mode| {
        Model::train(mode, &log, &split.training)
            .map_err(|_| Failure::refused("the log has too few incidents to learn from"))
    };
    let (without, with) = (train(Mode::WithoutGroup)?, train(Mode::WithGroup)?);
    let chosen = choose(&log, &split, args.incidents);

    let mut demo = setup::Demo::start(args.keep).await?;
    let worked = work::all(&demo, &log, &chosen, &without, &args).await?;
    demo.stop_decider().await;
    let checked = check::all(&demo, args.export.as_deref()).await?;

    let scored: Vec<&Incident> = match args.incidents {
        Count::All => split.held_out.clone(),
        Count::Some(_) => chosen.clone(),
    };
    let report = report::Report {
        data: place.to_string(),
        sample: matches!(place, Located::Sample),
        incidents: chosen.len(),
        worked,
        checked,
        without: without.score(&log, &scored),
        with: with.score(&log, &scored),
        memory_kb: report::peak_kb("self"),
        server_memory_kb: demo.server_pid().and_then(|pid| report::peak_kb(&pid.to_string())),
        seconds: begun.elapsed().as_secs_f64(),
        kept: args.keep.then(|| demo.home()),
    };
    let told = report.tell(json);
    demo.end(args.keep).await;
    told
}

fn choose<'l>(log: &'l IncidentLog, split: &Split<'l>, count: Count) -> Vec<&'l Incident> {
    match count {
        Count::All => log.incidents.iter().collect(),
        Count::Some(n) => split.held_out.iter().copied().take(n).collect(),
    }
}
