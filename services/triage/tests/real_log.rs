//! The real incident log, where `$CANONRY_DATA` says it is: that it is the one we mean, that
//! priority is the table, that the published baselines come out, and how good ours is. A
//! relative `$CANONRY_DATA` counts from the workspace's root.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use canonry_triage::baseline::{Mode, Model};
use canonry_triage::locate::IN_DATA_FOLDER;
use canonry_triage::log::{IncidentLog, PUBLISHED};
use canonry_triage::lookup::{Key, Lookup};
use canonry_triage::priority::{Level, Priority};
use canonry_triage::score::Score;
use canonry_triage::split::Split;

fn path() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("CANONRY_DATA").filter(|folder| !folder.is_empty()) else {
        eprintln!("skipped: CANONRY_DATA is not set, so there is no real incident log here");
        return None;
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    Some(root.join(folder).join(IN_DATA_FOLDER))
}

fn log() -> Option<&'static IncidentLog> {
    static LOG: OnceLock<Option<IncidentLog>> = OnceLock::new();
    let read = || Some(IncidentLog::open(&path()?).expect("CANONRY_DATA holds the log"));
    LOG.get_or_init(read).as_ref()
}

#[test]
fn it_is_the_published_log() {
    let Some(log) = log() else { return };
    assert_eq!(log.sha256, PUBLISHED);
    assert_eq!((log.bytes, log.rows, log.incidents.len()), (46_212_397, 141_712, 24_918));
    let known = log.incidents.iter().filter(|one| one.final_group.is_some());
    assert_eq!(known.clone().count(), 22_761);
    assert_eq!(known.filter(|one| one.resolved_on_first_row).count(), 1_739);
    let first = log.incidents.iter().map(|one| one.opened_at).min().expect("not empty");
    let last = log.incidents.iter().map(|one| one.opened_at).max().expect("not empty");
    assert_eq!(&first.to_string()[..10], "2016-02-29");
    assert_eq!(&last.to_string()[..10], "2017-02-16");
    assert_eq!(log.symbols.len(), 6_746);
}

/// Reads the file on its own, since a log keeps only the first row's priority.
#[test]
fn priority_is_the_table_on_every_row() {
    let Some(path) = path() else { return };
    let file = std::fs::File::open(path).expect("CANONRY_DATA holds the log");
    let mut csv = csv::Reader::from_reader(flate2::read::MultiGzDecoder::new(file));
    let header = csv.headers().expect("has one").clone();
    let place = |name| header.iter().position(|column| column == name).expect("is there");
    let [impact, urgency, priority] = ["impact", "urgency", "priority"].map(place);
    let (mut row, mut rows) = (csv::StringRecord::new(), 0);
    while csv.read_record(&mut row).expect("valid") {
        let level = |at: usize| Level::from_log(&row[at]).expect("a level");
        let logged = Priority::from_log(&row[priority]).expect("a priority");
        assert_eq!(Priority::of(level(impact), level(urgency)), logged, "row {rows}");
        rows += 1;
    }
    assert_eq!(rows, 141_712);
}

/// The data's notes give 48.2, 50.6, 54.9, 56.3 and 67.4 % (the last is 67.345), measured before
/// the incidents that were resolved on their first row are left out. Left out, all are harder:
/// the first row's group alone comes to 66.2 %.
#[test]
fn the_published_baselines_come_out() {
    let Some(log) = log() else { return };
    let split = Split::of(&log.incidents);
    assert_eq!(split.training_before_step_4.len(), 15_932);
    let published = [
        (Key::Nothing, 3_292, 482),
        (Key::Category, 3_457, 506),
        (Key::Subcategory, 3_747, 549),
        (Key::Location, 3_843, 563),
        (Key::FirstGroup, 4_599, 674),
    ];
    for (key, right, per_mille) in published {
        let lookup = Lookup::train(key, &split.training_before_step_4);
        let score = lookup.score(&split.held_out_before_step_4);
        assert_eq!(score, Score { right, of: 6_829 }, "{key:?}");
        assert!(score.per_mille().abs_diff(per_mille) <= 1, "{key:?}: {score:?}");
    }
}

#[test]
fn the_baseline_beats_the_look_up() {
    let Some(log) = log() else { return };
    let split = Split::of(&log.incidents);
    assert_eq!((split.training.len(), split.held_out.len()), (14_461, 6_561));
    let lookup = |key| Lookup::train(key, &split.training).score(&split.held_out).right;
    assert_eq!((lookup(Key::Location), lookup(Key::FirstGroup)), (3_616, 4_343));
    let score = |mode| -> Score {
        let model = Model::train(mode, log, &split.training).expect("learns");
        let score = model.score(log, &split.held_out);
        eprintln!("{mode:?}: {score:?}, {} per mille", score.per_mille());
        score
    };
    // Asked for are 56 % and more than 67.4 %. The model is deterministic: hold what it reaches.
    assert_eq!(score(Mode::WithoutGroup).right, 4_824);
    assert_eq!(score(Mode::WithGroup).right, 5_064);
}

/// A confidence means what it says: in every band, the share of right proposals is near it.
#[test]
fn confidence_is_calibrated() {
    let Some(log) = log() else { return };
    let split = Split::of(&log.incidents);
    for mode in [Mode::WithoutGroup, Mode::WithGroup] {
        let model = Model::train(mode, log, &split.training).expect("learns");
        let mut bands = [Score::default(); 10];
        let mut sums = [0_u32; 10];
        for incident in &split.held_out {
            let proposal = model.propose(&log.facts(incident));
            let band = usize::from(proposal.confidence / 100).min(9);
            bands[band].count(Some(proposal.group) == log.final_group(incident));
            sums[band] += u32::from(proposal.confidence);
        }
        for (band, sum) in bands.iter().zip(sums).filter(|(band, _)| band.of >= 200) {
            let said = sum / band.of;
            eprintln!("{mode:?}: said {said}, was {}, {} incidents", band.per_mille(), band.of);
            assert!(u32::from(band.per_mille()).abs_diff(said) <= 150, "{mode:?} said {said}");
        }
    }
}
