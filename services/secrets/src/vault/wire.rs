//! One request to a vault: sent again with growing waits where that is safe, its answer bounded,
//! its outcome told by the status alone. The body of an answer is handed to whoever parses it and
//! reaches no error.

use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, Method, Response, redirect};
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::Config;
use crate::error::{Error, Kind};
use crate::limits::{ANSWER_BYTES, BACKOFF, BACKOFF_MOST, CONNECT_WITHIN, REQUEST_WITHIN, TRIES};
use crate::secret::Secret;

/// When a request may be sent once more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Again {
    /// Twice does no more than once.
    Always,
    /// Only when it is sure that the vault did not do it.
    Unprocessed,
}

/// What is asked.
pub(super) struct Ask<'a> {
    pub method: Method,
    /// Below `/v1/`.
    pub path: String,
    pub token: Option<&'a Secret>,
    pub body: Option<Zeroizing<Vec<u8>>>,
    pub again: Again,
}

impl<'a> Ask<'a> {
    pub fn get(path: impl Into<String>) -> Self {
        let path = path.into();
        Self { method: Method::GET, path, token: None, body: None, again: Again::Always }
    }

    pub fn post(path: impl Into<String>, body: Zeroizing<Vec<u8>>, again: Again) -> Self {
        let path = path.into();
        Self { method: Method::POST, path, token: None, body: Some(body), again }
    }

    pub const fn with(mut self, token: &'a Secret) -> Self {
        self.token = Some(token);
        self
    }
}

/// A vault's answer with a good status.
pub(super) struct Answer(Zeroizing<Vec<u8>>);

impl Answer {
    /// Reads it. The parser's own words may quote a value, so only the place is told.
    pub fn read<T: DeserializeOwned>(&self, what: &'static str) -> Result<T, Error> {
        serde_json::from_slice(&self.0).map_err(|e| {
            let at = format!("line {}, column {}", e.line(), e.column());
            Error::plain(Kind::Malformed(what)).with(at)
        })
    }
}

/// A failed try.
struct Failed {
    error: Error,
    /// Whether the vault surely did nothing.
    unprocessed: bool,
    /// Whether it may be different the next time.
    passing: bool,
}

/// The way to one vault.
pub(super) struct Wire {
    client: Client,
    base: String,
}

impl Wire {
    pub fn new(config: &Config) -> Result<Self, Error> {
        let wrong = |why| Error::plain(Kind::Configuration(why));
        // An error here says that a provider is installed already, which is all that is needed.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut headers = HeaderMap::new();
        // Asked for by the protocol against requests that were forged in a browser.
        headers.insert("x-vault-request", HeaderValue::from_static("true"));
        if let Some(namespace) = &config.namespace {
            let value = HeaderValue::from_str(namespace);
            let value = value.map_err(|_| wrong("the namespace is no header value"))?;
            headers.insert("x-vault-namespace", value);
        }
        let mut builder = Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .timeout(REQUEST_WITHIN)
            .default_headers(headers)
            // A redirect would carry the token to another host.
            .redirect(redirect::Policy::none())
            .no_proxy();
        if let Some(file) = &config.ca {
            let unreadable = "the file of the vault's authority cannot be read";
            let pem = std::fs::read(file).map_err(|e| wrong(unreadable).with(e))?;
            let malformed = |e: reqwest::Error| wrong("that file is no PEM file").with(e);
            let certificates = Certificate::from_pem_bundle(&pem).map_err(malformed)?;
            if certificates.is_empty() {
                return Err(wrong("the file of the vault's authority holds no certificate"));
            }
            builder = builder.tls_certs_only(certificates);
        }
        let client = builder.build().map_err(|e| wrong("no TLS client").with(e.without_url()))?;
        Ok(Self { client, base: format!("{}/v1/", config.address.trim_end_matches('/')) })
    }

    /// Sends it until there is an answer that will not change.
    pub async fn send(&self, ask: Ask<'_>) -> Result<Answer, Error> {
        let mut wait = BACKOFF;
        for tried in 1.. {
            let failed = match self.once(&ask).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            let may = failed.unprocessed || ask.again == Again::Always;
            if !(failed.passing && may) || tried >= TRIES {
                return Err(failed.error);
            }
            tracing::debug!(path = ask.path, tried, error = %failed.error, "asking the vault again");
            tokio::time::sleep(spread(wait)).await;
            wait = (wait * 2).min(BACKOFF_MOST);
        }
        Err(Error::plain(Kind::Unavailable))
    }

    async fn once(&self, ask: &Ask<'_>) -> Result<Answer, Failed> {
        let mut request =
            self.client.request(ask.method.clone(), format!("{}{}", self.base, ask.path));
        if let Some(token) = ask.token {
            let mut value = HeaderValue::from_bytes(token.expose()).map_err(|_| Failed {
                error: Error::plain(Kind::Configuration("a token is no header value")),
                unprocessed: true,
                passing: false,
            })?;
            value.set_sensitive(true);
            request = request.header("x-vault-token", value);
        }
        if let Some(body) = &ask.body {
            let kind = if ask.method == Method::PATCH { "merge-patch+json" } else { "json" };
            request = request.header("content-type", format!("application/{kind}"));
            // The copy that leaves is wiped too, when the client is done with it.
            request = request.body(bytes::Bytes::from_owner(body.clone()));
        }
        let answer = request.send().await.map_err(unanswered)?;
        let status = answer.status().as_u16();
        let body = whole(answer).await?;
        match status {
            200..=299 => Ok(Answer(body)),
            _ => Err(told(status, &body)),
        }
    }
}

fn unanswered(error: reqwest::Error) -> Failed {
    let unprocessed = error.is_connect();
    let error = Error::plain(Kind::Unavailable).with(error.without_url());
    Failed { error, unprocessed, passing: true }
}

async fn whole(mut answer: Response) -> Result<Zeroizing<Vec<u8>>, Failed> {
    // Reserved in advance: growing would leave copies of secrets behind in freed memory.
    let expected = answer.content_length().and_then(|n| usize::try_from(n).ok());
    let mut body =
        Zeroizing::new(Vec::with_capacity(expected.unwrap_or(0).clamp(16_384, ANSWER_BYTES)));
    while let Some(part) =
        answer.chunk().await.map_err(|e| Failed { unprocessed: false, ..unanswered(e) })?
    {
        if body.len() + part.len() > ANSWER_BYTES {
            let error = Error::plain(Kind::Malformed("it is too large"));
            return Err(Failed { error, unprocessed: false, passing: false });
        }
        body.extend_from_slice(&part);
    }
    Ok(body)
}

/// What a status says; the body only where one status says two things.
fn told(status: u16, body: &[u8]) -> Failed {
    let says = |text: &str| body.windows(text.len()).any(|part| part == text.as_bytes());
    let (kind, unprocessed, passing) = match status {
        400 if says("check-and-set parameter did not match") => (Kind::Changed, true, false),
        400 if says("lease not found") => (Kind::LeaseUnknown, true, false),
        400 if says("wrapping token is not valid") => (Kind::Unwrapped, true, false),
        403 => (Kind::Refused, true, false),
        404 => (Kind::Unknown, true, false),
        // A limit, or a replica that lags behind.
        412 | 429 => (Kind::Unavailable, true, true),
        301..=308 | 472 | 473 => (Kind::Sealed, true, true),
        503 => (Kind::Sealed, true, true),
        500..=599 => (Kind::Unavailable, false, true),
        other => (Kind::Rejected(other), true, false),
    };
    let mut error = Error::plain(kind);
    if matches!(kind, Kind::Unavailable) {
        error = error.with(format!("status {status}"));
    }
    Failed { error, unprocessed, passing }
}

/// Between half of the wait and all of it, so that many clients do not come back at once.
fn spread(wait: Duration) -> Duration {
    let mut byte = [u8::MAX];
    // Without randomness they come back at once, which is no fault.
    let _ = getrandom::fill(&mut byte);
    wait / 2 + (wait / 2).mul_f64(f64::from(byte[0]) / 255.0)
}
