//! `canonry approve|reject`: a person's answer, signed over the position and hash of the record
//! that asked.

use canonry_record::Hash;
use canonry_record::jws::Decision;
use canonry_schemas::ids::{ActionId, ActorId, TenantId, TicketId};
use serde_json::{Value, json};

use crate::args::{Api, Nats};
use crate::client::new_intent;
use crate::context::{Context, DEFAULT_TENANT};
use crate::failure::Failure;
use crate::{http, ledger, output};

/// What is answered about.
#[derive(Debug, Clone)]
enum Subject {
    /// A ticket.
    Ticket(TicketId),
    /// An action.
    Action(ActionId),
}

/// Who answers, and where the question is looked up.
#[derive(Debug, clap::Args)]
pub struct Desk {
    /// The ticket or action
    #[arg(value_name = "ID", value_parser = subject)]
    about: Subject,
    /// The tenant
    #[arg(long, env = "CANONRY_TENANT", default_value = DEFAULT_TENANT, value_name = "NAME")]
    tenant: TenantId,
    /// Who answers
    #[arg(long = "as", default_value = "approver", value_name = "ACTOR")]
    actor: ActorId,
    /// Look the question up here; without it, in the verified ledger
    #[command(flatten)]
    api: Api,
    #[command(flatten)]
    nats: Nats,
}

/// Approve what a ticket or action asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
    canonry approve tkt_01hzy3v7m8q6k4n2r9s5t1w0xa --as approver
    canonry approve act_01hzy3v7m8q6k4n2r9s5t1w0xa --as approver
    canonry tickets list --filter approval=asked
    canonry actions list --filter status=held")]
pub struct Approve {
    #[command(flatten)]
    desk: Desk,
}

/// Reject what a ticket or action asks for.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
    canonry reject tkt_01hzy3v7m8q6k4n2r9s5t1w0xa --reason 'Too costly' --as approver")]
pub struct Reject {
    #[command(flatten)]
    desk: Desk,
    /// Why
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// `canonry approve`.
///
/// # Errors
/// Nobody asked, refused, or no answer.
pub async fn approve(context: &Context, args: Approve) -> Result<(), Failure> {
    answer(context, &args.desk, Decision::Approve, None).await
}

/// `canonry reject`.
///
/// # Errors
/// Nobody asked, refused, or no answer.
pub async fn reject(context: &Context, args: Reject) -> Result<(), Failure> {
    answer(context, &args.desk, Decision::Reject, Some(args.reason)).await
}

async fn answer(
    context: &Context,
    desk: &Desk,
    decision: Decision,
    reason: Option<String>,
) -> Result<(), Failure> {
    let entity = desk.about.to_string();
    let (aggregate, id) = desk.about.parts();
    let client = context.client(desk.nats.named(), &desk.tenant, &desk.actor).await?;
    let asked = match desk.api.url.as_deref() {
        Some(url) => {
            let path = format!("/api/v1/{aggregate}s/{id}");
            asked_in(&http::get(url, &path, &[], client.pen()?).await?)?
        }
        None => ledger::asked(context, desk.nats.named(), &desk.tenant, &entity).await?,
    };
    let intent = new_intent()?;
    let approval = client.pen()?.approval(&entity, decision, asked, &intent);
    let mut body = json!({"id": id, "approval": approval});
    if let Some(reason) = reason {
        body["reason"] = reason.into();
    }
    let body = serde_json::to_vec(&body).map_err(Failure::refused)?;
    let verb = if decision == Decision::Approve { "approve" } else { "reject" };
    output::answer(&client.submit(aggregate, verb, &body, &intent).await?, context.json)
}

impl Subject {
    /// Aggregate and id.
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Ticket(id) => ("ticket", id.as_str()),
            Self::Action(id) => ("action", id.as_str()),
        }
    }
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (aggregate, id) = self.parts();
        write!(f, "{aggregate}/{id}")
    }
}

fn subject(text: &str) -> Result<Subject, String> {
    let ticket = text.parse().map(Subject::Ticket);
    ticket
        .or_else(|_| text.parse().map(Subject::Action))
        .map_err(|_| "expected tkt_ or act_ and 26 characters of a lower-case ULID".to_owned())
}

/// The question as the API tells it.
pub(crate) fn asked_in(ticket: &Value) -> Result<(u64, Hash), Failure> {
    let asked = &ticket["asked"];
    let found = asked["position"].as_u64().zip(asked["hash"].as_str().and_then(|h| h.parse().ok()));
    found.ok_or_else(|| Failure::refused("nobody asked for approval of this"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_is_position_and_hash() {
        let hash = "0c".repeat(32);
        let ticket = json!({"asked": {"position": 7, "hash": hash}});
        assert_eq!(asked_in(&ticket).unwrap(), (7, hash.parse().unwrap()));
        assert!(asked_in(&json!({"approval": "unasked"})).is_err());
    }
}
