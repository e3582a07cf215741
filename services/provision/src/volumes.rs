//! The volumes of a ledger: what stands, closing the one that grows, opening the next. Each step is
//! one request that can be repeated; a closed volume is never changed again.
//!
//! The one that grows has the tenant's subject, so there is never more than one. Reading volumes is
//! elsewhere (`canonry_nats::log::volumes`); who may run this is the offline user of CANONRY.

use canonry_schemas::ids::TenantId;
use canonry_schemas::limits::VOLUMES;
use canonry_schemas::subject::{audit_volume_stream, ledger_volume_stream};
use serde_json::{Value, json};

use crate::bus::{Bus, ask, check_stream, create_stream, equal, refused};
use crate::error::Error;
use crate::streams;

/// The server's code for a stream that is not there.
const NOT_FOUND: u64 = 10_059;
/// In a volume's metadata: the position that it follows, after a loss. `canonry_nats` reads it.
const AFTER: &str = "canonry_after";

/// A volume as it stands.
#[derive(Debug, Clone)]
pub struct Live {
    /// 1 for the first.
    pub number: u32,
    /// Its first position.
    pub first: u64,
    /// The highest position that it has given out; `first` - 1 while it is empty.
    pub last: u64,
    /// Whether it is closed.
    pub closed: bool,
    /// The position that it follows.
    pub after: u64,
    config: Value,
}

impl Live {
    /// Whether it never held a record.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.last < self.first
    }

    fn read(number: u32, info: &Value) -> Self {
        let config = info["config"].clone();
        let first = config["first_seq"].as_u64().unwrap_or(1).max(1);
        let last = info["state"]["last_seq"].as_u64().unwrap_or(0).max(first - 1);
        let after = config["metadata"][AFTER].as_str().and_then(|text| text.parse().ok());
        let (closed, after) = (config["sealed"] == true, after.unwrap_or(first - 1));
        Self { number, first, last, closed, after, config }
    }
}

async fn info(bus: &impl Bus, stream: &str) -> Result<Option<Value>, Error> {
    let subject = format!("$JS.API.STREAM.INFO.{stream}");
    let answer = ask(bus, &subject, Vec::new()).await?;
    match answer.get("error") {
        None => Ok(Some(answer)),
        Some(error) if error["err_code"] == NOT_FOUND => Ok(None),
        Some(_) => Err(refused(&subject, &answer)),
    }
}

async fn one(bus: &impl Bus, tenant: &TenantId, number: u32) -> Result<Option<Live>, Error> {
    let info = info(bus, &ledger_volume_stream(tenant, number)).await?;
    Ok(info.map(|info| Live::read(number, &info)))
}

/// Every volume that there is, up to the one that grows. A volume that was lost is left out.
///
/// # Errors
/// The server does not answer, or there is none.
pub async fn standing(bus: &impl Bus, tenant: &TenantId) -> Result<Vec<Live>, Error> {
    let mut all = Vec::new();
    for number in 1..=VOLUMES {
        all.extend(one(bus, tenant, number).await?);
        if all.last().is_some_and(|live: &Live| !live.closed) {
            break;
        }
    }
    if all.is_empty() {
        return Err(Error::Volume(tenant.to_string(), "there is none".to_owned()));
    }
    Ok(all)
}

/// Compares every volume and its mirror with nats-config.
///
/// # Errors
/// [`Error::Differs`]; [`Error::NoVolume`] while all are closed.
pub async fn check(bus: &impl Bus, tenant: &TenantId, replicas: u8) -> Result<(), Error> {
    let all = standing(bus, tenant).await?;
    for live in &all {
        let wanted = if live.closed { streams::closed_volume } else { streams::ledger_volume };
        equal(&wanted(tenant, live.number, live.first, replicas), &live.config)?;
    }
    let open = all.last().filter(|live| !live.closed);
    let open = open.ok_or_else(|| Error::NoVolume(tenant.to_string()))?;
    // Made last of all when a volume is opened: what an interrupted opening left out is no reason
    // to stop serving.
    let mirror = streams::audit_volume(tenant, open.number, replicas);
    if open.number == 1 || info(bus, streams::name(&mirror)).await?.is_some() {
        check_stream(bus, &mirror).await?;
    }
    Ok(())
}

/// Seals a volume and moves its subject aside, at once. May be repeated. Answers it as it stands
/// afterwards: nothing is given out any more.
///
/// # Errors
/// The server refuses.
pub async fn close(bus: &impl Bus, tenant: &TenantId, volume: &Live) -> Result<Live, Error> {
    let gone = || Error::Volume(tenant.to_string(), format!("{} is gone", volume.number));
    if !volume.closed {
        let closed = streams::closed_volume(tenant, volume.number, volume.first, 1);
        let mut config = volume.config.clone();
        for field in ["subjects", "sealed"] {
            config[field] = closed[field].clone();
        }
        if let Some(config) = config.as_object_mut() {
            config.remove("republish");
        }
        let subject = format!("$JS.API.STREAM.UPDATE.{}", streams::name(&config));
        let answer = ask(bus, &subject, config.to_string().into_bytes()).await?;
        if answer.get("error").is_some() {
            return Err(refused(&subject, &answer));
        }
    }
    let now = one(bus, tenant, volume.number).await?.ok_or_else(gone)?;
    if now.closed { Ok(now) } else { Err(Error::NoVolume(tenant.to_string())) }
}

/// Opens volume `number`, whose first record gets position `first`, and its mirror. `after` is
/// given where that is not the position before: what lies between is lost. May be repeated.
///
/// # Errors
/// The server refuses; there are too many volumes.
pub async fn open(
    bus: &impl Bus,
    tenant: &TenantId,
    number: u32,
    first: u64,
    after: Option<u64>,
    replicas: u8,
) -> Result<(), Error> {
    if number > VOLUMES {
        return Err(Error::Volumes(tenant.to_string(), VOLUMES));
    }
    let mut config = streams::ledger_volume(tenant, number, first, replicas);
    if let Some(after) = after {
        config["metadata"] = json!({ AFTER: after.to_string() });
    }
    create_stream(bus, &config).await?;
    mirror(bus, tenant, number, replicas).await
}

/// Makes the mirror of a volume, if it is not there. It tells its readers of a jump as its origin
/// does.
///
/// # Errors
/// The server refuses, or another one is there.
pub async fn mirror(
    bus: &impl Bus,
    tenant: &TenantId,
    number: u32,
    replicas: u8,
) -> Result<(), Error> {
    let mut config = streams::audit_volume(tenant, number, replicas);
    if let Some(live) = one(bus, tenant, number).await?.filter(|live| live.after + 1 != live.first)
    {
        config["metadata"] = json!({ AFTER: live.after.to_string() });
    }
    create_stream(bus, &config).await
}

/// Whether the mirror of a volume is there.
///
/// # Errors
/// The server does not answer.
pub async fn is_mirrored(bus: &impl Bus, tenant: &TenantId, number: u32) -> Result<bool, Error> {
    Ok(info(bus, &audit_volume_stream(tenant, number)).await?.is_some())
}

/// What closing a volume came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The volume that was closed; `None` where an earlier run had closed it, or it is empty.
    pub closed: Option<u32>,
    /// The volume that grows.
    pub open: u32,
    /// The position that its first record has or gets.
    pub first: u64,
}

/// What an earlier run left that needs no closing: a volume that is open and empty, or whose mirror
/// is missing. `None` where there is a volume to close, or one to open after a closed one.
///
/// # Errors
/// The server refuses.
pub async fn unfinished(
    bus: &impl Bus,
    tenant: &TenantId,
    replicas: u8,
) -> Result<Option<Closed>, Error> {
    let all = standing(bus, tenant).await?;
    let Some(last) = all.last().filter(|last| !last.closed) else { return Ok(None) };
    if !last.is_empty() && is_mirrored(bus, tenant, last.number).await? {
        return Ok(None);
    }
    mirror(bus, tenant, last.number, replicas).await?;
    Ok(Some(Closed { closed: None, open: last.number, first: last.first }))
}

/// Closes the volume that grows and opens the next; finishes instead what an earlier run left. An
/// empty volume is left as it is. `quiet` fails where anybody may have written, and is asked before
/// the seal and after it, then with the last position: a batch that was under way may be stored
/// after the sealed stream was asked for it, and then the next volume would begin at a position
/// that is taken (ADR 8).
///
/// # Errors
/// Somebody may have written; the server refuses; there are too many volumes.
pub async fn close_and_open(
    bus: &impl Bus,
    tenant: &TenantId,
    replicas: u8,
    quiet: impl AsyncFn(Option<u64>) -> Result<(), Error>,
) -> Result<Closed, Error> {
    if let Some(done) = unfinished(bus, tenant, replicas).await? {
        return Ok(done);
    }
    quiet(None).await?;
    let all = standing(bus, tenant).await?;
    let none = || Error::Volume(tenant.to_string(), "there is none".to_owned());
    let last = all.last().ok_or_else(none)?;
    if last.number >= VOLUMES {
        return Err(Error::Volumes(tenant.to_string(), VOLUMES));
    }
    let by_us = !last.closed;
    let closed = close(bus, tenant, last).await?;
    quiet(Some(closed.last)).await?;
    let (number, first) = (last.number + 1, closed.last + 1);
    open(bus, tenant, number, first, None, replicas).await?;
    Ok(Closed { closed: by_us.then_some(last.number), open: number, first })
}
