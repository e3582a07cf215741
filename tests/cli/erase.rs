//! Erased content as people meet it: gone from lists, details and records, said to be erased, and
//! the ledger verifies.

use serde_json::Value;

use crate::http;
use crate::program::Up;

const CANARY: &str = "CANARY7Q2XV9KQZJ";

fn json(up: &Up, words: &[&str]) -> Value {
    let done = up.run(words);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    serde_json::from_str(done.out.trim()).unwrap()
}

/// What the API says about records, in clear.
fn events(up: &Up) -> String {
    let bearer = up.run(&["token"]);
    let header = format!("Bearer {}", bearer.out.trim());
    let asked = [("authorization", header.as_str())];
    let (status, body) =
        http::ask(up.api(), "GET /api/v1/events?limit=500&content=true", &asked, "");
    assert_eq!(status, 200, "{body}");
    body
}

#[test]
fn erased_content_is_gone_from_every_view_and_stays_gone() {
    let mut up = Up::start(&["up"]);
    let open = format!(r#"{{"title":"{CANARY}","note":"{CANARY}"}}"#);
    let opened = json(&up, &["--json", "submit", "ticket", "open", &open]);
    let entity = opened["entity"].as_str().unwrap().to_owned();
    let id = entity.strip_prefix("ticket/").unwrap().to_owned();
    let at = |answer: &Value| answer["position"].as_str().unwrap().to_owned();
    let show = |up: &Up, position: &str| {
        json(up, &["--json", "tickets", "show", &id, "--min-position", position])
    };
    let before = show(&up, &at(&opened));
    assert_eq!((&before["title"], &before["note"]), (&CANARY.into(), &CANARY.into()));
    assert!(before["erased_at"].is_null() && events(&up).contains(CANARY));

    let erased = json(&up, &["--json", "content", "erase", &entity]);
    assert_eq!(erased["entity"], entity);
    let gone = |up: &Up| {
        let after = show(up, &at(&erased));
        assert!(after["title"].is_null() && after["note"].is_null(), "{after}");
        assert!(after["erased_at"].is_string(), "{after}");
        assert_eq!(after["status"], "open", "everything else stays");
        let list = up.run(&["tickets", "list"]);
        assert!(list.out.contains("(erased)") && !list.out.contains(CANARY), "{}", list.out);
        assert!(!events(up).contains(CANARY));
    };
    gone(&up);
    let again = up.run(&["content", "erase", &entity]);
    assert!(again.code == 1 && again.out.contains("content-erased"), "{}", again.out);
    assert_eq!(up.run(&["content", "erase", "ticket"]).code, 2);

    // With nothing in memory, and with read models that are built anew.
    assert_eq!(up.stop(), Some(0));
    up.start_again(&["up"], &[]);
    gone(&up);
    assert_eq!(up.stop(), Some(0));
    assert_eq!(up.run(&["projections", "rebuild"]).code, 0);
    up.start_again(&["up"], &[]);
    gone(&up);
    assert_eq!(up.run(&["ledger", "verify", "--tenant", up.identity()]).code, 0);
}
