//! A key to step up with: sealed in a file of its own, opened by its passphrase alone.

use std::os::unix::fs::PermissionsExt as _;

use canonry_secrets::{DeviceKey, Kind, Secret};

fn phrase(text: &str) -> Secret {
    Secret::new(text.as_bytes().to_vec()).unwrap()
}

#[test]
fn only_its_passphrase_opens_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("step-up").join("ada.age");
    let made = DeviceKey::generate("acme".parse().unwrap(), "ada".parse().unwrap(), 3).unwrap();
    let good = phrase("correct horse battery");
    assert!(matches!(made.keep(&path, &phrase("short")).unwrap_err().kind, Kind::Configuration(_)));
    made.keep(&path, &good).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let seed = made.key.to_bytes();
    let bytes = std::fs::read(&path).unwrap();
    assert!(!bytes.windows(8).any(|window| seed.starts_with(window)), "the seed in clear");
    let opened = DeviceKey::open(&path, &good).unwrap();
    assert_eq!((opened.actor.as_str(), opened.tenant.as_str(), opened.level), ("ada", "acme", 3));
    assert_eq!(opened.key.to_bytes(), seed);
    assert!(!format!("{opened:?}").contains("key"), "{opened:?}");
    let wrong = DeviceKey::open(&path, &phrase("correct horse batterz")).unwrap_err();
    assert!(matches!(wrong.kind, Kind::Damaged), "{wrong}");
    // Never over another: what was sealed before would be lost.
    assert!(matches!(made.keep(&path, &good).unwrap_err().kind, Kind::Exists));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(DeviceKey::open(&path, &good).unwrap_err().kind, Kind::File));
    for level in [0, 10] {
        let made = DeviceKey::generate("acme".parse().unwrap(), "ada".parse().unwrap(), level);
        assert!(matches!(made.unwrap_err().kind, Kind::Configuration(_)), "{level}");
    }
}
