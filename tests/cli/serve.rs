//! One service alone, beside a cell that is up.

use std::process::Stdio;

use crate::program::{Background, Up, canonry, lines_until};

/// Starts a service and waits until it says that it serves; what it said last.
fn serve(up: &Up, words: &[&str]) -> (Background, String) {
    let mut command = canonry(up.folder.path(), &[&["serve"], words].concat());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let err = child.stderr.take().unwrap();
    let service = Background(child);
    let mut lines = lines_until(err, |line| line.contains("ctrl-c stops it")).unwrap();
    (service, lines.pop().unwrap())
}

#[test]
fn an_api_of_its_own_serves_beside_and_stops_in_good_order() {
    let up = Up::start(&["up"]);
    let own = ["api", "--listen", "127.0.0.1:0", "--projections", "own"];
    let (mut api, said) = serve(&up, &own);
    let address = said.split(' ').next().unwrap();
    let open = ["--json", "submit", "ticket", "open", r#"{"title":"x"}"#];
    let opened: serde_json::Value = serde_json::from_str(&up.run(&open).out).unwrap();
    let position = opened["position"].as_str().unwrap();
    let list = ["tickets", "list", "--api", address, "--min-position", position];
    let listed = up.run(&list);
    assert_eq!((listed.code, listed.out.lines().count()), (0, 1), "{}", listed.err);
    assert!(up.folder.path().join("own/acme.sqlite").exists());
    assert_eq!(api.stop(), Some(0));
    assert_eq!(up.run(&list).code, 69, "nobody listens any more");
    let rebuilt = up.run(&["--json", "projections", "rebuild", "--dir", "own"]);
    assert!(rebuilt.out.contains("acme.sqlite"), "{}{}", rebuilt.out, rebuilt.err);
}

#[test]
fn a_second_decider_waits_and_stops_in_good_order() {
    let up = Up::start(&["up"]);
    let (mut decider, said) = serve(&up, &["decider", "--name", "decider-2"]);
    assert!(said.starts_with("decider-2 serves nats://127.0.0.1:"), "{said}");
    let open = ["submit", "ticket", "open", r#"{"title":"x"}"#];
    assert_eq!(up.run(&open).code, 0);
    assert_eq!(decider.stop(), Some(0));
    assert_eq!(up.run(&open).code, 0);
}
