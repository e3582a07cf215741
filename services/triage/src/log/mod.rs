//! The incident log: an audit log of a real service desk (UCI dataset 498), several rows to one
//! incident, read as a stream and kept small.
//!
//! *Leakage.* The columns `resolved_at`, `closed_at`, `closed_code` and `resolved_by` hold the
//! outcome already on an incident's first row. They are never read here, so nothing built on
//! this crate can learn from them. What an [`Incident`] knows of its end (the final group, the
//! service level kept) is named as such and is for labels and scores; a worker gets [`Facts`].
//!
//! Contiguous rows with one number make one incident; `?` is a missing value.

mod error;
mod minute;
mod reader;
mod symbols;

use std::io::Read;
use std::path::Path;

pub use error::{Error, ErrorKind};
pub use minute::Minute;
pub use reader::Reader;
pub use symbols::{Code, Symbols, TooMany};

use crate::digest::Digest;
use crate::facts::Facts;
use crate::metered;
use crate::priority::{Level, Priority};

/// SHA-256 of the raw CSV as UCI publishes it: 46,212,397 bytes, 141,712 rows. A shorter copy
/// with 119,998 rows circulates under the same name.
pub const PUBLISHED: Digest =
    Digest::from_hex("fd184bbfd62329cfe093e99da2ea7071905f2ead91900b448eb2635870821bef");

/// One incident: its first row, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incident {
    /// The number, as logged.
    pub number: Box<str>,
    /// When it was opened.
    pub opened_at: Minute,
    /// First row: category.
    pub category: Option<Code>,
    /// First row: subcategory.
    pub subcategory: Option<Code>,
    /// First row: symptom.
    pub symptom: Option<Code>,
    /// First row: location.
    pub location: Option<Code>,
    /// First row: who is affected.
    pub caller: Option<Code>,
    /// First row: who reported it.
    pub opened_by: Option<Code>,
    /// First row: the account that created the record; missing when an interface did. It is
    /// fixed when the record comes into being and the same on every row.
    pub created_by: Option<Code>,
    /// First row: how the report came in.
    pub contact_type: Option<Code>,
    /// First row: impact.
    pub impact: Level,
    /// First row: urgency.
    pub urgency: Level,
    /// First row: priority as logged. Compute it with [`Priority::of`] instead.
    pub logged_priority: Priority,
    /// First row: assignment group. An outcome when `resolved_on_first_row`.
    pub first_group: Option<Code>,
    /// First row: state.
    pub first_state: Code,
    /// Whether the log begins when all was over (1,739 of those with a known final group):
    /// such an incident is of no use for training or tests.
    pub resolved_on_first_row: bool,
    /// Outcome: the assignment group on the last row.
    pub final_group: Option<Code>,
    /// Outcome: whether the service level was kept, by the last row.
    pub made_sla: bool,
    /// How many rows it has.
    pub rows: u32,
}

/// A log, read whole.
#[derive(Debug, Clone)]
pub struct IncidentLog {
    /// The incidents in the order of the file.
    pub incidents: Vec<Incident>,
    /// The texts behind their codes.
    pub symbols: Symbols,
    /// Rows without the header.
    pub rows: u64,
    /// Raw bytes, unpacked.
    pub bytes: u64,
    /// SHA-256 of the raw bytes, to hold against [`PUBLISHED`].
    pub sha256: Digest,
}

impl IncidentLog {
    /// Reads a file, plain or packed with gzip.
    ///
    /// # Errors
    /// When the file cannot be read or is not such a log.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let raw = metered::open(path)
            .map_err(|cause| Error::because(ErrorKind::Unreadable, None, cause))?;
        Self::read(raw)
    }

    /// Reads raw bytes to their end.
    ///
    /// # Errors
    /// When they cannot be read or are not such a log.
    pub fn read(raw: impl Read) -> Result<Self, Error> {
        let mut reader = Reader::new(raw)?;
        let mut incidents = Vec::new();
        while let Some(incident) = reader.next_incident()? {
            incidents.push(incident);
        }
        incidents.shrink_to_fit();
        reader.into_log(incidents)
    }

    /// What a worker may know of an incident of this log, first row's group included.
    pub fn facts(&self, incident: &Incident) -> Facts {
        let text = |code: Option<Code>| code.map(|code| self.symbols.text(code).to_owned());
        Facts {
            number: incident.number.to_string(),
            category: text(incident.category),
            subcategory: text(incident.subcategory),
            symptom: text(incident.symptom),
            location: text(incident.location),
            caller: text(incident.caller),
            opened_by: text(incident.opened_by),
            created_by: text(incident.created_by),
            contact_type: text(incident.contact_type),
            impact: incident.impact,
            urgency: incident.urgency,
            group: text(incident.first_group),
        }
    }

    /// The final group's text, where it is known: the label.
    pub fn final_group(&self, incident: &Incident) -> Option<&str> {
        incident.final_group.map(|code| self.symbols.text(code))
    }
}
