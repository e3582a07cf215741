//! Which stores there are: `file`, the embedded one in the cell's home, and `vault`, named by the
//! environment. Everything is read once and checked as a whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use canonry_keystore::files;
use zeroize::Zeroizing;

use crate::embedded::Embedded;
use crate::error::{Error, Kind};
use crate::secret::Secret;
use crate::store::SecretStore;
use crate::vault::{Config, Vault};

/// The name of the embedded store.
pub const FILE: &str = "file";
/// The name of the vault.
pub const VAULT: &str = "vault";
/// The folder of the embedded store in a home.
pub const FOLDER: &str = "secrets";

const PASSPHRASE: &str = "CANONRY_SECRETS_PASSPHRASE";
const ADDRESS: &str = "CANONRY_VAULT_ADDR";
const CA: &str = "CANONRY_VAULT_CA";
const NAMESPACE: &str = "CANONRY_VAULT_NAMESPACE";
const MOUNT: &str = "CANONRY_VAULT_MOUNT";
const LOGIN: &str = "CANONRY_VAULT_LOGIN";
const ROLE_ID: &str = "CANONRY_VAULT_ROLE_ID";
const SECRET_ID: &str = "CANONRY_VAULT_SECRET_ID";
const SECRET_ID_FILE: &str = "CANONRY_VAULT_SECRET_ID_FILE";
const WRAPPED_FILE: &str = "CANONRY_VAULT_WRAPPED_SECRET_ID_FILE";

/// Every variable that is read.
pub const VARIABLES: [&str; 10] = [
    PASSPHRASE,
    ADDRESS,
    CA,
    NAMESPACE,
    MOUNT,
    LOGIN,
    ROLE_ID,
    SECRET_ID,
    SECRET_ID_FILE,
    WRAPPED_FILE,
];

/// Where the stores are.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The folder of the embedded store.
    pub folder: PathBuf,
    /// What opens it, where no identity lies beside it.
    pub passphrase: Option<Secret>,
    /// The vault, where one is named.
    pub vault: Option<Config>,
}

impl Settings {
    /// Reads the settings of a home; `read` is the environment.
    ///
    /// # Errors
    /// A variable is missing or wrong, or a file named by one is exposed; nothing secret is quoted.
    pub fn read(home: &Path, read: impl Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let read = |name: &str| read(name).filter(|value| !value.is_empty());
        let secret = |name: &str| {
            let found = read(name).map(|text| Secret::new(text.into_bytes()));
            found.transpose().map_err(|e| e.named(format!("${name}")))
        };
        let vault = match read(ADDRESS) {
            None => None,
            Some(address) => {
                let missing = "$CANONRY_VAULT_ROLE_ID is not set";
                let role_id = secret(ROLE_ID)?;
                let (secret_id, wrapped) = secret_id(&read, &secret)?;
                Some(Config {
                    address,
                    ca: read(CA).map(PathBuf::from),
                    namespace: read(NAMESPACE),
                    mount: read(MOUNT).unwrap_or_else(|| "secret".to_owned()),
                    login: read(LOGIN).unwrap_or_else(|| "approle".to_owned()),
                    role_id: role_id.ok_or_else(|| Error::plain(Kind::Configuration(missing)))?,
                    secret_id,
                    wrapped,
                })
            }
        };
        Ok(Self { folder: home.join(FOLDER), passphrase: secret(PASSPHRASE)?, vault })
    }

    /// Opens a store by its name.
    ///
    /// # Errors
    /// There is no such store, or it does not open.
    pub async fn open(&self, name: &str) -> Result<Arc<dyn SecretStore>, Error> {
        match name {
            FILE => Ok(Arc::new(Embedded::open(&self.folder, self.passphrase.as_ref())?)),
            VAULT => Ok(Arc::new(self.open_vault().await?)),
            other => Err(Error::at(Kind::StoreUnknown, other)),
        }
    }

    /// Opens the vault.
    ///
    /// # Errors
    /// None is named, or its configuration is wrong.
    pub async fn open_vault(&self) -> Result<Vault, Error> {
        let config = self.vault.clone().ok_or_else(|| Error::at(Kind::StoreUnknown, VAULT))?;
        Vault::open(config).await
    }
}

fn secret_id(
    read: &impl Fn(&str) -> Option<String>,
    secret: &impl Fn(&str) -> Result<Option<Secret>, Error>,
) -> Result<(Secret, bool), Error> {
    let wrong = "one of $CANONRY_VAULT_SECRET_ID_FILE, $CANONRY_VAULT_WRAPPED_SECRET_ID_FILE and \
                 $CANONRY_VAULT_SECRET_ID is to be set";
    let wrong = || Error::plain(Kind::Configuration(wrong));
    match (secret(SECRET_ID)?, read(SECRET_ID_FILE), read(WRAPPED_FILE)) {
        (Some(given), None, None) => Ok((given, false)),
        (None, Some(file), None) => Ok((from_file(&file)?, false)),
        (None, None, Some(file)) => Ok((from_file(&file)?, true)),
        _ => Err(wrong()),
    }
}

/// The text of a private file.
fn from_file(path: &str) -> Result<Secret, Error> {
    let bytes = files::read(Path::new(path)).map_err(|e| Error::plain(Kind::File).with(e))?;
    Secret::new(Zeroizing::new(bytes.trim_ascii().to_vec())).map_err(|e| e.named(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(given: &[(&str, &str)]) -> Result<Settings, Error> {
        let given: Vec<_> = given.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        let find = |name: &str| given.iter().find(|(n, _)| n == name).map(|(_, v)| v.clone());
        Settings::read(Path::new("/home"), find)
    }

    #[tokio::test]
    async fn the_environment_names_a_vault_or_none() {
        let none = read(&[]).unwrap();
        assert!(none.vault.is_none() && none.folder == Path::new("/home/secrets"));
        assert_eq!(none.open(VAULT).await.unwrap_err().code(), "secret-store-unknown");
        assert_eq!(none.open(FILE).await.unwrap_err().code(), "secret-store-unknown");
        let at = (ADDRESS, "https://bao:8200");
        let whole = read(&[at, (ROLE_ID, "r"), (SECRET_ID, "hush"), (NAMESPACE, "ns")]).unwrap();
        let config = whole.vault.as_ref().unwrap();
        assert_eq!((config.mount.as_str(), config.login.as_str()), ("secret", "approle"));
        assert!(!format!("{whole:?}").contains("hush"), "{whole:?}");
        for wrong in [
            &[at][..],
            &[at, (ROLE_ID, "r")],
            &[at, (SECRET_ID, "hush")],
            &[at, (ROLE_ID, "r"), (SECRET_ID, "hush"), (WRAPPED_FILE, "/x")],
        ] {
            let error = read(wrong).unwrap_err();
            assert!(error.code() == "secrets-misconfigured", "{error:?}");
            assert!(!format!("{error} {error:?}").contains("hush"), "{error:?}");
        }
        let missing = read(&[at, (ROLE_ID, "r"), (SECRET_ID_FILE, "/nowhere")]).unwrap_err();
        assert_eq!(missing.code(), "secret-store-file");
    }

    #[tokio::test]
    async fn a_token_leaves_in_clear_to_this_machine_alone() {
        for (address, good) in [
            ("http://127.0.0.1:8200", true),
            ("http://[::1]:8200", true),
            ("https://bao:8200", true),
            ("http://bao:8200", false),
            ("http://127.0.0.1.evil:8200", false),
            ("https://me:hush@bao:8200", false),
            ("https://bao:8200?x=1", false),
            ("ftp://bao", false),
            ("bao", false),
        ] {
            let given = [(ADDRESS, address), (ROLE_ID, "r"), (SECRET_ID, "s")];
            let opened = read(&given).unwrap().open(VAULT).await;
            assert_eq!(opened.is_ok(), good, "{address}: {opened:?}");
            if let Err(error) = opened {
                assert_eq!(error.code(), "secrets-misconfigured");
            }
        }
    }
}
