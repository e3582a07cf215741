//! Asking witnesses (C2SP tlog-witness) to cosign a checkpoint. A witness's refusal is told as an
//! alarm and stops nothing: its answer is not signed, and who cannot be asked must not be able to
//! stop a tenant.

use std::collections::BTreeMap;
use std::str::FromStr;

use canonry_nats::Bytes;
use canonry_schemas::ids::TenantId;
use canonry_schemas::limits::{NOTE_BYTES, WITNESS_WAIT};
use canonry_tlog::note::NoteSignature;
use canonry_tlog::witness::Request;
use canonry_tlog::{Checkpoint, Kind, Note, VerifierKey};
use reqwest::Client;

use crate::store::{ALARM, Alarm, CHECKPOINT, COSIGNED, Store, StoreError};

/// A witness that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witness {
    /// The submission prefix, `http://…` or `https://…`, without a slash at the end.
    pub url: String,
    /// Its key.
    pub key: VerifierKey,
}

/// The text is not `<url>,<verifier key>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected <url>,<key>, with the key that `canonry witness` prints")]
pub struct NotAWitness;

impl FromStr for Witness {
    type Err = NotAWitness;

    fn from_str(text: &str) -> Result<Self, NotAWitness> {
        let (url, key) = text.split_once(',').ok_or(NotAWitness)?;
        let key: VerifierKey = key.parse().map_err(|_| NotAWitness)?;
        let known =
            ["http://", "https://"].iter().any(|s| url.len() > s.len() && url.starts_with(s));
        let url = url.trim_end_matches('/').to_owned();
        if known && key.kind() == Kind::Witness { Ok(Self { url, key }) } else { Err(NotAWitness) }
    }
}

/// What asking came to.
#[derive(Debug)]
enum Outcome {
    Cosigned(NoteSignature),
    /// A newer checkpoint of ours was cosigned meanwhile.
    Superseded,
    /// It cosigned another history, or a longer one.
    Refused(String),
    /// No answer, or one that means nothing.
    Failed(String),
}

/// Asks the witnesses of one tenant, one checkpoint after the other.
pub struct Asker {
    client: Client,
    tenant: TenantId,
    store: Store,
    witnesses: Vec<Witness>,
    /// The size that each cosigned last, as far as we know.
    cosigned: BTreeMap<String, u64>,
}

/// An HTTP client with the cryptography that this build carries.
///
/// # Errors
/// The library refuses.
pub fn client() -> Result<Client, String> {
    // An error here says that a provider is installed already, which is all that is needed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::builder().timeout(WITNESS_WAIT).no_proxy().build().map_err(|e| e.to_string())
}

impl Asker {
    /// For one tenant.
    #[must_use]
    pub fn new(client: Client, tenant: TenantId, store: Store, witnesses: Vec<Witness>) -> Self {
        Self { client, tenant, store, witnesses, cosigned: BTreeMap::new() }
    }

    /// Asks all of them, and stores the note with the cosignatures that came; whether one refuses.
    pub async fn ask(&mut self, note: &Note, at: &Checkpoint) -> bool {
        let (mut whole, mut some, mut refused) = (note.clone(), false, None);
        for witness in self.witnesses.clone() {
            match self.one(&witness, note, at).await {
                Ok(Outcome::Cosigned(signature)) => {
                    whole.add(signature);
                    some = true;
                }
                Ok(Outcome::Superseded) => {}
                Ok(Outcome::Refused(why)) => {
                    refused = Some(format!("{}: {why}", witness.key.name()));
                }
                Ok(Outcome::Failed(why)) => self.failed(&witness, &why),
                Err(error) => self.failed(&witness, &error.to_string()),
            }
        }
        let refuses = refused.is_some();
        if let Err(error) = self.keep(&whole, some, refused, at).await {
            tracing::warn!(tenant = %self.tenant, %error, "what witnesses said could not be stored");
        }
        refuses
    }

    fn failed(&self, witness: &Witness, why: &str) {
        let (tenant, witness) = (&self.tenant, witness.key.name());
        tracing::warn!(%tenant, witness, why, "a witness could not be asked");
    }

    async fn keep(
        &self,
        whole: &Note,
        some: bool,
        refused: Option<String>,
        at: &Checkpoint,
    ) -> Result<(), StoreError> {
        if some {
            self.store.kv().put(COSIGNED, Bytes::from(whole.to_string())).await?;
        }
        let told = self.store.alarm().await?.filter(|alarm| alarm.code == WITNESS_REFUSES);
        match refused {
            Some(why) => {
                tracing::error!(tenant = %self.tenant, %why, "a witness knows another history");
                let positions = self.store.positions().await?;
                let position = positions.position(at.size.saturating_sub(1)).unwrap_or(0);
                let alarm = Alarm { code: WITNESS_REFUSES.to_owned(), position, why };
                if told.as_ref() != Some(&alarm) {
                    self.store.put_json(ALARM, &alarm).await?;
                }
            }
            // It was told of a witness that agrees now.
            None if some && told.is_some() => drop(self.store.kv().delete(ALARM).await?),
            None => {}
        }
        Ok(())
    }

    async fn one(
        &mut self,
        witness: &Witness,
        note: &Note,
        at: &Checkpoint,
    ) -> Result<Outcome, StoreError> {
        let name = witness.key.to_string();
        let mut old = self.cosigned.get(&name).copied().unwrap_or(0);
        // A second time with the size that the witness named.
        for _ in 0..2 {
            let proof = match old {
                0 => Vec::new(),
                old => self.store.consistency(old, at.size).await?,
            };
            let body = Request { old, proof, note: note.clone() }.to_string();
            let (status, text) = match self.post(witness, body).await {
                Ok(answer) => answer,
                Err(why) => return Ok(Outcome::Failed(why)),
            };
            match status {
                200 => {
                    let outcome = cosignature(witness, note, &text);
                    if matches!(outcome, Outcome::Cosigned(_)) {
                        self.cosigned.insert(name, at.size);
                    }
                    return Ok(outcome);
                }
                409 => {
                    let Some(size) = text.strip_suffix('\n').and_then(|t| t.parse::<u64>().ok())
                    else {
                        return Ok(Outcome::Failed("a conflict without a size".to_owned()));
                    };
                    if size > at.size {
                        return self.beyond(size).await;
                    }
                    if size == old {
                        return Ok(Outcome::Refused(format!("it cosigned another root at {size}")));
                    }
                    old = size;
                }
                422 => {
                    let why = format!("the history that it cosigned at {old} is another");
                    return Ok(Outcome::Refused(why));
                }
                status => return Ok(Outcome::Failed(format!("status {status}: {text:.200}"))),
            }
        }
        Ok(Outcome::Failed("it names one size after the other".to_owned()))
    }

    /// The witness cosigned more than this: either we did sign that, or the ledger lost it.
    async fn beyond(&self, size: u64) -> Result<Outcome, StoreError> {
        let newest = self.store.note(CHECKPOINT).await?;
        let newest =
            newest.and_then(|(note, _)| Checkpoint::of(&note).ok()).map_or(0, |at| at.size);
        Ok(if newest >= size {
            Outcome::Superseded
        } else {
            Outcome::Refused(format!("it cosigned {size} records, and the ledger has {newest}"))
        })
    }

    async fn post(&self, witness: &Witness, body: String) -> Result<(u16, String), String> {
        let url = format!("{}/add-checkpoint", witness.url);
        let answer = self.client.post(url).body(body).send().await.map_err(|e| e.to_string())?;
        let status = answer.status().as_u16();
        if answer.content_length().is_none_or(|length| length > NOTE_BYTES as u64) {
            return Err("its answer tells no length, or is too long".to_owned());
        }
        Ok((status, answer.text().await.map_err(|e| e.to_string())?))
    }
}

/// The stable code of the alarm.
pub(crate) const WITNESS_REFUSES: &str = "witness-refuses";

/// The line of an answer that is the witness's cosignature of this note.
fn cosignature(witness: &Witness, note: &Note, text: &str) -> Outcome {
    let keys = std::slice::from_ref(&witness.key);
    let right = |signature: &NoteSignature| {
        let mut one = note.clone();
        one.add(signature.clone());
        one.verify(keys).is_ok()
    };
    let mut lines = text.lines().filter_map(|line| line.parse::<NoteSignature>().ok());
    match lines.find(right) {
        Some(signature) => Outcome::Cosigned(signature),
        None => Outcome::Failed("its answer holds no cosignature by its key".to_owned()),
    }
}
