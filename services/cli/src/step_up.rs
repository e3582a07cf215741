//! `canonry actions step-up`: a person shows again who they are, by opening what only their
//! passphrase opens, for what one record asked.

use std::path::PathBuf;

use canonry_schemas::ids::{ActionId, ActorId, TenantId};
use canonry_secrets::DeviceKey;
use serde_json::json;

use crate::approve::asked_in;
use crate::args::{Api, Nats};
use crate::client::{assertion, new_intent};
use crate::context::{Context, DEFAULT_TENANT};
use crate::failure::Failure;
use crate::member::strong::{kept_at, passphrase, unsealed};
use crate::{http, ledger, output};

#[derive(Debug, clap::Args)]
#[command(after_help = "\
For an action that the policy holds until somebody is authenticated at a stronger level. The key is \
opened with its passphrase (asked for, or the first line of stdin) for this one question, and says so \
for two minutes. `canonry member make-step-up-key` makes it.
Exit codes: 0 became a record; 1 refused, the code is told; 64 no creds or no key; 69 no answer.

EXAMPLES:
    canonry actions step-up act_01hzy3v7m8q6k4n2r9s5t1w0xa --as founder
    canonry actions step-up act_01hzy3v7m8q6k4n2r9s5t1w0xa --key stick/founder.age
    canonry actions list --filter status=held")]
pub struct StepUp {
    /// Which action
    id: ActionId,
    /// The tenant
    #[arg(long, env = "CANONRY_TENANT", default_value = DEFAULT_TENANT, value_name = "NAME")]
    tenant: TenantId,
    /// Who steps up
    #[arg(long = "as", default_value = "founder", value_name = "ACTOR")]
    actor: ActorId,
    /// What is opened; without it, what this home keeps
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// Look the question up here; without it, in the verified ledger
    #[command(flatten)]
    api: Api,
    #[command(flatten)]
    nats: Nats,
}

/// Runs it.
///
/// # Errors
/// Nobody asked, the key does not open, refused, or no answer.
pub async fn run(context: &Context, args: StepUp) -> Result<(), Failure> {
    let entity = format!("action/{}", args.id);
    let path = match args.key {
        Some(path) => path,
        None => kept_at(&context.keys()?, &args.tenant, &args.actor),
    };
    if !path.exists() {
        let (path, actor) = (path.display(), &args.actor);
        let how = format!("run `canonry member make-step-up-key {actor}` first");
        return Err(Failure::config(format!("{path} is not there: {how}")));
    }
    let client = context.client(args.nats.named(), &args.tenant, &args.actor).await?;
    let asked = match args.api.url.as_deref() {
        Some(url) => {
            let path = format!("/api/v1/actions/{}", args.id);
            asked_in(&http::get(url, &path, &[], client.pen()?).await?)?
        }
        None => ledger::asked(context, args.nats.named(), &args.tenant, &entity).await?,
    };
    // After the question was found: what is opened is for this, now.
    let open = move || DeviceKey::open(&path, &passphrase(false)?).map_err(unsealed);
    let key = tokio::task::spawn_blocking(open).await.map_err(Failure::unavailable)??;
    if (&key.tenant, &key.actor) != (&args.tenant, &args.actor) {
        let (tenant, actor) = (&key.tenant, &key.actor);
        return Err(Failure::config(format!("this is the key of {actor} of {tenant}")));
    }
    let intent = new_intent()?;
    let assertion = assertion(&key, &entity, asked, &intent);
    let body = json!({"id": args.id, "assertion": assertion});
    let body = serde_json::to_vec(&body).map_err(Failure::refused)?;
    output::answer(&client.submit("action", "step-up", &body, &intent).await?, context.json)
}
