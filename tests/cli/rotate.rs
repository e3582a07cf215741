//! Both keys of a member, replaced: on the ledger, in the creds, and after an answer that never
//! came.

use std::path::PathBuf;

use serde_json::Value;

use crate::program::Up;

/// The ids of a member's keys that hold, by use, as the ledger says them.
fn held(up: &Up, member: &str) -> Vec<(String, String)> {
    let done = up.run(&["--json", "ledger", "replay"]);
    let mut held: Vec<(String, String)> = Vec::new();
    for line in done.out.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let data = &record["data"];
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        for id in data["revoked"].as_array().into_iter().flatten() {
            held.retain(|(_, key)| key != id.as_str().unwrap());
        }
        for key in data["keys"].as_array().into_iter().flatten() {
            if key["actor"] == member {
                held.push((text(&key["use"][0]), text(&key["id"])));
            }
        }
    }
    held.sort();
    held
}

/// What a private file holds; never shown, not even by a test that fails.
#[derive(PartialEq, Eq)]
struct Secret(Vec<u8>);

fn secret(path: &std::path::Path) -> Secret {
    Secret(std::fs::read(path).unwrap())
}

fn creds(up: &Up, member: &str) -> PathBuf {
    up.home().join(format!("tenants/acme/creds/{member}.creds"))
}

fn opens(up: &Up, member: &str) -> i32 {
    up.run(&["submit", "ticket", "open", r#"{"title":"x"}"#, "--as", member]).code
}

/// Which of the keys are others now.
fn changed(before: &[(String, String)], after: &[(String, String)]) -> Vec<bool> {
    before.iter().zip(after).map(|(b, a)| b.1 != a.1 && b.0 == a.0).collect()
}

#[test]
fn a_rotation_replaces_both_keys_and_the_creds() {
    let up = Up::start(&["up"]);
    assert_eq!(up.run(&["member", "enrol", "carol", "--part", "operator"]).code, 0);
    let (old, old_creds) = (held(&up, "carol"), secret(&creds(&up, "carol")));
    assert_eq!(old.iter().map(|(u, _)| u.as_str()).collect::<Vec<_>>(), ["login", "member"]);
    let done = up.run(&["member", "rotate", "carol"]);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    let new = held(&up, "carol");
    assert_eq!(changed(&old, &new), [true, true], "{old:?} {new:?}");
    let new_creds = secret(&creds(&up, "carol"));
    assert!(new_creds != old_creds);
    assert_eq!(opens(&up, "carol"), 0);
    let files = std::fs::read_dir(creds(&up, "carol").parent().unwrap()).unwrap();
    assert_eq!(files.count(), 5, "no creds are left beside");

    // By the member's own hand, one key at a time.
    let own = ["member", "rotate", "carol", "--as", "carol", "--only", "member"];
    assert_eq!(up.run(&own).code, 0);
    assert_eq!(changed(&new, &held(&up, "carol")), [false, true]);
    assert!(secret(&creds(&up, "carol")) == new_creds);
    assert_eq!(opens(&up, "carol"), 0);
    assert_eq!(up.run(&["member", "rotate", "carol", "--only", "login"]).code, 0);
    assert!(secret(&creds(&up, "carol")) != new_creds);
    assert_eq!(opens(&up, "carol"), 0);

    // An auditor's login is one of another account.
    assert_eq!(up.run(&["member", "rotate", "auditor"]).code, 0);
    assert_eq!(up.run(&["ledger", "verify", "--tenant", up.identity()]).code, 0);
}

#[test]
fn a_refused_rotation_changes_nothing() {
    let up = Up::start(&["up"]);
    let (old, before) = (held(&up, "approver"), secret(&creds(&up, "approver")));
    let done = up.run(&["member", "rotate", "approver", "--as", "operator"]);
    assert_eq!(done.code, 1, "{}{}", done.out, done.err);
    assert_eq!(held(&up, "approver"), old);
    assert!(secret(&creds(&up, "approver")) == before);
    let keys = std::fs::read_dir(up.home().join("tenants/acme/keys")).unwrap();
    assert_eq!(keys.filter(|k| name(k).starts_with("member-")).count(), 0);
}

fn name(entry: &std::io::Result<std::fs::DirEntry>) -> String {
    entry.as_ref().unwrap().file_name().into_string().unwrap()
}

#[test]
fn a_rotation_whose_answer_was_lost_is_taken_up() {
    let up = Up::start(&["up"]);
    let tenant = up.home().join("tenants/acme");
    let (signing, login) = (tenant.join("members/approver.key"), creds(&up, "approver"));
    let old = [secret(&signing), secret(&login)];
    assert_eq!(up.run(&["member", "rotate", "approver"]).code, 0);
    let new = [secret(&signing), secret(&login)];
    // As it lay at the moment of the commit: the new keys beside, the old ones in use.
    let ids = held(&up, "approver");
    let id = |wanted: &str| ids.iter().find(|(u, _)| u == wanted).unwrap().1.clone();
    let retired = tenant.join(format!("retired/member-{}.key", id("member")));
    std::fs::rename(retired, tenant.join(format!("keys/member-{}.key", id("member")))).unwrap();
    std::fs::rename(&login, login.with_file_name(format!("approver.{}.creds", id("login"))))
        .unwrap();
    for (path, bytes) in [&signing, &login].into_iter().zip(&old) {
        std::fs::write(path, &bytes.0).unwrap();
        private(path);
    }
    let again = ["member", "rotate", "approver", "--as", "approver", "--only", "member"];
    let done = up.run(&again);
    assert_eq!(done.code, 0, "signed with the key that holds: {}{}", done.out, done.err);
    assert!(secret(&login) == new[1]);
    assert!(secret(&signing) != new[0]);
}

fn private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}
