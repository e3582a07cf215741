//! `canonry secrets …`: keep secrets in the cell's sealed file or in a vault. A value comes from
//! stdin or from a prompt that shows nothing, never from the command line, and is printed by
//! `get --reveal` alone.

use std::io::{IsTerminal as _, Read as _};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

use canonry_keystore::KeySource;
use canonry_schemas::refusal::local;
use canonry_secrets::limits::VALUE_BYTES;
use canonry_secrets::{
    Embedded, Error, FILE, Place, Reference, Secret, SecretStore, Settings, Vault, VaultKeys,
};
use clap::Subcommand;
use serde_json::json;
use zeroize::Zeroizing;

use crate::context::Context;
use crate::failure::{Failure, chain, exit};
use crate::output;

/// Where a decider looks for keys that lie in no file.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct Keys {
    /// Where the decider finds keys that lie in no file: at PLACE/TENANT/KEY-ID#seed
    #[arg(id = "keys", long = "keys", env = "CANONRY_KEYS_FROM", value_name = "PLACE")]
    place: Option<Place>,
}

impl Keys {
    /// Opens it.
    ///
    /// # Errors
    /// The settings are wrong, or the store refuses the login.
    pub fn open(&self, home: &Path) -> Result<Option<Arc<dyn KeySource>>, Failure> {
        let Some(place) = self.place.clone() else { return Ok(None) };
        let settings = settings_of(home)?;
        let keys = VaultKeys::start(settings, place).map_err(failed)?;
        Ok(Some(Arc::new(keys)))
    }
}

/// Keep secrets in a sealed file or a vault.
#[derive(Debug, Subcommand)]
#[command(after_help = "\
A secret is named secret://STORE/PATH#FIELD. The store `file` is an age file in the home, the store \
`vault` a HashiCorp Vault or OpenBao that $CANONRY_VAULT_ADDR names; docs/secrets.md tells how to log \
in. Exit codes: 0 done; 1 refused or not there, the code is told; 2 not a name; 64 settings; 69 the \
vault is sealed or gives no answer.

EXAMPLES:
    canonry secrets init
    canonry secrets put secret://file/mail/smtp#password < password.txt
    canonry secrets status")]
pub enum Command {
    /// Make the sealed file of this home
    Init(Init),
    /// Write one field; the value comes from stdin or a prompt
    Put(Put),
    /// Tell whether a field can be read; print it with --reveal alone
    Get(Get),
    /// List names, never values
    List(List),
    /// Remove a secret with all its fields and versions
    Delete(Delete),
    /// Tell which stores there are and whether they answer
    Status(Status),
    /// Try the vault's login, and end it again
    LoginCheck(LoginCheck),
}

/// Make the sealed file of this home.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without $CANONRY_SECRETS_PASSPHRASE the key that opens it is made beside it, in \
HOME/secrets/identity.txt: keep a copy elsewhere. With it there is no such file, and every use needs \
the variable.

EXAMPLES:
    canonry secrets init")]
pub struct Init {}

/// Write one field.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
One line break at the end is not part of the value. The other fields of the secret stay.

EXAMPLES:
    canonry secrets put secret://file/mail/smtp#password
    jq -j .seed record.key | canonry secrets put secret://vault/keys/acme/0123456789abcdef#seed")]
pub struct Put {
    /// Which field
    reference: String,
}

/// Tell whether a field can be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
    canonry secrets get secret://vault/tiers/t1/crm#token
    canonry secrets get secret://file/mail/smtp#password --reveal | wl-copy")]
pub struct Get {
    /// Which field
    reference: String,
    /// Print the value; from the sealed file only
    #[arg(long)]
    reveal: bool,
}

/// List names.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What ends with / is a folder.

EXAMPLES:
    canonry secrets list file
    canonry secrets list secret://vault/tiers")]
pub struct List {
    /// A store, or a folder in one
    #[arg(value_name = "PLACE")]
    place: String,
}

/// Remove a secret.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES:
    canonry secrets delete secret://file/mail/smtp")]
pub struct Delete {
    /// Which secret
    place: String,
}

/// Tell which stores there are.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Nobody logs in for it. Ends with 69 where a vault is named that does not answer or is sealed.

EXAMPLES:
    canonry secrets status --json")]
pub struct Status {}

/// Try the vault's login.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A wrapping token is spent by it.

EXAMPLES:
    canonry secrets login-check")]
pub struct LoginCheck {}

/// Runs it.
///
/// # Errors
/// As the store says, with its code.
pub async fn run(context: &Context, command: Command) -> Result<(), Failure> {
    let settings = settings_of(&context.home)?;
    match command {
        Command::Init(Init {}) => init(context, &settings),
        Command::Put(args) => put(context, &settings, named(&args.reference)?).await,
        Command::Get(args) => get(context, &settings, args).await,
        Command::List(args) => list(context, &settings, &args.place).await,
        Command::Delete(args) => {
            let place: Place = named(&args.place)?;
            let store = settings.open(place.store()).await.map_err(failed)?;
            let deleted = store.delete(&place).await;
            over(store, deleted).await?;
            done(context, "deleted", &place)
        }
        Command::Status(Status {}) => status(context, &settings).await,
        Command::LoginCheck(LoginCheck {}) => {
            let vault = settings.open_vault().await.map_err(failed)?;
            vault.check_login().await.map_err(failed)?;
            vault.close().await.map_err(failed)?;
            done(context, "logged-in", "vault")
        }
    }
}

/// The settings of a home and of this process's environment.
fn settings_of(home: &Path) -> Result<Settings, Failure> {
    Settings::read(home, |name| std::env::var(name).ok()).map_err(failed)
}

/// Gives the login back, and tells what the store said before.
async fn over<T>(store: Arc<dyn SecretStore>, said: Result<T, Error>) -> Result<T, Failure> {
    if let Err(error) = store.close().await {
        tracing::warn!(%error, code = error.code(), "the vault's token ends by itself");
    }
    said.map_err(failed)
}

/// Read here and not by the parser of the command line, which would quote what is wrong: it may be a
/// value that was pasted in the place of its name.
fn named<T: FromStr<Err = Error>>(text: &str) -> Result<T, Failure> {
    text.parse().map_err(failed)
}

/// With its code; what the text and its sources hold is never secret.
fn failed(error: Error) -> Failure {
    let code = error.code();
    let message = format!("{}: {code}", chain(&error));
    Failure { exit: local::exit(code).unwrap_or(exit::REFUSED), message }
}

fn done(context: &Context, what: &str, about: impl std::fmt::Display) -> Result<(), Failure> {
    if context.json {
        return output::json(&json!({ "done": what, "about": about.to_string() }));
    }
    output::line(&format!("{what} {about}"));
    Ok(())
}

fn init(context: &Context, settings: &Settings) -> Result<(), Failure> {
    Embedded::create(&settings.folder, settings.passphrase.as_ref()).map_err(failed)?;
    if settings.passphrase.is_none() {
        let identity = settings.folder.join(canonry_secrets::IDENTITY);
        output::say(format!(
            "keep a copy of {} elsewhere: nothing else opens it",
            identity.display()
        ));
    }
    done(context, "made", settings.folder.join(canonry_secrets::STORE).display())
}

async fn put(context: &Context, settings: &Settings, to: Reference) -> Result<(), Failure> {
    // The store first: nobody types a value that then has no place.
    let store = settings.open(to.place().store()).await.map_err(failed)?;
    let value = tokio::task::spawn_blocking(value).await.map_err(Failure::unavailable)??;
    let put = store.put(&to, &value).await;
    over(store, put).await?;
    done(context, "kept", to)
}

/// A value from stdin, or typed by a person to whom nothing is shown.
fn value() -> Result<Secret, Failure> {
    let unread = |e: std::io::Error| Failure::usage(format!("the value cannot be read: {e}"));
    let mut bytes = if std::io::stdin().is_terminal() {
        let typed = Zeroizing::new(rpassword::prompt_password("value: ").map_err(unread)?);
        Zeroizing::new(typed.as_bytes().to_vec())
    } else {
        let mut bytes = Zeroizing::new(Vec::with_capacity(VALUE_BYTES + 2));
        let most = VALUE_BYTES as u64 + 2;
        std::io::stdin().lock().take(most).read_to_end(&mut bytes).map_err(unread)?;
        bytes
    };
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    Secret::new(bytes).map_err(failed)
}

async fn get(context: &Context, settings: &Settings, args: Get) -> Result<(), Failure> {
    let (reference, reveal): (Reference, bool) = (named(&args.reference)?, args.reveal);
    if reveal && reference.place().store() != FILE {
        return Err(Failure::usage("--reveal is for the sealed file alone; ask the vault itself"));
    }
    let store = settings.open(reference.place().store()).await.map_err(failed)?;
    let value = store.get(&reference).await;
    let value = over(store, value).await?;
    if !reveal {
        return done(context, "readable", reference);
    }
    output::say("the value stands on stdout in clear: mind the screen, the shell's log and pipes");
    let text = value.expose_text();
    let text = text.ok_or_else(|| Failure::refused("the value is no text and is not printed"))?;
    if context.json {
        return output::json(&json!({ "reference": reference.to_string(), "value": text }));
    }
    output::line(text);
    Ok(())
}

async fn list(context: &Context, settings: &Settings, at: &str) -> Result<(), Failure> {
    let place = at.contains("://").then(|| at.parse::<Place>()).transpose().map_err(failed)?;
    let store = place.as_ref().map_or(at, Place::store);
    let store = settings.open(store).await.map_err(failed)?;
    let names = store.list(place.as_ref()).await;
    for name in over(store, names).await? {
        if context.json {
            output::json(&json!({ "name": name }))?;
        } else {
            output::line(&name);
        }
    }
    Ok(())
}

async fn status(context: &Context, settings: &Settings) -> Result<(), Failure> {
    let file = match Embedded::open(&settings.folder, settings.passphrase.as_ref()) {
        Ok(store) => store.list(None).await.map(|_| "open"),
        Err(error) => Err(error),
    };
    let vault = match &settings.vault {
        None => Ok("not configured"),
        Some(config) => match Vault::status(config).await {
            Ok(told) if !told.initialized => Ok("not initialized"),
            Ok(told) if told.sealed => Ok("sealed"),
            Ok(_) => Ok("unsealed"),
            Err(error) => Err(error),
        },
    };
    let in_words = |state: &Result<&'static str, Error>| match state {
        Ok(word) => *word,
        Err(error) if error.code() == local::SECRET_STORE_UNKNOWN => "not made",
        Err(error) => error.code(),
    };
    let (file_is, vault_is) = (in_words(&file), in_words(&vault));
    if context.json {
        output::json(&json!({ "file": file_is, "vault": vault_is }))?;
    } else {
        output::line(&format!("file   {file_is}"));
        output::line(&format!("vault  {vault_is}"));
    }
    match (file, vault) {
        (_, Err(error)) => Err(failed(error)),
        (Err(error), _) if error.code() != local::SECRET_STORE_UNKNOWN => Err(failed(error)),
        (_, Ok("sealed" | "not initialized")) => Err(Failure::silent(exit::UNAVAILABLE)),
        _ => Ok(()),
    }
}
