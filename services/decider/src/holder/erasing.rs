//! What follows an erasure: once its record is committed, the key is overwritten in the store and
//! in memory. A holder that takes over first reads what the one before may have left undone.

use std::collections::VecDeque;

use canonry_schemas::event::Event;
use canonry_schemas::limits::{SHRED_AT_ONCE, SHRED_CURSOR_EVERY};
use tokio::task::JoinHandle;

use super::{Holder, Over};
use crate::erasure::{Gone, erased, gone};

/// Erasures that are to be carried out.
#[derive(Default)]
pub(super) struct Erasing {
    /// What the cursor says; none before it was read.
    cursor: Option<u64>,
    /// Reads what stands between the cursor and `known`.
    scan: Option<JoinHandle<Result<Vec<Gone>, Over>>>,
    /// Up to where the scan reads; what is decided later is noted.
    known: u64,
    /// In the order of the ledger; one that was both read and noted may stand twice.
    waiting: VecDeque<Gone>,
}

impl Holder {
    /// A decided erasure waits for its commit.
    pub(super) fn note_erasure(&mut self, event: &Event, position: u64) {
        self.erasing.waiting.extend(gone(event, position));
    }

    /// Shreds what is committed. What fails is tried again: the cursor stays behind it.
    pub(super) async fn shred_due(&mut self) {
        if let Err(error) = self.shred_some().await {
            tracing::warn!(?error, tenant = %self.s.tenant, "keys could not be shredded yet");
        }
    }

    async fn shred_some(&mut self) -> Result<(), Over> {
        let Some(cursor) = self.erasing.cursor else {
            let cursor = self.s.keeper.shredded_to().await?;
            self.erasing.cursor = Some(cursor);
            self.scan_from(cursor, self.committed.position);
            return Ok(());
        };
        if !self.scanned(cursor).await? {
            return Ok(());
        }
        let committed = self.committed.position;
        let due = self.erasing.waiting.iter().take_while(|gone| gone.position <= committed);
        let due: Vec<Gone> = due.take(SHRED_AT_ONCE).cloned().collect();
        let upto = due.iter().map(|gone| gone.position).max();
        let upto = upto.unwrap_or_else(|| self.nothing_to_erase_upto(cursor, committed));
        if due.is_empty() && upto <= cursor {
            return Ok(());
        }
        let keys: Vec<_> = due.iter().filter_map(|gone| gone.key).collect();
        keys.iter().for_each(|key| self.keys.shred(*key));
        self.s.keeper.shred(&keys).await?;
        self.s.keeper.set_shredded_to(upto).await?;
        self.erasing.waiting.drain(..due.len());
        self.erasing.cursor = Some(upto.max(cursor));
        Ok(())
    }

    /// Up to where there is nothing to carry out. The cursor follows the head in large steps, so
    /// that a later holder reads little to know it.
    fn nothing_to_erase_upto(&self, cursor: u64, committed: u64) -> u64 {
        // What was decided is noted before it is committed.
        let far = committed >= cursor.saturating_add(SHRED_CURSOR_EVERY);
        if far && self.erasing.waiting.is_empty() { committed } else { self.erasing.known }
    }

    fn scan_from(&mut self, cursor: u64, head: u64) {
        let log = self.s.log.clone();
        let reads = async move { erased(&log, cursor, head).await };
        self.erasing.known = head;
        self.erasing.scan = (cursor < head).then(|| tokio::spawn(reads));
    }

    /// Whether everything up to `known` was read.
    async fn scanned(&mut self, cursor: u64) -> Result<bool, Over> {
        let Some(scan) = self.erasing.scan.take() else { return Ok(true) };
        if !scan.is_finished() {
            self.erasing.scan = Some(scan);
            return Ok(false);
        }
        match scan.await.unwrap_or_else(|e| Err(Over::Failed(e.to_string()))) {
            Ok(found) => {
                found.into_iter().rev().for_each(|g| self.erasing.waiting.push_front(g));
                Ok(true)
            }
            Err(error) => {
                self.scan_from(cursor, self.erasing.known);
                Err(error)
            }
        }
    }
}
