//! The baseline: a back-off model that proposes an assignment group with a confidence.
//!
//! Four experts each walk a path from a general key to a specific one, for example *creator*,
//! then *creator and location*, then *creator, location and subcategory*. At each step the
//! counts of the training incidents under that key are mixed with the estimate so far:
//! `p = (count + 2 * p) / (total + 2)`. Little support changes little; where a key was never
//! seen, the path ends and the estimate stays. The answer is the geometric mean of the four,
//! scaled to one. Paths and weight were chosen on the last 30 % of the *training* incidents,
//! never on the held-out ones.
//!
//! The same training incidents and facts give the same answer on every machine: the floats
//! see only `+ * /` and square roots, which IEEE 754 rounds alike everywhere, in a fixed order.

use std::collections::{BTreeMap, HashMap};

use crate::facts::Facts;
use crate::log::{Code, Incident, IncidentLog, Symbols};
use crate::score::Score;

/// Whether the worker may see the first row's group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// It may not; a group among the facts is never looked at.
    WithoutGroup,
    /// It may: the first row's group is a feature.
    WithGroup,
}

/// What an expert may look at.
#[derive(Debug, Clone, Copy)]
enum Field {
    Category,
    Subcategory,
    Location,
    Caller,
    OpenedBy,
    CreatedBy,
    Group,
}

use Field::{Caller, Category, CreatedBy, Group, Location, OpenedBy, Subcategory};

/// A path: every prefix longer than zero is a key, the longest the most specific.
type Path = &'static [Field];

const EXPERTS: usize = 4;

const WITHOUT_GROUP: [Path; EXPERTS] = [
    &[CreatedBy, Location, Subcategory],
    &[Category, Subcategory, CreatedBy, OpenedBy],
    &[CreatedBy, Location, Caller],
    &[Category, Location],
];

const WITH_GROUP: [Path; EXPERTS] = [
    &[Group, CreatedBy, Location, Subcategory],
    &[Category, Location],
    &[CreatedBy, OpenedBy, Subcategory],
    &[Group, Location],
];

/// How many training incidents the estimate so far weighs at each step.
const PRIOR_WEIGHT: f64 = 2.0;

/// Values of up to four fields, 16 bits each. The path and its depth say which fields.
type Key = u64;

/// A missing field is a value of its own, under which training incidents may be counted.
const MISSING: u16 = 0;
/// A text that the log never held. No code reaches this number, so it ends every path.
const UNSEEN: u16 = u16::MAX;

/// Counts per class under one key, classes ascending.
#[derive(Debug, Clone, Default)]
struct Counts {
    total: u32,
    by_class: Vec<(u16, u32)>,
}

impl Counts {
    fn count(&mut self, class: u16) {
        self.total += 1;
        match self.by_class.binary_search_by_key(&class, |(class, _)| *class) {
            Ok(at) => self.by_class[at].1 += 1,
            Err(at) => self.by_class.insert(at, (class, 1)),
        }
    }

    fn refine(&self, estimate: &mut [f64]) {
        let whole = f64::from(self.total) + PRIOR_WEIGHT;
        estimate.iter_mut().for_each(|p| *p = *p * PRIOR_WEIGHT / whole);
        for (class, count) in &self.by_class {
            estimate[usize::from(*class)] += f64::from(*count) / whole;
        }
    }
}

/// One table per depth of a path.
type Expert = Vec<HashMap<Key, Counts>>;

/// A trained model. It knows the texts it was trained on and needs no log to propose.
#[derive(Debug, Clone)]
pub struct Model {
    mode: Mode,
    symbols: Symbols,
    classes: Vec<Code>,
    prior: Vec<f64>,
    experts: Vec<(Path, Expert)>,
}

/// A proposed assignment group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposal<'model> {
    /// The group.
    pub group: &'model str,
    /// How sure the model is, in per mille, rounded down. On the real log's held-out incidents
    /// it is close to what it says where it is sure (970 means 970 right of 1,000) and up to
    /// 120 too high below that; a test holds it there. Choose thresholds accordingly.
    pub confidence: u16,
}

/// Nothing to learn from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no training incident has a known final group")]
pub struct NothingToLearn;

impl NothingToLearn {
    /// The stable code.
    pub fn code(self) -> &'static str {
        "triage-nothing-to-learn"
    }
}

impl Model {
    /// Learns from incidents of a log; those without a final group are passed over. Give it
    /// [`crate::split::Split::training`].
    ///
    /// # Errors
    /// When no incident is left.
    pub fn train(
        mode: Mode,
        log: &IncidentLog,
        training: &[&Incident],
    ) -> Result<Self, NothingToLearn> {
        let mut sizes: BTreeMap<Code, u32> = BTreeMap::new();
        for group in training.iter().filter_map(|incident| incident.final_group) {
            *sizes.entry(group).or_default() += 1;
        }
        let whole: u32 = sizes.values().sum();
        if whole == 0 {
            return Err(NothingToLearn);
        }
        let classes: Vec<Code> = sizes.keys().copied().collect();
        let prior = sizes.values().map(|size| f64::from(*size) / f64::from(whole)).collect();
        let paths = match mode {
            Mode::WithoutGroup => WITHOUT_GROUP,
            Mode::WithGroup => WITH_GROUP,
        };
        let experts = paths.map(|path| (path, learn(path, &classes, training))).into();
        Ok(Self { mode, symbols: log.symbols.clone(), classes, prior, experts })
    }

    /// Which mode it was trained in.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Proposes a group for facts, whether or not their values were ever seen.
    pub fn propose(&self, facts: &Facts) -> Proposal<'_> {
        let value = |text: &Option<String>| match text {
            None => MISSING,
            Some(text) => self.symbols.code(text).map_or(UNSEEN, Code::number),
        };
        self.best(|field| match field {
            Category => value(&facts.category),
            Subcategory => value(&facts.subcategory),
            Location => value(&facts.location),
            Caller => value(&facts.caller),
            OpenedBy => value(&facts.opened_by),
            CreatedBy => value(&facts.created_by),
            Group => value(&facts.group),
        })
    }

    /// Right proposals among incidents of `log` with a known final group.
    pub fn score(&self, log: &IncidentLog, held_out: &[&Incident]) -> Score {
        let known = held_out.iter().filter_map(|one| Some((*one, log.final_group(one)?)));
        known.map(|(one, group)| self.propose(&log.facts(one)).group == group).collect()
    }

    fn best(&self, value: impl Fn(Field) -> u16) -> Proposal<'_> {
        let mut product = vec![1.0; self.prior.len()];
        for (path, tables) in &self.experts {
            let mut estimate = self.prior.clone();
            for (key, table) in keys(path, &value).zip(tables) {
                let Some(counts) = table.get(&key) else { break };
                counts.refine(&mut estimate);
            }
            product.iter_mut().zip(&estimate).for_each(|(p, one)| *p *= one);
        }
        // The fourth root by two square roots, which IEEE 754 rounds alike everywhere.
        product.iter_mut().for_each(|p| *p = p.sqrt().sqrt());
        let whole: f64 = product.iter().sum();
        let mut best = 0;
        for (class, p) in product.iter().enumerate() {
            if *p > product[best] {
                best = class;
            }
        }
        Proposal {
            group: self.symbols.text(self.classes[best]),
            confidence: per_mille(product[best] / whole),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0..=1000 first; a cast from float is the only way to an integer"
)]
fn per_mille(share: f64) -> u16 {
    (share * 1000.0).clamp(0.0, 1000.0) as u16
}

fn learn(path: Path, classes: &[Code], training: &[&Incident]) -> Expert {
    let mut tables: Expert = vec![HashMap::new(); path.len()];
    for incident in training {
        let class = incident.final_group.and_then(|group| classes.binary_search(&group).ok());
        let Some(class) = class.and_then(|class| u16::try_from(class).ok()) else { continue };
        for (key, table) in keys(path, &|field| value_of(incident, field)).zip(&mut tables) {
            table.entry(key).or_default().count(class);
        }
    }
    tables
}

/// The keys of a path from general to specific.
fn keys(path: Path, value: &impl Fn(Field) -> u16) -> impl Iterator<Item = Key> {
    path.iter().scan(0, |key: &mut Key, field| {
        *key = *key << 16 | Key::from(value(*field));
        Some(*key)
    })
}

fn value_of(incident: &Incident, field: Field) -> u16 {
    let code = match field {
        Category => incident.category,
        Subcategory => incident.subcategory,
        Location => incident.location,
        Caller => incident.caller,
        OpenedBy => incident.opened_by,
        CreatedBy => incident.created_by,
        Group => incident.first_group,
    };
    code.map_or(MISSING, Code::number)
}
