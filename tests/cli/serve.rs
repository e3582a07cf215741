//! One service alone, beside a cell that is up.

use std::process::Stdio;

use crate::http::get;
use crate::program::{Background, Up, canonry, lines_until};

/// Starts a service and waits until it says that it serves; what it said last.
fn serve(up: &Up, words: &[&str]) -> (Background, String) {
    let (service, mut lines) = serve_telling(up, words);
    (service, lines.pop().unwrap())
}

/// The same; all that it said.
fn serve_telling(up: &Up, words: &[&str]) -> (Background, Vec<String>) {
    let mut command = canonry(up.folder.path(), &[&["serve"], words].concat());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let err = child.stderr.take().unwrap();
    let service = Background(child);
    (service, lines_until(err, |line| line.contains("ctrl-c stops it")).unwrap())
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

#[test]
fn a_decider_tells_its_health_where_it_is_asked_to() {
    let mut up = Up::start(&["up"]);
    let (_decider, said) =
        serve_telling(&up, &["decider", "--name", "decider-2", "--listen", "127.0.0.1:0"]);
    let address = said.iter().find_map(|line| line.strip_prefix("http://")).unwrap();
    let address = address.split(' ').next().unwrap();
    assert_eq!(get(address, "/healthz"), (200, "ok\n".into()));
    assert_eq!(get(address, "/readyz"), (200, "ready\n".into()));
    assert_eq!(get(address, "/api/v1/tickets").0, 404, "nothing else is served there");
    let (status, metrics) = get(address, "/metrics");
    assert!(status == 200 && metrics.contains("canonry_tenants_held 0\n"), "{metrics}");
    let (_, held) = get(up.api(), "/metrics");
    for line in [
        "canonry_tenants_held 1\n",
        "canonry_records_total{kind=\"fact\"} 1\n",
        "canonry_commands_in_flight 0\n",
        "canonry_projector_lag_records 0\n",
        "canonry_commit_seconds_count{way=\"plain\"} 1\n",
    ] {
        assert!(held.contains(line), "{line} in {held}");
    }
    assert_eq!(get(up.api(), "/readyz"), (200, "ready\n".into()));
    // With the server gone it lives, and is not ready.
    assert_eq!(up.stop(), Some(0));
    let until = std::time::Instant::now() + std::time::Duration::from_secs(30);
    loop {
        let (status, body) = get(address, "/readyz");
        if status == 503 {
            assert!(body.contains("\"store-unavailable\""), "{body}");
            break;
        }
        assert!(std::time::Instant::now() < until, "{status} {body}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    assert_eq!(get(address, "/healthz").0, 200);
}

#[test]
fn an_api_is_not_ready_before_it_has_read_what_there_was() {
    let up = Up::start(&["up"]);
    // A tenant of the key store whose ledger cannot be read.
    std::fs::create_dir(up.home().join("tenants/ghost")).unwrap();
    let own = ["api", "--listen", "127.0.0.1:0", "--projections", "own"];
    let (_api, said) = serve(&up, &own);
    let address = said.split(' ').next().unwrap().strip_prefix("http://").unwrap();
    let (status, body) = get(address, "/readyz");
    assert!(status == 503 && body.contains("\"catching-up\""), "{status} {body}");
    let api = format!("http://{address}");
    assert_eq!(up.run(&["tickets", "list", "--api", &api]).code, 0, "the others are served");
    assert_eq!(
        get(up.api(), "/readyz").0,
        200,
        "what was not there at the start is not waited for"
    );
}
