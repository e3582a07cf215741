//! Reading a copy back: segments in order, each verified before its records are handed on.

use std::collections::VecDeque;

use canonry_record::export::{Entry, OwnedLine, parse_line};
use canonry_record::hash::sha256;
use canonry_record::{Hash, Line, Verifier};
use canonry_schemas::limits::EXPORT_LINE_BYTES;

use crate::error::Error;
use crate::layout::{LEDGER, Segment, plan};
use crate::limits::OBJECT_BYTES;
use crate::place::Place;

/// A segment that was read, and its records that were not read before.
#[derive(Debug)]
pub struct Read {
    /// Which.
    pub segment: Segment,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of its bytes.
    pub sha256: Hash,
    /// Its records behind the verifier's position.
    pub lines: Vec<OwnedLine>,
}

/// A way through all segments.
#[derive(Debug)]
pub struct Walk {
    place: Place,
    left: VecDeque<Segment>,
    verifier: Verifier,
    /// The last position that any segment claims.
    pub reaches: u64,
}

impl Walk {
    /// Plans the way through what lies there; `place` is the tenant's.
    ///
    /// # Errors
    /// [`Error::Object`] for a name that is no segment's; [`Error::Place`].
    pub async fn begin(place: &Place, verifier: Verifier) -> Result<Self, Error> {
        let mut there = Vec::new();
        for (file, _) in place.list(LEDGER).await? {
            let name = format!("{LEDGER}/{file}");
            let segment = Segment::parse(&file);
            there.push(segment.ok_or_else(|| Error::object(name, "not the name of a segment"))?);
        }
        let left: VecDeque<_> = plan(there).into();
        let reaches = left.back().map_or(0, |s| s.last);
        Ok(Self { place: place.clone(), left, verifier, reaches })
    }

    /// The verifier as it stands.
    #[must_use]
    pub fn into_verifier(self) -> Verifier {
        self.verifier
    }

    /// The next segment, verified; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Broken`] at the first record that cannot stand; [`Error::Object`] for a segment
    /// that is not what its name says; [`Error::Place`].
    pub async fn next(&mut self) -> Result<Option<Read>, Error> {
        let Some(segment) = self.left.pop_front() else { return Ok(None) };
        let name = segment.name();
        let bytes = self.place.get(&name, OBJECT_BYTES).await?;
        let bytes = bytes.ok_or_else(|| Error::object(&name, "listed, but not there"))?;
        let (verifier, due) = (self.verifier.clone(), self.verifier.position() + 1);
        let work = move || {
            let mut lines = parse(segment, &bytes).map_err(|why| Error::object(&name, why))?;
            lines.retain(|line| line.seq >= due);
            let verifier = verify(verifier, &lines)?;
            let size = bytes.len() as u64;
            Ok::<_, Error>((verifier, Read { segment, bytes: size, sha256: sha256(&bytes), lines }))
        };
        let done = tokio::task::spawn_blocking(work).await;
        let (verifier, read) = done.map_err(|e| Error::Stopped(e.to_string()))??;
        self.verifier = verifier;
        Ok(Some(read))
    }
}

/// Verifies records that come next, on every core.
///
/// # Errors
/// [`Error::Broken`].
pub fn verify(mut verifier: Verifier, lines: &[OwnedLine]) -> Result<Verifier, Error> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let lines: Vec<Line<'_>> = lines.iter().map(OwnedLine::line).collect();
    verifier.push_parallel(&lines, threads)?;
    Ok(verifier)
}

/// The records of a segment: as many as its name says, in order.
fn parse(segment: Segment, bytes: &[u8]) -> Result<Vec<OwnedLine>, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
    let body = text.strip_suffix('\n').ok_or("it does not end with a line break")?;
    let mut lines = Vec::new();
    for line in body.split('\n') {
        if line.len() >= EXPORT_LINE_BYTES {
            return Err("a line is too long".to_owned());
        }
        match parse_line(line) {
            Ok(Entry::Record(record)) => lines.push(record),
            _ => return Err(format!("line {} is no record", lines.len() + 1)),
        }
    }
    let ends = (lines.first().map(|l| l.seq), lines.last().map(|l| l.seq));
    let ascending = lines.windows(2).all(|two| two[0].seq < two[1].seq);
    if ends != (Some(segment.first), Some(segment.last)) || !ascending {
        return Err("its records are not those of its name".to_owned());
    }
    Ok(lines)
}
