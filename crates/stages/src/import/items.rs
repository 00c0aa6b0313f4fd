//! How many of the runs are right on each example of a split.

use std::collections::BTreeSet;

use report::rows::{ItemCount, RunScore};

use super::File;
use crate::stage::Failure;

/// The counts in a column, checked against the accuracies of the runs on this split.
pub(super) fn read(
    file: &File,
    column: &str,
    split: &str,
    runs: &[RunScore],
) -> Result<Vec<ItemCount>, Failure> {
    let of_split: Vec<&RunScore> =
        runs.iter().filter(|run| run.split == split && run.case.is_empty()).collect();
    let places: BTreeSet<(&str, u64, u64)> =
        of_split.iter().map(|run| (run.arm.as_str(), run.pretraining_seed, run.step)).collect();
    let mut places = places.into_iter();
    let (Some((arm, pretraining_seed, step)), None) = (places.next(), places.next()) else {
        return Err(Failure::Usage(format!(
            "--items: counts are of the runs of one checkpoint, and `{split}` is of none or of several"
        )));
    };
    let (n_runs, n) = (of_split.len() as u64, of_split[0].n);
    let rows = file.columns(&[column])?;
    let mut items = Vec::new();
    for (cells, &line) in rows.cells.iter().zip(&rows.lines) {
        let right = cells[0].trim().parse().ok().filter(|&right: &u64| right <= n_runs).ok_or_else(|| {
            file.wrong(line, &format!("`{column}` is `{}`, not a number of the {n_runs} runs", cells[0]))
        })?;
        items.push(ItemCount {
            arm: arm.to_owned(),
            pretraining_seed,
            step,
            split: split.to_owned(),
            example: line.to_string(),
            right,
            runs: n_runs,
        });
    }
    if items.len() as u64 != n {
        return Err(Failure::Input(format!(
            "{} has {} examples, but `{split}` has {n}",
            file.name,
            items.len()
        )));
    }
    let counted = items.iter().map(|item| item.right).sum::<u64>() as f64 / (n_runs * n) as f64;
    let mean = of_split.iter().map(|run| run.accuracy).sum::<f64>() / n_runs as f64;
    // Printed accuracies may be cut off at four digits.
    if (counted - mean).abs() > 1e-4 {
        return Err(Failure::Input(format!(
            "{}: by its counts the runs are right on {counted:.6} of `{split}`, by their accuracies on {mean:.6}",
            file.name
        )));
    }
    Ok(items)
}
