//! The OpenAPI document says what there is, and there is what it says.

use canonry_api::document;
use serde_json::{Value, json};

use crate::support::World;

#[tokio::test]
async fn every_route_is_in_the_document_and_answers() {
    let w = World::new().await;
    let served = w.send("GET", "/openapi.json", None, &[], "").await.json;
    assert_eq!((&served, &served["openapi"]), (&document(), &json!("3.1.0")));
    let mut operations = 0;
    for (path, methods) in served["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            operations += 1;
            let path = path.replace("{id}", "x");
            let reply = w.send(&method.to_uppercase(), &path, None, &[], "").await;
            if operation.get("security").is_none() {
                reply.refused(401, "token-missing");
            } else {
                assert!(reply.json["code"] != "route-unknown", "{method} {path}");
            }
        }
    }
    let routes = (canonry_api::routes::READS, canonry_api::routes::WRITES);
    let tables = routes.0.len() + routes.1.len() + canonry_api::routes::UPLOADS.len();
    let tables = tables + canonry_api::routes::ASKS.len();
    assert_eq!(operations, tables);
    for (method, path) in [
        ("get", "/api/v1/roles"),
        ("get", "/api/v1/roles/{id}"),
        ("post", "/api/v1/roles"),
        ("patch", "/api/v1/roles/{id}"),
        ("post", "/api/v1/roles/{id}/pause"),
        ("post", "/api/v1/roles/{id}/resume"),
        ("get", "/api/v1/tickets"),
        ("post", "/api/v1/tickets"),
        ("get", "/api/v1/tickets/{id}"),
        ("patch", "/api/v1/tickets/{id}"),
        ("post", "/api/v1/tickets/{id}/approve"),
        ("post", "/api/v1/tickets/{id}/reject"),
        ("get", "/api/v1/events"),
        ("get", "/api/v1/events/chain-verify"),
        ("get", "/api/v1/events/{id}/evidence"),
        ("get", "/api/v1/evidence/{id}"),
        ("post", "/api/v1/tickets/{id}/evidence"),
        ("post", "/api/v1/runs/{id}/evidence"),
        ("post", "/api/v1/exec/start/{id}"),
        ("get", "/api/v1/exec/{id}/status"),
        ("get", "/api/v1/tlog/checkpoint"),
        ("get", "/api/v1/tlog/tile/{id}"),
        ("get", "/api/v1/tlog/inclusion"),
        ("get", "/api/v1/tlog/consistency"),
        ("get", "/api/v1/budgets"),
        ("get", "/api/v1/actions"),
        ("post", "/api/v1/actions"),
        ("get", "/api/v1/actions/{id}"),
        ("post", "/api/v1/actions/{id}/approve"),
        ("post", "/api/v1/actions/{id}/step-up"),
        ("put", "/api/v1/policy"),
        ("get", "/api/v1/policy"),
        ("post", "/api/v1/policy/check"),
        ("post", "/api/v1/policy/simulate"),
        ("post", "/api/v1/policy/diff"),
        ("post", "/api/v1/budgets"),
        ("post", "/api/v1/prices"),
        ("get", "/api/v1/spend"),
        ("get", "/api/v1/approvers"),
        ("get", "/api/v1/members"),
        ("get", "/api/v1/changes"),
        ("get", "/healthz"),
        ("get", "/readyz"),
        ("get", "/metrics"),
    ] {
        assert!(served["paths"][path].get(method).is_some(), "{method} {path}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    fn visit(value: &Value, root: &Value) {
        if let Some(reference) = value["$ref"].as_str() {
            let pointer = reference.strip_prefix('#').unwrap();
            assert!(root.pointer(pointer).is_some(), "{reference}");
        }
        match value {
            Value::Object(o) => o.values().for_each(|v| visit(v, root)),
            Value::Array(a) => a.iter().for_each(|v| visit(v, root)),
            _ => assert!(!value.to_string().contains("#/$defs/"), "{value}"),
        }
    }
    let document = document();
    visit(&document, &document);
    let answer = &document["components"]["schemas"]["Answer"];
    assert!(answer["properties"]["receipt"]["pattern"].is_string(), "the type's own schema");
    let parameters = &document["paths"]["/api/v1/tickets"]["get"]["parameters"];
    let names: Vec<_> = parameters.as_array().unwrap().iter().map(|p| &p["name"]).collect();
    assert!(
        names.contains(&&json!("min_position")) && names.contains(&&json!("status")),
        "{names:?}"
    );
    let amend = &document["paths"]["/api/v1/tickets/{id}"]["patch"]["requestBody"];
    let schema = &amend["content"]["application/json"]["schema"];
    assert_eq!(schema["required"], json!([]), "the path gives the id");
    assert!(schema["properties"]["priority"].is_object());
}

#[tokio::test]
async fn health_needs_no_token() {
    let w = World::new().await;
    let get = |path| w.send("GET", path, None, &[], "");
    assert_eq!(get("/healthz").await.text, "ok\n");
    get("/readyz").await.refused(503, "store-unavailable");
    get("/dragons").await.refused(404, "route-unknown");
    let ticket = format!("/api/v1/tickets/{}", crate::support::id("tkt_", 1));
    get(&ticket).await.refused(401, "token-missing");
    let metrics = get("/metrics").await;
    assert!(metrics.header("content-type").starts_with("application/openmetrics-text"));
    for line in [
        "{route=\"/healthz\",class=\"success\"} 1\n",
        "{route=\"/readyz\",class=\"server-error\"} 1\n",
        "{route=\"none\",class=\"client-error\"} 1\n",
        "{route=\"/api/v1/tickets/{id}\",class=\"client-error\"} 1\n",
    ] {
        let line = format!("canonry_http_requests_total{line}");
        assert!(metrics.text.contains(&line), "{line} in {}", metrics.text);
    }
}
