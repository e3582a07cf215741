//! What a holder has done beside deciding, by tasks that it does not wait for: content keys made
//! and stored before they are needed, the signed head and the beat. Waiting for the store here would keep
//! commits and answers waiting.

use std::time::Instant;

use canonry_schemas::limits::HEAD_EVERY;
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

use super::beating::Told;
use super::{Holder, Over};
use crate::content_keys::{ContentKeys, GROUPS_AHEAD};

/// Groups of content keys, in order.
type Made = Result<Vec<(u32, Zeroizing<Vec<u8>>)>, Over>;

/// What is under way.
#[derive(Default)]
pub(super) struct Beside {
    keys: Option<JoinHandle<Made>>,
    /// Which head was written, if it was.
    head: Option<JoinHandle<Option<u64>>>,
    beat: Option<JoinHandle<Told>>,
}

/// What ended.
pub(super) enum Done {
    Keys(Made),
    Head(Option<u64>),
    Beat(Told),
}

impl Beside {
    pub(super) const fn is_busy(&self) -> bool {
        self.keys.is_some() || self.head.is_some() || self.beat.is_some()
    }

    pub(super) const fn is_beating(&self) -> bool {
        self.beat.is_some()
    }

    pub(super) fn begin_beat(&mut self, beat: JoinHandle<Told>) {
        self.beat = Some(beat);
    }

    /// The next that ends. May be dropped and called again.
    pub(super) async fn done(&mut self) -> Done {
        tokio::select! {
            made = ended(&mut self.keys) => Done::Keys(made.unwrap_or_else(|| Ok(Vec::new()))),
            written = ended(&mut self.head) => Done::Head(written.flatten()),
            told = ended(&mut self.beat) => {
                Done::Beat(told.unwrap_or_else(|| Err("it was cut off".to_owned())))
            }
        }
    }
}

/// The end of a task; none where it was cut off.
async fn ended<T>(task: &mut Option<JoinHandle<T>>) -> Option<T> {
    let Some(handle) = task.as_mut() else { return std::future::pending().await };
    let ended = handle.await;
    *task = None;
    ended.ok()
}

impl Holder {
    /// Has the next groups of content keys made where they are not at hand.
    pub(super) fn make_keys(&mut self) {
        if self.beside.keys.is_some() {
            return;
        }
        let next = ContentKeys::after(self.world.last_content_key).group;
        let ahead = next..next.saturating_add(GROUPS_AHEAD);
        let missing: Vec<u32> = ahead.filter(|group| !self.keys.has(*group)).collect();
        if missing.is_empty() {
            return;
        }
        let keeper = self.s.keeper.clone();
        self.beside.keys = Some(tokio::spawn(async move {
            let mut made = Vec::with_capacity(missing.len());
            // In order: no group is stored before the ones below it.
            for group in missing {
                made.push((group, keeper.group(group).await?));
            }
            Ok(made)
        }));
    }

    /// Has the head signed and stored, once in a while.
    pub(super) fn tell_head(&mut self) {
        let due = self.headed.elapsed() >= HEAD_EVERY && self.committed.position > self.signed_head;
        if !due || self.beside.head.is_some() {
            return;
        }
        self.headed = Instant::now();
        let (keeper, tenant, head) = (self.s.keeper.clone(), self.s.tenant.clone(), self.committed);
        let signer = self.heads.at(head.position).clone();
        self.beside.head = Some(tokio::spawn(async move {
            let write = keeper.write_head(&tenant, &head, &signer);
            let written = tokio::time::timeout(HEAD_EVERY, write).await;
            written.unwrap_or(false).then_some(head.position)
        }));
    }

    pub(super) fn take_done(&mut self, done: Done) -> Result<(), Over> {
        match done {
            Done::Keys(made) => {
                for (group, keys) in made? {
                    self.keys.insert(group, keys);
                }
            }
            Done::Head(Some(position)) => self.signed_head = self.signed_head.max(position),
            Done::Head(None) => {}
            Done::Beat(told) => self.beaten(told),
        }
        Ok(())
    }

    /// Brings a group of content keys into memory: one that is being made is waited for.
    pub(super) async fn bring_group(&mut self, group: u32) -> Result<(), Over> {
        if self.beside.keys.is_some() {
            let made = ended(&mut self.beside.keys).await;
            self.take_done(Done::Keys(made.unwrap_or_else(|| Ok(Vec::new()))))?;
        }
        if !self.keys.has(group) {
            self.keys.insert(group, self.s.keeper.group(group).await?);
        }
        Ok(())
    }

    /// Lets go of what is under way; the last head is written whatever comes of it.
    pub(super) async fn end_beside(&mut self) {
        if let Some(making) = self.beside.keys.take() {
            making.abort();
        }
        if let Some(beating) = self.beside.beat.take() {
            beating.abort();
        }
        if self.beside.head.is_some() {
            let written = ended(&mut self.beside.head).await.flatten();
            self.signed_head = self.signed_head.max(written.unwrap_or(0));
        }
        self.write_head().await;
    }
}
