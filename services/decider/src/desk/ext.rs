//! What the desk finds out about a custom record before the rules decide: its registered schema,
//! whether the data fits, what is content in it, and whether what it is about exists.

use std::borrow::Cow;
use std::sync::Arc;

use canonry_schemas::event::Command;
use canonry_schemas::ext::{self, Append};
use canonry_schemas::ids::{ActorId, EntityName, TicketId};
use canonry_schemas::kind::Compiled;
use canonry_schemas::limits::EXT_CONTENT_FIELDS;
use canonry_schemas::refusal::Refusal;

use super::Desk;
use crate::world::Need;

/// A custom record's schema and what was found out; for any other command nothing.
pub(super) struct Found {
    schema: Option<Arc<Compiled>>,
    /// What the rules are told.
    pub(super) appended: Result<(), Refusal>,
    /// The ticket whose role may append.
    pub(super) ticket: Option<TicketId>,
}

impl Desk<'_> {
    /// Looks a command over.
    pub(super) fn look_over(&self, command: &mut Command) -> Result<Found, Need> {
        let mut found = Found { schema: None, appended: Ok(()), ticket: None };
        let Command::Ext(ext::Command::Append(c)) = command else { return Ok(found) };
        let kind = self.world.kind(c.kind.as_str())?;
        let schema = kind.and_then(|kind| kind.schema(c.version));
        // One that this code does not compile is as good as none.
        found.schema = schema.and_then(|text| self.commands.kind(text).ok());
        found.appended = match &found.schema {
            Some(schema) => fits(schema, c),
            None => Err(Refusal::KindUnknown),
        };
        if let Some(about) = &c.entity {
            let (exists, ticket) = self.about(about)?;
            found.ticket = ticket;
            if !exists {
                found.appended = found.appended.and(Err(Refusal::EntityUnknown));
            }
        }
        Ok(found)
    }

    fn about(&self, about: &EntityName) -> Result<(bool, Option<TicketId>), Need> {
        let (aggregate, id) = about.as_str().split_once('/').unwrap_or_default();
        Ok(match aggregate {
            "member" => {
                let actor = id.parse::<ActorId>();
                (actor.is_ok_and(|a| self.world.directory.member(&a).is_some()), None)
            }
            "ticket" => (self.world.ticket(id)?.is_some(), id.parse().ok()),
            "run" => {
                let run = self.world.run(id)?;
                (run.is_some(), run.map(|run| run.ticket.clone()))
            }
            _ => (self.world.role(id)?.is_some(), None),
        })
    }
}

fn fits(schema: &Compiled, c: &mut Append) -> Result<(), Refusal> {
    schema.fits(&c.data).map_err(|_| Refusal::ExtDataInvalid)?;
    if !schema.content_within_bound(&c.data) {
        return Err(Refusal::ContentTooLong);
    }
    if schema.content(&mut c.data).len() > EXT_CONTENT_FIELDS {
        return Err(Refusal::ExtDataInvalid);
    }
    Ok(())
}

impl Found {
    /// The content of a command, with the pointers at which it stands in the record's data.
    pub(super) fn content<'c>(
        &self,
        command: &'c mut Command,
    ) -> Vec<(Cow<'static, str>, &'c mut String)> {
        match (command, &self.schema) {
            // What does not fit is refused, and a refusal holds none of it.
            (Command::Ext(_), _) if self.appended.is_err() => Vec::new(),
            (Command::Ext(ext::Command::Append(c)), Some(schema)) => {
                let fields = schema.content(&mut c.data).into_iter();
                fields.map(|(at, text)| (format!("/data{at}").into(), text)).collect()
            }
            (command, _) => {
                command.content().into_iter().map(|(at, c)| (at.into(), &mut c.0)).collect()
            }
        }
    }
}
