//! What lies where in a place, below the tenant's name: one printer and one strict parser for each
//! name.
//!
//! ```text
//! ledger/<first>-<last>.jsonl   segments of the ledger, never changed
//! head.json                     the newest signed head that the segments reach
//! content-keys.json             content keys, still wrapped: one current copy, overwritten
//! backups/<moment>-<position>.json   what each backup found, never changed
//! evidence/<object>.<number>.<digest>   parts of an evidence object, sealed, never changed
//! evidence/<object>.json        names its parts; written last, never changed
//! ```

use canonry_record::Hash;
use canonry_schemas::time::Time;

/// The folder of segments.
pub const LEDGER: &str = "ledger";
/// The folder of manifests.
pub const BACKUPS: &str = "backups";
/// The newest head.
pub const HEAD: &str = "head.json";
/// The current copy of content keys.
pub const KEYS: &str = "content-keys.json";
/// The folder of evidence objects.
pub const EVIDENCE: &str = "evidence";
/// Positions are padded, so that the order of names is that of positions.
const DIGITS: usize = 20;

/// A segment: the records of some positions in a row, as lines of an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    /// The first position.
    pub first: u64,
    /// The last one.
    pub last: u64,
}

impl Segment {
    /// Its file name.
    #[must_use]
    pub fn file(self) -> String {
        format!("{:0DIGITS$}-{:0DIGITS$}.jsonl", self.first, self.last)
    }

    /// Its name below the tenant.
    #[must_use]
    pub fn name(self) -> String {
        format!("{LEDGER}/{}", self.file())
    }

    /// Reads a file name.
    #[must_use]
    pub fn parse(file: &str) -> Option<Self> {
        let (first, last) = file.strip_suffix(".jsonl")?.split_once('-')?;
        let segment = Self { first: first.parse().ok()?, last: last.parse().ok()? };
        let sound = segment.first >= 1 && segment.first <= segment.last;
        (sound && segment.file() == file).then_some(segment)
    }
}

/// The file name of the manifest of a backup.
#[must_use]
pub fn manifest_file(at: Time, position: u64) -> String {
    let moment: String = at.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    format!("{moment}-{position:0DIGITS$}.json")
}

/// The file name of one part of an evidence object: another content is another file.
#[must_use]
pub fn part_file(object: &str, number: usize, sha256: &Hash) -> String {
    format!("{object}.{number:06}.{sha256}")
}

/// The file name of what names the parts of an evidence object.
#[must_use]
pub fn description_file(object: &str) -> String {
    format!("{object}.json")
}

/// The object that a file names the parts of; `None` for a part.
#[must_use]
pub fn description_of(file: &str) -> Option<&str> {
    file.strip_suffix(".json").filter(|object| !object.contains('.'))
}

/// Which segments to read in order: each goes on where the one before ended. Two writers may have
/// left overlapping ones; the one that reaches farthest is taken. A position that none covers is
/// jumped over: whether that may be is for the verifier to say.
#[must_use]
pub fn plan(mut there: Vec<Segment>) -> Vec<Segment> {
    there.sort();
    let (mut due, mut plan) = (1, Vec::new());
    let (mut coming, mut farthest) = (there.into_iter().peekable(), None::<Segment>);
    loop {
        while let Some(next) = coming.next_if(|s| s.first <= due) {
            farthest = farthest.filter(|f| f.last >= next.last).or(Some(next));
        }
        match (farthest.filter(|f| f.last >= due), coming.peek()) {
            (Some(segment), _) => {
                due = segment.last + 1;
                plan.push(segment);
            }
            (None, Some(beyond)) => due = beyond.first,
            (None, None) => return plan,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(first: u64, last: u64) -> Segment {
        Segment { first, last }
    }

    #[test]
    fn names_are_read_strictly() {
        let one = segment(1, 4_096);
        assert_eq!(one.name(), "ledger/00000000000000000001-00000000000000004096.jsonl");
        assert_eq!(Segment::parse(&one.file()), Some(one));
        for bad in [
            "1-2.jsonl",
            "00000000000000000002-00000000000000000001.jsonl",
            "00000000000000000000-00000000000000000001.jsonl",
            "00000000000000000001-00000000000000000002.json",
            "x",
        ] {
            assert_eq!(Segment::parse(bad), None, "{bad}");
        }
        let at: Time = "2026-01-31T12:00:00.000001Z".parse().unwrap();
        assert_eq!(manifest_file(at, 7), "20260131T120000000001Z-00000000000000000007.json");
    }

    #[test]
    fn a_description_is_told_from_parts() {
        let part = part_file("evd_1", 3, &Hash([0xab; 32]));
        assert_eq!(part, format!("evd_1.000003.{}", "ab".repeat(32)));
        assert_eq!((description_of(&part), description_of("evd_1.3.json")), (None, None));
        assert_eq!(description_of(&description_file("evd_1")), Some("evd_1"));
    }

    #[test]
    fn overlaps_and_holes_are_walked() {
        let of = |list: &[(u64, u64)]| plan(list.iter().map(|&(a, b)| segment(a, b)).collect());
        assert_eq!(of(&[]), []);
        assert_eq!(of(&[(5, 9), (1, 4)]), [segment(1, 4), segment(5, 9)]);
        // Two writers: the shorter way round would end at 10.
        let overlapping = of(&[(1, 10), (1, 9), (10, 18), (19, 20)]);
        assert_eq!(overlapping, [segment(1, 10), segment(10, 18), segment(19, 20)]);
        assert_eq!(of(&[(1, 4), (2, 3), (7, 9)]), [segment(1, 4), segment(7, 9)]);
    }
}
