//! The key store on a real directory: what it writes, what it finds, what it refuses.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should panic where it stands")]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use canonry_keystore::{ErrorKind, KeyStore, KeyUse, StoredKey, key_id};
use canonry_schemas::ids::{ActorId, TenantId};

fn store() -> (tempfile::TempDir, KeyStore, TenantId) {
    let dir = tempfile::tempdir().unwrap();
    let store = KeyStore::create(dir.path().join("home")).unwrap();
    (dir, store, "acme".parse().unwrap())
}

fn actor(name: &str) -> ActorId {
    name.parse().unwrap()
}

fn key(uses: &[KeyUse]) -> StoredKey {
    StoredKey::generate(uses, actor("founder")).unwrap()
}

fn walk(dir: &Path, seen: &mut Vec<(std::path::PathBuf, u32)>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        if path.is_dir() {
            walk(&path, seen);
        }
        seen.push((path, mode));
    }
}

#[test]
fn finds_each_key_by_its_use() {
    let (_dir, store, acme) = store();
    let both = key(&[KeyUse::Record, KeyUse::Checkpoint]);
    let root = key(&[KeyUse::Root]);
    store.put_key(&acme, &both).unwrap();
    store.put_key(&acme, &root).unwrap();
    assert_eq!(store.signing_key(&acme, KeyUse::Record).unwrap(), both.key);
    assert_eq!(store.signing_key(&acme, KeyUse::Checkpoint).unwrap(), both.key);
    assert_eq!(store.signing_key(&acme, KeyUse::Root).unwrap(), root.key);
    assert_eq!(store.keys(&acme).unwrap().len(), 1, "root keys lie apart");
    assert!(store.home().join(format!("tenants/acme/offline/root-{}.key", root.id())).exists());
    let missing = store.signing_key(&acme, KeyUse::Enrol).unwrap_err();
    assert_eq!(missing.kind, ErrorKind::Missing);
    assert_eq!(store.tenants().unwrap(), [acme]);
}

#[test]
fn a_rotation_is_ambiguous_until_the_old_key_is_retired() {
    let (_dir, store, acme) = store();
    let (old, new) = (key(&[KeyUse::Record]), key(&[KeyUse::Record]));
    store.put_key(&acme, &old).unwrap();
    store.put_key(&acme, &new).unwrap();
    let several = store.signing_key(&acme, KeyUse::Record).unwrap_err();
    assert_eq!(several.kind, ErrorKind::Ambiguous);
    store.retire_key(&acme, &old.id()).unwrap();
    assert_eq!(store.signing_key(&acme, KeyUse::Record).unwrap(), new.key);
    assert_eq!(store.retire_key(&acme, &old.id()).unwrap_err().kind, ErrorKind::Missing);
}

#[test]
fn refuses_what_others_can_read() {
    let (_dir, store, acme) = store();
    let record = key(&[KeyUse::Record]);
    store.put_key(&acme, &record).unwrap();
    let path = store.home().join(format!("tenants/acme/keys/record-{}.key", record.id()));
    fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
    let refused = store.signing_key(&acme, KeyUse::Record).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Exposed { mode: 0o640 });
    let text = refused.to_string();
    assert!(text.contains("0640") && text.contains("chmod go-rwx"), "{text}");
    fs::set_permissions(store.home(), Permissions::from_mode(0o755)).unwrap();
    let refused = KeyStore::open(store.home()).unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Exposed { mode: 0o755 });
}

#[test]
fn everything_is_private_and_no_temporary_file_stays() {
    let (_dir, store, acme) = store();
    store.put_seed("operator", "SOABC").unwrap();
    store.put_account_seed(&acme, "SAABC").unwrap();
    store.put_creds(&store.creds_path("committer").unwrap(), "creds").unwrap();
    store.put_creds(&store.tenant_creds_path(&acme, &actor("founder")), "creds").unwrap();
    store.put_key(&acme, &key(&[KeyUse::Record])).unwrap();
    store.create_kek(&acme).unwrap();
    let mut seen = Vec::new();
    walk(store.home(), &mut seen);
    for (path, mode) in seen {
        assert_eq!(mode, if path.is_dir() { 0o700 } else { 0o600 }, "{}", path.display());
        assert!(!path.to_string_lossy().ends_with(".tmp"), "{}", path.display());
    }
    assert_eq!(store.seed("operator").unwrap().as_str(), "SOABC");
}

#[test]
fn never_replaces_what_cannot_be_made_again() {
    let (_dir, store, acme) = store();
    let kek = store.create_kek(&acme).unwrap();
    assert_eq!(store.create_kek(&acme).unwrap_err().kind, ErrorKind::Exists);
    assert_eq!(store.kek(&acme).unwrap().as_bytes(), kek.as_bytes());
    store.put_seed("operator", "SOABC").unwrap();
    assert_eq!(store.put_seed("operator", "SOXYZ").unwrap_err().kind, ErrorKind::Exists);
    let record = key(&[KeyUse::Record]);
    store.put_key(&acme, &record).unwrap();
    assert_eq!(store.put_key(&acme, &record).unwrap_err().kind, ErrorKind::Exists);
}

#[test]
fn a_member_key_has_that_use_alone() {
    let (_dir, store, acme) = store();
    let member = key(&[KeyUse::Member]);
    store.put_member_key(&acme, &member).unwrap();
    assert_eq!(store.member_key(&acme, &actor("founder")).unwrap(), member.key);
    let both = key(&[KeyUse::Member, KeyUse::Login]);
    assert_eq!(store.put_member_key(&acme, &both).unwrap_err().kind, ErrorKind::Malformed);
    let none = store.member_key(&acme, &actor("nobody")).unwrap_err();
    assert_eq!(none.kind, ErrorKind::Missing);
}

#[test]
fn a_changed_file_is_refused_without_quoting_it() {
    let (_dir, store, acme) = store();
    let member = key(&[KeyUse::Member]);
    store.put_member_key(&acme, &member).unwrap();
    let path = store.home().join("tenants/acme/members/founder.key");
    let text = fs::read_to_string(&path).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["id"], member.id().as_str());
    let seed = value["seed"].as_str().unwrap();
    let other = key(&[KeyUse::Member]).id();
    for broken in [
        text.replace(member.id().as_str(), other.as_str()),
        text.replace("ed25519", "rsa"),
        text.replace(seed, &seed[1..]),
        text.replace("[\"member\"]", "[]"),
        text.replace("\"alg\"", "\"extra\":1,\"alg\""),
    ] {
        fs::write(&path, &broken).unwrap();
        let refused = store.member_key(&acme, &actor("founder")).unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Malformed, "{broken}");
        assert!(!format!("{refused:?}").contains(&seed[1..]));
    }
}

#[test]
fn debug_shows_no_secret() {
    let (_dir, store, acme) = store();
    let record = key(&[KeyUse::Record]);
    let shown = format!("{record:?} {:?} {store:?}", store.create_kek(&acme).unwrap());
    assert!(shown.contains(record.id().as_str()) && shown.contains("redacted"));
    assert!(!shown.contains("SigningKey"));
    assert_eq!(record.id(), key_id(&record.key.verifying_key()));
}

#[test]
fn names_cannot_leave_the_directory() {
    let (_dir, store, _) = store();
    for bad in ["", "../x", "a/b", ".", "a.b", &"a".repeat(65)] {
        assert_eq!(store.creds_path(bad).unwrap_err().kind, ErrorKind::Name, "{bad}");
        assert_eq!(store.seed(bad).unwrap_err().kind, ErrorKind::Name, "{bad}");
    }
}
