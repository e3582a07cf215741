//! The sample log: where its rows come from, and that the whole crate works on it. The rows
//! are invented here by a small generator with a fixed seed; `CANONRY_WRITE_SAMPLE=1` writes
//! the file anew after a change to it.

use std::fmt::Write as _;

use canonry_triage::baseline::{Mode, Model};
use canonry_triage::log::IncidentLog;
use canonry_triage::lookup::{Key, Lookup};
use canonry_triage::priority::{Level, Priority};
use canonry_triage::sample;
use canonry_triage::split::Split;

const HEADER: &str = "number,incident_state,active,reassignment_count,reopen_count,sys_mod_count,\
made_sla,caller_id,opened_by,opened_at,sys_created_by,sys_created_at,sys_updated_by,\
sys_updated_at,contact_type,location,category,subcategory,u_symptom,cmdb_ci,impact,urgency,\
priority,assignment_group,assigned_to,knowledge,u_priority_confirmation,notify,problem_id,rfc,\
vendor,caused_by,closed_code,resolved_by,resolved_at,closed_at\n";

const INCIDENTS: u32 = 120;

/// Category, subcategories, and the group that ends up with it.
const TOPICS: [(&str, [&str; 3], &str); 5] = [
    ("network", ["vpn", "wifi", "switch"], "network"),
    ("printing", ["toner", "driver", "queue"], "workplace"),
    ("identity", ["password", "badge", "mailbox"], "identity"),
    ("laptop", ["battery", "screen", "dock"], "workplace"),
    ("payroll", ["payslip", "expenses", "holiday"], "applications"),
];
const LOCATIONS: [&str; 4] = ["atlantis", "el dorado", "lilliput", "utopia"];
const LEVELS: [&str; 3] = ["1 - High", "2 - Medium", "3 - Low"];
const PRIORITIES: [&str; 4] = ["1 - Critical", "2 - High", "3 - Moderate", "4 - Low"];

/// A congruential generator (Knuth's MMIX constants): enough to vary invented rows.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: u32) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from((self.0 >> 33) % u64::from(sides)).expect("small")
    }
}

fn generate() -> String {
    let mut csv = HEADER.to_owned();
    let mut dice = Dice(498);
    for number in 0..INCIDENTS {
        incident(&mut csv, &mut dice, number);
    }
    csv
}

fn incident(csv: &mut String, dice: &mut Dice, number: u32) {
    let (category, subcategories, settled) = TOPICS[dice.below(5)];
    let subcategory = subcategories[dice.below(3)];
    let location = LOCATIONS[dice.below(4)];
    let last_group = match dice.below(12) {
        0 => "?".to_owned(),
        1 => "Sample group service desk".to_owned(),
        _ if location == "lilliput" => "Sample group onsite".to_owned(),
        _ => format!("Sample group {settled}"),
    };
    let first_group = match dice.below(5) {
        0 | 1 => last_group.clone(),
        2 => "?".to_owned(),
        _ => "Sample group service desk".to_owned(),
    };
    let (impact, urgency) = match dice.below(10) {
        0 => (Level::High, Level::High),
        1 => (Level::High, Level::Medium),
        2 => (Level::Low, Level::Low),
        _ => (Level::Medium, Level::Medium),
    };
    let priority = PRIORITIES[usize::from(u8::from(Priority::of(impact, urgency))) - 1];
    let level = |level| LEVELS[usize::from(u8::from(level)) - 1];
    let creator = match dice.below(3) {
        0 => "?".to_owned(),
        _ => format!("Sample creator {}", dice.below(6)),
    };
    let symptom = match dice.below(4) {
        0 => "?".to_owned(),
        symptom => format!("Sample symptom {symptom}"),
    };
    let (caller, opener) = (dice.below(30), dice.below(8));
    let made_sla = dice.below(4) > 0;
    // Two incidents a day from the first of March 2001 on.
    let day = format!("{}/{}/2001", number / 2 % 30 + 1, 3 + number / 60);
    let opened = format!("{day} {:02}:{:02}", 8 + number % 2 * 4, dice.below(60));
    let states: &[&str] = match dice.below(10) {
        0 => &["Resolved", "Closed"],
        1..=4 => &["New", "Resolved", "Closed"],
        _ => &["New", "Active", "Resolved", "Closed"],
    };
    for (step, state) in states.iter().enumerate() {
        let last = step + 1 == states.len();
        let group = if step == 0 { &first_group } else { &last_group };
        writeln!(
            csv,
            "SAMPLE{number:04},{state},{},{},0,{step},{},Sample caller {caller},\
             Sample opener {opener},{opened},{creator},{opened},Sample updater {step},{opened},\
             Phone,Sample {location},Sample {category},Sample {subcategory},{symptom},?,{},{},\
             {priority},{group},?,true,false,Do Not Notify,?,?,?,?,code 0,Sample resolver,\
             {day} 20:00,{day} 21:00",
            !last,
            u8::from(step > 0 && first_group != last_group),
            !last || made_sla,
            level(impact),
            level(urgency),
        )
        .expect("to memory");
    }
}

#[test]
fn the_file_is_what_the_generator_yields() {
    if std::env::var_os("CANONRY_WRITE_SAMPLE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/sample.csv");
        std::fs::write(path, generate()).expect("written");
    } else {
        assert!(generate().as_bytes() == sample::CSV, "run once with CANONRY_WRITE_SAMPLE=1");
    }
}

#[test]
fn the_sample_has_every_kind_of_incident() {
    let log = sample::read().expect("a log");
    assert_eq!(log.incidents.len(), 120);
    assert_eq!(log.bytes, sample::CSV.len() as u64);
    let some = |what: &str, test: fn(&canonry_triage::log::Incident) -> bool| {
        let count = log.incidents.iter().filter(|incident| test(incident)).count();
        assert!((2..118).contains(&count), "{what}: {count}");
    };
    some("unknown final group", |one| one.final_group.is_none());
    some("resolved on the first row", |one| one.resolved_on_first_row);
    some("reassigned", |one| one.first_group != one.final_group);
    some("urgent", |one| one.logged_priority <= Priority::High);
    some("late", |one| !one.made_sla);
    some("missing creator", |one| one.created_by.is_none());
    let rows: u32 = log.incidents.iter().map(|one| one.rows).sum();
    assert_eq!(u64::from(rows), log.rows);
}

#[test]
fn the_baseline_learns_the_sample() {
    let log = sample::read().expect("a log");
    let split = Split::of(&log.incidents);
    let plain = Lookup::train(Key::Nothing, &split.training).score(&split.held_out);
    for mode in [Mode::WithoutGroup, Mode::WithGroup] {
        let model = Model::train(mode, &log, &split.training).expect("learns");
        let score = model.score(&log, &split.held_out);
        eprintln!("{mode:?}: {score:?}, most frequent group {plain:?}");
        assert!(score.right > plain.right && score.at_least(56, 100), "{mode:?} {score:?}");
    }
}

/// The four leaking columns, and all that later rows say of anything but the end, can be
/// anything: what a worker gets to know stays the same.
#[test]
fn no_fact_depends_on_an_outcome() {
    let log = sample::read().expect("a log");
    let mut reader = csv::Reader::from_reader(sample::CSV);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let header = reader.headers().expect("has one").clone();
    writer.write_record(&header).expect("to memory");
    let mut previous = String::new();
    for (row, record) in reader.records().map(|record| record.expect("valid")).enumerate() {
        let first = record[0] != previous;
        previous = record[0].to_owned();
        let altered = header.iter().zip(&record).map(|(column, field)| match column {
            "resolved_at" | "closed_at" | "closed_code" | "resolved_by" => format!("x{row}"),
            "number" | "made_sla" => field.to_owned(),
            _ if first => field.to_owned(),
            _ => format!("y{row}"),
        });
        writer.write_record(altered).expect("to memory");
    }
    let altered = IncidentLog::read(&*writer.into_inner().expect("to memory")).expect("a log");
    for (before, after) in log.incidents.iter().zip(&altered.incidents) {
        assert_eq!(log.facts(before), altered.facts(after));
        assert_ne!(log.final_group(before), altered.final_group(after));
    }
}
