//! Reads a study's table with Polars, as the README shows: the runs on the split `ood`.
//!
//! cargo run --release -p samebasin-report --example read_tables -- out/world/tables/runs.parquet

use polars::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "out/world/tables/runs.parquet".into());
    let runs = ParquetReader::new(std::fs::File::open(path)?).finish()?;
    println!("{}", runs.filter(&runs.column("split")?.str()?.equal("ood"))?);
    Ok(())
}
