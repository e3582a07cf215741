//! Replay to a file and into a stream elsewhere, and time travel, against a cell of its own.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;
use std::time::Duration;

use canonry_cli::client::{Client, new_intent};
use canonry_cli::context::{Context, Running};
use canonry_cli::{Failure, exit, run, up};
use canonry_decider::serve::connect_cell;
use canonry_nats::Log;
use canonry_provision::CellUser;
use canonry_provision::testing::TestCell;
use canonry_record::export::{Entry, parse_line};
use serde_json::json;

/// One line of the command line, as a person types it.
async fn line(home: &Path, words: &[&str]) -> Result<(), Failure> {
    let home = home.to_str().unwrap();
    let all = ["canonry", "--home", home, "--json"].into_iter().chain(words.iter().copied());
    run(all).await
}

async fn exit_of(home: &Path, words: &[&str]) -> u8 {
    line(home, words).await.map_or_else(|failure| failure.exit, |()| 0)
}

async fn open(operator: &Client, title: &str) -> String {
    let body = json!({"title": title}).to_string();
    let id = new_intent().unwrap();
    let answer = operator.submit("ticket", "open", body.as_bytes(), &id).await.unwrap();
    assert!(answer.ok, "{answer:?}");
    answer.entity.unwrap()
}

fn lines(file: &Path) -> Vec<(u64, String)> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let whole = text.lines().filter_map(|l| match parse_line(l).ok()? {
        Entry::Record(line) => Some((line.seq, line.subject)),
        Entry::Head(_) => None,
    });
    whole.collect()
}

/// Waits with a bound that only a failure reaches.
async fn until<F: Future<Output = bool>>(what: &str, mut holds: impl FnMut() -> F) {
    let end = std::time::Instant::now() + Duration::from_secs(60);
    while !holds().await {
        assert!(std::time::Instant::now() < end, "never: {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_is_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let home = dir.path().join("home");
    let context = Context { home: home.clone(), json: true, tls: Default::default() };
    let tenant = "acme".parse().unwrap();
    let name = "decider-1".parse().unwrap();
    let keys = canonry_cli::secrets::Keys::default();
    let started = up::start(&context, None, &tenant, name, 1, None, &keys);
    let up = Box::pin(started).await.unwrap();
    context.set_running(&Running { nats: up.url.clone(), api: None, process: None }).unwrap();
    let operator = context.client(None, &tenant, &"operator".parse().unwrap()).await.unwrap();
    for n in 0..5 {
        open(&operator, &format!("ticket {n}")).await;
    }

    // Records 1 and 2 are the founding and the take-over.
    let file = dir.path().join("part.jsonl");
    let to = file.to_str().unwrap();
    let part = ["ledger", "replay", "--from", "4", "--to", "6", "--out", to];
    assert_eq!(exit_of(&home, &part).await, 0);
    let positions: Vec<u64> = lines(&file).iter().map(|(seq, _)| *seq).collect();
    assert_eq!(positions, [4, 5, 6]);
    let kinds = ["ledger", "replay", "--subject", "tenant.*", "--out", to];
    assert_eq!(exit_of(&home, &kinds).await, 0);
    let subjects: Vec<String> = lines(&file).into_iter().map(|(_, subject)| subject).collect();
    assert_eq!(subjects, ["ledger.acme.tenant.founded", "ledger.acme.tenant.taken-over"]);
    assert_eq!(exit_of(&home, &["ledger", "replay", "--to", "99"]).await, exit::REFUSED);

    // Follows until it is stopped.
    let words = ["ledger", "replay", "--subject", "ticket.opened", "--follow", "--out", to];
    tokio::select! {
        ended = Box::pin(line(&home, &words)) => panic!("it ended: {ended:?}"),
        () = async {
            until("the old ones are written", || async { lines(&file).len() == 5 }).await;
            open(&operator, "while it follows").await;
            until("the new one is written", || async { lines(&file).len() == 6 }).await;
        } => {}
    }

    into_a_stream(&home, dir.path()).await;
    up.stop().await;
}

/// Into a stream of another cell, which takes the ledger's subjects.
async fn into_a_stream(home: &Path, dir: &Path) {
    let other = TestCell::start().await.unwrap();
    let keys = other.cell.key_store();
    let streams = connect_cell(&other.url(), keys, &CellUser::ProvisionStreams).await.unwrap();
    let copy = json!({
        "name": "COPY", "subjects": ["ledger.acme.>"], "storage": "file", "allow_atomic": true,
    });
    streams.create_stream(&copy).await.unwrap();
    let narrow = json!({"name": "NARROW", "subjects": ["ledger.globex.>"], "storage": "file"});
    streams.create_stream(&narrow).await.unwrap();
    let creds = other.creds(&CellUser::Committer).unwrap();
    let (creds, url) = (creds.to_str().unwrap().to_owned(), other.url());
    let into = |stream: &'static str, upto: &'static str| {
        let (creds, url) = (creds.clone(), url.clone());
        async move {
            let inbox = "_INBOX.committer";
            let words = [
                "ledger",
                "replay",
                "--to",
                upto,
                "--stream",
                stream,
                "--creds",
                &creds,
                "--stream-nats",
                &url,
                "--stream-inbox",
                inbox,
            ];
            exit_of(home, &words).await
        }
    };
    assert_eq!(into("LEDGER_acme", "4").await, exit::REFUSED, "no stream of a cell");
    assert_eq!(into("NARROW", "4").await, exit::REFUSED, "not its subjects");
    assert_eq!(into("COPY", "4").await, 0);
    assert_eq!(into("COPY", "7").await, 0, "it goes on");
    assert_eq!(into("COPY", "7").await, 0, "there is nothing to do");
    let committer = connect_cell(&other.url(), keys, &CellUser::Committer).await.unwrap();
    let log = Log::open(committer, "COPY").await.unwrap();
    let info = log.info().await.unwrap();
    assert_eq!((info.messages, info.last_seq), (7, 7));
    let file = dir.join("all.jsonl");
    let words = ["ledger", "replay", "--to", "7", "--out", file.to_str().unwrap()];
    assert_eq!(exit_of(home, &words).await, 0);
    for text in std::fs::read_to_string(&file).unwrap().lines() {
        let Ok(Entry::Record(record)) = parse_line(text) else { panic!("{text}") };
        let stored = log.get(record.seq).await.unwrap().unwrap();
        assert_eq!((&stored.subject, &stored.body[..]), (&record.subject, &record.body[..]));
        for name in ["Nats-Msg-Id", "Canonry-Hash", "Canonry-Signature"] {
            let written = record.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
            assert_eq!(stored.header(name), written, "{name}");
        }
    }
}
