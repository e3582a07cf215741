//! What of a policy is refused before anything is evaluated: calls that a decision may not make,
//! rules that depend on themselves, and rules that a missing field would make true.
//!
//! Only rules that a decision can reach are looked at; tests in the same files may do as they like.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, Module, Rule, RuleHead};

use super::builtins::ALLOWED;
use super::uses::{self, Step, Use, Uses};
use crate::code::{Code, Refused};
use crate::input::{Field, field};
use crate::limits;

/// The name of the sets that decide.
pub(crate) const DECISIONS: &str = "decisions";
/// The package that decides, and every one below it.
const ROOT: &str = "data.canonry";

/// One rule and what is known of it.
pub(crate) struct Known {
    /// The module it is in.
    pub(crate) module: usize,
    /// Its place in the module.
    pub(crate) place: usize,
    package: String,
    /// `data.a.b.name`.
    path: String,
    uses: Uses,
    default: bool,
}

impl Known {
    /// Whether it is a rule that decides.
    pub(crate) fn decides(&self) -> bool {
        let below = self.package == ROOT
            || self.package.strip_prefix(ROOT).is_some_and(|rest| rest.starts_with('.'));
        below && self.path == format!("{}.{DECISIONS}", self.package)
    }
}

/// A policy's rules, by number.
pub(crate) struct Rules<'a> {
    modules: Vec<(&'a str, &'a Module)>,
    aliases: Vec<BTreeMap<String, (String, Vec<Step>)>>,
    all: Vec<Known>,
    named: BTreeMap<String, Vec<usize>>,
}

/// A rule's text under another name.
pub(crate) struct Copy {
    /// The text.
    pub(crate) text: String,
    /// Where the engine finds it: `data.a.b.name`.
    pub(crate) path: String,
}

/// What a use means once aliases are resolved.
enum Meaning {
    /// A field of the input.
    Input(Use),
    /// Rules, and whether the use goes on into what they give.
    Rules(Vec<usize>, bool),
    /// A document of the bundle.
    Data,
    /// Something of the rule's own: a variable, or a builtin.
    Local(Use),
}

impl<'a> Rules<'a> {
    /// Reads the rules of `modules`, each with the name of its file.
    ///
    /// # Errors
    /// A package or a rule whose name only the evaluation would know.
    pub(crate) fn read(modules: Vec<(&'a str, &'a Module)>) -> Result<Self, Refused> {
        let mut rules =
            Self { modules, aliases: Vec::new(), all: Vec::new(), named: BTreeMap::new() };
        for number in 0..rules.modules.len() {
            let (file, module) = rules.modules[number];
            let odd = |what: &str| Refused::new(Code::Form, format!("{file}: {what}"));
            let package = uses::package_of(module).ok_or_else(|| odd("odd package"))?;
            rules.aliases.push(aliases(module));
            for (place, rule) in module.policy.iter().enumerate() {
                let name = uses::name_of(rule).ok_or_else(|| odd("odd name of a rule"))?;
                let mut known = Known {
                    module: number,
                    place,
                    path: format!("{package}.{name}"),
                    package: package.clone(),
                    uses: Uses::default(),
                    default: matches!(&**rule, Rule::Default { .. }),
                };
                known.uses = uses::of_rule(rule, known.decides());
                let named = rules.named.entry(known.path.clone()).or_default();
                named.push(rules.all.len());
                rules.all.push(known);
            }
        }
        Ok(rules)
    }

    /// The numbers of the rules that decide.
    pub(crate) fn deciding(&self) -> Vec<usize> {
        (0..self.all.len()).filter(|n| self.all[*n].decides()).collect()
    }

    /// A rule.
    pub(crate) fn known(&self, number: usize) -> &Known {
        &self.all[number]
    }

    /// Refuses what decisions may not do.
    ///
    /// # Errors
    /// The first such thing, with its place.
    pub(crate) fn check(&self) -> Result<(), Refused> {
        let deciding = self.deciding();
        let mut depths = BTreeMap::new();
        for number in &deciding {
            self.depth(*number, &mut Vec::new(), &mut depths)?;
        }
        let reached: BTreeSet<usize> = depths.keys().copied().collect();
        for number in &reached {
            self.form(*number)?;
        }
        let open = self.open(&reached);
        let negative = self.negative(&reached);
        for number in &reached {
            let all_negative = negative.contains(number);
            for one in &self.all[*number].uses.all {
                if one.negative || all_negative {
                    self.present(*number, one, &open)?;
                }
            }
        }
        Ok(())
    }

    /// The text of a rule once more, under another name.
    ///
    /// # Errors
    /// The rule is not `decisions contains …`.
    pub(crate) fn copy(&self, number: usize, rule: &Rule, name: &str) -> Result<Copy, Refused> {
        let span = rule.span();
        let form = || {
            let what = format!("a rule that decides is `{DECISIONS} contains {{…}} if {{…}}`");
            self.refused(number, span.line, Code::Form, &what)
        };
        let Rule::Spec { head: RuleHead::Set { refr, key: Some(_), .. }, .. } = rule else {
            return Err(form());
        };
        let Expr::Var { span: own, .. } = &**refr else { return Err(form()) };
        // The engine finds a rule by its dotted name.
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        if !self.all[number].package.chars().all(plain) {
            return Err(self.refused(number, span.line, Code::Form, "odd name of a package"));
        }
        let text = span.source.contents();
        // The engine's own end of a rule misses the quote of a text that ends it.
        let known = &self.all[number];
        let next = self.modules[known.module].1.policy.get(known.place + 1);
        let end = next.map_or(text.len(), |rule| rule.span().start as usize);
        let rest = text.get(own.end as usize..end).unwrap_or_default();
        let copied = format!("{name}{rest}");
        let path = format!("{}.{name}", self.all[number].package);
        Ok(Copy { text: copied, path })
    }

    fn refused(&self, number: usize, line: u32, code: Code, what: &str) -> Refused {
        let (file, _) = self.modules[self.all[number].module];
        Refused::new(code, format!("{file}:{line}: {what}"))
    }

    /// How long a chain of rules hangs from this one.
    fn depth(
        &self,
        number: usize,
        above: &mut Vec<usize>,
        known: &mut BTreeMap<usize, usize>,
    ) -> Result<usize, Refused> {
        if let Some(depth) = known.get(&number) {
            return Ok(*depth);
        }
        let looped = above.contains(&number);
        if looped || above.len() >= limits::CHAIN {
            let what = if looped { "depends on itself" } else { "hangs from too many others" };
            let what = format!("{} {what}", self.all[number].path);
            return Err(self.refused(number, 0, Code::Recursion, &what));
        }
        above.push(number);
        let mut deepest = 0;
        for one in &self.all[number].uses.all {
            if let Meaning::Rules(others, _) = self.meaning(number, one) {
                for other in others {
                    deepest = deepest.max(self.depth(other, above, known)?);
                }
            }
        }
        above.pop();
        if above.len() + deepest + 1 > limits::CHAIN {
            let what = format!("{} hangs over too many others", self.all[number].path);
            return Err(self.refused(number, 0, Code::Recursion, &what));
        }
        known.insert(number, deepest + 1);
        Ok(deepest + 1)
    }

    /// What a rule may not be or do, whatever its fields.
    fn form(&self, number: usize) -> Result<(), Refused> {
        let rule = &self.all[number];
        let refused = |line, code, what: &str| Err(self.refused(number, line, code, what));
        if let Some(line) = rule.uses.with {
            return refused(line, Code::Form, "`with` stands in tests only");
        }
        if let Some(line) = rule.uses.formats.first() {
            return refused(*line, Code::Builtin, "sprintf takes a plain text as its format");
        }
        if let Some((name, line)) =
            rule.uses.made.iter().find(|(name, _)| name == "input" || name == "data")
        {
            return refused(*line, Code::Form, &format!("{name} cannot be a variable"));
        }
        // Which of the two a name means depends on where it stands: nobody should have to find out.
        let taken = |name: &str| {
            self.named.contains_key(&format!("{}.{name}", rule.package))
                || self.aliases[rule.module].contains_key(name)
        };
        if let Some((name, line)) = rule.uses.made.iter().find(|(name, _)| taken(name)) {
            let what = format!("{name} is a variable, and a rule or an import too");
            return refused(*line, Code::Form, &what);
        }
        for one in &rule.uses.all {
            match self.meaning(number, one) {
                Meaning::Rules(others, _) if others.iter().any(|o| self.all[*o].decides()) => {
                    return refused(one.line, Code::Form, "no rule reads what others decide");
                }
                Meaning::Local(call) if call.call && !ALLOWED.contains(&&*call.dotted()) => {
                    let what = format!("a decision cannot call {}", call.dotted());
                    return refused(one.line, Code::Builtin, &what);
                }
                Meaning::Data | Meaning::Input(_) if one.call => {
                    return refused(one.line, Code::Builtin, "there is no such function");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Rules that can give an object of the input whose fields nobody has promised.
    fn open(&self, reached: &BTreeSet<usize>) -> BTreeSet<usize> {
        let mut open = BTreeSet::new();
        loop {
            let before = open.len();
            for number in reached {
                let gives = |one: &Use| match self.meaning(*number, one) {
                    Meaning::Input(at) => field(&at.path) != Some(Field::Plain),
                    Meaning::Rules(others, _) => others.iter().any(|o| open.contains(o)),
                    _ => false,
                };
                if self.all[*number].uses.all.iter().any(gives) {
                    open.insert(*number);
                }
            }
            if open.len() == before {
                return open;
            }
        }
    }

    /// Rules of which something else becomes true where they are undefined.
    fn negative(&self, reached: &BTreeSet<usize>) -> BTreeSet<usize> {
        let defaulted: BTreeSet<&str> =
            self.all.iter().filter(|r| r.default).map(|r| &*r.path).collect();
        let mut negative: BTreeSet<usize> =
            reached.iter().copied().filter(|n| defaulted.contains(&*self.all[*n].path)).collect();
        loop {
            let before = negative.len();
            for number in reached {
                let whole = negative.contains(number);
                for one in &self.all[*number].uses.all {
                    if !(whole || one.negative) {
                        continue;
                    }
                    if let Meaning::Rules(others, _) = self.meaning(*number, one) {
                        negative.extend(others);
                    }
                }
            }
            if negative.len() == before {
                return negative;
            }
        }
    }

    /// Refuses a use that may be undefined because a field of the input is missing.
    fn present(&self, number: usize, one: &Use, open: &BTreeSet<usize>) -> Result<(), Refused> {
        let refused = |what: &str| Err(self.refused(number, one.line, Code::Negation, what));
        match self.meaning(number, one) {
            Meaning::Input(at) if field(&at.path).is_none() => refused(&format!(
                "{} may be missing, and the rule would match because of it: \
                 use object.get with a default",
                at.dotted()
            )),
            Meaning::Rules(others, true) if others.iter().any(|o| open.contains(o)) => {
                refused(&format!("a field of {} may be missing: use object.get", one.dotted()))
            }
            Meaning::Local(at) if !at.call && !at.path.is_empty() => {
                if self.closed(number, &at.base, open, &mut BTreeSet::new()) {
                    return Ok(());
                }
                let name = if at.base.is_empty() { "what a call gives" } else { &at.base };
                refused(&format!("a field of {name} may be missing: use object.get"))
            }
            _ => Ok(()),
        }
    }

    /// Whether a variable holds nothing of the input but plain fields.
    fn closed(
        &self,
        number: usize,
        name: &str,
        open: &BTreeSet<usize>,
        seen: &mut BTreeSet<String>,
    ) -> bool {
        let uses = &self.all[number].uses;
        let Some(from) = uses.bound.get(name) else { return false };
        let often = uses.made.iter().filter(|(made, _)| made == name).count() > 1;
        if often || uses.rebound.iter().any(|r| r == name) || !seen.insert(name.to_owned()) {
            return false;
        }
        from.iter().all(|one| match self.meaning(number, one) {
            Meaning::Input(at) => field(&at.path) == Some(Field::Plain),
            Meaning::Rules(others, _) => others.iter().all(|o| !open.contains(o)),
            Meaning::Data => true,
            Meaning::Local(at) => at.call || self.closed(number, &at.base, open, seen),
        })
    }

    fn meaning(&self, number: usize, one: &Use) -> Meaning {
        let rule = &self.all[number];
        let mut at = one.clone();
        let own = rule.uses.made.iter().any(|(name, _)| *name == at.base);
        if !own && let Some((base, path)) = self.aliases[rule.module].get(&at.base) {
            at.base.clone_from(base);
            at.path.splice(0..0, path.iter().cloned());
        }
        match &*at.base {
            "input" => Meaning::Input(at),
            "data" => self.document(&at),
            _ => {
                let named = self.named.get(&format!("{}.{}", rule.package, at.base));
                match named {
                    Some(rules) if !own => Meaning::Rules(rules.clone(), !at.path.is_empty()),
                    _ => Meaning::Local(at),
                }
            }
        }
    }

    /// What a reference that begins with `data` means: a rule, all rules below it, or the bundle's.
    fn document(&self, at: &Use) -> Meaning {
        let dotted = at.dotted();
        let mut short = dotted.as_str();
        loop {
            if let Some(rules) = self.named.get(short) {
                return Meaning::Rules(rules.clone(), short != dotted || !at.spelled());
            }
            let Some((head, _)) = short.rsplit_once('.') else { break };
            short = head;
        }
        let below = format!("{dotted}.");
        let found: Vec<usize> =
            (0..self.all.len()).filter(|n| self.all[*n].path.starts_with(&below)).collect();
        if found.is_empty() { Meaning::Data } else { Meaning::Rules(found, true) }
    }
}

/// The imports of a module, by the name they have in it.
fn aliases(module: &Module) -> BTreeMap<String, (String, Vec<Step>)> {
    let mut all = BTreeMap::new();
    for import in &module.imports {
        let Some((base, path)) = uses::chain(&import.refr) else { continue };
        let last = match path.last() {
            Some(Step::Name(name)) => name.clone(),
            _ => base.clone(),
        };
        let name = import.r#as.as_ref().map_or(last, |span| span.text().to_owned());
        if base == "input" || base == "data" {
            all.insert(name, (base, path));
        }
    }
    all
}
