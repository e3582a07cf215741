//! Private keys of a decider from a store, each way that it can go.

use canonry_keystore::{KeySource as _, KeyUse, StoredKey};
use canonry_schemas::ids::TenantId;
use canonry_secrets::{Embedded, SecretStore as _, Settings, VaultKeys};

use crate::bao::Bao;
use crate::support::{config, place, reference, secret};

/// A key and its seed as it lies in a store.
fn key() -> (StoredKey, String) {
    use base64::Engine as _;
    let key = StoredKey::generate(&[KeyUse::Record], "svc_decider".parse().unwrap()).unwrap();
    let seed = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(key.key.to_bytes());
    (key, seed)
}

fn acme() -> TenantId {
    "acme".parse().unwrap()
}

/// All that an error says.
fn shown(error: &canonry_keystore::Error) -> String {
    let source = std::error::Error::source(error).map(ToString::to_string);
    format!("{error} {error:?} {source:?}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decider_opens_its_keys_from_a_vault() {
    let Some(bao) = Bao::start() else { return };
    let login = bao.role("decider", &[]);
    let folder = bao.folder("none");
    let settings = Settings { folder, passphrase: None, vault: Some(config(&bao, &login)) };
    let keys = VaultKeys::start(settings.clone(), place("secret://vault/keys")).unwrap();
    let ((good, seed), (other, _)) = (key(), key());
    assert!(keys.open(&acme(), &good.id()).unwrap().is_none(), "nothing lies there yet");
    let put = |id: &str, seed: &str| {
        bao.run(&["kv", "put", &format!("secret/keys/acme/{id}"), &format!("seed={seed}")])
    };
    put(good.id().as_str(), &seed);
    let opened = keys.open(&acme(), &good.id()).unwrap().unwrap();
    assert_eq!(opened.verifying_key(), good.key.verifying_key());
    assert!(keys.open(&"globex".parse().unwrap(), &good.id()).unwrap().is_none());

    // Another key under this name, and what is no key at all.
    for (id, text) in [(other.id(), seed.as_str()), (other.id(), "canary-no-seed")] {
        put(id.as_str(), text);
        let error = keys.open(&acme(), &id).unwrap_err();
        assert!(!shown(&error).contains(text), "{}", shown(&error));
    }
    bao.seal();
    let error = keys.open(&acme(), &good.id()).unwrap_err();
    assert!(shown(&error).contains("sealed"), "{}", shown(&error));
    bao.unseal();
    assert!(keys.open(&acme(), &good.id()).unwrap().is_some());

    // A wrong login is seen at the start.
    let mut wrong = settings;
    wrong.vault.as_mut().unwrap().secret_id = secret("canary-wrong");
    let error = VaultKeys::start(wrong.clone(), place("secret://vault/keys")).unwrap_err();
    assert_eq!(error.code(), "vault-login-refused");
    let error = VaultKeys::start(wrong, place("secret://other/keys")).unwrap_err();
    assert_eq!(error.code(), "secret-store-unknown");
}

#[tokio::test]
async fn and_from_the_sealed_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = Embedded::create(dir.path(), None).unwrap();
    let (good, seed) = key();
    let at = reference(&format!("secret://file/keys/acme/{}#seed", good.id()));
    store.put(&at, &secret(&format!("{seed}\n"))).await.unwrap();
    let settings = Settings { folder: dir.path().to_owned(), passphrase: None, vault: None };
    // On a runtime of one thread too.
    let keys = VaultKeys::start(settings, place("secret://file/keys")).unwrap();
    assert_eq!(keys.reference(&acme(), &good.id()).unwrap(), at);
    let opened = keys.open(&acme(), &good.id()).unwrap().unwrap();
    assert_eq!(opened.verifying_key(), good.key.verifying_key());
}
