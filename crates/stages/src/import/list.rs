//! The list: which rows are runs, what their cells say, and the rows of the table `runs`.

use std::collections::{BTreeMap, BTreeSet};

use report::DEFAULT_ARM;
use report::rows::RunScore;

use super::{File, Import};
use crate::stage::Failure;

/// What the flags make of the file's columns.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) scores: Vec<Score>,
    /// Share of the most frequent label, by split and case.
    majority: BTreeMap<(String, String), f64>,
}

/// A column of accuracies.
#[derive(Debug)]
pub(super) struct Score {
    pub(super) column: String,
    pub(super) split: String,
    pub(super) case: String,
    pub(super) n: u64,
}

/// A cell of a score: its value from 0 to 1, and one unit of its last digit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Accuracy {
    pub(super) value: f64,
    pub(super) unit: f64,
}

/// A row of the list.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) line: u64,
    pub(super) name: String,
    pub(super) scores: Vec<Accuracy>,
    /// The values of the flags that name columns, by column.
    cells: BTreeMap<String, String>,
}

/// The rows of the list by what they are.
#[derive(Debug)]
pub(super) struct List {
    pub(super) file: String,
    pub(super) runs: Vec<Row>,
    /// Rows that summarise the runs.
    pub(super) summaries: Vec<(super::summary::Statistic, Row)>,
}

impl Columns {
    /// Checks what the flags say of scores.
    pub(super) fn of(import: &Import) -> Result<Self, Failure> {
        let usage = |text: String| Err(Failure::Usage(text));
        let mut scores: Vec<Score> = Vec::new();
        for given in import.scores.chunks(3) {
            let [column, place, n] = given else {
                return usage("--score takes COLUMN, SPLIT[/CASE] and N".into());
            };
            let Some(n) = n.parse().ok().filter(|&n: &u64| n > 0) else {
                return usage(format!("--score {column}: `{n}` is no number of examples"));
            };
            let (split, case) = split_and_case(place)?;
            if let Some(known) = scores.iter().find(|score| (&score.split, &score.case) == (&split, &case)) {
                return usage(format!("--score: `{}` and `{column}` are both of {place}", known.column));
            }
            scores.push(Score { column: column.clone(), split, case, n });
        }
        let mut majority = BTreeMap::new();
        for given in import.majority.chunks(2) {
            let [place, share] = given else {
                return usage("--majority takes SPLIT[/CASE] and SHARE".into());
            };
            let Some(share) = share.parse().ok().filter(|share: &f64| (0.0..=1.0).contains(share)) else {
                return usage(format!("--majority {place}: `{share}` is no share from 0 to 1"));
            };
            let of = split_and_case(place)?;
            if !scores.iter().any(|score| (&score.split, &score.case) == (&of.0, &of.1)) {
                return usage(format!("--majority {place}: no --score is of it"));
            }
            majority.insert(of, share);
        }
        Ok(Self { scores, majority })
    }
}

fn split_and_case(text: &str) -> Result<(String, String), Failure> {
    let (split, case) = text.split_once('/').unwrap_or((text, ""));
    match split.is_empty() || (case.is_empty() && text.contains('/')) {
        true => Err(Failure::Usage(format!("`{text}` names no split: expected SPLIT or SPLIT/CASE"))),
        false => Ok((split.into(), case.into())),
    }
}

/// Reads the rows and tells runs from summaries. Rows without any value are passed over.
pub(super) fn read(import: &Import, columns: &Columns, file: &File) -> Result<List, Failure> {
    let named = flags(import).into_iter().flatten().filter(|value| !value.starts_with('='));
    let mut chosen: Vec<&str> = import.run.iter().map(String::as_str).collect();
    chosen.extend(columns.scores.iter().map(|score| score.column.as_str()));
    let others: Vec<&str> = named.collect();
    chosen.extend(&others);
    let rows = file.columns(&chosen)?;
    let mut list = List { file: file.name.clone(), runs: Vec::new(), summaries: Vec::new() };
    for (cells, &line) in rows.cells.iter().zip(&rows.lines) {
        if cells.iter().all(|cell| cell.trim().is_empty()) {
            continue;
        }
        let (names, rest) = cells.split_at(import.run.len());
        let (scores, rest) = rest.split_at(columns.scores.len());
        let name = names.join("/");
        let statistic = super::summary::Statistic::named(&name);
        let is_run = match &import.runs {
            Some(pattern) => fits(pattern, &name),
            None => statistic.is_none(),
        };
        if !is_run && statistic.is_none() {
            let reason = format!("`{name}` does not fit --runs, and summarises nothing that is known");
            return Err(file.wrong(line, &reason));
        }
        let scores =
            scores.iter().zip(&columns.scores).map(|(cell, score)| accuracy(import, file, line, cell, score));
        let scores = scores.collect::<Result<_, _>>()?;
        let cells = others.iter().map(|name| (*name).to_owned()).zip(rest.iter().cloned()).collect();
        let row = Row { line, name, scores, cells };
        match statistic.filter(|_| !is_run) {
            Some(statistic) => list.summaries.push((statistic, row)),
            None => list.runs.push(row),
        }
    }
    let mut names = BTreeSet::new();
    for run in &list.runs {
        if !names.insert(&run.name) {
            let reason = format!(
                "there is a run `{}` already; name runs by more columns (--run, several times)",
                run.name
            );
            return Err(file.wrong(run.line, &reason));
        }
    }
    match list.runs.is_empty() {
        true => Err(Failure::Input(format!("{} has no row of a run", file.name))),
        false => Ok(list),
    }
}

/// The flags that take a column or a value.
fn flags(import: &Import) -> [Option<&str>; 7] {
    [
        &import.arm,
        &import.pretraining_seed,
        &import.step,
        &import.held_out_loss,
        &import.seed,
        &import.learning_rate,
        &import.steps,
    ]
    .map(Option::as_deref)
}

/// Whether a name fits a pattern in which `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut left) = name.strip_prefix(start) else { return false };
    let parts: Vec<&str> = rest.split('*').collect();
    let (last, inner) = parts.split_last().expect("splitting gives at least one part");
    for part in inner {
        let Some(found) = left.find(part) else { return false };
        left = &left[found + part.len()..];
    }
    left.ends_with(last)
}

/// A cell of a score as a share.
fn accuracy(import: &Import, file: &File, line: u64, cell: &str, score: &Score) -> Result<Accuracy, Failure> {
    let cell = cell.trim();
    let wrong = |reason: String| Err(file.wrong(line, &format!("`{}` is {reason}", score.column)));
    let Some(value) = cell.parse().ok().filter(|value: &f64| value.is_finite()) else {
        return wrong(format!("`{cell}`, not a number"));
    };
    let scale = if import.percent { 100.0 } else { 1.0 };
    let share = value / scale;
    if !(0.0..=1.0).contains(&share) {
        let hint = if !import.percent && (1.0..=100.0).contains(&value) {
            "; are these percentages (--percent)?"
        } else {
            ""
        };
        return wrong(format!("{cell}, not a share from 0 to 1{hint}"));
    }
    // Digits behind the point, less the exponent's.
    let (digits, exponent) = cell.split_once(['e', 'E']).unwrap_or((cell, "0"));
    let decimals = digits.split_once('.').map_or(0, |(_, decimals)| decimals.len() as i32);
    let exponent: i32 = exponent.parse().unwrap_or(0);
    Ok(Accuracy { value: share, unit: 10_f64.powi(exponent - decimals) / scale })
}

/// The rows of the table `runs`.
pub(super) fn runs(import: &Import, columns: &Columns, list: &List) -> Result<Vec<RunScore>, Failure> {
    let mut places: BTreeMap<(String, u64, u64), u64> = BTreeMap::new();
    let mut table = Vec::new();
    for row in &list.runs {
        let arm = value(import.arm.as_deref(), row).map_or(DEFAULT_ARM.to_owned(), str::to_owned);
        let pretraining_seed =
            whole(list, row, "--pretraining-seed", import.pretraining_seed.as_deref())?.unwrap_or(0);
        let step = whole(list, row, "--step", import.step.as_deref())?.unwrap_or(0);
        let place = places.entry((arm.clone(), pretraining_seed, step)).or_default();
        let finetuning_seed = whole(list, row, "--seed", import.seed.as_deref())?.unwrap_or(*place);
        *place += 1;
        let held_out_loss = number(list, row, "--held-out-loss", import.held_out_loss.as_deref())?;
        let learning_rate = number(list, row, "--learning-rate", import.learning_rate.as_deref())?;
        let steps = whole(list, row, "--steps", import.steps.as_deref())?;
        let failed = failed(columns, row);
        for (score, accuracy) in columns.scores.iter().zip(&row.scores) {
            check_share(list, row, score, *accuracy)?;
            table.push(RunScore {
                run: row.name.clone(),
                arm: arm.clone(),
                pretraining_seed,
                step,
                held_out_loss,
                finetuning_seed,
                head_seed: None,
                order_seed: None,
                learning_rate,
                steps,
                task: String::new(),
                data_arm: arm == DEFAULT_ARM,
                split: score.split.clone(),
                case: score.case.clone(),
                n: score.n,
                loss: None,
                accuracy: accuracy.value,
                majority: columns.majority.get(&(score.split.clone(), score.case.clone())).copied(),
                expected_error: None,
                calibration_error: None,
                mcc: None,
                f1: None,
                metric: "accuracy".into(),
                score: Some(accuracy.value),
                failed,
            });
        }
    }
    match table.iter().any(|row| row.arm == DEFAULT_ARM) {
        true => Ok(table),
        false => Err(Failure::Input(format!(
            "no run has the arm `{DEFAULT_ARM}`, which the others are compared with: name one arm so"
        ))),
    }
}

/// True if the run is no better than the most frequent label on `val`, or, without it, on `id`.
fn failed(columns: &Columns, row: &Row) -> bool {
    let judged = ["val", "id"].into_iter().find_map(|split| {
        let place = columns.scores.iter().position(|score| score.split == split && score.case.is_empty())?;
        let majority = columns.majority.get(&(split.to_owned(), String::new()))?;
        Some(row.scores[place].value <= *majority)
    });
    judged.unwrap_or(false)
}

/// An accuracy on n examples is a share of n: within one unit of its last digit, or what single precision holds.
fn check_share(list: &List, row: &Row, score: &Score, accuracy: Accuracy) -> Result<(), Failure> {
    let n = score.n as f64;
    let nearest = (accuracy.value * n).round() / n;
    if (nearest - accuracy.value).abs() <= accuracy.unit.max(1e-7) * 1.001 {
        return Ok(());
    }
    Err(Failure::Input(format!(
        "{}, line {}: `{}` is {}, which is not a number of right answers out of {}: is N right?",
        list.file, row.line, score.column, accuracy.value, score.n
    )))
}

/// What a flag says of a row: a value for all, or the cell of a column.
fn value<'a>(flag: Option<&'a str>, row: &'a Row) -> Option<&'a str> {
    let flag = flag?;
    flag.strip_prefix('=').or_else(|| row.cells.get(flag).map(|cell| cell.trim()))
}

fn whole(list: &List, row: &Row, name: &str, flag: Option<&str>) -> Result<Option<u64>, Failure> {
    parsed(list, row, name, flag, "a whole number")
}

fn number(list: &List, row: &Row, name: &str, flag: Option<&str>) -> Result<Option<f64>, Failure> {
    let found: Option<f64> = parsed(list, row, name, flag, "a number")?;
    match found {
        Some(found) if !found.is_finite() => {
            Err(Failure::Input(format!("{}, line {}: {name} is not finite", list.file, row.line)))
        }
        found => Ok(found),
    }
}

fn parsed<T: std::str::FromStr>(
    list: &List,
    row: &Row,
    name: &str,
    flag: Option<&str>,
    what: &str,
) -> Result<Option<T>, Failure> {
    let Some(text) = value(flag, row) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        Failure::Input(format!("{}, line {}: {name} is `{text}`, not {what}", list.file, row.line))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, name, is) in [
            ("Run *", "Run 0", true),
            ("Run *", "Mean", false),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "acb", false),
            ("a*a", "a", false),
            ("run", "run", true),
            ("run", "run 1", false),
        ] {
            assert_eq!(fits(pattern, name), is, "{pattern} {name}");
        }
    }
}
