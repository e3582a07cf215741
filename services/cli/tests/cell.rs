//! The command line against a cell of its own: up, submit, approve, members, export, verify.

use canonry_cli::client::new_intent;
use canonry_cli::context::{Context, Running};
use canonry_cli::{exit, run, up};
use serde_json::json;

async fn ends(home: &str, line: &[&str]) -> u8 {
    let words = ["canonry", "--home", home, "--json"].into_iter().chain(line.iter().copied());
    match run(words).await {
        Ok(()) => 0,
        Err(failure) => {
            eprintln!("{line:?}: {} {}", failure.exit, failure.message);
            failure.exit
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_five_minutes() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let context = Context { home: home.clone(), json: true, tls: Default::default() };
    let tenant = "acme".parse().unwrap();
    let name = "decider-1".parse().unwrap();
    let keys = canonry_cli::secrets::Keys::default();
    let started = up::start(&context, None, &tenant, name, 1, None, &keys);
    let up = Box::pin(started).await.unwrap();
    context.set_running(&Running { nats: up.url.clone(), api: None, process: None }).unwrap();
    let home = home.to_str().unwrap();

    let operator = context.client(None, &tenant, &"operator".parse().unwrap()).await.unwrap();
    let open = json!({"title": "Printer on fire"}).to_string();
    let id = new_intent().unwrap();
    let opened = operator.submit("ticket", "open", open.as_bytes(), &id).await.unwrap();
    assert!(opened.ok, "{opened:?}");
    let again = operator.submit("ticket", "open", open.as_bytes(), &id).await.unwrap();
    assert_eq!(again.receipt, opened.receipt, "the same intent has one answer");
    let ticket = opened.entity.unwrap().strip_prefix("ticket/").unwrap().to_owned();

    assert_eq!(ends(home, &["approve", &ticket]).await, exit::REFUSED, "nobody asked");
    let ask = json!({"id": ticket, "reason": "Costs money"}).to_string();
    let asks = ["submit", "ticket", "request-approval", &ask, "--as", "operator"];
    assert_eq!(ends(home, &asks).await, 0);
    assert_eq!(ends(home, &["approve", &ticket, "--as", "operator"]).await, exit::REFUSED);
    assert_eq!(ends(home, &["approve", &ticket]).await, 0);

    assert_eq!(ends(home, &["member", "enrol", "carol", "--part", "operator"]).await, 0);
    assert_eq!(ends(home, &["member", "enrol", "carol", "--part", "operator"]).await, 1);
    assert_eq!(ends(home, &["member", "rotate", "carol"]).await, 0);
    assert_eq!(ends(home, &["submit", "ticket", "open", &open, "--as", "carol"]).await, 0);
    assert_eq!(ends(home, &["member", "remove", "carol"]).await, 0);
    let turned_away = ends(home, &["submit", "ticket", "open", &open, "--as", "carol"]).await;
    assert_eq!(turned_away, exit::UNAVAILABLE, "by the server itself");
    let durable = ["submit", "ticket", "open", &open, "--durable", "--wait"];
    assert_eq!(ends(home, &durable).await, 0);

    assert_eq!(ends(home, &["ledger", "verify"]).await, exit::NOT_PINNED);
    assert_eq!(ends(home, &["ledger", "verify", "--tenant", &up.identity]).await, 0);
    let other = format!("sha256:{}", "0".repeat(64));
    assert_eq!(ends(home, &["ledger", "verify", "--tenant", &other]).await, exit::REFUSED);
    assert_eq!(ends(home, &["ledger", "show", "1"]).await, 0);
    assert_eq!(ends(home, &["ledger", "replay"]).await, 0);
    let file = dir.path().join("acme.jsonl");
    let file = file.to_str().unwrap();
    assert_eq!(ends(home, &["ledger", "export", "--out", file]).await, 0);
    let verify = ["ledger", "verify", "--file", file, "--tenant", &up.identity];
    assert_eq!(ends(home, &verify).await, 0);
    let text = std::fs::read_to_string(file).unwrap();
    let cut = text.trim_end().rsplit_once('\n').unwrap().0;
    std::fs::write(file, cut).unwrap();
    assert_eq!(ends(home, &verify).await, exit::REFUSED, "without its head line");
    assert_eq!(ends(home, &["token", "--as", "nobody"]).await, exit::CONFIG);
    up.stop().await;
}
