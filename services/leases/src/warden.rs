//! Ends connections of leases that are over. The warden asks every server for the connections of a
//! lease's login and ends each by its number; it hears who connects, so that a client which comes
//! back by itself is ended again, until its token expires. It can do nothing else at NATS.
//!
//! A connection is known by the tags of its token, which the issuer signed: a login that somebody
//! used for two leases is ended for the one that is over alone.

use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use canonry_nats::{Bytes, Connection, Subscription};
use canonry_provision::revocation::user_nkey;
use canonry_record::encoding::unbase64url_exact;
use canonry_schemas::ids::{LeaseId, TenantId};
use canonry_schemas::limits::{WARDEN_AGAIN, WARDEN_WAIT};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::follow::Book;
use crate::issuer::Books;

const CONNECTIONS: &str = "$SYS.REQ.SERVER.PING.CONNZ";
const CONNECTED: &str = "$SYS.ACCOUNT.*.CONNECT";
/// Where the servers answer.
const INBOX: &str = "_INBOX.warden.connections";

/// Ends connections of one tenant's leases, whenever the book moves.
pub async fn watch(warden: Connection, book: Arc<Book>, ended: watch::Sender<u64>) {
    let mut position = book.position.subscribe();
    let mut known: BTreeSet<LeaseId> = BTreeSet::new();
    let mut again = Instant::now();
    loop {
        position.borrow_and_update();
        let over: Vec<(LeaseId, String)> = {
            let roster = book.roster();
            let now = canonry_decider::holder::now();
            roster.over(now).map(|(id, known)| (id.clone(), known.login.clone())).collect()
        };
        let all = again.elapsed() >= WARDEN_AGAIN;
        if all {
            again = Instant::now();
        }
        for (lease, login) in &over {
            if all || !known.contains(lease) {
                let count = end_all(&warden, &book.tenant, lease, login).await;
                ended.send_modify(|n| *n += count);
            }
        }
        known = over.into_iter().map(|(lease, _)| lease).collect();
        let news = tokio::time::timeout(WARDEN_AGAIN, position.changed()).await;
        if matches!(news, Ok(Err(_))) {
            return;
        }
    }
}

/// Ends whoever connects with the token of a lease that is over.
pub async fn hear(warden: Connection, books: Books, ended: watch::Sender<u64>) {
    let mut news: Subscription = match warden.subscribe(CONNECTED, None).await {
        Ok(news) => news,
        Err(error) => return tracing::error!(%error, "who connects is not heard"),
    };
    while let Some(message) = news.next().await {
        let Ok(told) = serde_json::from_slice::<Value>(&message.body) else { continue };
        let client = &told["client"];
        let Some(lease) = lease_of(client) else { continue };
        let (Some(server), Some(cid)) = (told["server"]["id"].as_str(), client["id"].as_u64())
        else {
            continue;
        };
        let over = {
            let books = books.lock().unwrap_or_else(PoisonError::into_inner);
            let now = canonry_decider::holder::now();
            books.values().any(|book| {
                let roster = book.roster();
                roster.over(now).any(|(id, _)| *id == lease)
            })
        };
        if over && end(&warden, server, cid).await {
            tracing::info!(%lease, cid, "a connection came back and was ended: its lease is over");
            ended.send_modify(|n| *n += 1);
        }
    }
}

/// The lease that the tags of a connection's token name.
fn lease_of(client: &Value) -> Option<LeaseId> {
    let tags = client["tags"].as_array()?;
    tags.iter().find_map(|tag| tag.as_str()?.strip_prefix("lease:")?.parse().ok())
}

/// Ends every connection of a lease; how many.
async fn end_all(warden: &Connection, tenant: &TenantId, lease: &LeaseId, login: &str) -> u64 {
    let Some(user) = unbase64url_exact::<32>(login).map(|key| user_nkey(&key)) else { return 0 };
    let mut count = 0;
    match connections(warden, &user).await {
        Ok(mut answers) => {
            let until = Instant::now() + WARDEN_WAIT;
            // Every server answers for itself, and nobody says how many there are.
            while let Ok(Some(message)) = tokio::time::timeout(
                until.saturating_duration_since(Instant::now()),
                answers.next(),
            )
            .await
            {
                let Ok(answer) = serde_json::from_slice::<Value>(&message.body) else { continue };
                let Some(server) = answer["server"]["id"].as_str() else { continue };
                let found = answer["data"]["connections"].as_array().into_iter().flatten();
                for cid in found
                    .filter(|c| lease_of(c).as_ref() == Some(lease))
                    .filter_map(|c| c["cid"].as_u64())
                {
                    if end(warden, server, cid).await {
                        count += 1;
                        tracing::info!(%tenant, %lease, cid, "a connection was ended");
                    }
                }
            }
        }
        Err(error) => tracing::warn!(%tenant, %lease, %error, "the servers could not be asked"),
    }
    count
}

async fn connections(warden: &Connection, user: &str) -> Result<Subscription, canonry_nats::Error> {
    let inbox = format!("{INBOX}.{user}");
    let answers = warden.subscribe(&inbox, None).await?;
    let ask = json!({ "auth": true, "user": user }).to_string();
    warden.publish_with_reply(CONNECTIONS, &inbox, &[], Bytes::from(ask)).await?;
    Ok(answers)
}

async fn end(warden: &Connection, server: &str, cid: u64) -> bool {
    // Its id is the server's own word, but it stands in a subject here.
    if !server.bytes().all(|c| c.is_ascii_alphanumeric()) {
        return false;
    }
    let subject = format!("$SYS.REQ.SERVER.{server}.KICK");
    let body = Bytes::from(json!({ "cid": cid }).to_string());
    match warden.request(&subject, &[], body, Duration::from_secs(2)).await {
        Ok(reply) => {
            let answer: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
            answer.get("error").is_none()
        }
        Err(error) => {
            tracing::warn!(%error, cid, "a connection could not be ended");
            false
        }
    }
}
