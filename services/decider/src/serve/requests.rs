//! Requests on `command.<tenant>.>`: handed to the tenant's holder, or refused while it is frozen.
//! Every request gets an answer. Nothing is decided here; look at [`crate::desk`] for that.

use std::sync::Arc;
use std::time::Duration;

use canonry_nats::{Bytes, Endpoint};
use canonry_schemas::answer::Answer;
use canonry_schemas::ids::TenantId;
use canonry_schemas::refusal::{Refusal, unrecorded};
use canonry_schemas::subject::Inbound;
use canonry_telemetry::Metrics;
use tokio::sync::mpsc;

use super::{Shop, told};
use crate::assign::Assignments;
use crate::desk::Asked;
use crate::holder::Message;
use crate::keeper::Keeper;
use crate::reply::Reply;

/// Hands requests to a holder, until the endpoint ends.
pub(super) async fn hand_in(
    mut endpoint: Endpoint,
    sender: mpsc::Sender<Message>,
    metrics: Metrics,
) {
    while let Some(incoming) = endpoint.next().await {
        let headers = incoming.headers.iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let asked = match asked(&incoming.subject, headers, incoming.body.clone()) {
            Ok(asked) => asked,
            Err(refusal) => {
                metrics.unrecorded(refusal.code());
                let answer = Answer::unrecorded(refusal.code(), refusal.message());
                incoming.respond(Bytes::from(answer.to_bytes()), &[]);
                continue;
            }
        };
        let reply = Reply::Request(Box::new(incoming));
        if let Err(refused) = sender.send((Arc::new(asked), reply)).await {
            refused.0.1.retry("the tenant is changing hands").await;
        }
    }
}

/// A request as the desk wants it. What names an actor goes there, whatever else its subject says,
/// and is refused on record; what names none can have no record.
fn asked(subject: &str, headers: Vec<(String, String)>, body: Bytes) -> Result<Asked, Refusal> {
    let inbound = Inbound::parse(subject).ok_or(Refusal::UnknownCommand)?;
    let Inbound { actor, aggregate, verb, .. } = inbound;
    Ok(Asked { actor, aggregate, verb, headers, body, timer: false })
}

/// Answers every command to a frozen tenant with its code, until it is repaired, this decider
/// stops, or another takes over.
pub(super) async fn refuse_frozen(
    shop: &Arc<Shop>,
    assignments: &Assignments,
    tenant: &TenantId,
    epoch: u64,
    keeper: &Keeper,
) -> Result<(), canonry_nats::Error> {
    let subject = format!("command.{tenant}.>");
    let (queue, name) = (format!("holders-{tenant}"), format!("command-{tenant}"));
    let mut endpoint = shop.micro.serve(&subject, &queue, &name).await?;
    let mut ended = shop.stop.subscribe();
    let mut look = tokio::time::interval(Duration::from_secs(2));
    let mut text = String::new();
    loop {
        tokio::select! {
            incoming = endpoint.next() => {
                let Some(incoming) = incoming else { break };
                let answer = Answer::unrecorded(unrecorded::FROZEN, text.as_str());
                shop.config.metrics.unrecorded(unrecorded::FROZEN);
                incoming.respond(Bytes::from(answer.to_bytes()), &[]);
            }
            _ = look.tick() => {
                match keeper.frozen().await {
                    Ok(Some(flag)) => {
                        text = format!("the ledger is broken at {}: {}", flag.position, flag.why);
                    }
                    Ok(None) => break,
                    Err(_) => {}
                }
                if let Ok(Some((a, _))) = assignments.read(tenant).await
                    && (a.epoch != epoch || a.decider != shop.config.name)
                {
                    break;
                }
            }
            () = told(&mut ended) => break,
        }
    }
    endpoint.stop();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_named_reaches_the_desk_and_nobody_else() {
        let read = |subject| asked(subject, Vec::new(), Bytes::new());
        for (subject, aggregate, verb) in [
            ("command.acme.ada", "", ""),
            ("command.acme.ada.ticket", "ticket", ""),
            ("command.acme.ada.ticket.open.wide", "ticket", "open.wide"),
        ] {
            let asked = read(subject).unwrap();
            assert_eq!(asked.actor.as_str(), "ada", "{subject}");
            assert_eq!((asked.aggregate.as_str(), asked.verb.as_str()), (aggregate, verb));
            assert_eq!(canonry_schemas::event::known(&asked.aggregate, &asked.verb), None);
        }
        for subject in ["command.acme", "command.acme.ADA.ticket.open", "command.acme.a b.x.y"] {
            assert_eq!(read(subject).unwrap_err(), Refusal::UnknownCommand, "{subject}");
        }
    }
}
