//! `samebasin <stage>`: finds the program of a stage and becomes it, as `git` does.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::ValueEnum;
use clap_complete::Shell;

use crate::stage::{Failure, command, exit, say};
use crate::{artifacts, evaluate, finetune, gauge, init, interpolate, prepare, pretrain, soup};

/// Name and command line of a program.
type Program = (&'static str, fn() -> clap::Command);

/// The programs, in the order in which a study uses them.
const PROGRAMS: &[Program] = &[
    ("init", init::command),
    #[cfg(feature = "fetch")]
    ("fetch", command::<crate::fetch::Fetch>),
    ("prepare", command::<prepare::Prepare>),
    ("pretrain", command::<pretrain::Pretrain>),
    ("gauge", command::<gauge::Gauge>),
    ("finetune", command::<finetune::Finetune>),
    ("interpolate", command::<interpolate::Interpolate>),
    ("soup", command::<soup::Soup>),
    ("evaluate", command::<evaluate::Evaluate>),
    #[cfg(feature = "report")]
    ("report", command::<crate::report::Report>),
    #[cfg(feature = "report")]
    ("plan", crate::plan::command),
    #[cfg(feature = "report")]
    ("import", crate::import::command),
    ("store", artifacts::command),
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
        Some("completions") => exit(completions(arguments.next()), "samebasin completions"),
        Some("man") => exit(pages(arguments.next()), "samebasin man"),
        Some(name) if is_program(&first) => become_program(name, arguments),
        _ => unknown(&first),
    }
}

/// All programs as one command line.
fn whole() -> clap::Command {
    let about = "Does it matter which path fine-tuning takes? Find out, stage by stage.";
    let root = clap::Command::new("samebasin").version(env!("CARGO_PKG_VERSION")).about(about);
    PROGRAMS.iter().fold(root, |root, (name, program)| root.subcommand(program().name(*name)))
}

/// Prints what a shell needs to complete stages and flags.
fn completions(shell: Option<OsString>) -> Result<(), Failure> {
    let shell = shell.unwrap_or_default();
    let Ok(shell) = Shell::from_str(&shell.to_string_lossy(), true) else {
        let known: Vec<String> = Shell::value_variants().iter().map(Shell::to_string).collect();
        return Err(Failure::Usage(format!("name a shell: {}", known.join(", "))));
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut whole(), "samebasin", &mut script);
    std::io::stdout().lock().write_all(&script).map_err(Failure::printing)
}

/// Writes a manual page for each program into a folder.
fn pages(folder: Option<OsString>) -> Result<(), Failure> {
    let folder = folder.ok_or_else(|| Failure::Usage("name a folder for the manual pages".into()))?;
    let folder = Path::new(&folder);
    let write = || {
        std::fs::create_dir_all(folder)?;
        clap_mangen::generate_to(whole(), folder)
    };
    write().map_err(|source| Failure::Io { what: format!("cannot write {}", folder.display()), source })
}

/// Is this the stage of a program, and not of a part of a result?
pub(crate) fn is_stage(name: &str) -> bool {
    is_program(OsStr::new(name))
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
    for (name, program) in PROGRAMS {
        let about = program().get_about().map(ToString::to_string).unwrap_or_default();
        text.push_str(&format!("  {name:<12} {about}\n"));
    }
    text.push_str("\nAnd: completions <SHELL> (for bash, zsh, fish, ...), man <FOLDER> (manual pages)\n");
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
