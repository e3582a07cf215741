//! Logged in: a token by AppRole, renewed before it ends, made anew when it cannot be.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, Notify};
use zeroize::Zeroizing;

use super::parse::Text;
use super::wire::{Again, Ask, Wire};
use crate::error::{Error, Kind};
use crate::limits::{RENEW_AGAIN, TOKEN_LEAST, TOKEN_LOOK, VALUE_BYTES};
use crate::secret::Secret;

/// The body of a request that says nothing.
pub(super) const NOTHING: BTreeMap<&str, &str> = BTreeMap::new();

/// A token as it was granted.
#[derive(Clone)]
pub(super) struct Token {
    pub value: Secret,
    granted: Instant,
    /// None for one that does not end.
    lasts: Option<Duration>,
    renewable: bool,
}

impl Token {
    fn ends_soon(&self) -> bool {
        let spare = |lasts: Duration| TOKEN_LEAST.min(lasts / 10);
        self.lasts.is_some_and(|lasts| self.granted.elapsed() + spare(lasts) >= lasts)
    }

    /// When it should be renewed: after two thirds of its time.
    fn renew_in(&self) -> Duration {
        let at = self.lasts.map_or(TOKEN_LOOK, |lasts| lasts * 2 / 3);
        at.saturating_sub(self.granted.elapsed())
    }
}

/// Who logs in, and the token that this gave.
pub(super) struct Session {
    mount: String,
    role_id: Secret,
    secret_id: Secret,
    token: Mutex<Option<Token>>,
    /// Told of every login.
    logged_in: Notify,
}

#[derive(Deserialize)]
struct Granted {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: Text,
    lease_duration: u64,
    renewable: bool,
}

impl Auth {
    fn token(self) -> Result<Token, Error> {
        let malformed = || Error::plain(Kind::Malformed("a login without a token"));
        let value = self.client_token.secret().ok_or_else(malformed)?;
        let lasts = (self.lease_duration > 0).then(|| Duration::from_secs(self.lease_duration));
        Ok(Token { value, granted: Instant::now(), lasts, renewable: self.renewable })
    }
}

/// A body of borrowed texts, written into memory that is wiped.
pub(super) fn body(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>, Error> {
    // Reserved for a value whose every byte is escaped, because growing leaves copies.
    let mut bytes = Zeroizing::new(Vec::with_capacity(6 * VALUE_BYTES + 4_096));
    serde_json::to_writer(&mut *bytes, value)
        .map_err(|_| Error::plain(Kind::Malformed("a request that has no JSON")))?;
    Ok(bytes)
}

fn text(secret: &Secret) -> Result<&str, Error> {
    let wrong = "the role id or secret id is no text";
    secret.expose_text().ok_or_else(|| Error::plain(Kind::Configuration(wrong)))
}

impl Session {
    pub fn new(mount: &str, role_id: Secret, secret_id: Secret) -> Self {
        Self {
            mount: mount.to_owned(),
            role_id,
            secret_id,
            token: Mutex::default(),
            logged_in: Notify::new(),
        }
    }

    /// The token, after a login where there is none.
    pub async fn token(&self, wire: &Wire) -> Result<Token, Error> {
        // Held over the login, so that many callers log in once.
        let mut kept = self.token.lock().await;
        if let Some(token) = kept.as_ref().filter(|token| !token.ends_soon()) {
            return Ok(token.clone());
        }
        let token = self.login(wire).await?;
        *kept = Some(token.clone());
        self.logged_in.notify_one();
        Ok(token)
    }

    async fn login(&self, wire: &Wire) -> Result<Token, Error> {
        let (role_id, secret_id) = (text(&self.role_id)?, text(&self.secret_id)?);
        let body = body(&BTreeMap::from([("role_id", role_id), ("secret_id", secret_id)]))?;
        let ask = Ask::post(format!("auth/{}/login", self.mount), body, Again::Unprocessed);
        let answer = wire.send(ask).await.map_err(|error| match error.kind {
            Kind::Rejected(_) | Kind::Refused | Kind::Unknown => Error::plain(Kind::Login),
            _ => error,
        })?;
        let token = answer.read::<Granted>("the answer to a login")?.auth.token()?;
        tracing::debug!(lasts = ?token.lasts, renewable = token.renewable, "logged in at the vault");
        Ok(token)
    }

    /// Whether the vault knows a token that it just refused: if so, it was the policy.
    pub async fn is_known(&self, wire: &Wire, token: &Token) -> Result<bool, Error> {
        match wire.send(Ask::get("auth/token/lookup-self").with(&token.value)).await {
            Ok(_) => Ok(true),
            Err(error) if error.kind == Kind::Refused => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Drops a token that the vault does not know any more.
    pub async fn forget(&self, token: &Token) {
        let mut kept = self.token.lock().await;
        if kept.as_ref().is_some_and(|k| k.value == token.value) {
            *kept = None;
        }
    }

    /// Takes the token away, to be revoked.
    pub async fn end(&self) -> Option<Token> {
        self.token.lock().await.take()
    }

    /// Renews the token whenever two thirds of its time are over, until it is dropped.
    pub async fn keep(&self, wire: &Wire) {
        loop {
            let wait = self.token.lock().await.as_ref().map(Token::renew_in);
            match wait {
                None => self.logged_in.notified().await,
                Some(wait) if wait.is_zero() => {
                    if let Err(error) = self.renew(wire).await {
                        let code = error.code();
                        tracing::warn!(%error, code, "the vault's token is not renewed");
                        tokio::time::sleep(RENEW_AGAIN).await;
                    }
                }
                Some(wait) => tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = self.logged_in.notified() => {}
                },
            }
        }
    }

    /// Renews the token, or logs in anew where it cannot be renewed any more.
    async fn renew(&self, wire: &Wire) -> Result<(), Error> {
        let Some(old) = self.token.lock().await.clone() else { return Ok(()) };
        let renewed = match old.renewable {
            true => renewed(wire, &old).await,
            false => Err(Error::plain(Kind::Refused)),
        };
        let token = match renewed {
            // One that comes to its longest time is replaced before that.
            Ok(token) if token.lasts >= old.lasts.map(|lasts| lasts / 2) => token,
            Ok(_) => self.login(wire).await?,
            Err(error) if error.kind == Kind::Refused => self.login(wire).await?,
            Err(error) => return Err(error),
        };
        let mut kept = self.token.lock().await;
        // A login that came between has made a newer one.
        if kept.as_ref().is_some_and(|k| k.value == old.value) {
            *kept = Some(token);
        }
        Ok(())
    }
}

async fn renewed(wire: &Wire, old: &Token) -> Result<Token, Error> {
    let ask = Ask::post("auth/token/renew-self", body(&NOTHING)?, Again::Always);
    let answer = wire.send(ask.with(&old.value)).await?;
    answer.read::<Granted>("the answer to a renewal")?.auth.token()
}

/// The secret id behind a wrapping token, which can be unwrapped once. Who wrapped it is looked at
/// first, so that nobody slips in another.
pub(super) async fn unwrapped(wire: &Wire, mount: &str, token: &Secret) -> Result<Secret, Error> {
    #[derive(Deserialize)]
    struct Looked {
        data: Made,
    }
    #[derive(Deserialize)]
    struct Made {
        creation_path: String,
    }
    #[derive(Deserialize)]
    struct Unwrapped {
        data: Within,
    }
    #[derive(Deserialize)]
    struct Within {
        secret_id: Text,
    }
    let spent = |error: Error| match error.kind {
        Kind::Refused | Kind::Rejected(_) | Kind::Unknown => Error::plain(Kind::Unwrapped),
        _ => error,
    };
    let named = body(&BTreeMap::from([("token", text(token)?)]))?;
    let look = Ask::post("sys/wrapping/lookup", named, Again::Always);
    let looked: Looked = wire.send(look).await.map_err(spent)?.read("a wrapping's origin")?;
    let path = looked.data.creation_path;
    let role = path.strip_prefix(&format!("auth/{mount}/role/"));
    if !role.is_some_and(|rest| rest.ends_with("/secret-id")) {
        return Err(Error::plain(Kind::Unwrapped));
    }
    let ask = Ask::post("sys/wrapping/unwrap", body(&NOTHING)?, Again::Unprocessed);
    let answer = wire.send(ask.with(token)).await.map_err(spent)?;
    let within: Unwrapped = answer.read("what was wrapped")?;
    let missing = || Error::plain(Kind::Malformed("no secret id was wrapped"));
    within.data.secret_id.secret().ok_or_else(missing)
}
