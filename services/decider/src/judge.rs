//! The policy engine behind one port: what a bundle is worth before it is published, and what the
//! bundle in force says of an action. Compiled policies are kept by digest, so that a verdict
//! depends on bundle and input alone, whoever was asked before.
//!
//! It must not read a clock or the world: what a policy may know stands in its input.

use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};

use canonry_domain::policy::{Checked, Policy};
use canonry_domain::weigh::{Ask, Ruling};
use canonry_policy::bundle::{self, Signed, Trust};
use canonry_policy::recorded::{label, recorded};
use canonry_policy::{Input, Verdict as Said};
use canonry_record::encoding::unbase64_padded;
use canonry_schemas::decision::{Decision, Route, Target, Verdict};
use canonry_schemas::ids::{Digest, Position};
use canonry_schemas::limits::POLICIES_COMPILED;
use canonry_schemas::refusal::{Denial, Refusal};
use canonry_schemas::time::Time;
use lru::LruCache;

/// A compiled policy, or nothing where the bundle does not compile here.
type Compiled = Option<canonry_policy::Policy>;

/// Judges actions for all tenants of a decider.
pub struct Judge(Mutex<LruCache<Digest, Compiled>>);

impl Default for Judge {
    fn default() -> Self {
        let size = NonZeroUsize::new(POLICIES_COMPILED).unwrap_or(NonZeroUsize::MIN);
        Self(Mutex::new(LruCache::new(size)))
    }
}

/// The refusal that has this code.
fn refusal(refused: &canonry_policy::Refused) -> Refusal {
    let code = refused.code.code();
    Refusal::ALL.iter().copied().find(|r| r.code() == code).unwrap_or(Refusal::BundleInvalid)
}

impl Judge {
    /// A judge who has compiled nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Checks a bundle that is to be published: whole, signed by a key that `founder` knows, not
    /// expired, and of rules that compile.
    ///
    /// # Errors
    /// `bundle-…` and `policy-…`: what is wrong with it.
    pub fn check(
        &self,
        archive: &[u8],
        founder: &dyn Fn(&Signed<'_>) -> bool,
        now: Time,
    ) -> Result<Checked, Refusal> {
        let trust = Trust { key: founder, now, newest: None };
        let bundle = bundle::open(archive, &trust).map_err(|e| refusal(&e))?;
        let policy = canonry_policy::Policy::compile(&bundle.source).map_err(|e| refusal(&e))?;
        let digest: Digest = bundle.source.digest.parse().map_err(|_| Refusal::BundleMalformed)?;
        self.locked().put(digest.clone(), Some(policy));
        Ok(Checked {
            digest,
            revision: bundle.revision,
            version: label(&bundle.version),
            expires: bundle.expires,
            ttl_seconds: bundle.ttl_seconds,
        })
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, LruCache<Digest, Compiled>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The policy compiled. It was published after [`Judge::check`]: nothing is checked again.
    fn compiled(&self, policy: &Policy) -> Compiled {
        if let Some(known) = self.locked().get(&policy.digest) {
            return known.clone();
        }
        let fresh = || {
            let archive = unbase64_padded(&policy.bundle)?;
            let trust = Trust { key: &|_| true, now: Time(0), newest: None };
            let bundle = bundle::open(&archive, &trust).ok()?;
            canonry_policy::Policy::compile(&bundle.source).ok()
        };
        let compiled = fresh();
        self.locked().put(policy.digest.clone(), compiled.clone());
        compiled
    }

    /// What the policy says of an input.
    #[must_use]
    pub fn decide(&self, policy: &Policy, input: &Input) -> (Decision, Ruling) {
        let Some(compiled) = self.compiled(policy) else {
            return Self::denied(Some(policy), Denial::PolicyError);
        };
        let said = compiled.decide(input);
        let position = Some(Position::of(policy.position));
        let decision = recorded(&said, Some(policy.digest.clone()), position);
        let why = said.codes.first().map(|code| denial(code.code()));
        let ruling = || ruling(&said.verdict, said.people.as_ref());
        (decision, why.map_or_else(ruling, Ruling::Deny))
    }

    /// No, for a reason that lies before any rule.
    #[must_use]
    pub fn denied(policy: Option<&Policy>, why: Denial) -> (Decision, Ruling) {
        let decision = Decision {
            bundle: policy.map(|policy| policy.digest.clone()),
            policy: policy.map(|policy| Position::of(policy.position)),
            engine: label(canonry_policy::engine_version()),
            verdict: Verdict::Deny,
            rules: Vec::new(),
            obligations: Vec::new(),
        };
        (decision, Ruling::Deny(why))
    }
}

fn denial(code: &str) -> Denial {
    Denial::ALL.iter().copied().find(|d| d.code() == code).unwrap_or(Denial::PolicyError)
}

fn seconds(given: u64) -> u32 {
    u32::try_from(given).unwrap_or(u32::MAX)
}

fn ruling(said: &Said, people: Option<&Said>) -> Ruling {
    match said {
        Said::Allow {} => Ruling::Allow,
        Said::Deny {} => Ruling::Deny(Denial::PolicyDenied),
        Said::Throttle { retry_after } => Ruling::Throttle { after_seconds: seconds(*retry_after) },
        Said::Route { to } => {
            let one = |(kind, name): (&canonry_policy::Target, &String)| {
                let kind = match kind {
                    canonry_policy::Target::Tool => Target::Tool,
                    canonry_policy::Target::Model => Target::Model,
                    canonry_policy::Target::Queue => Target::Queue,
                };
                Route { kind, name: label(name) }
            };
            Ruling::Route(to.iter().map(one).collect())
        }
        Said::RequireStepUp { level } => {
            let level = Some(u8::try_from(*level).unwrap_or(u8::MAX));
            Ruling::Ask(Ask { level, ..people.map(asks).unwrap_or_default() })
        }
        Said::RequireHitl { .. } => Ruling::Ask(asks(said)),
    }
}

/// What is asked of people; nothing by any other verdict.
fn asks(said: &Said) -> Ask {
    let Said::RequireHitl { approvals, four_eyes, expiry, escalate_after } = said else {
        return Ask::default();
    };
    Ask {
        groups: approvals.iter().map(|a| (a.approvers, label(&a.group))).collect(),
        four_eyes: *four_eyes,
        level: None,
        life_seconds: Some(seconds(*expiry)),
        escalate_after_seconds: escalate_after.map(seconds),
    }
}
