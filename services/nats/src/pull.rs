//! An ephemeral pull consumer that acknowledges nothing: the fast way to read a stream.
//!
//! Two pulls of [`BATCH`] messages (at most [`BATCH_BYTES`] bytes each) are kept open, which
//! bounds what waits in memory. The consumer lives in the server's memory and is removed there
//! [`INACTIVE`] after the last pull: users may not delete consumers. It never heals itself: when
//! the consumer is lost the reader says so, and the caller opens a new one where it stopped.
//!
//! Next: [`crate::log::read`], [`crate::kv`].

use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::connection::Connection;
use crate::error::{Error, ErrorKind};

/// Messages of one pull.
pub(crate) const BATCH: usize = 2_000;
/// Bytes of one pull; larger than any message.
pub(crate) const BATCH_BYTES: usize = 8 * 1024 * 1024;
const INACTIVE: Duration = Duration::from_secs(30);
const EXPIRES: Duration = Duration::from_secs(30);
const HEARTBEAT: Duration = Duration::from_secs(3);
/// Longer than two heartbeats without a word: the consumer is gone.
const SILENCE: Duration = Duration::from_secs(8);

/// What the reply subject of a delivered message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) delivered: u64,
    pub(crate) seq: u64,
    pub(crate) nanos: i128,
    /// Messages of the consumer that follow this one.
    pub(crate) pending: u64,
}

impl Place {
    /// Parses `$JS.ACK.[<domain>.<account>.]<stream>.<consumer>.<delivered>.<seq>.<consumer
    /// seq>.<nanos>.<pending>[.<random>]`.
    pub(crate) fn parse(reply: &str) -> Option<Self> {
        // One more than the longest form that is known: this is read for every message.
        let mut tokens = [""; 12];
        let mut count = 0;
        for token in reply.strip_prefix("$JS.ACK.")?.split('.').take(tokens.len()) {
            tokens[count] = token;
            count += 1;
        }
        let at = match count {
            7 => 2,
            9.. => 4,
            _ => return None,
        };
        let number = |i: usize| tokens[at + i].parse::<u64>().ok();
        Some(Self {
            delivered: number(0)?,
            seq: number(1)?,
            nanos: tokens[at + 3].parse().ok()?,
            pending: number(4)?,
        })
    }
}

/// Which messages to read.
pub(crate) struct Wanted<'a> {
    pub(crate) stream: &'a str,
    /// Names of consumers are `<prefix>-<unique>`.
    pub(crate) prefix: &'a str,
    pub(crate) filter: Option<&'a str>,
    /// `deliver_policy` and what belongs to it; `headers_only` and the like.
    pub(crate) deliver: Value,
}

/// A message and where it stands; `None` when there is nothing for now, and the consumer lives.
pub(crate) type Pulled = Option<(async_nats::Message, Place)>;

pub(crate) struct Puller {
    conn: Connection,
    subscriber: async_nats::Subscriber,
    pull_subject: String,
    inbox: String,
    request: Bytes,
    /// Messages asked for that have not come yet.
    outstanding: usize,
    /// What the consumer had to deliver when it was made.
    pub(crate) pending_at_start: u64,
}

impl Puller {
    pub(crate) async fn start(conn: &Connection, wanted: Wanted<'_>) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Created {
            #[serde(default)]
            num_pending: u64,
        }
        let name = format!("{}-{}", wanted.prefix, conn.fresh_token());
        let stream = wanted.stream;
        let mut config = wanted.deliver;
        let fixed = json!({
            "name": name, "ack_policy": "none", "replay_policy": "instant", "mem_storage": true,
            "num_replicas": 1, "inactive_threshold": nanos(INACTIVE), "max_deliver": -1,
        });
        if let (Some(config), Value::Object(fixed)) = (config.as_object_mut(), fixed) {
            config.extend(fixed);
            if let Some(filter) = wanted.filter {
                config.insert("filter_subject".to_owned(), filter.into());
            }
        }
        let tail = wanted.filter.map(|f| format!(".{f}")).unwrap_or_default();
        let subject = format!("CONSUMER.CREATE.{stream}.{name}{tail}");
        let body = json!({ "stream_name": stream, "config": config, "action": "create" });
        let created: Created = serde_json::from_value(conn.js_request(&subject, &body).await?)
            .map_err(|e| Error::with(ErrorKind::Malformed, subject, e))?;
        let inbox = conn.fresh_inbox();
        let request = json!({
            "batch": BATCH, "max_bytes": BATCH_BYTES,
            "expires": nanos(EXPIRES), "idle_heartbeat": nanos(HEARTBEAT),
        });
        Ok(Self {
            subscriber: conn.subscribe_raw(&inbox, None).await?,
            conn: conn.clone(),
            pull_subject: conn.js_subject(&format!("CONSUMER.MSG.NEXT.{stream}.{name}")),
            inbox,
            request: request.to_string().into(),
            outstanding: 0,
            pending_at_start: created.num_pending,
        })
    }

    /// The next message, or `None` every few seconds while there is none.
    pub(crate) async fn next(&mut self) -> Result<Pulled, Error> {
        loop {
            while self.outstanding <= BATCH {
                let (subject, reply) = (self.pull_subject.clone(), Some(self.inbox.clone()));
                self.conn.publish_map(subject, reply, None, self.request.clone()).await?;
                self.outstanding += BATCH;
            }
            // A timer is set only when nothing waits: it would cost more than the message.
            let arrived = match self.subscriber.next().now_or_never() {
                Some(arrived) => arrived,
                None => tokio::time::timeout(SILENCE, self.subscriber.next())
                    .await
                    .map_err(|e| Error::with(ErrorKind::TimedOut, self.pull_subject.as_str(), e))?,
            };
            let Some(message) = arrived else {
                return Err(Error::new(ErrorKind::Closed, self.pull_subject.as_str()));
            };
            match message.status {
                None => {
                    self.outstanding = self.outstanding.saturating_sub(1);
                    let place = message.reply.as_deref().and_then(Place::parse);
                    let place = place.ok_or_else(|| {
                        Error::new(ErrorKind::Malformed, "reply subject of a delivered message")
                    })?;
                    return Ok(Some((message, place)));
                }
                Some(status) => {
                    if self.is_idle(status.as_u16(), &message)? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// Takes a status message: a heartbeat, the end of a pull, or the end of the consumer.
    fn is_idle(&mut self, status: u16, message: &async_nats::Message) -> Result<bool, Error> {
        let text = message.description.as_deref().unwrap_or_default();
        let ends_a_pull = match status {
            100 => return Ok(true),
            404 | 408 => true,
            409 => text.contains("MaxBytes") || text.contains("Batch Completed"),
            _ => false,
        };
        if !ends_a_pull {
            let kind = if status == 503 { ErrorKind::NoResponders } else { ErrorKind::Malformed };
            let context = format!("{}: {status} {text}", self.pull_subject);
            return Err(Error::new(kind, context));
        }
        let left = message.headers.as_ref().and_then(|h| h.get("Nats-Pending-Messages"));
        let left = left.and_then(|v| v.as_str().parse::<usize>().ok()).unwrap_or(BATCH);
        self.outstanding = self.outstanding.saturating_sub(left);
        Ok(status != 409)
    }
}

/// Nanoseconds as the server's JSON wants them.
pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::Place;

    #[test]
    fn both_forms_of_reply_subject() {
        let want = Some(Place { delivered: 1, seq: 7, nanos: 99, pending: 3 });
        assert_eq!(Place::parse("$JS.ACK.S.c.1.7.5.99.3"), want);
        assert_eq!(Place::parse("$JS.ACK._.hash.S.c.1.7.5.99.3.rnd"), want);
        assert_eq!(Place::parse("$JS.ACK.S.c.1.7.5.99"), None);
        assert_eq!(Place::parse("_INBOX.x"), None);
    }
}
