//! Where copies lie: a folder (`file:///…`) or a bucket (`s3://bucket/prefix`). Objects are small
//! enough to be held whole. What must never change is written with put-if-absent.
//!
//! Credentials come from the standard variables of S3 (`AWS_ACCESS_KEY_ID`,
//! `AWS_SECRET_ACCESS_KEY`, `AWS_ENDPOINT_URL`, …) or from the file that
//! `AWS_SHARED_CREDENTIALS_FILE` names, never from an address.

use std::collections::BTreeMap;
use std::path::Path as FilePath;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    ClientOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, RetryConfig,
};

use crate::error::Error;
use crate::limits::{REQUEST_WITHIN, RETRIES, RETRY_WITHIN};

/// Variables of the environment, by name.
type Variables = BTreeMap<String, String>;

/// A place.
#[derive(Clone)]
pub struct Place {
    store: Arc<dyn ObjectStore>,
    root: Path,
    shown: String,
}

impl std::fmt::Debug for Place {
    /// Its address alone: the client within knows credentials.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Place({})", self.shown)
    }
}

impl Place {
    /// Opens `file:///folder` or `s3://bucket/prefix`, with the credentials of this process's
    /// environment.
    ///
    /// # Errors
    /// [`Error::Address`], also for a folder that is not there; asks no server.
    pub fn open(url: &str) -> Result<Self, Error> {
        let ours = |(name, _): &(String, String)| name.starts_with("AWS_");
        Self::open_with(url, std::env::vars().filter(ours))
    }

    /// The same, to be written: a folder is made where it is not there. A bucket is not.
    ///
    /// # Errors
    /// [`Error::Address`]; asks no server.
    pub fn make(url: &str) -> Result<Self, Error> {
        use std::os::unix::fs::DirBuilderExt as _;
        if let Some(folder) = url.strip_prefix("file://").filter(|f| f.starts_with('/')) {
            // What lies there is sealed, but nobody else's business.
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
            made.map_err(|e| Error::Address { url: shown(url), why: e.to_string() })?;
        }
        Self::open(url)
    }

    /// As [`Self::open`], with these variables in the place of the environment's.
    ///
    /// # Errors
    /// [`Error::Address`]; asks no server.
    pub fn open_with(
        url: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, Error> {
        let wrong = |why: &str| Error::Address { url: shown(url), why: why.to_owned() };
        if let Some(folder) = url.strip_prefix("file://") {
            if !folder.starts_with('/') || folder.len() < 2 {
                return Err(wrong("expected file:/// and an absolute path"));
            }
            return Self::folder(FilePath::new(folder)).map_err(|why| wrong(&why));
        }
        let rest = url
            .strip_prefix("s3://")
            .ok_or_else(|| wrong("expected file:///folder or s3://bucket/prefix"))?;
        if rest.contains(['@', '?', '#']) {
            return Err(wrong("credentials and options do not belong into an address"));
        }
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        if bucket.is_empty() {
            return Err(wrong("the bucket is missing"));
        }
        let root = Path::parse(prefix.trim_end_matches('/'));
        let root = root.map_err(|e| wrong(&e.to_string()))?;
        let variables = variables.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        let store = bucket_of(bucket, &variables).map_err(|why| wrong(&why))?;
        Ok(Self { store, root, shown: url.trim_end_matches('/').to_owned() })
    }

    fn folder(folder: &FilePath) -> Result<Self, String> {
        if !folder.is_dir() {
            return Err("there is no such folder".to_owned());
        }
        let store = LocalFileSystem::new_with_prefix(folder).map_err(|e| e.to_string())?;
        let shown = format!("file://{}", folder.display()).trim_end_matches('/').to_owned();
        Ok(Self { store: Arc::new(store.with_fsync(true)), root: Path::default(), shown })
    }

    /// Its address.
    #[must_use]
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// A place below this one.
    #[must_use]
    pub fn below(&self, name: &str) -> Self {
        let root = name.split('/').fold(self.root.clone(), |path, part| path.join(part));
        let shown = format!("{}/{name}", self.shown);
        Self { store: Arc::clone(&self.store), root, shown }
    }

    fn path(&self, name: &str) -> Path {
        name.split('/').fold(self.root.clone(), |path, part| path.join(part))
    }

    fn failed(&self, what: String) -> impl FnOnce(object_store::Error) -> Error {
        let place = self.shown.clone();
        move |source| Error::Place { place, what, source: source.into() }
    }

    /// Writes an object that was never there. The same bytes again are the same object: a request
    /// whose answer was lost may be sent again.
    ///
    /// # Errors
    /// [`Error::Exists`] when other bytes lie there; [`Error::Place`].
    pub async fn put_new(&self, name: &str, bytes: Bytes) -> Result<(), Error> {
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&self.path(name), bytes.clone().into(), options).await {
            Ok(_) => Ok(()),
            Err(object_store::Error::AlreadyExists { .. }) => {
                let most = bytes.len() as u64;
                match self.get(name, most).await {
                    Ok(Some(there)) if there == bytes => Ok(()),
                    Ok(_) | Err(Error::Object { .. }) => Err(Error::Exists(name.to_owned())),
                    Err(error) => Err(error),
                }
            }
            Err(error) => Err(self.failed(format!("writing {name}"))(error)),
        }
    }

    /// Writes an object in the place of what is there.
    ///
    /// # Errors
    /// [`Error::Place`].
    pub async fn put(&self, name: &str, bytes: Bytes) -> Result<(), Error> {
        let put = self.store.put(&self.path(name), bytes.into()).await;
        put.map(drop).map_err(self.failed(format!("writing {name}")))
    }

    /// An object of at most `most` bytes; `None` when it is not there.
    ///
    /// # Errors
    /// [`Error::Object`] when it is larger; [`Error::Place`].
    pub async fn get(&self, name: &str, most: u64) -> Result<Option<Bytes>, Error> {
        let found = match self.store.get(&self.path(name)).await {
            Ok(found) => found,
            Err(object_store::Error::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(self.failed(format!("reading {name}"))(error)),
        };
        if found.meta.size > most {
            let why = format!("{} bytes, at most {most}", found.meta.size);
            return Err(Error::object(name, why));
        }
        found.bytes().await.map(Some).map_err(self.failed(format!("reading {name}")))
    }

    /// The names below a folder and their sizes, in order.
    ///
    /// # Errors
    /// [`Error::Place`].
    pub async fn list(&self, folder: &str) -> Result<Vec<(String, u64)>, Error> {
        let prefix = self.path(folder);
        let found: Vec<_> = self
            .store
            .list(Some(&prefix))
            .try_collect()
            .await
            .map_err(self.failed(format!("listing {folder}")))?;
        let name = |meta: &object_store::ObjectMeta| meta.location.filename().map(str::to_owned);
        let mut names: Vec<_> =
            found.iter().filter_map(|meta| Some((name(meta)?, meta.size))).collect();
        names.sort();
        Ok(names)
    }
}

/// An address without what could be secret.
fn shown(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, rest)) => format!("{scheme}://…@{rest}"),
            None => url.to_owned(),
        },
        None => url.to_owned(),
    }
}

fn bucket_of(bucket: &str, variables: &Variables) -> Result<Arc<dyn ObjectStore>, String> {
    // An error here says that a provider is installed already, which is all that is needed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let retry =
        RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_WITHIN, ..RetryConfig::default() };
    // Plain HTTP only where it is asked for, by the variable that other programs know.
    let plain = variables.get("AWS_ALLOW_HTTP").is_some_and(|v| v.eq_ignore_ascii_case("true"));
    let client = ClientOptions::new().with_timeout(REQUEST_WITHIN).with_allow_http(plain);
    let mut builder = AmazonS3Builder::new().with_client_options(client).with_retry(retry);
    for (name, value) in variables {
        if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    if !variables.contains_key("AWS_ACCESS_KEY_ID")
        && let Some(file) = variables.get("AWS_SHARED_CREDENTIALS_FILE")
    {
        let profile = variables.get("AWS_PROFILE").map_or("default", String::as_str);
        let text = std::fs::read_to_string(file).map_err(|e| format!("{file}: {e}"))?;
        let keys = credentials(&text, profile);
        let (id, secret) = keys.ok_or_else(|| format!("{file}: no keys of profile {profile}"))?;
        builder = builder.with_access_key_id(id).with_secret_access_key(secret);
    }
    // Last, so that no variable names another bucket, or has what must not change overwritten.
    let builder = builder.with_bucket_name(bucket);
    let builder = builder.with_conditional_put(S3ConditionalPut::ETagMatch);
    Ok(Arc::new(builder.build().map_err(|e| e.to_string())?))
}

/// The keys of a profile in the text of a shared credentials file.
fn credentials(text: &str, profile: &str) -> Option<(String, String)> {
    let (mut here, mut id, mut secret) = (false, None, None);
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            here = name.trim() == profile;
        } else if let (true, Some((name, value))) = (here, line.split_once('=')) {
            match name.trim() {
                "aws_access_key_id" => id = Some(value.trim().to_owned()),
                "aws_secret_access_key" => secret = Some(value.trim().to_owned()),
                _ => {}
            }
        }
    }
    id.zip(secret)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_there_is_never_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("file://{}/a/b", dir.path().display());
        assert_eq!(Place::open(&url).unwrap_err().code(), "place-invalid", "it is not there");
        let place = Place::make(&url).unwrap();
        let place = place.below("acme");
        assert_eq!(place.get("ledger/x", 9).await.unwrap(), None);
        assert!(place.list("ledger").await.unwrap().is_empty());
        place.put_new("ledger/x", "one".into()).await.unwrap();
        place.put_new("ledger/x", "one".into()).await.unwrap();
        for other in ["two", "one and more"] {
            let refused = place.put_new("ledger/x", other.into()).await.unwrap_err();
            assert_eq!(refused.code(), "object-exists");
        }
        assert_eq!(place.get("ledger/x", 9).await.unwrap().unwrap(), "one");
        assert_eq!(place.get("ledger/x", 2).await.unwrap_err().code(), "object-wrong");
        place.put("head", "1".into()).await.unwrap();
        place.put("head", "2".into()).await.unwrap();
        assert_eq!(place.get("head", 9).await.unwrap().unwrap(), "2");
        assert_eq!(place.list("ledger").await.unwrap(), [("x".to_owned(), 3)]);
        assert!(dir.path().join("a/b/acme/ledger/x").exists());
    }

    #[test]
    fn addresses_are_read_strictly_and_hold_no_secret() {
        let open = |url: &str| Place::open_with(url, []);
        for bad in ["", "/x", "file://x", "file:///", "http://x", "s3://", "s3://b?x=1", "s3:///k"]
        {
            assert_eq!(open(bad).unwrap_err().code(), "place-invalid", "{bad}");
        }
        let refused = open("s3://AKIA:hush@bucket/x").unwrap_err().to_string();
        assert!(!refused.contains("hush") && !refused.contains("AKIA"), "{refused}");
    }

    #[test]
    fn keys_come_from_the_profile() {
        let text = "[other]\naws_access_key_id=a\naws_secret_access_key=b\n\
                    [default]\naws_access_key_id = c\nregion = x\naws_secret_access_key = d\n";
        assert_eq!(credentials(text, "default"), Some(("c".to_owned(), "d".to_owned())));
        assert_eq!(credentials(text, "other"), Some(("a".to_owned(), "b".to_owned())));
        assert_eq!(credentials(text, "none"), None);
    }
}
