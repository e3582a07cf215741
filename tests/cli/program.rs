//! The built program: run to its end, or kept up for a test and stopped by its id.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// How long `canonry up` may take to say how to use it.
const UP_WITHIN: Duration = Duration::from_secs(120);
/// How long it may take to stop.
const STOP_WITHIN: Duration = Duration::from_secs(30);
/// The last line of what `canonry up` prints.
const LAST_LINE: &str = "Ctrl-C stops it";

/// How a run ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// Runs to the end.
pub fn ran(command: &mut Command) -> Ran {
    command.output().unwrap().into()
}

/// Nothing of the machine's own settings reaches a test.
pub fn bare(mut command: Command, folder: &Path) -> Command {
    let ours = ["HOME", "TENANT", "NATS", "API", "DATA", "KEYS", "BACKUP"];
    for name in ours.iter().chain(&["TLS_CA", "TLS_CERT", "TLS_KEY"]) {
        command.env_remove(format!("CANONRY_{name}"));
    }
    for name in canonry_secrets::VARIABLES.iter().chain(&["CANONRY_KEYS_FROM"]) {
        command.env_remove(name);
    }
    for name in std::env::vars().map(|(name, _)| name).filter(|n| n.starts_with("OTEL_")) {
        command.env_remove(name);
    }
    command.current_dir(folder).stdin(Stdio::null());
    command
}

/// The built program, in a folder.
pub fn canonry(folder: &Path, words: &[&str]) -> Command {
    let mut command = bare(Command::new(env!("CARGO_BIN_EXE_canonry")), folder);
    command.args(words);
    command
}

/// Asks a process to leave, by its id.
pub fn terminate(process: u32) {
    let script = format!("kill -TERM {process} 2>/dev/null");
    let _ = Command::new("/bin/sh").args(["-c", &script]).status();
}

/// Whether a process is there.
pub fn lives(process: u32) -> bool {
    let script = format!("kill -0 {process} 2>/dev/null");
    Command::new("/bin/sh").args(["-c", &script]).status().unwrap().success()
}

/// Waits until a process has gone.
pub fn wait_gone(process: u32) -> bool {
    let until = Instant::now() + STOP_WITHIN;
    while lives(process) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    !lives(process)
}

/// Reads lines until one is the last that is waited for.
pub fn lines_until(
    from: impl std::io::Read + Send + 'static,
    last: impl Fn(&str) -> bool,
) -> Result<Vec<String>, Vec<String>> {
    let (sender, said) = mpsc::channel();
    // Reads on to the end, so that nobody is stopped by a full pipe.
    std::thread::spawn(move || {
        for line in BufReader::new(from).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let until = Instant::now() + UP_WITHIN;
    let mut lines: Vec<String> = Vec::new();
    while !lines.last().is_some_and(|line| last(line)) {
        match said.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(line) => lines.push(line),
            Err(_) => return Err(lines),
        }
    }
    Ok(lines)
}

/// A child that is told to leave, by its id, when this is dropped.
#[derive(Debug)]
pub struct Background(pub Child);

impl Background {
    /// Stops it in good order; how it ended.
    pub fn stop(&mut self) -> Option<i32> {
        terminate(self.0.id());
        let until = Instant::now() + STOP_WITHIN;
        loop {
            if let Some(status) = self.0.try_wait().unwrap() {
                return status.code();
            }
            if Instant::now() >= until {
                return None;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if matches!(self.0.try_wait(), Ok(None)) && self.stop().is_none() {
            let _ = self.0.kill().and_then(|()| self.0.wait());
        }
    }
}

/// Starts a program in a folder, and waits until it has printed all its lines.
fn begin(folder: &Path, words: &[&str], environment: &[(&str, &str)]) -> (Background, Vec<String>) {
    let mut command = canonry(folder, words);
    command.envs(environment.iter().copied());
    let log = std::fs::File::create(folder.join("up.err")).unwrap();
    let mut child = Background(command.stdout(Stdio::piped()).stderr(log).spawn().unwrap());
    let out = child.0.stdout.take().unwrap();
    match lines_until(out, |line| line.starts_with(LAST_LINE)) {
        Ok(lines) => (child, lines),
        Err(lines) => {
            let log = std::fs::read_to_string(folder.join("up.err"));
            panic!("{lines:#?}\n{}", log.unwrap());
        }
    }
}

/// A `canonry up` in a folder of its own, gone when this is dropped.
#[derive(Debug)]
pub struct Up {
    child: Background,
    /// What it printed.
    pub lines: Vec<String>,
    /// Where it was started; its home is `.canonry` there, the default.
    pub folder: tempfile::TempDir,
}

impl Up {
    /// Starts it and waits until it has printed all its lines.
    pub fn start(words: &[&str]) -> Self {
        Self::start_with(words, &[])
    }

    /// The same with variables of the environment.
    pub fn start_with(words: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), words, environment)
    }

    /// Starts it where another was, with what that left there.
    pub fn start_in(
        folder: tempfile::TempDir,
        words: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let (child, lines) = begin(folder.path(), words, environment);
        Self { child, lines, folder }
    }

    /// Starts it again in the same folder, after it was stopped.
    pub fn start_again(&mut self, words: &[&str], environment: &[(&str, &str)]) {
        (self.child, self.lines) = begin(self.folder.path(), words, environment);
    }

    /// Its process.
    pub fn process(&self) -> u32 {
        self.child.0.id()
    }

    /// Its home.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join(".canonry")
    }

    /// Runs a command of the same cell.
    pub fn run(&self, words: &[&str]) -> Ran {
        ran(&mut canonry(self.folder.path(), words))
    }

    /// Where its HTTP API listens, as `<address>:<port>`.
    pub fn api(&self) -> &str {
        self.lines.iter().find_map(|line| line.strip_prefix("API    http://")).unwrap()
    }

    /// The tenant's identity as it was printed.
    pub fn identity(&self) -> &str {
        self.lines[0].rsplit_once(' ').unwrap().1
    }

    /// Stops it in good order; how it ended.
    pub fn stop(&mut self) -> Option<i32> {
        self.child.stop()
    }

    /// Stops it and keeps what it left.
    pub fn left(mut self) -> tempfile::TempDir {
        assert_eq!(self.stop(), Some(0));
        std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap())
    }
}
