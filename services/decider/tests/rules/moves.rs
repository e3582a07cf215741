//! Random moves: who asks for what about which entity, most of it sensible. A [`Play`] turns them
//! into commands, asks the rules and folds what they say.

use canonry_domain::action::{Action, Stage};
use canonry_domain::ticket::Gate;
use canonry_domain::weigh::Judged;
use canonry_domain::{Approval, Assertion};
use canonry_schemas::event::{Command, Event, verbs};
use canonry_schemas::ids::{IntentId, generated};
use canonry_schemas::refusal::Refusal;
use canonry_schemas::time::Time;
use canonry_schemas::{action, ticket};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::table::{bundle, judge};
use crate::tenant::{Ask, At, Fact, TENANT, Tenant, target};
use crate::words::{self, DAWN, RUN};

/// Who asks; those who can do more stand more often.
const ASKERS: [&str; 18] = [
    "founder",
    "founder",
    "founder",
    "founder",
    "operator",
    "operator",
    "operator",
    "operator",
    "worker",
    "worker",
    "worker",
    "approver",
    "approver",
    "porter",
    "auditor",
    "recruit-0",
    "recruit-1",
    "timer",
];
/// Who is enrolled, removed or given keys.
const MEMBERS: [&str; 8] =
    ["recruit-0", "recruit-1", "recruit-2", "operator", "worker", "approver", "founder", "svc_bot"];
const KINDS: [&str; 2] = ["parcel-left", "parcel-taken"];
const CAUSES: [&str; 4] = ["returned", "violation", "violation", "other"];
const PARTS: [&str; 6] = ["founder", "operator", "approver", "auditor", "worker", "founder"];
/// Refusals of a change of keys.
const UNLAWFUL: [Refusal; 3] =
    [Refusal::KeysMoved, Refusal::KeysUnauthorized, Refusal::KeysInvalid];

/// A move before it is known what there is.
#[derive(Debug, Clone)]
pub struct Move {
    who: usize,
    what: usize,
    which: usize,
    other: usize,
    /// Minutes since the move before.
    minutes: i64,
    text: String,
}

/// Any number of moves up to `most`.
pub fn moves(most: usize) -> impl Strategy<Value = Vec<Move>> {
    let one =
        (0..ASKERS.len(), 0..1_000_usize, 0..1_000_usize, 0..1_000_usize, 0..90_i64, "\\PC{1,8}")
            .prop_map(|(who, what, which, other, minutes, text)| Move {
                who,
                what,
                which,
                other,
                minutes,
                text,
            });
    prop::collection::vec(one, 1..most)
}

/// A tenant being played.
#[derive(Debug)]
pub struct Play {
    /// Everything so far.
    pub history: Vec<Fact>,
    /// Its fold.
    pub tenant: Tenant,
    now: Time,
}

impl Default for Play {
    fn default() -> Self {
        let mut history = words::prologue();
        let hired = words::fact(5, "founder", "role.hired", None, json!({}));
        let other = words::fact(6, "founder", "role.hired", Some(words::PORTER), json!({}));
        let role = json!({"role": words::CLERK});
        let opened = words::fact(7, "operator", "ticket.opened", None, role);
        let started = words::fact(8, "worker", "run.started", Some(RUN), json!({}));
        history.extend([hired, other, opened, started]);
        let tenant = Tenant::of(&history);
        Self { history, tenant, now: Time(DAWN.0 + 60_000_000) }
    }
}

fn nth(ids: &[String], n: usize, unknown: &str) -> String {
    // One in sixteen names nothing that exists.
    if n.is_multiple_of(16) || ids.is_empty() {
        unknown.to_owned()
    } else {
        ids[n % ids.len()].clone()
    }
}

impl Play {
    /// A role of which the timer owes a record.
    fn due(&self) -> Option<String> {
        let mut roles = self.tenant.roles.iter();
        roles.find(|(_, role)| role.standing.review.is_some()).map(|(id, _)| id.clone())
    }

    /// A member whom another stands in for.
    fn absent(&self) -> Option<String> {
        let directory = &self.tenant.directory;
        MEMBERS.iter().find_map(|to| {
            let to = words::actor(to);
            directory.delegators(&to, self.now).next().map(ToString::to_string)
        })
    }

    fn later(&self, minutes: usize) -> String {
        Time(self.now.0 + minutes as i64 * 60_000_000).to_string()
    }

    /// The command of a move.
    pub fn ask(&mut self, m: &Move) -> Ask {
        let all: Vec<_> = verbs().collect();
        let (mut minutes, mut named) = (m.minutes, all[m.what % all.len()]);
        // While a run goes on, half of what is asked is about actions.
        let running = self.tenant.runs.values().any(|run| !run.ended);
        if running && m.minutes % 2 == 0 {
            let acts: Vec<_> = all.iter().copied().filter(|(a, _)| *a == "action").collect();
            named = acts[m.what % acts.len()];
        }
        // Leases are short: while one lives, what can be asked of it is asked more often.
        let living = |held: &canonry_domain::lease::Held| held.expires > self.now;
        let lives = self.tenant.runs.values().any(|run| run.lease.as_ref().is_some_and(living));
        if lives && m.minutes % 2 == 1 && !m.what.is_multiple_of(3) {
            named = ("lease", if m.what.is_multiple_of(2) { "revoke" } else { "issue" });
            minutes /= 10;
        }
        if self.due().is_some() && m.what % 4 == 1 {
            named = ("role", "review");
        }
        self.now = Time(self.now.0 + minutes * 60_000_000);
        let (aggregate, verb) = named;
        let name = format!("{aggregate}.{verb}");
        let absent = self.absent();
        let who = match (aggregate, verb) {
            ("ticket", "breach")
            | ("role", "review")
            | ("action", "expire" | "escalate" | "lapse") => "timer",
            ("tier", _) => "founder",
            // Few runs go on at a time: who could have no lease does not ask for one.
            ("lease", _) if !m.who.is_multiple_of(4) => "operator",
            // Few are stood in for: mostly they ask.
            ("member", "end-delegation") if !m.who.is_multiple_of(4) => {
                absent.as_deref().unwrap_or(ASKERS[m.who])
            }
            _ => ASKERS[m.who],
        };
        let (over, keys) = self.over(&name, m);
        let command = words::command(&name, words::body(&name, over, 0));
        let intent = IntentId::from_parts(self.now.millis(), self.history.len() as u128);
        let mut ask = Ask {
            actor: words::actor(who),
            intent: intent.to_string(),
            now: self.now,
            approval: None,
            assertion: None,
            reaches: ["founder", "approver"].map(|who| (words::actor(who), 2)).to_vec(),
            keys,
            judged: Ok(self.judged(m)),
            bundle: Ok(bundle(
                &json!({"revision": m.other % 40 + 1, "expires": self.later(900)}),
                json!({}),
            )),
            lease_key: if m.other.is_multiple_of(9) {
                Err(Refusal::KeysInvalid)
            } else {
                Ok("000000000000000b".parse().expect("a key id"))
            },
            appended: if m.other.is_multiple_of(5) { Err(Refusal::ExtDataInvalid) } else { Ok(()) },
            command,
        };
        ask.approval = self.approval(&ask, m.other);
        ask.assertion = self.assertion(&ask, m.other);
        ask
    }

    fn over(&self, name: &str, m: &Move) -> (Value, Result<(), Refusal>) {
        let keys = |map: Vec<&String>| map.into_iter().cloned().collect::<Vec<_>>();
        let tickets = keys(self.tenant.tickets.keys().collect());
        let roles = keys(self.tenant.roles.keys().collect());
        let runs = keys(self.tenant.runs.keys().collect());
        let living = self.tenant.leases.iter().filter(|(_, lease)| !lease.revoked);
        let leases = keys(living.map(|(id, _)| id).collect());
        let going = self.tenant.runs.iter().filter(|(_, run)| !run.ended);
        let going = keys(going.map(|(id, _)| id).collect());
        let ticket = nth(&tickets, m.which, words::TICKET);
        let role = nth(&roles, m.other, "rol_7zzzzzzzzzzzzzzzzzzzzzzzzz");
        let lawful = if m.other.is_multiple_of(7) { Err(UNLAWFUL[m.which % 3]) } else { Ok(()) };
        let over = match name.split_once('.').unwrap() {
            ("ticket", "open") => self.opening(m, role),
            ("ticket", "amend") => match m.other % 5 {
                0 => json!({"id": ticket}),
                1 => json!({"id": ticket, "due": self.later(m.other % 300)}),
                2 => json!({"id": ticket, "approval_required": m.which.is_multiple_of(3)}),
                _ => json!({"id": ticket, "title": m.text}),
            },
            ("ticket", "assign") => json!({"id": ticket, "role": role}),
            ("ticket", "request-approval" | "reject") => json!({"id": ticket, "reason": m.text}),
            ("ticket", "breach") => {
                let due = self.tenant.tickets.get(&ticket).and_then(|t| t.due).unwrap_or(self.now);
                json!({"id": ticket, "due": due})
            }
            ("ticket", "complete") => json!({"id": ticket, "evidence": m.text}),
            ("ticket", _) => json!({"id": ticket}),
            ("role", "hire") => json!({"title": m.text, "escalation": [MEMBERS[m.which % 8]]}),
            ("role", "amend") => match m.which % 3 {
                0 => json!({"id": role}),
                1 => json!({"id": role, "tier": "T2", "job": m.text}),
                _ => json!({"id": role, "escalation": [MEMBERS[m.other % 8]]}),
            },
            // To retire is for good: seldom, or no work is left.
            ("role", "retire") if !m.which.is_multiple_of(4) => {
                json!({"id": RUN.replace("run", "rol")})
            }
            ("role", "fingerprint") => {
                json!({"id": role, "model": format!("m{}", m.other.is_multiple_of(9))})
            }
            ("role", "review") => json!({"id": self.due().unwrap_or(role)}),
            ("role", _) => json!({"id": role, "reason": m.text}),
            ("run", "start") => json!({"ticket": ticket}),
            ("run", "record-step") => {
                json!({"id": nth(&runs, m.which, RUN), "name": m.text})
            }
            ("run", _) => json!({"id": nth(&runs, m.which, RUN), "reason": m.text}),
            ("tenant", _) => json!({}),
            ("tier", _) => json!({"automatic": m.other.is_multiple_of(2), "promotions": [
                {"to": "T2", "runs": 1, "compliant_per_mille": 500, "consecutive": 1}]}),
            ("content", _) => json!({"entity": format!("ticket/{ticket}")}),
            ("ext", "register") => json!({"kind": KINDS[m.which % 2], "version": m.other % 9 + 1}),
            ("ext", _) => json!({"kind": KINDS[m.which % 2], "version": m.other % 9 + 1,
                "entity": format!("ticket/{ticket}")}),
            ("lease", "issue") => {
                let run = nth(if m.who.is_multiple_of(5) { &runs } else { &going }, m.which, RUN);
                let held = self.tenant.runs.get(&run).and_then(|run| run.lease.as_ref());
                match held.filter(|_| !m.other.is_multiple_of(3)) {
                    Some(held) => json!({"run": run, "renews": held.id}),
                    None => json!({"run": run}),
                }
            }
            ("lease", _) => json!({"id": nth(&leases, m.which, words::LEASE),
                "cause": CAUSES[m.other % 4]}),
            ("evidence", _) if m.other.is_multiple_of(2) => json!({"id": ticket}),
            ("evidence", _) => json!({"id": nth(&runs, m.which, RUN)}),
            ("member", "delegate") => json!({"to": MEMBERS[m.which % 8], "until": self.later(600)}),
            ("member", "end-delegation") => json!({}),
            ("policy", _) => json!({"revision": m.other % 40 + 1}),
            ("action", "propose") => json!({"run": nth(&runs, m.which, RUN),
                "tool": if m.other.is_multiple_of(9) { "shredder" } else { "sorter" },
                "worst": {"money_micros": m.other % 5}}),
            ("action", verb) => self.about(verb, m, &keys(self.tenant.actions.keys().collect())),
            ("budget", "limit") => {
                let scopes = [
                    "tenant".to_owned(),
                    format!("role/{role}"),
                    format!("ticket/{ticket}"),
                    format!("run/{}", nth(&runs, m.which, RUN)),
                ];
                let period = if m.which.is_multiple_of(3) { "day" } else { "total" };
                json!({"scope": scopes[m.other % 4], "period": period, "calls": m.which})
            }
            ("budget", _) => {
                json!({"currency": if m.which.is_multiple_of(4) { "USD" } else { "EUR" }})
            }
            ("member", "enrol") => {
                let role = (m.other % 3 == 1).then_some(role);
                let mut over = json!({"actor": MEMBERS[m.which % 8], "name": m.text,
                    "parts": [PARTS[m.other % 6]]});
                if let Some(role) = role {
                    over["role"] = json!(role);
                }
                over
            }
            _ => json!({"actor": MEMBERS[m.which % 8]}),
        };
        (over, lawful)
    }

    /// About an action; mostly about one for which this can be asked.
    fn about(&self, verb: &str, m: &Move, all: &[String]) -> Value {
        let fits = |id: &&String| match (verb, &self.tenant.actions[*id].stage) {
            ("step-up", Stage::Held(question)) => question.asks.level.is_some(),
            ("approve" | "reject" | "resume" | "expire" | "escalate", Stage::Held(_))
            | ("ask-again", Stage::Parked(_))
            | ("settle" | "lapse", Stage::Allowed { .. }) => true,
            _ => m.other.is_multiple_of(11),
        };
        let id = nth(&all.iter().filter(fits).cloned().collect::<Vec<_>>(), m.which, words::ACTION);
        let watched = self.tenant.actions.get(&id).and_then(Action::watched);
        let at = watched.map_or(self.now, |(at, _)| at);
        match verb {
            "expire" | "escalate" | "lapse" => json!({"id": id, "at": at}),
            "reject" => json!({"id": id, "reason": m.text}),
            _ => json!({"id": id}),
        }
    }

    /// What the policy says: anything, and of the same action mostly the same.
    fn judged(&self, m: &Move) -> Judged {
        let line = match m.other % 8 {
            0 => "DENY",
            1 => r#"THROTTLE {"after":5}"#,
            2 => r#"ROUTE {"to":[{"kind":"model","name":"small"}]}"#,
            3 | 4 => "ALLOW",
            5 => r#"ALLOW {"arguments":"1"}"#,
            6 => {
                r#"REQUIRE_HITL {"groups":[[1,"approver"]],"life":30000,"escalate":600,"four_eyes":false}"#
            }
            _ if m.which.is_multiple_of(3) => r#"REQUIRE_STEP_UP {"level":2,"four_eyes":false}"#,
            _ if m.which % 3 == 1 => r#"REQUIRE_STEP_UP {"groups":[[1,"approver"]],"level":2}"#,
            _ => r#"REQUIRE_HITL {"groups":[[2,"approver"]],"life":20000}"#,
        };
        judge(line)
    }

    fn opening(&self, m: &Move, role: String) -> Value {
        let mut over = json!({"title": m.text, "approval_required": m.which.is_multiple_of(2)});
        if m.other % 4 != 1 {
            over["role"] = json!(role);
        }
        if m.which % 3 == 1 {
            over["due"] = json!(self.later(m.other % 300));
        }
        over
    }

    /// The approval that fits, or one that fits not quite.
    fn approval(&self, ask: &Ask, n: usize) -> Option<Approval> {
        let approve = match &ask.command {
            Command::Ticket(ticket::Command::Approve(_)) => true,
            Command::Ticket(ticket::Command::Reject(_)) => false,
            Command::Action(action::Command::Approve(_)) => true,
            Command::Action(action::Command::Reject(_)) => false,
            _ => return None,
        };
        let id = target(&ask.command)?;
        let gate = self.tenant.tickets.get(&id).map(|t| &t.gate);
        let (position, hash) = match (gate, self.tenant.actions.get(&id).map(|a| &a.stage)) {
            (Some(Gate::Asked { position, hash, .. }), _) => (*position, hash.clone()),
            (_, Some(Stage::Held(question))) => (question.position, question.hash.clone()),
            _ => (1, crate::tenant::hash(1)),
        };
        let mut approval = Approval {
            by: ask.actor.clone(),
            entity: format!("{}/{id}", ask.command.name().0),
            approve,
            intent: ask.intent.clone(),
            position,
            hash,
        };
        match n % 12 {
            0 => approval.position += 1,
            1 => approval.approve = !approve,
            2 => return None,
            _ => {}
        }
        Some(approval)
    }

    /// The assertion that fits, or one that fits not quite.
    fn assertion(&self, ask: &Ask, n: usize) -> Option<Assertion> {
        let Command::Action(action::Command::StepUp(c)) = &ask.command else { return None };
        let Stage::Held(question) = &self.tenant.actions.get(c.id.as_str())?.stage else {
            return None;
        };
        Some(Assertion {
            by: ask.actor.clone(),
            entity: format!("action/{}", c.id),
            level: if n % 8 == 1 { 1 } else { 2 },
            reach: if n % 8 == 2 { 1 } else { 3 },
            intent: ask.intent.clone(),
            position: question.position + u64::from(n % 8 == 3),
            hash: question.hash.clone(),
        })
    }

    /// Makes a decided event the next fact.
    pub fn commit(&mut self, ask: &Ask, event: Event) -> &Fact {
        let position = self.history.len() as u64 + 1;
        let prefix = match ask.command.name().0 {
            "role" => "rol_",
            "ticket" => "tkt_",
            "ext" => "ext_",
            "action" => "act_",
            "lease" => "lse_",
            _ => "run_",
        };
        // Policies, prices and the tenant's own limits are the tenant's.
        let whole = matches!(ask.command.name().0, "policy" | "budget").then(|| TENANT.to_owned());
        let id = target(&ask.command)
            .or(whole)
            .unwrap_or_else(|| generated(prefix, self.now.millis(), u128::from(position)));
        let at = At { position, time: ask.now, actor: ask.actor.clone() };
        self.history.push(Fact { at, id, event });
        let fact = self.history.last().expect("just pushed");
        self.tenant.fold(fact);
        fact
    }
}
