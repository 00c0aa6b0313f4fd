//! Progress: a bar with rate and time left on a terminal, a line a minute elsewhere.

use std::borrow::Cow;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Time between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(60);

/// Writes a line to stderr. A closed or full stderr is no reason to stop working.
pub(crate) fn say(line: &str) {
    drop(writeln!(std::io::stderr(), "{}", visible(line)));
}

/// A text without what a terminal would obey: names of tensors, labels and answers of servers are other people's.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    let obeyed = |c: char| is_obeyed(c) && !matches!(c, '\n' | '\t');
    match text.contains(obeyed) {
        true => text
            .chars()
            .map(|c| if obeyed(c) { c.escape_unicode().to_string() } else { c.to_string() })
            .collect::<String>()
            .into(),
        false => text.into(),
    }
}

/// A JSON text without what a terminal would obey: it stands within strings alone, where it has an escaped form.
pub(crate) fn visible_json(text: &str) -> String {
    let escaped = |c: char| match is_obeyed(c) && c != '\n' {
        true => format!("\\u{:04x}", u32::from(c)),
        false => c.to_string(),
    };
    text.chars().map(escaped).collect()
}

/// Control characters, and those that turn the direction of what follows.
fn is_obeyed(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Shows how far the work is.
#[derive(Clone)]
pub struct Meter {
    bar: ProgressBar,
    log: Option<Arc<Log>>,
}

/// What is said where there is no terminal.
struct Log {
    what: Cow<'static, str>,
    unit: &'static str,
    state: Mutex<LogState>,
}

struct LogState {
    began: Instant,
    first: u64,
    last_line: Instant,
}

impl Meter {
    /// A meter of `total` units, shown only if `visible`.
    pub(super) fn new(visible: bool, what: impl Into<Cow<'static, str>>, total: u64) -> Self {
        Self::of(visible, what.into(), total, "", "{pos}/{len} {per_sec:.dim} {eta} left {msg}")
    }

    /// As [`Meter::new`], of bytes.
    pub(super) fn of_bytes(visible: bool, what: impl Into<Cow<'static, str>>, total: u64) -> Self {
        let numbers = "{bytes}/{total_bytes} {bytes_per_sec:.dim} {eta} left {msg}";
        Self::of(visible, what.into(), total, " bytes", numbers)
    }

    fn of(visible: bool, what: Cow<'static, str>, total: u64, unit: &'static str, numbers: &str) -> Self {
        let has_terminal = std::io::stderr().is_terminal();
        let target = match visible && has_terminal {
            true => ProgressDrawTarget::stderr_with_hz(8),
            false => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(Some(total), target);
        let template = format!("{{prefix:>12}} {{wide_bar:.cyan/dim}} {numbers}");
        if let Ok(style) = ProgressStyle::with_template(&template) {
            bar.set_style(style.progress_chars("━━─"));
        }
        bar.set_prefix(what.clone());
        let now = Instant::now();
        let state = Mutex::new(LogState { began: now, first: 0, last_line: now });
        let log = (visible && !has_terminal).then(|| Arc::new(Log { what, unit, state }));
        Self { bar, log }
    }

    /// The meter of work that goes on at `done`: rates and the time left count from there.
    pub(super) fn starting_at(self, done: u64) -> Self {
        self.bar.set_position(done);
        self.bar.reset_eta();
        if let Some(log) = &self.log {
            log.state.lock().unwrap_or_else(PoisonError::into_inner).first = done;
        }
        self
    }

    /// Moves to `done` units and shows `message`.
    pub fn at(&self, done: u64, message: impl FnOnce() -> String) {
        self.bar.set_position(done);
        // Formatting a message for every step would cost more than some steps.
        if !self.bar.is_hidden() && done.is_multiple_of(16) {
            self.bar.set_message(message());
        } else {
            self.log_line(message);
        }
    }

    /// Units done.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.bar.position()
    }

    /// Adds one unit.
    pub fn tick(&self) {
        self.bar.inc(1);
        self.log_line(String::new);
    }

    /// Says once a minute how far the work is, where there is no terminal.
    fn log_line(&self, message: impl FnOnce() -> String) {
        let Some(log) = &self.log else { return };
        let mut state = log.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.last_line.elapsed() < LINE_EVERY {
            return;
        }
        state.last_line = Instant::now();
        let (done, total) = (self.bar.position(), self.bar.length().unwrap_or(0));
        let left =
            time_left(state.began.elapsed(), done.saturating_sub(state.first), total.saturating_sub(done));
        let message = message();
        let separator = if message.is_empty() { "" } else { ", " };
        say(&format!("{}: {done} of {total}{}{separator}{message}{left}", log.what, log.unit));
    }
}

/// The time left at the rate so far, as a clause.
fn time_left(elapsed: Duration, done: u64, left: u64) -> String {
    match done {
        0 => String::new(),
        _ => format!(", about {} left", duration(elapsed.mul_f64(left as f64 / done as f64))),
    }
}

/// A duration for people.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", time.as_secs_f64()),
        10..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        _ => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_shown() {
        assert_eq!(visible("plain ünïcode 漢\n\ttext"), "plain ünïcode 漢\n\ttext");
        assert_eq!(
            visible("a\u{1b}[31mb\rc\u{9b}\u{202e}d\u{7f}"),
            "a\\u{1b}[31mb\\u{d}c\\u{9b}\\u{202e}d\\u{7f}"
        );
        let json = serde_json::json!({ "a": "\u{1b}\u{9b}\u{202e}é" });
        let shown = visible_json(&format!("{json:#}"));
        assert!(!shown.contains(|c: char| c != '\n' && is_obeyed(c)), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), json);
    }

    #[test]
    fn durations_read_well() {
        let of = |seconds: f64| duration(Duration::from_secs_f64(seconds));
        assert_eq!([of(0.25), of(59.9), of(600.0), of(8_000.0)], ["0.2 s", "59 s", "10 min", "2 h 13 min"]);
    }

    #[test]
    fn time_left_counts_from_where_the_run_went_on() {
        assert_eq!(time_left(Duration::from_secs(60), 100, 300), ", about 3 min left");
        assert_eq!(time_left(Duration::from_secs(60), 0, 300), "");
    }
}
