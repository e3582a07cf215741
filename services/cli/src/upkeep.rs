//! `canonry dataset fetch` and `canonry projections rebuild`.

use std::path::PathBuf;

use canonry_triage::fetch::{self, ErrorKind, Fetched};
use canonry_triage::locate::Places;
use canonry_triage::log::PUBLISHED;
use clap::Subcommand;
use serde_json::json;

use crate::context::Context;
use crate::failure::{Failure, chain};
use crate::lock::Lock;
use crate::output;

/// `canonry dataset`.
#[derive(Debug, Subcommand)]
#[command(after_help = "EXAMPLES:
    canonry dataset fetch incidents")]
pub enum Dataset {
    /// Download a data set, checked by SHA-256 and resumed where it was cut off
    Fetch(Fetch),
}

/// Download a data set.
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLES:
    canonry dataset fetch incidents
    canonry dataset fetch incidents --out incidents.csv")]
pub struct Fetch {
    /// Which one
    #[arg(value_enum)]
    name: Name,
    /// From where
    #[arg(long, default_value = fetch::URL, value_name = "URL")]
    url: String,
    /// Where to; without it, the cache that `canonry demo` looks in
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The data sets.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub enum Name {
    /// The UCI/ServiceNow incident log, 46 MB
    Incidents,
}

/// `canonry projections`.
#[derive(Debug, Subcommand)]
#[command(after_help = "EXAMPLES:
    canonry projections rebuild")]
pub enum Projections {
    /// Delete the read models; the projector builds them anew from the ledger
    Rebuild(Rebuild),
}

/// Delete the read models.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
They hold nothing that the ledger does not. What reads them must not run: `canonry up` or \
`canonry serve api` builds them when it starts.

EXAMPLES:
    canonry projections rebuild
    canonry --home /srv/canonry projections rebuild")]
pub struct Rebuild {
    /// Where they lie; without it, in the home
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// `canonry dataset fetch`.
///
/// # Errors
/// The download failed, or the file is not the one.
pub async fn fetch(context: &Context, args: Fetch) -> Result<(), Failure> {
    let Name::Incidents = args.name;
    let dest = args.out.or_else(|| Places::from_env(None).cache_file());
    let unknown = || Failure::config("neither $XDG_CACHE_HOME nor $HOME is set: name --out");
    let dest = dest.ok_or_else(unknown)?;
    let bar = context.bars().bytes("downloading", 0);
    let mut heard = |so_far: fetch::Progress| {
        so_far.total.into_iter().for_each(|total| bar.set_length(total));
        bar.set_position(so_far.received);
    };
    let done = fetch::fetch_incidents(&args.url, PUBLISHED, &dest, &mut heard).await;
    bar.finish_and_clear();
    let done = done.map_err(|error| {
        let text = format!("{}: {}", args.url, chain(&error));
        match error.kind {
            ErrorKind::BadUrl => Failure::usage(text),
            ErrorKind::Unreachable | ErrorKind::Interrupted(_) | ErrorKind::Status(_) => {
                Failure::unavailable(text)
            }
            _ => Failure::refused(text),
        }
    })?;
    let file = dest.display();
    let (state, body, resumed) = match done {
        Fetched::Present => ("present", 0, 0),
        Fetched::Downloaded { resumed_at, body } => ("downloaded", body, resumed_at),
    };
    if context.json {
        let answer = json!({
            "file": file.to_string(), "state": state, "bytes": body, "resumed_at": resumed,
            "sha256": PUBLISHED.to_string(),
        });
        return output::json(&answer);
    }
    output::line(&format!("{file} ({state}, sha256 {PUBLISHED})"));
    Ok(())
}

/// `canonry projections rebuild`.
///
/// # Errors
/// A file cannot be deleted.
pub fn rebuild(context: &Context, args: Rebuild) -> Result<(), Failure> {
    let dir = args.dir.unwrap_or_else(|| context.projections());
    let failed = |e: std::io::Error| Failure::refused(format!("{}: {e}", dir.display()));
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries.collect::<Result<Vec<_>, _>>().map_err(failed)?,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(failed(e)),
    };
    // Who reads them while they go would show half of them, or write them again.
    let _lock = if dir.is_dir() { Some(Lock::take(&dir, "api", "an API")?) } else { None };
    let mut deleted = Vec::new();
    for entry in entries {
        let name = entry.file_name().to_string_lossy().into_owned();
        let ours = [".sqlite", ".db", "-wal", "-shm", "-journal"].iter().any(|e| name.ends_with(e));
        if ours && entry.path().is_file() {
            std::fs::remove_file(entry.path()).map_err(failed)?;
            deleted.push(name);
        }
    }
    deleted.sort();
    if context.json {
        return output::json(&json!({"deleted": deleted}));
    }
    output::line(&format!(
        "{} files deleted; they are built anew at the next start",
        deleted.len()
    ));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_read_models_are_deleted() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("projections");
        std::fs::create_dir(&dir).unwrap();
        for name in ["acme.v1.sqlite", "acme.v1.sqlite-wal", "notes.txt"] {
            std::fs::write(dir.join(name), "x").unwrap();
        }
        let context = Context { home: home.path().to_owned(), json: true, tls: Default::default() };
        let held = Lock::take(&dir, "api", "an API").unwrap();
        let busy = rebuild(&context, Rebuild { dir: None }).unwrap_err();
        assert_eq!(busy.exit, crate::exit::CONFIG, "{}", busy.message);
        drop(held);
        rebuild(&context, Rebuild { dir: None }).unwrap();
        let mut left: Vec<_> =
            std::fs::read_dir(&dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["api.lock", "notes.txt"]);
    }
}
