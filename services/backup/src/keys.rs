//! The copy of a tenant's content keys: the bucket's values as they lie there, still wrapped under
//! the key-encryption key, which is never copied. There is **one** copy, overwritten by each backup:
//! a key that was shredded in the bucket is gone from the copy with the next backup, and no older
//! copy brings it back. A bucket that lost keys without a trace does not overwrite it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use canonry_nats::{Connection, Kv, Watched};
use canonry_record::content;
use canonry_record::encoding::{base64_padded, unbase64_padded};
use canonry_schemas::ids::TenantId;
use canonry_schemas::subject::content_bucket;
use canonry_schemas::time::Time;
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::layout::KEYS;
use crate::limits::KEYS_BYTES;
use crate::manifest::FORM;
use crate::place::Place;

/// What the bucket held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyCopy {
    /// The form of the file.
    pub form: u32,
    /// Whose.
    pub tenant: TenantId,
    /// When it was taken.
    pub at: Time,
    /// By name, the stored value in base64.
    pub entries: BTreeMap<String, String>,
    /// Names whose values were deleted.
    pub deleted: BTreeSet<String>,
}

impl KeyCopy {
    /// Takes a copy of the bucket.
    ///
    /// # Errors
    /// [`Error::Nats`].
    pub async fn take(connection: &Connection, tenant: &TenantId, at: Time) -> Result<Self, Error> {
        let failed = |e: canonry_nats::Error| Error::nats("reading content keys", e);
        let bucket = Kv::open(connection.clone(), &content_bucket(tenant)).map_err(failed)?;
        let mut watch = bucket.watch(">").await.map_err(failed)?;
        let (mut entries, mut deleted) = (BTreeMap::new(), BTreeSet::new());
        while let Some(told) = watch.next().await {
            match told.map_err(failed)? {
                Watched::UpToDate => break,
                Watched::Entry(entry) if entry.deleted => {
                    entries.remove(&entry.key);
                    deleted.insert(entry.key);
                }
                Watched::Entry(entry) => {
                    deleted.remove(&entry.key);
                    entries.insert(entry.key, base64_padded(&entry.value));
                }
            }
        }
        Ok(Self { form: FORM, tenant: tenant.clone(), at, entries, deleted })
    }

    /// The copy that lies in a place.
    ///
    /// # Errors
    /// [`Error::Object`] when it does not read; [`Error::Place`].
    pub async fn read(place: &Place, tenant: &TenantId) -> Result<Option<Self>, Error> {
        let Some(bytes) = place.get(KEYS, KEYS_BYTES).await? else { return Ok(None) };
        let copy: Self = serde_json::from_slice(&bytes).map_err(|e| Error::object(KEYS, e))?;
        if copy.form != FORM || copy.tenant != *tenant {
            return Err(Error::object(KEYS, "of another form or tenant"));
        }
        if copy.entries.values().any(|value| unbase64_padded(value).is_none()) {
            return Err(Error::object(KEYS, "a value is not base64"));
        }
        Ok(Some(copy))
    }

    /// The stored values.
    pub fn values(&self) -> impl Iterator<Item = (&str, Vec<u8>)> {
        let value = |v: &String| unbase64_padded(v).unwrap_or_default();
        self.entries.iter().map(move |(name, v)| (name.as_str(), value(v)))
    }

    /// One stored value.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<Vec<u8>> {
        self.entries.get(name).and_then(|value| unbase64_padded(value))
    }

    /// Opens every value under the key-encryption key, and tells how many there are.
    ///
    /// # Errors
    /// [`Error::Object`] for one that does not open.
    pub fn open(&self, kek: &[u8; 32]) -> Result<usize, Error> {
        for (name, value) in self.values() {
            let opened = content::unwrap(kek, self.tenant.as_str(), name, &value);
            opened.map_err(|e| Error::object(format!("{KEYS}: {name}"), e))?;
        }
        Ok(self.entries.len())
    }

    /// Overwrites the copy in a place and reads it back.
    ///
    /// # Errors
    /// [`Error::KeysLost`] when something that was copied before is neither here nor deleted;
    /// [`Error::Object`] when it reads back otherwise; [`Error::Place`].
    pub async fn write(&self, place: &Place, before: Option<&Self>) -> Result<(), Error> {
        let known =
            |name: &&String| !self.entries.contains_key(*name) && !self.deleted.contains(*name);
        let lost: Vec<&str> = before
            .iter()
            .flat_map(|b| b.entries.keys())
            .filter(known)
            .map(String::as_str)
            .collect();
        if !lost.is_empty() || self.entries.is_empty() {
            let first = lost.first().copied().unwrap_or("all of them");
            return Err(Error::KeysLost(format!("{} of them, such as {first}", lost.len())));
        }
        let bytes = Bytes::from(serde_json::to_vec(self).map_err(|e| Error::object(KEYS, e))?);
        place.put(KEYS, bytes.clone()).await?;
        if place.get(KEYS, KEYS_BYTES).await?.as_ref() != Some(&bytes) {
            return Err(Error::object(KEYS, "it reads back otherwise"));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn copy(entries: &[(&str, &str)], deleted: &[&str]) -> KeyCopy {
        KeyCopy {
            form: FORM,
            tenant: "acme".parse().unwrap(),
            at: Time(0),
            entries: entries.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            deleted: deleted.iter().map(|n| (*n).to_owned()).collect(),
        }
    }

    #[tokio::test]
    async fn a_shredded_key_leaves_the_copy_and_a_lost_one_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place::open(&format!("file://{}", dir.path().display())).unwrap();
        let tenant = "acme".parse().unwrap();
        assert_eq!(copy(&[], &[]).write(&place, None).await.unwrap_err().code(), "keys-lost");
        let first = copy(&[("tenant", "AAAA"), ("g1", "AQID")], &[]);
        first.write(&place, None).await.unwrap();
        let lost = copy(&[("tenant", "AAAA")], &[]);
        assert_eq!(lost.write(&place, Some(&first)).await.unwrap_err().code(), "keys-lost");
        assert_eq!(KeyCopy::read(&place, &tenant).await.unwrap(), Some(first.clone()));
        let shredded = copy(&[("tenant", "AAAA")], &["g1"]);
        shredded.write(&place, Some(&first)).await.unwrap();
        let left = std::fs::read_to_string(dir.path().join(KEYS)).unwrap();
        assert!(!left.contains("AQID"), "{left}");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "one copy, no older one");
        assert!(KeyCopy::read(&place, &"globex".parse().unwrap()).await.is_err());
    }
}
