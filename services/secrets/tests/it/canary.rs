//! Canaries: values, secret ids, tokens and passphrases that nobody may ever see. Every path is run
//! with its errors provoked, and everything that can be looked at is searched: logs at the finest
//! level, of ours and of the libraries, `Debug`, errors with their sources, and the files of the
//! embedded store.

use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use canonry_secrets::{
    Embedded, Error, IDENTITY, Place, Reference, SecretStore, Settings, Vault, VaultKeys,
};

use crate::bao::Bao;
use crate::double::{self, Double, Says};
use crate::support::{config, everything, place, reference, secret};

const VALUE: &str = "canary-value-6b2e91";
const OTHER: &str = "canary-other-0d57c3";
const PHRASE: &str = "canary-phrase-a81f44";
const BODY: &str = "canary-body-33e0aa";

/// What was logged in this process.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl log::Log for Heard {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        let line = format!("{} {} {}\n", record.level(), record.target(), record.args());
        self.0.lock().unwrap().extend_from_slice(line.as_bytes());
    }

    fn flush(&self) {}
}

/// Begins to listen, once for all tests of this process.
fn listen() -> Heard {
    static HEARD: OnceLock<Heard> = OnceLock::new();
    let begin = || {
        let heard = Heard::default();
        let writer = heard.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .init();
        log::set_boxed_logger(Box::new(heard.clone())).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
        heard
    };
    HEARD.get_or_init(begin).clone()
}

/// What was said, and by which path.
#[derive(Default)]
struct Said(Vec<(String, String)>);

impl Said {
    fn add(&mut self, what: &str, text: String) {
        self.0.push((what.to_owned(), text));
    }

    fn failed(&mut self, what: &str, error: &Error) {
        self.add(what, everything(error));
    }

    /// Everything that a store does with a field and its place.
    async fn try_all(&mut self, what: &str, store: &dyn SecretStore, at: &Reference) {
        self.add(what, format!("{store:?} {store:#?}"));
        let place: &Place = at.place();
        match store.get(at).await {
            Ok(value) => self.add(what, format!("{value:?} {value:#?}")),
            Err(error) => self.failed(what, &error),
        }
        for value in [VALUE, OTHER] {
            if let Err(error) = store.put(at, &secret(value)).await {
                self.failed(what, &error);
            }
        }
        match store.lease(place).await {
            Ok(lent) => self.add(what, format!("{lent:?} {lent:#?}")),
            Err(error) => self.failed(what, &error),
        }
        for listed in [store.list(None).await, store.list(Some(place)).await] {
            match listed {
                Ok(names) => self.add(what, names.join(" ")),
                Err(error) => self.failed(what, &error),
            }
        }
    }
}

/// A secret as it could lie somewhere: plain, in three encodings, and as bytes in `Debug`.
fn shapes(canary: &str) -> Vec<String> {
    let hex: String = canary.bytes().map(|b| format!("{b:02x}")).collect();
    let bytes = format!("{:?}", canary.as_bytes());
    let inner = bytes.trim_matches(['[', ']']).to_owned();
    // Without the end, which depends on what follows.
    let base64 = |text: String| text[..text.len() - 4].to_owned();
    let encoded = [STANDARD.encode(canary), URL_SAFE_NO_PAD.encode(canary)].map(base64);
    [vec![canary.to_owned(), hex, inner], encoded.into()].concat()
}

fn search(what: &str, text: &[u8], canaries: &[String]) {
    for shape in canaries.iter().flat_map(|canary| shapes(canary)) {
        let found = text.windows(shape.len()).any(|part| part == shape.as_bytes());
        let text = String::from_utf8_lossy(text);
        assert!(!found, "{what} shows {shape:?}: {text:.2000}");
    }
}

async fn embedded(said: &mut Said, folder: &Path) {
    let at = reference("secret://file/canary#value");
    let store = Embedded::create(folder, Some(&secret(PHRASE))).unwrap();
    said.try_all("passphrase", &store, &at).await;
    let wrong = Embedded::open(folder, Some(&secret("canary-phrase-of-others"))).unwrap();
    said.try_all("wrong passphrase", &wrong, &at).await;
    let own = folder.join("own");
    let store = Embedded::create(&own, None).unwrap();
    said.try_all("identity", &store, &at).await;
    // The identity is a secret itself, and is where it must be alone.
    let identity = std::fs::read_to_string(own.join(IDENTITY)).unwrap();
    std::fs::write(own.join("store.age"), format!("{VALUE} no age file")).unwrap();
    said.try_all("damaged", &store, &at).await;
    std::fs::remove_file(own.join("store.age")).unwrap();
    said.try_all("gone", &store, &at).await;
    std::fs::write(own.join(IDENTITY), format!("{identity}{VALUE}")).unwrap();
    std::fs::write(own.join("store.age"), "").unwrap();
    said.failed("malformed identity", &Embedded::open(&own, None).unwrap_err());
    std::fs::remove_file(own.join(IDENTITY)).unwrap();
    let settings = Settings::read(folder, |_| Some(VALUE.to_owned()));
    said.failed("environment", &settings.unwrap_err());
    said.failed("name", &VALUE.parse::<Reference>().unwrap_err());
    for (_, text) in &said.0 {
        assert!(!text.contains(identity.trim()), "{text}");
    }
}

async fn doubles(said: &mut Said) {
    let at = reference("secret://vault/canary#value");
    let body = |text: &str| Says::Status(200, text.replace('$', BODY));
    for says in [
        body("$"),
        body(r#"{"data":{"data":{"value":"$"}}}"#),
        body(r#"{"lease_id":"x/1","lease_duration":60,"renewable":true,"data":{"password":"$"}}"#),
        body(r#"{"lease_id":["$"]}"#),
        body(r#"{"data":{"data":{"value":"$"#),
        Says::Status(400, format!("{{\"errors\":[\"{BODY}\"]}}")),
        Says::Status(403, BODY.to_owned()),
        Says::Status(500, BODY.to_owned()),
        Says::Cut,
    ] {
        let double = Double::start(vec![says.clone()]).await;
        let vault = double.vault().await;
        said.try_all(&format!("{says:?}").replace(BODY, "…"), &vault, &at).await;
        let seen = double.seen();
        assert!(seen.contains(double::SECRET_ID) && seen.contains(double::TOKEN), "it was sent");
        said.add("configuration", format!("{:?}", double.config()));
        let mut wrapped = double.config();
        (wrapped.wrapped, wrapped.secret_id) = (true, secret(OTHER));
        said.failed("wrapping", &Vault::open(wrapped).await.unwrap_err());
        if let Err(error) = vault.close().await {
            said.failed("closing", &error);
        }
    }
}

async fn real(said: &mut Said, bao: &Bao, canaries: &mut Vec<String>) {
    let login = bao.role("keeper", &[]);
    canaries.extend([login.secret_id.clone(), bao.root.clone()]);
    let vault = Vault::open(config(bao, &login)).await.unwrap();
    let at = reference("secret://vault/tiers/t0/canary#value");
    said.try_all("keeper", &vault, &at).await;
    let reader = Vault::open(config(bao, &bao.role("t0", &[]))).await.unwrap();
    assert_eq!(reader.get(&at).await.unwrap(), secret(OTHER), "the canary lies there");
    said.try_all("reader", &reader, &at).await;
    said.try_all("refused", &reader, &reference("secret://vault/tiers/t4/canary#value")).await;
    let mut wrong = config(bao, &login);
    wrong.secret_id = secret(VALUE);
    said.try_all("wrong login", &Vault::open(wrong.clone()).await.unwrap(), &at).await;
    let settings = Settings { folder: bao.folder("x"), passphrase: None, vault: Some(wrong) };
    said.add("settings", format!("{settings:?} {settings:#?}"));
    said.failed("keys", &VaultKeys::start(settings, place("secret://vault/keys")).unwrap_err());
    bao.run(&["token", "revoke", "-mode=path", "auth/approle"]);
    said.try_all("revoked", &reader, &at).await;
    bao.seal();
    said.try_all("sealed", &reader, &at).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_ever_sees_a_canary() {
    let heard = listen();
    let dir = tempfile::tempdir().unwrap();
    let mut said = Said::default();
    let mut canaries: Vec<String> =
        [VALUE, OTHER, PHRASE, BODY, double::TOKEN, double::SECRET_ID].map(str::to_owned).into();
    embedded(&mut said, dir.path()).await;
    doubles(&mut said).await;
    if let Some(bao) = Bao::start() {
        real(&mut said, &bao, &mut canaries).await;
    }
    assert!(said.0.len() > 100, "only {} things were said", said.0.len());
    for (what, text) in &said.0 {
        search(what, text.as_bytes(), &canaries);
    }
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            search(&path.display().to_string(), &std::fs::read(&path).unwrap(), &canaries);
        }
    }
    let heard = heard.0.lock().unwrap().clone();
    let text = String::from_utf8_lossy(&heard);
    // The libraries were heard too, and so were we.
    for from in ["reqwest", "hyper_util", "rustls", "canonry_secrets"] {
        assert!(text.contains(from), "nothing was heard of {from}");
    }
    search("the log", &heard, &canaries);
}

#[test]
fn a_canary_that_sings_is_found() {
    let canaries = [VALUE.to_owned()];
    let found =
        |text: &str| std::panic::catch_unwind(|| search("x", text.as_bytes(), &canaries)).is_err();
    for shape in shapes(VALUE) {
        assert!(found(&format!("a {shape} b")), "{shape}");
    }
    assert!(!found("canary-value"));
}
