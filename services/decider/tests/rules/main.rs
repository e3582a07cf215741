//! The rules as tables: every refusal, every command's good way, every stage, every part, driven
//! by cqrs-es's given/when/then kit through [`canonry_decider::hosted`]. Tables of rows are the
//! text files beside this one (see [`table`]), the matrices are in [`matrix`].
#![expect(clippy::unwrap_used, reason = "tests")]

mod fold;
mod laws;
mod matrix;
mod moves;
mod print;
mod promotions;
mod table;
mod tenant;
mod told;
mod under;
mod words;

use std::collections::BTreeSet;
use std::path::Path;

use canonry_schemas::event::{Event, verbs};
use canonry_schemas::refusal::Refusal;
use canonry_schemas::{
    action, budget, content, evidence, ext, lease, member, policy, role, run, ticket,
};

use crate::table::{Row, check, rows};

const TICKET: &str = include_str!("ticket.txt");
const APPROVAL: &str = include_str!("approval.txt");
const ROLE: &str = include_str!("role.txt");
const RUN: &str = include_str!("run.txt");
const MEMBER: &str = include_str!("member.txt");
const TENANT: &str = include_str!("tenant.txt");
const EXT: &str = include_str!("ext.txt");
const EVIDENCE: &str = include_str!("evidence.txt");
const POLICY: &str = include_str!("policy.txt");
const ACTION: &str = include_str!("action.txt");
const QUESTION: &str = include_str!("question.txt");
const BUDGET: &str = include_str!("budget.txt");
const LEASE: &str = include_str!("lease.txt");
const TIER: &str = include_str!("tier.txt");

fn hold(table: &str) {
    let rows = rows(table);
    assert!(!rows.is_empty());
    rows.iter().for_each(check);
}

#[test]
fn tickets() {
    hold(TICKET);
}

#[test]
fn approvals() {
    hold(APPROVAL);
}

#[test]
fn roles() {
    hold(ROLE);
}

#[test]
fn runs() {
    hold(RUN);
}

#[test]
fn the_tenant_and_its_content() {
    hold(TENANT);
}

#[test]
fn members() {
    hold(MEMBER);
}

#[test]
fn custom_types() {
    hold(EXT);
}

#[test]
fn evidence_of_tickets_and_runs() {
    hold(EVIDENCE);
}

#[test]
fn policies() {
    hold(POLICY);
}

#[test]
fn actions() {
    hold(ACTION);
}

#[test]
fn questions_to_people() {
    hold(QUESTION);
}

#[test]
fn limits_and_prices() {
    hold(BUDGET);
}

#[test]
fn leases() {
    hold(LEASE);
}

#[test]
fn tiers() {
    hold(TIER);
}

fn all() -> Vec<Row> {
    let tables = [
        TICKET, APPROVAL, ROLE, RUN, MEMBER, TENANT, EXT, EVIDENCE, BUDGET, POLICY, ACTION,
        QUESTION, LEASE, TIER,
    ];
    tables.iter().flat_map(|table| rows(table)).collect()
}

/// The refusals that a source text names.
fn named(source: &str) -> BTreeSet<&str> {
    let after = source.split("Refusal::").skip(1);
    after.map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap()).collect()
}

/// The refusals that the rows of these aggregates expect.
fn expected(rows: &[Row], aggregates: &[&str]) -> BTreeSet<String> {
    let of = rows.iter().filter(|row| aggregates.contains(&row.ask.command.name().0));
    of.filter_map(|row| row.then.as_ref().err()).map(|refusal| format!("{refusal:?}")).collect()
}

/// A new refusal in `domain` fails here until a row of its aggregate shows it.
#[test]
fn every_refusal_of_the_domain_has_a_row() {
    const ALL: &[&str] = &[
        "tenant", "content", "member", "role", "ticket", "run", "ext", "evidence", "policy",
        "action", "budget", "lease", "tier",
    ];
    let rows = all();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../domain/src");
    let mut seen = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let source = std::fs::read_to_string(&path).unwrap();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let aggregates: &[&str] = match stem {
            "directory" => &["member", "ticket"],
            "role" => &["role"],
            "erasure" => &["content"],
            "ticket" => &["ticket"],
            "run" => &["run"],
            "ext" => &["ext"],
            "evidence" => &["evidence"],
            "policy" => &["policy"],
            "action" | "question" | "weigh" => &["action"],
            "books" => &["budget"],
            "lease" => &["lease"],
            "tier" => &["tier", "role"],
            _ => ALL,
        };
        let mut expected = expected(&rows, aggregates);
        if stem == "lease" {
            // What is judged before any rule, at every command under a lease.
            expected.extend(under::shown());
        }
        for refusal in named(&source) {
            assert!(expected.contains(refusal), "no row of {aggregates:?} shows {refusal}");
            seen += 1;
        }
    }
    assert!(seen > 40, "the rules were not found: {seen}");
}

/// Every command is carried out in some row, and every event comes of one.
#[test]
fn every_command_has_its_good_way() {
    let good: Vec<_> = all().into_iter().filter(|row| row.then.is_ok()).collect();
    let commands: BTreeSet<_> = good.iter().map(|row| row.ask.command.name()).collect();
    for (aggregate, verb) in verbs() {
        assert!(commands.contains(&(aggregate, verb)), "{aggregate}.{verb} never succeeds");
    }
    let event = |row: &Row| row.then.as_ref().map(|e: &Event| (e.aggregate(), e.name())).unwrap();
    let events: BTreeSet<_> = good.iter().map(event).collect();
    for (aggregate, names) in [
        ("content", content::Event::NAMES),
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
            assert!(events.contains(&(aggregate, (*name).to_owned())), "{aggregate}.{name}");
        }
    }
}

/// The scan finds what it looks for.
#[test]
fn a_refusal_without_a_row_is_found() {
    let source = "return Err(Refusal::RunsFull); facts.ok_or(Refusal::ContentTooLong)?";
    let found = named(source);
    assert_eq!(found, BTreeSet::from(["RunsFull", "ContentTooLong"]));
    let shown = expected(&all(), &["run"]);
    assert!(shown.contains(&format!("{:?}", Refusal::RunsFull)));
    assert!(!shown.contains(&format!("{:?}", Refusal::ContentTooLong)));
}

/// Names tell rows apart.
#[test]
fn rows_have_names_of_their_own() {
    let mut names = BTreeSet::new();
    for row in all() {
        assert!(names.insert(row.name.clone()), "{}", row.name);
    }
}
