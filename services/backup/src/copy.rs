//! Copying a ledger into segments: records are verified, written as one object that never changes,
//! read back, and only then counted as copied. The signed head is written last. What a crash left
//! is found again by reading the place back.

use std::collections::BTreeSet;

use bytes::Bytes;
use canonry_nats::Log;
use canonry_record::export::{HeadLine, OwnedLine, write_line};
use canonry_record::hash::sha256;
use canonry_record::{Verifier, record_hash};
use canonry_schemas::ids::ObjectId;
use canonry_schemas::time::Time;

use crate::check::{Checked, Progress, head};
use crate::error::Error;
use crate::evidence::{self, Attached, ListedObject};
use crate::keys::KeyCopy;
use crate::layout::{HEAD, Segment};
use crate::limits::{KEYS_AGAIN, OBJECT_BYTES};
use crate::live::Live;
use crate::manifest::Listed;
use crate::place::Place;

/// Goes on behind what a verifier has read back.
#[derive(Debug)]
pub struct Copier {
    place: Place,
    verifier: Verifier,
    attached: Attached,
    /// Evidence objects that need not be looked for: copied, or missing when they were.
    done: BTreeSet<ObjectId>,
    /// Rounds in which the copy of content keys is still to be taken anew.
    keys_due: u8,
}

/// What one round copied.
#[derive(Debug, Default)]
pub struct Round {
    /// Records. Positions that a repair left out are none.
    pub records: u64,
    /// Segments of the ledger.
    pub segments: Vec<Listed>,
    /// Evidence objects.
    pub evidence: Vec<ListedObject>,
    /// Evidence objects that the ledger names, and that are not in the bucket as it says.
    pub missing: Vec<ObjectId>,
}

impl Copier {
    /// From the beginning, where there is nothing yet. `place` is the tenant's.
    #[must_use]
    pub fn new(place: Place, verifier: Verifier) -> Self {
        let (attached, done) = (Attached::default(), BTreeSet::new());
        Self { place, verifier, attached, done, keys_due: 0 }
    }

    /// Behind what was checked.
    #[must_use]
    pub fn behind(place: Place, checked: &Checked) -> Self {
        Self {
            place,
            verifier: checked.verifier.clone(),
            attached: checked.attached.clone(),
            done: checked.evidence.keys().cloned().collect(),
            keys_due: 0,
        }
    }

    /// Where it stands.
    #[must_use]
    pub const fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Copies everything up to a signed head, then the head, then the evidence that the records
    /// name. After an erasure the copy of content keys is overwritten too, if there is one: `at`
    /// is its time.
    ///
    /// # Errors
    /// [`Error::LedgerDiffers`] when the ledger is behind the copy or holds another record at its
    /// end; [`Error::Broken`] when the ledger or its head does not stand; [`Error::Exists`],
    /// [`Error::Nats`], [`Error::Place`].
    pub async fn round(
        &mut self,
        log: &Log,
        head: &HeadLine,
        at: Time,
        progress: Progress<'_>,
    ) -> Result<Round, Error> {
        let (upto, tenant) = (head.head.position, &head.head.tenant);
        self.same_ledger(log, upto).await?;
        let mut round = Round::default();
        while self.verifier.position() < upto {
            let mut live = Live::new(log, self.verifier.clone());
            let lines = live.next(upto).await?;
            round.segments.push(self.write(&lines).await?);
            round.records += lines.len() as u64;
            for line in &lines {
                if self.attached.see(line)? {
                    self.keys_due = KEYS_AGAIN;
                }
            }
            self.verifier = live.into_verifier();
            progress(self.verifier.position(), upto);
        }
        self.verifier.finish(Some(head))?;
        self.write_head(head).await?;
        let (bus, attached) = (log.connection(), &self.attached);
        let copied = evidence::copy(bus, &self.place, tenant, attached, &self.done).await?;
        self.done.extend(copied.new.iter().map(|listed| listed.object.clone()));
        self.done.extend(copied.missing.iter().cloned());
        (round.evidence, round.missing) = (copied.new, copied.missing);
        if self.keys_due > 0 {
            self.keys_due -= 1;
            if let Some(before) = KeyCopy::read(&self.place, tenant).await? {
                let keys = KeyCopy::take(bus, tenant, at).await?;
                keys.write(&self.place, Some(&before)).await?;
            }
        }
        Ok(round)
    }

    /// Whether the live ledger goes on from what was copied.
    async fn same_ledger(&self, log: &Log, upto: u64) -> Result<(), Error> {
        let Some(state) = self.verifier.state() else { return Ok(()) };
        let position = state.position;
        if upto < position {
            let why = format!("its signed head is at {upto}, the copy at {position}");
            return Err(Error::LedgerDiffers(why));
        }
        let stored = log.get(position).await.map_err(|e| Error::nats("reading the ledger", e))?;
        match stored.map(|s| record_hash(&s.subject, &s.body)) {
            Some(hash) if hash == state.hash => Ok(()),
            Some(_) => Err(Error::LedgerDiffers(format!("another record stands at {position}"))),
            None => Err(Error::LedgerDiffers(format!("position {position} is gone"))),
        }
    }

    /// Writes one segment of verified records and reads it back.
    async fn write(&self, lines: &[OwnedLine]) -> Result<Listed, Error> {
        let ends = (lines.first().map(|l| l.seq), lines.last().map(|l| l.seq));
        let (Some(first), Some(last)) = ends else {
            return Err(Error::LedgerDiffers("it yields no records".to_owned()));
        };
        let mut text = String::new();
        for line in lines {
            text.push_str(&write_line(&line.line()));
            text.push('\n');
        }
        let (name, bytes) = (Segment { first, last }.name(), Bytes::from(text));
        self.place.put_new(&name, bytes.clone()).await?;
        if self.place.get(&name, OBJECT_BYTES).await?.as_ref() != Some(&bytes) {
            return Err(Error::object(name, "it reads back otherwise"));
        }
        Ok(Listed { first, last, bytes: bytes.len() as u64, sha256: sha256(&bytes) })
    }

    /// Writes the head, unless a later one is there.
    async fn write_head(&self, line: &HeadLine) -> Result<(), Error> {
        let there = head(&self.place).await?;
        if there.is_some_and(|there| there.head.position >= line.head.position) {
            return Ok(());
        }
        self.place.put(HEAD, Bytes::from(format!("{}\n", line.to_text()))).await
    }
}
