//! Reading the HTTP API in an actor's name: a bearer of one minute for each call.

use canonry_schemas::limits::{CLIENT_RETRY, READ_WAIT};
use reqwest::{Client, Response, Url};
use serde_json::Value;

use crate::client::{Pen, new_intent};
use crate::failure::{Failure, chain};

/// A client with the cryptography that this build carries; none is behind a proxy at home.
///
/// # Errors
/// The library refuses.
pub fn client() -> Result<Client, Failure> {
    // An error here says that a provider is installed already, which is all that is needed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder().timeout(READ_WAIT * 4).no_proxy();
    builder.build().map_err(|e| Failure::config(chain(&e)))
}

/// A client for whole files: bounded between two reads, not as a whole.
///
/// # Errors
/// The library refuses.
pub fn transfers() -> Result<Client, Failure> {
    // As in `client`.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder().connect_timeout(READ_WAIT).read_timeout(CLIENT_RETRY * 4);
    builder.no_proxy().build().map_err(|e| Failure::config(chain(&e)))
}

/// A client for files that go up, bounded as a whole: nothing is read before all of a file was sent,
/// however slow the store on the other side is.
///
/// # Errors
/// The library refuses.
pub fn uploads(within: std::time::Duration) -> Result<Client, Failure> {
    // As in `client`.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let builder = Client::builder().connect_timeout(READ_WAIT).timeout(within);
    builder.no_proxy().build().map_err(|e| Failure::config(chain(&e)))
}

/// Gets a JSON document.
///
/// # Errors
/// The API does not answer, or answers with a problem, which is told by its code.
pub async fn get(
    api: &str,
    path: &str,
    query: &[(&str, String)],
    pen: &Pen,
) -> Result<Value, Failure> {
    let mut url = Url::parse(&format!("{api}{path}")).map_err(Failure::config)?;
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    let bearer = pen.bearer(1, &new_intent()?);
    let answer = client()?.get(url).bearer_auth(bearer).send().await;
    let answer = answer.map_err(|e| Failure::unavailable(chain(&e)))?;
    json(answer).await
}

/// Sends a JSON document that asks something and changes nothing.
///
/// # Errors
/// As [`get`].
pub async fn post(api: &str, path: &str, body: String, pen: &Pen) -> Result<Value, Failure> {
    let url = Url::parse(&format!("{api}{path}")).map_err(Failure::config)?;
    let bearer = pen.bearer(1, &new_intent()?);
    let answer = client()?.post(url).bearer_auth(bearer).body(body).send().await;
    json(answer.map_err(|e| Failure::unavailable(chain(&e)))?).await
}

/// The JSON document of an answer.
///
/// # Errors
/// It is a problem, which is told by its code, or breaks off.
pub async fn json(answer: Response) -> Result<Value, Failure> {
    let status = answer.status();
    let text = answer.text().await.map_err(|e| Failure::unavailable(chain(&e)))?;
    let body: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
    if status.is_success() {
        return Ok(body);
    }
    let said = |name: &str| body[name].as_str().map(str::to_owned);
    let code = said("code").unwrap_or_else(|| status.to_string());
    let why = said("detail").or_else(|| said("title")).unwrap_or_default();
    let message = format!("{code}: {why}");
    Err(match status.as_u16() {
        502..=504 => Failure::unavailable(message),
        _ => Failure::refused(message),
    })
}

/// Gives every row of a list to `each`, page by page.
///
/// # Errors
/// As [`get`], and what `each` says.
pub async fn every(
    api: &str,
    path: &str,
    query: &[(&str, String)],
    pen: &Pen,
    mut each: impl FnMut(&Value) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut cursor: Option<String> = None;
    loop {
        let mut query = query.to_vec();
        query.extend(cursor.take().map(|next| ("cursor", next)));
        let page = get(api, path, &query, pen).await?;
        page["items"].as_array().into_iter().flatten().try_for_each(&mut each)?;
        match page["next"].as_str() {
            Some(next) => cursor = Some(next.to_owned()),
            None => return Ok(()),
        }
    }
}
