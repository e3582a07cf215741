//! The requests that provisioning sends: making a stream, and comparing a live one with
//! nats-config. The connection is the caller's. Volumes are in [`crate::volumes`].

use std::future::Future;

use canonry_schemas::ids::TenantId;
use serde_json::Value;

use crate::error::{BoxError, Error};
use crate::streams;

/// The server's code for a stream that exists with another configuration.
const NAME_IN_USE: u64 = 10_058;

/// Requests and replies over some connection; implemented over canonry-nats.
pub trait Bus: Sync {
    /// Sends a request and waits for its one reply.
    fn request(
        &self,
        subject: &str,
        payload: Vec<u8>,
    ) -> impl Future<Output = Result<Vec<u8>, BoxError>> + Send;
}

/// Compares the live streams of the cell and of a tenant with nats-config, as a process does
/// before it serves.
///
/// # Errors
/// [`Error::Differs`] for the first that differs; [`Error::NoVolume`] while none can be written.
pub async fn check_streams(bus: &impl Bus, tenant: &TenantId, replicas: u8) -> Result<(), Error> {
    for config in streams::cell(replicas).into_iter().chain(streams::beside(tenant, replicas)) {
        check_stream(bus, &config).await?;
    }
    crate::volumes::check(bus, tenant, replicas).await
}

pub(crate) async fn check_stream(bus: &impl Bus, config: &Value) -> Result<(), Error> {
    let name = streams::name(config);
    let subject = format!("$JS.API.STREAM.INFO.{name}");
    let answer = ask(bus, &subject, Vec::new()).await?;
    if answer.get("error").is_some() {
        return Err(refused(&subject, &answer));
    }
    equal(config, &answer["config"])
}

pub(crate) async fn create_stream(bus: &impl Bus, config: &Value) -> Result<(), Error> {
    let subject = format!("$JS.API.STREAM.CREATE.{}", streams::name(config));
    let answer = ask(bus, &subject, config.to_string().into_bytes()).await?;
    if answer["error"]["err_code"] == NAME_IN_USE {
        return check_stream(bus, config).await.and_then(|()| Err(refused(&subject, &answer)));
    }
    if answer.get("error").is_some() {
        return Err(refused(&subject, &answer));
    }
    // A server that is too old drops fields it does not know.
    equal(config, &answer["config"])
}

pub(crate) fn equal(wanted: &Value, live: &Value) -> Result<(), Error> {
    let differences = streams::differences(wanted, live);
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::Differs { stream: streams::name(wanted).to_owned(), differences })
}

pub(crate) async fn ask(bus: &impl Bus, subject: &str, payload: Vec<u8>) -> Result<Value, Error> {
    let failed = |source| Error::Request { subject: subject.to_owned(), source };
    let answer = bus.request(subject, payload).await.map_err(failed)?;
    serde_json::from_slice(&answer).map_err(|e| failed(e.into()))
}

pub(crate) fn refused(subject: &str, answer: &Value) -> Error {
    let error = &answer["error"];
    let code = error["err_code"].as_u64().or_else(|| error["code"].as_u64()).unwrap_or(0);
    let message = error["description"].as_str().map_or_else(|| answer.to_string(), str::to_owned);
    Error::Refused { subject: subject.to_owned(), code, message }
}
