//! A whole export, line by line: what `ledger verify --file` runs. Reading the file is the
//! caller's. The chain itself is in [`crate::verify`].

use canonry_schemas::subject::parse_ledger;

use crate::crew::Crew;
use crate::export::{Entry, HeadLine, OwnedLine, parse_line};
use crate::repair::Repair;
use crate::verify::{Break, Pins, Summary, Verifier, Why};

/// Verifies an export of one tenant, whose name it takes from the first line.
pub struct Whole {
    pins: Pins,
    threads: usize,
    strict: bool,
    running: Option<(Verifier, Crew)>,
    head: Option<HeadLine>,
    broken: Option<Break>,
    /// Kept when the verifier is gone.
    repairs: Vec<Repair>,
}

impl Whole {
    /// On up to this many threads, the caller's included.
    #[must_use]
    pub const fn new(pins: Pins, threads: usize) -> Self {
        Self {
            pins,
            threads,
            strict: false,
            running: None,
            head: None,
            broken: None,
            repairs: Vec::new(),
        }
    }

    /// Decides every signature alone.
    #[must_use]
    pub const fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Position of the last record that was read; its signature may still be under way.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.running.as_ref().map_or(0, |(verifier, _)| verifier.position())
    }

    /// The repairs that were read; a wrong signature may come to light later.
    #[must_use]
    pub fn repairs(&self) -> Vec<Repair> {
        match self.running.as_ref().and_then(|(verifier, _)| verifier.state()) {
            Some(state) => state.repairs.clone(),
            None => self.repairs.clone(),
        }
    }

    /// Takes the next line, without its line break. Signatures are verified together, so a break
    /// may be told some lines later.
    ///
    /// # Errors
    /// The export is broken; every later call answers the same.
    pub fn push(&mut self, line: impl AsRef<str>) -> Result<(), Break> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let taken = match parse_line(line.as_ref()) {
            Ok(Entry::Record(line)) if self.head.is_none() => self.record(&line),
            Ok(Entry::Head(line)) if self.head.is_none() => {
                self.head = Some(line);
                Ok(())
            }
            other => self.refuse(other.err().unwrap_or(Why::NotALine)),
        };
        let Err(broken) = taken else { return Ok(()) };
        self.repairs = self.repairs();
        // What the crew still holds lies before the line that stopped us.
        let broken = match self.running.take() {
            Some((mut verifier, crew)) => {
                verifier.close(crew, Err(broken.clone())).err().unwrap_or(broken)
            }
            None => broken,
        };
        self.broken = Some(broken.clone());
        Err(broken)
    }

    fn refuse<T>(&self, why: Why) -> Result<T, Break> {
        Err(Break { position: self.position() + 1, why })
    }

    fn record(&mut self, line: &OwnedLine) -> Result<(), Break> {
        if self.running.is_none() {
            let Some((tenant, _, _)) = parse_ledger(&line.subject) else {
                return self.refuse(Why::Subject);
            };
            let verifier = Verifier::new(tenant, self.pins.clone());
            let verifier = if self.strict { verifier.strict() } else { verifier };
            let crew = verifier.crew(self.threads);
            self.running = Some((verifier, crew));
        }
        let running = self.running.as_mut();
        running.map_or(Ok(()), |(verifier, crew)| verifier.owe(&line.line(), crew))
    }

    /// The answer, after the last line.
    ///
    /// # Errors
    /// The export is broken or not whole.
    pub fn finish(mut self) -> Result<Summary, Break> {
        if let Some(broken) = self.broken {
            return Err(broken);
        }
        let Some((mut verifier, crew)) = self.running.take() else {
            return self.refuse(Why::NotFounded);
        };
        verifier.close(crew, Ok(()))?;
        verifier.finish(self.head.as_ref())
    }
}
