//! Logs that are not quite logs: each is refused with its code and, where one is to blame, the
//! line.

use canonry_triage::limits::{MAX_INCIDENTS, MAX_SYMBOLS};
use canonry_triage::log::{Error, ErrorKind, IncidentLog};
use canonry_triage::sample;

/// Header and the first two rows of the sample, altered.
fn read(alter: impl Fn(String) -> String) -> Result<IncidentLog, Error> {
    let sample = String::from_utf8(sample::CSV.to_vec()).expect("text");
    let head: String = sample.split_inclusive('\n').take(3).collect();
    IncidentLog::read(alter(head).as_bytes())
}

fn refused(alter: impl Fn(String) -> String) -> (&'static str, Option<u64>, String) {
    let error = read(alter).expect_err("refused");
    (error.code(), error.line, error.to_string())
}

#[test]
fn the_unaltered_head_is_a_log() {
    assert_eq!(read(|log| log).expect("a log").rows, 2);
}

#[test]
fn header() {
    let (code, line, text) = refused(|log| log.replace("u_symptom", "symptom"));
    assert_eq!((code, line), ("log-bad-header", Some(1)));
    assert!(text.contains("u_symptom"), "{text}");
    let twice = refused(|log| log.replacen("rfc", "number", 1));
    assert_eq!((twice.0, twice.1), ("log-bad-header", Some(1)));
    assert_eq!(refused(|_| String::new()).0, "log-bad-header");
    assert_eq!(refused(|log| log.lines().take(1).collect()).0, "log-empty");
}

#[test]
fn fields() {
    let long = "long".repeat(40);
    let cases = [
        ("1/3/2001 ", "30/2/2001 ", "opened_at"),
        ("SAMPLE0000", "?", "number"),
        (",0,0,0,true", ",0,0,0,maybe", "made_sla"),
        (",New,", ",?,", "incident_state"),
        ("2 - Medium", "2 - Middling", "impact"),
        ("- Moderate", "- Modest", "priority"),
        ("Sample opener", &long, "opened_by"),
    ];
    for (from, to, column) in cases {
        let sample = String::from_utf8_lossy(sample::CSV).into_owned();
        let row = sample.lines().position(|line| line.contains(from)).expect(from);
        let lines = sample.lines().enumerate().map(|(at, line)| {
            let altered = if at == row { line.replace(from, to) } else { line.to_owned() };
            altered + "\n"
        });
        let error = IncidentLog::read(lines.collect::<String>().as_bytes()).expect_err(column);
        assert_eq!(error.kind, ErrorKind::BadValue(column));
        assert_eq!(error.line, Some(row as u64 + 1), "{column}");
    }
}

#[test]
fn rows() {
    let short = refused(|log| log.replacen(",?,?,?,?,code 0", ",?,?,?,code 0", 2));
    assert_eq!((short.0, short.1), ("log-malformed-row", Some(2)));
    let apart = refused(|log| {
        let row = log.lines().nth(1).expect("a row").to_owned();
        format!("{log}{}\n{row}\n", row.replace("SAMPLE0000", "SAMPLE0001"))
    });
    assert_eq!((apart.0, apart.1), ("log-not-contiguous", Some(5)));
    assert!(apart.2.contains("SAMPLE0000"), "{}", apart.2);
}

#[test]
fn too_many_values_or_incidents() {
    let header = "number,opened_at,category,subcategory,u_symptom,location,caller_id,opened_by,\
                  sys_created_by,contact_type,impact,urgency,priority,assignment_group,\
                  incident_state,made_sla\n";
    let log = |count: usize, caller: fn(usize) -> usize| {
        let rows = (0..count).map(|row| {
            let caller = caller(row);
            format!(
                "N{row},1/1/2001 00:00,?,?,?,?,{caller},?,?,?,2 - Medium,2 - Medium,\
                 3 - Moderate,?,New,true\n"
            )
        });
        let csv: String = std::iter::once(header.to_owned()).chain(rows).collect();
        IncidentLog::read(csv.as_bytes()).map(|log| log.incidents.len())
    };
    assert_eq!(log(MAX_INCIDENTS, |_| 0).expect("within the limit"), MAX_INCIDENTS);
    let incidents = log(MAX_INCIDENTS + 1, |_| 0).expect_err("over the limit");
    assert_eq!(
        (incidents.code(), incidents.line),
        ("log-too-large", Some(MAX_INCIDENTS as u64 + 2))
    );
    // The state is a value as well, so one caller fewer than the limit fits.
    let values = log(MAX_SYMBOLS, |row| row).expect_err("over the limit");
    assert_eq!((values.code(), values.line), ("log-too-large", Some(MAX_SYMBOLS as u64 + 1)));
}

#[test]
fn bytes() {
    let mut not_utf8 = sample::CSV.to_vec();
    let at = not_utf8.windows(7).position(|bytes| bytes == b"Sample ").expect("is there");
    not_utf8[at] = 0xff;
    let error = IncidentLog::read(&*not_utf8).expect_err("refused");
    assert_eq!((error.code(), error.line), ("log-malformed-row", Some(2)));
    assert!(std::error::Error::source(&error).is_some());

    let folder = tempfile::tempdir().expect("a folder");
    let cut = folder.path().join("cut.csv.gz");
    std::fs::write(&cut, [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0]).expect("written");
    assert_eq!(IncidentLog::open(&cut).expect_err("refused").code(), "log-unreadable");
}
