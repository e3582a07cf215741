//! A closed loop of commands: so many in flight, each sender waiting for its answer. In this
//! process they go straight into the holder's queue; over NATS they come from another process.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use canonry_decider::desk::Asked;
use canonry_decider::holder::Message;
use canonry_decider::reply::Reply;
use canonry_keystore::KeyStore;
use canonry_nats::{Bytes, Connect, Connection};
use canonry_schemas::answer::Answer;
use canonry_schemas::header::INTENT_ID;
use canonry_schemas::ids::{ActorId, TenantId};
use canonry_schemas::subject::{Inbound, Way};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::cell::{Bench, PEOPLE, failed, person};
use super::stats::{Sample, micros};
use crate::client::new_intent;
use crate::failure::{Failure, chain};

/// How long an answer may take before the bench gives up.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long senders run before anything is counted.
const WARM: Duration = Duration::from_millis(500);

/// Where commands go.
#[derive(Clone)]
pub enum Door {
    /// Into a holder's queue.
    Local(mpsc::Sender<Message>),
    /// A connection of one person.
    Nats(Connection, TenantId),
}

fn body(worker: usize, n: u64) -> Bytes {
    let body = serde_json::json!({
        "title": format!("Printer {worker} on floor {n} is out of toner"),
        "priority": 3, "external": format!("INC{worker:04}{n:08}"),
    });
    Bytes::from(body.to_string())
}

impl Door {
    async fn open_ticket(&self, by: &ActorId, worker: usize, n: u64) -> Result<Answer, Failure> {
        let intent = new_intent()?;
        let (aggregate, verb) = ("ticket".to_owned(), "open".to_owned());
        let body = body(worker, n);
        match self {
            Self::Local(holder) => {
                let (to, answer) = oneshot::channel();
                let headers = vec![(INTENT_ID.to_owned(), intent.to_string())];
                let actor = by.clone();
                let asked = Asked { actor, aggregate, verb, headers, body, timer: false };
                let sent = holder.send((Arc::new(asked), Reply::Local(to))).await;
                sent.map_err(|_| failed("the holder is gone"))?;
                let answer = tokio::time::timeout(PATIENCE, answer).await;
                answer.map_err(failed)?.map_err(failed)
            }
            Self::Nats(connection, tenant) => {
                let (tenant, actor) = (tenant.clone(), by.clone());
                let to = Inbound { way: Way::Command, tenant, actor, aggregate, verb };
                let headers = [(INTENT_ID, intent.as_str())];
                let reply = connection.request(&to.print(), &headers, body, PATIENCE).await;
                let reply = reply.map_err(|e| failed(chain(&e)))?;
                serde_json::from_slice(&reply.body).map_err(Failure::refused)
            }
        }
    }
}

/// Sends through these doors, with so many in flight over all of them, for so long; on a machine that
/// is too busy to answer one of them, until one was answered. What is answered in that time counts,
/// whenever it was sent.
///
/// # Errors
/// A command was not answered, or refused.
pub async fn closed_loop(
    doors: Vec<Door>,
    in_flight: usize,
    seconds: Duration,
) -> Result<Sample, Failure> {
    let begun = Instant::now() + WARM;
    let end = begun + seconds;
    let answers = Arc::new(AtomicU64::new(0));
    let mut senders = JoinSet::new();
    for worker in 0..in_flight {
        let door = doors[worker % doors.len()].clone();
        // Over NATS each door is a person's.
        let by = match &door {
            Door::Local(_) => person(worker / doors.len()),
            Door::Nats(..) => person(worker % doors.len()),
        };
        let answers = Arc::clone(&answers);
        senders.spawn(async move {
            let (mut taken, mut last) = (Vec::new(), end);
            for n in 0.. {
                let sent = Instant::now();
                let enough = || answers.load(Ordering::Relaxed) > 0;
                if sent >= end && enough() {
                    break;
                }
                accepted(door.open_ticket(&by, worker, n).await?)?;
                let answered = Instant::now();
                if answered >= begun && (answered <= end || !enough()) {
                    answers.fetch_add(1, Ordering::Relaxed);
                    taken.push(micros(answered - sent));
                    last = last.max(answered);
                }
            }
            Ok::<_, Failure>((taken, last))
        });
    }
    let (mut all, mut last) = (Vec::new(), end);
    while let Some(done) = senders.join_next().await {
        let (taken, until) = done.map_err(failed)??;
        all.extend(taken);
        last = last.max(until);
    }
    Ok(Sample::of(all, last - begun))
}

/// Opens `each` tickets through every door, with so many in flight over all of them.
///
/// # Errors
/// As [`closed_loop`].
pub async fn fill(
    doors: &[Door],
    in_flight: usize,
    each: u64,
    bar: &indicatif::ProgressBar,
) -> Result<(), Failure> {
    let mut senders = JoinSet::new();
    let of_door = (in_flight / doors.len()).max(1) as u64;
    for (number, door) in doors.iter().enumerate() {
        for nth in 0..of_door {
            let (door, bar) = (door.clone(), bar.clone());
            let count = each / of_door + u64::from(nth < each % of_door);
            let (by, worker) = (person(nth as usize), number * of_door as usize + nth as usize);
            senders.spawn(async move {
                for n in 0..count {
                    accepted(door.open_ticket(&by, worker, n).await?)?;
                    bar.inc(1);
                }
                Ok::<(), Failure>(())
            });
        }
    }
    while let Some(done) = senders.join_next().await {
        done.map_err(failed)??;
    }
    Ok(())
}

fn accepted(answer: Answer) -> Result<(), Failure> {
    if answer.ok {
        return Ok(());
    }
    let why = (answer.code, answer.message);
    Err(Failure::refused(format!("a command was refused: {why:?}")))
}

/// The other process's command line.
#[derive(Debug, clap::Args)]
pub struct Drive {
    #[arg(long)]
    url: String,
    #[arg(long)]
    keys: PathBuf,
    #[arg(long)]
    of: TenantId,
    #[arg(long)]
    in_flight: usize,
    #[arg(long)]
    seconds: u64,
}

/// Runs in the other process.
///
/// # Errors
/// As [`closed_loop`].
pub(super) async fn drive(args: Drive) -> Result<(), Failure> {
    let keys = KeyStore::open(&args.keys).map_err(Failure::config)?;
    let mut doors = Vec::new();
    for n in 0..PEOPLE {
        let actor = person(n);
        let creds = keys.read_text(&keys.tenant_creds_path(&args.of, &actor));
        let mut connect = Connect::new(args.url.as_str(), actor.as_str());
        connect.creds = Some(creds.map_err(Failure::config)?.to_string());
        connect.inbox_prefix = format!("_INBOX.{actor}");
        let connection = Connection::connect(connect).await.map_err(|e| failed(chain(&e)))?;
        doors.push(Door::Nats(connection, args.of.clone()));
    }
    let sample = closed_loop(doors, args.in_flight, Duration::from_secs(args.seconds)).await?;
    crate::output::json(&sample)
}

/// Runs [`drive`] in a process of its own.
///
/// # Errors
/// It failed; what it said is in the message.
pub async fn from_another_process(
    bench: &Bench,
    tenant: &TenantId,
    in_flight: usize,
    seconds: Duration,
) -> Result<Sample, Failure> {
    let program = std::env::current_exe().map_err(failed)?;
    let mut command = tokio::process::Command::new(program);
    command.args(["bench", "drive", "--url", &bench.server.url(), "--of", tenant.as_str()]);
    command.arg("--keys").arg(bench.home());
    command.args(["--in-flight", &in_flight.to_string()]);
    command.args(["--seconds", &seconds.as_secs().to_string()]);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await.map_err(failed)?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(failed(format!("the sending process failed: {}", said.trim())));
    }
    serde_json::from_slice(&output.stdout).map_err(failed)
}
