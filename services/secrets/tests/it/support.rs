//! Short ways to say things.

use canonry_secrets::{Config, Place, Reference, Secret, Vault};

use crate::bao::{Bao, Login};

pub fn secret(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec()).unwrap()
}

pub fn place(text: &str) -> Place {
    text.parse().unwrap()
}

pub fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// The configuration with which a role logs in.
pub fn config(bao: &Bao, login: &Login) -> Config {
    Config {
        address: bao.address.clone(),
        ca: Some(bao.ca()),
        namespace: None,
        mount: "secret".to_owned(),
        login: "approle".to_owned(),
        role_id: secret(&login.role_id),
        secret_id: secret(&login.secret_id),
        wrapped: false,
    }
}

pub async fn vault(bao: &Bao, login: &Login) -> Vault {
    Vault::open(config(bao, login)).await.unwrap()
}

/// An error with all that can be printed of it.
pub fn everything(error: &canonry_secrets::Error) -> String {
    let mut text = format!("{error} {error:?} {error:#?}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(" {cause} {cause:?} {cause:#?}"));
        source = cause.source();
    }
    text
}
