//! Budgets over HTTP: accounts, prices and reports told, commands composed.

use serde_json::json;

use crate::support::{World, id};

#[tokio::test]
async fn accounts_and_prices_are_told() {
    let w = World::new().await;
    let none = w.get("/api/v1/budgets").await;
    assert_eq!(none.json.get("prices"), None, "{}", none.text);
    let limit = json!({"scope": "tenant", "period": "day", "calls": 9});
    w.record("ada", "tenant/acme", "budget.limited", limit).await;
    let table = json!({"currency": "EUR", "models": [{"model": "small",
        "input_micros_per_million_tokens": 15, "output_micros_per_million_tokens": 60}]});
    let position = w.record("ada", "tenant/acme", "budget.priced", table.clone()).await;
    let told = w.get("/api/v1/budgets?scope=tenant").await;
    assert_eq!(told.header("canonry-position"), position.to_string());
    let items = told.json["items"].as_array().unwrap();
    assert_eq!(items.len(), 2, "{}", told.text);
    // Without a day it is the clock's.
    assert_eq!((&items[0]["period"], &items[0]["day"]), (&json!("day"), &json!("2027-01-15")));
    assert_eq!(
        (&items[0]["limits"], &items[0]["free"]),
        (&json!({"calls": 9}), &json!({"calls": 9}))
    );
    assert_eq!(items[0]["spent"]["money_micros"], 0);
    assert_eq!(told.json["prices"]["models"], table["models"]);
    assert_eq!(told.json["prices"]["position"], position);
    let then = w.get("/api/v1/budgets?scope=tenant&day=2026-02-28").await;
    assert_eq!(then.json["items"][0]["day"], "2026-02-28");
    assert_eq!(w.get("/api/v1/spend?by=model").await.json, json!({"items": []}));
    for path in [
        "budgets?scope=member/ada",
        "budgets?day=2026-02-30",
        "budgets?day=yesterday",
        "spend?by=colour",
        "spend?by=day&from_day=2026-1-1",
        "spend?to_day=2026-01-01T00:00:00Z",
        "spend?colour=red",
    ] {
        w.get(&format!("/api/v1/{path}")).await.refused(400, "query-invalid");
    }
    w.get("/api/v1/spend?cursor=ticket~00~0").await.refused(400, "cursor-invalid");
}

#[tokio::test]
async fn limits_and_prices_are_commands() {
    let w = World::new().await;
    let scope = format!("role/{}", id("rol_", 1));
    let body = json!({"scope": scope, "period": "day", "calls": 9}).to_string();
    for (path, verb) in [("/api/v1/budgets", "limit"), ("/api/v1/prices", "price")] {
        let intent = "01JD0000000000000000000000";
        let token = w.request_token(("budget", verb), body.as_bytes(), intent);
        w.send("POST", path, Some(&token), &[], &body).await.refused(503, "retry");
    }
    let seen = w.decider.seen.lock().unwrap().clone();
    let sent: Vec<_> = seen.iter().map(|s| (s.aggregate, s.verb, &*s.body)).collect();
    assert_eq!(sent, [("budget", "limit", body.as_bytes()), ("budget", "price", body.as_bytes())]);
}
