//! `samebasin <stage>`: finds the program of a stage and becomes it, as `git` does.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use crate::stage::say;

/// The programs, in the order in which a study uses them.
const PROGRAMS: &[(&str, &str)] = &[
    (
        "fetch",
        "Fetch models, ladders of checkpoints and data sets from the hub, a mirror, a cache or a folder",
    ),
    ("prepare", "Make a task or a corpus ready"),
    ("pretrain", "Pretrain a model and keep a ladder of its checkpoints"),
    ("gauge", "Measure how converged each checkpoint of a ladder is"),
    ("finetune", "Fine-tune a checkpoint on a task with one seed"),
    ("interpolate", "Walk the straight line between every pair of models"),
    ("soup", "Average several fine-tuned models into one"),
    ("evaluate", "Evaluate a model in and out of distribution and under interventions"),
    ("report", "Join everything into tables and a report"),
    ("store", "Look into the artifact store: list, show, explain, history, verify, gc, du"),
];

/// Runs the program that the first argument names with the others.
#[must_use]
pub fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(first) = arguments.next() else {
        say(&usage());
        return ExitCode::from(2);
    };
    match first.to_str() {
        Some("--help" | "-h" | "help") => match arguments.next() {
            Some(stage) if is_program(&stage) => {
                become_program(&stage.to_string_lossy(), std::iter::once("--help".into()))
            }
            Some(other) => unknown(&other),
            None => print(&usage()),
        },
        Some("--version" | "-V") => print(&format!("samebasin {}\n", env!("CARGO_PKG_VERSION"))),
        Some(name) if is_program(&first) => become_program(name, arguments),
        _ => unknown(&first),
    }
}

fn is_program(name: &OsStr) -> bool {
    PROGRAMS.iter().any(|(program, _)| *program == name)
}

/// Prints to stdout. A reader that has seen enough is no failure.
fn print(text: &str) -> ExitCode {
    drop(std::io::stdout().lock().write_all(text.as_bytes()));
    ExitCode::SUCCESS
}

/// A usage error, with the stage that was perhaps meant: the one that shares most letters in a row from the start.
fn unknown(name: &OsStr) -> ExitCode {
    let name = name.to_string_lossy();
    let shared = |program: &str| program.chars().zip(name.chars()).take_while(|(a, b)| a == b).count();
    let near = PROGRAMS.iter().map(|(program, _)| *program).max_by_key(|program| shared(program));
    let hint = match near.filter(|program| shared(program) >= 2) {
        Some(near) => format!(" (did you mean `{near}`?)"),
        None => String::new(),
    };
    say(&format!("samebasin: there is no stage `{}`{hint}\n\n{}", name.escape_debug(), usage()));
    ExitCode::from(2)
}

fn usage() -> String {
    let mut text = String::from(
        "Does it matter which path fine-tuning takes? Find out, stage by stage.\n\n\
         Usage: samebasin <STAGE> [OPTIONS]\n\nStages:\n",
    );
    for (name, purpose) in PROGRAMS {
        text.push_str(&format!("  {name:<12} {purpose}\n"));
    }
    text.push_str(
        "\n`samebasin <STAGE> --help` explains each. Every stage is also a program of its own: samebasin-<STAGE>.\n",
    );
    text
}

fn become_program(name: &str, arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let file = format!("samebasin-{name}{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe().ok().and_then(|path| Some(path.parent()?.join(&file)));
    let program = beside.filter(|path| path.exists()).unwrap_or_else(|| PathBuf::from(&file));
    let mut command = Command::new(&program);
    command.args(arguments);
    #[cfg(unix)]
    let error = std::os::unix::process::CommandExt::exec(&mut command);
    #[cfg(not(unix))]
    let error = match command.status() {
        Ok(status) => {
            return ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1));
        }
        Err(error) => error,
    };
    say(&format!(
        "samebasin: cannot start {}: {error}; is it installed beside `samebasin`?",
        program.display()
    ));
    ExitCode::FAILURE
}
