//! `samebasin store`: a look into the artifact store.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use serde::Serialize;
use store::{Collection, Mode, Repair, Store, Sweep};

use crate::export::export;
use crate::stage::{Failure, Source, ranges, visible, visible_json};
use text::{bare_table, show, size};

mod list;
mod text;

/// Look into the artifact store
#[derive(Parser)]
#[command(
    name = "samebasin-store",
    bin_name = "samebasin store",
    version,
    after_help = "Exit codes: 0 done, and nothing is wrong; 1 it failed; 2 the command line is wrong; \
        3 something is missing or corrupt."
)]
struct CommandLine {
    /// Folder of the artifact store
    #[arg(
        long,
        global = true,
        env = "SAMEBASIN_STORE",
        hide_env_values = true,
        default_value = "artifacts",
        value_name = "FOLDER"
    )]
    store: PathBuf,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    deed: Deed,
}

#[derive(Subcommand)]
enum Deed {
    /// List results by name, with what they measured
    List {
        /// The beginning of refs, or of keys
        prefix: Option<String>,
        /// List results without a name as well, among them the parts of others
        #[arg(long)]
        all: bool,
    },
    /// Show a result: its recipe, outputs, facts and provenance
    Show {
        /// Ref, key, or the beginning of a key
        name: String,
    },
    /// Say why two results differ, parameter by parameter and input by input, down to the root cause
    Explain {
        /// Ref, key, or the beginning of a key
        a: String,
        /// Ref, key, or the beginning of a key
        b: String,
    },
    /// Show all that led to a result, as a tree
    History {
        /// Ref, key, or the beginning of a key
        name: String,
    },
    /// Take names away; what has no other goes with the next `gc`
    Rm {
        /// Refs
        #[arg(required = true, value_name = "REF")]
        names: Vec<String>,
    },
    /// Give a result another name
    Mv {
        /// Ref
        #[arg(value_name = "REF")]
        old: String,
        /// A ref that does not exist
        #[arg(value_name = "NEW")]
        new: String,
    },
    /// Hash every object again and check every manifest and ref
    Verify {
        /// Remove what is damaged, with the refs to it, so that the stages that made it run again
        #[arg(long)]
        repair: bool,
    },
    /// Free what no ref leads to, and no run needs
    Gc {
        /// Say what would go; delete nothing
        #[arg(long)]
        dry_run: bool,
        /// Spare results without a name that were made or found within this many minutes
        #[arg(long, default_value_t = 60, value_name = "MINUTES", value_parser = ranges::steps(0..=5_256_000))]
        grace: u64,
        /// Remove the states of killed runs, too, which would go on from them
        #[arg(long)]
        unfinished: bool,
    },
    /// Say how much space each stage takes
    Du,
    /// Copy a result's outputs into a folder; a model's folder opens with transformers' `from_pretrained`, the folder
    /// `adapter` in it with peft's
    Export {
        /// Ref, key, or the beginning of a key; with `:step-1000` one checkpoint of a ladder
        #[arg(value_name = "REF[:OUTPUT]")]
        name: Source,
        /// Folder to write, created if need be
        folder: PathBuf,
    },
}

/// The command line of the program.
#[must_use]
pub(crate) fn command() -> clap::Command {
    <CommandLine as clap::CommandFactory>::command()
}

/// The body of the program.
#[must_use]
pub fn main() -> ExitCode {
    let command = CommandLine::parse();
    crate::stage::exit(run(&command), "samebasin store")
}

fn run(command: &CommandLine) -> Result<(), Failure> {
    let store = Store::open_existing(&command.store)?;
    match &command.deed {
        Deed::List { prefix, all } => list::list(&store, command, prefix.as_deref(), *all),
        Deed::Show { name } => {
            let manifest = store.resolve(name)?;
            command.print(&manifest, || Ok(show(&manifest)))
        }
        Deed::Explain { a, b } => {
            let differences = store.explain(&store.resolve(a)?, &store.resolve(b)?)?;
            command.print(&differences, || {
                Ok(match differences.is_empty() {
                    true => "they are the same result\n".to_owned(),
                    false => differences.iter().map(|difference| format!("{difference}\n")).collect(),
                })
            })
        }
        Deed::History { name } => {
            let lineage = store.history(&store.resolve(name)?)?;
            command.print(&lineage, || Ok(format!("{lineage}\n")))
        }
        Deed::Verify { repair } => verify(&store, command, *repair),
        Deed::Rm { names } => {
            // All or none.
            names.iter().try_for_each(|name| store.has_ref(name))?;
            names.iter().try_for_each(|name| Ok(store.remove_ref(name)?))
        }
        Deed::Mv { old, new } => Ok(store.rename_ref(old, new)?),
        Deed::Gc { dry_run, grace, unfinished } => {
            let mode = if *dry_run { Mode::Look } else { Mode::Delete };
            let sweep = Sweep { mode, grace: Duration::from_secs(60 * grace), unfinished: *unfinished };
            let collection = store.gc(&sweep)?;
            command.print(&collection, || Ok(collected(&collection)))
        }
        Deed::Du => {
            let usage = store.usage()?;
            command.print(&usage, || {
                let mut table = bare_table(&["stage", "results", "objects", "size"]);
                for (stage, usage) in &usage.stages {
                    table.add_row([
                        stage,
                        &usage.manifests.to_string(),
                        &usage.objects.to_string(),
                        &size(usage.bytes),
                    ]);
                }
                Ok(format!("{table}\ntotal {}\n", size(usage.bytes)))
            })
        }
        Deed::Export { name, folder } => export(&store, name, folder),
    }
}

impl CommandLine {
    /// Prints `value` as JSON, or as `text` for people.
    fn print(
        &self,
        value: &impl Serialize,
        text: impl FnOnce() -> Result<String, Failure>,
    ) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        let text = match self.json {
            true => visible_json(&format!("{:#}\n", crate::stage::json(value)?)),
            false => visible(&text()?).into_owned(),
        };
        out.write_all(text.as_bytes()).map_err(Failure::printing)
    }
}

fn verify(store: &Store, command: &CommandLine, repair: bool) -> Result<(), Failure> {
    let found = store.verify()?;
    command.print(&found, || {
        let mut text: String = found.problems.iter().map(|problem| format!("{problem}\n")).collect();
        text.push_str(&format!(
            "{} objects ({}), {} manifests, {} refs: {}\n",
            found.objects,
            size(found.object_bytes),
            found.manifests,
            found.refs,
            if found.is_sound() { "no problems" } else { "DAMAGED" }
        ));
        Ok(text)
    })?;
    if found.is_sound() {
        return Ok(());
    }
    let advice = match repair {
        true => repaired(&store.repair(&found)?),
        false => "`samebasin store verify --repair` removes what is damaged, with the refs to it, so that the stages that \
                  made it run again"
            .to_owned(),
    };
    let n = found.problems.len();
    Err(Failure::Input(format!("{n} problem{} found in the store; {advice}", if n == 1 { "" } else { "s" })))
}

/// What a repair did.
fn repaired(repair: &Repair) -> String {
    if repair.is_empty() {
        return "none of them can be repaired by taking something away".to_owned();
    }
    let restored = repair.restored.iter().map(|name| format!("written anew from a ref: {name}"));
    let manifests = repair.manifests.iter().map(|file| format!("removed: {file}"));
    let objects = repair.objects.iter().map(|object| format!("removed: object {object}"));
    let refs = repair.refs.iter().map(|name| format!("removed: ref {name}, run its stage again"));
    let done: Vec<String> = restored.chain(manifests).chain(objects).chain(refs).collect();
    format!("repaired:\n  {}", done.join("\n  "))
}

/// What a collection freed and kept.
fn collected(collection: &Collection) -> String {
    let mut lines: Vec<String> = collection.freed.iter().map(ToString::to_string).collect();
    lines.extend(collection.running.iter().map(|run| format!("kept for {run}, which is running")));
    let unfinished = collection.unfinished.iter();
    lines.extend(
        unfinished.map(|run| format!("kept for {run}, which can go on from its state (--unfinished)")),
    );
    lines.push(format!(
        "{} {}, kept {} manifests and {} objects ({})",
        if collection.mode == Mode::Look { "would free" } else { "freed" },
        size(collection.freed_bytes),
        collection.kept_manifests,
        collection.kept_objects,
        size(collection.kept_bytes)
    ));
    lines.join("\n") + "\n"
}
