//! Commands of people who came by HTTP: sent under the service's own token, with the person's
//! token beside it, and repeated with the same intent id while nobody holds the tenant.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use canonry_api::ports::{Submission, Submit, SubmitError};
use canonry_nats::{Connection, RequestError};
use canonry_schemas::answer::Answer;
use canonry_schemas::header;
use canonry_schemas::ids::IntentId;
use canonry_schemas::limits::CLIENT_RETRY;
use canonry_schemas::refusal::unrecorded::RETRY;

/// The token of this service.
pub const SERVICE: &str = "svc_api";
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(50);

/// The way to the decider.
pub struct OverNats(pub Connection);

#[async_trait]
impl Submit for OverNats {
    async fn submit(&self, s: Submission) -> Result<Answer, SubmitError> {
        let subject = format!("command.{}.{SERVICE}.{}.{}", s.tenant, s.aggregate, s.verb);
        let intent = s.intent.unwrap_or_else(|| fresh_intent().to_string());
        let mut headers = vec![
            (header::INTENT_ID, intent.as_str()),
            (
                if s.under_lease { header::LEASE } else { header::ON_BEHALF_OF },
                s.on_behalf_of.as_str(),
            ),
        ];
        headers.extend(s.traceparent.as_deref().map(|t| (header::TRACEPARENT, t)));
        let until = tokio::time::Instant::now() + CLIENT_RETRY;
        loop {
            let left = until.saturating_duration_since(tokio::time::Instant::now());
            if left.is_zero() {
                return Err(SubmitError::Retry);
            }
            let body = Bytes::clone(&s.body);
            match self.0.request(&subject, &headers, body, left).await {
                Ok(reply) => {
                    let answer: Answer = serde_json::from_slice(&reply.body)
                        .map_err(|e| SubmitError::Failed(Box::new(e)))?;
                    if answer.code.as_deref() != Some(RETRY) {
                        return Ok(answer);
                    }
                }
                Err(RequestError::NoResponders) => {}
                Err(RequestError::TimedOut) => return Err(SubmitError::Retry),
                Err(error) => return Err(SubmitError::Failed(Box::new(error))),
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// A new intent id.
#[must_use]
pub fn fresh_intent() -> IntentId {
    let mut random = [0; 16];
    random.copy_from_slice(&canonry_decider::keeper::nonce()[..16]);
    IntentId::from_parts(canonry_decider::holder::now().millis(), u128::from_le_bytes(random))
}
