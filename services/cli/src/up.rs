//! `canonry up`: a whole cell in one process. Makes what is not there, starts what does not run,
//! says how to talk to it, and stops all of it in order on ctrl-c.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use canonry_backup::Service;
use canonry_backup::limits::{BACKUP_EVERY, COPY_EVERY};
use canonry_decider::Decider;
use canonry_decider::serve::{OverNats, connect_cell};
use canonry_nats::Kv;
use canonry_provision::server::{self, Options, Server};
use canonry_provision::{Cell, CellUser};
use canonry_schemas::ids::{ActorId, TenantId};
use canonry_schemas::subject::{BUCKET_FROZEN, BUCKET_POLICIES};
use serde_json::json;

use crate::args::Nats;
use crate::backup::serve;
use crate::context::{Context, DEFAULT_TENANT, Running, both, nats_address};
use crate::failure::{Failure, chain};
use crate::lock::Lock;
use crate::output;
use crate::progress::Bars;
use crate::secrets::Keys;
use crate::serve::{
    Api, StopSignals, Witnesses, can_listen, checkpointer, decider, mount_api, warden,
};
use crate::tenant::{Person, first_people, found_tenant, identity, write_contexts};

/// How long the decider may take to hold the tenant.
const HELD_WITHIN: Duration = Duration::from_secs(30);

/// Start everything on this machine; the first time, make it.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The first time it makes keys, creds and a tenant with founder, approver, operator and auditor. It \
starts nats-server from $NATS_SERVER, PATH, or a pinned download.

EXAMPLES:
    canonry up
    canonry --home /srv/canonry up --tenant globex
    canonry up --backup file:///srv/backups
    canonry up --nats nats://n1:4222,nats://n2:4222 --replicas 3
    canonry up --nats tls://n1:4222 --tls-ca ca.pem --tls-cert me.pem --tls-key me.key
    canonry up --server-cert nats.pem --server-key nats.key --tls-ca ca.pem")]
pub struct Args {
    /// The tenant to found if it is not there
    #[arg(long, env = "CANONRY_TENANT", default_value = DEFAULT_TENANT, value_name = "NAME")]
    tenant: TenantId,
    /// The decider's name
    #[arg(long, default_value = "decider-1", value_name = "NAME")]
    name: ActorId,
    /// Replicas of the streams
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=5))]
    replicas: u8,
    /// Where the HTTP API listens; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDRESS")]
    listen: SocketAddr,
    /// Copy every tenant to this place continuously and back each up daily
    #[arg(long, env = "CANONRY_BACKUP", value_name = "URL")]
    backup: Option<String>,
    #[command(flatten)]
    witnesses: Witnesses,
    #[command(flatten)]
    keys: Keys,
    #[command(flatten)]
    nats: Nats,
    /// Certificate of the server that is started here, a PEM file; clients then need TLS
    #[arg(long, value_name = "FILE", requires = "server_key", conflicts_with = "nats")]
    server_cert: Option<PathBuf>,
    /// Its key
    #[arg(long, value_name = "FILE", requires = "server_cert")]
    server_key: Option<PathBuf>,
    /// Authority whose certificates clients of that server must show
    #[arg(long, value_name = "FILE", requires = "server_cert")]
    server_clients: Option<PathBuf>,
}

impl Args {
    /// The certificates of our own server.
    fn server_tls(&self) -> Option<server::Tls> {
        // Absolute, because the server runs in its own folder.
        let whole = |file: &PathBuf| std::path::absolute(file).unwrap_or_else(|_| file.clone());
        Some(server::Tls {
            cert: whole(self.server_cert.as_ref()?),
            key: whole(self.server_key.as_ref()?),
            ca: self.server_clients.as_ref().map(whole),
        })
    }
}

/// What runs.
pub struct Up {
    /// The cell.
    pub cell: Cell,
    /// The server, where it is ours.
    pub server: Option<Server>,
    /// Its address.
    pub url: String,
    /// The decider.
    pub decider: Decider,
    /// The tenant's identity.
    pub identity: String,
    _lock: Lock,
}

impl std::fmt::Debug for Up {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Up").field("url", &self.url).finish_non_exhaustive()
    }
}

/// Starts the cell of a home: makes it, its server and its tenant where they are not there.
///
/// # Errors
/// What is missing or refused, in words.
pub async fn start(
    context: &Context,
    nats: Option<&str>,
    tenant: &TenantId,
    name: ActorId,
    replicas: u8,
    server_tls: Option<server::Tls>,
    keys: &Keys,
) -> Result<Up, Failure> {
    let cell = open_or_create(context)?;
    let more_keys = keys.open(cell.key_store().home())?;
    // Before a server: two on one store would destroy it.
    let lock = Lock::take(cell.key_store().home(), "up", "canonry up")?;
    let (server, url) = match nats {
        Some(url) => (None, context.guarded(url)?),
        None => {
            let _spinner = context.bars().spinner("starting nats-server");
            let options = Options { tls: server_tls, ..Options::default() };
            let server = cell.start_server(options).await;
            let server = server.map_err(|e| Failure::unavailable(chain(&e)))?;
            let url = context.guarded(&server.url())?;
            (Some(server), url)
        }
    };
    let people = first_people()?;
    let identity = match identity(context, &url, tenant).await? {
        Some(identity) => {
            add_tiers(&cell, &url, tenant).await?;
            add_beats(context, &cell, &url, tenant, replicas).await?;
            write_known_contexts(&cell, &url, tenant, &people)?;
            identity
        }
        None => found_tenant(&cell, &url, tenant, &people, replicas, context.bars()).await?,
    };
    let written = cell.write_cell_context(&CellUser::CellOperator, &url);
    written.map_err(|e| Failure::config(chain(&e)))?;
    let decider = decider(&url, cell.key_store().clone(), name, replicas, more_keys).await?;
    wait_until_held(context, &url, &decider, tenant, context.bars()).await?;
    let identity = format!("sha256:{identity}");
    Ok(Up { cell, server, url, decider, identity, _lock: lock })
}

impl Up {
    /// Stops the decider, then the server.
    pub async fn stop(self) {
        self.decider.stop().await;
        if let Some(mut server) = self.server
            && let Err(error) = server.stop().await
        {
            tracing::warn!(%error, "nats-server did not stop in order");
        }
    }
}

fn open_or_create(context: &Context) -> Result<Cell, Failure> {
    // Absolute, because creds paths go into contexts that are read from elsewhere.
    let home = context.absolute_home();
    let made = home.join("operator").exists();
    let cell = if made { Cell::open(&home) } else { Cell::create(&home) };
    let cell = cell.and_then(|cell| cell.add_new_users().map(|()| cell));
    let unusable =
        |e| Failure::config(format!("{} cannot be a home: {}", home.display(), chain(&e)));
    cell.map_err(unusable)
}

/// Gives a tenant that was founded before there were leases the keys that sign them.
async fn add_tiers(cell: &Cell, url: &str, tenant: &TenantId) -> Result<(), Failure> {
    let keys = cell.key_store();
    if keys.account_public_path(tenant).exists() || keys.account_seed(tenant).is_err() {
        return Ok(());
    }
    let sys = connect_cell(url, keys, &CellUser::ProvisionSys).await;
    match sys {
        Ok(sys) => {
            let sys = OverNats(sys);
            cell.push_account(&sys, tenant).await.map_err(|e| Failure::unavailable(chain(&e)))
        }
        Err(why) => {
            output::say(format!("{tenant} has no keys for leases yet: {why}"));
            Ok(())
        }
    }
}

/// Gives a cell that was made before holders said which policy is in force the bucket for it.
async fn add_beats(
    context: &Context,
    cell: &Cell,
    url: &str,
    tenant: &TenantId,
    replicas: u8,
) -> Result<(), Failure> {
    let ledger = context.ledger(Some(url), tenant).await?;
    let stream = format!("KV_{BUCKET_POLICIES}");
    let known = ledger.connection().stream_info(&stream).await;
    if known.map_err(|e| Failure::unavailable(chain(&e)))?.is_some() {
        return Ok(());
    }
    match connect_cell(url, cell.key_store(), &CellUser::ProvisionStreams).await {
        Ok(streams) => {
            let made = cell.create_cell_buckets(&OverNats(streams), replicas).await;
            made.map_err(|e| Failure::unavailable(chain(&e)))
        }
        Err(why) => {
            output::say(format!("nobody can say which policy is in force yet: {why}"));
            Ok(())
        }
    }
}

/// Contexts of the first people who are still here: the address may have changed.
fn write_known_contexts(
    cell: &Cell,
    url: &str,
    tenant: &TenantId,
    people: &[Person],
) -> Result<(), Failure> {
    let has_creds = |actor| cell.key_store().tenant_creds_path(tenant, actor).exists();
    let here: Vec<Person> = people.iter().filter(|(actor, _)| has_creds(actor)).cloned().collect();
    write_contexts(cell, url, tenant, &here)
}

/// Waits until the tenant is served. A frozen one never is, but it can be read, and repaired.
async fn wait_until_held(
    context: &Context,
    url: &str,
    decider: &Decider,
    tenant: &TenantId,
    bars: Bars,
) -> Result<(), Failure> {
    let _spinner = bars.spinner("taking the tenant over");
    let until = tokio::time::Instant::now() + HELD_WITHIN;
    let ledger = context.ledger(Some(url), tenant).await?;
    let frozen = Kv::open(ledger.connection().clone(), BUCKET_FROZEN);
    let frozen = frozen.map_err(|e| Failure::unavailable(chain(&e)))?;
    while !decider.serving().contains(tenant) {
        let flag = frozen.get(tenant.as_str()).await.ok().flatten();
        if flag.is_some_and(|flag| !flag.deleted) {
            output::say(format!(
                "{tenant} is frozen: its ledger is broken. Reads go on; `canonry ledger verify --of \
                 {tenant}` says where, `canonry ledger repair` lifts it"
            ));
            return Ok(());
        }
        if tokio::time::Instant::now() >= until {
            return Err(Failure::unavailable(format!("{tenant} is not served; see the log")));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(())
}

/// Runs it.
///
/// # Errors
/// See [`start`].
pub async fn run(context: &Context, args: Args) -> Result<(), Failure> {
    let nats = args.nats.named();
    let cell = open_or_create(context).map(drop);
    // All that is wrong is told at once; our own server's address comes later.
    let reachable = nats.map_or(Ok(()), nats_address);
    let files = context.guarded(nats.unwrap_or_default()).map(drop);
    both(both(cell, both(reachable, files)), can_listen(args.listen))?;
    let server_tls = args.server_tls();
    let (name, keys) = (args.name, &args.keys);
    let up = start(context, nats, &args.tenant, name, args.replicas, server_tls, keys);
    let up = Box::pin(up).await?;
    let (keys, listen) = (up.cell.key_store().clone(), args.listen);
    let health = Some(up.decider.health());
    let api = match mount_api(&up.url, keys, listen, &context.projections(), health).await {
        Ok(api) => api,
        Err(failure) => {
            up.stop().await;
            return Err(failure);
        }
    };
    let backup = match &args.backup {
        Some(to) => {
            let (url, keys) = (&up.url, up.cell.key_store().clone());
            let mounted = serve::mount(url, keys, to, (BACKUP_EVERY, COPY_EVERY)).await;
            match mounted {
                Ok(service) => Some(service),
                Err(failure) => {
                    stop(api, None, up).await;
                    return Err(failure);
                }
            }
        }
        None => None,
    };
    let keys = up.cell.key_store().clone();
    let checkpoints = match checkpointer(&up.url, keys, "checkpoints-up", args.witnesses).await {
        Ok(checkpoints) => checkpoints,
        Err(failure) => {
            stop(api, backup, up).await;
            return Err(failure);
        }
    };
    let keys = up.cell.key_store().clone();
    let warden = match warden(&up.url, keys).await {
        Ok(warden) => warden,
        Err(failure) => {
            checkpoints.stop().await;
            stop(api, backup, up).await;
            return Err(failure);
        }
    };
    let address = format!("http://{}", api.address());
    let process = Some(std::process::id());
    let running = Running { nats: up.url.clone(), api: Some(address), process };
    let signals = StopSignals::hear()?;
    context.set_running(&running)?;
    say_how(context, &args.tenant, &up, &running)?;
    signals.wait().await;
    output::say("stopping");
    context.clear_running();
    warden.stop().await;
    checkpoints.stop().await;
    stop(api, backup, up).await;
    Ok(())
}

/// First what asks, then what answers.
async fn stop(api: Api, backup: Option<Service>, up: Up) {
    api.stop().await;
    if let Some(backup) = backup {
        backup.stop().await;
    }
    up.stop().await;
}

fn say_how(
    context: &Context,
    tenant: &TenantId,
    up: &Up,
    running: &Running,
) -> Result<(), Failure> {
    if context.json {
        return output::json(&json!({
            "nats": running.nats, "api": running.api, "tenant": tenant, "identity": up.identity,
            "home": context.absolute_home().to_string_lossy(), "process": running.process,
        }));
    }
    for line in how(&context.absolute_home().to_string_lossy(), tenant, &up.identity, running) {
        output::line(&line);
    }
    Ok(())
}

/// The exact lines to try.
fn how(home: &str, tenant: &TenantId, identity: &str, running: &Running) -> Vec<String> {
    let mut lines =
        vec![format!("Tenant {tenant}, identity {identity}"), format!("NATS   {}", running.nats)];
    lines.extend(running.api.iter().map(|api| format!("API    {api}")));
    lines.extend([
        String::new(),
        "In another terminal:".to_owned(),
        format!("  export CANONRY_HOME={home} XDG_CONFIG_HOME={home}"),
        "Watch, open a ticket, replay and verify the ledger:".to_owned(),
        format!("  nats --context {tenant}-operator sub 'live.{tenant}.>'"),
        format!(
            "  nats --context {tenant}-founder req command.{tenant}.founder.ticket.open \
             '{{\"title\":\"Printer on fire\"}}'"
        ),
        format!(
            "  nats --context {tenant}-auditor stream get AUDIT_{tenant} 1"
        ),
        "  nats --context cell-operator micro ls".to_owned(),
        format!("  canonry ledger replay --of {tenant}"),
        format!("  canonry ledger verify --of {tenant} --tenant {identity}"),
        "Ask for approval of a ticket and give it:".to_owned(),
        format!(
            "  canonry submit ticket request-approval '{{\"id\":\"tkt_…\",\"reason\":\"Costs money\"}}' \
             --tenant {tenant} --as operator"
        ),
        format!("  canonry approve tkt_… --tenant {tenant} --as approver"),
    ]);
    if let Some(api) = &running.api {
        lines.push("The same over HTTP:".to_owned());
        let bearer = format!("-H \"Authorization: Bearer $(canonry token --tenant {tenant})\"");
        lines.push(format!("  curl {bearer} {api}/api/v1/tickets"));
        lines.push(format!(
            "  curl {bearer} -H 'Content-Type: application/json' \
             -d '{{\"title\":\"Printer on fire\"}}' {api}/api/v1/tickets"
        ));
    }
    lines.push(String::new());
    lines.push("Ctrl-C stops it; `canonry up` goes on where it stood.".to_owned());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_name_tenant_and_addresses() {
        let running =
            Running { nats: "nats://n:1".into(), api: Some("http://a:2".into()), process: None };
        let tenant: TenantId = "acme".parse().unwrap();
        let text = how("/h", &tenant, "sha256:ab", &running).join("\n");
        for wanted in ["req command.acme.founder.ticket.open", "http://a:2/api/v1/tickets"] {
            assert!(text.contains(wanted), "{text}");
        }
    }
}
