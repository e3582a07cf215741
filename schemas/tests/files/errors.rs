//! The pages `schemas/errors/<code>.md`: written by people, one for each stable code, all of one
//! form, with commands that fit their schemas; the index is made of them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use canonry_schemas::event::known;
use canonry_schemas::refusal::policy::{Code, Seen};
use canonry_schemas::refusal::{Refusal, http, local, unrecorded};
use canonry_schemas::validate::Commands;

use super::blessed::{below, found, hold_file};

const INDEX: &str = "README.md";
const SECTIONS: [&str; 3] = ["What happened", "Where it is seen", "How to fix it"];

/// How the index begins.
const OPENING: &str = "\
# Errors

Every refused command or request carries one of these stable codes, over NATS as `code` of the
answer, over HTTP as `code` of an `application/problem+json` whose `type` is the page's path.
This table is made of the pages and the types: `CANONRY_BLESS=1 cargo test -p canonry-schemas`.

| code | what happened | seen | HTTP |
|---|---|---|---|
";

/// Where a code comes from, and so where people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Recorded,
    Unrecorded,
    Http,
    Policy(Seen),
    Local,
}

impl Kind {
    /// How the section `Where it is seen` begins; the status is an exit code for what is local.
    fn line(self, status: u16) -> String {
        match self {
            Self::Recorded => {
                format!("Recorded as a refusal on the ledger; over HTTP with status {status}.")
            }
            Self::Unrecorded => {
                format!("Answered and not recorded; over HTTP with status {status}.")
            }
            Self::Http => format!("Only over HTTP, with status {status}; it is not recorded."),
            Self::Policy(Seen::Decision) => {
                format!(
                    "In a decision, which is DENY because of it; over HTTP with status {status}."
                )
            }
            Self::Policy(Seen::Policy) => {
                format!("Where a policy is checked or published; over HTTP with status {status}.")
            }
            Self::Policy(Seen::Bundle) => {
                format!("Where a bundle is read; over HTTP with status {status}.")
            }
            Self::Local => {
                let told = "Told by the command line, with exit code";
                format!("{told} {status}, and in logs; no answer carries it.")
            }
        }
    }

    const fn cell(self) -> &'static str {
        match self {
            Self::Recorded => "recorded",
            Self::Unrecorded => "answered only",
            Self::Http => "HTTP only",
            Self::Policy(_) => "policy",
            Self::Local => "command line, logs",
        }
    }
}

/// Every stable code with its kind and status, in the order of the catalogue.
fn codes() -> Vec<(&'static str, Kind, u16)> {
    let refusals = Refusal::ALL.iter().map(|r| match r {
        // Who is not known can have no record in their name.
        Refusal::ActorUnknown => (r.code(), Kind::Unrecorded),
        _ => (r.code(), Kind::Recorded),
    });
    refusals
        .chain(unrecorded::ALL.iter().map(|c| (*c, Kind::Unrecorded)))
        .chain(http::ALL.iter().map(|c| (*c, Kind::Http)))
        .chain(Code::ALL.iter().map(|c| (c.code(), Kind::Policy(c.seen()))))
        .map(|(code, kind)| {
            (code, kind, http::status(code).unwrap_or_else(|| panic!("{code}: no HTTP status")))
        })
        .chain(local::ALL.iter().map(|(code, exit)| (*code, Kind::Local, u16::from(*exit))))
        .collect()
}

fn pages() -> BTreeMap<String, String> {
    let mut all = found(&below("errors"));
    all.remove(INDEX);
    all.into_iter()
        .map(|(n, text)| (n.strip_suffix(".md").unwrap_or(&n).to_owned(), text))
        .collect()
}

/// A page's title and its sections with their text.
fn parts(page: &str) -> (&str, Vec<(&str, &str)>) {
    let (title, rest) = page.split_once("\n\n## ").unwrap_or((page, ""));
    let section = |s| {
        let (name, text): (&str, &str) = str::split_once(s, '\n').unwrap_or((s, ""));
        (name, text.trim())
    };
    (title, rest.split("\n\n## ").map(section).collect())
}

/// What is wrong with a page.
fn faults(code: &str, kind: Kind, status: u16, page: &str) -> Vec<String> {
    let (title, sections) = parts(page);
    let mut all = Vec::new();
    if title != format!("# {code}") {
        all.push(format!("the title is not the code: {title}"));
    }
    if sections.iter().map(|(name, _)| *name).collect::<Vec<_>>() != SECTIONS {
        all.push(format!("the sections are not {SECTIONS:?}"));
        return all;
    }
    all.extend(sections.iter().filter(|(_, t)| t.len() < 10).map(|(n, _)| format!("{n}: empty")));
    if sections[0].1.contains("\n\n") {
        all.push("What happened: more than one paragraph".to_owned());
    }
    if sections[1].1.split("\n\n").next() != Some(&kind.line(status)) {
        all.push(format!("Where it is seen: does not begin with {:?}", kind.line(status)));
    }
    let wide = |l: &&str| l.len() > 100 && !l.contains("canonry ");
    all.extend(page.lines().filter(wide).map(|l| format!("wider than 100: {l}")));
    all
}

#[test]
fn every_code_has_its_page_and_every_page_its_code() {
    let pages = pages();
    let mut named: Vec<_> = codes().into_iter().map(|(code, ..)| code).collect();
    named.sort_unstable();
    assert_eq!(pages.keys().collect::<Vec<_>>(), named, "schemas/errors, left, and the codes");
    for (code, kind, status) in codes() {
        assert_eq!(faults(code, kind, status, &pages[code]), Vec::<String>::new(), "{code}.md");
    }
}

#[test]
fn a_page_of_another_form_is_told() {
    let line = Kind::Recorded.line(409);
    let page = |title: &str, line: &str, last: &str| {
        format!(
            "# {title}\n\n## What happened\nIt has ended.\n\n## Where it is seen\n{line}\n{last}"
        )
    };
    let fix = "\n## How to fix it\nReopen the ticket.\n";
    let faults = |page: &str| faults("ticket-ended", Kind::Recorded, 409, page).len();
    assert_eq!(faults(&page("ticket-ended", &line, fix)), 0);
    assert_eq!(faults(&page("ticket-end", &line, fix)), 1);
    assert_eq!(faults(&page("ticket-ended", &line, "")), 1);
    assert_eq!(faults(&page("ticket-ended", &line, "\n## How to fix it\n")), 1);
    assert_eq!(faults(&page("ticket-ended", &Kind::Unrecorded.line(409), fix)), 1);
    assert_eq!(faults(&page("ticket-ended", &Kind::Recorded.line(404), fix)), 1);
}

/// The aggregate, verb and body of a `canonry submit` or `sign` in a line of a page.
fn shown(line: &str) -> Option<(&str, &str, &str)> {
    let at = line.find("canonry submit ").or_else(|| line.find("canonry sign "))?;
    let mut words = line[at..].splitn(5, ' ').skip(2);
    let (aggregate, verb, rest) = (words.next()?, words.next()?, words.next().unwrap_or("'{}'"));
    Some((aggregate, verb, rest.strip_prefix('\'').map_or("-", |r| r.split('\'').next().unwrap())))
}

#[test]
fn commands_on_the_pages_fit_their_schemas() {
    let commands = Commands::new().unwrap();
    let mut seen = 0;
    for (code, page) in pages() {
        for block in page.split("```sh\n").skip(1) {
            for line in block.split("```").next().unwrap().lines() {
                let Some((aggregate, verb, body)) = shown(line) else { continue };
                let (aggregate, verb) = known(aggregate, verb).expect(line);
                seen += 1;
                if body != "-" {
                    let body = canonry_schemas::json::parse(body.as_bytes()).expect(line);
                    assert_eq!(commands.fits(aggregate, verb, &body), Some(true), "{code}: {line}");
                }
            }
        }
    }
    assert!(seen > 20, "only {seen} commands were found on the pages");
}

#[test]
fn the_index_names_every_page() {
    let pages = pages();
    let mut text = OPENING.to_owned();
    for (code, kind, status) in codes() {
        let (_, sections) = parts(pages.get(code).expect(code));
        let happened = sections[0].1.replace('\n', " ").replace('|', "\\|");
        let status = if kind == Kind::Local { "-".to_owned() } else { status.to_string() };
        writeln!(text, "| [{code}]({code}.md) | {happened} | {} | {status} |", kind.cell())
            .unwrap();
    }
    hold_file(&below("errors").join(INDEX), &text);
}
