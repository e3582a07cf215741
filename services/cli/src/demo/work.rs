//! The work: a ticket per incident, a run, a proposal, a person at the gate, the end. Tickets go
//! their way side by side, bounded; each goes step by step.

use std::io::{BufRead as _, Write as _};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use canonry_record::Hash;
use canonry_record::jws::Decision;
use canonry_schemas::answer::Answer;
use canonry_triage::baseline::Model;
use canonry_triage::facts::Facts;
use canonry_triage::log::{Incident, IncidentLog};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use indicatif::ProgressBar;
use serde_json::json;

use super::Args;
use super::setup::Demo;
use crate::client::new_intent;
use crate::failure::Failure;
use crate::progress::Bars;

/// Tickets that are worked at side by side.
const SIDE_BY_SIDE: usize = 512;

/// What was sent and how long it took.
#[derive(Debug)]
pub struct Worked {
    /// Commands sent, each counted once.
    pub sent: usize,
    /// Seconds from the first ticket to the last answer.
    pub seconds: f64,
    /// Approvals asked for.
    pub asked: usize,
    /// Approvals given.
    pub approved: usize,
    /// Approvals refused by the person.
    pub rejected: usize,
}

#[derive(Default)]
struct Tally {
    asked: AtomicUsize,
    approved: AtomicUsize,
    rejected: AtomicUsize,
}

/// Does all tickets.
///
/// # Errors
/// A command that was refused or not answered.
pub async fn all(
    demo: &Demo,
    log: &IncidentLog,
    incidents: &[&Incident],
    model: &Model,
    args: &Args,
    bars: Bars,
) -> Result<Worked, Failure> {
    let begun = Instant::now();
    let bar = bars.count("tickets", incidents.len() as u64);
    let tally = Tally::default();
    let width = if args.interactive { 1 } else { SIDE_BY_SIDE };
    stream::iter(incidents.iter().map(|incident| {
        let facts = log.facts(incident).without_group();
        Box::pin(one(demo, facts, model, args, &tally, &bar))
    }))
    .buffer_unordered(width)
    .try_collect::<()>()
    .await?;
    drop(bar);
    Ok(Worked {
        sent: demo.sent.load(Ordering::Relaxed),
        seconds: begun.elapsed().as_secs_f64(),
        asked: tally.asked.into_inner(),
        approved: tally.approved.into_inner(),
        rejected: tally.rejected.into_inner(),
    })
}

fn id(answer: &Answer, what: &str) -> Result<String, Failure> {
    let entity = answer.entity.as_deref().filter(|_| answer.ok);
    let id = entity.and_then(|e| e.split_once('/')).map(|(_, id)| id.to_owned());
    id.ok_or_else(|| Failure::refused(format!("{what}: {:?} {:?}", answer.code, answer.message)))
}

async fn one(
    demo: &Demo,
    facts: Facts,
    model: &Model,
    args: &Args,
    tally: &Tally,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let priority = u8::from(facts.priority());
    let note = serde_json::to_string(&facts).map_err(Failure::refused)?;
    let open = json!({
        "title": format!("Incident {}", facts.number), "note": note, "priority": priority,
        "role": demo.role, "external": facts.number
    });
    let ticket = id(&demo.send(&demo.operator, "ticket", "open", &open).await?, "open")?;
    let (worker, proposal) = (&demo.worker, model.propose(&facts));
    let start = json!({ "ticket": ticket });
    let run = id(&demo.send(worker, "run", "start", &start).await?, "start")?;
    let step = json!({
        "id": run, "name": "propose-group", "outcome": "done", "summary": proposal.group,
        "confidence": proposal.confidence
    });
    let step = demo.send(worker, "run", "record-step", &step).await?;
    id(&step, "record-step")?;
    let mut yes = true;
    if priority <= 2 || proposal.confidence < args.threshold {
        tally.asked.fetch_add(1, Ordering::Relaxed);
        let reason = format!(
            "priority {priority}, proposed {} with confidence {} per mille",
            proposal.group, proposal.confidence
        );
        let ask = json!({ "id": ticket, "reason": reason });
        let asked = demo.send(worker, "ticket", "request-approval", &ask).await?;
        id(&asked, "request-approval")?;
        yes = if args.interactive { ask_person(&facts.number, &reason, bar).await? } else { true };
        answer(demo, &ticket, &asked, yes).await?;
        let count = if yes { &tally.approved } else { &tally.rejected };
        count.fetch_add(1, Ordering::Relaxed);
    }
    id(&demo.send(worker, "run", "complete", &json!({ "id": run })).await?, "run complete")?;
    if yes {
        let evidence = step.receipt.unwrap_or_default();
        let done = json!({ "id": ticket, "evidence": evidence, "result": proposal.group });
        id(&demo.send(worker, "ticket", "complete", &done).await?, "complete")?;
    }
    bar.inc(1);
    Ok(())
}

/// The approver's answer, signed over the record that asked.
async fn answer(demo: &Demo, ticket: &str, asked: &Answer, yes: bool) -> Result<(), Failure> {
    let bad = || Failure::refused("the answer to request-approval has no receipt");
    let receipt = asked.receipt.as_deref().ok_or_else(bad)?;
    let mut parts = receipt.split('/').skip(1);
    let position: u64 = parts.next().and_then(|p| p.parse().ok()).ok_or_else(bad)?;
    let hash: Hash = parts.next().and_then(|h| h.parse().ok()).ok_or_else(bad)?;
    let (intent, pen) = (new_intent()?, demo.approver.pen()?);
    let decision = if yes { Decision::Approve } else { Decision::Reject };
    let entity = format!("ticket/{ticket}");
    let approval = pen.approval(&entity, decision, (position, hash), &intent);
    let (verb, body) = if yes {
        ("approve", json!({ "id": ticket, "approval": approval }))
    } else {
        ("reject", json!({ "id": ticket, "approval": approval, "reason": "rejected in the demo" }))
    };
    id(&demo.send_as(&demo.approver, "ticket", verb, &body, &intent).await?, verb).map(drop)
}

async fn ask_person(number: &str, reason: &str, bar: &ProgressBar) -> Result<bool, Failure> {
    let question = format!("{number}: {reason}. Approve? [y/n] ");
    let bar = bar.clone();
    let asked = tokio::task::spawn_blocking(move || {
        bar.suspend(|| {
            let mut line = String::new();
            loop {
                // Not locked any longer while the person thinks: others log.
                std::io::stderr().write_all(question.as_bytes())?;
                line.clear();
                if std::io::stdin().lock().read_line(&mut line)? == 0 {
                    return Err(std::io::Error::other("the terminal was closed"));
                }
                match line.trim() {
                    "y" | "yes" => return Ok(true),
                    "n" | "no" => return Ok(false),
                    _ => {}
                }
            }
        })
    });
    asked.await.map_err(Failure::refused)?.map_err(Failure::refused)
}
