//! `samebasin report --schema`: every table, column by column.

use std::fmt::Write as _;
use std::io::Write as _;

use serde_json::{Value, json};
use tables::Schema;

use crate::rows::{
    CurveRow, EffectRow, GaugedRow, LadderRow, MemberRow, PairRow, PathRow, PredictionRow, RungRow, ScoreRow,
};
use crate::stage::Failure;

/// The tables of each stage, `report` first: its tables are the ones to analyse.
const STAGES: [(&str, &[&Schema]); 8] = [
    ("report", &report::TABLES),
    ("fetch", &[RungRow::TABLE]),
    ("pretrain", &[LadderRow::TABLE]),
    ("gauge", &[GaugedRow::TABLE]),
    ("finetune", &[CurveRow::TABLE]),
    ("interpolate", &[PathRow::TABLE, PairRow::TABLE]),
    ("soup", &[MemberRow::TABLE]),
    ("evaluate", &[ScoreRow::TABLE, PredictionRow::TABLE, EffectRow::TABLE]),
];

const INTRODUCTION: &str = "\
# Tables

Every stage that measures something writes a table in Parquet. `samebasin report` joins them with their provenance into the
tables of a study, which are the ones to analyse: each row carries its seeds, its rung and its arm. They lie in
`FOLDER/tables` after `samebasin report --out FOLDER`, and any program that reads Parquet reads them. Predictions are many, so
they lie in `FOLDER/tables/predictions`, a file for each checkpoint and arm.

`samebasin report --tables FOLDER/tables --out ELSEWHERE` makes the page again from these tables alone. It needs `runs` or
`pairs`; whoever writes tables with these columns gets the same figures and intervals.

A value of an optional column may be null. Shares and probabilities lie between 0 and 1, losses are in nats, and keys and
object ids are hexadecimal digits. This page is printed by `samebasin report --schema`; with `--json` it is JSON.
";

/// Prints all tables to stdout.
///
/// # Errors
/// [`Failure::Io`] if stdout cannot be written.
pub(super) fn print(as_json: bool) -> Result<(), Failure> {
    let text = if as_json { format!("{:#}\n", of_all()) } else { page() };
    std::io::stdout().lock().write_all(text.as_bytes()).map_err(Failure::printing)?;
    Ok(())
}

/// The page `docs/reference/tables.md`.
fn page() -> String {
    let mut page = INTRODUCTION.to_owned();
    for (stage, tables) in STAGES {
        let title = match stage {
            "report" => "The tables of a study".to_owned(),
            stage => format!("Written by `{stage}`"),
        };
        // Writing to a string cannot fail.
        let _ = write!(page, "\n## {title}\n");
        for table in tables {
            let _ = write!(page, "\n{table}");
        }
    }
    page
}

/// The same for programs: a list of tables.
fn of_all() -> Value {
    let of_stage = |(stage, tables): &(&str, &[&Schema])| {
        let stage = (*stage).to_owned();
        tables.iter().map(move |table| of_table(&stage, table)).collect::<Vec<Value>>()
    };
    STAGES.iter().flat_map(of_stage).collect()
}

fn of_table(stage: &str, table: &Schema) -> Value {
    let column = |field: &tables::Field| {
        json!({
            "name": field.name,
            "type": field.kind.to_string(),
            "optional": field.optional,
            "meaning": field.doc,
        })
    };
    let columns: Vec<Value> = table.fields.iter().map(column).collect();
    json!({ "stage": stage, "table": table.name, "meaning": table.doc, "columns": columns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_tables_is_up_to_date() {
        let committed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/tables.md");
        assert!(
            std::fs::read_to_string(committed).unwrap() == page(),
            "docs/reference/tables.md is not what the program prints; renew it with\n  \
             cargo run --release --bin samebasin-report -- --schema > docs/reference/tables.md"
        );
    }

    #[test]
    fn every_column_of_every_table_has_a_meaning() {
        let tables = of_all();
        let tables = tables.as_array().unwrap();
        assert!(tables.len() > report::TABLES.len());
        for table in tables {
            assert!(!table["meaning"].as_str().unwrap().is_empty(), "{table}");
            for column in table["columns"].as_array().unwrap() {
                assert!(!column["meaning"].as_str().unwrap().is_empty(), "{column}");
            }
        }
    }
}
