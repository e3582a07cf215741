//! What crosses accounts, and what does not.

use std::time::Duration;

use async_nats::client::RequestErrorKind;
use canonry_provision::CellUser;
use futures_util::StreamExt;
use tokio::time::timeout;

use crate::support::{PATIENCE, cell_user, member, start};

#[tokio::test]
async fn a_command_reaches_the_responder_and_the_answer_comes_back() {
    let (test, acme, _) = start().await;
    let founder = member(&test, &acme, "founder").await;
    let nobody = founder.client.request("command.acme.founder.x", "".into()).await.unwrap_err();
    assert_eq!(nobody.kind(), RequestErrorKind::NoResponders, "crosses the import at once");
    let responder = cell_user(&test, CellUser::Responder).await;
    responder.serve("command.acme.>", "done").await;
    responder.serve("intent.acme.>", "stored").await;
    assert_eq!(founder.request("command.acme.founder.x", "").await.payload, "done");
    assert_eq!(founder.request("intent.acme.founder.x", "").await.payload, "stored");
}

#[tokio::test]
async fn a_foreign_tenant_and_a_wrong_actor_token_meet_a_violation() {
    let (test, acme, _) = start().await;
    let responder = cell_user(&test, CellUser::Responder).await;
    let mut heard = responder.listen("command.*.>").await;
    let mut founder = member(&test, &acme, "founder").await;
    for subject in ["command.other.founder.x", "command.acme.approver.x", "ledger.acme.x"] {
        founder.client.publish(subject, "".into()).await.unwrap();
        assert!(founder.violation().await.contains(subject), "{subject}");
    }
    for subject in ["live.other.>", "outcome.acme.approver.>", "_INBOX.approver.>", ">"] {
        let _refused = founder.client.subscribe(subject).await.unwrap();
        assert!(founder.violation().await.contains(subject), "{subject}");
    }
    founder.client.publish("command.acme.founder.last", "".into()).await.unwrap();
    let first = timeout(PATIENCE, heard.next()).await.unwrap().unwrap();
    assert_eq!(first.subject.as_str(), "command.acme.founder.last", "nothing came before it");
}

#[tokio::test]
async fn a_reply_subject_into_the_ledger_writes_nothing() {
    let (test, acme, _) = start().await;
    let responder = cell_user(&test, CellUser::Responder).await;
    responder.serve("command.acme.>", "poison").await;
    let founder = member(&test, &acme, "founder").await;
    let into = "ledger.acme.ticket.opened";
    founder.client.publish_with_reply("command.acme.founder.x", into, "".into()).await.unwrap();
    // A second request on the same connection is answered after the first was.
    assert_eq!(founder.request("command.acme.founder.x", "").await.payload, "poison");
    let reader = cell_user(&test, CellUser::Reader).await;
    let info = reader.json("audit.api.STREAM.INFO.LEDGER_acme", "").await;
    assert_eq!(info["state"]["messages"], 0, "{info}");
}

#[tokio::test]
async fn a_service_cannot_have_the_responder_write_into_the_ledger() {
    let (test, ..) = start().await;
    let mut responder = cell_user(&test, CellUser::Responder).await;
    responder.serve("command.acme.>", "poison").await;
    let service = cell_user(&test, CellUser::Service("svc_api".parse().unwrap())).await;
    // A user of CANONRY itself: no account import stands between.
    let into = "ledger.acme.ticket.opened";
    service.client.publish_with_reply("command.acme.svc_api.x", into, "".into()).await.unwrap();
    assert!(responder.violation().await.contains(into));
    assert_eq!(service.request("command.acme.svc_api.x", "").await.payload, "poison");
}

#[tokio::test]
async fn outcomes_and_live_reach_their_tenant_only() {
    let (test, acme, other) = start().await;
    let (ours, theirs) =
        (member(&test, &acme, "founder").await, member(&test, &other, "founder").await);
    let mut our_outcomes = ours.listen("outcome.acme.founder.>").await;
    let mut our_live = ours.listen("live.acme.>").await;
    let mut their_live = theirs.listen("live.other.>").await;
    let responder = cell_user(&test, CellUser::Responder).await;
    responder.client.publish("outcome.acme.founder.1", "done".into()).await.unwrap();
    let outcome = timeout(PATIENCE, our_outcomes.next()).await.unwrap().unwrap();
    assert_eq!(outcome.subject.as_str(), "outcome.acme.founder.1");
    let committer = cell_user(&test, CellUser::Committer).await;
    for subject in ["ledger.acme.ticket.opened", "ledger.other.ticket.opened"] {
        let ack = committer.json(subject, "{}").await;
        assert_eq!(ack["seq"], 1, "{ack}");
    }
    let live = timeout(PATIENCE, our_live.next()).await.unwrap().unwrap();
    assert_eq!(live.subject.as_str(), "live.acme.ticket.opened");
    let live = timeout(PATIENCE, their_live.next()).await.unwrap().unwrap();
    assert_eq!(live.subject.as_str(), "live.other.ticket.opened", "acme's did not come first");
}

#[tokio::test]
async fn only_the_cell_operator_sees_micro_services() {
    let (test, acme, _) = start().await;
    let responder = cell_user(&test, CellUser::Responder).await;
    responder.serve("$SRV.PING", "pong").await;
    let operator = cell_user(&test, CellUser::CellOperator).await;
    assert_eq!(operator.request("$SRV.PING", "").await.payload, "pong");
    let mut founder = member(&test, &acme, "founder").await;
    founder.client.publish("$SRV.PING", "".into()).await.unwrap();
    assert!(founder.violation().await.contains("$SRV.PING"));
}

#[tokio::test]
async fn accounts_and_streams_survive_kill_9() {
    let (mut test, acme, _) = start().await;
    let committer = cell_user(&test, CellUser::Committer).await;
    assert_eq!(committer.json("ledger.acme.ticket.opened", "{}").await["seq"], 1);
    let url = test.server().url();
    test.server_mut().kill().unwrap();
    assert_eq!(test.server().pid(), None);
    test.server_mut().start_again().await.unwrap();
    assert_eq!(test.server().url(), url, "the same address");
    let responder = cell_user(&test, CellUser::Responder).await;
    responder.serve("command.acme.>", "done").await;
    // The tenant's account was pushed, not preloaded: the resolver kept it.
    let founder = member(&test, &acme, "founder").await;
    assert_eq!(founder.request("command.acme.founder.x", "").await.payload, "done");
    let reader = cell_user(&test, CellUser::Reader).await;
    let info = reader.json("audit.api.STREAM.INFO.LEDGER_acme", "").await;
    assert_eq!(info["state"]["last_seq"], 1);
    test.server_mut().restart().await.unwrap();
    test.server().pause().unwrap();
    let address = test.server().http_address();
    // The system stops its threads one after the other, on a busy machine not at once.
    let mut silent = false;
    for _ in 0..100 {
        let look = canonry_provision::server::monitor(&address, "/healthz");
        silent = timeout(Duration::from_millis(200), look).await.is_err();
        if silent {
            break;
        }
    }
    assert!(silent, "a paused server is silent");
    test.server().resume().unwrap();
    canonry_provision::server::check_sync_always(&address).await.unwrap();
}
