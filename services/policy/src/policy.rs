//! A compiled policy: rules behind an index, evaluators kept ready, one decision at a time.
//!
//! Each rule that decides is given a name of its own beside the set it belongs to (its text is copied
//! below the module's with another name), so that the engine can be asked for one rule alone. Which
//! rules are asked for at all is what [`crate::index`] finds in their text.

use std::sync::{Arc, Mutex, PoisonError};

use regorus::Engine;
use regorus::utils::limits::ExecutionTimerConfig;
use sha2::{Digest as _, Sha256};

use crate::code::{Code, Refused};
use crate::decision::{Decision, Merged, Said, merge};
use crate::engine;
use crate::index::Index;
use crate::input::Input;
use crate::limits;
use crate::meter::{self, Over};
use crate::ready::{Ready, ready};
use crate::rego::guard::{self, Guard};
use crate::rego::lint::{DECISIONS, Rules};

/// How the copies of rules are named; no policy may use it.
const COPY: &str = "canonry_rule_";

/// What of a bundle is evaluated: its files, read and verified by [`crate::bundle`].
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The name and text of each Rego file.
    pub modules: Vec<(String, String)>,
    /// The documents, as one.
    pub data: serde_json::Value,
    /// Digest of the bundle, 64 hex digits.
    pub digest: String,
}

/// Time and memory of one decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Time.
    pub time: std::time::Duration,
    /// Bytes.
    pub memory: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { time: limits::TIME, memory: limits::MEMORY }
    }
}

/// A compiled policy: cheap to share between threads.
#[derive(Clone)]
pub struct Policy(Arc<Compiled>);

struct Compiled {
    digest: String,
    bounds: Bounds,
    /// The engine with everything loaded, of which evaluators are copied.
    first: Mutex<Engine>,
    ready: Mutex<Vec<Engine>>,
    /// The path of each rule's copy, by the rule's number.
    paths: Vec<String>,
    index: Index,
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Compiled { digest, paths, .. } = &*self.0;
        f.debug_struct("Policy").field("digest", digest).field("rules", &paths.len()).finish()
    }
}

impl Policy {
    /// Compiles a policy within the usual bounds.
    ///
    /// # Errors
    /// What [`Code`] calls a fault of a policy.
    pub fn compile(source: &Source) -> Result<Self, Refused> {
        Self::compile_within(source, Bounds::default())
    }

    /// As [`Policy::compile`], with other bounds.
    ///
    /// # Errors
    /// As there.
    pub fn compile_within(source: &Source, bounds: Bounds) -> Result<Self, Refused> {
        if !meter::ready() {
            let detail = "the allocator does not count, or the clock of the engine is another's";
            return Err(Refused::new(Code::Unmetered, detail));
        }
        sizes(source)?;
        let source = &engine::read(source)?;
        let mut engine = engine::new()?;
        engine::load(&mut engine, source)?;
        let (copies, guards) = split(&engine, source)?;
        let mut engine = engine::new()?;
        let paths = copies.iter().flat_map(|c| c.paths.clone()).collect();
        let modules = source
            .modules
            .iter()
            .zip(&copies)
            .map(|((name, _), copy)| (name.clone(), copy.text.clone()))
            .collect();
        engine::load(&mut engine, &Source { modules, ..source.clone() })?;
        engine::prepare(&mut engine)?;
        let compiled = Compiled {
            digest: source.digest.clone(),
            bounds,
            first: Mutex::new(engine),
            ready: Mutex::new(Vec::new()),
            paths,
            index: Index::new(guards),
        };
        Ok(Self(Arc::new(compiled)))
    }

    /// How many rules decide.
    #[must_use]
    pub fn rules(&self) -> usize {
        self.0.paths.len()
    }

    /// Decides. Whatever goes wrong is a DENY with its code.
    #[must_use]
    pub fn decide(&self, input: &Input) -> Decision {
        self.decided(input, |ready| self.0.index.candidates(&ready.value))
    }

    /// As [`Policy::decide`], with every rule evaluated: slow, and the same verdict.
    #[must_use]
    pub fn decide_unindexed(&self, input: &Input) -> Decision {
        self.decided(input, |_| (0..self.0.paths.len()).collect())
    }

    fn decided(&self, input: &Input, which: impl FnOnce(&Ready) -> Vec<usize>) -> Decision {
        let (merged, digest) = match ready(input) {
            Ok(ready) => (self.evaluated(&ready, &which(&ready)), ready.digest),
            Err(digest) => (Merged::denied(Code::InputInvalid), digest),
        };
        let Merged { verdict, people, obligations, rules, codes } = merged;
        Decision {
            verdict,
            people,
            obligations,
            rules,
            codes,
            bundle: self.0.digest.clone(),
            input: crate::hex(&digest),
            engine: engine::version().to_owned(),
        }
    }

    fn evaluated(&self, ready: &Ready, rules: &[usize]) -> Merged {
        let mut engine = self.take();
        let Bounds { time, memory } = self.0.bounds;
        let work = || {
            // The engine is thrown away where it panicked: what it left behind is nobody's.
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                engine.set_input(ready.value.clone());
                let said = self.asked(&mut engine, rules);
                (said, engine)
            }))
        };
        let (done, over) = meter::metered(time, memory, work);
        match (over, done) {
            (Some(Over::Time), _) => Merged::denied(Code::Timeout),
            (Some(Over::Memory), _) => Merged::denied(Code::Memory),
            (None, Ok((said, engine))) => {
                self.put(engine);
                said.map_or_else(Merged::denied, merge)
            }
            (None, Err(_)) => Merged::denied(Code::Error),
        }
    }

    fn asked(&self, engine: &mut Engine, rules: &[usize]) -> Result<Vec<Said>, Code> {
        let mut all = Vec::new();
        for rule in rules {
            let given = engine.eval_rule(self.0.paths[*rule].clone()).map_err(|_| Code::Error)?;
            let regorus::Value::Set(set) = given else {
                match given {
                    regorus::Value::Undefined => continue,
                    _ => return Err(Code::UnknownDecision),
                }
            };
            for one in set.iter() {
                let one = serde_json::to_value(one).map_err(|_| Code::UnknownDecision)?;
                all.push(Said::read(one).ok_or(Code::UnknownDecision)?);
            }
            if all.len() > limits::MATCHES {
                return Err(Code::UnknownDecision);
            }
        }
        Ok(all)
    }

    fn take(&self) -> Engine {
        let kept = self.0.ready.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| self.0.first.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    fn put(&self, mut engine: Engine) {
        engine.set_input(regorus::Value::Undefined);
        // What rules printed is for tests only, and would grow with every decision.
        let _ = engine.take_prints();
        let mut ready = self.0.ready.lock().unwrap_or_else(PoisonError::into_inner);
        if ready.len() < limits::READY {
            ready.push(engine);
        }
    }
}

/// Refuses a policy that is larger than it may be.
fn sizes(source: &Source) -> Result<(), Refused> {
    let too_large = |what: String| Err(Refused::new(Code::TooLarge, what));
    if source.modules.len() > limits::MODULES {
        return too_large(format!("{} Rego files", source.modules.len()));
    }
    if source.data.to_string().contains(COPY) {
        return Err(Refused::new(Code::Form, format!("{COPY} is no name for a document")));
    }
    for (name, text) in &source.modules {
        if text.len() > limits::MODULE_BYTES {
            return too_large(format!("{name}: {} bytes", text.len()));
        }
        if text.contains(COPY) {
            return Err(Refused::new(Code::Form, format!("{name}: {COPY} is not a name to use")));
        }
    }
    Ok(())
}

/// A module with its rules once more, each under a name of its own.
struct Copies {
    text: String,
    paths: Vec<String>,
}

/// Finds the rules that decide, refuses what they may not do, and gives each a name and its guards.
fn split(engine: &Engine, source: &Source) -> Result<(Vec<Copies>, Vec<Vec<Guard>>), Refused> {
    let mut engine = engine.clone();
    let modules = engine.get_modules();
    let rules = Rules::read(
        source.modules.iter().zip(modules.iter()).map(|((n, _), m)| (&**n, &**m)).collect(),
    )?;
    let deciding = rules.deciding();
    if deciding.is_empty() {
        let detail = format!("no rule `{DECISIONS} contains …` in the package canonry or below");
        return Err(Refused::new(Code::Empty, detail));
    }
    if deciding.len() > limits::RULES {
        let detail = format!("{} rules of at most {}", deciding.len(), limits::RULES);
        return Err(Refused::new(Code::TooLarge, detail));
    }
    rules.check()?;
    let mut copies: Vec<Copies> = source
        .modules
        .iter()
        .map(|(_, text)| Copies { text: format!("{text}\n"), paths: Vec::new() })
        .collect();
    // In the order of modules, because that is the order of the paths.
    let mut guards = Vec::new();
    for (number, at) in deciding.iter().enumerate() {
        let known = rules.known(*at);
        let rule = &modules[known.module].policy[known.place];
        let copy = rules.copy(*at, rule, &format!("{COPY}{number}"))?;
        let module = &mut copies[known.module];
        module.text.push_str(&copy.text);
        module.text.push('\n');
        module.paths.push(copy.path);
        guards.push(guard::of_rule(rule));
    }
    Ok((copies, guards))
}

/// SHA-256 of bytes, in hex.
#[must_use]
pub fn digest(bytes: &[u8]) -> String {
    crate::hex(&Sha256::digest(bytes))
}

/// The engine checks its clock at every step: the meter's own check is cheap.
pub(crate) fn every_step() -> ExecutionTimerConfig {
    ExecutionTimerConfig {
        limit: std::time::Duration::from_secs(60),
        check_interval: std::num::NonZeroU32::MIN,
    }
}
