//! Laws of the rules, over random moves of a tenant. The oracles look at the history alone, never
//! at the states that the rules keep.

use std::collections::{BTreeMap, BTreeSet};

use canonry_decider::hosted::{Catalogued, Hostable, Hosted, OwnFacts, Refused};
use canonry_domain::action::Actions;
use canonry_domain::books::Budgets;
use canonry_domain::evidence::Evidences;
use canonry_domain::ext::Exts;
use canonry_domain::lease::Leases;
use canonry_domain::policy::Policies;
use canonry_domain::role::Roles;
use canonry_domain::run::Runs;
use canonry_domain::ticket::Tickets;
use canonry_schemas::event::{Command, Event};
use canonry_schemas::ids::ActorId;
use canonry_schemas::limits::LEASE_LIFE;
use canonry_schemas::member::Part;
use canonry_schemas::refusal::Refusal;
use canonry_schemas::time::Time;
use canonry_schemas::{
    action, budget, evidence, ext, lease, member, policy, role, run, tenant, ticket,
};
use cqrs_es::Aggregate as _;
use cqrs_es::event_sink::EventSink;
use futures_util::FutureExt as _;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{TestCaseResult, TestRunner};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::moves::{Move, Play, moves};
use crate::table::history;
use crate::tenant::{Ask, Fact, Tenant, kind_of, target, whose};

/// Moves of one play, at most.
const MOVES: usize = 160;

fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

fn play(moves: &[Move], mut each: impl FnMut(&Ask, &Result<Event, Refusal>, &Play)) -> Play {
    let mut play = Play::default();
    for one in moves {
        let ask = play.ask(one);
        let answer = play.tenant.decide(&ask);
        each(&ask, &answer, &play);
        if let Ok(event) = answer {
            play.commit(&ask, event);
        }
    }
    play
}

/// What `handle` leaves behind: one event and a state that moved on, or a refusal and nothing.
fn handle<D>(state: Option<&D::State>, facts: OwnFacts, command: D::Command) -> TestCaseResult
where
    D: Hostable,
    D::State: Serialize + DeserializeOwned + Send + Sync,
    D::Command: Send,
    D::Event: Catalogued,
{
    let before = json!({ "state": state });
    let mut hosted: Hosted<D> = serde_json::from_value(before.clone()).unwrap();
    let sink = EventSink::default();
    let answer = hosted.handle((facts, command), &(), &sink).now_or_never().expect("waits never");
    let events = sink.collect().now_or_never().expect("waits never");
    if let Err(Refused(refusal)) = answer {
        prop_assert!(events.is_empty(), "{refusal:?} and {events:?}");
        prop_assert_eq!(serde_json::to_value(&hosted).unwrap(), before);
    } else {
        prop_assert_eq!(events.len(), 1, "one command, one record");
    }
    Ok(())
}

/// Who has which parts, and who was removed, told from the history.
#[derive(Default)]
struct People {
    parts: BTreeMap<ActorId, Vec<Part>>,
    removed: BTreeSet<ActorId>,
}

impl People {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::Tenant(tenant::Event::Founded(e)) => {
                let first = e.members.iter().map(|m| (m.actor.clone(), m.parts.clone()));
                self.parts.extend(first);
            }
            Event::Member(member::Event::Enrolled(e)) => {
                self.parts.insert(e.actor.clone(), e.parts.clone());
            }
            Event::Member(member::Event::Removed(e)) => {
                self.removed.insert(e.actor.clone());
            }
            _ => {}
        }
    }

    fn founders(&self) -> usize {
        let there = self.parts.iter().filter(|(actor, _)| !self.removed.contains(*actor));
        there.filter(|(_, parts)| parts.contains(&Part::Founder)).count()
    }

    fn is_founder(&self, actor: &ActorId) -> bool {
        self.parts.get(actor).is_some_and(|parts| parts.contains(&Part::Founder))
    }
}

/// A ticket's gate and runs, told from the history.
#[derive(Default)]
struct Told {
    needed: bool,
    asked_by: Option<ActorId>,
    approved: bool,
    running: BTreeSet<String>,
    ended: bool,
    breached: BTreeSet<String>,
}

impl Told {
    /// Whether an event of the ticket may come now; then it has come.
    fn hear(&mut self, fact: &Fact, event: &ticket::Event) -> TestCaseResult {
        use ticket::Event as E;
        prop_assert!(!self.ended || matches!(event, E::Reopened(_)), "ended, then {event:?}");
        match event {
            E::Opened(e) => self.needed = e.approval_required,
            E::Amended(e) => self.needed = e.approval_required.unwrap_or(self.needed),
            E::ApprovalRequested(_) => {
                prop_assert_eq!(&self.asked_by, &None, "asked twice");
                (self.asked_by, self.approved) = (Some(fact.at.actor.clone()), false);
            }
            E::Approved(_) | E::Rejected(_) => {
                let by = self.asked_by.take();
                prop_assert!(by.is_some_and(|by| by != fact.at.actor), "answered by who asked");
                self.approved = matches!(event, E::Approved(_));
            }
            E::Completed(_) => {
                prop_assert!(self.approved || !self.needed, "completed without approval");
                prop_assert_eq!(&self.asked_by, &None, "completed with a question open");
                prop_assert!(self.running.is_empty(), "completed under a run");
                self.ended = true;
            }
            E::Cancelled(_) => {
                prop_assert!(self.running.is_empty(), "cancelled under a run");
                self.ended = true;
            }
            E::Reopened(_) => {
                prop_assert!(self.ended, "reopened before its end");
                (self.ended, self.approved, self.asked_by) = (false, false, None);
            }
            E::DeadlineBreached(e) => {
                prop_assert!(e.due <= fact.at.time, "breached before it is due");
                prop_assert!(self.breached.insert(e.due.to_string()), "breached twice");
            }
            E::Assigned(_) | E::Started(_) => {}
        }
        Ok(())
    }

    fn hear_run(&mut self, id: &str, event: &run::Event) -> TestCaseResult {
        match event {
            run::Event::Started(_) => {
                prop_assert!(!self.ended, "a run at an ended ticket");
                self.running.insert(id.to_owned());
                prop_assert_eq!(self.running.len(), 1, "two runs at once");
            }
            run::Event::StepRecorded(_) => {}
            run::Event::Completed(_) | run::Event::Failed(_) | run::Event::Cancelled(_) => {
                prop_assert!(self.running.remove(id), "ended twice");
            }
        }
        Ok(())
    }
}

/// Roles at which work may begin, told from the history.
fn workable(open: &mut BTreeMap<String, bool>, id: &str, event: &role::Event) -> TestCaseResult {
    let at_work = match event {
        role::Event::Hired(_) | role::Event::Resumed(_) => true,
        role::Event::Paused(_) | role::Event::Retired(_) => false,
        role::Event::Amended(_)
        | role::Event::Fingerprinted(_)
        | role::Event::Promoted(_)
        | role::Event::Demoted(_)
        | role::Event::PromotionProposed(_) => return Ok(()),
    };
    let was = open.insert(id.to_owned(), at_work);
    let pause = matches!(event, role::Event::Paused(_));
    prop_assert!(!pause || was == Some(true), "paused twice");
    Ok(())
}

/// Actions, told from the history.
#[derive(Default)]
struct Acts(BTreeMap<String, Act>);

/// One of them.
#[derive(Default)]
struct Act {
    held: bool,
    parked: bool,
    open: bool,
    needed: usize,
    agreed: BTreeSet<ActorId>,
    level: Option<u8>,
    reached: Option<u8>,
    over: bool,
}

impl Acts {
    fn hear(&mut self, fact: &Fact, event: &action::Event) -> TestCaseResult {
        use action::Event as E;
        let act = self.0.entry(fact.id.clone()).or_default();
        prop_assert!(!act.over, "it was over, then {event:?}");
        match event {
            E::Allowed(e) => {
                prop_assert!(!act.held || act.agreed.len() >= act.needed, "nobody agreed");
                prop_assert!(!act.held || act.reached >= act.level, "nobody stepped up");
                prop_assert_eq!(act.held, !e.approved_by.is_empty());
                prop_assert!(!act.parked && !act.open, "allowed out of turn");
                (act.held, act.open) = (false, true);
            }
            E::Held(e) => {
                prop_assert!(!act.held && !act.open, "held twice");
                act.held = true;
                act.level = e.approvals.level;
                act.needed = e.approvals.groups.iter().map(|g| usize::from(g.needed)).sum();
            }
            E::Routed(_) | E::Denied(_) => act.over = true,
            E::Approved(_) => {
                prop_assert!(act.held && !act.parked, "an answer to no question");
                prop_assert!(act.agreed.insert(fact.at.actor.clone()), "agreed twice");
            }
            E::SteppedUp(e) => {
                prop_assert!(act.held && !act.parked, "stepped up for no question");
                prop_assert!(act.reached.is_none(), "stepped up twice");
                prop_assert!(act.level.is_some_and(|asked| e.level >= asked), "too low");
                act.reached = Some(e.level);
            }
            E::Rejected(_) => act.over = true,
            E::Expired(_) => (act.held, act.parked) = (false, true),
            E::AskedAgain(_) => {
                prop_assert!(act.parked, "asked again what was not parked");
                (act.held, act.parked) = (true, false);
                act.agreed.clear();
                act.reached = None;
            }
            E::Escalated(_) => prop_assert!(act.held),
            E::Settled(_) | E::Lapsed(_) => {
                prop_assert!(act.open, "settled what was not allowed");
                act.over = true;
            }
        }
        Ok(())
    }
}

/// Living leases told from the history: of each run one, and what ends does so once.
fn leased(
    leases: &mut BTreeMap<String, (String, Time)>,
    fact: &Fact,
    event: &lease::Event,
    going: impl Fn(&str) -> bool,
) -> TestCaseResult {
    match event {
        lease::Event::Issued(e) => {
            prop_assert!(going(e.run.as_str()), "a lease for a run that does not go on");
            let old = e.renews.as_ref().map(ToString::to_string);
            let living = |(id, (run, end)): &(&String, &(String, Time))| {
                run == e.run.as_str() && *end > fact.at.time && Some(*id) != old.as_ref()
            };
            prop_assert_eq!(leases.iter().filter(living).count(), 0, "two leases of a run");
            prop_assert!(old.is_none_or(|old| leases.remove(&old).is_some()), "renewed nothing");
            let hour = i64::try_from(LEASE_LIFE.as_micros()).unwrap();
            prop_assert!(e.expires > fact.at.time && e.expires.0 <= fact.at.time.0 + hour);
            leases.insert(fact.id.clone(), (e.run.to_string(), e.expires));
        }
        lease::Event::Revoked(e) => {
            prop_assert!(leases.remove(e.id.as_str()).is_some(), "ended twice, or never begun");
        }
    }
    Ok(())
}

/// Holds a whole history to the laws.
fn audit(history: &[Fact]) -> TestCaseResult {
    let (mut people, mut tickets) = (People::default(), BTreeMap::<String, Told>::new());
    let (mut roles, mut run_tickets) = (BTreeMap::new(), BTreeMap::new());
    let (mut versions, mut revision, mut currency) = (BTreeMap::new(), 0, None);
    let mut acts = Acts::default();
    let mut leases = BTreeMap::new();
    for fact in history {
        let actor = &fact.at.actor;
        prop_assert!(!people.removed.contains(actor), "{actor} was removed and asked on");
        match &fact.event {
            Event::Member(member::Event::Enrolled(e)) => {
                prop_assert!(!people.parts.contains_key(&e.actor), "{} came twice", e.actor);
                prop_assert!(people.is_founder(actor) && !e.actor.is_service());
            }
            Event::Member(member::Event::Removed(_)) => prop_assert!(people.is_founder(actor)),
            Event::Member(member::Event::KeysRotated(e)) => {
                prop_assert!(!people.removed.contains(&e.actor), "keys for who was removed");
                prop_assert!(&e.actor == actor || people.is_founder(actor));
            }
            Event::Role(e) => {
                let pause = matches!(e, role::Event::Paused(_) | role::Event::Fingerprinted(_))
                    || actor.as_str() == canonry_decider::ACTOR;
                prop_assert!(pause || people.is_founder(actor), "{e:?} by {actor}");
                workable(&mut roles, &fact.id, e)?;
            }
            Event::Ticket(e) => {
                tickets.entry(fact.id.clone()).or_default().hear(fact, e)?;
                let lifts = matches!(e, ticket::Event::Amended(a)
                    if a.approval_required == Some(false));
                prop_assert!(!lifts || people.is_founder(actor), "lifted by {actor}");
            }
            Event::Run(e) => {
                if let run::Event::Started(e) = e {
                    prop_assert_eq!(roles.get(e.role.as_str()), Some(&true), "no work for it");
                    run_tickets.insert(fact.id.clone(), e.ticket.to_string());
                }
                let ticket = run_tickets.get(&fact.id).expect("a run has a ticket");
                tickets.get_mut(ticket).expect("it was opened").hear_run(&fact.id, e)?;
            }
            Event::Content(_) | Event::Tier(_) => prop_assert!(people.is_founder(actor)),
            Event::Tenant(tenant::Event::KeysRotated(_)) => {
                prop_assert!(people.is_founder(actor));
            }
            Event::Ext(ext::Event::Registered(e)) => {
                let last = versions.insert(e.kind.clone(), e.version);
                prop_assert!(last < Some(e.version), "a version that did not grow");
                prop_assert!(people.is_founder(actor), "registered by {actor}");
            }
            Event::Ext(ext::Event::Appended(e)) => {
                prop_assert!(versions.get(&e.kind) >= Some(&e.version), "of no version");
            }
            Event::Evidence(_) => {
                let known = tickets.contains_key(&fact.id) || run_tickets.contains_key(&fact.id);
                prop_assert!(known, "evidence of nothing");
            }
            Event::Policy(policy::Event::Published(e)) => {
                prop_assert!(people.is_founder(actor), "published by {actor}");
                prop_assert!(revision < e.revision, "a revision that did not grow");
                revision = e.revision;
            }
            Event::Action(e) => acts.hear(fact, e)?,
            Event::Budget(e) => {
                prop_assert!(people.is_founder(actor), "limited or priced by {actor}");
                match e {
                    budget::Event::Limited(e) => {
                        let by_day = e.period == budget::Period::Day;
                        let whose = e.scope.entity().map(|(aggregate, _)| aggregate);
                        prop_assert!(!by_day || matches!(whose, None | Some("role")));
                    }
                    budget::Event::Priced(e) => {
                        let first = currency.get_or_insert_with(|| e.currency.clone());
                        prop_assert_eq!(&*first, &e.currency, "another currency");
                    }
                }
            }
            Event::Lease(e) => {
                let going = |run: &str| {
                    let ticket = run_tickets.get(run).and_then(|id| tickets.get(id));
                    ticket.is_some_and(|ticket: &Told| ticket.running.contains(run))
                };
                leased(&mut leases, fact, e, going)?;
                if let lease::Event::Issued(e) = e {
                    prop_assert_eq!(roles.get(e.role.as_str()), Some(&true), "no work for it");
                    prop_assert!(!people.removed.contains(&e.worker), "a lease for who is gone");
                }
            }
            Event::Tenant(_) | Event::Actor(_) | Event::Refused { .. } => {}
            Event::Member(member::Event::Delegated(_) | member::Event::DelegationEnded(_)) => {}
        }
        people.hear(&fact.event);
        prop_assert!(people.founders() > 0, "no founder is left");
    }
    Ok(())
}

/// A fact as it comes back from the ledger.
fn stored(fact: &Fact) -> Fact {
    let data = serde_json::from_str(&fact.event.data().unwrap()).unwrap();
    let (name, version) = (fact.event.name(), fact.event.version());
    let event = Event::parse(fact.event.aggregate(), &name, version, &data).unwrap().unwrap();
    Fact { event, ..fact.clone() }
}

proptest! {
    #![proptest_config(config(160))]

    /// Removed members ask nothing, a founder is always left, nothing passes the gate unapproved,
    /// one run at a time, a deadline is missed once: [`audit`].
    #[test]
    fn what_is_accepted_keeps_the_laws(moves in moves(MOVES)) {
        audit(&play(&moves, |_, _, _| {}).history)?;
    }

    /// A refusal leaves nothing behind, and a decision is one event; both come out the same again.
    #[test]
    fn a_decision_is_one_event_or_nothing(moves in moves(MOVES)) {
        let mut result = Ok(());
        play(&moves, |ask, answer, play| {
            let step = || -> TestCaseResult {
                prop_assert_eq!(&play.tenant.decide(ask), answer, "decided otherwise");
                prop_assert_eq!(&Tenant::of(&play.history).decide(ask), answer);
                let Ok(facts) = play.tenant.facts(ask) else { return Ok(()) };
                let id = target(&ask.command).unwrap_or_default();
                match ask.command.clone() {
                    Command::Member(_)
                    | Command::Tenant(_)
                    | Command::Content(_)
                    | Command::Tier(_) => Ok(()),
                    Command::Role(c) => handle::<Roles>(play.tenant.roles.get(&id), facts, c),
                    Command::Ticket(c) => handle::<Tickets>(play.tenant.tickets.get(&id), facts, c),
                    Command::Run(c) => handle::<Runs>(play.tenant.runs.get(&id), facts, c),
                    Command::Ext(c) => {
                        handle::<Exts>(play.tenant.kinds.get(kind_of(&c)), facts, c.clone())
                    }
                    Command::Evidence(c) => {
                        handle::<Evidences>(play.tenant.work(&id).as_ref(), facts, c)
                    }
                    Command::Policy(c) => {
                        handle::<Policies>(play.tenant.policies.get("acme"), facts, c)
                    }
                    Command::Action(c) => {
                        handle::<Actions>(play.tenant.actions.get(&id), facts, c)
                    }
                    Command::Budget(c) => {
                        let limited = play.tenant.limited(whose(&c));
                        handle::<Budgets>(limited.as_ref(), facts, c)
                    }
                    Command::Lease(c) => handle::<Leases>(play.tenant.leases.get(&id), facts, c),
                }
            };
            if result.is_ok() {
                result = step();
            }
        });
        result?;
    }

    /// Folding as one goes, from the start, from the middle and from what was stored are the same.
    #[test]
    fn a_fold_is_a_fold(moves in moves(MOVES), cut in any::<prop::sample::Index>()) {
        let play = play(&moves, |_, _, _| {});
        prop_assert_eq!(&Tenant::of(&play.history), &play.tenant);
        let (first, rest) = play.history.split_at(cut.index(play.history.len()));
        let mut tenant = Tenant::of(first);
        rest.iter().for_each(|fact| tenant.fold(fact));
        prop_assert_eq!(&tenant, &play.tenant);
        let stored: Vec<_> = play.history.iter().map(stored).collect();
        prop_assert_eq!(&stored, &play.history);
    }

    /// A fold takes any order of facts without a panic; what does not fit changes nothing.
    #[test]
    fn a_fold_is_total(
        shuffled in moves(MOVES)
            .prop_map(|moves| play(&moves, |_, _, _| {}).history)
            .prop_shuffle()
    ) {
        let tenant = Tenant::of(&shuffled);
        for (id, ticket) in &tenant.tickets {
            let opened = |f: &&Fact| {
                &f.id == id && matches!(f.event, Event::Ticket(ticket::Event::Opened(_)))
            };
            prop_assert!(shuffled.iter().any(|f| opened(&f)));
            prop_assert!(ticket.watched_due().is_none_or(|due| ticket.due == Some(due)));
        }
    }
}

/// The moves reach every event, and most of what can be refused: the laws are about something.
#[test]
fn the_moves_reach_everything() {
    let mut runner = TestRunner::deterministic();
    let (mut events, mut refusals) = (BTreeMap::new(), BTreeMap::new());
    for _ in 0..200 {
        let tree = moves(MOVES).new_tree(&mut runner).unwrap();
        play(&tree.current(), |_, answer, _| match answer {
            Ok(event) => *events.entry((event.aggregate(), event.name())).or_insert(0) += 1,
            Err(refusal) => *refusals.entry(refusal.code()).or_insert(0) += 1,
        });
    }
    for (aggregate, names) in [
        ("content", canonry_schemas::content::Event::NAMES),
        ("member", member::Event::NAMES),
        ("role", role::Event::NAMES),
        ("ticket", ticket::Event::NAMES),
        ("run", run::Event::NAMES),
        ("ext", ext::Event::NAMES),
        ("evidence", evidence::Event::NAMES),
        ("policy", policy::Event::NAMES),
        ("action", action::Event::NAMES),
        ("budget", budget::Event::NAMES),
        ("lease", lease::Event::NAMES),
        ("tier", canonry_schemas::tier::Event::NAMES),
    ] {
        for (name, _) in names {
            let key = (aggregate, (*name).to_owned());
            assert!(events.contains_key(&key), "{aggregate}.{name} never happened: {events:?}");
        }
    }
    assert!(refusals.len() >= 32, "{refusals:?}");
}

/// The audit finds what breaks a law.
#[test]
fn a_broken_law_is_found() {
    for (broken, lawful) in [
        ("ticket.completed", r#"ticket.opened {"approval_required":true}; ticket.started"#),
        (
            r#"ticket.deadline-breached {"due":"@dawn"}"#,
            r#"ticket.opened {"due":"@dawn"}; ticket.deadline-breached {"due":"@dawn"}"#,
        ),
        (
            "worker: run.started of run_00000000000000000000000002",
            "role.hired; ticket.opened; worker: run.started of @run",
        ),
        ("operator: ticket.opened", r#"member.removed {"actor":"operator"}"#),
        (r#"member.removed {"actor":"founder"}"#, r#"member.removed {"actor":"operator"}"#),
        ("worker: run.started of @run", "ticket.opened; role.hired; role.paused"),
        ("operator: ticket.approved", "ticket.opened; operator: ticket.approval-requested"),
        (
            r#"operator: ticket.amended {"approval_required":false}"#,
            r#"ticket.opened {"approval_required":true}"#,
        ),
        ("operator: role.retired", "role.hired; operator: role.paused"),
        ("operator: tenant.keys-rotated", "tenant.keys-rotated"),
        ("operator: content.erased", "content.erased"),
        ("policy.published", "policy.published"),
        ("worker: action.allowed {\"approved_by\":[\"9\"]}", "worker: action.held"),
        ("approver: action.approved", "worker: action.held; timer: action.expired"),
        ("approver: action.stepped-up", "worker: action.held"),
        (
            "worker: action.allowed {\"approved_by\":[\"9\"]}",
            r#"worker: action.held {"approvals":{"groups":[],"four_eyes":false,"level":2,"expires":"@noon"}}"#,
        ),
        ("worker: action.settled", "worker: action.allowed; worker: action.settled"),
        ("timer: action.lapsed", "worker: action.allowed; worker: action.settled"),
        ("operator: budget.limited", "budget.limited"),
        (r#"budget.priced {"currency":"USD"}"#, "budget.priced"),
        (r#"budget.limited {"scope":"ticket/@ticket","period":"day"}"#, "ticket.opened"),
        ("worker: lease.issued", "role.hired; ticket.opened"),
        (
            "worker: lease.issued of lse_00000000000000000000000002",
            "role.hired; ticket.opened; worker: run.started of @run;
             worker: lease.issued {\"expires\":\"2027-01-15T08:30:00.000000Z\"}",
        ),
    ] {
        assert!(audit(&history(lawful)).is_ok(), "{lawful}");
        assert!(audit(&history(&format!("{lawful}; {broken}"))).is_err(), "{lawful}; {broken}");
    }
}
