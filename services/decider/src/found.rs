//! Founding a tenant: its accounts, streams and buckets, its keys, its first people, and record 1.
//! There is no founding command; this runs with the provisioning users and the committer's creds.

use canonry_keystore::{KeyUse, StoredKey};
use canonry_nats::{Append, Bytes, Kv, Log};
use canonry_provision::{Cell, CellUser, TenantUser};
use canonry_record::envelope::Envelope;
use canonry_record::ring::public_key;
use canonry_record::seal::{Signer, headers, seal};
use canonry_record::{Hash, content};
use canonry_schemas::ids::{ActorId, TenantId, generated};
use canonry_schemas::key::{PublicKey, Use};
use canonry_schemas::limits::COMMIT_STORE;
use canonry_schemas::member::Part;
use canonry_schemas::subject::{content_bucket, ledger_stream};
use canonry_schemas::tenant::{Event, FirstMember, Founded};

use crate::draft::Head;
use crate::holder::now;
use crate::keeper::{Keeper, TENANT_SECRET, nonce};
use crate::serve::{OverNats, connect_cell};

/// A founded tenant.
#[derive(Debug, Clone)]
pub struct Founding {
    /// The tenant's identity: the hash of record 1.
    pub identity: Hash,
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn tenant_key(
    cell: &Cell,
    tenant: &TenantId,
    uses: &[KeyUse],
    actor: &ActorId,
) -> Result<StoredKey, String> {
    // A founding that was interrupted goes on with the keys that it made.
    if let Ok(found) = cell.key_store().stored_key(tenant, uses[0]) {
        return Ok(found);
    }
    let key = StoredKey::generate(uses, actor.clone()).map_err(text)?;
    cell.key_store().put_key(tenant, &key).map_err(text)?;
    Ok(key)
}

fn entry(key: &StoredKey, uses: Vec<Use>) -> PublicKey {
    public_key(&key.key.verifying_key().to_bytes(), uses, key.actor.clone())
}

/// Founds a tenant with its first people.
///
/// # Errors
/// A sentence that says what failed. It may be called again: what exists is kept, and a tenant
/// that has record 1 is refused.
pub async fn found(
    cell: &Cell,
    url: &str,
    tenant: &TenantId,
    people: &[(ActorId, Vec<Part>)],
    replicas: u8,
) -> Result<Founding, String> {
    let store = cell.key_store();
    let sys = connect_cell(url, store, &CellUser::ProvisionSys).await?;
    let streams = connect_cell(url, store, &CellUser::ProvisionStreams).await?;
    let committer = connect_cell(url, store, &CellUser::Committer).await?;
    let (sys, streams) = (OverNats(sys), OverNats(streams));
    cell.create_cell_buckets(&streams, replicas).await.map_err(text)?;
    cell.found_accounts(&sys, &streams, tenant, replicas).await.map_err(text)?;

    let log = Log::open(committer.clone(), &ledger_stream(tenant)).await.map_err(text)?;
    if log.info().await.map_err(text)?.last_seq > 0 {
        return Err(format!("tenant {tenant} is already founded"));
    }
    let kek = store.kek(tenant).or_else(|_| store.create_kek(tenant)).map_err(text)?;
    let bucket = Kv::open(committer.clone(), &content_bucket(tenant)).map_err(text)?;
    let mut secret = zeroize::Zeroizing::new([0; 32]);
    getrandom::fill(secret.as_mut_slice()).map_err(text)?;
    let wrapped = content::wrap(kek.as_bytes(), &nonce(), tenant.as_str(), TENANT_SECRET, &*secret);
    // A secret that an interrupted founding left is kept: the key-encryption key is the same.
    bucket.create(TENANT_SECRET, Bytes::from(wrapped)).await.map_err(text)?;

    let founder = people
        .iter()
        .find(|(_, parts)| parts.contains(&Part::Founder))
        .map(|(actor, _)| actor.clone())
        .ok_or("a tenant needs a founder")?;
    let decider: ActorId = crate::ACTOR.parse().map_err(text)?;
    let root = tenant_key(cell, tenant, &[KeyUse::Root], &founder)?;
    let enrol = tenant_key(cell, tenant, &[KeyUse::Enrol], &founder)?;
    let record = tenant_key(cell, tenant, &[KeyUse::Record], &decider)?;
    let checkpoint = tenant_key(cell, tenant, &[KeyUse::Checkpoint], &decider)?;
    let mut keys = vec![
        entry(&root, vec![Use::Root]),
        entry(&enrol, vec![Use::Enrol]),
        entry(&record, vec![Use::Record]),
        entry(&checkpoint, vec![Use::Checkpoint]),
    ];
    for (actor, parts) in people {
        let login = cell.tenant_user(tenant, actor, user_kind(parts)).map_err(text)?;
        let member = cell.member_key(tenant, actor).map_err(text)?;
        keys.push(public_key(&login.public, vec![Use::Login], actor.clone()));
        keys.push(entry(&member, vec![Use::Member]));
    }
    let members = people
        .iter()
        .map(|(actor, parts)| FirstMember { actor: actor.clone(), parts: parts.clone() })
        .collect();
    let event = Event::Founded(Founded { keys, members });
    let data = event.data().map_err(text)?;
    let time = now();
    let id =
        generated("", time.millis(), u128::from_le_bytes(nonce()[..16].try_into().map_err(text)?));
    let entity = format!("tenant/{tenant}");
    let envelope = Envelope {
        id: &id,
        tenant: tenant.as_str(),
        workspace: None,
        actor: founder.as_str(),
        via: None,
        authdigest: None,
        intentid: None,
        intentdigest: None,
        correlationid: None,
        entity: &entity,
        touches: &[],
        epoch: 0,
        position: 1,
        prevhash: Hash::ZERO,
        time,
        aggregate: "tenant",
        event: event.name(),
        version: event.version(),
        traceparent: None,
        data: data.as_bytes(),
    };
    let (subject, body) = (envelope.subject(), envelope.to_body());
    let sealed = seal(&subject, &body, &Signer::new(record.key.clone()));
    let message = canonry_nats::Outgoing {
        subject,
        headers: headers(&id, &sealed.hash, &sealed.signature, None),
        body: Bytes::from(body),
    };
    match log.append(&[message], 0, COMMIT_STORE).await {
        Append::Committed { .. } => {}
        other => return Err(format!("record 1 was not committed: {other:?}")),
    }
    let keeper = Keeper::open(&committer, tenant, kek.as_bytes()).await;
    let keeper = keeper.map_err(|e| format!("{e:?}"))?;
    for connection in [&sys.0, &streams.0] {
        connection.close().await;
    }
    let head = Head { position: 1, hash: sealed.hash, time, epoch: 0 };
    keeper.write_head(tenant, &head, &Signer::new(checkpoint.key)).await;
    committer.close().await;
    Ok(Founding { identity: sealed.hash })
}

/// Which NATS user a member gets.
#[must_use]
pub fn user_kind(parts: &[Part]) -> TenantUser {
    match parts {
        [Part::Auditor] => TenantUser::Auditor,
        parts if parts.contains(&Part::Worker) => TenantUser::Worker,
        _ => TenantUser::Member,
    }
}
