//! The built program over mutual TLS: `up` with certificates, commands that find them, others that
//! are not let in.

#[path = "../../services/decider/tests/it/certificates.rs"]
mod certificates;

use certificates::Authority;

use crate::program::{Up, canonry, ran};

#[test]
fn everything_goes_over_mutual_tls() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (Authority::new(dir.path(), "ours"), Authority::new(dir.path(), "theirs"));
    let text = |path: &std::path::Path| path.to_str().unwrap().to_owned();
    let (server, client) = (ours.issue("server"), ours.issue("client"));
    let guard = |ca: &Authority, (cert, key): &(std::path::PathBuf, std::path::PathBuf)| {
        ["--tls-ca", &text(&ca.ca), "--tls-cert", &text(cert), "--tls-key", &text(key)]
            .map(str::to_owned)
    };
    let mut words = guard(&ours, &client).to_vec();
    words.extend(["up".to_owned(), "--server-cert".to_owned(), text(&server.0)]);
    words.extend(["--server-key".to_owned(), text(&server.1)]);
    words.extend(["--server-clients".to_owned(), text(&ours.ca)]);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let up = Up::start(&words);

    // What runs tells the files with its address.
    let opened = up.run(&["--json", "submit", "ticket", "open", r#"{"title":"Over TLS"}"#]);
    assert_eq!(opened.code, 0, "{}", opened.err);
    let verified = up.run(&["ledger", "verify", "--tenant", up.identity()]);
    assert_eq!(verified.code, 0, "{}", verified.err);

    let running: serde_json::Value =
        serde_json::from_slice(&std::fs::read(up.home().join("running.json")).unwrap()).unwrap();
    let address = running["nats"].as_str().unwrap();
    let bare = address.split_once('?').unwrap().0.replace("tls://", "nats://");
    let home = text(&up.home());
    let asked = |words: &[&str]| {
        let words = [&["--home", home.as_str()], words, &["ledger", "show", "1", "--nats", &bare]];
        ran(&mut canonry(dir.path(), &words.concat()))
    };
    let with = |guard: [String; 6]| {
        let guard: Vec<&str> = guard.iter().map(String::as_str).collect();
        asked(&guard)
    };
    assert_eq!(with(guard(&ours, &client)).code, 0);
    assert_eq!(with(guard(&theirs, &client)).code, 69, "another authority");
    assert_eq!(with(guard(&ours, &theirs.issue("client"))).code, 69, "a stranger's certificate");
    assert_eq!(asked(&["--tls-ca", &text(&ours.ca)]).code, 69, "no certificate");
    assert_eq!(asked(&[]).code, 69, "no authority");
    assert_eq!(asked(&["--tls-ca", "nowhere.pem"]).code, 64, "no such file");
    assert_eq!(asked(&["--tls-cert", &text(&client.0)]).code, 64, "no key");
}
