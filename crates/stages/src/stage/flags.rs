//! Flags that every stage has and that no key knows.

use std::path::PathBuf;

use clap::Args;

/// Where results go and how the work is done; never what they are.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Store and output")]
pub struct Flags {
    /// Folder of the artifact store
    #[arg(long, env = "SAMEBASIN_STORE", default_value = "artifacts", value_name = "FOLDER")]
    pub store: PathBuf,
    /// Give the result a human name, as in `world/ladder/0`
    #[arg(long = "ref", value_name = "NAME")]
    pub reference: Option<String>,
    /// Threads to work on [default: all cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// Print the result's manifest as JSON instead of its key
    #[arg(long)]
    pub json: bool,
    /// Say whether the result exists and, if not, what changed; compute nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Show no progress
    #[arg(long, short)]
    pub quiet: bool,
}
