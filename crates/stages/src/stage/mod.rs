//! What every stage shares: from a command line to a committed manifest.
//!
//! A stage is one [`Stage`] implementation: a struct that is at once its command line, its part of the recipe and
//! its help, and a `run` that turns verified inputs into outputs. [`main`] does the rest, in this order: parse,
//! resolve the inputs' manifests, compute the key, answer at once if it is committed, else take the key's lock,
//! run, commit, and point the ref at the result.

mod failure;
mod flags;
mod inputs;
mod interrupt;
mod progress;
mod provenance;
pub mod ranges;
mod session;
mod summary;

pub(crate) use failure::exit;
pub use failure::{ExitStatus, Failure};
pub use flags::Flags;
pub use inputs::{Inputs, Source};
pub use interrupt::Attention;
pub use progress::Meter;
pub(crate) use progress::{duration, say, visible, visible_json};
pub use session::{Session, Work};
pub(crate) use summary::facts as told_facts;

use std::process::ExitCode;
use std::time::Instant;

use clap::{Args, Command, CommandFactory, FromArgMatches, Parser};
use serde::Serialize;
use store::{Manifest, Recipe};

/// One step of a study.
pub trait Stage: Args + Serialize {
    /// The word after `samebasin`, the binary's suffix and the recipe's stage.
    const NAME: &'static str;
    /// Raised by hand whenever the same recipe yields other bytes for a reason that no other version covers.
    const VERSION: u32;

    /// Roles that every result of the stage has. A result without one of them is not committed.
    const OUTPUTS: &'static [&'static str];

    /// Checks the parameters, writes out the defaults that depend on others, and names the inputs and the methods that
    /// the stage rests on.
    ///
    /// # Errors
    /// [`Failure::Usage`] for parameters that contradict each other, [`Failure::Input`] for inputs that do not exist.
    fn resolve(&mut self, session: &Session) -> Result<Inputs, Failure>;

    /// Computes the outputs.
    ///
    /// # Errors
    /// Whatever went wrong; nothing is published then.
    fn run(&self, work: &mut Work<'_>) -> Result<(), Failure>;

    /// Answers what needs no store, and is no result of one: `None` where the command line asks for a result.
    ///
    /// # Errors
    /// Whatever went wrong.
    fn without_store(&self, _flags: &Flags) -> Option<Result<(), Failure>> {
        None
    }

    /// Copies what people want outside the store to where they want it, whether the result was computed or found.
    ///
    /// # Errors
    /// [`Failure::Io`] if that place cannot be written.
    fn deliver(&self, _session: &Session, _manifest: &Manifest) -> Result<(), Failure> {
        Ok(())
    }
}

// A stage's whole command line. Not a doc comment: that would stand in the help before the stage's own words.
#[derive(Parser)]
struct CommandLine<S: Stage> {
    #[command(flatten, next_help_heading = "This stage")]
    stage: S,
    #[command(flatten)]
    flags: Flags,
}

/// The command line of stage `S`.
#[must_use]
pub fn command<S: Stage>() -> Command {
    // clap opens the help with the words of what is flattened last; the stage's own are meant.
    let words = S::augment_args(Command::new(S::NAME));
    let short = words.get_about().cloned().unwrap_or_default();
    let long = words.get_long_about().cloned().unwrap_or_else(|| short.clone());
    CommandLine::<S>::command()
        .about(short)
        .long_about(long)
        .name(format!("samebasin-{}", S::NAME))
        .bin_name(format!("samebasin {}", S::NAME))
        .version(env!("CARGO_PKG_VERSION"))
        .after_help(failure::EXIT_CODES)
        .after_long_help(failure::EXIT_CODES)
}

/// Runs stage `S` as a program: the body of every stage binary.
#[must_use]
pub fn main<S: Stage>() -> ExitCode {
    let matches = command::<S>().get_matches();
    let parsed = CommandLine::<S>::from_arg_matches(&matches).map_err(|error| error.exit());
    let Ok(CommandLine { stage, flags }) = parsed;
    failure::exit(run(stage, &flags), &format!("samebasin {}", S::NAME))
}

fn run<S: Stage>(mut stage: S, flags: &Flags) -> Result<(), Failure> {
    if let Some(answer) = stage.without_store(flags) {
        return answer;
    }
    let session = Session::open(flags)?;
    let inputs = stage.resolve(&session)?;
    let recipe = recipe(&stage, &inputs)?;
    if flags.dry_run {
        return session.explain_plan(&recipe, flags);
    }
    let (start, mut is_new) = (Instant::now(), false);
    let manifest = session.keyed(recipe, |work| {
        is_new = true;
        stage.run(work)?;
        work.require(S::OUTPUTS)
    })?;
    stage.deliver(&session, &manifest)?;
    // The ref comes last: where Make sees it, everything is there.
    if let Some(name) = &flags.reference {
        session.store.set_ref(name, &manifest)?;
    }
    session.tell(S::NAME, &summary::line(&manifest, is_new.then(|| start.elapsed())));
    print_result(&manifest, flags)
}

/// The JSON form of a value of ours.
///
/// # Errors
/// [`Failure::Bug`] if it has none.
pub(crate) fn json(value: &impl Serialize) -> Result<serde_json::Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::Bug(format!("a value has no JSON form: {error}")))
}

/// The recipe of a stage with its defaults written out.
pub(crate) fn recipe<S: Stage>(stage: &S, inputs: &Inputs) -> Result<Recipe, Failure> {
    let serde_json::Value::Object(mut parameters) = json(stage)? else {
        return Err(Failure::Bug("a stage's parameters are not a JSON object".into()));
    };
    parameters.insert("versions".into(), json(inputs.versions())?);
    Ok(Recipe { stage: S::NAME.into(), version: S::VERSION, parameters, inputs: inputs.of_recipe() })
}

/// stdout carries data: the key, or with `--json` the whole manifest.
fn print_result(manifest: &Manifest, flags: &Flags) -> Result<(), Failure> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    let text = match flags.json {
        true => visible_json(&format!("{:#}", json(manifest)?)),
        false => manifest.key.to_string(),
    };
    writeln!(out, "{text}").map_err(Failure::printing)
}
