//! Content that the ledger says is gone: which keys those are, and that they are shredded. The
//! ledger is the source; a cursor beside the keys says up to which position it was obeyed, so that
//! whoever takes a tenant over, or restores its keys from a backup, goes on from there.
//!
//! *Invariant:* the cursor never passes an erasure whose key was not overwritten.

use canonry_nats::Log;
use canonry_record::record;
use canonry_schemas::content;
use canonry_schemas::event::Event;
use futures_util::StreamExt as _;

use crate::holder::Over;
use crate::keeper::Keeper;
use crate::world::ContentKey;

/// One erasure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gone {
    /// Where it stands.
    pub position: u64,
    /// Whose content.
    pub entity: String,
    /// The key to shred; none where the entity never had content.
    pub key: Option<ContentKey>,
}

/// The erasure that an event is.
#[must_use]
pub fn gone(event: &Event, position: u64) -> Option<Gone> {
    let Event::Content(content::Event::Erased(erased)) = event else { return None };
    let key = erased.key.as_ref().and_then(|key| ContentKey::parse(key.as_str()));
    Some(Gone { position, entity: erased.entity.to_string(), key })
}

/// Every erasure after a position and up to another, read from the ledger itself.
///
/// # Errors
/// The ledger cannot be read, or holds what this program does not know.
pub async fn erased(log: &Log, after: u64, upto: u64) -> Result<Vec<Gone>, Over> {
    let failed = |e: &dyn std::fmt::Display| Over::Failed(e.to_string());
    let mut found = Vec::new();
    let mut records = log.read(after + 1, Some(upto)).await.map_err(|e| failed(&e))?;
    while let Some(stored) = records.next().await {
        let stored = stored.map_err(|e| failed(&e))?;
        if !stored.subject.ends_with(".content.erased") {
            continue;
        }
        let read = record::parse(&stored.body).map_err(|e| failed(&e))?;
        let data = serde_json::from_str(read.data).map_err(|e| failed(&e))?;
        let event = Event::parse(&read.aggregate, &read.event, read.version, &data);
        let event = event.ok_or(Over::TooNew { position: stored.seq })?.map_err(|e| failed(&e))?;
        found.extend(gone(&event, stored.seq));
    }
    Ok(found)
}

/// Shreds whatever the ledger has erased up to a position and the keys' own cursor does not know:
/// after keys were restored from a backup, before anybody serves them. Answers how many.
///
/// # Errors
/// Ledger or store do not answer.
pub async fn obey(log: &Log, keeper: &Keeper, upto: u64) -> Result<usize, Over> {
    let after = keeper.shredded_to().await?;
    let gone = erased(log, after, upto).await?;
    let keys: Vec<ContentKey> = gone.iter().filter_map(|gone| gone.key).collect();
    keeper.shred(&keys).await?;
    keeper.set_shredded_to(upto).await?;
    Ok(keys.len())
}
