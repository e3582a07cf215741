//! Bad input on the wire: every command gets an answer with a code, and nothing reaches the
//! ledger that should not.

use std::time::Duration;

use canonry_nats::{Bytes, ErrorKind, RequestError};
use canonry_schemas::limits::COMMAND_BYTES;
use serde_json::json;

use crate::harness::{Person, Spine, ask, intent, of_intent, until};

const HOSTILE: [(&str, &str); 9] = [
    ("Nats-Expected-Last-Msg-Id", "x"),
    ("Nats-Expected-Last-Sequence", "1"),
    ("Nats-Expected-Stream", "LEDGER_other"),
    ("Nats-Rollup", "all"),
    ("Nats-TTL", "1s"),
    ("Nats-Msg-Id", "of-another"),
    ("Nats-Batch-Id", "mine"),
    ("Nats-Batch-Sequence", "1"),
    ("Nats-Batch-Commit", "1"),
];

/// Hands an intent over and returns the stored answer and its outcome.
async fn handed_over(
    person: &Person,
    headers: &[(&str, &str)],
    body: &str,
) -> (canonry_schemas::answer::Answer, canonry_schemas::answer::Answer) {
    let all = format!("outcome.acme.{}.>", person.actor);
    let mut outcomes = person.connection.subscribe(&all, None).await.unwrap();
    person.connection.flush().await.unwrap();
    let subject = format!("intent.acme.{}.ticket.open", person.actor);
    let stored = person.raw(&subject, headers, body.to_owned()).await.unwrap();
    assert!(stored.ok, "{stored:?}");
    let wanted = format!("outcome.acme.{}.{}", person.actor, stored.intent.as_deref().unwrap());
    loop {
        let wait = Duration::from_secs(30);
        let message = tokio::time::timeout(wait, outcomes.next()).await.unwrap().unwrap();
        if message.subject == wanted {
            return (stored, serde_json::from_slice(&message.body).unwrap());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_headers_change_nothing() {
    let mut spine = Spine::start().await;
    spine.served().await;
    let founder = spine.person("founder").await;
    let open = founder.subject("ticket", "open");
    let mut made = 0;
    for header in HOSTILE {
        let answer = founder.raw(&open, &[header], r#"{"title":"a"}"#).await.unwrap();
        assert!(answer.ok, "{header:?}: {answer:?}");
        let (_, outcome) = handed_over(&founder, &[header], r#"{"title":"b"}"#).await;
        assert!(outcome.ok, "{header:?}: {outcome:?}");
        made += 2;
    }
    let answer = founder.raw(&open, &HOSTILE, r#"{"title":"a"}"#).await.unwrap();
    assert!(answer.ok, "{answer:?}");
    let (_, outcome) = handed_over(&founder, &HOSTILE, r#"{"title":"b"}"#).await;
    assert!(outcome.ok, "{outcome:?}");
    made += 2;

    // A header of ours twice, in whatever case, is refused; nothing is chosen by chance.
    let (one, two) = (intent(), intent());
    let id = "Canonry-Intent-Id";
    for repeated in [
        [(id, one.as_str()), (id, two.as_str())],
        [(id, one.as_str()), ("canonry-intent-id", two.as_str())],
        [("Canonry-Request-Token", "a.b.c"), ("Canonry-Request-Token", "a.b.c")],
        [("Canonry-On-Behalf-Of", "a.b.c"), ("canonry-on-behalf-of", "a.b.c")],
    ] {
        let answer = founder.raw(&open, &repeated, r#"{"title":"a"}"#).await.unwrap();
        assert_eq!(answer.code.as_deref(), Some("bad-header"), "{repeated:?}");
        assert!(answer.position.is_some());
    }
    let twice = [(id, one.as_str()), ("canonry-intent-id", two.as_str())];
    let subject = "intent.acme.founder.ticket.open";
    let answer = founder.raw(subject, &twice, r#"{"title":"a"}"#).await.unwrap();
    assert_eq!(answer.code.as_deref(), Some("bad-header"), "{answer:?}");
    spine.stop().await;
    assert_eq!(spine.kinds().await["canonry.ticket.opened.v1"], made);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_intents_id_counts_in_any_case_and_its_headers_are_bounded() {
    let mut spine = Spine::start().await;
    spine.served().await;
    let founder = spine.person("founder").await;
    let one = intent();
    let small = [("canonry-intent-id", one.as_str())];
    let (stored, outcome) = handed_over(&founder, &small, r#"{"title":"a"}"#).await;
    assert_eq!(stored.intent.as_deref(), Some(one.as_str()));
    assert!(outcome.ok, "{outcome:?}");
    // Too far ahead: refused at once, not stored to be refused at each delivery.
    let ahead = canonry_schemas::ids::IntentId::from_parts(crate::harness::now() + 600_000, 7);
    let subject = "intent.acme.founder.ticket.open";
    let headers = [("Canonry-Intent-Id", ahead.as_str())];
    let answer = founder.raw(subject, &headers, r#"{"title":"a"}"#).await.unwrap();
    assert_eq!(answer.code.as_deref(), Some("bad-intent-id"), "{answer:?}");
    // Quotes double in the sealed form: it would not fit the server's limit, however often sent.
    let quotes = "\"".repeat(600_000);
    let headers = [("Canonry-Whatever", quotes.as_str())];
    let (_, outcome) = handed_over(&founder, &headers, r#"{"title":"a"}"#).await;
    assert!(outcome.ok, "a header that nobody reads is not kept: {outcome:?}");
    let headers = [("Canonry-Request-Token", quotes.as_str())];
    let answer = founder.raw(subject, &headers, r#"{"title":"a"}"#).await.unwrap();
    assert_eq!(answer.code.as_deref(), Some("bad-header"), "{answer:?}");
    spine.stop().await;
    let ledger = spine.ledger().await;
    assert_eq!(of_intent(&ledger, &one).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sizes_bytes_and_depth_have_their_codes() {
    let mut spine = Spine::start().await;
    spine.served().await;
    let founder = spine.person("founder").await;
    let open = founder.subject("ticket", "open");
    let padded = |bytes: usize| {
        let mut body = br#"{"title":"a"}"#.to_vec();
        body.resize(bytes, b' ');
        body
    };
    let nested = |depth: usize| {
        [br#"{"title":"#.to_vec(), b"[".repeat(depth), b"]".repeat(depth), b"}".to_vec()].concat()
    };
    let cases: Vec<(Vec<u8>, Option<&str>)> = vec![
        (padded(COMMAND_BYTES), None),
        (padded(COMMAND_BYTES + 1), Some("body-too-large")),
        (Vec::new(), Some("not-json")),
        (b"{\"title\":\"\xff\xfe\"}".to_vec(), Some("not-json")),
        (b"{\"title\":\"\xed\xa0\x80\"}".to_vec(), Some("not-json")),
        (br#"{"title":"\ud800"}"#.to_vec(), Some("not-json")),
        (br#"{"title":"a","title":"a"}"#.to_vec(), Some("not-json")),
        (br#"{"title":"a","t\u0069tle":"b"}"#.to_vec(), Some("not-json")),
        (br#"{"title":"a","priority":9007199254740992}"#.to_vec(), Some("not-json")),
        (br#"{"title":"a","priority":1e0}"#.to_vec(), Some("not-json")),
        (br#"{"title":"a"} {}"#.to_vec(), Some("not-json")),
        (b"\xef\xbb\xbf{\"title\":\"a\"}".to_vec(), Some("not-json")),
        (nested(3), Some("schema-violation")),
        (nested(33), Some("not-json")),
        (nested(30_000), Some("not-json")),
        (br#"{"title":"a","extra":1}"#.to_vec(), Some("schema-violation")),
        (br#"{"title":null}"#.to_vec(), Some("schema-violation")),
        (br#"["title"]"#.to_vec(), Some("schema-violation")),
        (br#"{"title":""}"#.to_vec(), Some("schema-violation")),
    ];
    for (body, code) in &cases {
        let begin = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        let answer = founder.raw(&open, &[], body.clone()).await.unwrap();
        assert_eq!(answer.code.as_deref(), *code, "{begin}: {answer:?}");
        assert!(answer.position.is_some(), "{begin}");
    }
    let subject = "intent.acme.founder.ticket.open";
    for (body, code) in
        [(padded(COMMAND_BYTES + 1), "body-too-large"), (cases[3].0.clone(), "not-json")]
    {
        let answer = founder.raw(subject, &[], body).await.unwrap();
        assert_eq!(answer.code.as_deref(), Some(code), "{answer:?}");
    }
    // Beyond what the server takes the client is told before anything is sent.
    let huge = Bytes::from(vec![b' '; founder.connection.max_payload() + 1]);
    let error = founder.connection.request(&open, &[], huge, Duration::from_secs(5)).await;
    let too_large =
        |e: &RequestError| matches!(e, RequestError::Other(e) if e.kind() == ErrorKind::TooLarge);
    assert!(error.as_ref().is_err_and(too_large), "{error:?}");
    // Words of no command, in the last tokens and beyond.
    for (aggregate, verb) in
        [("ticket", "open.extra"), ("ticket", "opened"), ("ledger", "acme"), ("actor", "refuse")]
    {
        let answer = founder.raw(&founder.subject(aggregate, verb), &[], "{}").await.unwrap();
        assert_eq!(answer.code.as_deref(), Some("unknown-command"), "{aggregate}.{verb}");
    }
    let answer = founder.raw("command.acme.founder.ticket", &[], "{}").await.unwrap();
    assert_eq!(answer.code.as_deref(), Some("unknown-command"));
    // The timer's own command is nobody else's.
    let breach =
        json!({"id": "tkt_00000000000000000000000000", "due": "2026-01-01T00:00:00.000000Z"});
    let answer = founder.send("ticket", "breach", breach).await;
    assert!(!answer.ok, "{answer:?}");
    spine.stop().await;
    assert_eq!(spine.kinds().await["canonry.ticket.opened.v1"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reply_subject_cannot_point_into_the_ledger() {
    let mut spine = Spine::start().await;
    spine.served().await;
    let founder = spine.person("founder").await;
    let service = spine.service("svc_api").await;
    for reply in ["ledger.acme.ticket.opened", "intake.acme.intent", "$KV.assign.acme"] {
        for kind in ["command", "intent"] {
            let subject = format!("{kind}.acme.founder.ticket.open");
            let body = Bytes::from_static(br#"{"title":"x"}"#);
            let sent = founder.connection.publish_with_reply(&subject, reply, &[], body);
            sent.await.unwrap();
        }
        // A service shares the account of the streams: there it is the responder's permissions.
        let body = Bytes::from_static(br#"{"title":"x"}"#);
        let sent = service.publish_with_reply("command.acme.svc_api.ticket.open", reply, &[], body);
        sent.await.unwrap();
    }
    founder.connection.flush().await.unwrap();
    service.flush().await.unwrap();
    let log = spine.log().await;
    until("six tickets and three refusals", || async {
        log.info().await.unwrap().last_seq >= 3 + 9
    })
    .await;
    // The decider still answers whoever asks with an inbox of their own.
    let answer = founder.send("ticket", "open", json!({"title": "after"})).await;
    assert!(answer.ok, "{answer:?}");
    spine.stop().await;
    let kinds = spine.kinds().await;
    assert_eq!(kinds["canonry.ticket.opened.v1"], 7);
    assert_eq!(kinds["canonry.ticket.open-refused.v1"], 3);
    assert_eq!(kinds["canonry.tenant.taken-over.v1"], 1, "the assignment was not overwritten");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_server_refuses_has_no_answer_and_no_record() {
    let mut spine = Spine::start().await;
    spine.served().await;
    let operator = spine.person("operator").await;
    let before = spine.log().await.info().await.unwrap().last_seq;
    for subject in [
        "command.other.operator.ticket.open",
        "command.acme.founder.ticket.open",
        "intent.acme.founder.ticket.open",
        "intent.other.operator.ticket.open",
        "intake.acme.intent",
        "outcome.acme.operator.x",
        "live.acme.ticket.opened",
        "ledger.acme.ticket.opened",
        "$KV.assign.acme",
        "$JS.API.STREAM.PURGE.LEDGER_acme",
    ] {
        let violations = operator.connection.counts().violations;
        let wait = Duration::from_millis(300);
        let body = Bytes::from_static(br#"{"title":"x"}"#);
        let answer = operator.connection.request(subject, &[], body, wait).await;
        assert!(answer.is_err(), "{subject}: {answer:?}");
        until(subject, || async { operator.connection.counts().violations > violations }).await;
    }
    assert_eq!(spine.log().await.info().await.unwrap().last_seq, before);
    // Hears nothing of others either.
    let violations = operator.connection.counts().violations;
    drop(operator.connection.subscribe("command.acme.>", None).await);
    until("subscribe", || async { operator.connection.counts().violations > violations }).await;
    let mine = "command.acme.operator.ticket.open";
    let answer = ask(&operator.connection, mine, &[], r#"{"title":"x"}"#).await.unwrap();
    assert!(answer.ok, "{answer:?}");
    spine.stop().await;
    assert_eq!(spine.kinds().await["canonry.ticket.opened.v1"], 1);
}
