//! Actions at the desk: where an action belongs, what a policy is told of it, what the policy says,
//! and the sealed input that lets others compute the verdict again. The rules are in
//! `canonry_domain::action`.

use std::sync::Arc;

use canonry_domain::action::{Action, Actions, Counts, Stage, ready};
use canonry_domain::budget::{Account, Day};
use canonry_domain::policy::Checked;
use canonry_domain::question::Question;
use canonry_domain::weigh::{Judged, Ruling};
use canonry_record::content;
use canonry_record::encoding::unbase64_padded;
use canonry_schemas::action::Command;
use canonry_schemas::budget::{Amount, Worst};
use canonry_schemas::decision::Decision;
use canonry_schemas::event::Event;
use canonry_schemas::ids::{IntentId, KeyedDigest, RunId, generated};
use canonry_schemas::limits::{ARGUMENTS_BYTES, BUNDLE_BYTES, INPUT_BYTES};
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
    id: &'c str,
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
            facts.judged = self.judged(&facts, state, &id, &command)?;
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
        let role_id = action.map(|a| &a.role).or_else(|| ticket.and_then(|t| t.role.as_ref()));
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
        Ok(OwnFacts {
            role: role.map(|(id, role)| (id.clone(), role.clone())),
            ticket: ticket.cloned(),
            run: run.map(|(id, run)| (id.clone(), run.clone())),
            books: self.world.books()?.cloned(),
            approval: approval.transpose()?,
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
            role: None,
            ticket: None,
            appended: Ok(()),
            run: None,
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
        self.judge.check(&archive)
    }

    /// What the policy says, or that it cannot be asked.
    fn judged(
        &self,
        facts: &OwnFacts,
        state: Option<&Action>,
        id: &str,
        command: &Command,
    ) -> Result<Result<Judged, Refusal>, Need> {
        let asked = match (command, state) {
            (Command::Propose(c), _) => Asked {
                id,
                tool: &c.tool,
                action: &c.action,
                arguments: c.arguments.value(),
                worst: &c.worst,
                question: None,
            },
            (Command::Resume(c), Some(held)) => Asked {
                id,
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
        let clear = content::canonical(&input);
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
    fn verdict(&self, input: &Value) -> Result<(Decision, Ruling), Need> {
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
    fn input(&self, facts: &OwnFacts, asked: &Asked<'_>) -> Value {
        let (role, run, ticket) = (facts.role.as_ref(), facts.run.as_ref(), facts.ticket.as_ref());
        let day = Day::of(self.now);
        let total = |account: Option<&Account>| amount(account.map(|a| a.total().used()));
        let today = |account: Option<&Account>| amount(account.map(|a| a.on(day).used()));
        json!({
            "tenant": self.tenant,
            "actor": facts.actor,
            "time": self.now,
            "role": role.map(|(id, role)| json!({
                "id": id, "title": role.title, "tier": role.tier, "tools": role.tools,
            })),
            "ticket": run.zip(ticket).map(|((_, run), ticket)| json!({
                "id": run.ticket, "priority": ticket.priority, "opened_by": ticket.opened_by,
                "due": ticket.due.map(|due| due.to_string()).unwrap_or_default(),
                "approval_required": ticket.approval_required,
            })),
            "run": run.map(|(id, run)| json!({
                "id": id, "steps": run.steps, "worker": run.worker,
            })),
            "phase": run.and_then(|(_, run)| run.phase.as_ref()).map_or("", |phase| &phase.0),
            "action": {
                "id": asked.id, "tool": asked.tool, "action": asked.action,
                "arguments": asked.arguments,
            },
            "worst": worst(asked.worst),
            "spent": {
                "run": total(run.map(|(_, run)| &*run.account)),
                "ticket": total(ticket.map(|ticket| &*ticket.account)),
                "role_today": today(role.map(|(_, role)| &*role.account)),
                "tenant_today": today(facts.books.as_ref().map(|books| &*books.account)),
            },
            "counts": {
                "run": counts(run.map(|(_, run)| run.counts)),
                "ticket": counts(ticket.map(|ticket| ticket.counts)),
                "role": counts(role.map(|(_, role)| role.counts)),
            },
            "approvals": approvals(asked.question),
        })
    }
}

fn amount(amount: Option<Amount>) -> Value {
    json!(amount.unwrap_or_default())
}

fn counts(counts: Option<Counts>) -> Value {
    json!(counts.unwrap_or_default())
}

fn worst(worst: &Worst) -> Value {
    json!({
        "money_micros": worst.money_micros.unwrap_or(0),
        "tokens_in": worst.tokens_in.unwrap_or(0),
        "tokens_out": worst.tokens_out.unwrap_or(0),
        "model": worst.model.as_ref().map_or("", |model| &model.0),
        "calls": worst.calls.unwrap_or(1),
        "wall_seconds": worst.wall_seconds.unwrap_or(0),
    })
}

/// Who agreed so far, where an action goes on after it was held.
fn approvals(question: Option<&Question>) -> Value {
    let given = question.map(|q| &*q.given).unwrap_or_default();
    let by: Vec<_> = given.iter().map(|given| &given.by).collect();
    json!({ "given": by.len(), "by": by })
}
