//! The KV engine, version 2: fields of a secret, and its versions. A write changes one field and
//! keeps the others; who was overtaken by another writer tries again.

use std::collections::BTreeMap;

use reqwest::Method;
use serde::{Deserialize, Serialize};

use super::parse::Text;
use super::session::body;
use super::wire::{Again, Ask};
use super::{Vault, bare};
use crate::error::{Error, Kind};
use crate::limits::{NAMES, WRITES};
use crate::reference::{Place, Reference};
use crate::secret::Secret;

/// One version of a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    /// Its number, from 1.
    pub number: u64,
    /// Whether it is marked as deleted, and could come back.
    pub deleted: bool,
    /// Whether its bytes are gone.
    pub destroyed: bool,
}

#[derive(Deserialize)]
struct Data<T> {
    data: T,
}

#[derive(Deserialize)]
struct Metadata {
    current_version: u64,
    versions: BTreeMap<String, Told>,
}

impl Metadata {
    /// Whether the newest version is there and not marked as deleted.
    fn stands(&self) -> bool {
        let newest = self.versions.get(&self.current_version.to_string());
        newest.is_some_and(|told| told.deletion_time.is_empty() && !told.destroyed)
    }
}

#[derive(Deserialize)]
struct Told {
    deletion_time: String,
    destroyed: bool,
}

/// A write: of one field, or of the first.
#[derive(Serialize)]
struct Write<'a> {
    data: BTreeMap<&'a str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    options: Option<Guard>,
}

#[derive(Serialize)]
struct Guard {
    cas: u64,
}

impl Vault {
    fn at(&self, part: &str, place: &Place) -> String {
        format!("{}/{part}/{}", self.inner.mount, place.path())
    }

    pub(super) async fn read(
        &self,
        reference: &Reference,
        version: Option<u64>,
    ) -> Result<Secret, Error> {
        let mut path = self.at("data", reference.place());
        if let Some(version) = version {
            path = format!("{path}?version={version}");
        }
        let answer = self.call(&|| Ok(Ask::get(path.clone()))).await?;
        let mut read: Data<Data<BTreeMap<String, Text>>> = answer.read("a secret")?;
        let found = read.data.data.remove(reference.field()).and_then(Text::secret);
        found.ok_or_else(|| Error::plain(Kind::Unknown))
    }

    /// An older version of a field.
    ///
    /// # Errors
    /// `secret-unknown` also for a version that was deleted; the vault refuses or does not answer.
    pub async fn get_version(&self, reference: &Reference, number: u64) -> Result<Secret, Error> {
        self.read(reference, Some(number)).await.map_err(|e| e.named(reference))
    }

    /// The versions of a secret that the vault keeps.
    ///
    /// # Errors
    /// `secret-unknown`, or the vault refuses or does not answer.
    pub async fn versions(&self, place: &Place) -> Result<Vec<Version>, Error> {
        let metadata = self.metadata(place).await.map_err(|e| e.named(place))?;
        let malformed = || Error::at(Kind::Malformed("the number of a version"), place);
        let mut all = Vec::new();
        for (number, told) in metadata.versions {
            let number = number.parse().map_err(|_| malformed())?;
            let deleted = !told.deletion_time.is_empty();
            all.push(Version { number, deleted, destroyed: told.destroyed });
        }
        all.sort_by_key(|version| version.number);
        Ok(all)
    }

    /// Destroys the bytes of some versions for ever; the others stay.
    ///
    /// # Errors
    /// The vault refuses or does not answer.
    pub async fn destroy(&self, place: &Place, numbers: &[u64]) -> Result<(), Error> {
        let path = self.at("destroy", place);
        let ask = || {
            let named = body(&BTreeMap::from([("versions", numbers)]))?;
            Ok(Ask::post(path.clone(), named, Again::Always))
        };
        self.call(&ask).await.map(drop).map_err(|e| e.named(place))
    }

    async fn metadata(&self, place: &Place) -> Result<Metadata, Error> {
        let path = self.at("metadata", place);
        let answer = self.call(&|| Ok(Ask::get(path.clone()))).await?;
        Ok(answer.read::<Data<Metadata>>("the versions of a secret")?.data)
    }

    pub(super) async fn write(&self, reference: &Reference, value: &Secret) -> Result<(), Error> {
        let text = value.expose_text().ok_or_else(|| Error::plain(Kind::NotText))?;
        let (place, path) = (reference.place(), self.at("data", reference.place()));
        let data = || BTreeMap::from([(reference.field(), text)]);
        for _ in 0..WRITES {
            // Of a secret that is there one field alone is sent, and the server merges.
            let patch = || {
                let body = body(&Write { data: data(), options: None })?;
                let ask = Ask::post(path.clone(), body, Again::Always);
                Ok(Ask { method: Method::PATCH, ..ask })
            };
            match self.call(&patch).await {
                Err(error) if error.kind == Kind::Unknown => {}
                other => return other.map(drop),
            }
            let cas = match self.metadata(place).await {
                // Somebody wrote it meanwhile: a whole write would lose those fields.
                Ok(metadata) if metadata.stands() => continue,
                Ok(metadata) => metadata.current_version,
                Err(error) if error.kind == Kind::Unknown => 0,
                Err(error) => return Err(error),
            };
            let post = || {
                let body = body(&Write { data: data(), options: Some(Guard { cas }) })?;
                // Guarded, so that a second one does not replace what came between.
                Ok(Ask::post(path.clone(), body, Again::Always))
            };
            match self.call(&post).await {
                Err(error) if error.kind == Kind::Changed => {}
                other => return other.map(drop),
            }
        }
        Err(Error::plain(Kind::Changed))
    }

    pub(super) async fn remove(&self, place: &Place) -> Result<(), Error> {
        // The engine answers the same whether it was there or not.
        self.metadata(place).await?;
        let path = self.at("metadata", place);
        self.call(&|| Ok(bare(Method::DELETE, path.clone()))).await.map(drop)
    }

    pub(super) async fn names(&self, place: Option<&Place>) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Keys {
            keys: Vec<String>,
        }
        let path = match place {
            Some(place) => self.at("metadata", place),
            None => format!("{}/metadata", self.inner.mount),
        };
        let answer = match self.call(&|| Ok(Ask::get(format!("{path}/?list=true")))).await {
            Err(error) if error.kind == Kind::Unknown => return Ok(Vec::new()),
            other => other?,
        };
        let mut names = answer.read::<Data<Keys>>("a list of names")?.data.keys;
        names.truncate(NAMES);
        names.sort();
        Ok(names)
    }
}
