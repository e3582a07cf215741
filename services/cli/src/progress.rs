//! Progress bars on stderr, shown only at a terminal and only for what takes over a second.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

fn bar(what: &'static str, total: u64, template: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(4));
    let style = ProgressStyle::with_template(template);
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar.set_message(what);
    bar
}

/// Counts records.
#[must_use]
pub fn count(what: &'static str, total: u64) -> ProgressBar {
    bar(what, total, "{msg} {wide_bar} {human_pos}/{human_len} {per_sec} {eta}")
}

/// Counts bytes.
#[must_use]
pub fn bytes(what: &'static str, total: u64) -> ProgressBar {
    bar(what, total, "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}")
}

/// Waits for something whose end is not known.
#[must_use]
pub fn spinner(what: &'static str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner().with_message(what);
    spinner.enable_steady_tick(Duration::from_millis(250));
    spinner
}
