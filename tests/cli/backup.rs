//! The runbook of `docs/backup.md` with the built program: time travel, a copy, backups, the mirror
//! as an auditor reads it, and the restore of a cell whose store is gone.

use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use crate::http::get;
use crate::program::{Background, Ran, Up, canonry, lines_until, ran};

fn json(ran: &Ran) -> Value {
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

/// The store of the home's own server: everything in NATS, and nothing else.
fn lose_the_store(folder: &Path) {
    std::fs::remove_dir_all(folder.join(".canonry/nats/store")).unwrap();
}

#[test]
fn a_cell_is_backed_up_lost_and_restored() {
    let up = Up::start(&["up"]);
    let identity = up.identity().to_owned();
    let open = ["--json", "submit", "ticket", "open", r#"{"title":"Printer on fire"}"#];
    let opened = json(&up.run(&open));
    let position = opened["position"].as_str().unwrap().to_owned();
    let ticket = opened["entity"].as_str().unwrap().strip_prefix("ticket/").unwrap().to_owned();
    let cancel = format!(r#"{{"id":"{ticket}"}}"#);
    let ended = json(&up.run(&["--json", "submit", "ticket", "cancel", &cancel]));
    let ended = ended["position"].as_str().unwrap().to_owned();
    the_past(&up, &ticket, (&position, &ended));

    let mirror = ["--json", "ledger", "verify", "--as", "auditor", "--tenant", &identity];
    let whole = json(&up.run(&mirror));
    assert_eq!((&whole["ok"], &whole["pinned"]), (&true.into(), &true.into()), "{whole}");
    let nobody = up.run(&["ledger", "verify", "--as", "operator"]);
    assert_ne!(nobody.code, 0, "an operator is no auditor: {}", nobody.out);

    let place = format!("file://{}", up.folder.path().join("place").display());
    let copied = json(&up.run(&["--json", "copy", "--once", "--to", &place]));
    assert_eq!(copied["position"].to_string(), ended);
    let now = ["--json", "backup", "now", "--to", &place, "--tenant", &identity];
    let made = json(&up.run(&now));
    let head = format!("{ended}:{}", made["head"]["head"]["hash"].as_str().unwrap());
    assert_eq!(made["verified"]["records"].to_string(), ended);
    the_service(&up, &place);
    the_copy_is_an_export(&up, &place);

    let folder = up.left();
    let home = folder.path();
    let verify = ["backup", "verify", "--from", &place];
    assert_eq!(ran(&mut canonry(home, &verify)).code, 3, "the founder was not pinned");
    let pinned = [&verify[..], &["--json", "--tenant", &identity, "--head", &head]].concat();
    let found = json(&ran(&mut canonry(home, &pinned)));
    assert_eq!(found["content_keys"], found["content_keys_opened"]);
    let list = ran(&mut canonry(home, &["backup", "list", "--from", &place]));
    // One by hand, the others by the service.
    assert!(list.code == 0 && list.out.lines().count() >= 2, "{}{}", list.out, list.err);

    let full = ["--json", "backup", "restore", "--from", &place];
    let refused = ran(&mut canonry(home, &full));
    assert!(refused.code == 1 && refused.out.contains("target-in-use"), "{refused:?}");
    lose_the_store(home);
    let anew = ran(&mut canonry(home, &["up"]));
    assert!(anew.code == 1 && anew.err.contains("backup restore"), "founded anew: {anew:?}");
    let restore = [&full[..], &["--tenant", &identity, "--head", &head]].concat();
    let back = json(&ran(&mut canonry(home, &restore)));
    assert_eq!((&back["head"], &back["pinned"]), (&head.clone().into(), &true.into()));

    let up = Up::start_in(folder, &["up", "--backup", &place], &[]);
    assert_eq!(up.identity(), identity, "it was not founded anew");
    the_past(&up, &ticket, (&position, &ended));
    let pinned = ["ledger", "verify", "--tenant", &identity, "--head", &head];
    assert_eq!(up.run(&pinned).code, 0);
    let next = json(&up.run(&open));
    let next = next["position"].as_str().unwrap().to_owned();
    assert_eq!(
        next.parse::<u64>().unwrap(),
        ended.parse::<u64>().unwrap() + 2,
        "after a take-over"
    );
    // The cell's own service does the same as the one beside it.
    let told = until_told(up.api(), "canonry_backup_oldest_timestamp_seconds ");
    assert!(!told.ends_with(" 0"), "{told}");
}

/// The ticket as it was, who the members were, and what changed between.
fn the_past(up: &Up, ticket: &str, (opened, ended): (&str, &str)) {
    for (at, status) in [(opened, "open"), (ended, "cancelled")] {
        let show = ["--json", "tickets", "show", ticket, "--as-of", at];
        let then = json(&up.run(&show));
        assert_eq!((&then["status"], &then["title"]), (&status.into(), &"Printer on fire".into()));
    }
    let member = json(&up.run(&["--json", "member", "show", "auditor", "--as-of", "1"]));
    assert_eq!(member["parts"][0], "auditor");
    let diff = json(&up.run(&["--json", "diff", "--from", opened, "--to", ended]));
    assert_eq!(diff["entities"][0]["fields"]["status"]["after"], "cancelled", "{diff}");
    let words = up.run(&["diff", "--from", opened, "--to", ended]);
    assert!(words.out.contains("    status: open -> cancelled\n"), "{}", words.out);
    assert_eq!(up.run(&["diff", "--from", ended, "--to", "1"]).code, 2);
}

/// The service beside the cell makes a backup at once where the last one is old enough.
fn the_service(up: &Up, place: &str) {
    let words = [
        "serve",
        "backup",
        "--to",
        place,
        "--every",
        "1s",
        "--copy-every",
        "1s",
        "--listen",
        "127.0.0.1:0",
    ];
    let mut command = canonry(up.folder.path(), &words);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let err = child.stderr.take().unwrap();
    let mut service = Background(child);
    let said = lines_until(err, |line| line.contains("ctrl-c stops it")).unwrap();
    let address = said.iter().find_map(|line| line.strip_prefix("http://")).unwrap();
    let address = address.split(' ').next().unwrap();
    let made = until_told(address, "canonry_backups_total{outcome=\"ok\"} ");
    let (_, all) = get(address, "/metrics");
    assert!(all.contains("canonry_backups_total{outcome=\"failed\"} 0\n"), "{made}: {all}");
    assert_eq!(service.stop(), Some(0));
}

/// Waits until a metric is not 0, with a bound that only a failure reaches; its line.
fn until_told(address: &str, metric: &str) -> String {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let (_, metrics) = get(address, "/metrics");
        let line = metrics.lines().find(|l| l.starts_with(metric)).unwrap_or_default().to_owned();
        if !line.ends_with(" 0") || std::time::Instant::now() >= until {
            return line;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

/// The segments in the order of their names and the head are what an export is, byte for byte.
fn the_copy_is_an_export(up: &Up, place: &str) {
    assert_eq!(up.run(&["copy", "--once", "--to", place]).code, 0);
    let acme = up.folder.path().join("place/acme");
    let mut segments: Vec<_> =
        std::fs::read_dir(acme.join("ledger")).unwrap().map(|e| e.unwrap().path()).collect();
    segments.sort();
    segments.push(acme.join("head.json"));
    let joined: Vec<u8> = segments.iter().flat_map(|p| std::fs::read(p).unwrap()).collect();
    assert_eq!(up.run(&["ledger", "export", "--out", "acme.jsonl"]).code, 0);
    let exported = std::fs::read(up.folder.path().join("acme.jsonl")).unwrap();
    assert!(joined == exported, "{} and {} bytes", joined.len(), exported.len());
    let pinned = ["ledger", "verify", "--file", "acme.jsonl", "--tenant", up.identity()];
    assert_eq!(up.run(&pinned).code, 0);
}
