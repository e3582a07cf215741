//! Streams as nats-config has them: made once, compared afterwards, never changed.

use canonry_provision::{CellUser, Error, check_streams, streams};

use crate::support::{cell_user, start};

#[tokio::test]
async fn founding_twice_changes_nothing_and_a_changed_stream_is_reported() {
    let (test, acme, _) = start().await;
    let sys = cell_user(&test, CellUser::ProvisionSys).await;
    let provision = cell_user(&test, CellUser::ProvisionStreams).await;
    test.cell.found_accounts(&sys, &provision, &acme, 1).await.unwrap();
    let checker = cell_user(&test, CellUser::Committer).await;
    check_streams(&checker, &acme, 1).await.unwrap();

    let mut changed = streams::ledger(&acme, 1);
    changed["max_age"] = 86_400_000_000_000_u64.into();
    let answer = provision.json("$JS.API.STREAM.UPDATE.LEDGER_acme", &changed.to_string()).await;
    assert!(answer.get("error").is_none(), "the server accepts it: {answer}");
    for found in [
        check_streams(&checker, &acme, 1).await,
        test.cell.found_accounts(&sys, &provision, &acme, 1).await,
    ] {
        let Err(Error::Differs { stream, differences }) = found else { panic!("{found:?}") };
        assert_eq!(stream, "LEDGER_acme");
        assert!(differences.iter().any(|d| d.starts_with("max_age:")), "{differences:?}");
    }
}

#[tokio::test]
async fn the_liveness_bucket_takes_a_time_to_live_and_the_ledger_does_not() {
    let (test, ..) = start().await;
    let committer = cell_user(&test, CellUser::Committer).await;
    let publish = async |subject: &'static str| {
        let mut headers = async_nats::HeaderMap::new();
        headers.insert("Nats-TTL", "10s");
        let sent = committer.client.request_with_headers(subject, headers, "x".into()).await;
        serde_json::from_slice::<serde_json::Value>(&sent.unwrap().payload).unwrap()
    };
    let stored = publish("$KV.liveness.d1").await;
    assert_eq!(stored["stream"], "KV_liveness", "{stored}");
    let refused = publish("ledger.acme.ticket.opened").await;
    assert!(refused.get("error").is_some(), "{refused}");
}
