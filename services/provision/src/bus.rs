//! The requests that provisioning sends: making a stream, and comparing a live one with
//! nats-config. The connection is the caller's. Volumes are in [`crate::volumes`].

use std::future::Future;
use std::time::Duration;

use canonry_schemas::ids::TenantId;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::error::{BoxError, Error};
use crate::streams;

/// The server's code for a stream that exists with another configuration.
const NAME_IN_USE: u64 = 10_058;

/// What a server of a cluster answers while it catches up: it knows too few peers to place a
/// stream, has no leader, or has not turned on JetStream for an account that it has just heard of.
const NOT_YET: [u64; 3] = [10_005, 10_008, 10_039];

/// How long such an answer is asked again, and after how long each time.
const READY_WITHIN: Duration = Duration::from_secs(10);
const ASK_AGAIN: Duration = Duration::from_millis(50);

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
    let answer = ask_to_make(bus, &subject, &config.to_string()).await?;
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

/// Asks for something that may be made twice, and again while the servers are not ready for it.
pub(crate) async fn ask_to_make(bus: &impl Bus, subject: &str, body: &str) -> Result<Value, Error> {
    ask_within(READY_WITHIN, bus, subject, body).await
}

async fn ask_within(
    within: Duration,
    bus: &impl Bus,
    subject: &str,
    body: &str,
) -> Result<Value, Error> {
    let until = Instant::now() + within;
    loop {
        let answer = ask(bus, subject, body.into()).await?;
        let not_yet = answer["error"]["err_code"].as_u64().is_some_and(|c| NOT_YET.contains(&c));
        if !not_yet || Instant::now() >= until {
            return Ok(answer);
        }
        sleep(ASK_AGAIN).await;
    }
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use serde_json::json;

    use super::*;

    /// A server that is not ready for the first requests.
    struct CatchesUp {
        left: AtomicU32,
        code: u64,
    }

    impl Bus for CatchesUp {
        async fn request(&self, _: &str, payload: Vec<u8>) -> Result<Vec<u8>, BoxError> {
            let spend = |left: u32| left.checked_sub(1);
            let early = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok();
            let config: Value = serde_json::from_slice(&payload)?;
            let answer = if early {
                json!({ "error": { "err_code": self.code, "description": "not now" } })
            } else {
                json!({ "config": config })
            };
            Ok(serde_json::to_vec(&answer)?)
        }
    }

    #[tokio::test]
    async fn a_stream_is_asked_for_until_the_servers_are_ready() {
        let acme: TenantId = "acme".parse().expect("valid");
        let config = streams::ledger(&acme, 3);
        for code in NOT_YET {
            let bus = CatchesUp { left: AtomicU32::new(3), code };
            create_stream(&bus, &config).await.expect("made in the end");
            let never = CatchesUp { left: AtomicU32::new(u32::MAX), code };
            let answer = ask_within(ASK_AGAIN, &never, "it", "{}").await.expect("an answer");
            assert_eq!(answer["error"]["err_code"], code, "not for ever");
        }
        let bus = CatchesUp { left: AtomicU32::new(1), code: 10_052 };
        create_stream(&bus, &config).await.expect_err("other answers are final");
    }
}
