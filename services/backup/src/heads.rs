//! The signed head that the holder keeps in its bucket: where a copy or an export ends.

use canonry_nats::{Connection, Kv, Log};
use canonry_record::export::{HeadLine, parse_head};
use canonry_schemas::ids::TenantId;
use canonry_schemas::subject::BUCKET_HEADS;

use crate::error::Error;
use crate::limits::{HEAD_POLL, HEAD_WITHIN};

/// The newest head that the holder signed.
///
/// # Errors
/// [`Error::NoHead`], [`Error::Object`] when it does not read, [`Error::Nats`].
pub async fn signed(connection: &Connection, tenant: &TenantId) -> Result<HeadLine, Error> {
    let failed = |e: canonry_nats::Error| Error::nats("reading the signed head", e);
    let heads = Kv::open(connection.clone(), BUCKET_HEADS).map_err(failed)?;
    let entry = heads.get(tenant.as_str()).await.map_err(failed)?.filter(|e| !e.deleted);
    let entry = entry.ok_or_else(|| Error::NoHead(tenant.to_string()))?;
    let text = std::str::from_utf8(&entry.value).map_err(|e| Error::object(BUCKET_HEADS, e))?;
    parse_head(text).map_err(|e| Error::object(BUCKET_HEADS, e))
}

/// The signed head of what stands now: the holder signs one when the ledger moved, a moment later.
/// Where none comes, because nobody holds the tenant, the newest there is; beside it, the last
/// position of the ledger when this began.
///
/// # Errors
/// As [`signed`].
pub async fn fresh(log: &Log, tenant: &TenantId) -> Result<(HeadLine, u64), Error> {
    let info = log.info().await.map_err(|e| Error::nats("reading the ledger's state", e))?;
    let until = tokio::time::Instant::now() + HEAD_WITHIN;
    loop {
        let head = signed(log.connection(), tenant).await?;
        if head.head.position >= info.last_seq || tokio::time::Instant::now() >= until {
            return Ok((head, info.last_seq));
        }
        tokio::time::sleep(HEAD_POLL).await;
    }
}
