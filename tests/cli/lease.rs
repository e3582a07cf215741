//! A worker's lease from the command line: asked for, worked under over NATS and HTTP, revoked.

use serde_json::{Value, json};

use crate::http::ask;
use crate::program::{Ran, Up};

fn json(ran: &Ran) -> Value {
    serde_json::from_str(ran.out.trim()).unwrap_or_else(|e| panic!("{e}: {ran:?}"))
}

fn id(ran: &Ran) -> String {
    json(ran)["entity"].as_str().unwrap().split_once('/').unwrap().1.to_owned()
}

fn sent(up: &Up, aggregate: &str, verb: &str, body: &Value, as_whom: &str) -> Ran {
    up.run(&["--json", "submit", aggregate, verb, &body.to_string(), "--as", as_whom])
}

/// A worker with a run at a ticket of its role.
fn at_work(up: &Up) -> String {
    let hire = json!({
        "title": "Clerk", "job": "Sort the post.", "boundaries": [], "tools": [], "tier": "T1",
        "budget": {"per_ticket_micros": 1, "per_day_micros": 1}, "escalation": ["operator"],
    });
    let role = id(&sent(up, "role", "hire", &hire, "founder"));
    let enrolled = up.run(&["member", "enrol", "clerk", "--part", "worker", "--role", &role]);
    assert_eq!(enrolled.code, 0, "{enrolled:?}");
    let open = json!({"title": "Sort the post", "role": role});
    let ticket = id(&sent(up, "ticket", "open", &open, "operator"));
    id(&sent(up, "run", "start", &json!({ "ticket": ticket }), "clerk"))
}

#[test]
fn a_worker_gets_a_lease_works_under_it_and_loses_it() {
    let up = Up::start(&["up"]);
    let run = at_work(&up);
    let issue = ["--json", "lease", "issue", "--run", &run, "--as", "clerk", "--out", "l.creds"];
    let issued = up.run(&issue);
    assert_eq!(issued.code, 0, "{issued:?}");
    let lease = json(&issued)["lease"].as_str().unwrap().to_owned();
    assert_eq!(json(&issued)["inbox"], format!("_INBOX.clerk.{lease}"));
    let folder = up.folder.path();
    for file in ["l.creds", "l.creds.lease"] {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = std::fs::metadata(folder.join(file)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file}");
    }
    // What is there is not written over, and a run has one living lease.
    assert_eq!(up.run(&issue).code, 64);
    let second =
        up.run(&["--json", "lease", "issue", "--run", &run, "--as", "clerk", "--out", "m"]);
    assert_eq!((second.code, &json(&second)["code"]), (1, &json!("lease-living")));

    let step = json!({"id": run, "name": "sort", "outcome": "done"}).to_string();
    let under = ["--json", "submit", "run", "record-step", &step, "--lease", "l.creds"];
    let worked = up.run(&under);
    assert_eq!((worked.code, &json(&worked)["ok"]), (0, &json!(true)), "{worked:?}");
    let position = json(&worked)["position"].as_str().unwrap().to_owned();

    // The same over HTTP, with a token of the lease.
    let token = up.run(&["lease", "token", "--out", "l.creds"]).out;
    let bearer = format!("Bearer {}", token.trim());
    let path = format!("POST /api/v1/exec/{run}/steps?min_position={position}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    let body = r#"{"name":"sort","outcome":"done"}"#;
    let (status, answer) = ask(up.api(), &path, &headers, body);
    assert_eq!(status, 200, "{answer}");
    let (status, _) = ask(up.api(), "GET /api/v1/tickets", &headers[..1], "");
    assert_eq!(status, 200);
    let pause = "POST /api/v1/roles/rol_01hzy3v7m8q6k4n2r9s5t1w0xa/pause";
    let (status, answer) = ask(up.api(), pause, &headers, "{}");
    assert!(status == 403 && answer.contains("tier-too-low"), "{status} {answer}");

    let listed = up.run(&["lease", "list", "--living", "--run", &run]);
    assert!(listed.out.starts_with(&format!("{lease}\tissued\tclerk\tT1\t{run}")), "{listed:?}");
    let revoked =
        up.run(&["--json", "lease", "revoke", &lease, "--cause", "violation", "--as", "operator"]);
    assert_eq!(revoked.code, 0, "{revoked:?}");
    // A connection that comes now is ended by the warden, or its command refused.
    let refused = up.run(&under);
    let told = format!("{}{}", refused.out, refused.err);
    assert!(refused.code == 69 || told.contains("lease-revoked"), "{refused:?}");
    let (status, answer) = ask(up.api(), &path, &headers, body);
    assert!(status == 401 && answer.contains("lease-revoked"), "{status} {answer}");
    let again = up.run(&["lease", "credentials", "--out", "l.creds", "--as", "clerk"]);
    assert!(again.code == 1 && again.err.contains("lease-revoked"), "{again:?}");
    let position = json(&revoked)["position"].as_str().unwrap().to_owned();
    let reached = up.run(&["tickets", "list", "--min-position", &position]);
    assert_eq!(reached.code, 0, "{reached:?}");
    assert_eq!(up.run(&["lease", "list", "--living", "--run", &run]).out, "");
    assert!(up.run(&["lease", "list"]).out.contains("\trevoked\t"));
    assert_eq!(up.run(&["ledger", "verify", "--tenant", up.identity()]).code, 0);
}
