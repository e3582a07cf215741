//! A whole export, line by line: what `ledger verify --file` runs. Reading the file is the
//! caller's. The chain itself is in [`crate::verify`].

use canonry_schemas::subject::parse_ledger;

use crate::export::{Entry, HeadLine, OwnedLine, parse_line};
use crate::verify::{Break, Pins, Summary, Verifier, Why, spread};

/// Lines that are held before they are verified together, per thread.
const CHUNK: usize = 1_024;

/// Verifies an export of one tenant, whose name it takes from the first line.
#[derive(Debug)]
pub struct Whole {
    pins: Pins,
    threads: usize,
    strict: bool,
    verifier: Option<Verifier>,
    waiting: Vec<String>,
    head: Option<HeadLine>,
}

impl Whole {
    /// On up to this many threads.
    #[must_use]
    pub const fn new(pins: Pins, threads: usize) -> Self {
        let threads = if threads == 0 { 1 } else { threads };
        Self { pins, threads, strict: false, verifier: None, waiting: Vec::new(), head: None }
    }

    /// Decides every signature alone.
    #[must_use]
    pub const fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Position of the last record that was verified.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.verifier.as_ref().map_or(0, Verifier::position)
    }

    /// Takes the next line, without its line break. Lines are verified together, so a break may
    /// be told some lines later.
    ///
    /// # Errors
    /// The export is broken.
    pub fn push(&mut self, line: String) -> Result<(), Break> {
        self.waiting.push(line);
        if self.waiting.len() >= CHUNK * self.threads { self.flush() } else { Ok(()) }
    }

    fn broken<T>(&self, why: Why) -> Result<T, Break> {
        Err(Break { position: self.position() + 1, why })
    }

    fn flush(&mut self) -> Result<(), Break> {
        let lines = std::mem::take(&mut self.waiting);
        let parse = |part: &[String]| part.iter().map(|line| parse_line(line)).collect::<Vec<_>>();
        let mut records = Vec::with_capacity(lines.len());
        let mut parsed = spread(&lines, self.threads, parse).into_iter().flatten();
        for entry in parsed.by_ref() {
            match entry {
                Ok(Entry::Record(line)) if self.head.is_none() => records.push(line),
                Ok(Entry::Head(line)) if self.head.is_none() => self.head = Some(line),
                other => {
                    self.verify(&records)?;
                    return self.broken(other.err().unwrap_or(Why::NotALine));
                }
            }
        }
        self.verify(&records)
    }

    fn verify(&mut self, records: &[OwnedLine]) -> Result<(), Break> {
        let Some(first) = records.first() else { return Ok(()) };
        if self.verifier.is_none() {
            let Some((tenant, _, _)) = parse_ledger(&first.subject) else {
                return self.broken(Why::Subject);
            };
            let verifier = Verifier::new(tenant, self.pins.clone());
            self.verifier = Some(if self.strict { verifier.strict() } else { verifier });
        }
        let lines: Vec<_> = records.iter().map(OwnedLine::line).collect();
        let threads = self.threads;
        self.verifier.as_mut().map_or(Ok(()), |verifier| verifier.push_parallel(&lines, threads))
    }

    /// The answer, after the last line.
    ///
    /// # Errors
    /// The export is broken or not whole.
    pub fn finish(mut self) -> Result<Summary, Break> {
        self.flush()?;
        match &self.verifier {
            Some(verifier) => verifier.finish(self.head.as_ref()),
            None => self.broken(Why::NotFounded),
        }
    }
}
