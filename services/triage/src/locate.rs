//! Which incident log to use: the first that is there of the given path, the data folder, the
//! download's cache and, last, the sample that the project wrote itself. It only looks; reading
//! is up to [`Located::read`].

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::log::{Error, ErrorKind, IncidentLog};
use crate::sample;

/// The log's name in a data folder.
pub const IN_DATA_FOLDER: &str = "incident_event_log.csv.gz";

/// The log's name in the cache, where [`crate::fetch`] puts it.
pub const IN_CACHE: &str = "incident_event_log.csv";

/// Where a log may be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Places {
    /// What the user named. If it is not there, that is an error.
    pub path: Option<PathBuf>,
    /// The folder in `$CANONRY_DATA`.
    pub data_folder: Option<PathBuf>,
    /// The cache folder.
    pub cache_folder: Option<PathBuf>,
}

impl Places {
    /// The places by the environment: `$CANONRY_DATA`, and as cache `canonry` below
    /// `$XDG_CACHE_HOME` or `~/.cache`. Empty variables count as unset.
    pub fn from_env(path: Option<PathBuf>) -> Self {
        let folder = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let cache = folder("XDG_CACHE_HOME").map(PathBuf::from);
        let cache = cache.or_else(|| Some(PathBuf::from(folder("HOME")?).join(".cache")));
        Self {
            path,
            data_folder: folder("CANONRY_DATA").map(PathBuf::from),
            cache_folder: cache.map(|cache| cache.join("canonry")),
        }
    }

    /// Where a download belongs.
    pub fn cache_file(&self) -> Option<PathBuf> {
        Some(self.cache_folder.as_ref()?.join(IN_CACHE))
    }
}

/// A log that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located {
    /// The path that the user named.
    Path(PathBuf),
    /// The file in the data folder.
    DataFolder(PathBuf),
    /// The file in the cache.
    Cache(PathBuf),
    /// The sample that the project wrote itself: no real data is here.
    Sample,
}

/// Finds the log to use.
///
/// # Errors
/// When the path that the user named is not a file that can be reached.
pub fn locate(places: &Places) -> Result<Located, Error> {
    if let Some(path) = &places.path {
        let unreadable = |cause: io::Error| Error::because(ErrorKind::Unreadable, None, cause);
        return match path.metadata().map_err(unreadable)?.is_dir() {
            false => Ok(Located::Path(path.clone())),
            true => Err(unreadable(io::ErrorKind::IsADirectory.into())),
        };
    }
    let there = |file: PathBuf| file.is_file().then_some(file);
    let data = places.data_folder.as_ref().map(|folder| folder.join(IN_DATA_FOLDER));
    Ok(match (data.and_then(there), places.cache_file().and_then(there)) {
        (Some(file), _) => Located::DataFolder(file),
        (None, Some(file)) => Located::Cache(file),
        (None, None) => Located::Sample,
    })
}

impl Located {
    /// The file, none for the sample.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Path(file) | Self::DataFolder(file) | Self::Cache(file) => Some(file),
            Self::Sample => None,
        }
    }

    /// Reads the log.
    ///
    /// # Errors
    /// When the file is not such a log.
    pub fn read(&self) -> Result<IncidentLog, Error> {
        match self.path() {
            Some(file) => IncidentLog::open(file),
            None => sample::read(),
        }
    }
}

/// One line that says which log it is.
impl fmt::Display for Located {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(file) => write!(f, "incident log: {} (as named)", file.display()),
            Self::DataFolder(file) => {
                write!(f, "incident log: {} (from $CANONRY_DATA)", file.display())
            }
            Self::Cache(file) => write!(f, "incident log: {} (from the cache)", file.display()),
            Self::Sample => f.write_str(
                "incident log: a small synthetic sample that the project wrote itself, \
                 because no real log is here",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_there_wins() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("has one")).expect("made");
            std::fs::write(&path, sample::CSV).expect("written");
            path
        };
        let mut places = Places {
            path: None,
            data_folder: Some(folder.path().join("data")),
            cache_folder: Some(folder.path().join("cache")),
        };
        assert_eq!(locate(&places).expect("found"), Located::Sample);
        let cached = file("cache/incident_event_log.csv");
        assert_eq!(locate(&places).expect("found"), Located::Cache(cached));
        let data = file("data/incident_event_log.csv.gz");
        assert_eq!(locate(&places).expect("found"), Located::DataFolder(data));
        let named = file("named.csv");
        places.path = Some(named.clone());
        let located = locate(&places).expect("found");
        assert_eq!(located, Located::Path(named));
        assert_eq!(located.read().expect("a log").rows, sample::read().expect("a log").rows);
    }

    #[test]
    fn a_named_path_that_is_not_there_is_an_error_not_a_sample() {
        let folder = tempfile::tempdir().expect("a folder");
        for path in [folder.path().join("absent.csv"), folder.path().to_owned()] {
            let places = Places { path: Some(path), ..Places::default() };
            assert_eq!(locate(&places).expect_err("refused").code(), "log-unreadable");
        }
    }
}
