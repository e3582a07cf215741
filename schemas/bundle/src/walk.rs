//! Record by record, in the order of positions: signature and keys, the proof against the
//! checkpoint, the place in the tree, what it is about, approvals.

use std::collections::BTreeMap;

use canonry_record::export::{Entry, OwnedLine, parse_line};
use canonry_record::read::read;
use canonry_record::verify::State;
use canonry_record::{Hash, Verifier, record, verify};
use canonry_schemas::ids::{TenantId, WorkId};
use canonry_tlog::Proof;
use serde_json::Value;

use crate::approval::Asked;
use crate::concern::{Concern, is_of_keys};
use crate::manifest::{KEYS, RECORDS, proof_name};
use crate::verify::Broken;
use crate::whole::Name;

/// The lines of a file.
pub type Lines = Vec<OwnedLine>;

/// Reads the lines of a file of records.
///
/// # Errors
/// A line does not read, or positions do not ascend.
pub fn lines(name: &str, bytes: &[u8]) -> Result<Lines, Broken> {
    let broken = |code, why: &str| Broken::new(code, why).of(name);
    let text = std::str::from_utf8(bytes).ok().filter(|text| text.ends_with('\n'));
    let text = text.ok_or_else(|| broken("line-malformed", "it is not lines of text"))?;
    let mut lines: Lines = Vec::new();
    for line in text.split_terminator('\n') {
        let Ok(Entry::Record(line)) = parse_line(line) else {
            return Err(broken("line-malformed", "a line does not read as a record"));
        };
        if lines.last().is_some_and(|before| before.seq >= line.seq) {
            return Err(broken("records-order", "positions do not ascend").at(line.seq));
        }
        lines.push(line);
    }
    Ok(lines)
}

/// What was found on the way.
pub struct Walked {
    /// Where the verifier stands: keys, founder, repairs.
    pub state: State,
    /// The records that the bundle is about.
    pub concerned: Vec<Name>,
    /// The records of keys.
    pub keys: Vec<Name>,
    /// Approvals, rejections and step-ups whose signature was checked.
    pub approvals: u64,
}

/// What is checked against.
pub struct Against<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The ticket or run.
    pub about: &'a WorkId,
    /// The proofs by position, each against the checkpoint; each is taken.
    pub proofs: BTreeMap<u64, Proof>,
}

struct Walk<'a> {
    against: Against<'a>,
    verifier: Verifier,
    concern: Concern,
    asked: Asked,
    concerned: Vec<Name>,
    keys: Vec<Name>,
    approvals: u64,
}

/// Checks all records of a bundle.
///
/// # Errors
/// The first that does not stand.
pub fn walk(against: Against<'_>, keys: &Lines, records: &Lines) -> Result<Walked, Broken> {
    let mut walk = Walk {
        verifier: Verifier::new(against.tenant.clone(), verify::Pins::default()),
        concern: Concern::new(against.about),
        against,
        asked: Asked::default(),
        concerned: Vec::new(),
        keys: Vec::new(),
        approvals: 0,
    };
    let mut of_keys = keys.iter().peekable();
    let mut of_work = records.iter().peekable();
    loop {
        let next =
            [of_keys.peek(), of_work.peek()].into_iter().flatten().map(|line| line.seq).min();
        let Some(position) = next else { break };
        let key = of_keys.next_if(|line| line.seq == position);
        let work = of_work.next_if(|line| line.seq == position);
        if let (Some(key), Some(work)) = (key, work)
            && key != work
        {
            let why = "two records of one position";
            return Err(Broken::new("records-order", why).of(RECORDS).at(position));
        }
        if let Some(line) = key.or(work) {
            let name = if key.is_some() { KEYS } else { RECORDS };
            walk.step(line, key.is_some(), work.is_some()).map_err(|b| b.of(name).at(position))?;
        }
    }
    if let Some(position) = walk.against.proofs.keys().next() {
        let why = "a proof of no record of the bundle";
        return Err(Broken::new("proof-unused", why).of(&proof_name(*position)).at(*position));
    }
    let state = walk.verifier.state().cloned();
    let state = state.ok_or_else(|| Broken::new("gap", "there is no record 1").of(KEYS).at(1))?;
    let Walk { concerned, keys, approvals, .. } = walk;
    Ok(Walked { state, concerned, keys, approvals })
}

impl Walk<'_> {
    fn step(&mut self, line: &OwnedLine, of_keys: bool, of_work: bool) -> Result<(), Broken> {
        self.jump(line);
        self.verifier.push(&line.line())?;
        let borrowed = line.line();
        let read = read(&borrowed).map_err(|why| Broken::new(why.code(), &why.to_string()))?;
        self.prove(line.seq, read.hash)?;
        if of_keys && !is_of_keys(&read.record) {
            return Err(Broken::new("record-unrelated", "it changes no keys"));
        }
        if of_keys {
            self.keys.push((line.seq, read.hash));
        }
        let concerned = self.concern.takes(&read.record);
        if of_work && !concerned {
            let why = format!("it is not about {}", self.against.about.entity());
            return Err(Broken::new("record-unrelated", &why));
        }
        if of_work {
            self.concerned.push((line.seq, read.hash));
        }
        self.asked.take(&read);
        let ring = self.verifier.state().map(|state| &state.ring);
        if let Some(done) = ring.and_then(|ring| self.asked.check(ring, &read)) {
            done.map_err(|(code, why)| Broken::new(code, &why))?;
            self.approvals += 1;
        }
        Ok(())
    }

    /// Goes over the records that are not in the bundle. A repair says itself after which it
    /// stands.
    fn jump(&mut self, line: &OwnedLine) {
        let Ok(record) = record::parse(&line.body) else { return };
        let before = match (record.aggregate.as_str(), record.event.as_str()) {
            ("tenant", "repaired") => {
                let data: Value = serde_json::from_str(record.data).unwrap_or_default();
                data["after"]["position"].as_str().and_then(|text| text.parse().ok())
            }
            _ => line.seq.checked_sub(1),
        };
        if let Some(before) = before {
            self.verifier.skip_to(before, record.prevhash);
        }
    }

    /// The record is the leaf that its position says, in the tree of the checkpoint.
    fn prove(&mut self, position: u64, hash: Hash) -> Result<(), Broken> {
        let name = proof_name(position);
        let missing = || Broken::new("proof-missing", &format!("there is no {name}"));
        let proof = self.against.proofs.remove(&position).ok_or_else(missing)?;
        proof.check(&hash).map_err(|e| Broken::new("proof-wrong", &e.to_string()))?;
        let repairs = self.verifier.state().map_or(&[][..], |state| &state.repairs);
        if Some(proof.index)
            != canonry_record::repair::records_upto(repairs, position).checked_sub(1)
        {
            let why = format!("leaf {} is not that of position {position}", proof.index);
            return Err(Broken::new("proof-position", &why));
        }
        Ok(())
    }
}
