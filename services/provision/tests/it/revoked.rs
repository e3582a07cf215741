//! Logins that were revoked at a real server: cut, and let in no more, also after later claims and a
//! restart; everybody else stays.

use std::path::Path;

use canonry_provision::revocation::Revoked;
use canonry_provision::testing::TestCell;
use canonry_provision::{CellUser, TenantUser};
use canonry_schemas::ids::TenantId;

use crate::support::{PATIENCE, User, actor, cell_user, start};

/// A connection that never comes back by itself.
async fn connects(test: &TestCell, creds: &Path) -> Result<async_nats::Client, String> {
    let options = async_nats::ConnectOptions::with_credentials_file(creds).await.unwrap();
    let options = options.max_reconnects(Some(1)).connection_timeout(PATIENCE);
    options.connect(test.server().url()).await.map_err(|e| format!("{e:?}"))
}

async fn refused(test: &TestCell, creds: &Path) {
    let error = connects(test, creds).await.unwrap_err();
    assert!(error.contains("Authorization"), "{error}");
}

/// Waits until the server has ended a connection.
async fn cut(client: &async_nats::Client) {
    let end = std::time::Instant::now() + PATIENCE;
    while client.connection_state() == async_nats::connection::State::Connected {
        assert!(std::time::Instant::now() < end, "the connection stays open");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}

async fn sys(test: &TestCell) -> User {
    cell_user(test, CellUser::ProvisionSys).await
}

fn issue(test: &TestCell, of: &TenantId, name: &str, kind: TenantUser) -> canonry_provision::Login {
    test.cell.tenant_user(of, &actor(name), kind).unwrap()
}

#[tokio::test]
async fn a_revoked_login_is_cut_and_let_in_no_more() {
    let (mut test, acme, other) = start().await;
    let gone = issue(&test, &acme, "gone", TenantUser::Member);
    let stays = issue(&test, &acme, "stays", TenantUser::Member);
    let auditor = issue(&test, &acme, "auditor", TenantUser::Auditor);
    let theirs = issue(&test, &other, "founder", TenantUser::Member);
    let open = connects(&test, &gone.creds).await.unwrap();
    let kept = connects(&test, &stays.creds).await.unwrap();
    let foreign = connects(&test, &theirs.creds).await.unwrap();

    let revoked = Revoked::of([&gone.public]);
    test.cell.revoke_logins(&sys(&test).await, &acme, &revoked).await.unwrap();
    cut(&open).await;
    refused(&test, &gone.creds).await;
    for client in [&kept, &foreign] {
        client.flush().await.unwrap();
        assert_eq!(client.connection_state(), async_nats::connection::State::Connected);
    }
    let auditing = connects(&test, &auditor.creds).await.unwrap();

    // Claims that are pushed later, for whatever reason, keep what was revoked.
    test.cell.push_account(&sys(&test).await, &acme).await.unwrap();
    refused(&test, &gone.creds).await;
    // So does another home of the same cell, which knows of nothing.
    std::fs::remove_file(test.cell.key_store().revoked_path(Some(&acme))).unwrap();
    test.cell.push_account(&sys(&test).await, &acme).await.unwrap();
    refused(&test, &gone.creds).await;

    // An auditor's login is one of another account.
    let both = Revoked::of([&gone.public, &auditor.public]);
    test.cell.revoke_logins(&sys(&test).await, &acme, &both).await.unwrap();
    cut(&auditing).await;
    refused(&test, &auditor.creds).await;
    // Again is the same.
    test.cell.revoke_logins(&sys(&test).await, &acme, &both).await.unwrap();

    // A server that is started again has no other claims.
    test.server_mut().kill().unwrap();
    test.server_mut().start_again().await.unwrap();
    refused(&test, &gone.creds).await;
    refused(&test, &auditor.creds).await;
    connects(&test, &stays.creds).await.unwrap();
}

fn seconds() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

#[tokio::test]
async fn a_login_that_expires_is_cut_by_the_server() {
    let (test, acme, _) = start().await;
    let until = seconds() + 3;
    let (kind, temp) = (TenantUser::Member, actor("temp"));
    let login = test.cell.tenant_user_until(&acme, &temp, kind, Some(until)).unwrap();
    // On a slow machine it is over before it was let in.
    if let Ok(open) = connects(&test, &login.creds).await {
        cut(&open).await;
    }
    // The second of its end is still its own.
    while seconds() <= until {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    refused(&test, &login.creds).await;
}
