//! `samebasin store`: a look into the artifact store.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use comfy_table::{Table, presets::NOTHING};
use serde::Serialize;
use store::{Manifest, Mode, Store, Sweep};

use crate::export::export;
use crate::stage::{Failure, Source};

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
    /// List refs, and results that have none
    List,
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
    /// Hash every object again and check every manifest and ref
    Verify {
        /// Remove corrupt objects, so that the stages that made them run again
        #[arg(long)]
        repair: bool,
    },
    /// Free what no ref leads to
    Gc {
        /// Say what would go; delete nothing
        #[arg(long)]
        dry_run: bool,
        /// Spare what was written or found within this many minutes
        #[arg(long, default_value_t = 60)]
        grace: u64,
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
        Deed::List => list(&store, command),
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
        Deed::Gc { dry_run, grace } => {
            let mode = if *dry_run { Mode::Look } else { Mode::Delete };
            let sweep = Sweep { mode, grace: Duration::from_secs(60 * grace), ..Sweep::default() };
            let collection = store.gc(&sweep)?;
            command.print(&collection, || {
                let freed = collection.freed.iter().map(|freed| format!("{freed}\n"));
                let verb = if *dry_run { "would free" } else { "freed" };
                Ok(freed
                    .chain([format!(
                        "{verb} {}, kept {} manifests and {} objects ({})\n",
                        size(collection.freed_bytes),
                        collection.kept_manifests,
                        collection.kept_objects,
                        size(collection.kept_bytes)
                    )])
                    .collect())
            })
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
            true => format!("{:#}\n", crate::stage::json(value)?),
            false => text()?,
        };
        out.write_all(text.as_bytes()).map_err(Failure::printing)
    }
}

/// A row of `list`.
#[derive(Serialize)]
struct Listed {
    name: Option<String>,
    stage: String,
    key: String,
    bytes: u64,
    seconds: f64,
}

fn list(store: &Store, command: &CommandLine) -> Result<(), Failure> {
    let row = |name: Option<String>, manifest: &Manifest| Listed {
        name,
        stage: manifest.stage.clone(),
        key: manifest.key.to_string(),
        bytes: manifest.outputs.values().map(|output| output.bytes).sum(),
        seconds: manifest.provenance.seconds,
    };
    let mut rows = Vec::new();
    let mut named = std::collections::BTreeSet::new();
    for name in store.list_refs()? {
        let manifest = store.get_ref(&name)?;
        named.insert(manifest.key);
        rows.push(row(Some(name), &manifest));
    }
    for key in store.list()?.into_values().flatten().filter(|key| !named.contains(key)) {
        if let Some(manifest) = store.manifest(&key)? {
            rows.push(row(None, &manifest));
        }
    }
    command.print(&rows, || {
        let mut table = bare_table(&["ref", "stage", "key", "size", "seconds"]);
        for row in &rows {
            let name = row.name.as_deref().unwrap_or("-");
            table.add_row([
                name,
                &row.stage,
                &row.key[..12],
                &size(row.bytes),
                &format!("{:.1}", row.seconds),
            ]);
        }
        Ok(format!("{table}\n"))
    })
}

fn show(manifest: &Manifest) -> String {
    let mut text = format!("{} {} (version {})\n", manifest.stage, manifest.key, manifest.version);
    let mut section = |title: &str, rows: Vec<[String; 2]>| {
        if !rows.is_empty() {
            let mut table = Table::new();
            table.load_preset(NOTHING).add_rows(rows);
            text.push_str(&format!("\n{title}\n{table}\n"));
        }
    };
    let plain = |name: &String, value: &serde_json::Value| [name.clone(), value.to_string()];
    section("parameters", manifest.parameters.iter().map(|(name, value)| plain(name, value)).collect());
    let inputs = manifest.inputs.iter().flat_map(|(role, inputs)| {
        inputs
            .iter()
            .map(move |input| [role.clone(), format!("{} of {}", input.object.short(), input.from.short())])
    });
    section("inputs", inputs.collect());
    let outputs = manifest.outputs.iter();
    section(
        "outputs",
        outputs
            .map(|(role, output)| {
                [
                    role.clone(),
                    format!("{} {} {}", output.object.short(), output.media.extension(), size(output.bytes)),
                ]
            })
            .collect(),
    );
    section("facts", manifest.facts.iter().map(|(name, value)| plain(name, value)).collect());
    let made = &manifest.provenance;
    section(
        "made",
        vec![
            [
                "on".into(),
                format!(
                    "{} ({}, {}, {} threads)",
                    made.host, made.target, made.instruction_set, made.threads
                ),
            ],
            ["by".into(), format!("samebasin {}", made.samebasin)],
            ["ended".into(), made.finished.clone().unwrap_or_default()],
            ["took".into(), format!("{:.1} s, {} of memory", made.seconds, size(made.peak_memory_bytes))],
        ],
    );
    text
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
            if found.is_sound() { "all as they should be" } else { "DAMAGED" }
        ));
        Ok(text)
    })?;
    if found.is_sound() {
        return Ok(());
    }
    let advice = match repair {
        true => format!(
            "{} corrupt objects are removed; run the stages that made them again",
            store.repair(&found)?.len()
        ),
        false => "`samebasin store verify --repair` removes corrupt objects, so that their stages run again"
            .to_owned(),
    };
    Err(Failure::Input(format!(
        "{} things in the store are not as they should be; {advice}",
        found.problems.len()
    )))
}

fn bare_table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(header.to_vec());
    table
}

/// Bytes for people, in powers of 1024.
fn size(bytes: u64) -> String {
    let mut amount = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if amount < 1024.0 {
            return if unit == "B" { format!("{bytes} B") } else { format!("{amount:.1} {unit}") };
        }
        amount /= 1024.0;
    }
    format!("{amount:.1} TiB")
}
