//! `canonry lease`: short-lived credentials of workers. The two keys of a lease are made here and
//! stay in a file beside the credentials; the ledger holds their public halves.

use std::path::{Path, PathBuf};
use std::time::Duration;

use canonry_keystore::KeyStore;
use canonry_nats::{Bytes, Connection, RequestError};
use canonry_provision::creds;
use canonry_provision::tiers::fresh_login;
use canonry_record::encoding::{base64url, unbase64url_exact};
use canonry_record::jws::{self, LeaseToken};
use canonry_record::seal::Signer;
use canonry_schemas::ids::{ActorId, LeaseId, RoleId, RunId, TenantId};
use canonry_schemas::lease::{AskCredentials, Cause, Credentials};
use canonry_schemas::limits::CLIENT_RETRY;
use canonry_schemas::refusal::unrecorded::RETRY;
use canonry_schemas::time::Time;
use clap::{Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::args::{Api, Nats, Who};
use crate::client::{Client, new_intent, now_millis};
use crate::context::{Context, both};
use crate::failure::{Failure, chain};
use crate::{http, output};

/// Between two questions to the issuer.
const PAUSE: Duration = Duration::from_millis(200);
/// How long one question waits.
const TRY: Duration = Duration::from_secs(8);
/// How long a token of a lease lives, when nothing is said, in minutes.
const TOKEN_MINUTES: u32 = 15;

/// `canonry lease`.
#[derive(Debug, Subcommand)]
#[command(after_help = "EXAMPLES:
    canonry lease issue --run run_01hzy3v7m8q6k4n2r9s5t1w0xa --out clerk.creds --as clerk
    canonry lease list --living")]
pub enum Command {
    /// Ask for a lease of a run, and write its credentials
    Issue(Issue),
    /// Write the credentials of a lease again
    Credentials(Again),
    /// Print a token of a lease, for the HTTP API and for the header Canonry-Lease
    Token(Token),
    /// End a lease at once
    Revoke(Revoke),
    /// List leases
    List(List),
}

/// Ask for a lease of a run, and write its credentials.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A lease lives an hour at tier T0, thirty minutes at T1 and T2, fifteen at T3 and T4, and no longer \
than its run. The file takes the NATS credentials; beside it <FILE>.lease keeps the lease's own \
keys. Both are for their owner's eyes. The tenant's `canonry serve warden` signs the credentials.

EXAMPLES:
    canonry lease issue --run run_01hzy3v7m8q6k4n2r9s5t1w0xa --out clerk.creds --as clerk
    canonry lease issue --run run_01hzy3v7m8q6k4n2r9s5t1w0xa --out next.creds --as clerk \
--renews lse_01hzy3v7m8q6k4n2r9s5t1w0xa")]
pub struct Issue {
    /// The run that it is for
    #[arg(long, value_name = "RUN")]
    run: RunId,
    /// Where the credentials are written
    #[arg(long, value_name = "FILE", value_parser = whole)]
    out: PathBuf,
    /// The living lease of the run that ends with this one
    #[arg(long, value_name = "LEASE")]
    renews: Option<LeaseId>,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    nats: Nats,
}

/// Write the credentials of a lease again.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
For a lease that was issued while nobody signed.

EXAMPLES:
    canonry lease credentials --out clerk.creds --as clerk")]
pub struct Again {
    /// The file that was named when the lease was issued
    #[arg(long, value_name = "FILE", value_parser = whole)]
    out: PathBuf,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    nats: Nats,
}

/// Print a token of a lease.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It holds no longer than its lease, whatever its own time.

EXAMPLES:
    canonry lease token --out clerk.creds
    curl -H \"Authorization: Bearer $(canonry lease token --out clerk.creds)\" \
$CANONRY_API/api/v1/tickets")]
pub struct Token {
    /// The file that was named when the lease was issued
    #[arg(long, value_name = "FILE", value_parser = whole)]
    out: PathBuf,
    /// How long it lives, an hour at the most
    #[arg(long, default_value_t = TOKEN_MINUTES, value_name = "N",
        value_parser = clap::value_parser!(u32).range(1..=60))]
    minutes: u32,
}

/// End a lease at once.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nothing that is asked under it after that record is carried out; its connections are ended by the \
tenant's `canonry serve warden`. A violation counts against the role; only operators and founders \
say so.

EXAMPLES:
    canonry lease revoke lse_01hzy3v7m8q6k4n2r9s5t1w0xa --cause compromised --as operator
    canonry lease revoke lse_01hzy3v7m8q6k4n2r9s5t1w0xa --cause returned --as clerk")]
pub struct Revoke {
    /// Which
    lease: LeaseId,
    /// Why
    #[arg(long, value_enum, default_value_t = Why::Other)]
    cause: Why,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    nats: Nats,
}

/// Why a lease is ended.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Why {
    /// The worker gives it back
    Returned,
    /// Its keys may be in other hands
    Compromised,
    /// The worker broke a rule
    Violation,
    /// Anything else
    Other,
}

impl From<Why> for Cause {
    fn from(why: Why) -> Self {
        match why {
            Why::Returned => Self::Returned,
            Why::Compromised => Self::Compromised,
            Why::Violation => Self::Violation,
            Why::Other => Self::Other,
        }
    }
}

/// List leases.
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES:
    canonry lease list --living
    canonry lease list --run run_01hzy3v7m8q6k4n2r9s5t1w0xa --json")]
pub struct List {
    /// Of one run
    #[arg(long, value_name = "RUN")]
    run: Option<RunId>,
    /// Of one role
    #[arg(long, value_name = "ROLE")]
    role: Option<RoleId>,
    /// Of one worker
    #[arg(long, value_name = "ACTOR")]
    worker: Option<ActorId>,
    /// Only those that were not ended and have not expired
    #[arg(long)]
    living: bool,
    #[command(flatten)]
    who: Who,
    #[command(flatten)]
    api: Api,
}

/// What a worker keeps of its lease, for nobody else's eyes.
#[derive(Serialize, Deserialize)]
pub struct Kept {
    pub(crate) tenant: TenantId,
    pub(crate) worker: ActorId,
    pub(crate) lease: LeaseId,
    run: RunId,
    /// Where the lease was issued, a decimal.
    position: String,
    /// The seed of the key that logs in.
    login: String,
    /// The seed of the key that signs tokens, base64url.
    key: String,
}

impl Kept {
    fn path(out: &Path) -> PathBuf {
        let mut path = out.as_os_str().to_owned();
        path.push(".lease");
        path.into()
    }

    /// Reads what [`Kept::write`] left.
    ///
    /// # Errors
    /// The file is missing, exposed or not one of ours.
    pub fn read(keys: &KeyStore, out: &Path) -> Result<Self, Failure> {
        let path = Self::path(out);
        let text = keys.read_text(&path).map_err(|e| Failure::config(chain(&e)))?;
        serde_json::from_str(&text)
            .map_err(|e| Failure::config(format!("{}: no lease: {e}", path.display())))
    }

    fn write(&self, keys: &KeyStore, out: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string(self).map_err(Failure::config)?;
        keys.put_creds(&Self::path(out), &text).map_err(|e| Failure::config(chain(&e)))
    }

    /// A token of the lease.
    ///
    /// # Errors
    /// The key is no key.
    pub fn token(&self, minutes: u32) -> Result<String, Failure> {
        let seed = unbase64url_exact::<32>(&self.key);
        let seed = seed.ok_or_else(|| Failure::config("the lease's key is no key"))?;
        let iat = i64::try_from(now_millis() / 1_000).unwrap_or(i64::MAX);
        let claims = LeaseToken {
            iss: self.worker.to_string(),
            aud: format!("canonry/{}/lease", self.tenant),
            lease: self.lease.to_string(),
            run: self.run.to_string(),
            iat,
            exp: iat + i64::from(minutes) * 60,
            jti: new_intent()?.to_string(),
        };
        Ok(jws::sign(&claims, &Signer::from_seed(&seed)))
    }
}

/// An absolute path: a file has a folder that way.
///
/// # Errors
/// It is empty.
pub fn whole(text: &str) -> Result<PathBuf, String> {
    std::path::absolute(text).map_err(|e| e.to_string())
}

/// Runs it.
///
/// # Errors
/// Refused, or no answer.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    match command {
        Command::Issue(args) => issue(context, args).await,
        Command::Credentials(args) => again(context, args).await,
        Command::Token(args) => {
            let token = Kept::read(&context.keys()?, &args.out)?.token(args.minutes)?;
            if context.json {
                return output::json(&json!({"token": token, "minutes": args.minutes}));
            }
            output::line(&token);
            Ok(())
        }
        Command::Revoke(args) => {
            let (who, nats) = (&args.who, args.nats.named());
            let client = context.client(nats, &who.tenant, &who.actor).await?;
            let body = json!({"id": args.lease, "cause": Cause::from(args.cause)}).to_string();
            let answer = client.submit("lease", "revoke", body.as_bytes(), &new_intent()?).await?;
            output::answer(&answer, context.json)
        }
        Command::List(args) => list(context, args).await,
    }
}

async fn issue(context: &Context, args: Issue) -> Result<(), Failure> {
    let keys = context.keys()?;
    for path in [args.out.clone(), Kept::path(&args.out)] {
        if path.exists() {
            return Err(Failure::config(format!("{} is there already", path.display())));
        }
    }
    let who = &args.who;
    let client = context.client(args.nats.named(), &who.tenant, &who.actor).await?;
    let (login, public) = fresh_login().map_err(|e| Failure::config(chain(&e)))?;
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(Failure::unavailable)?;
    let key = Signer::from_seed(&seed);
    let mut body = json!({
        "run": args.run, "login": base64url(&public), "key": base64url(&key.public()),
    });
    if let Some(old) = &args.renews {
        body["renews"] = json!(old);
    }
    let answer =
        client.submit("lease", "issue", body.to_string().as_bytes(), &new_intent()?).await?;
    let lease = answer.entity.as_deref().and_then(|e| e.strip_prefix("lease/")?.parse().ok());
    let (Some(lease), true, Some(position)) = (lease, answer.ok, answer.position.clone()) else {
        return output::answer(&answer, context.json);
    };
    let kept = Kept {
        tenant: who.tenant.clone(),
        worker: who.actor.clone(),
        lease,
        run: args.run,
        position,
        login,
        key: base64url(&seed),
    };
    // Before anything else can fail: the ledger holds the public halves already.
    kept.write(&keys, &args.out)?;
    let expires = credentials(&keys, &client, &kept, &args.out).await?;
    told(context, &kept, &args.out, expires)
}

async fn again(context: &Context, args: Again) -> Result<(), Failure> {
    let keys = context.keys()?;
    let kept = Kept::read(&keys, &args.out)?;
    let client = context.client(args.nats.named(), &kept.tenant, &args.who.actor).await?;
    let expires = credentials(&keys, &client, &kept, &args.out).await?;
    told(context, &kept, &args.out, expires)
}

fn told(context: &Context, kept: &Kept, out: &Path, expires: Option<Time>) -> Result<(), Failure> {
    let inbox = canonry_schemas::tier::inbox(&kept.worker, &kept.lease);
    if context.json {
        return output::json(&json!({
            "lease": kept.lease, "creds": out.to_string_lossy(), "inbox": inbox,
            "expires": expires,
        }));
    }
    output::line(&format!(
        "{} until {}",
        kept.lease,
        expires.map_or("-".into(), |t| t.to_string())
    ));
    output::say(format!("credentials {}, inbox prefix {inbox}", out.display()));
    Ok(())
}

/// Asks the issuer, and writes what it signs.
async fn credentials(
    keys: &KeyStore,
    client: &Client,
    kept: &Kept,
    out: &Path,
) -> Result<Option<Time>, Failure> {
    let subject = format!("lease.{}.{}.credentials", kept.tenant, client.actor);
    let ask = AskCredentials { lease: kept.lease.clone(), position: Some(kept.position.clone()) };
    let body = serde_json::to_vec(&ask).map_err(Failure::refused)?;
    let given = asked(&client.connection, &subject, body.into(), kept, out).await?;
    let jwt = match (given.jwt, given.code) {
        (Some(jwt), _) if given.ok => jwt,
        (_, code) => {
            let (code, why) = (code.unwrap_or_default(), given.message.unwrap_or_default());
            return Err(Failure::refused(format!("{code}: {why}")));
        }
    };
    let text = creds::text(&jwt, &kept.login);
    keys.put_creds(out, &text).map_err(|e| Failure::config(chain(&e)))?;
    Ok(given.expires)
}

async fn asked(
    connection: &Connection,
    subject: &str,
    body: Bytes,
    kept: &Kept,
    out: &Path,
) -> Result<Credentials, Failure> {
    let until = tokio::time::Instant::now() + CLIENT_RETRY;
    loop {
        let why = match connection.request(subject, &[], body.clone(), TRY).await {
            Ok(reply) => {
                let given: Credentials =
                    serde_json::from_slice(&reply.body).map_err(Failure::refused)?;
                if given.code.as_deref() != Some(RETRY) {
                    return Ok(given);
                }
                "it has not read the ledger so far"
            }
            Err(RequestError::Other(error)) => return Err(Failure::unavailable(chain(&error))),
            Err(_) => "nobody answers; is `canonry serve warden` running?",
        };
        if tokio::time::Instant::now() >= until {
            return Err(Failure::unavailable(format!(
                "{} is issued, but nobody signed its credentials: {why} Its keys are kept: ask again \
                 with canonry lease credentials --out {}",
                kept.lease,
                out.display()
            )));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn list(context: &Context, args: List) -> Result<(), Failure> {
    let (api, pen) =
        both(context.api(args.api.url.as_deref()), context.pen(&args.who.tenant, &args.who.actor))?;
    let mut query: Vec<(&str, String)> = Vec::new();
    query.extend(args.run.map(|run| ("run", run.to_string())));
    query.extend(args.role.map(|role| ("role", role.to_string())));
    query.extend(args.worker.map(|worker| ("worker", worker.to_string())));
    query.extend(args.living.then(|| ("status", "issued".to_owned())));
    let now = Time(i64::try_from(now_millis()).unwrap_or(i64::MAX / 1_000) * 1_000).to_string();
    let shown = |lease: &Value| {
        // Text order is time order.
        let expired = lease["expires"].as_str().is_none_or(|end| end <= now.as_str());
        if args.living && expired {
            return Ok(());
        }
        if context.json {
            return output::json(lease);
        }
        let cell = |name: &str| lease[name].as_str().unwrap_or("-").to_owned();
        let status = match lease["status"].as_str() {
            Some("issued") if expired => "expired".to_owned(),
            _ => cell("status"),
        };
        let cells = ["worker", "tier", "run", "expires"].map(cell);
        output::line(&format!("{}\t{status}\t{}", cell("id"), cells.join("\t")));
        Ok(())
    };
    http::every(&api, "/api/v1/leases", &query, &pen, shown).await
}
