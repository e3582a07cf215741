//! Python packages for the tests that use them, installed once per target folder.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

/// Pinned: what the tests need of PyPI.
const PACKAGES: [&str; 3] = ["nats-py==2.16.0", "nkeys==0.2.1", "cryptography>=42"];

/// The folder that holds the packages.
pub fn packages() -> PathBuf {
    static ONCE: std::sync::OnceLock<PathBuf> = std::sync::OnceLock::new();
    ONCE.get_or_init(|| {
        let tmp = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let folder = tmp.join("python-packages");
        // Several test programs may run at once.
        let lock = File::create(tmp.join("python-packages.lock")).unwrap();
        lock.lock().unwrap();
        if !folder.join("complete").exists() {
            let mut pip = Command::new("python3");
            pip.args(["-m", "pip", "install", "--quiet", "--upgrade", "--target"]).arg(&folder);
            let done = pip.args(PACKAGES).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            std::fs::write(folder.join("complete"), "").unwrap();
        }
        folder
    })
    .clone()
}
