//! Whom to answer, and how: a request over NATS, a durable intent, a caller in this process, or
//! nobody.

use std::time::Duration;

use canonry_nats::{Bytes, Connection, Incoming, Job};
use canonry_schemas::answer::Answer;
use canonry_schemas::refusal::unrecorded;
use tokio::sync::oneshot;

/// Whom to answer.
pub enum Reply {
    /// A request.
    Request(Box<Incoming>),
    /// A durable intent: the outcome is published, then the job acknowledged.
    Intent {
        /// The job.
        job: Box<Job>,
        /// Where the outcome goes.
        subject: String,
        /// The responder's connection.
        by: Connection,
    },
    /// A caller in this process.
    Local(oneshot::Sender<Answer>),
    /// Nobody.
    Nobody,
}

impl Reply {
    /// Answers what was decided, or never will be.
    pub async fn answer(self, answer: &Answer) {
        match self {
            Self::Request(request) => {
                request.respond(Bytes::from(answer.to_bytes()), &[]);
            }
            Self::Intent { job, subject, by } => {
                if let Err(error) = by.publish(&subject, &[], Bytes::from(answer.to_bytes())).await
                {
                    tracing::debug!(%error, "an outcome could not be sent");
                }
                if let Err(error) = job.ack().await {
                    tracing::debug!(%error, "an intent could not be acknowledged");
                }
            }
            Self::Local(to) => drop(to.send(answer.clone())),
            Self::Nobody => {}
        }
    }

    /// Answers that it is not let in now. A durable intent was promised to be decided: it goes
    /// back into its queue and comes `again` later.
    pub async fn turn_away(self, answer: &Answer, again: Duration) {
        match self {
            Self::Intent { job, .. } => {
                if let Err(error) = job.nak(again).await {
                    tracing::debug!(%error, "an intent could not be put back");
                }
            }
            other => other.answer(answer).await,
        }
    }

    /// Answers `retry`: nothing was decided for good. A durable intent stays in its queue.
    pub async fn retry(self, why: &str) {
        match self {
            Self::Intent { .. } | Self::Nobody => {}
            other => other.answer(&Answer::unrecorded(unrecorded::RETRY, why)).await,
        }
    }
}
