//! What may be asked when, and by whom: each command at each stage, and each part with each
//! command. A cell is `yes` or what the refusal is called here.

use std::collections::BTreeSet;

use canonry_schemas::event::verbs;
use canonry_schemas::refusal::Refusal;

use crate::table::{asked, history};
use crate::tenant::Tenant;

/// What stands in the cells, beside `yes`; `-` is not asked.
const CALLED: [(&str, Refusal); 33] = [
    ("unknown", Refusal::TicketUnknown),
    ("ended", Refusal::TicketEnded),
    ("not-ended", Refusal::TicketNotEnded),
    ("started", Refusal::TicketStarted),
    ("unstarted", Refusal::TicketNotStarted),
    ("has-run", Refusal::TicketHasRun),
    ("pending", Refusal::ApprovalPending),
    ("unasked", Refusal::ApprovalNotPending),
    ("missing", Refusal::ApprovalMissing),
    ("no", Refusal::NotAllowed),
    ("only", Refusal::FounderOnly),
    ("other", Refusal::OtherRole),
    ("theirs", Refusal::RunOfAnother),
    ("no-role", Refusal::RoleUnknown),
    ("paused", Refusal::RolePaused),
    ("unpaused", Refusal::RoleNotPaused),
    ("retired", Refusal::RoleRetired),
    ("no-run", Refusal::RunUnknown),
    ("run-ended", Refusal::RunEnded),
    ("living", Refusal::LeaseLiving),
    ("no-lease", Refusal::LeaseUnknown),
    ("over", Refusal::LeaseRevoked),
    ("late", Refusal::LeaseExpired),
    ("undue", Refusal::ReviewNotDue),
    ("who", Refusal::ActorUnknown),
    ("no-action", Refusal::ActionUnknown),
    ("not-open", Refusal::ActionNotOpen),
    ("unparked", Refusal::ActionNotParked),
    ("expired", Refusal::ApprovalExpired),
    ("not-due", Refusal::DeadlineNotPassed),
    ("not-asked", Refusal::NotAnApprover),
    ("self", Refusal::SelfApproval),
    ("no-level", Refusal::AssertionNotAsked),
];

/// Who asks in the tables of stages: somebody who may.
fn asker(command: &str) -> &'static str {
    match command {
        "ticket.breach" | "action.expire" | "action.escalate" | "action.lapse" | "role.review" => {
            "timer at @noon"
        }
        "action.approve" | "action.reject" => "approver",
        _ => "founder",
    }
}

/// The rows of a table without its head: a command and its cells.
fn cells(table: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    table.lines().map(str::trim).filter(|l| !l.is_empty()).skip(1).map(|line| {
        let mut words = line.split_whitespace();
        (words.next().unwrap(), words.collect())
    })
}

/// Asks in every column, each a history, what every row names.
fn compare(table: &str, columns: &[(&str, &str)], line: impl Fn(&str, &str) -> String) {
    let head: Vec<_> = table.trim().lines().next().unwrap().split_whitespace().collect();
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    assert_eq!(head, names);
    let mut wrong = Vec::new();
    for (command, expected) in cells(table) {
        assert_eq!(expected.len(), columns.len(), "{command}");
        for ((column, given), cell) in columns.iter().zip(expected).filter(|(_, c)| *c != "-") {
            let facts = history(given);
            let (ask, _) = asked(&facts, &line(column, command));
            let got = Tenant::of(&facts).decide(&ask);
            let then = CALLED.iter().find(|(name, _)| *name == cell).map(|(_, r)| *r);
            assert!(then.is_some() || cell == "yes", "{cell}");
            if got.as_ref().err() != then.as_ref() {
                wrong.push(format!("{command}, {column}: expected {cell}, got {got:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn names_every_verb(tables: &[&str], aggregate: &str) {
    let named: BTreeSet<_> =
        tables.iter().flat_map(|t| cells(t)).map(|(command, _)| command).collect();
    let all: Vec<_> = verbs().filter(|(a, _)| *a == aggregate).collect();
    for (_, verb) in all {
        let name = format!("{aggregate}.{verb}");
        assert!(named.contains(&*name), "{name} stands in no table");
    }
}

const TICKET_STAGES: [(&str, &str); 7] = [
    ("absent", "role.hired"),
    ("open", "role.hired; ticket.opened {\"role\":\"@clerk\",\"due\":\"@noon\"}"),
    (
        "by-hand",
        "role.hired; ticket.opened {\"role\":\"@clerk\",\"due\":\"@noon\"}; ticket.started",
    ),
    (
        "running",
        "role.hired; ticket.opened {\"role\":\"@clerk\",\"due\":\"@noon\"};
         worker: run.started of @run",
    ),
    (
        "ran",
        "role.hired; ticket.opened {\"role\":\"@clerk\",\"due\":\"@noon\"};
         worker: run.started of @run; worker: run.completed",
    ),
    (
        "completed",
        "role.hired; ticket.opened {\"role\":\"@clerk\",\"due\":\"@noon\"};
         ticket.started; ticket.completed",
    ),
    (
        "cancelled",
        "role.hired; ticket.opened {\"role\":\"@clerk\",\"due\":\"@noon\"}; ticket.cancelled",
    ),
];

/// Each command of a ticket at each of its stages.
const TICKET: &str = "
                         absent   open       by-hand    running    ran        completed  cancelled
ticket.open              yes      -          -          -          -          -          -
ticket.amend             unknown  yes        yes        yes        yes        ended      ended
ticket.assign            unknown  yes        yes        has-run    yes        ended      ended
ticket.request-approval  unknown  yes        yes        yes        yes        ended      ended
ticket.approve           unknown  unasked    unasked    unasked    unasked    ended      ended
ticket.reject            unknown  unasked    unasked    unasked    unasked    ended      ended
ticket.start             unknown  yes        started    started    started    ended      ended
ticket.complete          unknown  unstarted  yes        has-run    yes        ended      ended
ticket.reopen            unknown  not-ended  not-ended  not-ended  not-ended  yes        yes
ticket.cancel            unknown  yes        yes        has-run    yes        ended      ended
ticket.breach            unknown  yes        yes        yes        yes        ended      ended
run.start                unknown  yes        yes        has-run    yes        ended      ended
evidence.attach          unknown  yes        yes        yes        yes        yes        yes
budget.limit             unknown  yes        yes        yes        yes        yes        yes
";

#[test]
fn each_command_at_each_stage_of_a_ticket() {
    names_every_verb(&[TICKET], "ticket");
    compare(TICKET, &TICKET_STAGES, |_, command| {
        let over = match command {
            "ticket.amend" => "{\"priority\":1}",
            "budget.limit" => "{\"scope\":\"ticket/@ticket\"}",
            _ => "",
        };
        format!("{}: {command} {over}", asker(command))
    });
}

const GATES: [(&str, &str); 8] = [
    ("unasked", "ticket.opened; ticket.started"),
    ("asked", "ticket.opened; ticket.started; operator: ticket.approval-requested"),
    (
        "approved",
        "ticket.opened; ticket.started; operator: ticket.approval-requested;
         approver: ticket.approved",
    ),
    (
        "rejected",
        "ticket.opened; ticket.started; operator: ticket.approval-requested;
         approver: ticket.rejected",
    ),
    ("needed", "ticket.opened {\"approval_required\":true}; ticket.started"),
    (
        "n-asked",
        "ticket.opened {\"approval_required\":true}; ticket.started;
         operator: ticket.approval-requested",
    ),
    (
        "n-given",
        "ticket.opened {\"approval_required\":true}; ticket.started;
         operator: ticket.approval-requested; approver: ticket.approved",
    ),
    (
        "n-denied",
        "ticket.opened {\"approval_required\":true}; ticket.started;
         operator: ticket.approval-requested; approver: ticket.rejected",
    ),
];

/// The gate of a started ticket: first where no approval is needed, then where one is.
const GATE: &str = "
                        unasked asked   approved rejected needed  n-asked n-given n-denied
ticket.request-approval yes     pending yes      yes      yes     pending yes     yes
ticket.approve          unasked yes     unasked  unasked  unasked yes     unasked unasked
ticket.reject           unasked yes     unasked  unasked  unasked yes     unasked unasked
ticket.complete         yes     missing yes      missing  missing missing yes     missing
ticket.cancel           yes     yes     yes      yes      yes     yes     yes     yes
";

#[test]
fn each_command_at_the_gate() {
    compare(GATE, &GATES, |_, command| format!("founder: {command}"));
}

const ROLE_STAGES: [(&str, &str); 5] = [
    ("absent", ""),
    ("active", "role.hired"),
    ("paused", "role.hired; role.paused"),
    ("resumed", "role.hired; role.paused; role.resumed"),
    ("retired", "role.hired; role.paused; role.retired"),
];

/// Each command of a role at each of its stages, and what others may do with it then.
const ROLE: &str = "
               absent   active    paused  resumed   retired
role.hire      yes      -         -       -         -
role.amend     no-role  yes       yes     yes       retired
role.pause     no-role  yes       paused  yes       retired
role.resume    no-role  unpaused  yes     unpaused  retired
role.retire    no-role  yes       yes     yes       retired
role.fingerprint no-role yes      yes     yes       retired
role.review    no-role  undue     undue   undue     retired
member.enrol   no-role  yes       yes     yes       retired
ticket.open    no-role  yes       yes     yes       retired
budget.limit   no-role  yes       yes     yes       yes
";

#[test]
fn each_command_at_each_stage_of_a_role() {
    names_every_verb(&[ROLE], "role");
    compare(ROLE, &ROLE_STAGES, |_, command| {
        let over = match command {
            "role.amend" => "{\"tier\":\"T0\"}",
            "member.enrol" | "ticket.open" => "{\"role\":\"@clerk\"}",
            "budget.limit" => "{\"scope\":\"role/@clerk\"}",
            _ => "",
        };
        format!("{}: {command} {over}", asker(command))
    });
}

const RUN_STAGES: [(&str, &str); 6] = [
    ("absent", "role.hired; ticket.opened {\"role\":\"@clerk\"}"),
    ("begun", "role.hired; ticket.opened {\"role\":\"@clerk\"}; worker: run.started of @run"),
    (
        "stepped",
        "role.hired; ticket.opened {\"role\":\"@clerk\"}; worker: run.started of @run;
         run.step-recorded",
    ),
    ("completed", "ticket.opened; worker: run.started of @run; run.completed"),
    ("failed", "ticket.opened; worker: run.started of @run; run.failed"),
    ("cancelled", "ticket.opened; worker: run.started of @run; run.cancelled"),
];

/// Each command of a run at each of its stages.
const RUN: &str = "
                 absent  begun  stepped  completed  failed     cancelled
run.start        yes     -      -        -          -          -
run.record-step  no-run  yes    yes      run-ended  run-ended  run-ended
run.complete     no-run  yes    yes      run-ended  run-ended  run-ended
run.fail         no-run  yes    yes      run-ended  run-ended  run-ended
run.cancel       no-run  yes    yes      run-ended  run-ended  run-ended
evidence.attach  no-run  yes    yes      yes        yes        yes
budget.limit     no-run  yes    yes      yes        yes        yes
lease.issue      no-run  yes    yes      run-ended  run-ended  run-ended
";

#[test]
fn each_command_at_each_stage_of_a_run() {
    names_every_verb(&[RUN], "run");
    compare(RUN, &RUN_STAGES, |_, command| match command {
        "evidence.attach" => format!("worker: {command} {{\"id\":\"@run\"}}"),
        "budget.limit" => format!("founder: {command} {{\"scope\":\"run/@run\"}}"),
        _ => format!("worker: {command}"),
    });
}

/// What every action needs, and then some stage of it.
macro_rules! acted {
    ($then:literal) => {
        concat!(
            "role.hired; operator: ticket.opened {\"role\":\"@clerk\"}; ",
            "worker: run.started of @run; ",
            $then
        )
    };
}

const ACTION_STAGES: [(&str, &str); 10] = [
    ("absent", acted!("")),
    ("held", acted!("worker: action.held")),
    ("agreed", acted!("worker: action.held; approver: action.approved")),
    ("parked", acted!("worker: action.held; timer: action.expired")),
    ("again", acted!("worker: action.held; timer: action.expired; worker: action.asked-again")),
    ("rejected", acted!("worker: action.held; approver: action.rejected")),
    ("allowed", acted!("worker: action.allowed")),
    ("settled", acted!("worker: action.allowed; worker: action.settled")),
    ("lapsed", acted!("worker: action.allowed; timer: action.lapsed")),
    ("denied", acted!("worker: action.denied")),
];

/// Each command of an action at each of its stages. The timer asks at noon, when the first
/// question and the allowance end.
const ACTION: &str = "
                 absent    held      agreed   parked   again    rejected allowed  settled  lapsed   denied
action.propose   yes       -         -        -        -        -        -        -        -        -
action.approve   no-action yes       unasked  expired  yes      unasked  unasked  unasked  unasked  unasked
action.reject    no-action yes       yes      expired  yes      unasked  unasked  unasked  unasked  unasked
action.step-up   no-action no-level  no-level expired  no-level unasked  unasked  unasked  unasked  unasked
action.resume    no-action missing   yes      expired  missing  unasked  unasked  unasked  unasked  unasked
action.ask-again no-action unparked  unparked yes      unparked unparked unparked unparked unparked unparked
action.settle    no-action not-open  not-open not-open not-open not-open yes      not-open not-open not-open
action.expire    no-action yes       yes      not-due  not-due  not-due  not-due  not-due  not-due  not-due
action.escalate  no-action not-due   not-due  not-due  not-due  not-due  not-due  not-due  not-due  not-due
action.lapse     no-action not-due   not-due  not-due  not-due  not-due  yes      not-due  not-due  not-due
";

#[test]
fn each_command_at_each_stage_of_an_action() {
    names_every_verb(&[ACTION], "action");
    compare(ACTION, &ACTION_STAGES, |_, command| {
        // The approver has agreed already; a founder is another person.
        let who = match command {
            "action.approve" | "action.reject" => "founder",
            other => asker(other),
        };
        format!("{who}: {command}")
    });
}

const LEASE_STAGES: [(&str, &str); 5] = [
    ("absent", ""),
    ("issued", "worker: lease.issued {\"expires\":\"@night\"}"),
    ("expired", "worker: lease.issued"),
    ("revoked", "worker: lease.issued {\"expires\":\"@night\"}; operator: lease.revoked"),
    (
        "renewed",
        "worker: lease.issued {\"expires\":\"@night\"};
         worker: lease.issued of lse_00000000000000000000000002
             {\"renews\":\"@lease\",\"expires\":\"@night\"}",
    ),
];

/// Each command of a lease at each of its stages, at noon.
const LEASE: &str = "
              absent    issued  expired  revoked  renewed
lease.issue   yes       living  yes      yes      living
lease.renew   no-lease  yes     no-lease no-lease living
lease.revoke  no-lease  yes     late     over     over
";

#[test]
fn each_command_at_each_stage_of_a_lease() {
    names_every_verb(&[LEASE], "lease");
    let begun = |told: &str| {
        format!(
            "role.hired; ticket.opened {{\"role\":\"@clerk\"}}; worker: run.started of @run; {told}"
        )
    };
    let stages = LEASE_STAGES.map(|(name, told)| (name, begun(told)));
    let stages: Vec<_> = stages.iter().map(|(name, told)| (*name, told.as_str())).collect();
    compare(LEASE, &stages, |_, command| match command {
        "lease.renew" => "worker at @noon: lease.issue {\"renews\":\"@lease\"}".to_owned(),
        _ => format!("worker at @noon: {command}"),
    });
}

/// Who asks: the parts, a worker of another role, a worker of none, a service by itself, the
/// decider's timer, and somebody who is not there.
const ASKERS: [(&str, &str); 10] = [
    ("founder", ""),
    ("operator", ""),
    ("approver", ""),
    ("auditor", ""),
    ("worker", ""),
    ("porter", ""),
    ("idler", ""),
    ("svc_api", ""),
    ("timer", ""),
    ("nobody", ""),
];

/// Who may ask for what, where nothing else stands against it.
const PARTS: &str = "
                        founder operator approver auditor worker porter idler  svc_api timer nobody
member.enrol            yes     only     only     only    only   only   only   only    only  who
member.remove           yes     only     only     only    only   only   only   only    only  who
member.delegate         yes     no       yes      no      no     no     no     no      no    who
member.end-delegation   yes     no       yes      no      no     no     no     no      no    who
member.rotate-keys      yes     yes      only     only    only   only   only   only    only  who
tenant.rotate-keys      yes     only     only     only    only   only   only   only    only  who
content.erase           yes     only     only     only    only   only   only   only    only  who
role.hire               yes     only     only     only    only   only   only   only    only  who
role.amend              yes     only     only     only    only   only   only   only    only  who
role.pause              yes     yes      no       no      no     no     no     no      no    who
role.resume             yes     only     only     only    only   only   only   only    only  who
role.retire             yes     only     only     only    only   only   only   only    only  who
role.fingerprint        yes     yes      no       no      yes    other  other  no      no    who
role.review             no      no       no       no      no     no     no     no      yes   who
tier.configure          yes     only     only     only    only   only   only   only    only  who
ticket.open             yes     yes      no       no      yes    yes    yes    no      no    who
ticket.amend            yes     yes      no       no      no     no     no     no      no    who
ticket.assign           yes     yes      no       no      no     no     no     no      no    who
ticket.request-approval yes     yes      no       no      yes    other  other  no      no    who
ticket.approve          yes     no       yes      no      no     no     no     no      no    who
ticket.reject           yes     no       yes      no      no     no     no     no      no    who
ticket.start            yes     yes      no       no      no     no     no     no      no    who
ticket.complete         yes     yes      no       no      yes    other  other  no      no    who
ticket.reopen           yes     yes      no       no      no     no     no     no      no    who
ticket.cancel           yes     yes      no       no      no     no     no     no      no    who
ticket.breach           no      no       no       no      no     no     no     no      yes   who
run.start               yes     yes      no       no      yes    other  other  no      no    who
run.record-step         yes     yes      no       no      yes    theirs theirs no      no    who
run.complete            yes     yes      no       no      yes    theirs theirs no      no    who
run.fail                yes     yes      no       no      yes    theirs theirs no      no    who
run.cancel              yes     yes      no       no      yes    theirs theirs no      no    who
ext.register            yes     only     only     only    only   only   only   only    only  who
ext.append              yes     yes      no       no      yes    other  other  no      no    who
evidence.attach         yes     yes      no       no      yes    other  other  no      no    who
policy.publish          yes     only     only     only    only   only   only   only    only  who
action.propose          yes     yes      no       no      yes    theirs theirs no      no    who
action.approve          yes     self     yes      not-asked no   no     no     no      no    who
action.reject           yes     self     yes      not-asked no   no     no     no      no    who
action.step-up          yes     yes      yes      no      no   no     no     no      no    who
action.resume           yes     yes      no       no      yes    theirs theirs no      no    who
action.ask-again        yes     yes      no       no      yes    theirs theirs no      no    who
action.settle           yes     yes      no       no      yes    theirs theirs no      no    who
action.expire           no      no       no       no      no     no     no     no      yes   who
action.escalate         no      no       no       no      no     no     no     no      yes   who
action.lapse            no      no       no       no      no     no     no     no      yes   who
budget.limit            yes     only     only     only    only   only   only   only    only  who
budget.price            yes     only     only     only    only   only   only   only    only  who
lease.issue             yes     yes      no       no      yes    theirs theirs no      no    who
lease.revoke            yes     yes      no       no      yes    no     no     no      no    who
";

/// Two runs that were completed under thresholds of two.
const EARNED: &str = "tier.configured; role.hired; ticket.opened {\"role\":\"@clerk\"};
    worker: run.started of @run; worker: run.completed; worker: run.started of @again;
    worker: run.completed {\"id\":\"@again\"}";

/// A history after which nothing but the asker's parts stands against a command.
fn ready(command: &str) -> &'static str {
    match command {
        "role.resume" => "role.hired; role.paused",
        "member.end-delegation" => "founder: member.delegated; approver: member.delegated",
        "action.propose" => acted!(""),
        "action.approve" | "action.reject" | "action.expire" => acted!("worker: action.held"),
        "action.resume" => acted!(
            "worker: action.held {\"approvals\":{\"groups\":[{\"needed\":1,\"name\":\"approver\",
             \"part\":\"approver\"}],\"four_eyes\":true,\"expires\":\"@dusk\"}};
             approver: action.approved"
        ),
        "action.step-up" => acted!(
            "worker: action.held {\"approvals\":{\"groups\":[],\"four_eyes\":false,\"level\":2,
             \"expires\":\"@dusk\"}}"
        ),
        "action.ask-again" => acted!("worker: action.held; timer: action.expired"),
        "action.escalate" => acted!(
            "worker: action.held {\"approvals\":{\"groups\":[{\"needed\":1,\"name\":\"approver\",
             \"part\":\"approver\"}],\"four_eyes\":true,\"expires\":\"@dusk\",
             \"escalate_after_seconds\":21592,\"escalation\":[\"founder\"]}}"
        ),
        "action.settle" | "action.lapse" => acted!("worker: action.allowed"),
        "role.review" => EARNED,
        "ticket.approve" | "ticket.reject" => {
            "ticket.opened {\"role\":\"@clerk\"};
             member.enrolled {\"actor\":\"asker\"}; asker: ticket.approval-requested"
        }
        "ticket.complete" => "ticket.opened {\"role\":\"@clerk\"}; ticket.started",
        "ticket.reopen" => "ticket.opened {\"role\":\"@clerk\"}; ticket.cancelled",
        "lease.revoke" => {
            "role.hired; ticket.opened {\"role\":\"@clerk\"}; worker: run.started of @run;
             worker: lease.issued {\"expires\":\"@night\"}"
        }
        "run.record-step" | "run.complete" | "run.fail" | "run.cancel" | "lease.issue" => {
            "role.hired; ticket.opened {\"role\":\"@clerk\"}; worker: run.started of @run"
        }
        "ext.append" => "ext.registered; role.hired; ticket.opened {\"role\":\"@clerk\"}",
        _ if command.starts_with("role.") => "role.hired",
        _ => "role.hired; ticket.opened {\"role\":\"@clerk\",\"due\":\"@noon\"}",
    }
}

#[test]
fn each_part_with_each_command() {
    for aggregate in [
        "tenant", "content", "member", "role", "ticket", "run", "ext", "evidence", "policy",
        "action", "budget", "lease", "tier",
    ] {
        names_every_verb(&[PARTS], aggregate);
    }
    for (command, expected) in cells(PARTS) {
        let head = PARTS.trim().lines().next().unwrap();
        let one = format!("{head}\n{command} {}", expected.join(" "));
        let columns = ASKERS.map(|(who, _)| (who, ready(command)));
        // Questions end at noon.
        let when =
            if ["action.approve", "action.reject"].contains(&command) { "@dawn" } else { "@noon" };
        compare(&one, &columns, |who, command| {
            let over = match command {
                "ticket.amend" => "{\"priority\":1}",
                "role.amend" => "{\"tier\":\"T0\"}",
                "ext.append" => "{\"entity\":\"ticket/@ticket\"}",
                _ => "",
            };
            format!("{who} at {when}: {command} {over}")
        });
    }
}

/// Only founders do what is called founder-only, and such a command is bound to one request.
#[test]
fn what_is_for_founders_alone_is_called_so() {
    for (command, expected) in cells(PARTS) {
        let over = if command == "role.amend" { "{\"tier\":\"T0\"}" } else { "" };
        let (ask, _) = asked(&history(""), &format!("founder: {command} {over}"));
        let refused = expected.iter().skip(1).filter(|cell| **cell == "only").count();
        assert_eq!(ask.command.founder_only(), refused == ASKERS.len() - 2, "{command}");
        assert!(!ask.command.founder_only() || ask.command.request_bound(), "{command}");
    }
}

#[test]
fn to_lift_an_approval_is_for_founders_alone() {
    for (over, alone) in [("false", true), ("true", false)] {
        let line = format!("founder: ticket.amend {{\"approval_required\":{over}}}");
        let (ask, _) = asked(&history("ticket.opened"), &line);
        assert_eq!(ask.command.founder_only(), alone, "{over}");
        assert_eq!(ask.command.request_bound(), alone, "{over}");
    }
}
