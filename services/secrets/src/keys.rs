//! Private keys of a decider from a store of secrets: the third source beside files and
//! `$CANONRY_KEYS`. A key lies at `<place>/<tenant>/<key id>#seed`, base64url of 32 bytes.
//!
//! Who asks is not asynchronous, and stores are: a thread of its own asks them, and each question
//! has a bound.

use std::sync::mpsc::{SyncSender, sync_channel};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use canonry_keystore::{Error as KeyError, KeySource, key_id};
use canonry_schemas::ids::{KeyId, TenantId};
use ed25519_dalek::SigningKey;
use tokio::sync::mpsc::{Sender, channel};
use zeroize::Zeroizing;

use crate::error::{BoxError, Error, Kind};
use crate::limits::KEY_WITHIN;
use crate::open::Settings;
use crate::reference::{Place, Reference};
use crate::secret::Secret;

/// The field in which a seed lies.
pub const SEED: &str = "seed";

struct Question {
    reference: Reference,
    answer: SyncSender<Result<Secret, Error>>,
}

/// Keys below one place of a store.
#[derive(Debug, Clone)]
pub struct VaultKeys {
    place: Place,
    asks: Sender<Question>,
}

impl VaultKeys {
    /// Opens the store that the place names and begins to answer; the login is tried now, so that
    /// a wrong one is seen at the start and not when a key is wanted.
    ///
    /// # Errors
    /// There is no such store, it does not open, or it refuses the login.
    pub fn start(settings: Settings, place: Place) -> Result<Self, Error> {
        let (asks, mut asked) = channel::<Question>(1);
        let (opened, is_open) = sync_channel(1);
        let name = place.store().to_owned();
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(e) => return drop(opened.send(Err(Error::plain(Kind::File).with(e)))),
            };
            runtime.block_on(async move {
                let store = match settings.open(&name).await {
                    Ok(store) => store,
                    Err(error) => return drop(opened.send(Err(error))),
                };
                // Names only: whoever may read keys need not list them, so a refusal is an answer.
                let tried = match store.list(None).await {
                    Err(error) if error.kind != Kind::Refused => Err(error),
                    _ => Ok(()),
                };
                if opened.send(tried).is_err() {
                    return;
                }
                while let Some(question) = asked.recv().await {
                    let found = tokio::time::timeout(KEY_WITHIN, store.get(&question.reference));
                    let late = || Error::at(Kind::Unavailable, &question.reference);
                    let found = found.await.unwrap_or_else(|_| Err(late()));
                    // Who asked may have gone.
                    drop(question.answer.send(found));
                }
            });
        };
        let begun = std::thread::Builder::new().name("secrets".to_owned()).spawn(serve);
        begun.map_err(|e| Error::plain(Kind::File).with(e))?;
        let gone = || Error::at(Kind::Unavailable, &place);
        apart(|| is_open.recv()).map_err(|_| gone())??;
        Ok(Self { place, asks })
    }

    /// Where the key of a tenant lies.
    ///
    /// # Errors
    /// The names make no path.
    pub fn reference(&self, tenant: &TenantId, id: &KeyId) -> Result<Reference, Error> {
        self.place.below(&format!("{tenant}/{id}"))?.field(SEED)
    }

    fn look(&self, reference: &Reference) -> Result<Option<Secret>, Error> {
        let gone = || Error::at(Kind::Unavailable, reference);
        let (answer, answered) = sync_channel(1);
        let question = Question { reference: reference.clone(), answer };
        let found = apart(|| {
            // One at a time: who finds the thread busy waits until it is done with another.
            let mut question = question;
            let until = std::time::Instant::now() + 2 * KEY_WITHIN;
            loop {
                use tokio::sync::mpsc::error::TrySendError;
                match self.asks.try_send(question) {
                    Ok(()) => break,
                    Err(TrySendError::Full(back)) if std::time::Instant::now() < until => {
                        question = back;
                        std::thread::sleep(crate::limits::LOCK_POLL);
                    }
                    Err(_) => return Err(gone()),
                }
            }
            let left = until.saturating_duration_since(std::time::Instant::now());
            answered.recv_timeout(left).unwrap_or_else(|_| Err(gone()))
        });
        match found {
            Ok(secret) => Ok(Some(secret)),
            Err(error) if error.kind == Kind::Unknown => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl KeySource for VaultKeys {
    fn open(&self, tenant: &TenantId, id: &KeyId) -> Result<Option<SigningKey>, KeyError> {
        let reference = self.reference(tenant, id);
        let reference = reference.map_err(|e| KeyError::remote(&self.place.to_string(), e))?;
        let failed = |source: BoxError| KeyError::remote(&reference.to_string(), source);
        let Some(text) = self.look(&reference).map_err(|e| failed(e.into()))? else {
            return Ok(None);
        };
        let key = seed(&text).ok_or_else(|| failed("not a seed: 32 bytes as base64url".into()))?;
        if key_id(&key.verifying_key()) != *id {
            return Err(failed("another key lies there".into()));
        }
        Ok(Some(key))
    }
}

fn seed(text: &Secret) -> Option<SigningKey> {
    let mut seed = Zeroizing::new([0_u8; 32]);
    let text = text.expose().trim_ascii();
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut *seed).ok()?;
    (length == seed.len()).then(|| SigningKey::from_bytes(&seed))
}

/// Waits without keeping the other tasks of this thread from going on, where there are such.
fn apart<T>(wait: impl FnOnce() -> T) -> T {
    use tokio::runtime::{Handle, RuntimeFlavor};
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(wait),
        _ => wait(),
    }
}
