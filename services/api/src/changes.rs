//! `GET /changes`: the metadata of new records as server-sent events. Each carries its position
//! as id, so `Last-Event-ID` resumes without loss; the stream ends with the token or the member.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event as Sse, KeepAlive};
use axum::response::{IntoResponse as _, Response, Sse as Stream};
use canonry_projections::{EventFilter, PageRequest, rows};
use canonry_schemas::refusal::Refusal;
use canonry_telemetry::Streams;
use futures_util::stream;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};

use crate::Api;
use crate::auth::{Caller, Claims, single};
use crate::problem::{Problem, STREAMS_FULL};
use crate::projections::{Projections, ReadError};
use crate::query::Changes;
use crate::read::Asked;

const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
/// Records that are read ahead of a slow client.
const AHEAD: usize = 100;

struct Tail {
    projections: Arc<Projections>,
    caller: Caller,
    filter: EventFilter,
    last: u64,
    moved: watch::Receiver<u64>,
    rows: VecDeque<rows::Event>,
    until: Instant,
    /// Held as long as the stream is open.
    _place: (OwnedSemaphorePermit, Streams),
}

impl Tail {
    async fn next(mut self) -> Option<(Result<Sse, Infallible>, Self)> {
        loop {
            if Instant::now() >= self.until {
                return None;
            }
            if let Some(row) = self.rows.pop_front() {
                return Some((Ok(event(&row)), self));
            }
            self.moved.borrow_and_update();
            if !self.fetch().await.ok()? {
                return None;
            }
            if self.rows.is_empty() {
                timeout_at(self.until, self.moved.changed()).await.ok()?.ok()?;
            }
        }
    }

    /// Reads what is new; `false` when the caller may no longer read.
    async fn fetch(&mut self) -> Result<bool, ReadError> {
        let (actor, key) = (self.caller.actor.clone(), self.caller.key.clone());
        let filter = EventFilter { from_position: Some(self.last + 1), ..self.filter.clone() };
        let read = self.projections.read(&self.caller.tenant, move |s| {
            let holds = s.key(&key)?.is_some_and(|k| !k.revoked) && s.is_member(actor.as_str())?;
            let page = PageRequest { limit: Some(AHEAD), cursor: None };
            Ok((holds, s.events(&filter, &page)?))
        });
        let (head, (holds, page)) = read.await?;
        self.last = match (&page.next, page.items.last()) {
            (Some(_), Some(row)) => row.position,
            _ => head.position.max(self.last),
        };
        self.rows.extend(page.items);
        Ok(holds)
    }
}

fn event(row: &rows::Event) -> Sse {
    let metadata = json!({
        "position": row.position, "hash": row.hash, "id": row.id, "time": row.time,
        "type": row.kind, "actor": row.actor, "via": row.via, "entity": row.entity,
        "touches": row.touches, "intentid": row.intentid, "refusal": row.refusal,
        "code": row.code,
    });
    Sse::default().id(row.position.to_string()).event("record").data(metadata.to_string())
}

pub async fn changes(
    State(api): State<Api>,
    headers: HeaderMap,
    asked: Asked<Changes>,
) -> Result<Response, Problem> {
    let Asked { caller, query } = asked;
    let place = Arc::clone(&api.streams).try_acquire_owned().map_err(|_| {
        Problem::new(STREAMS_FULL, "as many streams of changes are open here as may be")
    })?;
    let moved = api.projections.position(&caller.tenant)?;
    let resumed = single(&headers, &LAST_EVENT)?.map(|id| id.parse::<u64>());
    let last = match resumed.transpose().map_err(|_| Refusal::BadHeader)?.or(query.after) {
        Some(last) => last,
        None => *moved.borrow(),
    };
    let now = (api.now)().seconds();
    // A lease hears its news over NATS.
    let Claims::Bearer(ends) = caller.claims else { return Err(Refusal::TokenInvalid.into()) };
    let left = Duration::from_secs(u64::try_from(ends - now).unwrap_or(0));
    let tail = Tail {
        projections: Arc::clone(&api.projections),
        caller,
        filter: EventFilter {
            kind: query.r#type,
            actor: query.actor,
            entity: query.entity,
            ..EventFilter::default()
        },
        last,
        moved,
        rows: VecDeque::new(),
        until: Instant::now() + left,
        _place: (place, api.counts.stream()),
    };
    let stream = Box::pin(stream::unfold(tail, Tail::next));
    Ok(Stream::new(stream).keep_alive(KeepAlive::default()).into_response())
}
