//! The whole ticket slice: opened, assigned, run, asked, approved, completed; and what is refused.

use serde_json::json;

use crate::harness::{Spine, id, intent};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ticket_goes_all_the_way() {
    let mut spine = Spine::start().await;
    let founder = spine.person("founder").await;
    let operator = spine.person("operator").await;
    let approver = spine.person("approver").await;
    let role = founder.hire().await;

    // A plain request with no header works.
    let subject = founder.subject("ticket", "open");
    let plain = loop {
        if let Some(answer) = founder.raw(&subject, &[], r#"{"title":"Printer on fire"}"#).await {
            break answer;
        }
    };
    assert!(plain.ok, "{plain:?}");
    let ticket = id(&plain);

    let answer = operator.send("ticket", "assign", json!({"id": ticket, "role": role})).await;
    assert!(answer.ok, "{answer:?}");
    let run = operator.send("run", "start", json!({"ticket": ticket})).await;
    assert!(run.ok, "{run:?}");
    let step = json!({"id": id(&run), "name": "propose", "outcome": "done", "confidence": 400,
        "summary": "Group 70"});
    assert!(operator.send("run", "record-step", step).await.ok);

    let asked = operator
        .send("ticket", "request-approval", json!({"id": ticket, "reason": "not sure"}))
        .await;
    assert!(asked.ok, "{asked:?}");
    let early =
        operator.send("ticket", "complete", json!({"id": ticket, "evidence": "none"})).await;
    assert_eq!(early.code.as_deref(), Some("ticket-has-run"));
    assert!(operator.send("run", "complete", json!({"id": id(&run)})).await.ok);
    let early =
        operator.send("ticket", "complete", json!({"id": ticket, "evidence": "none"})).await;
    assert_eq!(early.code.as_deref(), Some("approval-missing"));

    let entity = format!("ticket/{ticket}");
    let receipt = asked.receipt.unwrap();
    // For another request, by another person, or the other way round: refused.
    let other = intent();
    let wrong = approver.approval(&entity, true, plain.receipt.as_deref().unwrap(), &other);
    let answer = approver
        .send_as(&other, "ticket", "approve", &json!({"id": ticket, "approval": wrong}))
        .await;
    assert_eq!(answer.code.as_deref(), Some("approval-invalid"));
    let other = intent();
    let no = approver.approval(&entity, false, &receipt, &other);
    let answer =
        approver.send_as(&other, "ticket", "approve", &json!({"id": ticket, "approval": no})).await;
    assert_eq!(answer.code.as_deref(), Some("approval-invalid"));
    let mine = intent();
    let yes = approver.approval(&entity, true, &receipt, &mine);
    let answer =
        approver.send_as(&mine, "ticket", "approve", &json!({"id": ticket, "approval": yes})).await;
    assert!(answer.ok, "{answer:?}");

    let done = json!({"id": ticket, "evidence": "receipt", "result": "Group 70"});
    assert!(operator.send("ticket", "complete", done).await.ok);

    spine.stop().await;
    let ledger = spine.ledger().await;
    let text = serde_json::to_string(&ledger).unwrap();
    for clear in ["Printer on fire", "Group 70", "not sure"] {
        assert!(!text.contains(clear), "content in clear: {clear}");
    }
    let kinds = spine.kinds().await;
    for (kind, count) in [
        ("canonry.tenant.founded.v1", 1),
        ("canonry.tenant.taken-over.v1", 1),
        ("canonry.ticket.opened.v1", 1),
        ("canonry.ticket.approved.v1", 1),
        ("canonry.ticket.approve-refused.v1", 2),
        ("canonry.ticket.complete-refused.v1", 2),
        ("canonry.ticket.completed.v1", 1),
        ("canonry.run.completed.v1", 1),
    ] {
        assert_eq!(kinds.get(kind), Some(&count), "{kind} in {kinds:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_input_gets_its_code_and_leaves_a_refusal() {
    let spine = Spine::start().await;
    let founder = spine.person("founder").await;
    let operator = spine.person("operator").await;
    founder.hire().await;
    let open = founder.subject("ticket", "open");
    let long = "x".repeat(501);
    let big = format!(r#"{{"title":"{}"}}"#, "x".repeat(70_000));
    let cases: Vec<(String, String, &str)> = vec![
        (founder.subject("ticket", "fly"), "{}".into(), "unknown-command"),
        (founder.subject("dragon", "open"), "{}".into(), "unknown-command"),
        (open.clone(), "{".into(), "not-json"),
        (open.clone(), r#"{"title":"a","title":"b"}"#.into(), "not-json"),
        (open.clone(), r#"{"title":"a","priority":1.5}"#.into(), "not-json"),
        (open.clone(), r#"{"name":"a"}"#.into(), "schema-violation"),
        (open.clone(), format!(r#"{{"title":"{long}"}}"#), "content-too-long"),
        (open.clone(), big, "body-too-large"),
        (
            founder.subject("role", "retire"),
            r#"{"id":"rol_00000000000000000000000000"}"#.into(),
            "request-token-missing",
        ),
        (
            founder.subject("ticket", "start"),
            r#"{"id":"tkt_00000000000000000000000000"}"#.into(),
            "ticket-unknown",
        ),
    ];
    for (subject, body, code) in cases {
        let answer = founder.raw(&subject, &[], body).await.unwrap();
        assert_eq!(answer.code.as_deref(), Some(code), "{subject}");
        assert!(answer.position.is_some(), "a refusal is a record: {code}");
    }
    let headers = [("Canonry-On-Behalf-Of", "a.b.c")];
    let answer = founder.raw(&open, &headers, r#"{"title":"a"}"#).await.unwrap();
    assert_eq!(answer.code.as_deref(), Some("on-behalf-of-foreign"));
    let headers = [("Canonry-Intent-Id", "nonsense")];
    let answer = founder.raw(&open, &headers, r#"{"title":"a"}"#).await.unwrap();
    assert_eq!(answer.code.as_deref(), Some("bad-intent-id"));
    let hostile = [
        ("Nats-Expected-Last-Msg-Id", "x"),
        ("Nats-Rollup", "all"),
        ("Nats-TTL", "1s"),
        ("Nats-Msg-Id", "of-another"),
        ("Nats-Expected-Last-Sequence", "1"),
    ];
    let answer = founder.raw(&open, &hostile, r#"{"title":"a"}"#).await.unwrap();
    assert!(answer.ok, "hostile headers are of no effect: {answer:?}");

    let hire = json!({"title":"x","job":"x","boundaries":[],"tools":[],"escalation":["founder"],
        "budget":{"per_ticket_micros":1,"per_day_micros":1},"tier":"T0"});
    let answer = operator.send("role", "hire", hire.clone()).await;
    assert_eq!(answer.code.as_deref(), Some("founder-only"));

    // A token for one request is of no use for another.
    let (first, second) = (intent(), intent());
    let body = serde_json::to_vec(&hire).unwrap();
    let token = founder.request_token("role", "hire", &body, &first);
    let headers =
        [("Canonry-Intent-Id", second.as_str()), ("Canonry-Request-Token", token.as_str())];
    let answer =
        founder.raw(&founder.subject("role", "hire"), &headers, body.clone()).await.unwrap();
    assert_eq!(answer.code.as_deref(), Some("token-invalid"));
    // A login key signs nothing: a token by a key that is not enrolled as member key is refused.
    let stranger = canonry_record::seal::Signer::from_seed(&[9; 32]);
    let mut forged = spine.person("founder").await;
    forged.signer = stranger;
    let answer = forged.send("role", "hire", hire).await;
    assert_eq!(answer.code.as_deref(), Some("key-unknown"));
    spine.ledger().await;
}
