//! What a decider tells of itself, and that nobody who asks stays without an answer.

use std::time::Duration;

use canonry_decider::throttle::Settings;
use canonry_decider::{Config, Decider};
use canonry_telemetry::Metrics;

use crate::harness::Spine;

const TICKET: &str = r#"{"title":"x"}"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_subject_is_answered_and_a_trace_context_stays_as_it_came() {
    let spine = Spine::start().await;
    let founder = spine.person("founder").await;
    for subject in ["command.acme.founder.ticket", "command.acme.founder.ticket.open.wide"] {
        let answer = loop {
            if let Some(answer) = founder.raw(subject, &[], TICKET).await {
                break answer;
            }
        };
        assert_eq!(answer.code.as_deref(), Some("unknown-command"), "{subject}");
        assert_eq!(answer.entity.as_deref(), Some("actor/founder"), "{subject}");
    }
    let subject = founder.subject("ticket", "open");
    let given = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    for headers in [&[("traceparent", given)][..], &[("traceparent", "00-none-none-00")], &[]] {
        assert!(founder.raw(&subject, headers, TICKET).await.unwrap().ok);
    }
    let ledger = spine.ledger().await;
    let kept: Vec<_> = ledger.iter().filter_map(|body| body["traceparent"].as_str()).collect();
    assert_eq!(kept, [given]);
    assert_eq!(spine.kinds().await["canonry.actor.command-refused.v1"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decider_without_its_server_says_so_and_comes_back() {
    let mut spine = Spine::start().await;
    let founder = spine.person("founder").await;
    founder.hire().await;
    let health = spine.decider.as_ref().unwrap().health();
    assert_eq!(health.fault(), None);
    let told = async |wanted: Option<&str>| {
        let told = async {
            while health.fault().map(|(code, _)| code) != wanted {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), told).await.unwrap();
    };
    spine.test.server_mut().kill().unwrap();
    told(Some("store-unavailable")).await;
    spine.test.server_mut().start_again().await.unwrap();
    told(None).await;
    spine.stop().await;
}

#[tokio::test]
async fn metrics_are_those_of_the_tenants_held() {
    let metrics = Metrics::new();
    let mut spine = Spine::start().await;
    spine.stop().await;
    let keys = spine.test.cell.key_store().clone();
    let (url, name) = (spine.test.url(), "decider-m".parse().unwrap());
    let replicas = spine.test.replicas();
    let config = Config {
        url,
        name,
        keys,
        more_keys: None,
        replicas,
        metrics: metrics.clone(),
        throttle: Settings::default(),
    };
    let decider = Decider::start(config).await.unwrap();
    let founder = spine.person("founder").await;
    founder.hire().await;
    let health = decider.health();
    health.measure();
    let text = metrics.encode();
    for line in [
        "canonry_tenants_held 1\n",
        "canonry_commands_waiting 0\n",
        "canonry_commands_in_flight 0\n",
        "canonry_records_total{kind=\"fact\"} 2\n",
        "canonry_commits_total{way=\"plain\"} 2\n",
    ] {
        assert!(text.contains(line), "{line} in {text}");
    }
    decider.stop().await;
    health.measure();
    assert!(metrics.encode().contains("canonry_tenants_held 0\n"));
}
