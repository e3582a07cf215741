//! What is judged before any rule, at every command under a lease: whether the lease holds, and
//! whether the command is one of its own. As rows: what happened after the lease was issued, when
//! it is shown, for what, and what is said.

use std::collections::BTreeSet;

use canonry_domain::lease::{Ground, wanted};
use canonry_schemas::event::Command;
use canonry_schemas::limits::LEASES_PER_ROLE;
use canonry_schemas::refusal::Refusal;
use canonry_schemas::tier::{Policy, TIERS, Tier};
use canonry_schemas::time::Time;
use serde_json::json;

use crate::table::{asked, history, refusal};
use crate::tenant::Tenant;
use crate::words::{self, LEASE, MOMENTS};

/// What comes before every row.
const ISSUED: &str = "role.hired; ticket.opened {\"role\":\"@clerk\"}; worker: run.started of @run;
    worker: lease.issued";

/// What happened then; the moment, none for a second later; the command; what is said.
const ROWS: [(&str, &str, &str, &str); 41] = [
    ("", "", "run.record-step", "yes"),
    ("", "", "run.complete", "yes"),
    ("", "", "run.fail", "yes"),
    ("", "", "run.cancel", "yes"),
    ("", "", "ticket.request-approval", "yes"),
    ("", "", "ticket.complete", "yes"),
    ("", "", "evidence.attach", "yes"),
    ("", "", "lease.issue", "yes"),
    ("", "", "lease.revoke", "yes"),
    ("", "", "run.start", "tier-too-low"),
    ("", "", "ticket.open", "tier-too-low"),
    ("", "", "ticket.approve", "tier-too-low"),
    ("", "", "role.hire", "tier-too-low"),
    ("", "", "ext.append", "tier-too-low"),
    ("", "", "run.complete {\"id\":\"run_00000000000000000000000009\"}", "lease-foreign"),
    ("", "", "ticket.complete {\"id\":\"tkt_00000000000000000000000009\"}", "lease-foreign"),
    ("", "", "evidence.attach {\"id\":\"run_00000000000000000000000009\"}", "lease-foreign"),
    ("", "", "lease.revoke {\"id\":\"lse_00000000000000000000000009\"}", "lease-foreign"),
    ("operator: lease.revoked", "", "run.complete", "lease-revoked"),
    (
        "worker: lease.issued of lse_00000000000000000000000002 {\"renews\":\"@lease\"}",
        "",
        "run.complete",
        "lease-revoked",
    ),
    ("", "@noon", "run.complete", "lease-expired"),
    ("worker: run.failed", "", "run.complete", "run-ended"),
    ("role.paused", "", "run.complete", "role-paused"),
    ("role.retired", "", "run.complete", "role-retired"),
    ("role.amended {\"tier\":\"T0\"}", "", "run.complete", "tier-too-low"),
    ("role.amended {\"tier\":\"T4\"}", "", "run.complete", "yes"),
    ("member.removed {\"actor\":\"worker\"}", "", "run.complete", "actor-removed"),
    ("", "", "action.propose", "yes"),
    ("", "", "action.propose {\"run\":\"run_00000000000000000000000009\"}", "lease-foreign"),
    ("worker: action.held", "", "action.resume", "yes"),
    ("worker: action.held", "", "action.ask-again", "yes"),
    ("worker: action.allowed", "", "action.settle", "yes"),
    ("", "", "action.settle", "lease-foreign"),
    (
        "worker: action.allowed {\"run\":\"run_00000000000000000000000009\"}",
        "",
        "action.settle",
        "lease-foreign",
    ),
    ("worker: action.held", "", "action.approve", "tier-too-low"),
    ("worker: action.held", "", "action.step-up", "tier-too-low"),
    ("worker: action.held", "", "action.lapse", "tier-too-low"),
    // What the role's tier does not allow is denied on the record; what only the lease's does not,
    // because the role's grew since, is refused.
    ("", "", "action.propose {\"action\":\"send\"}", "yes"),
    ("role.amended {\"tier\":\"T4\"}", "", "action.propose {\"action\":\"send\"}", "tier-too-low"),
    (
        "worker: action.held {\"action\":\"send\"}; role.amended {\"tier\":\"T4\"}",
        "",
        "action.resume",
        "tier-too-low",
    ),
    ("role.amended {\"tier\":\"T4\"}", "", "action.propose", "yes"),
];

fn command(line: &str) -> Command {
    let (name, over) = match line.split_once(' ') {
        Some((name, over)) => (name, words::object(over)),
        None => (line, json!({})),
    };
    words::command(name, words::body(name, over, 0))
}

fn judged(told: &str, moment: &str, line: &str) -> Result<(), Refusal> {
    let facts = history(&format!("{ISSUED}; {told}"));
    let tenant = Tenant::of(&facts);
    let lease = &tenant.leases[LEASE];
    let later = Time(facts.last().unwrap().at.time.0 + 1_000_000);
    let ground = Ground {
        run: tenant.runs.get(lease.run.as_str()),
        role: tenant.roles.get(lease.role.as_str()),
        directory: &tenant.directory,
        now: MOMENTS.iter().find(|(name, _)| *name == moment).map_or(later, |(_, time)| *time),
    };
    lease.standing(&ground)?;
    let command = command(line);
    let named = match &command {
        Command::Action(c) => c.action().and_then(|id| tenant.actions.get(id.as_str())),
        _ => None,
    };
    let tier = ground.role.map_or(Tier::T0, |role| role.tier);
    lease.covers(&LEASE.parse().unwrap(), &command, named, tier)
}

#[test]
fn every_command_under_a_lease_is_judged() {
    for (told, moment, line, said) in ROWS {
        let expected = if said == "yes" { Ok(()) } else { Err(refusal(said).unwrap()) };
        assert_eq!(judged(told, moment, line), expected, "{told}; at {moment}: {line}");
    }
}

/// The refusals that the rows show.
pub fn shown() -> BTreeSet<String> {
    let codes = ROWS.iter().filter_map(|(_, _, _, said)| refusal(said));
    // Without its role's record there is no role, whatever became of the lease; the last of many is
    // refused in a test of its own.
    codes
        .chain([Refusal::RoleUnknown, Refusal::LeasesFull])
        .map(|refusal| format!("{refusal:?}"))
        .collect()
}

/// As many as a role may have, and no more; what ended or expired counts no longer.
#[test]
fn a_role_has_so_many_living_leases() {
    let mut told = history("role.hired; ticket.opened; worker: run.started of @run");
    for n in 0..=LEASES_PER_ROLE {
        let tenant = Tenant::of(&told);
        let (ask, _) = asked(&told, "worker: lease.issue");
        let full = n == LEASES_PER_ROLE;
        let expected = if full { Some(Refusal::LeasesFull) } else { None };
        assert_eq!(tenant.decide(&ask).err(), expected, "{n}");
        // The lease of another run of the role.
        let id = format!("lse_{:026}", n + 1);
        let over = json!({"run": "run_00000000000000000000000002", "expires": MOMENTS[1].1});
        let position = told.len() as u64 + 1;
        told.push(words::fact(position, "worker", "lease.issued", Some(&id), over));
    }
    let (ask, _) = asked(&told, "worker at @noon: lease.issue");
    assert!(Tenant::of(&told).decide(&ask).is_ok(), "all of them expired");
    let position = told.len() as u64 + 1;
    for n in [1, 2] {
        let id = format!("lse_{n:026}");
        let over = json!({ "id": id });
        told.push(words::fact(position, "operator", "lease.revoked", Some(&id), over));
    }
    let (ask, _) = asked(&told, "worker: lease.issue");
    assert!(Tenant::of(&told).decide(&ask).is_ok(), "two were revoked");
}

/// A lease of a higher tier covers what a lower one does, as the tiers' files say.
#[test]
fn what_a_tier_covers_its_file_says() {
    let facts = history(ISSUED);
    let tenant = Tenant::of(&facts);
    for tier in TIERS {
        let mut lease = tenant.leases[LEASE].clone();
        lease.tier = tier;
        for (name, own) in [
            ("run.complete", true),
            ("ticket.request-approval", true),
            ("evidence.attach", true),
            ("ticket.complete", true),
            ("ticket.open", true),
            ("run.start", false),
            ("role.pause", false),
            ("member.rotate-keys", false),
        ] {
            let (aggregate, verb) = name.split_once('.').unwrap();
            let may = own && Policy::of(tier).may_command(aggregate, verb);
            let covered = lease.covers(&LEASE.parse().unwrap(), &command(name), None, tier);
            assert_eq!(covered.is_ok(), may, "{name} at {tier:?}: {covered:?}");
        }
    }
}

/// What a tenant that wants leases wants one for, each of them can be sent under one.
#[test]
fn what_wants_a_lease_can_be_sent_under_one() {
    let mut wants = 0;
    for (aggregate, verb) in canonry_schemas::event::verbs() {
        let name = format!("{aggregate}.{verb}");
        if wanted(&command(&name)) {
            wants += 1;
            assert!(Policy::of(TIERS[4]).may_command(aggregate, verb), "{name}");
        }
    }
    assert!(wants >= 11, "{wants}");
}
