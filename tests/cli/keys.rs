//! The tenant's own keys from the command line: listed, replaced, revoked, and opened from the
//! environment where no file holds them.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::program::{Ran, Up, canonry, ran};

/// The current keys with a use.
fn current(up: &Up, wanted: &str) -> Vec<String> {
    let done = up.run(&["--json", "tenant", "keys"]);
    assert_eq!(done.code, 0, "{}", done.err);
    let keys = done.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    keys.filter(|key| key["use"][0] == wanted)
        .map(|key| key["id"].as_str().unwrap().to_owned())
        .collect()
}

fn opens(up: &Up) -> Ran {
    up.run(&["submit", "ticket", "open", r#"{"title":"x"}"#])
}

fn files(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

fn tenant(up: &Up) -> PathBuf {
    up.home().join("tenants/acme")
}

#[test]
fn each_of_the_tenants_keys_is_replaced_and_the_ledger_goes_on() {
    let up = Up::start(&["up"]);
    for wanted in ["record", "checkpoint", "enrol", "root"] {
        let old = current(&up, wanted);
        let done = up.run(&["tenant", "rotate-key", "--use", wanted]);
        assert_eq!(done.code, 0, "{wanted}: {}{}", done.out, done.err);
        let new = current(&up, wanted);
        assert!(new.len() == 1 && new != old, "{wanted}: {old:?} {new:?}");
        let retired = files(&tenant(&up).join("retired"));
        assert!(retired.contains(&format!("{wanted}-{}.key", old[0])), "{retired:?}");
        assert_eq!(opens(&up).code, 0, "{wanted}");
    }
    // What the new enrol and root keys are for.
    assert_eq!(up.run(&["member", "enrol", "carol", "--part", "operator"]).code, 0);
    let witness = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let added = up.run(&["tenant", "rotate-key", "--use", "witness", "--public", witness]);
    assert_eq!(added.code, 0, "{}{}", added.out, added.err);
    let ids = current(&up, "witness");
    assert_eq!(up.run(&["tenant", "revoke-key", &ids[0]]).code, 0);
    assert!(current(&up, "witness").is_empty());
    let all = up.run(&["tenant", "keys", "--all"]);
    assert!(all.out.contains("revoked at") && all.out.contains("login"), "{}", all.out);

    // The last of each stays, and members' keys are not touched.
    let last = up.run(&["tenant", "revoke-key", &current(&up, "root")[0]]);
    assert!(last.code == 1 && last.out.contains("root-key-missing"), "{}{}", last.out, last.err);
    let members = up.run(&["--json", "tenant", "keys", "--all"]);
    let login = members.out.lines().find(|line| line.contains("\"login\"")).unwrap();
    let login: Value = serde_json::from_str(login).unwrap();
    let refused = up.run(&["tenant", "revoke-key", login["id"].as_str().unwrap()]);
    assert!(refused.code == 1 && refused.err.contains("canonry member rotate"), "{}", refused.err);
    assert_eq!(up.run(&["ledger", "verify", "--tenant", up.identity()]).code, 0);
}

#[test]
fn a_lost_answer_is_taken_up_and_no_root_key_is_said_so() {
    let up = Up::start(&["up"]);
    let old = current(&up, "enrol").remove(0);
    assert_eq!(up.run(&["tenant", "rotate-key", "--use", "enrol"]).code, 0);
    // As it lay when the answer was lost: the old key beside the new one.
    let name = format!("enrol-{old}.key");
    let (keys, retired) = (tenant(&up).join("keys"), tenant(&up).join("retired"));
    std::fs::rename(retired.join(&name), keys.join(&name)).unwrap();
    assert_eq!(up.run(&["member", "enrol", "carol", "--part", "operator"]).code, 0);
    assert_eq!(up.run(&["tenant", "rotate-key", "--use", "checkpoint"]).code, 0);
    assert!(files(&retired).contains(&name));

    let offline = tenant(&up).join("offline");
    std::fs::rename(&offline, tenant(&up).join("away")).unwrap();
    let before = files(&keys).len();
    let done = up.run(&["tenant", "rotate-key", "--use", "record"]);
    assert!(done.code == 64 && done.err.contains("no root key"), "{}", done.err);
    assert_eq!(files(&keys).len(), before, "nothing is left behind");
}

/// The seed in a key file, as the environment takes it.
fn seed(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap();
    let key: Value = serde_json::from_str(&text).unwrap();
    key["seed"].as_str().unwrap().to_owned()
}

#[test]
fn a_record_key_comes_from_the_environment() {
    let mut up = Up::start(&["up"]);
    let id = current(&up, "record").remove(0);
    let file = tenant(&up).join(format!("keys/record-{id}.key"));
    let seed = seed(&file);
    assert_eq!(up.stop(), Some(0));
    std::fs::remove_file(&file).unwrap();
    let wrong = ran(canonry(up.folder.path(), &["up"]).env("CANONRY_KEYS", "no-seed"));
    assert!(wrong.code == 64 && wrong.err.contains("$CANONRY_KEYS"), "{}", wrong.err);
    assert!(!wrong.err.contains("no-seed"), "a secret is never quoted");
    up.start_again(&["up"], &[("CANONRY_KEYS", &format!(" {seed},"))]);
    assert_eq!(opens(&up).code, 0);
    assert_eq!(up.run(&["ledger", "verify", "--tenant", up.identity()]).code, 0);
}
