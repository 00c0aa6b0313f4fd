//! `samebasin <stage>`: finds the program of a stage and becomes it, as `git` does.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

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
        eprint!("{}", usage());
        return ExitCode::from(2);
    };
    match first.to_str() {
        Some("--help" | "-h" | "help") => {
            print!("{}", usage());
            ExitCode::SUCCESS
        }
        Some("--version" | "-V") => {
            println!("samebasin {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        Some(name) if PROGRAMS.iter().any(|(program, _)| *program == name) => become_program(name, arguments),
        _ => {
            eprintln!("samebasin: there is no stage `{}`\n\n{}", first.to_string_lossy(), usage());
            ExitCode::from(2)
        }
    }
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
    eprintln!("samebasin: cannot start {}: {error}; is it installed beside `samebasin`?", program.display());
    ExitCode::FAILURE
}
