//! The client against a real OpenBao: login, fields and versions, renewal, what it does when the
//! vault seals itself, forgets a token, or shows a certificate of somebody else.

use std::time::{Duration, Instant};

use canonry_secrets::{SecretStore as _, Vault};

use crate::bao::Bao;
use crate::support::{config, place, reference, secret, vault};

const ALL: &str = "path \"secret/*\" { capabilities = [\"create\", \"read\", \"update\", \"patch\", \
                   \"delete\", \"list\"] }";

/// A role that may do everything with secrets.
fn writer(bao: &Bao, settings: &[&str]) -> crate::bao::Login {
    let file = bao.folder("policy").join("all.hcl");
    std::fs::write(&file, ALL).unwrap();
    bao.run(&["policy", "write", "all", file.to_str().unwrap()]);
    bao.role("all", settings)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fields_and_versions() {
    let Some(bao) = Bao::start() else { return };
    let vault = vault(&bao, &writer(&bao, &[])).await;
    vault.check_login().await.unwrap();
    let (user, password) =
        (reference("secret://vault/a/b#user"), reference("secret://vault/a/b#password"));
    assert_eq!(vault.get(&user).await.unwrap_err().code(), "secret-unknown");
    vault.put(&user, &secret("ann\n\"x\" ü")).await.unwrap();
    vault.put(&password, &secret("one")).await.unwrap();
    vault.put(&password, &secret("two")).await.unwrap();
    assert_eq!(vault.get(&user).await.unwrap(), secret("ann\n\"x\" ü"), "the other field stays");
    assert_eq!(vault.get(&password).await.unwrap(), secret("two"));
    let missing = vault.get(&reference("secret://vault/a/b#other")).await.unwrap_err();
    assert_eq!(missing.code(), "secret-unknown");

    // Versions: read, and destroyed one at a time.
    let here = place("secret://vault/a/b");
    assert_eq!(vault.get_version(&password, 2).await.unwrap(), secret("one"));
    vault.destroy(&here, &[2]).await.unwrap();
    assert_eq!(vault.get_version(&password, 2).await.unwrap_err().code(), "secret-unknown");
    let versions = vault.versions(&here).await.unwrap();
    let told: Vec<_> = versions.iter().map(|v| (v.number, v.destroyed)).collect();
    assert_eq!(told, [(1, false), (2, true), (3, false)]);

    // Names, not values.
    vault.put(&reference("secret://vault/a/c/d#x"), &secret("y")).await.unwrap();
    assert_eq!(vault.list(None).await.unwrap(), ["a/"]);
    assert_eq!(vault.list(Some(&place("secret://vault/a"))).await.unwrap(), ["b", "c/"]);
    assert!(vault.list(Some(&place("secret://vault/none"))).await.unwrap().is_empty());

    // Written again after somebody marked it as deleted; then all of it goes.
    bao.run(&["kv", "delete", "secret/a/b"]);
    assert_eq!(vault.get(&password).await.unwrap_err().code(), "secret-unknown");
    vault.put(&password, &secret("three")).await.unwrap();
    assert_eq!(vault.get(&password).await.unwrap(), secret("three"));
    vault.delete(&here).await.unwrap();
    assert_eq!(vault.delete(&here).await.unwrap_err().code(), "secret-unknown");
    assert!(!bao.tried(&["kv", "metadata", "get", "secret/a/b"]).0, "no version is left");

    let binary = canonry_secrets::Secret::new(vec![0xff, 0xfe]).unwrap();
    assert_eq!(vault.put(&password, &binary).await.unwrap_err().code(), "secret-not-text");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_of_several_fields_lose_none() {
    let Some(bao) = Bao::start() else { return };
    let vault = vault(&bao, &writer(&bao, &[])).await;
    let writes = (0..8).map(|n| {
        let vault = vault.clone();
        let put = async move {
            let to = reference(&format!("secret://vault/shared#f{n}"));
            vault.put(&to, &secret(&n.to_string())).await
        };
        tokio::spawn(put)
    });
    for write in writes.collect::<Vec<_>>() {
        write.await.unwrap().unwrap();
    }
    for n in 0..8 {
        let found = vault.get(&reference(&format!("secret://vault/shared#f{n}"))).await.unwrap();
        assert_eq!(found, secret(&n.to_string()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_renewed_and_replaced() {
    let Some(bao) = Bao::start() else { return };
    // One login is all that this secret id gives: what works after the token's time was renewed.
    let once = writer(&bao, &["token_ttl=12s", "token_max_ttl=1h", "secret_id_num_uses=1"]);
    let kept = vault(&bao, &once).await;
    let at = reference("secret://vault/a#f");
    kept.put(&at, &secret("x")).await.unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(15) {
        assert_eq!(kept.get(&at).await.unwrap(), secret("x"));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let again = vault(&bao, &once).await.check_login().await.unwrap_err();
    assert_eq!(again.code(), "vault-login-refused");

    // A token that the vault forgot is replaced by a login, without a word to who asked.
    let many = writer(&bao, &["token_ttl=1h", "secret_id_num_uses=0"]);
    let many = vault(&bao, &many).await;
    many.check_login().await.unwrap();
    bao.run(&["token", "revoke", "-mode=path", "auth/approle"]);
    assert_eq!(many.get(&at).await.unwrap(), secret("x"));
    assert_eq!(kept.get(&at).await.unwrap_err().code(), "vault-login-refused");

    // One that cannot be renewed further ends, and a login replaces it.
    let short = writer(&bao, &["token_ttl=3s", "token_max_ttl=3s", "secret_id_num_uses=0"]);
    let short = vault(&bao, &short).await;
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(6) {
        assert_eq!(short.get(&at).await.unwrap(), secret("x"));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    short.close().await.unwrap();
    let tokens = bao.run(&["list", "-format=json", "auth/token/accessors"]);
    many.close().await.unwrap();
    let after = bao.run(&["list", "-format=json", "auth/token/accessors"]);
    assert!(after.lines().count() < tokens.lines().count(), "closing revokes the token");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrapped_secret_id_is_unwrapped_once() {
    let Some(bao) = Bao::start() else { return };
    let login = writer(&bao, &[]);
    let mut wrapped = config(&bao, &login);
    (wrapped.wrapped, wrapped.secret_id) = (true, secret(&bao.wrapped("all")));
    let opened = Vault::open(wrapped.clone()).await.unwrap();
    opened.check_login().await.unwrap();
    let spent = Vault::open(wrapped.clone()).await.unwrap_err();
    assert_eq!(spent.code(), "vault-wrapping-spent");

    // What another path wrapped is not ours, and is left as it is.
    let foreign = bao.run(&["kv", "put", "secret/a", "secret_id=x"]);
    assert!(!foreign.is_empty());
    let words = ["read", "-wrap-ttl=60s", "-field=wrapping_token", "secret/data/a"];
    let foreign = bao.run(&words).trim().to_owned();
    wrapped.secret_id = secret(&foreign);
    let refused = Vault::open(wrapped).await.unwrap_err();
    assert_eq!(refused.code(), "vault-wrapping-spent");
    bao.run(&["unwrap", &foreign]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sealed_vault_and_a_foreign_certificate_are_told_apart() {
    let Some(bao) = Bao::start() else { return };
    let login = writer(&bao, &[]);
    let vault = vault(&bao, &login).await;
    let at = reference("secret://vault/a#f");
    vault.put(&at, &secret("x")).await.unwrap();
    assert!(!Vault::status(&config(&bao, &login)).await.unwrap().sealed);
    bao.seal();
    assert!(Vault::status(&config(&bao, &login)).await.unwrap().sealed);
    let sealed = vault.get(&at).await.unwrap_err();
    assert_eq!((sealed.code(), sealed.is_unavailable()), ("vault-sealed", true));
    // Who asks while it is unsealed is answered: the tries go on meanwhile.
    let asked = tokio::spawn({
        let (vault, at) = (vault.clone(), at.clone());
        async move { vault.get(&at).await }
    });
    bao.unseal();
    let answered = asked.await.unwrap();
    let late = answered.is_err();
    if late {
        assert_eq!(vault.get(&at).await.unwrap(), secret("x"));
    } else {
        assert_eq!(answered.unwrap(), secret("x"));
    }

    let other = Bao::start().unwrap();
    let mut wrong = config(&bao, &login);
    wrong.ca = Some(other.ca());
    let refused = Vault::open(wrong.clone()).await.unwrap().check_login().await.unwrap_err();
    assert_eq!(refused.code(), "vault-unavailable");
    wrong.ca = Some(bao.folder("empty").join("nothing.pem"));
    assert_eq!(Vault::open(wrong).await.unwrap_err().code(), "secrets-misconfigured");
}
