//! `canonry secrets` as people meet it, with a sealed file and a real OpenBao; and a decider whose
//! record key lies in no file.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use crate::bao::{Bao, Login};
use crate::program::{Ran, Up, canonry, ran};

const VALUE: &str = "canary-cli-8d1f27";

/// Runs with text on stdin and variables.
fn fed(folder: &Path, words: &[&str], input: &str, variables: &[(&str, String)]) -> Ran {
    let mut command = canonry(folder, words);
    command.envs(variables.iter().map(|(n, v)| (*n, v.as_str())));
    command.env("RUST_LOG", "trace");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // One that refuses before it reads closes its end.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let done: Ran = child.wait_with_output().unwrap().into();
    let revealed = words.contains(&"--reveal");
    assert!(revealed || !format!("{}{}", done.out, done.err).contains(VALUE), "{words:?}");
    assert!(!done.err.contains(VALUE), "{words:?}: {}", done.err);
    done
}

/// What the environment of a role holds; the secret id lies in a file.
fn variables(bao: &Bao, login: &Login) -> Vec<(&'static str, String)> {
    use std::os::unix::fs::PermissionsExt as _;
    let file = bao.folder("login").join(&login.role_id);
    std::fs::write(&file, format!("{}\n", login.secret_id)).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    vec![
        ("CANONRY_VAULT_ADDR", bao.address.clone()),
        ("CANONRY_VAULT_CA", bao.ca().display().to_string()),
        ("CANONRY_VAULT_ROLE_ID", login.role_id.clone()),
        ("CANONRY_VAULT_SECRET_ID_FILE", file.display().to_string()),
    ]
}

#[test]
fn the_sealed_file_from_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    let run = |words: &[&str], input: &str| {
        fed(folder.path(), &[&["secrets"], words].concat(), input, &[])
    };
    let name = "secret://file/mail/smtp#password";
    let none = run(&["put", name], VALUE);
    assert!(none.code == 64 && none.err.contains("secret-store-unknown"), "{}", none.err);
    assert_eq!(run(&["init"], "").code, 0);
    let twice = run(&["init"], "");
    assert!(twice.code == 1 && twice.err.contains("secret-store-exists"), "{}", twice.err);

    let put = run(&["put", name], &format!("{VALUE}\n"));
    assert_eq!((put.code, put.out.trim()), (0, format!("kept {name}").as_str()), "{}", put.err);
    let there = run(&["get", name, "--json"], "");
    let told: Value = serde_json::from_str(&there.out).unwrap();
    assert_eq!((there.code, &told["done"]), (0, &Value::from("readable")));
    let shown = run(&["get", name, "--reveal"], "");
    assert_eq!(shown.out, format!("{VALUE}\n"), "one line break is not part of the value");
    assert!(shown.err.contains("in clear"), "{}", shown.err);
    assert_eq!(run(&["list", "file"], "").out, "mail/\n");
    assert_eq!(run(&["list", "secret://file/mail"], "").out, "smtp\n");
    let status = run(&["status", "--json"], "");
    let told: Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!(told, serde_json::json!({ "file": "open", "vault": "not configured" }));

    for (words, code, exit) in [
        (&["get", "secret://file/none#x"][..], "secret-unknown", 1),
        (&["put", name], "secret-empty", 1),
        (&["get", VALUE], "secret-reference-invalid", 2),
        (&["put", VALUE], "secret-reference-invalid", 2),
        (&["delete", "secret://file/mail/smtp#password"], "secret-reference-invalid", 2),
        (&["get", "secret://other/x#y"], "secret-store-unknown", 64),
        (&["get", "secret://vault/x#y"], "secret-store-unknown", 64),
        (&["login-check"], "secret-store-unknown", 64),
    ] {
        let done = run(words, "");
        assert!(done.code == exit && done.err.contains(code), "{words:?}: {}", done.err);
        assert!(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join(format!("schemas/errors/{code}.md"))
                .exists()
        );
    }
    let large = "v".repeat(40_000);
    let refused = run(&["put", name], &large);
    assert!(refused.err.contains("secret-too-large") && !refused.err.contains("vvv"));
    assert_eq!(run(&["delete", "secret://file/mail/smtp"], "").code, 0);
    assert_eq!(run(&["get", name], "").code, 1);
}

#[test]
fn a_vault_from_the_command_line() {
    let Some(bao) = Bao::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let as_role = |login: &Login, words: &[&str], input: &str| {
        fed(folder.path(), &[&["secrets"], words].concat(), input, &variables(&bao, login))
    };
    let (keeper, reader) = (bao.role("keeper", &[]), bao.role("t1", &[]));
    let name = "secret://vault/tiers/t1/crm#token";
    assert_eq!(as_role(&keeper, &["login-check"], "").code, 0);
    let put = as_role(&keeper, &["put", name], VALUE);
    assert_eq!(put.code, 0, "{}", put.err);
    let refused = as_role(&keeper, &["get", name], "");
    assert!(refused.code == 1 && refused.err.contains("vault-refused"), "{}", refused.err);
    assert_eq!(as_role(&reader, &["get", name], "").code, 0);
    let reveal = as_role(&reader, &["get", name, "--reveal"], "");
    assert_eq!((reveal.code, reveal.out.as_str()), (2, ""), "{}", reveal.err);
    assert_eq!(as_role(&keeper, &["list", "secret://vault/tiers/t1"], "").out, "crm\n");
    assert_eq!(as_role(&keeper, &["delete", "secret://vault/tiers/t1/crm"], "").code, 0);
    let wrong = Login { secret_id: VALUE.to_owned(), ..reader.clone() };
    let done = as_role(&wrong, &["login-check"], "");
    assert!(done.code == 1 && done.err.contains("vault-login-refused"), "{}", done.err);
    bao.seal();
    let sealed = as_role(&reader, &["status"], "");
    assert_eq!((sealed.code, sealed.out.as_str()), (69, "file   not made\nvault  sealed\n"));
    let sealed = as_role(&reader, &["get", name], "");
    assert!(sealed.code == 69 && sealed.err.contains("vault-sealed"), "{}", sealed.err);
}

/// Every file below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found
}

#[test]
fn a_decider_signs_with_a_key_that_lies_in_no_file() {
    let Some(bao) = Bao::start() else { return };
    let mut up = Up::start(&["up"]);
    assert_eq!(up.stop(), Some(0));
    let keys = up.home().join("tenants/acme/keys");
    let named =
        |entry: &PathBuf| entry.file_name().unwrap().to_str().unwrap().starts_with("record-");
    let file = files(&keys).into_iter().find(named).unwrap();
    let key: Value = serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
    let (id, seed) = (key["id"].as_str().unwrap(), key["seed"].as_str().unwrap().to_owned());
    std::fs::remove_file(&file).unwrap();
    let at = format!("secret/keys/acme/{id}");
    bao.run(&["kv", "put", &at, &format!("seed={seed}")]);

    let decider = variables(&bao, &bao.role("decider", &[]));
    let mut with: Vec<(&str, &str)> = decider.iter().map(|(n, v)| (*n, v.as_str())).collect();
    with.push(("RUST_LOG", "trace"));
    let words = ["up", "--keys", "secret://vault/keys"];
    up.start_again(&words, &with);
    let opened = up.run(&["submit", "ticket", "open", r#"{"title":"x"}"#]);
    assert_eq!(opened.code, 0, "{}{}", opened.out, opened.err);
    let verified = up.run(&["ledger", "verify", "--tenant", up.identity()]);
    assert_eq!(verified.code, 0, "{}{}", verified.out, verified.err);
    assert_eq!(up.stop(), Some(0));
    for path in files(up.folder.path()) {
        let bytes = std::fs::read(&path).unwrap();
        let found = bytes.windows(seed.len()).any(|part| part == seed.as_bytes());
        assert!(!found, "{} holds the seed", path.display());
    }

    // Without a login it does not start, and says why.
    let mut wrong = canonry(up.folder.path(), &words);
    wrong.envs(with.iter().copied()).env("CANONRY_VAULT_ROLE_ID", "nobody");
    let refused = ran(&mut wrong);
    assert!(refused.code == 1 && refused.err.contains("vault-login-refused"), "{}", refused.err);
}
