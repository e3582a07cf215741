//! cqrs-es's `CqrsFramework::execute` over the ledger: the holder decides, chains and signs.

use std::collections::HashMap;

use canonry_decider::entrance::{ACTOR, BODY, LedgerStore, RECEIPT, VERB};
use canonry_decider::hosted::Refused;
use canonry_domain::ticket::Tickets;
use canonry_schemas::refusal::Refusal;
use canonry_schemas::text::Content;
use canonry_schemas::ticket::{self, Command};
use cqrs_es::{AggregateError, CqrsFramework, EventStore as _};
use serde_json::json;

use crate::faults::load;
use crate::harness::{Spine, intent};

async fn store(spine: &Spine) -> LedgerStore<Tickets> {
    let holder = spine.decider.as_ref().unwrap().inbox(&spine.tenant).unwrap();
    LedgerStore::new(spine.log().await, spine.tenant.clone(), holder)
}

fn metadata(id: &str, verb: &str, body: &serde_json::Value) -> HashMap<String, String> {
    [(ACTOR, "founder"), (VERB, verb), (BODY, &body.to_string()), ("Canonry-Intent-Id", id)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_framework_executes_over_the_ledger() {
    let mut spine = Spine::start().await;
    load(&spine, 3).await;
    let framework = CqrsFramework::new(store(&spine).await, Vec::new(), ());
    let reading = store(&spine).await;
    let founder = "founder".parse().unwrap();

    let open = |title: &str| ticket::Open {
        title: Content(title.to_owned()),
        note: None,
        priority: None,
        due: None,
        role: None,
        approval_required: false,
        external: None,
    };
    let id = intent();
    let facts = reading.facts(&founder, &id).await.unwrap();
    let sent = metadata(id.as_str(), "open", &json!({"title": "by the framework"}));
    let command = || (facts.clone(), Command::Open(open("by the framework")));
    framework.execute_with_metadata("", command(), sent.clone()).await.unwrap();
    // The same intent again is the same record.
    framework.execute_with_metadata("", command(), sent).await.unwrap();

    let head = spine.log().await.info().await.unwrap().last_seq;
    let record = spine.ledger().await.remove(head as usize - 1);
    assert_eq!(record["intentid"], id.as_str());
    let ticket = record["entity"].as_str().unwrap().strip_prefix("ticket/").unwrap().to_owned();
    let events = reading.load_events(&ticket).await.unwrap();
    assert_eq!(events.len(), 1);
    assert!(events[0].metadata[RECEIPT].starts_with(&format!("acme/{head}/")));

    // The holder decides with what it knows, whatever facts the caller made up.
    let (id, body) = (intent(), json!({"id": ticket}));
    let mut facts = reading.facts(&founder, &id).await.unwrap();
    facts.intent = id.to_string();
    let start = Command::Start(ticket::Start { id: ticket.parse().unwrap() });
    let sent = metadata(id.as_str(), "start", &body);
    framework.execute_with_metadata(&ticket, (facts.clone(), start.clone()), sent).await.unwrap();
    let sent = metadata(intent().as_str(), "start", &body);
    let again = framework.execute_with_metadata(&ticket, (facts, start), sent).await;
    assert!(
        matches!(again, Err(AggregateError::UserError(Refused(Refusal::TicketStarted)))),
        "{again:?}"
    );
    assert_eq!(reading.load_events(&ticket).await.unwrap().len(), 2);
    drop((framework, reading));
    spine.stop().await;
    assert_eq!(spine.kinds().await["canonry.ticket.opened.v1"], 4);
}
