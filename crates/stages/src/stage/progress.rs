//! Progress with rate and time left, on a terminal; silence elsewhere.

use std::borrow::Cow;
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A line on the terminal that says how far the work is.
#[derive(Clone)]
pub struct Meter(ProgressBar);

impl Meter {
    /// A meter of `total` units, shown only if `visible` and stderr is a terminal.
    pub(super) fn new(visible: bool, what: impl Into<Cow<'static, str>>, total: u64) -> Self {
        Self::of(visible, what, total, "{pos}/{len} {per_sec:.dim} {eta} left {msg}")
    }

    /// As [`Meter::new`], of bytes.
    pub(super) fn of_bytes(visible: bool, what: impl Into<Cow<'static, str>>, total: u64) -> Self {
        Self::of(visible, what, total, "{bytes}/{total_bytes} {bytes_per_sec:.dim} {eta} left {msg}")
    }

    fn of(visible: bool, what: impl Into<Cow<'static, str>>, total: u64, numbers: &str) -> Self {
        let bar = ProgressBar::with_draw_target(
            Some(total),
            match visible && std::io::stderr().is_terminal() {
                true => ProgressDrawTarget::stderr_with_hz(8),
                false => ProgressDrawTarget::hidden(),
            },
        );
        let template = format!("{{prefix:>12}} {{wide_bar:.cyan/dim}} {numbers}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("━━─"));
        }
        bar.set_prefix(what);
        Self(bar)
    }

    /// Moves to `done` units and shows `message`.
    pub fn at(&self, done: u64, message: impl FnOnce() -> String) {
        self.0.set_position(done);
        // Formatting a message for every step would cost more than some steps.
        if !self.0.is_hidden() && done.is_multiple_of(16) {
            self.0.set_message(message());
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.0.position()
    }

    /// One unit more.
    pub fn tick(&self) {
        self.0.inc(1);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
