//! What `canonry up` prints for other programs, done by their protocol where the program itself
//! may be missing: the `nats` lines over a NATS client with the context's creds, the `curl` lines
//! over an HTTP client.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use canonry_nats::{Bytes, Connect, Connection};
use serde_json::{Value, json};

use crate::printed;
use crate::program::{Ran, Up};

const PATIENCE: Duration = Duration::from_secs(20);

/// One argument of a printed line, without its quotes.
fn unquoted(text: &str) -> &str {
    text.trim_matches(|c| matches!(c, '\'' | '"'))
}

/// Connects as `nats --context <name>` would.
async fn connect(home: &Path, name: &str) -> (Connection, Value) {
    let file = home.join("nats/context").join(format!("{name}.json"));
    let context: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let text = |field: &str| context[field].as_str().unwrap().to_owned();
    let mut connect = Connect::new(text("url"), name);
    connect.creds = Some(std::fs::read_to_string(text("creds")).unwrap());
    connect.inbox_prefix = text("inbox_prefix");
    (Connection::connect(connect).await.unwrap(), context)
}

/// One message of a mirror, which follows its stream a moment later.
async fn message(nats: &Connection, prefix: &str, stream: &str, sequence: u64) -> Value {
    let subject = format!("{prefix}.STREAM.MSG.GET.{stream}");
    let until = Instant::now() + PATIENCE;
    loop {
        let body = Bytes::from(json!({"seq": sequence}).to_string());
        let reply = nats.request(&subject, &[], body, PATIENCE).await.unwrap();
        let mut found: Value = serde_json::from_slice(&reply.body).unwrap();
        if found["message"]["seq"] == sequence {
            return found["message"].take();
        }
        assert!(Instant::now() < until, "{found}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Does every `nats` line; the id of the ticket that they open.
pub async fn nats(up: &Up) -> String {
    let (mut seen, mut ticket) = (Vec::new(), None);
    let mut watched = None;
    for line in printed(up, "nats") {
        let words: Vec<&str> = line.splitn(6, ' ').collect();
        let ["nats", "--context", name, verb, rest @ ..] = words.as_slice() else {
            panic!("{line}");
        };
        let (connection, context) = connect(&up.home(), name).await;
        seen.push(*verb);
        match *verb {
            "sub" => watched = Some(connection.subscribe(unquoted(rest[0]), None).await.unwrap()),
            "req" => {
                let body = Bytes::from(unquoted(rest[1]).to_owned());
                let reply = connection.request(rest[0], &[], body, PATIENCE).await.unwrap();
                let answer: Value = serde_json::from_slice(&reply.body).unwrap();
                assert_eq!(answer["ok"], true, "{answer}");
                let entity = answer["entity"].as_str().unwrap();
                ticket = Some(entity.strip_prefix("ticket/").unwrap().to_owned());
            }
            "stream" => {
                let (stream, sequence) = rest[1].split_once(' ').unwrap();
                let prefix = context["jetstream_api_prefix"].as_str().unwrap();
                let found = message(&connection, prefix, stream, sequence.parse().unwrap()).await;
                assert_eq!(found["subject"], "ledger.acme.tenant.founded", "{found}");
            }
            "micro" => {
                assert_eq!(rest, ["ls"]);
                let reply = connection.request("$SRV.PING", &[], Bytes::new(), PATIENCE).await;
                let service: Value = serde_json::from_slice(&reply.unwrap().body).unwrap();
                assert_eq!(service["name"], "decider", "{service}");
            }
            _ => panic!("an unknown line: {line}"),
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, ["micro", "req", "stream", "sub"]);
    let heard = tokio::time::timeout(PATIENCE, watched.unwrap().next()).await.unwrap().unwrap();
    assert_eq!(heard.subject.as_str(), "live.acme.ticket.opened");
    ticket.unwrap()
}

/// Does one `curl` line: with curl where it is, and with a client of our own.
pub async fn curl(shell: &mut impl FnMut(&str) -> Ran, line: &str) {
    let found = Command::new("curl").arg("--version").output().is_ok();
    if found {
        let done = shell(&line.replacen("curl", "curl --noproxy '*' -fsS", 1));
        assert_eq!(done.code, 0, "{line}\n{}", done.err);
        let answer: Value = serde_json::from_str(&done.out).unwrap();
        assert!(answer.is_object(), "{answer}");
    }
    let token = line.split("$(").nth(1).unwrap().split(')').next().unwrap();
    let bearer = shell(token).out;
    let address = line.rsplit(' ').next().unwrap();
    let client = canonry_cli::http::client().unwrap();
    let request = match line.split_once(" -d ") {
        Some((_, rest)) => {
            assert!(line.contains("-H 'Content-Type: application/json'"), "{line}");
            let body = unquoted(rest.strip_suffix(address).unwrap().trim()).to_owned();
            client.post(address).header("Content-Type", "application/json").body(body)
        }
        None => client.get(address),
    };
    let answer = request.bearer_auth(bearer.trim()).send().await.unwrap();
    assert!(answer.status().is_success(), "{line}: {}", answer.status());
}
