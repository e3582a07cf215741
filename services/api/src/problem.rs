//! Problems, `application/problem+json`: a stable code each. The codes and their statuses stand in
//! [`canonry_schemas::refusal`], a page for each in `schemas/errors`.

use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use canonry_schemas::answer::Answer;
pub use canonry_schemas::refusal::http::{
    ALL as HTTP_CODES, CATCHING_UP, CHECKPOINT_MISSING, CURSOR_INVALID, EVIDENCE_BUSY,
    EVIDENCE_ERASED, EVIDENCE_INVALID, EVIDENCE_MISSING, EVIDENCE_UNKNOWN, INTERNAL,
    METHOD_UNKNOWN, NOT_YET, POLICY_BUSY, POLICY_STALE, POSITION_UNKNOWN, QUERY_INVALID,
    ROUTE_UNKNOWN, STREAMS_FULL, TILE_UNKNOWN, TOKEN_MISSING, URL_EXPIRED, URL_INVALID,
};
use canonry_schemas::refusal::{Refusal, http};
use serde_json::{Value, json};

use crate::projections::ReadError;

/// The status of a code; `None` for one that is not in the table.
#[must_use]
pub fn status(code: &str) -> Option<StatusCode> {
    http::status(code).and_then(|status| StatusCode::from_u16(status).ok())
}

/// Why a request was not done.
#[derive(Debug, Clone)]
pub struct Problem {
    code: String,
    detail: String,
    more: Value,
}

impl Problem {
    /// With a code of the table.
    #[must_use]
    pub fn new(code: &str, detail: impl Into<String>) -> Self {
        Self { code: code.to_owned(), detail: detail.into(), more: Value::Null }
    }

    /// A fault of ours: the log has the cause, the client only the code.
    #[must_use]
    pub fn internal(cause: &(dyn std::error::Error + 'static)) -> Self {
        tracing::error!(error = cause, "a request failed");
        Self::new(INTERNAL, "the request failed here; it may be sent again")
    }

    /// From an answer that is not ok: the receipt of a recorded refusal stays in it.
    #[must_use]
    pub fn refused(answer: &Answer) -> Self {
        let code = answer.code.as_deref().unwrap_or(INTERNAL);
        let detail = answer.message.clone().unwrap_or_default();
        let mut more = json!(answer);
        if let Some(more) = more.as_object_mut() {
            more.retain(|k, _| matches!(k.as_str(), "receipt" | "position" | "entity"));
        }
        Self { more, ..Self::new(code, detail) }
    }

    /// The stable code.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self::new(refusal.code(), refusal.message())
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        use canonry_projections::Error;
        match &error {
            ReadError::UnknownTenant => Refusal::TokenInvalid.into(),
            ReadError::NotYet { .. } => Self::new(NOT_YET, error.to_string()),
            ReadError::Store(Error::Cursor) => Self::new(CURSOR_INVALID, error.to_string()),
            ReadError::Store(Error::TooMuch { .. } | Error::Wide { .. }) => {
                Self::new(QUERY_INVALID, error.to_string())
            }
            ReadError::Store(source) => Self::internal(source),
            ReadError::Stopped => Self::internal(&error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = status(&self.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut body = json!({
            "type": format!("schemas/errors/{}.md", self.code),
            "title": status.canonical_reason().unwrap_or_default(),
            "status": status.as_u16(),
            "code": self.code,
            "detail": self.detail,
        });
        let position = self.more["position"].as_str().and_then(|p| HeaderValue::from_str(p).ok());
        if let (Some(body), Value::Object(more)) = (body.as_object_mut(), self.more) {
            body.extend(more);
        }
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if status == StatusCode::UNAUTHORIZED {
            let scheme = HeaderValue::from_static("Bearer realm=\"canonry\"");
            headers.insert(axum::http::header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(position) = position {
            headers.insert(crate::read::POSITION, position);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use canonry_schemas::refusal::unrecorded;

    use super::*;

    #[test]
    fn every_code_has_a_status() {
        let refusals = Refusal::ALL.iter().map(|r| r.code());
        for code in
            refusals.chain(unrecorded::ALL.iter().copied()).chain(HTTP_CODES.iter().copied())
        {
            assert!(status(code).is_some(), "{code} is not in the table");
        }
        assert_eq!(status("no-such-code"), None);
    }
}
