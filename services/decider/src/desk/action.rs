//! Actions at the desk: where an action belongs, what a policy is told of it, what the policy says,
//! and the sealed input that lets others compute the verdict again. The rules are in
//! `canonry_domain::action`.

use std::collections::BTreeMap;
use std::sync::Arc;

use canonry_domain::action::{Action, Actions, Counts, Stage, ready};
use canonry_domain::budget::{Account, Day};
use canonry_domain::directory::Directory;
use canonry_domain::policy::Checked;
use canonry_domain::question::Question;
use canonry_domain::role::{self, Role};
use canonry_domain::run::Run;
use canonry_domain::ticket::{self, Ticket};
use canonry_domain::tier::Tiers;
use canonry_domain::weigh::{Judged, Ruling};
use canonry_policy::bundle::Signed;
use canonry_policy::input::{self, Input, Spent};
use canonry_record::content;
use canonry_record::encoding::unbase64_padded;
use canonry_record::seal::verify_strict;
use canonry_schemas::action::Command;
use canonry_schemas::budget::Worst;
use canonry_schemas::decision::Decision;
use canonry_schemas::event::Event;
use canonry_schemas::ids::{IntentId, KeyedDigest, RoleId, RunId, generated};
use canonry_schemas::key::Use;
use canonry_schemas::limits::{ARGUMENTS_BYTES, BUNDLE_BYTES, INPUT_BYTES};
use canonry_schemas::member::Part;
use canonry_schemas::policy;
use canonry_schemas::refusal::{Denial, Refusal};
use canonry_schemas::text::{Content, Label};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{Desk, Done, Stop, Who};
use crate::hosted::{self, OwnFacts};
use crate::judge::Judge;
use crate::tokens;
use crate::world::{ContentKey, Need};

/// The keys of the digests of what is proposed.
#[derive(Clone)]
pub struct ActionKeys {
    arguments: Zeroizing<[u8; 32]>,
    input: Zeroizing<[u8; 32]>,
}

impl ActionKeys {
    /// From the tenant's secret.
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self {
            arguments: content::derive(secret, "action-arguments"),
            input: content::derive(secret, "action-input"),
        }
    }
}

fn digest(key: &[u8; 32], canonical: &[u8]) -> KeyedDigest {
    let digest = content::intent_digest(key, canonical).to_string();
    digest.parse().expect("a hash prints as 64 hex digits")
}

/// What is asked about: as it stands in the policy's input.
struct Asked<'c> {
    tool: &'c Label,
    action: &'c Label,
    arguments: &'c Value,
    worst: &'c Worst,
    /// What was agreed to before, where it goes on.
    question: Option<&'c Question>,
}

impl Desk<'_> {
    /// Decides a command about an action.
    pub(super) fn act(
        &self,
        who: &Who,
        intent: &IntentId,
        mut command: Command,
        random: &mut impl FnMut() -> u128,
    ) -> Result<Done, Stop> {
        let id = match command.action() {
            Some(id) => id.to_string(),
            None => generated("act_", self.now.millis(), random()),
        };
        let entity = format!("action/{id}");
        let (state, used) = self.known(&command, &entity)?;
        let mut facts = self.facts_of(who, intent, state, &command)?;
        if matches!(command, Command::Propose(_) | Command::Resume(_)) {
            ready(state, &facts.borrow(), &command)?;
            facts.judged = self.judged(&facts, state, &command)?;
            let asks =
                |judged: &Judged| matches!(&judged.ruling, Ruling::Ask(a) if a.level.is_some());
            if facts.judged.as_ref().is_ok_and(asks) {
                facts.reaches = tokens::reaches(self.ring, self.now);
            }
        }
        let fields = match (&mut command, &mut facts.judged) {
            (Command::Reject(c), _) => {
                c.reason.as_mut().map(|reason| ("/reason".into(), &mut reason.0))
            }
            (_, Ok(judged)) => Some(("/input".into(), &mut judged.input.0)),
            _ => None,
        };
        let content_key = self.encrypt(&entity, used, fields.into_iter().collect(), random)?;
        let event = hosted::decide::<Actions>(state, facts, command)?;
        let touches = event.touches(self.tenant.as_str());
        Ok(Done { entity, touches, event: Event::Action(event), content_key })
    }

    /// The action as it stands, and the key of its content.
    fn known(
        &self,
        command: &Command,
        entity: &str,
    ) -> Result<(Option<&Action>, Option<ContentKey>), Stop> {
        let Some(id) = command.action() else { return Ok((None, None)) };
        let slot = self.world.slot(entity)?;
        let seals = match command {
            Command::Resume(_) => true,
            Command::Reject(c) => c.reason.is_some(),
            _ => false,
        };
        if slot.erased && seals {
            return Err(Refusal::ContentErased.into());
        }
        Ok((self.world.action(id.as_str())?, slot.content_key))
    }

    fn facts_of(
        &self,
        who: &Who,
        intent: &IntentId,
        action: Option<&Action>,
        command: &Command,
    ) -> Result<OwnFacts, Stop> {
        let run_id: Option<&RunId> = match command {
            Command::Propose(c) => Some(&c.run),
            _ => action.map(|action| &action.run),
        };
        let run = match run_id {
            Some(id) => self.world.run(id.as_str())?.map(|run| (id, run)),
            None => None,
        };
        let ticket = match run {
            Some((_, run)) => self.world.ticket(run.ticket.as_str())?,
            None => None,
        };
        let role_id = action.map(|a| &a.role).or_else(|| run.map(|(_, run)| &run.role));
        let role = match role_id {
            Some(id) => self.world.role(id.as_str())?.map(|role| (id, role)),
            None => None,
        };
        let approval = match command {
            Command::Approve(c) => Some(&c.approval),
            Command::Reject(c) => Some(&c.approval),
            _ => None,
        };
        let approval =
            approval.map(|token| tokens::approval(self.ring, self.tenant, token, self.now));
        let assertion = match command {
            Command::StepUp(c) => {
                Some(tokens::assertion(self.ring, self.tenant, &c.assertion, self.now)?)
            }
            _ => None,
        };
        Ok(OwnFacts {
            role: role.map(|(id, role)| (id.clone(), role.clone())),
            ticket: ticket.cloned(),
            run: run.map(|(id, run)| (id.clone(), run.clone())),
            books: self.world.books()?.cloned(),
            approval: approval.transpose()?,
            assertion,
            ..self.facts(who, intent)
        })
    }

    /// The facts of every decision; what else one needs is filled in.
    pub(super) fn facts(&self, who: &Who, intent: &IntentId) -> OwnFacts {
        OwnFacts {
            now: self.now,
            actor: who.actor.clone(),
            intent: intent.to_string(),
            parts: who.parts.clone(),
            works_for: who.works_for.clone(),
            timer: who.actor.as_str() == crate::ACTOR && who.via.is_none(),
            directory: Arc::clone(&self.world.directory),
            approval: None,
            assertion: None,
            reaches: Vec::new(),
            role: None,
            ticket: None,
            appended: Ok(()),
            run: None,
            lease_key: Err(Refusal::KeysInvalid),
            tiers: Tiers::default(),
            books: None,
            judged: Err(Refusal::ArgumentsTooLarge),
            bundle: Err(Refusal::BundleInvalid),
        }
    }

    /// The bundle in a command, looked at before the rules decide.
    pub(super) fn bundle(
        &self,
        policy::Command::Publish(c): &policy::Command,
    ) -> Result<Checked, Refusal> {
        let archive = unbase64_padded(&c.bundle).ok_or(Refusal::BundleInvalid)?;
        if archive.len() > BUNDLE_BYTES {
            return Err(Refusal::BundleTooLarge);
        }
        self.judge.check(&archive, &|signed| self.by_founder(signed), self.now)
    }

    /// Whether a founder who is there signed with a `member` key that holds.
    fn by_founder(&self, signed: &Signed<'_>) -> bool {
        let Ok(id) = signed.key.parse() else { return false };
        let Some(entry) = self.ring.key(&id) else { return false };
        let holds = entry.is_current() && entry.may(Use::Member) && !entry.has_expired(self.now);
        let founder = self.world.directory.admit(&entry.key.actor);
        let founder = founder.is_ok_and(|member| member.parts.contains(&Part::Founder));
        let signature = <[u8; 64]>::try_from(signed.signature);
        holds
            && founder
            && signed.algorithm == "EdDSA"
            && signature.is_ok_and(|s| verify_strict(&entry.verifying, signed.message, &s))
    }

    /// What the policy says, or that it cannot be asked.
    fn judged(
        &self,
        facts: &OwnFacts,
        state: Option<&Action>,
        command: &Command,
    ) -> Result<Result<Judged, Refusal>, Need> {
        let asked = match (command, state) {
            (Command::Propose(c), _) => Asked {
                tool: &c.tool,
                action: &c.action,
                arguments: c.arguments.value(),
                worst: &c.worst,
                question: None,
            },
            (Command::Resume(c), Some(held)) => Asked {
                tool: &held.tool,
                action: &held.action,
                arguments: c.arguments.value(),
                worst: &held.worst,
                question: match &held.stage {
                    Stage::Held(question) => Some(question),
                    _ => None,
                },
            },
            _ => return Ok(Err(Refusal::ActionUnknown)),
        };
        if content::canonical(asked.arguments).len() > ARGUMENTS_BYTES {
            return Ok(Err(Refusal::ArgumentsTooLarge));
        }
        let named = json!({
            "tool": asked.tool, "action": asked.action, "arguments": asked.arguments,
        });
        let input = self.input(facts, &asked);
        let Ok(whole) = serde_json::to_value(&input) else {
            return Ok(Err(Refusal::ArgumentsTooLarge));
        };
        let clear = content::canonical(&whole);
        if clear.len() > INPUT_BYTES {
            return Ok(Err(Refusal::ArgumentsTooLarge));
        }
        let (decision, ruling) = self.verdict(&input)?;
        Ok(Ok(Judged {
            decision,
            ruling,
            arguments_digest: digest(&self.action_keys.arguments, &content::canonical(&named)),
            input_digest: digest(&self.action_keys.input, &clear),
            input: Content(String::from_utf8(clear).expect("JSON is UTF-8")),
        }))
    }

    /// Without a policy in force everything is denied.
    fn verdict(&self, input: &Input) -> Result<(Decision, Ruling), Need> {
        let policy = self.world.policy()?;
        Ok(match policy {
            None => Judge::denied(None, Denial::PolicyMissing),
            Some(policy) if policy.expires <= self.now => {
                Judge::denied(Some(policy), Denial::PolicyExpired)
            }
            Some(policy) => self.judge.decide(policy, input),
        })
    }

    /// What a policy is told. Every field is always there: what is not known is empty or 0.
    fn input(&self, facts: &OwnFacts, asked: &Asked<'_>) -> Input {
        let (role, run, ticket) = (facts.role.as_ref(), facts.run.as_ref(), facts.ticket.as_ref());
        let day = Day::of(self.now);
        let total = |account: Option<&Account>| account.map(|a| a.total().used().into());
        let today = |account: Option<&Account>| account.map(|a| a.on(day).used().into());
        let spent = Spent {
            run: total(run.map(|(_, run)| &*run.account)).unwrap_or_default(),
            ticket: total(ticket.map(|ticket| &*ticket.account)).unwrap_or_default(),
            role_today: today(role.map(|(_, role)| &*role.account)).unwrap_or_default(),
            tenant_today: today(facts.books.as_ref().map(|b| &*b.account)).unwrap_or_default(),
        };
        Input {
            tenant: self.tenant.to_string(),
            actor: self.asker(facts),
            role: role.map(|(id, role)| told_role(id, role)).unwrap_or_default(),
            tier: role.map_or(0, |(_, role)| role.tier as u64),
            ticket: run.zip(ticket).map(|((_, run), t)| told_ticket(run, t)).unwrap_or_default(),
            run: run.map(|(id, run)| told_run(id, run, ticket)).unwrap_or_default(),
            phase: run.and_then(|(_, run)| run.phase.clone()).map(|p| p.0).unwrap_or_default(),
            action: input::Action {
                tool: asked.tool.0.clone(),
                action: asked.action.0.clone(),
                args: arguments(asked.arguments),
            },
            cost: input::Cost {
                run: spent.run.money_micros,
                ticket: spent.ticket.money_micros,
                role: spent.role_today.money_micros,
                action: asked.worst.money_micros.unwrap_or(0),
            },
            counts: input::Counts {
                role: counts(role.map(|(_, role)| &role.counts)),
                ticket: counts(ticket.map(|ticket| &ticket.counts)),
                run: counts(run.map(|(_, run)| &run.counts)),
            },
            time: u64::try_from(self.now.0).unwrap_or(0),
            worst: worst(asked.worst),
            spent,
            approvals: approvals(asked.question, &facts.directory),
        }
    }

    fn asker(&self, facts: &OwnFacts) -> input::Actor {
        let worker = facts.parts.contains(&Part::Worker);
        let kind = if worker { "worker" } else { "member" };
        input::Actor { id: facts.actor.to_string(), kind: kind.to_owned(), level: 1 }
    }
}

fn told_role(id: &RoleId, role: &Role) -> input::Role {
    let stage = match role.stage {
        role::Stage::Active => "active",
        role::Stage::Paused => "paused",
        role::Stage::Retired => "retired",
    };
    input::Role {
        id: id.to_string(),
        stage: stage.to_owned(),
        title: role.title.0.clone(),
        tools: role.tools.iter().map(|tool| tool.0.clone()).collect(),
    }
}

fn told_ticket(run: &Run, ticket: &Ticket) -> input::Ticket {
    let stage = match ticket.stage {
        ticket::Stage::Open => "open",
        ticket::Stage::Started => "started",
        ticket::Stage::Completed => "completed",
        ticket::Stage::Cancelled => "cancelled",
    };
    input::Ticket {
        id: run.ticket.to_string(),
        stage: stage.to_owned(),
        priority: u64::from(ticket.priority),
        opened_by: ticket.opened_by.to_string(),
        due: ticket.due.map(|due| due.to_string()).unwrap_or_default(),
        approval_required: ticket.approval_required,
    }
}

fn told_run(id: &RunId, run: &Run, ticket: Option<&Ticket>) -> input::Run {
    input::Run {
        id: id.to_string(),
        attempt: ticket.map_or(0, |ticket| u64::from(ticket.runs)),
        steps: u64::from(run.steps),
        worker: run.worker.to_string(),
    }
}

fn arguments(value: &Value) -> BTreeMap<String, Value> {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn counts(counts: Option<&Counts>) -> input::Count {
    let Some(counts) = counts else { return input::Count::default() };
    input::Count {
        actions: u64::from(counts.actions),
        held: u64::from(counts.held),
        routed: u64::from(counts.routed),
        failed: u64::from(counts.failed),
        same_error: u64::from(counts.same_error),
        violations: u64::from(counts.violations),
        denied: u64::from(counts.denied),
    }
}

fn worst(worst: &Worst) -> input::Worst {
    input::Worst {
        money_micros: worst.money_micros.unwrap_or(0),
        tokens_in: worst.tokens_in.unwrap_or(0),
        tokens_out: worst.tokens_out.unwrap_or(0),
        model: worst.model.as_ref().map(|model| model.0.clone()).unwrap_or_default(),
        calls: worst.calls.map_or(1, u64::from),
        wall_seconds: worst.wall_seconds.map_or(0, u64::from),
    }
}

/// Who agreed so far, where an action goes on after it was held.
fn approvals(question: Option<&Question>, directory: &Directory) -> input::Approvals {
    let given = question.map(|q| &*q.given).unwrap_or_default();
    let by: Vec<_> = given.iter().map(|given| given.by.to_string()).collect();
    let level = question.and_then(|q| q.reached_level(directory)).map_or(0, u64::from);
    input::Approvals { given: by.len() as u64, by, level }
}
