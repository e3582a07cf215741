//! `canonry content erase`: the content of one entity, gone for ever. The record says so; the holder
//! of the tenant overwrites the key after it.

use canonry_schemas::ids::EntityId;
use clap::Subcommand;
use serde_json::json;

use crate::args::{Nats, Who};
use crate::client::new_intent;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

/// `canonry content`.
#[derive(Debug, Subcommand)]
#[command(after_help = "EXAMPLES:
    canonry content erase ticket/tkt_01hzy3v7m8q6k4n2r9s5t1w0xa")]
pub enum Command {
    /// Erase the content of a ticket, run, role or member for ever
    Erase(Erase),
}

/// Erase the content of a ticket, run, role or member for ever.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Title, note, name, reasons, result and summaries of the entity cannot be opened any more, by nobody; \
the records stand and verify. The key is overwritten within a second after the record is committed, \
after a crash by the next holder. The entity takes no more content. A ticket and its runs are \
entities of their own: name each.

EXAMPLES:
    canonry content erase ticket/tkt_01hzy3v7m8q6k4n2r9s5t1w0xa
    canonry content erase member/carol --json")]
pub struct Erase {
    /// Whose content: <aggregate>/<id>
    entity: EntityId,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    nats: Nats,
}

/// Runs it.
///
/// # Errors
/// Refused, or no answer.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    let Command::Erase(args) = command;
    let (who, nats) = (&args.who, args.nats.named());
    let client = context.client(nats, &who.tenant, &who.actor).await?;
    let body = serde_json::to_vec(&json!({"entity": args.entity})).map_err(Failure::refused)?;
    let answer = client.submit("content", "erase", &body, &new_intent()?).await?;
    output::answer(&answer, context.json)
}
