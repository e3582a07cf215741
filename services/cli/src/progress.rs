//! Progress bars on stderr: for what may take over a second, at a terminal only, and never with
//! `--json`. What they count is decided elsewhere.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Frames a second.
const FRAMES: u8 = 4;

/// Whether bars are shown. At anything but a terminal they are hidden in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bars {
    shown: bool,
}

impl Bars {
    /// Bars for people; none beside data for programs.
    #[must_use]
    pub const fn new(json: bool) -> Self {
        Self { shown: !json }
    }

    /// None where the same terminal shows the data itself, line by line.
    #[must_use]
    pub fn beside_lines(self) -> Self {
        Self { shown: self.shown && !std::io::stdout().is_terminal() }
    }

    fn bar(self, what: &'static str, total: u64, template: &str) -> ProgressBar {
        let target = if self.shown {
            ProgressDrawTarget::stderr_with_hz(FRAMES)
        } else {
            ProgressDrawTarget::hidden()
        };
        let style = ProgressStyle::with_template(template);
        ProgressBar::with_draw_target(Some(total), target)
            .with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
            .with_message(what)
            // Whichever way its owner ends, nothing of it stays on the terminal.
            .with_finish(indicatif::ProgressFinish::AndClear)
    }

    /// Counts things.
    #[must_use]
    pub fn count(self, what: &'static str, total: u64) -> ProgressBar {
        self.bar(what, total, "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}")
    }

    /// Counts bytes.
    #[must_use]
    pub fn bytes(self, what: &'static str, total: u64) -> ProgressBar {
        self.bar(what, total, "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
    }

    /// Waits for something whose end is not known; gone when it is dropped.
    #[must_use]
    pub fn spinner(self, what: &'static str) -> ProgressBar {
        let spinner = self.bar(what, 0, "{spinner} {msg} {elapsed}");
        if self.shown {
            // At once, and not only when its thread gets its turn.
            spinner.tick();
            spinner.enable_steady_tick(Duration::from_millis(250));
        }
        spinner
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_drawn_beside_json() {
        let none = Bars::new(true);
        for bar in [none.count("c", 1), none.bytes("b", 1), none.spinner("s")] {
            assert!(bar.is_hidden());
        }
        assert_eq!(none.beside_lines(), none);
    }
}
