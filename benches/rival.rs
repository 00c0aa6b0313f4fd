//! The other program: a Python process that does the same work when it is told to.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

/// A running rival.
pub(crate) struct Rival {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Rival {
    /// Starts `benches/pytorch/rival.py` with this Python.
    pub(crate) fn start(python: &Path) -> Result<Self, String> {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../benches/pytorch/rival.py");
        let mut child = Command::new(python)
            .arg(script)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", python.display()))?;
        let (orders, answers) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
        Ok(Self { child, orders, answers: BufReader::new(answers) })
    }

    /// Its process number.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Prepares a piece of work, and does it once.
    pub(crate) fn prepare(&mut self, work: &Value) -> Result<(), String> {
        self.ask(&json!({ "setup": work })).map(|_| ())
    }

    /// Mean milliseconds of doing it `n` times.
    pub(crate) fn run(&mut self, n: usize) -> Result<f64, String> {
        self.ask(&json!({ "run": n }))
    }

    fn ask(&mut self, order: &Value) -> Result<f64, String> {
        writeln!(self.orders, "{order}").map_err(|error| format!("the rival is gone: {error}"))?;
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(|error| error.to_string())?;
        let answer: Value =
            serde_json::from_str(&line).map_err(|_end| "the rival ended; are the requirements installed?")?;
        match (answer["ms"].as_f64(), answer["error"].as_str()) {
            (Some(ms), _) => Ok(ms),
            (_, Some(error)) => Err(error.into()),
            _ => Err(format!("the rival answered {answer}")),
        }
    }
}

impl Drop for Rival {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
