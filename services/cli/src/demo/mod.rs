//! `canonry demo`: the main job, end to end, on a server of its own. Every figure printed is
//! measured. The worker and the approver use their own creds over NATS; what is counted is read
//! back from the stream and from a read model that is rebuilt from it.
//!
//! [`setup`] makes the cell and hires, [`work`] does the tickets, [`check`] reads it all back.

mod check;
mod kept;
mod people;
pub(crate) mod report;
mod setup;
mod work;

use std::path::PathBuf;
use std::time::Instant;

use canonry_triage::baseline::{Mode, Model};
use canonry_triage::locate::{Located, Places, locate};
use canonry_triage::log::{Incident, IncidentLog};
use canonry_triage::split::Split;

use crate::context::{Context, both};
use crate::failure::Failure;
use crate::output;
use crate::serve::StopSignals;

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
With --keep, a `canonry up` of its own runs the cell on when the demo has ended; what is printed \
last names its process and the line that stops it.
Exit codes: 0 everything adds up; 1 it does not; 64 no such log, or an earlier demo was kept; \
69 no server.

EXAMPLES:
    canonry demo
    canonry demo --keep
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
    /// Keep the cell in `.canonry-demo`, leave it running, and say how to look and how to stop it
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
pub async fn run(args: Args, context: &Context) -> Result<(), Failure> {
    let stop = StopSignals::hear()?;
    tokio::select! {
        done = Box::pin(whole(args, context)) => done,
        // What was made is taken away on the way out.
        () = stop.wait() => Err(Failure::refused("interrupted")),
    }
}

async fn whole(args: Args, context: &Context) -> Result<(), Failure> {
    let (begun, bars) = (Instant::now(), context.bars());
    let free = if args.keep { setup::nothing_kept() } else { Ok(()) };
    let place = locate(&Places::from_env(args.incident_log.clone()))
        .map_err(|e| Failure::config(format!("--incident-log: {}", crate::chain(&e))));
    // Made at once: that it cannot be written is not to be learnt after the work.
    let export = args.export.as_deref().map(check::export_file).transpose();
    let ((place, ()), export) = both(both(place, free), export)?;
    output::say(&place);
    let reading = bars.spinner("reading and learning");
    let log = place.read().map_err(|e| Failure::config(crate::chain(&e)))?;
    let split = Split::of(&log.incidents);
    let train = |mode| {
        Model::train(mode, &log, &split.training)
            .map_err(|_| Failure::refused("the log has too few incidents to learn from"))
    };
    let (without, with) = (train(Mode::WithoutGroup)?, train(Mode::WithGroup)?);
    let chosen = choose(&log, &split, args.incidents);
    drop(reading);

    let starting = bars.spinner("starting nats-server, founding, hiring");
    let mut demo = setup::Demo::start(args.keep).await?;
    drop(starting);
    let worked = work::all(&demo, &log, &chosen, &without, &args, bars).await?;
    demo.stop_decider().await;
    let checked = check::all(&demo, export, bars).await?;
    let server_memory_kb = demo.server_pid().and_then(|pid| report::peak_kb(&pid.to_string()));
    let (home, tenant) = (demo.home(), demo.tenant.clone());
    demo.end().await?;
    let kept = if args.keep { Some(kept::run_on(&home, tenant.as_str()).await?) } else { None };

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
        server_memory_kb,
        seconds: begun.elapsed().as_secs_f64(),
        kept,
    };
    report.tell(context.json)
}

fn choose<'l>(log: &'l IncidentLog, split: &Split<'l>, count: Count) -> Vec<&'l Incident> {
    match count {
        Count::All => log.incidents.iter().collect(),
        Count::Some(n) => split.held_out.iter().copied().take(n).collect(),
    }
}
