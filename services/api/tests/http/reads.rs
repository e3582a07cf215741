//! Reads: content opened, filters, pages, positions, waiting.

use canonry_api::Broken;
use canonry_projections::Store;
use serde_json::json;

use crate::support::{World, id};

#[tokio::test]
async fn a_ticket_is_told_with_its_attempts_in_clear() {
    let w = World::new().await;
    w.open_ticket(1, json!({"note": "x1:gone:n", "role": id("rol_", 1)})).await;
    let (ticket, run) = (id("tkt_", 1), id("run_", 1));
    let (on_ticket, on_run) = (format!("ticket/{ticket}"), format!("run/{run}"));
    let start = json!({"ticket": ticket, "role": id("rol_", 1)});
    w.record("bot", &on_run, "run.started", start).await;
    let step = json!({"id": run, "name": "guess", "outcome": "done", "summary": "x1:k:sum"});
    w.record("bot", &on_run, "run.step-recorded", step).await;
    let ask = json!({"id": ticket, "reason": "x1:k:why"});
    let asked = w.record("bot", &on_ticket, "ticket.approval-requested", ask).await;
    let end = json!({"id": run, "ticket": ticket, "reason": "x1:k:end"});
    w.record("bot", &on_run, "run.failed", end).await;

    let reply = w.get(&format!("/api/v1/tickets/{ticket}")).await;
    assert_eq!((reply.status.as_u16(), reply.header("canonry-position")), (200, "6"));
    assert_eq!(reply.json["title"], format!("title of {on_ticket}/title"));
    assert_eq!(reply.json["note"], json!(null), "its key is gone");
    assert_eq!(reply.json["asked"]["reason"], format!("why of {on_ticket}/reason"));
    assert_eq!(reply.json["asked"]["position"], asked);
    assert_eq!(reply.json["asked"]["hash"], format!("{asked:064x}"));
    assert_eq!(reply.json["status"], "open");
    assert_eq!(reply.json["attempts"][0]["reason"], format!("end of {on_run}/reason"));

    let reply = w.get(&format!("/api/v1/exec/{run}/status")).await;
    assert_eq!(reply.json["status"], "failed");
    assert_eq!(reply.json["recorded"]["items"][0]["summary"], format!("sum of {on_run}/summary"));
    assert_eq!(w.get("/api/v1/runs?status=failed").await.json["items"][0]["id"], run);

    let path = "/api/v1/events?type=ticket.opened";
    assert_eq!(w.get(path).await.json["items"][0]["data"]["title"], "x1:k:title");
    let opened = w.get(&format!("{path}&content=true")).await;
    assert_eq!(opened.json["items"][0]["data"]["title"], format!("title of {on_ticket}/title"));

    for (path, code) in [
        ("/api/v1/tickets/tkt_none", "ticket-unknown"),
        ("/api/v1/roles/rol_none", "role-unknown"),
        ("/api/v1/exec/run_none/status", "run-unknown"),
        ("/api/v1/nothing", "route-unknown"),
    ] {
        w.get(path).await.refused(404, code);
    }
    w.send("DELETE", "/api/v1/tickets", None, &[], "").await.refused(405, "method-unknown");
}

#[tokio::test]
async fn one_entity_is_told_as_it_was() {
    let w = World::new().await;
    let opened = w.open_ticket(1, json!({})).await;
    let ticket = id("tkt_", 1);
    let on_ticket = format!("ticket/{ticket}");
    w.open_ticket(2, json!({})).await;
    let ended = w.record("ada", &on_ticket, "ticket.cancelled", json!({"id": ticket})).await;
    let at = |position: u64| format!("/api/v1/tickets/{ticket}?as_of={position}");
    let then = w.get(&at(opened + 1)).await;
    assert_eq!(then.header("canonry-position"), (opened + 1).to_string());
    assert_eq!(then.json["status"], "open");
    assert_eq!(then.json["title"], format!("title of {on_ticket}/title"));
    assert_eq!(w.get(&at(ended)).await.json["status"], "cancelled");
    w.get(&format!("/api/v1/tickets/{}?as_of={opened}", id("tkt_", 2)))
        .await
        .refused(404, "ticket-unknown");
    w.get(&at(0)).await.refused(400, "query-invalid");
    let list = |path: &str, at: u64| format!("/api/v1/{path}as_of={at}");
    for (at, tickets, active) in [(opened - 1, 0, 0), (opened, 1, 1), (ended, 2, 1)] {
        let all = w.get(&list("tickets?", at)).await;
        assert_eq!(all.header("canonry-position"), at.to_string());
        assert_eq!(all.json["items"].as_array().unwrap().len(), tickets, "{at}");
        let open = w.get(&list("tickets?status=active&", at)).await.json;
        assert_eq!(open["items"].as_array().unwrap().len(), active, "{at}");
    }
    for path in ["roles?", "runs?", "members?"] {
        assert!(w.get(&list(path, ended)).await.json["items"].is_array(), "{path}");
    }
    w.get(&list("tickets?", 0)).await.refused(400, "query-invalid");
}

#[tokio::test]
async fn lists_are_filtered_and_paged() {
    let w = World::new().await;
    for n in 0..7 {
        w.open_ticket(n, json!({"priority": n % 4 + 1, "external": format!("INC{n}")})).await;
    }
    w.record(
        "ada",
        &format!("ticket/{}", id("tkt_", 0)),
        "ticket.cancelled",
        json!({"id": id("tkt_", 0)}),
    )
    .await;
    let mut seen = Vec::new();
    let mut path = "/api/v1/tickets?status=active&sort=priority&limit=2".to_owned();
    loop {
        let page = w.get(&path).await.json;
        seen.extend(page["items"].as_array().unwrap().iter().map(|t| t["priority"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/tickets?status=active&sort=priority&limit=2&cursor={next}");
    }
    assert_eq!(json!(seen), json!([1, 2, 2, 3, 3, 4]));
    let one = w.get("/api/v1/tickets?external=INC3&priority=4&approval_pending=false").await;
    assert_eq!(one.json["items"][0]["id"], id("tkt_", 3));
    let entity = format!("/api/v1/events?sort=-position&entity=ticket/{}", id("tkt_", 0));
    let positions: Vec<_> = w.get(&entity).await.json["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| e["position"].clone())
        .collect();
    assert_eq!(json!(positions), json!([9, 2]));
    let early = "/api/v1/events?from_time=2027-01-15T09:00:02%2B01:00&to_time=2027-01-15T08:00:03Z";
    assert_eq!(w.get(early).await.json["items"].as_array().unwrap().len(), 2);

    for (path, code) in [
        ("/api/v1/tickets?cursor=nonsense", "cursor-invalid"),
        ("/api/v1/tickets?cursor=due~x~1", "cursor-invalid"),
        ("/api/v1/tickets?statu=open", "query-invalid"),
        ("/api/v1/tickets?status=fine", "query-invalid"),
        ("/api/v1/tickets?sort=colour", "query-invalid"),
        ("/api/v1/tickets?limit=-1", "query-invalid"),
        ("/api/v1/events?from_time=yesterday", "query-invalid"),
        ("/api/v1/events?sort=time", "query-invalid"),
    ] {
        w.get(path).await.refused(400, code);
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_waits_for_its_position_but_not_for_ever() {
    let w = World::new().await;
    let late = w.get("/api/v1/tickets?min_position=99").await;
    late.refused(503, "not-yet");
    assert_eq!(late.header("retry-after"), "1");
    let (reply, _) =
        tokio::join!(w.get("/api/v1/tickets?min_position=2"), w.open_ticket(1, json!({})));
    assert_eq!((reply.status.as_u16(), reply.header("canonry-position")), (200, "2"));
    assert_eq!(reply.json["items"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_broken_chain_is_told_and_a_rebuild_forgets_it() {
    let w = World::new().await;
    let path = "/api/v1/events/chain-verify";
    let whole = w.get(path).await.json;
    assert_eq!((&whole["ok"], &whole["records"]), (&json!(true), &json!(1)));
    let broken = Broken { position: 2, why: "signature".into() };
    w.projections.report_broken(&w.tenant, broken).unwrap();
    let told = w.get(path).await.json;
    assert_eq!(
        (&told["ok"], &told["position"], &told["why"]),
        (&json!(false), &json!(2), &json!("signature"))
    );

    w.get("/api/v1/tickets").await;
    let dir = tempfile::tempdir().unwrap();
    let built = Store::beside(&dir.path().join("x.sqlite")).unwrap();
    assert_eq!(w.projections.replace(&w.tenant, built).await.unwrap(), 0);
    w.get(path).await.refused(401, "key-unknown");
    assert_eq!(w.projections.broken(&w.tenant).unwrap(), None);
}

#[tokio::test]
async fn a_member_is_told_as_it_was_and_what_changed_between() {
    let w = World::new().await;
    let carol = crate::support::signer(3);
    let enrolled = json!({
        "actor": "carol", "parts": ["operator"], "name": "x1:k:name",
        "keys": [crate::support::public(&carol, "carol")], "revoked": [],
        "authorization": {"keyhead": "0".repeat(64), "signature": "ed25519:0000000000000000:AA"},
    });
    let joined = w.record("ada", "member/carol", "member.enrolled", enrolled).await;
    let opened = w.open_ticket(1, json!({"note": "x1:k:note"})).await;
    let ticket = id("tkt_", 1);
    let on = format!("ticket/{ticket}");
    let amended = json!({"id": ticket, "priority": 1, "title": "x1:k:title"});
    w.record("ada", &on, "ticket.amended", amended).await;
    let ended = w.record("ada", &on, "ticket.cancelled", json!({"id": ticket})).await;
    let removed = json!({
        "actor": "carol", "keys": [], "revoked": [carol.id],
        "authorization": {"keyhead": "0".repeat(64), "signature": "ed25519:0000000000000000:AA"},
    });
    let left = w.record("ada", "member/carol", "member.removed", removed).await;

    let at = |position: u64| format!("/api/v1/members/carol?as_of={position}");
    let then = w.get(&at(joined)).await.json;
    assert_eq!(
        (&then["name"], &then["keys"][0]["revoked"]),
        (&json!("name of member/carol/name"), &json!(false))
    );
    assert_eq!(then["removed_at"], serde_json::Value::Null);
    let now = w.get(&at(left)).await.json;
    assert_eq!(now["keys"][0]["revoked"], json!(true));
    assert!(now["removed_at"].is_string());
    assert_eq!(now, w.get("/api/v1/members/carol").await.json);
    // Who founded has no record of their own.
    assert_eq!(w.get("/api/v1/members/ada?as_of=1").await.json["keys"][0]["actor"], "ada");
    w.get(&at(joined - 1)).await.refused(404, "member-unknown");

    let path = |from: u64, to: u64| format!("/api/v1/diff?from={from}&to={to}");
    let diff = w.get(&path(opened, ended)).await.json;
    let entities = diff["entities"].as_array().unwrap();
    assert_eq!(entities.len(), 1, "{diff}");
    let one = &entities[0];
    assert_eq!(
        (&one["entity"], &one["change"], &one["facts"]),
        (&json!(on), &json!("changed"), &json!(2))
    );
    assert_eq!(one["fields"]["status"], json!({"before": "open", "after": "cancelled"}));
    assert_eq!(one["fields"]["priority"], json!({"before": 3, "after": 1}));
    for same in ["title", "note", "id"] {
        assert!(one["fields"].get(same).is_none(), "{one}");
    }
    let all = w.get(&path(0, left)).await.json;
    let told: Vec<_> =
        all["entities"].as_array().unwrap().iter().map(|e| (&e["entity"], &e["change"])).collect();
    assert_eq!(
        json!(told),
        json!([["tenant/acme", "recorded"], ["member/carol", "created"], [on, "created"]])
    );
    let none = w.get(&path(left, left)).await.json;
    assert_eq!(none["entities"], json!([]));
    for (path, code) in [
        (path(3, 2), "query-invalid"),
        ("/api/v1/diff?from=1".to_owned(), "query-invalid"),
        ("/api/v1/diff?from=-1&to=2".to_owned(), "query-invalid"),
    ] {
        w.get(&path).await.refused(400, code);
    }
}
