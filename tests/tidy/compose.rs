//! The compose file, read line by line: it is written plainly, with no anchors and no flow style
//! for what is checked here.

use std::collections::BTreeMap;

use crate::root;

/// The lines of each service, without their indent.
fn services(text: &str) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::<String, Vec<String>>::new();
    let (mut inside, mut current) = (false, None);
    for line in text.lines() {
        let content = line.trim_start();
        if content.is_empty() || content.starts_with('#') {
            continue;
        }
        match line.len() - content.len() {
            0 => inside = content == "services:",
            2 if inside => {
                let name = content.trim_end_matches(':').to_owned();
                found.insert(name.clone(), Vec::new());
                current = Some(name);
            }
            _ if inside => {
                let lines = current.as_ref().and_then(|name| found.get_mut(name));
                lines.unwrap().push(content.to_owned());
            }
            _ => {}
        }
    }
    found
}

/// What is wrong with a compose file.
fn wrong(text: &str) -> Vec<String> {
    let services = services(text);
    let mut wrong = Vec::new();
    let mut must = |service: &str, holds: &dyn Fn(&[String]) -> bool, what: &str| {
        if !services.get(service).is_some_and(|lines| holds(lines)) {
            wrong.push(format!("{service}: {what}"));
        }
    };
    for node in ["nats-1", "nats-2", "nats-3"] {
        must(node, &|s| s.iter().any(|l| l == "image: nats:2.15.1-alpine"), "the pinned image");
    }
    let serves = |what: &'static str| {
        move |s: &[String]| {
            s.iter()
                .any(|l| l.starts_with("command:") && l.contains(&format!("\"serve\", \"{what}\"")))
        }
    };
    must("decider-a", &serves("decider"), "canonry serve decider");
    must("decider-b", &serves("decider"), "canonry serve decider");
    must("api", &serves("api"), "canonry serve api");
    let pinned = |s: &[String]| {
        let image = s.iter().find_map(|l| l.strip_prefix("image: otel/opentelemetry-collector:"));
        image.is_some_and(|tag| {
            tag.split('.').count() == 3
                && tag.split('.').all(|n| n.bytes().all(|b| b.is_ascii_digit()))
        })
    };
    must("otel-collector", &pinned, "an image pinned to a version");
    for (name, lines) in &services {
        if !lines.iter().any(|l| l == "healthcheck:")
            || !lines.iter().any(|l| l.starts_with("test: ["))
        {
            wrong.push(format!("{name}: no healthcheck"));
        }
        if lines.iter().any(|l| l.starts_with("image:") && l.ends_with(":latest")) {
            wrong.push(format!("{name}: an image that moves"));
        }
    }
    wrong
}

fn file() -> String {
    std::fs::read_to_string(root().join("docker-compose.yml")).unwrap()
}

#[test]
fn the_compose_file_is_whole_and_pinned() {
    assert_eq!(wrong(&file()), [""; 0]);
}

#[test]
fn a_compose_file_that_slips_is_found() {
    for (from, to) in [
        ("nats:2.15.1-alpine", "nats:latest"),
        ("  nats-3:", "  nats-4:"),
        ("\"serve\", \"api\"", "\"up\""),
        ("healthcheck:", "restart: always"),
    ] {
        let text = file();
        assert!(text.contains(from), "{from}");
        assert_ne!(wrong(&text.replacen(from, to, 1)), [""; 0], "{from}");
    }
}
