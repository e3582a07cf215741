//! Users of leases at a real server: what the tier of their signing key lets them do and nothing
//! else, their end by time, and what the warden can do to them.

use std::time::Instant;

use async_nats::{Client, ConnectOptions};
use canonry_provision::testing::TestCell;
use canonry_provision::tiers::{LeaseUser, lease_token, permissions};
use canonry_provision::{CellUser, creds};
use canonry_schemas::ids::{LeaseId, TenantId};
use canonry_schemas::tier::{Policy, TIERS, Tier, inbox};
use futures_util::StreamExt as _;
use nkeys::KeyPair;
use serde_json::{Value, json};

use crate::support::{PATIENCE, User, actor, cell_user, person, start};

const LEASE: &str = "lse_01hzy3v7m8q6k4n2r9s5t1w0xa";

fn seconds() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(now.as_secs()).unwrap()
}

/// A worker's creds file for a lease of this tier.
struct Leased {
    creds: std::path::PathBuf,
    login: String,
    lease: LeaseId,
}

fn lease(test: &TestCell, tenant: &TenantId, tier: Tier, life: i64) -> Leased {
    let (login, lease): (_, LeaseId) = (KeyPair::new_user(), LEASE.parse().unwrap());
    let (_, public) = nkeys::from_public_key(&login.public_key()).unwrap();
    let user = LeaseUser {
        tenant,
        lease: &lease,
        worker: &actor("clerk"),
        tier,
        login: &public,
        until: seconds() + life,
    };
    let token = lease_token(test.cell.key_store(), &user).unwrap();
    let path = test.dir().join(format!("{tier:?}.creds"));
    std::fs::write(&path, creds::text(&token, &login.seed().unwrap())).unwrap();
    Leased { creds: path, login: login.public_key(), lease }
}

async fn connected(test: &TestCell, leased: &Leased) -> User {
    let inbox = inbox(&actor("clerk"), &leased.lease);
    let probe = "command.acme.clerk.run.complete";
    User::connect(&test.server().url(), &leased.creds, &inbox, probe).await
}

/// A lease of the highest tier.
pub async fn most_trusted(test: &TestCell, tenant: &TenantId) -> User {
    connected(test, &lease(test, tenant, Tier::T4, 600)).await
}

/// Every command that some tier may send, and what no lease may.
fn subjects() -> Vec<(String, Option<String>)> {
    let all = &Policy::of(Tier::T4).commands;
    let mut found: Vec<_> = all
        .iter()
        .map(|command| (format!("command.acme.clerk.{command}"), Some(command.clone())))
        .collect();
    for never in [
        "command.acme.clerk.run.start",
        "command.acme.clerk.ticket.approve",
        "command.acme.clerk.role.hire",
        "command.acme.other.run.complete",
        "command.other.clerk.run.complete",
        "intent.acme.clerk.run.complete",
        "lease.acme.clerk.credentials",
        "ledger.acme.run.completed",
        "live.acme.run.completed",
        "outcome.acme.clerk.x",
        "$JS.API.INFO",
        "$SYS.REQ.SERVER.PING.CONNZ",
    ] {
        found.push((never.to_owned(), None));
    }
    found
}

#[tokio::test]
async fn each_tier_may_send_what_its_file_says_and_nothing_else() {
    let (test, acme, _) = start().await;
    let responder = cell_user(&test, CellUser::Responder).await;
    responder.serve("command.*.>", "heard").await;
    let mut table = String::new();
    for tier in TIERS {
        let leased = lease(&test, &acme, tier, 600);
        let mut user = connected(&test, &leased).await;
        let policy = Policy::of(tier);
        for (subject, command) in subjects() {
            let may = command.is_some_and(|c| policy.commands.contains(&c));
            assert_eq!(permissions(tier, &acme, "clerk", LEASE).may_publish(&subject), may);
            if may {
                assert_eq!(user.request(&subject, "{}").await.payload, "heard", "{subject}");
            } else {
                user.client.publish(subject.clone(), "{}".into()).await.unwrap();
                let violation = user.violation().await;
                assert!(violation.contains(&subject), "{tier:?}: {subject}: {violation}");
            }
            table.push_str(&format!("\n{tier:?} {subject:50} {}", if may { "yes" } else { "-" }));
        }
        for never in ["_INBOX.clerk.>", "_INBOX.>", "live.>", "command.acme.clerk.>", "$SYS.>"] {
            drop(user.client.subscribe(never).await.unwrap());
            let violation = user.violation().await;
            assert!(violation.contains(never), "{tier:?}: {never}: {violation}");
        }
    }
    eprintln!("{table}");
}

#[tokio::test]
async fn a_lease_that_expires_is_cut_and_let_in_no_more() {
    let (test, acme, _) = start().await;
    let leased = lease(&test, &acme, Tier::T1, 2);
    let until = seconds() + 2;
    if let Ok(client) = connects(&test, &leased).await {
        cut(&client).await;
    }
    while seconds() <= until {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let error = connects(&test, &leased).await.unwrap_err();
    assert!(error.contains("Authorization"), "{error}");
}

fn tags() -> Value {
    json!(["worker:clerk", format!("lease:{LEASE}")])
}

async fn connects(test: &TestCell, leased: &Leased) -> Result<Client, String> {
    let options = ConnectOptions::with_credentials_file(&leased.creds).await.unwrap();
    let options = options.max_reconnects(Some(1)).connection_timeout(PATIENCE);
    let options = options.custom_inbox_prefix(inbox(&actor("clerk"), &leased.lease));
    options.connect(test.server().url()).await.map_err(|e| format!("{e:?}"))
}

async fn cut(client: &Client) {
    let end = Instant::now() + PATIENCE;
    while client.statistics().connects.load(std::sync::atomic::Ordering::SeqCst) < 2
        && client.connection_state() == async_nats::connection::State::Connected
    {
        assert!(Instant::now() < end, "the connection stays open");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// The connections of a user, as every server tells them.
async fn connections(warden: &User, login: &str) -> Vec<(String, u64)> {
    let ask = json!({"auth": true, "user": login}).to_string();
    let answer = warden.json("$SYS.REQ.SERVER.PING.CONNZ", &ask).await;
    let server = answer["server"]["id"].as_str().unwrap().to_owned();
    let found = answer["data"]["connections"].as_array().cloned().unwrap_or_default();
    let of = |c: &Value| {
        assert_eq!(c["authorized_user"], login, "{c}");
        assert_eq!(c["tags"], tags(), "{c}");
        (server.clone(), c["cid"].as_u64().unwrap())
    };
    found.iter().map(of).collect()
}

#[tokio::test]
async fn the_warden_finds_a_lease_by_its_login_ends_it_and_hears_it_come_back() {
    let (test, acme, _) = start().await;
    let warden = cell_user(&test, CellUser::Warden).await;
    let mut news = warden.listen("$SYS.ACCOUNT.*.CONNECT").await;
    let leased = lease(&test, &acme, Tier::T3, 600);
    let stays = person(&test, &acme, "founder", canonry_provision::TenantUser::Member).await;
    let client = connects(&test, &leased).await.unwrap();
    let come = async |news: &mut async_nats::Subscriber| loop {
        let told: Value = serde_json::from_slice(&news.next().await.unwrap().payload).unwrap();
        if told["client"]["user"] == leased.login.as_str() {
            assert_eq!(told["client"]["tags"], tags(), "{told}");
            let server = told["server"]["id"].as_str().unwrap().to_owned();
            return (server, told["client"]["id"].as_u64().unwrap());
        }
    };
    let first = come(&mut news).await;
    let found = connections(&warden, &leased.login).await;
    assert_eq!(found, [first]);

    let began = Instant::now();
    for (server, cid) in found {
        let body = json!({ "cid": cid }).to_string();
        let answer = warden.json(&format!("$SYS.REQ.SERVER.{server}.KICK"), &body).await;
        assert!(answer.get("error").is_none(), "{answer}");
    }
    cut(&client).await;
    eprintln!("cut {} us after the request", began.elapsed().as_micros());
    // The client comes back by itself, and is told of again.
    let (server, cid) = come(&mut news).await;
    let body = json!({ "cid": cid }).to_string();
    warden.json(&format!("$SYS.REQ.SERVER.{server}.KICK"), &body).await;
    stays.client.flush().await.unwrap();
    assert_eq!(stays.client.connection_state(), async_nats::connection::State::Connected);
    assert_eq!(stays.client.statistics().connects.load(std::sync::atomic::Ordering::SeqCst), 1);
}

#[tokio::test]
async fn the_warden_can_do_nothing_else() {
    let (test, ..) = start().await;
    let mut warden = cell_user(&test, CellUser::Warden).await;
    for never in [
        "$SYS.REQ.CLAIMS.UPDATE",
        "$SYS.REQ.CLAIMS.LIST",
        "$SYS.REQ.SERVER.PING",
        "$SYS.REQ.SERVER.PING.VARZ",
        "$SYS.REQ.SERVER.X.LDM",
        "$SYS.REQ.SERVER.X.RELOAD",
        "$SYS.REQ.ACCOUNT.X.CONNZ",
        "command.acme.clerk.run.complete",
        "ledger.acme.run.completed",
    ] {
        warden.client.publish(never, "{}".into()).await.unwrap();
        let violation = warden.violation().await;
        assert!(violation.contains(never), "{never}: {violation}");
    }
    for never in ["$SYS.>", "$SYS.ACCOUNT.>", "$SYS.ACCOUNT.*.DISCONNECT", ">"] {
        drop(warden.client.subscribe(never).await.unwrap());
        let violation = warden.violation().await;
        assert!(violation.contains(never), "{never}: {violation}");
    }
}
