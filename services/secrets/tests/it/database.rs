//! A user of a real PostgreSQL that OpenBao makes: lent, renewed, revoked; after that the database
//! itself refuses it.

use std::time::Duration;

use canonry_secrets::{Fields, SecretStore as _};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

use crate::bao::Bao;
use crate::postgres::Postgres;
use crate::support::{place, secret, vault};

const PASSWORD: &str = "of-the-first-user";

/// Who is told by the database that connects so.
async fn connects(
    port: u16,
    lent: &Fields,
    password: &str,
) -> Result<String, tokio_postgres::Error> {
    let user = lent["username"].expose_text().unwrap();
    let mut config = tokio_postgres::Config::new();
    config.host("127.0.0.1").port(port).dbname("postgres").user(user).password(password);
    let (client, connection) = config.connect(NoTls).await?;
    let task = tokio::spawn(connection);
    let row = client.query_one("select current_user::text", &[]).await;
    drop(client);
    drop(task.await);
    row.map(|row| row.get(0))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_of_a_database_is_lent_and_taken_back() {
    let Some(bao) = Bao::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let Some(postgres) = Postgres::start(folder.path(), Some(PASSWORD)) else {
        let required = std::env::var_os("CANONRY_REQUIRE_POSTGRES").is_some();
        assert!(!required, "no PostgreSQL server is installed");
        eprintln!("SKIPPED: no PostgreSQL server is installed");
        return;
    };
    bao.run(&["secrets", "enable", "database"]);
    let url = "postgresql://{{username}}:{{password}}@127.0.0.1";
    let url = format!("connection_url={url}:{}/postgres?sslmode=disable", postgres.port);
    let password = format!("password={PASSWORD}");
    bao.run(&[
        "write",
        "database/config/reports",
        "plugin_name=postgresql-database-plugin",
        "allowed_roles=t3-reports,t4-all",
        &url,
        "username=postgres",
        &password,
    ]);
    let make = "creation_statements=CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID \
                UNTIL '{{expiration}}'";
    for (role, lasts) in [("t3-reports", "60s"), ("t4-all", "2h")] {
        let lasts = format!("default_ttl={lasts}");
        let path = format!("database/roles/{role}");
        bao.run(&["write", &path, "db_name=reports", make, &lasts, "max_ttl=3h"]);
    }
    let vault = vault(&bao, &bao.role("t4", &["token_ttl=15m"])).await;
    let here = place("secret://vault/database/creds/t3-reports");

    let lent = vault.lease(&here).await.unwrap();
    assert!(lent.renewable && lent.left() > Duration::from_secs(50), "{lent:?}");
    let own = lent.value["password"].expose_text().unwrap().to_owned();
    let user = connects(postgres.port, &lent.value, &own).await.unwrap();
    assert_eq!(lent.value["username"], secret(&user));
    let guessed = connects(postgres.port, &lent.value, "guessed").await.unwrap_err();
    assert_eq!(guessed.code(), Some(&SqlState::INVALID_PASSWORD), "passwords count here");
    assert!(!format!("{lent:?}").contains(&own) && !format!("{lent:?}").contains(&user));

    let renewed = vault.renew(&lent.id, Duration::from_secs(600)).await.unwrap();
    assert!(renewed > Duration::from_secs(500), "{renewed:?}");
    let bounded = vault.renew(&lent.id, Duration::from_secs(86_400)).await.unwrap();
    assert!(bounded <= canonry_secrets::limits::LEASE_MOST, "{bounded:?}");

    vault.revoke(&lent.id).await.unwrap();
    let refused = connects(postgres.port, &lent.value, &own).await.unwrap_err();
    assert!(refused.code().is_some(), "the database itself refuses: {refused}");
    let again = vault.renew(&lent.id, Duration::from_secs(60)).await.unwrap_err();
    assert_eq!(again.code(), "lease-unknown");

    // What would hold too long is given back at once.
    let long = vault.lease(&place("secret://vault/database/creds/t4-all")).await.unwrap_err();
    assert_eq!(long.code(), "lease-too-long");
    assert!(!bao.tried(&["list", "sys/leases/lookup/database/creds/t4-all"]).0, "none is left");

    // Whoever ends its login ends what it was lent.
    let lent = vault.lease(&here).await.unwrap();
    let own = lent.value["password"].expose_text().unwrap().to_owned();
    connects(postgres.port, &lent.value, &own).await.unwrap();
    vault.close().await.unwrap();
    let until = tokio::time::Instant::now() + Duration::from_secs(60);
    while connects(postgres.port, &lent.value, &own).await.is_ok() {
        assert!(tokio::time::Instant::now() < until, "a lease outlives its login");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
