//! Copying a ledger into segments: records are verified, written as one object that never changes,
//! read back, and only then counted as copied. The signed head is written last. What a crash left
//! is found again by reading the place back.

use bytes::Bytes;
use canonry_nats::Log;
use canonry_record::export::{HeadLine, OwnedLine, write_line};
use canonry_record::hash::sha256;
use canonry_record::{Verifier, record_hash};

use crate::check::{Progress, head};
use crate::error::Error;
use crate::layout::{HEAD, Segment};
use crate::limits::OBJECT_BYTES;
use crate::live::Live;
use crate::manifest::Listed;
use crate::place::Place;

/// Goes on behind what a verifier has read back.
#[derive(Debug)]
pub struct Copier {
    place: Place,
    verifier: Verifier,
}

impl Copier {
    /// Behind what was checked; a fresh verifier where there is nothing yet. `place` is the
    /// tenant's.
    #[must_use]
    pub const fn new(place: Place, verifier: Verifier) -> Self {
        Self { place, verifier }
    }

    /// Where it stands.
    #[must_use]
    pub const fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Copies everything up to a signed head, then the head.
    ///
    /// # Errors
    /// [`Error::LedgerDiffers`] when the ledger is behind the copy or holds another record at its
    /// end; [`Error::Broken`] when the ledger or its head does not stand; [`Error::Exists`],
    /// [`Error::Nats`], [`Error::Place`].
    pub async fn round(
        &mut self,
        log: &Log,
        head: &HeadLine,
        progress: Progress<'_>,
    ) -> Result<Vec<Listed>, Error> {
        let upto = head.head.position;
        self.same_ledger(log, upto).await?;
        let mut written = Vec::new();
        while self.verifier.position() < upto {
            let mut live = Live::new(log, self.verifier.clone());
            let lines = live.next(upto).await?;
            written.push(self.write(&lines).await?);
            self.verifier = live.into_verifier();
            progress(self.verifier.position(), upto);
        }
        self.verifier.finish(Some(head))?;
        self.write_head(head).await?;
        Ok(written)
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
