//! Logins that are revoked at the server: the `revocations` of an account's claims. The server cuts
//! the connections of a revoked user and lets it in no more.
//!
//! The ledger says which logins ended; this pushes it. What was revoked once stays so: claims are
//! always made with what this home keeps and with what the server has.

use std::collections::BTreeSet;

use canonry_keystore::{ErrorKind, KeyStore};
use canonry_schemas::ids::TenantId;
use data_encoding::BASE32_NOPAD;
use serde_json::{Map, Value};

use crate::accounts::{self, Issued};
use crate::bus::{Bus, ask, refused};
use crate::cell::{Cell, key};
use crate::error::Error;
use crate::jwt;

/// Revoked logins that one account can carry: its claims must fit into one message of 1 MiB.
pub const REVOKED_LOGINS: usize = 8_192;
/// Users issued up to this moment are revoked: the end of the year 9999. A login key that was
/// revoked on the ledger never returns.
const FOR_EVER: i64 = 253_402_300_799;
/// The first byte of a user's public key.
const USER_PREFIX: u8 = 20 << 3;
/// Pushes claims.
const UPDATE: &str = "$SYS.REQ.CLAIMS.UPDATE";

/// The public keys of revoked users, as NATS writes them (`U…`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revoked(BTreeSet<String>);

impl Revoked {
    /// From the 32 bytes of login keys.
    #[must_use]
    pub fn of<'k>(keys: impl IntoIterator<Item = &'k [u8; 32]>) -> Self {
        Self(keys.into_iter().map(user_nkey).collect())
    }

    /// How many.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What this home keeps for a tenant's account, or for the auditors'.
    pub(crate) fn kept(store: &KeyStore, tenant: Option<&TenantId>) -> Result<Self, Error> {
        match store.read_text(&store.revoked_path(tenant)) {
            Ok(text) => Ok(Self(text.split_whitespace().map(str::to_owned).collect())),
            Err(error) if error.kind == ErrorKind::Missing => Ok(Self::default()),
            Err(error) => Err(error.into()),
        }
    }

    fn keep(&self, store: &KeyStore, tenant: Option<&TenantId>) -> Result<(), Error> {
        let lines: String = self.0.iter().map(|user| format!("{user}\n")).collect();
        Ok(store.put_creds(&store.revoked_path(tenant), &lines)?)
    }

    /// The claims with these revocations.
    pub(crate) fn written(&self, mut nats: Map<String, Value>) -> Map<String, Value> {
        if !self.0.is_empty() {
            let all = self.0.iter().map(|user| (user.clone(), FOR_EVER.into()));
            nats.insert("revocations".to_owned(), Value::Object(all.collect()));
        }
        nats
    }

    fn in_claims(claims: &Value) -> Self {
        let users = claims["nats"]["revocations"].as_object().into_iter().flatten();
        Self(users.map(|(user, _)| user.clone()).collect())
    }

    fn join(mut self, more: Self) -> Result<Self, Error> {
        self.0.extend(more.0);
        if self.0.len() > REVOKED_LOGINS {
            return Err(Error::TooManyRevoked { most: REVOKED_LOGINS });
        }
        Ok(self)
    }
}

impl Cell {
    /// Revokes logins at every server: in the tenant's account and in the auditors', because the
    /// ledger does not say which of the two a login is of. May be repeated with all that were ever
    /// revoked.
    ///
    /// # Errors
    /// The server does not take the claims, or there are more than an account can carry.
    pub async fn revoke_logins(
        &self,
        sys: &impl Bus,
        tenant: &TenantId,
        revoked: &Revoked,
    ) -> Result<(), Error> {
        self.push_tenant(sys, tenant, revoked).await?;
        let audit = self.accounts().audit.clone();
        let all = self.all_revoked(sys, &audit, None, revoked).await?;
        let operator = key(self.key_store(), "operator")?;
        let canonry = key(self.key_store(), "CANONRY")?;
        let token = accounts::audit(&operator, &canonry, self.accounts(), &all, Issued::Now)?;
        push(sys, &audit, token, &all).await
    }

    /// Pushes a tenant's claims with these revocations and all that are known.
    pub(crate) async fn push_tenant(
        &self,
        sys: &impl Bus,
        tenant: &TenantId,
        revoked: &Revoked,
    ) -> Result<(), Error> {
        let account = self.tenant_account(tenant)?.public_key();
        let all = self.all_revoked(sys, &account, Some(tenant), revoked).await?;
        let operator = key(self.key_store(), "operator")?;
        let canonry = key(self.key_store(), "CANONRY")?;
        let tiers = self.tier_keys(tenant)?;
        let token = accounts::tenant(&operator, &canonry, &account, tenant, &tiers, &all)?;
        push(sys, &account, token, &all).await
    }

    /// These, what the home keeps and what the server has; kept before they are pushed.
    async fn all_revoked(
        &self,
        sys: &impl Bus,
        account: &str,
        tenant: Option<&TenantId>,
        revoked: &Revoked,
    ) -> Result<Revoked, Error> {
        let store = self.key_store();
        let kept = Revoked::kept(store, tenant)?;
        let all = kept.clone().join(revoked.clone())?.join(live(sys, account).await?)?;
        if all != kept {
            all.keep(store, tenant)?;
        }
        Ok(all)
    }
}

/// What the server's claims of an account revoke; nothing where it has none yet.
async fn live(sys: &impl Bus, account: &str) -> Result<Revoked, Error> {
    let subject = format!("$SYS.REQ.ACCOUNT.{account}.CLAIMS.LOOKUP");
    let answer = sys.request(&subject, Vec::new()).await;
    let answer = answer.map_err(|source| Error::Request { subject, source })?;
    let text = String::from_utf8(answer).unwrap_or_default();
    if text.trim().is_empty() {
        return Ok(Revoked::default());
    }
    Ok(Revoked::in_claims(&jwt::decode(text.trim())?))
}

/// A user's public key as NATS writes it: base 32 of a prefix, the key, and CRC-16/XMODEM.
#[must_use]
pub fn user_nkey(public: &[u8; 32]) -> String {
    let mut raw = vec![USER_PREFIX];
    raw.extend_from_slice(public);
    let crc = raw.iter().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    raw.extend_from_slice(&crc.to_le_bytes());
    BASE32_NOPAD.encode(&raw)
}

/// Pushes claims and looks whether the server has their revocations.
async fn push(sys: &impl Bus, account: &str, token: String, all: &Revoked) -> Result<(), Error> {
    let answer = ask(sys, UPDATE, token.into_bytes()).await?;
    if answer["data"]["code"] != 200 {
        return Err(refused(UPDATE, &answer));
    }
    if all.is_empty() || all.0.is_subset(&live(sys, account).await?.0) {
        return Ok(());
    }
    Err(Error::NotRevoked(account.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_key_is_written_as_nats_does() {
        for _ in 0..64 {
            let text = nkeys::KeyPair::new_user().public_key();
            let (_, public) = nkeys::from_public_key(&text).expect("valid");
            assert_eq!(user_nkey(&public), text);
        }
    }

    #[test]
    fn an_account_carries_so_many_and_no_more() {
        let keys: Vec<[u8; 32]> = (0..=REVOKED_LOGINS)
            .map(|n| {
                let mut key = [0; 32];
                key[..8].copy_from_slice(&n.to_le_bytes());
                key
            })
            .collect();
        let most = Revoked::of(&keys[..REVOKED_LOGINS]);
        assert_eq!(most.len(), REVOKED_LOGINS);
        let claims = Value::Object(most.written(Map::new()));
        assert!(claims.to_string().len() * 4 / 3 < 1_000_000, "the claims fit into a message");
        let last = Revoked::of(&keys[REVOKED_LOGINS..]);
        assert!(matches!(most.join(last), Err(Error::TooManyRevoked { .. })));
    }
}
