//! Comparing a ledger, while it is verified, with a checkpoint that was signed before: the tree is
//! grown beside the verifier, and at the checkpoint's size its root must be the signed one.

use std::path::Path;

use canonry_checkpoints::follow::log_keys;
use canonry_checkpoints::store::{CHECKPOINT, COSIGNED};
use canonry_checkpoints::{Store, StoreError};
use canonry_nats::Log;
use canonry_nats::Stored;
use canonry_nats::api::STREAM_NOT_FOUND;
use canonry_record::record_hash;
use canonry_record::repair::{Repair, records_upto};
use canonry_record::verify::State;
use canonry_schemas::ids::TenantId;
use canonry_tlog::{Checkpoint, Frontier, Note, VerifierKey, leaf_hash, origin};
use serde_json::{Value, json};

use super::checkpoint::cosigned_by;
use crate::failure::{Failure, chain};

/// Why a ledger does not stand beside its checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Differs {
    /// The last position that was verified.
    pub position: u64,
    /// The stable code.
    pub code: &'static str,
    /// In words.
    pub why: String,
}

/// A checkpoint that the ledger must pass through.
pub struct Against {
    note: Note,
    at: Checkpoint,
    witnesses: Vec<VerifierKey>,
    tree: Frontier,
    /// Whether its root was met at its size.
    met: Option<bool>,
}

impl Against {
    /// The one in a file, or the newest that is stored; a cosigned one where witnesses are named.
    /// `None` where none was ever signed and none is demanded.
    ///
    /// # Errors
    /// It cannot be read, or witnesses are named and none cosigned.
    pub async fn find(
        file: Option<&Path>,
        witnesses: Vec<VerifierKey>,
        log: &Log,
        tenant: &TenantId,
    ) -> Result<Option<Self>, Failure> {
        let note = match file {
            Some(file) => {
                let read = |e: &dyn std::fmt::Display| {
                    Failure::refused(format!("{}: {e}", file.display()))
                };
                let text = std::fs::read_to_string(file).map_err(|e| read(&e))?;
                Some(text.parse::<Note>().map_err(|e| read(&e))?)
            }
            None => {
                stored(log, tenant, if witnesses.is_empty() { CHECKPOINT } else { COSIGNED })
                    .await?
            }
        };
        let Some(note) = note else {
            let missing = || Failure::refused("no checkpoint was cosigned by a witness yet");
            return if witnesses.is_empty() { Ok(None) } else { Err(missing()) };
        };
        let at = Checkpoint::of(&note).map_err(Failure::refused)?;
        Ok(Some(Self { note, at, witnesses, tree: Frontier::default(), met: None }))
    }

    /// The next verified record.
    pub fn take(&mut self, stored: &Stored) {
        if self.tree.size() >= self.at.size {
            return;
        }
        self.tree.push(leaf_hash(&record_hash(&stored.subject, &stored.body).0));
        if self.tree.size() == self.at.size {
            self.met = Some(self.tree.root() == self.at.root);
        }
    }

    /// The answer at the end: what to tell of the checkpoint.
    ///
    /// # Errors
    /// It is another log's, not signed by it, not cosigned, or the ledger does not pass through it.
    pub fn finish(&self, state: &State) -> Result<Value, Differs> {
        let position = state.position;
        let differs = |code, why: &str| Err(Differs { position, code, why: why.to_owned() });
        let origin = origin(&state.tenant, &state.founder);
        let keys = log_keys(&state.ring, &origin);
        if self.at.origin != origin || self.note.verify(&keys).is_err() {
            return differs("checkpoint-signature", "the checkpoint was not signed by this log");
        }
        let cosigned = cosigned_by(&self.note, &self.witnesses);
        let cosigned = cosigned.map_err(|(code, why)| Differs { position, code, why })?;
        let names: Vec<&String> = cosigned.iter().map(|(name, _)| name).collect();
        let answer = json!({"size": self.at.size, "root": self.at.root, "witnesses": names});
        // What a root key has answered for: the repair is told of anyway.
        let lost = |r: &&Repair| records_upto(&state.repairs, r.after) < self.at.size;
        if self.met != Some(true)
            && let Some(repair) = state.repairs.iter().find(lost)
        {
            let mut answer = answer;
            answer["lost_before"] = repair.position.to_string().into();
            return Ok(answer);
        }
        match self.met {
            Some(true) => Ok(answer),
            Some(false) => {
                differs("checkpoint-mismatch", "the ledger is not the one that was signed")
            }
            None => {
                let (has, signed) = (self.tree.size(), self.at.size);
                let why = format!(
                    "the ledger ends at position {position} with {has} records, but {signed} were signed"
                );
                differs("checkpoint-beyond", &why)
            }
        }
    }
}

async fn stored(log: &Log, tenant: &TenantId, key: &str) -> Result<Option<Note>, Failure> {
    let store = Store::open(log.connection().clone(), tenant);
    let store = store.map_err(|e| Failure::refused(chain(&e)))?;
    match store.note(key).await {
        Ok(note) => Ok(note.map(|(note, _)| note)),
        // A cell from before there were checkpoints.
        Err(StoreError::Nats(e)) if e.api_code() == Some(STREAM_NOT_FOUND) => Ok(None),
        Err(StoreError::Nats(e)) => Err(Failure::unavailable(chain(&e))),
        Err(other) => Err(Failure::refused(chain(&other))),
    }
}
