//! JetStream's own API: JSON requests, with the server's error codes mapped.
//!
//! Runtime users may send only a few of these; streams are made by the provisioning user. This
//! module must not interpret configurations: comparing them is the provisioner's task.
//! Next: [`crate::log`].

use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::connection::Connection;
use crate::error::{Error, ErrorKind};

/// How long a JetStream API request waits.
pub const API_TIMEOUT: Duration = Duration::from_secs(5);
/// `err_code`: no such stream.
pub const STREAM_NOT_FOUND: u64 = 10059;
/// `err_code`: no such message.
pub const MESSAGE_NOT_FOUND: u64 = 10037;
/// `err_code`: a stream of this name exists and its configuration differs.
pub const STREAM_NAME_IN_USE: u64 = 10058;
/// `err_code`: the stream's last sequence is not the expected one.
pub const WRONG_LAST_SEQUENCE: u64 = 10071;
/// `err_code`: the same, as a cluster's loser of a race hears it.
pub const WRONG_LAST_SEQUENCE_CLUSTER: u64 = 10164;
/// `err_code`: a batch held a message id that the stream has seen.
pub const BATCH_DUPLICATE: u64 = 10201;

/// What JetStream says when it refuses.
#[derive(Debug, Clone, Deserialize, thiserror::Error)]
#[error("{description}")]
pub(crate) struct ApiError {
    #[serde(default)]
    pub(crate) code: u16,
    #[serde(default)]
    pub(crate) err_code: u64,
    #[serde(default)]
    pub(crate) description: String,
}

impl ApiError {
    pub(crate) fn into_error(self, context: impl Into<String>) -> Error {
        let kind = ErrorKind::Api { code: self.err_code, status: self.code };
        Error::with(kind, context, self)
    }
}

impl Connection {
    /// Sends one JetStream request and returns its answer. `subject` is the part after the
    /// prefix, such as `STREAM.INFO.LEDGER_acme`; a leading `$JS.API.` is taken off. A `null`
    /// body is sent as an empty one.
    ///
    /// # Errors
    /// [`ErrorKind::Api`] with the server's `err_code`; [`ErrorKind::NoResponders`] without
    /// JetStream; [`ErrorKind::TimedOut`] after [`API_TIMEOUT`], also for a missing permission.
    pub async fn js_request(&self, subject: &str, body: &Value) -> Result<Value, Error> {
        let tail = subject.strip_prefix("$JS.API.").unwrap_or(subject);
        let subject = self.js_subject(tail);
        let body = match body {
            Value::Null => Bytes::new(),
            body => Bytes::from(body.to_string()),
        };
        let answer = self.request_map(&subject, None, body, API_TIMEOUT).await;
        let answer = answer.map_err(|e| e.into_error(subject.as_str()))?;
        let mut value: Value = serde_json::from_slice(&answer.payload)
            .map_err(|e| Error::with(ErrorKind::Malformed, subject.as_str(), e))?;
        match value.get_mut("error").map(Value::take) {
            None => Ok(value),
            Some(error) => match serde_json::from_value::<ApiError>(error) {
                Ok(error) => Err(error.into_error(subject)),
                Err(e) => Err(Error::with(ErrorKind::Malformed, subject, e)),
            },
        }
    }

    /// Creates a stream from its configuration. The server accepts it again when nothing differs,
    /// and refuses with [`STREAM_NAME_IN_USE`] otherwise.
    ///
    /// # Errors
    /// As [`Connection::js_request`]; [`ErrorKind::Invalid`] when `config` has no `name`.
    pub async fn create_stream(&self, config: &Value) -> Result<Value, Error> {
        let name = config.get("name").and_then(Value::as_str);
        let name = name.ok_or_else(|| Error::new(ErrorKind::Invalid, "stream without a name"))?;
        self.js_request(&format!("STREAM.CREATE.{name}"), config).await
    }

    /// What the server says of a stream (`config`, `state`, `cluster`); `None` when there is none.
    ///
    /// # Errors
    /// As [`Connection::js_request`].
    pub async fn stream_info(&self, name: &str) -> Result<Option<Value>, Error> {
        match self.js_request(&format!("STREAM.INFO.{name}"), &Value::Null).await {
            Ok(info) => Ok(Some(info)),
            Err(e) if e.api_code() == Some(STREAM_NOT_FOUND) => Ok(None),
            Err(e) => Err(e),
        }
    }
}
