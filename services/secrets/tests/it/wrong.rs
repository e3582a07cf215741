//! Answers that no good vault gives: each has its code, is asked for again as often as is safe, and
//! none of it reaches an error.

use std::time::Duration;

use canonry_secrets::{SecretStore as _, Vault, limits};

use crate::double::{Double, Says};
use crate::support::{everything, place, reference, secret};

const CANARY: &str = "canary-body-91c4";

fn good() -> Says {
    Says::Status(200, r#"{"data":{"data":{"f":"x"},"metadata":{"version":1}}}"#.to_owned())
}

fn status(status: u16) -> Says {
    Says::Status(status, format!(r#"{{"errors":["{CANARY}"]}}"#))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_are_wrong_have_a_code_and_are_not_quoted() {
    let text = |text: &str| Says::Status(200, text.replace('$', CANARY));
    let large =
        format!(r#"{{"data":"{}"}}"#, CANARY.repeat(limits::ANSWER_BYTES / CANARY.len() + 1));
    let tries = limits::TRIES as usize;
    for (says, code, asked) in [
        (text("$"), "vault-answer-malformed", 1),
        (text(r#"{"data":"$"}"#), "vault-answer-malformed", 1),
        (text(r#"{"data":{"data":["$"]}}"#), "vault-answer-malformed", 1),
        (text(r#"{"data":{"data":{"f":"$"}"#), "vault-answer-malformed", 1),
        (text(r#"{"data":{"data":{"g":"$"}}}"#), "secret-unknown", 1),
        (text(r#"{"data":{"data":{"f":{"$":1}}}}"#), "secret-unknown", 1),
        (text(&large), "vault-answer-malformed", 1),
        (status(400), "vault-rejected", 1),
        (status(404), "secret-unknown", 1),
        (status(405), "vault-rejected", 1),
        (status(429), "vault-unavailable", tries),
        (status(500), "vault-unavailable", tries),
        (status(503), "vault-sealed", tries),
        (Says::Cut, "vault-unavailable", tries),
    ] {
        let double = Double::start(vec![says.clone()]).await;
        let vault = double.vault().await;
        let error = vault.get(&reference("secret://vault/a#f")).await.unwrap_err();
        assert_eq!(error.code(), code, "{says:?}");
        assert_eq!(double.asked(), asked, "{says:?}");
        let shown = everything(&error);
        assert!(!shown.contains("canary"), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_is_waited_for() {
    let double =
        Double::start(vec![status(503), status(429), Says::Cut, status(502), good()]).await;
    let vault = double.vault().await;
    let at = reference("secret://vault/a#f");
    assert_eq!(vault.get(&at).await.unwrap(), secret("x"));
    assert_eq!(double.asked(), 5);
    assert!(double.seen().contains("x-vault-namespace: team-a"), "{}", double.seen());

    // What may have been done is not asked for twice.
    for says in [Says::Cut, status(500)] {
        let double = Double::start(vec![says]).await;
        let vault = double.vault().await;
        let lent = vault.lease(&place("secret://vault/database/creds/x")).await.unwrap_err();
        assert_eq!((lent.code(), double.asked()), ("vault-unavailable", 1));
    }
    let double = Double::start(vec![good()]).await;
    let vault = double.vault().await;
    let lent = vault.lease(&place("secret://vault/a")).await.unwrap_err();
    assert_eq!(lent.code(), "vault-answer-malformed", "no lease came with it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_gets_no_token_and_a_closed_port_no_answer() {
    let other = Double::start(vec![good()]).await;
    let double = Double::start(vec![Says::Moved(format!("{}/v1/x", other.address))]).await;
    let vault = double.vault().await;
    let at = reference("secret://vault/a#f");
    assert_eq!(vault.get(&at).await.unwrap_err().code(), "vault-sealed");
    assert_eq!(other.seen(), "");

    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = double.config();
    config.address = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let vault = Vault::open(config).await.unwrap();
    let within = Duration::from_secs(60);
    let error = tokio::time::timeout(within, vault.get(&at)).await.unwrap().unwrap_err();
    assert_eq!((error.code(), error.is_unavailable()), ("vault-unavailable", true));
}
