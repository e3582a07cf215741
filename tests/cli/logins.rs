//! Logins that ended: the server itself turns them away, at once or when the provisioning user is
//! at hand.

use std::path::{Path, PathBuf};

use crate::program::Up;

/// What a command ends with that was turned away at the server's door.
const UNAVAILABLE: i32 = 69;

fn creds(up: &Up, member: &str) -> PathBuf {
    up.home().join(format!("tenants/acme/creds/{member}.creds"))
}

fn opens(up: &Up, member: &str) -> i32 {
    up.run(&["submit", "ticket", "open", r#"{"title":"x"}"#, "--as", member]).code
}

fn put_back(path: &Path, creds: &[u8]) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::write(path, creds).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn who_was_removed_or_rotated_is_turned_away_by_the_server() {
    let up = Up::start(&["up"]);
    assert_eq!(up.run(&["member", "enrol", "carol", "--part", "operator"]).code, 0);
    let old = std::fs::read(creds(&up, "carol")).unwrap();
    let done = up.run(&["member", "rotate", "carol"]);
    assert!(done.code == 0 && !done.err.contains("revoke-logins"), "{}", done.err);
    assert_eq!(opens(&up, "carol"), 0);
    let new = std::fs::read(creds(&up, "carol")).unwrap();
    put_back(&creds(&up, "carol"), &old);
    assert_eq!(opens(&up, "carol"), UNAVAILABLE, "the old creds");
    put_back(&creds(&up, "carol"), &new);
    assert_eq!(opens(&up, "carol"), 0, "the new creds");

    // Without the provisioning user it is said what is to do, and done later.
    let offline = up.home().join("operator/offline");
    let away = up.home().join("operator/away");
    std::fs::rename(&offline, &away).unwrap();
    let done = up.run(&["member", "remove", "carol"]);
    assert!(done.code == 0 && done.err.contains("canonry member revoke-logins"), "{}", done.err);
    assert_eq!(opens(&up, "carol"), 1, "refused by the decider, not yet by the server");
    assert_eq!(up.run(&["member", "revoke-logins"]).code, UNAVAILABLE);
    std::fs::rename(&away, &offline).unwrap();
    for _ in 0..2 {
        let done = up.run(&["--json", "member", "revoke-logins"]);
        assert_eq!(done.code, 0, "{}", done.err);
        assert_eq!(done.out.trim(), r#"{"revoked":2,"tenant":"acme"}"#);
    }
    assert_eq!(opens(&up, "carol"), UNAVAILABLE);
    assert_eq!(opens(&up, "operator"), 0, "nobody else");
    // A tenant that is founded later brings claims of its own, and keeps what was revoked.
    assert_eq!(up.run(&["tenant", "found", "globex"]).code, 0);
    assert_eq!(opens(&up, "carol"), UNAVAILABLE);
    assert_eq!(up.run(&["ledger", "verify", "--tenant", up.identity()]).code, 0);
}

#[test]
fn a_member_for_a_while_has_keys_that_end() {
    let up = Up::start(&["up"]);
    let enrol = ["member", "enrol", "temp", "--part", "operator", "--until"];
    let past = up.run(&[&enrol[..], &["2001-01-31T18:00:00Z"]].concat());
    assert!(past.code == 1 && past.out.contains("keys-invalid"), "{}{}", past.out, past.err);
    assert_eq!(up.run(&[&enrol[..], &["2199-01-31T18:00:00Z"]].concat()).code, 0);
    assert_eq!(opens(&up, "temp"), 0);
    let keys = up.run(&["tenant", "keys", "--all"]).out;
    assert_eq!(keys.matches("\ttemp\t").count(), 2, "{keys}");
    assert_eq!(keys.matches("until 2199-01-31T18:00:00.000000Z").count(), 2, "{keys}");
    assert_eq!(up.run(&["member", "rotate", "temp"]).code, 0);
    assert_eq!(up.run(&["tenant", "keys", "--all"]).out.matches("until 2199").count(), 0);
    assert_eq!(up.run(&["ledger", "verify", "--tenant", up.identity()]).code, 0);
}
