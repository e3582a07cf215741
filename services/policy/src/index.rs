//! Which rules can match an input, without evaluating any.
//!
//! The field that most rules compare, with the most constants, parts the rules: those whose constant
//! the input does not have are never looked at, however many they are. What is left is sifted by the
//! rest of its guards. A rule without guards is always left.

use std::collections::{BTreeMap, BTreeSet};

use regorus::Value;

use crate::rego::guard::{Guard, look};

/// Rules by the constant that a field is compared with.
type ByValue = BTreeMap<Value, Vec<usize>>;

/// The rules by the fields they compare.
#[derive(Debug, Default)]
pub(crate) struct Index {
    guards: Vec<Vec<Guard>>,
    /// Each field that parts rules, and the rules by its value.
    parted: Vec<(Vec<String>, ByValue)>,
    /// Rules that no field parts.
    always: Vec<usize>,
}

impl Index {
    /// Of the guards of each rule, by its number.
    pub(crate) fn new(guards: Vec<Vec<Guard>>) -> Self {
        let mut constants: BTreeMap<&[String], BTreeSet<&Value>> = BTreeMap::new();
        for guard in guards.iter().flatten() {
            constants.entry(&guard.path).or_default().extend(&guard.values);
        }
        let mut parted: BTreeMap<Vec<String>, ByValue> = BTreeMap::new();
        let mut always = Vec::new();
        for (rule, own) in guards.iter().enumerate() {
            // Of a rule's own fields the one that parts the policy most finely.
            let best = own.iter().max_by_key(|g| constants.get(&g.path[..]).map(BTreeSet::len));
            let Some(best) = best else {
                always.push(rule);
                continue;
            };
            let by_value = parted.entry(best.path.clone()).or_default();
            for value in &best.values {
                by_value.entry(value.clone()).or_default().push(rule);
            }
        }
        Self { parted: parted.into_iter().collect(), always, guards }
    }

    /// The rules that can match `input`, in order.
    pub(crate) fn candidates(&self, input: &Value) -> Vec<usize> {
        let mut all = self.always.clone();
        for (path, by_value) in &self.parted {
            let rules = look(input, path).and_then(|v| by_value.get(v));
            let passing = |rule: &usize| self.guards[*rule].iter().all(|g| g.passes(input));
            all.extend(rules.into_iter().flatten().copied().filter(passing));
        }
        all.sort_unstable();
        all
    }
}
