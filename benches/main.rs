//! samebasin beside what a user would otherwise run: `cargo bench --bench rivals -- --help`.

mod memory;
mod pairs;
mod rival;
mod roofline;
mod soup;
mod step;
mod sweep;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use rival::Rival;

/// Paired timings against PyTorch and transformers
///
/// Needs a Python with benches/pytorch/requirements.txt. Both sides take turns in the same minute; each line gives the
/// median of either and the ratio's median and range over the turns.
#[derive(Parser)]
struct Arguments {
    /// What to time
    #[arg(value_enum, default_values_t = [Work::Step, Work::Sweep, Work::Soup])]
    work: Vec<Work>,
    /// Python interpreter of the rival
    #[arg(long, default_value = "python3")]
    python: PathBuf,
    /// Threads of both sides
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Turns
    #[arg(long, default_value_t = 5)]
    turns: usize,
    /// Only lines that contain this, such as `H128` or `eager`
    #[arg(long, default_value = "")]
    filter: String,
    /// Given by cargo
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Work {
    /// Training steps and evaluations of one batch
    Step,
    /// Points of a line, on examples of QQP's lengths
    Sweep,
    /// A uniform soup of sixteen checkpoints
    Soup,
    /// The largest memory of a training process: give it alone
    Memory,
    /// The default study; a turn takes minutes
    World,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let run = || -> Result<(), String> {
        let mut rival = Rival::start(&arguments.python)?;
        println!("{}", pairs::heading());
        for work in &arguments.work {
            match work {
                Work::Step => step::run(&mut rival, arguments.threads, arguments.turns, &arguments.filter)?,
                Work::Sweep => sweep::run(&mut rival, arguments.threads, arguments.turns)?,
                Work::Soup => {
                    soup::run(&mut rival, &arguments.python, arguments.threads, arguments.turns)?;
                }
                Work::Memory => memory::run(&mut rival)?,
                Work::World => world::run(&arguments.python, arguments.threads, arguments.turns)?,
            }
        }
        Ok(())
    };
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}
