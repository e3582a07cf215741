//! Budgets through a whole decider: limited, priced, refused, rebuilt.

use serde_json::{Value, json};

use crate::harness::{Person, Spine, id, intent, of_intent};

fn prices(currency: &str) -> Value {
    json!({"currency": currency, "models": [{"model": "small",
        "input_micros_per_million_tokens": 150_000, "output_micros_per_million_tokens": 600_000}]})
}

async fn refused(by: &Person, verb: &str, body: Value, code: &str, entity: &str) {
    let answer = by.send("budget", verb, body.clone()).await;
    assert_eq!(answer.code.as_deref(), Some(code), "{body}");
    assert_eq!(answer.entity.as_deref(), Some(entity), "{body}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_and_prices_are_records_of_what_they_limit() {
    let mut spine = Spine::start().await;
    let (founder, operator) = (spine.person("founder").await, spine.person("operator").await);
    let role = founder.hire().await;
    let open = json!({"title": "Count the stamps", "role": role});
    let ticket = id(&founder.send("ticket", "open", open).await);
    let whose = |scope: &str, period: &str| json!({"scope": scope, "period": period, "money_micros": 5_000_000, "calls": 40});
    let (of_role, of_ticket) = (format!("role/{role}"), format!("ticket/{ticket}"));

    for (scope, period, entity) in [
        ("tenant", "day", "tenant/acme"),
        ("tenant", "total", "tenant/acme"),
        (&*of_role, "day", &*of_role),
        (&*of_role, "total", &*of_role),
        (&*of_ticket, "total", &*of_ticket),
    ] {
        let asked = intent();
        let answer = founder.send_as(&asked, "budget", "limit", &whose(scope, period)).await;
        assert_eq!(answer.entity.as_deref(), Some(entity), "{answer:?}");
        let ledger = spine.ledger().await;
        let record = of_intent(&ledger, &asked)[0];
        assert_eq!(record["subject"], "ledger.acme.budget.limited");
        assert_eq!(record["data"], whose(scope, period));
    }
    let answer = founder.send("budget", "price", prices("EUR")).await;
    assert_eq!(answer.entity.as_deref(), Some("tenant/acme"), "{answer:?}");

    refused(&operator, "limit", whose("tenant", "day"), "founder-only", "tenant/acme").await;
    refused(&operator, "limit", whose(&of_role, "day"), "founder-only", &of_role).await;
    refused(&founder, "limit", whose(&of_ticket, "day"), "budget-period", &of_ticket).await;
    refused(&founder, "price", prices("USD"), "currency-fixed", "tenant/acme").await;
    let twice = json!({"currency": "EUR", "models": [prices("EUR")["models"][0],
        prices("EUR")["models"][0]]});
    refused(&founder, "price", twice, "price-twice", "tenant/acme").await;
    // What is not there is not named either.
    let none = "run/run_00000000000000000000000000";
    refused(&founder, "limit", whose(none, "total"), "run-unknown", "actor/founder").await;
    for bad in [
        json!({"scope": "tenant", "period": "week"}),
        json!({"scope": "tenant", "period": "day", "calls": -1}),
        json!({"scope": "tenant", "period": "day", "tokens": 9_007_199_254_740_992_u64}),
        json!({"scope": "member/founder", "period": "day"}),
    ] {
        let answer = founder.send("budget", "limit", bad.clone()).await;
        let code = answer.code.unwrap();
        assert!(["schema-violation", "not-json"].contains(&&*code), "{bad}: {code}");
    }
    // A founder's plain message is not enough.
    let body = prices("EUR").to_string();
    let bare = founder.raw(&founder.subject("budget", "price"), &[], body).await.unwrap();
    assert_eq!(bare.code.as_deref(), Some("request-token-missing"));
    spine.stop().await;
}

/// The currency comes back from the snapshot, and from the records alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn books_outlive_their_decider() {
    let mut spine = Spine::start().await;
    let founder = spine.person("founder").await;
    assert!(founder.send("budget", "price", prices("EUR")).await.ok);
    for name in ["decider-a", "decider-b"] {
        spine.stop().await;
        // The first goes on from its own snapshot, the second has none.
        spine.decider = Some(spine.decider(name).await);
        refused(&founder, "price", prices("USD"), "currency-fixed", "tenant/acme").await;
        assert!(founder.send("budget", "price", prices("EUR")).await.ok);
    }
    spine.stop().await;
}
