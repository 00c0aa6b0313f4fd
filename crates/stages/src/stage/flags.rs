//! Flags that every stage has and that no key knows.

use std::path::PathBuf;

use clap::Args;

use super::ranges;

/// Where results go and how the work is done; never what they are.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Store and output")]
pub struct Flags {
    /// Folder of the artifact store
    #[arg(
        long,
        global = true,
        env = "SAMEBASIN_STORE",
        hide_env_values = true,
        default_value = "artifacts",
        value_name = "FOLDER"
    )]
    pub store: PathBuf,
    /// Name the result, as in `world/ladder/0`
    #[arg(long = "ref", global = true, value_name = "NAME")]
    pub reference: Option<String>,
    /// Number of threads; results do not depend on it [default: all cores]
    #[arg(long, global = true, value_name = "N", value_parser = ranges::count(1..=1_024))]
    pub threads: Option<usize>,
    /// Print the result's manifest as JSON instead of its key
    #[arg(long, global = true)]
    pub json: bool,
    /// Print `hit` or `run` with the key, and what changed since --ref; compute nothing
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Show no progress and no summary
    #[arg(long, short, global = true)]
    pub quiet: bool,
}
