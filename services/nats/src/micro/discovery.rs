//! What `nats micro` asks: `$SRV.PING`, `$SRV.INFO`, `$SRV.STATS`, for all services, for one
//! name, for one instance.
//!
//! Every instance answers, so these subscriptions have no queue group. It only reads counters.
//! Next: [`super::endpoint`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use futures_util::StreamExt as _;
use futures_util::stream::select_all;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::Service;
use super::endpoint::Served;
use crate::connection::Connection;
use crate::error::Error;
use crate::stamp;

#[derive(Clone, Copy)]
enum Verb {
    Ping,
    Info,
    Stats,
}

pub(super) async fn start(
    conn: &Connection,
    service: Arc<Service>,
    mut ended: watch::Receiver<()>,
) -> Result<(), Error> {
    let mut subscriptions = Vec::with_capacity(9);
    for (verb, word) in [(Verb::Ping, "PING"), (Verb::Info, "INFO"), (Verb::Stats, "STATS")] {
        let all = format!("$SRV.{word}");
        let named = format!("{all}.{}", service.name);
        let one = format!("{named}.{}", service.id);
        for subject in [all, named, one] {
            let subscription = conn.subscribe_raw(&subject, None).await?;
            subscriptions.push(subscription.map(move |message| (verb, message)));
        }
    }
    let conn = conn.clone();
    let mut questions = select_all(subscriptions);
    tokio::spawn(async move {
        loop {
            let (verb, message) = tokio::select! {
                question = questions.next() => match question {
                    Some(question) => question,
                    None => break,
                },
                // Only ever an error: the last `Micro` is gone.
                _ = ended.changed() => break,
            };
            let Some(reply) = message.reply else { continue };
            let body = service.answer(verb).to_string().into();
            if let Err(error) = conn.publish_map(reply.as_str().to_owned(), None, None, body).await
            {
                tracing::debug!(%error, "discovery could not answer");
            }
        }
    });
    Ok(())
}

impl Service {
    fn answer(&self, verb: Verb) -> Value {
        let mut answer = json!({
            "name": self.name, "id": self.id, "version": self.version, "metadata": {},
        });
        let endpoints = self.endpoints();
        let live = endpoints.iter().filter(|served| !served.has_ended());
        match verb {
            Verb::Ping => answer["type"] = "io.nats.micro.v1.ping_response".into(),
            Verb::Info => {
                answer["type"] = "io.nats.micro.v1.info_response".into();
                answer["description"] = self.description.as_str().into();
                answer["endpoints"] = live.map(|served| info(served)).collect();
            }
            Verb::Stats => {
                answer["type"] = "io.nats.micro.v1.stats_response".into();
                answer["started"] = stamp::rfc3339(self.started).into();
                answer["endpoints"] = live.map(|served| stats(served)).collect();
            }
        }
        answer
    }
}

fn info(served: &Served) -> Value {
    json!({
        "name": served.name, "subject": served.subject, "queue_group": served.queue_group,
        "metadata": {},
    })
}

fn stats(served: &Served) -> Value {
    let requests = served.requests.load(Ordering::Relaxed);
    let nanos = served.busy_nanos.load(Ordering::Relaxed);
    json!({
        "name": served.name, "subject": served.subject, "queue_group": served.queue_group,
        "num_requests": requests, "num_errors": served.errors.load(Ordering::Relaxed),
        "last_error": served.last_error(), "processing_time": nanos,
        "average_processing_time": nanos.checked_div(requests).unwrap_or(0),
    })
}
