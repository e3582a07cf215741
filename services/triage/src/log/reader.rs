//! The streaming reader: one incident at a time, in the order of the file, with a line number
//! for everything it refuses. It holds the values and the numbers seen, never the rows.

use std::collections::HashSet;
use std::io::Read;

use csv::ByteRecord;

use super::error::{Error, ErrorKind};
use super::symbols::{Code, Symbols};
use super::{Incident, IncidentLog, Minute};
use crate::limits::{MAX_FIELD_BYTES, MAX_INCIDENTS, MAX_LOG_BYTES, MAX_SYMBOLS};
use crate::metered::Metered;
use crate::priority::{Level, Priority};

/// The columns that are read. Those that leak the outcome are not among them, and neither are
/// those that name who worked on the incident.
const COLUMNS: [&str; 16] = [
    "number",
    "opened_at",
    "category",
    "subcategory",
    "u_symptom",
    "location",
    "caller_id",
    "opened_by",
    "sys_created_by",
    "contact_type",
    "impact",
    "urgency",
    "priority",
    "assignment_group",
    "incident_state",
    "made_sla",
];

/// A place in [`COLUMNS`].
#[derive(Clone, Copy)]
enum Column {
    Number,
    OpenedAt,
    Category,
    Subcategory,
    Symptom,
    Location,
    Caller,
    OpenedBy,
    CreatedBy,
    ContactType,
    Impact,
    Urgency,
    Priority,
    Group,
    State,
    MadeSla,
}

/// Reads a log incident by incident.
pub struct Reader<R> {
    csv: csv::Reader<Metered<R>>,
    places: [usize; COLUMNS.len()],
    symbols: Symbols,
    numbers: HashSet<Box<str>>,
    row: ByteRecord,
    open: Option<Incident>,
    rows: u64,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When it lacks a column that is needed.
    pub fn new(raw: R) -> Result<Self, Error> {
        let metered = Metered::new(raw, MAX_LOG_BYTES);
        let mut csv = csv::ReaderBuilder::new().buffer_capacity(64 * 1024).from_reader(metered);
        let header = match csv.byte_headers() {
            Ok(header) => header.clone(),
            Err(cause) => return Err(refused(&csv, cause)),
        };
        let mut places = [0; COLUMNS.len()];
        for (place, name) in places.iter_mut().zip(COLUMNS) {
            let mut found =
                header.iter().enumerate().filter(|(_, field)| *field == name.as_bytes());
            match (found.next(), found.next()) {
                (Some((at, _)), None) => *place = at,
                _ => return Err(Error::new(ErrorKind::BadHeader(name), Some(1))),
            }
        }
        Ok(Self {
            csv,
            places,
            symbols: Symbols::default(),
            numbers: HashSet::new(),
            row: ByteRecord::new(),
            open: None,
            rows: 0,
        })
    }

    /// The next incident, or none at the end of the file.
    ///
    /// # Errors
    /// When a row cannot be read; the reader is of no further use then.
    pub fn next_incident(&mut self) -> Result<Option<Incident>, Error> {
        loop {
            match self.csv.read_byte_record(&mut self.row) {
                Ok(true) => {}
                Ok(false) => return Ok(self.open.take()),
                Err(cause) => return Err(refused(&self.csv, cause)),
            }
            self.rows += 1;
            let same = self
                .open
                .as_ref()
                .is_some_and(|open| open.number.as_bytes() == self.field(Column::Number));
            if same {
                let (group, made_sla) = (self.code(Column::Group)?, self.made_sla()?);
                if let Some(open) = &mut self.open {
                    open.final_group = group;
                    open.made_sla = made_sla;
                    open.rows += 1;
                }
                continue;
            }
            let first = self.first_row()?;
            if let Some(done) = self.open.replace(first) {
                return Ok(Some(done));
            }
        }
    }

    /// The texts behind the codes of the incidents read so far.
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// Closes the reading, once [`Self::next_incident`] came to the end.
    pub(super) fn into_log(self, incidents: Vec<Incident>) -> Result<IncidentLog, Error> {
        if incidents.is_empty() {
            return Err(Error::new(ErrorKind::Empty, None));
        }
        let raw = self.csv.get_ref();
        let (bytes, sha256) = (raw.count(), raw.digest());
        Ok(IncidentLog { incidents, symbols: self.symbols, rows: self.rows, bytes, sha256 })
    }

    fn first_row(&mut self) -> Result<Incident, Error> {
        let number: Box<str> = match self.text(Column::Number)? {
            Some(number) => number.into(),
            None => return Err(self.bad(Column::Number)),
        };
        if self.numbers.len() >= MAX_INCIDENTS {
            let kind = ErrorKind::TooLarge(MAX_INCIDENTS as u64, "incidents");
            return Err(Error::new(kind, self.line()));
        }
        if !self.numbers.insert(number.clone()) {
            return Err(Error::new(ErrorKind::NotContiguous(number), self.line()));
        }
        let group = self.code(Column::Group)?;
        let Some(state) = self.code(Column::State)? else {
            return Err(self.bad(Column::State));
        };
        Ok(Incident {
            number,
            opened_at: self.parsed(Column::OpenedAt, Minute::from_log)?,
            category: self.code(Column::Category)?,
            subcategory: self.code(Column::Subcategory)?,
            symptom: self.code(Column::Symptom)?,
            location: self.code(Column::Location)?,
            caller: self.code(Column::Caller)?,
            opened_by: self.code(Column::OpenedBy)?,
            created_by: self.code(Column::CreatedBy)?,
            contact_type: self.code(Column::ContactType)?,
            impact: self.parsed(Column::Impact, Level::from_log)?,
            urgency: self.parsed(Column::Urgency, Level::from_log)?,
            logged_priority: self.parsed(Column::Priority, Priority::from_log)?,
            first_group: group,
            first_state: state,
            resolved_on_first_row: matches!(self.symbols.text(state), "Resolved" | "Closed"),
            final_group: group,
            made_sla: self.made_sla()?,
            rows: 1,
        })
    }

    fn field(&self, column: Column) -> &[u8] {
        self.row.get(self.places[column as usize]).unwrap_or_default()
    }

    /// The text of a field; `?` and nothing at all are both missing.
    fn text(&self, column: Column) -> Result<Option<&str>, Error> {
        let field = self.field(column);
        if field.len() > MAX_FIELD_BYTES {
            return Err(self.bad(column));
        }
        match std::str::from_utf8(field) {
            Ok("?" | "") => Ok(None),
            Ok(text) => Ok(Some(text)),
            Err(cause) => Err(Error::because(ErrorKind::MalformedRow, self.line(), cause)),
        }
    }

    fn code(&mut self, column: Column) -> Result<Option<Code>, Error> {
        // Taken out for the call: the text borrows the row while the table grows.
        let mut symbols = std::mem::take(&mut self.symbols);
        let code = self.text(column).map(|text| text.map(|text| symbols.intern(text)).transpose());
        self.symbols = symbols;
        code?.map_err(|cause| {
            let kind = ErrorKind::TooLarge(MAX_SYMBOLS as u64, "distinct values");
            Error::because(kind, self.line(), cause)
        })
    }

    fn parsed<T>(&self, column: Column, parse: fn(&str) -> Option<T>) -> Result<T, Error> {
        self.text(column)?.and_then(parse).ok_or_else(|| self.bad(column))
    }

    fn made_sla(&self) -> Result<bool, Error> {
        self.parsed(Column::MadeSla, |text| text.parse().ok())
    }

    fn bad(&self, column: Column) -> Error {
        Error::new(ErrorKind::BadValue(COLUMNS[column as usize]), self.line())
    }

    fn line(&self) -> Option<u64> {
        self.row.position().map(csv::Position::line)
    }
}

/// Tells a file that cannot be read from a row that is not CSV.
fn refused<R: Read>(csv: &csv::Reader<Metered<R>>, cause: csv::Error) -> Error {
    let line = cause.position().map(csv::Position::line);
    if csv.get_ref().exceeded() {
        return Error::new(ErrorKind::TooLarge(MAX_LOG_BYTES, "bytes"), line);
    }
    let kind = if cause.is_io_error() { ErrorKind::Unreadable } else { ErrorKind::MalformedRow };
    Error::because(kind, line, cause)
}
