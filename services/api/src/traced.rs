//! What is told of each request: a span, where spans are exported, and a count by route and class.
//! Labels come from the route table only.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method};
use axum::middleware::Next;
use axum::response::Response;
use canonry_schemas::header::{TRACEPARENT, is_traceparent};
use canonry_telemetry::{Class, Context, adopt, exports, names};
use tracing::{Instrument as _, Span, info_span};

use crate::Api;
use crate::auth::single;
use crate::routes::{READS, UPLOADS, WRITES};

/// The label of a request that fits no route.
const NO_ROUTE: &str = "none";

/// The route's path as it stands in the table.
fn route(request: &Request) -> &'static str {
    let Some(matched) = request.extensions().get::<MatchedPath>() else { return NO_ROUTE };
    let writes = WRITES.iter().map(|w| w.path).chain(UPLOADS.iter().map(|u| u.path));
    let mut paths = READS.iter().map(|r| r.path).chain(writes);
    paths.find(|path| *path == matched.as_str()).unwrap_or(NO_ROUTE)
}

fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        _ => "other",
    }
}

/// Around every route.
pub async fn watch(State(api): State<Api>, request: Request, next: Next) -> Response {
    let route = route(&request);
    let span = if exports() {
        let (method, status) = (method(request.method()), tracing::field::Empty);
        let span = info_span!(names::SPAN_HTTP, method, route, status);
        adopt(&span, given(request.headers()).as_deref());
        span
    } else {
        Span::none()
    };
    let response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    span.record("status", status);
    api.counts.http(route, Class::of(status));
    response
}

/// A malformed trace context is ignored, as W3C wants it.
fn given(headers: &HeaderMap) -> Option<String> {
    single(headers, TRACEPARENT).ok()?.filter(|text| is_traceparent(text))
}

/// The trace context that goes on with a command: the caller's as it came, so that the record is
/// the same whether spans are exported or not; where none came, that of the request's span.
pub fn handed_on(headers: &HeaderMap) -> Option<String> {
    given(headers).or_else(|| Some(Context::of(&Span::current())?.traceparent()))
}
