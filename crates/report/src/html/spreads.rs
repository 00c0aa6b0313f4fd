//! The table of how accuracy varies over the runs of one checkpoint.

use serde::Serialize;

use crate::rows::Spread;
use crate::study::{DEFAULT_ARM, Study, steps_text};
use crate::summarise::measure::shown;
use crate::summarise::spread::ENOUGH;
use crate::words::counted;

/// Checkpoints on the page; the table `spreads` has all.
const ON_PAGE: usize = 3;

/// The scores of one checkpoint's runs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Checkpoint {
    pub(crate) title: String,
    /// The score that the others are compared with; empty if there is none.
    pub(crate) reference: String,
    pub(crate) lines: Vec<Line>,
}

/// One score.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Line {
    pub(crate) label: String,
    pub(crate) whole: bool,
    pub(crate) n: String,
    pub(crate) mean: String,
    pub(crate) sd: String,
    pub(crate) chi_square: String,
    pub(crate) bootstrap: String,
    pub(crate) range: String,
    pub(crate) correlation: String,
    pub(crate) ratio: String,
}

/// The checkpoints of the default arm with many runs, and how many more there are.
pub(crate) fn checkpoints(study: &Study) -> (Vec<Checkpoint>, usize) {
    let many = |row: &&Spread| row.arm == DEFAULT_ARM && row.runs >= ENOUGH as u64;
    let rows: Vec<&Spread> = study.spreads.iter().filter(many).collect();
    let groups: Vec<&[&Spread]> =
        rows.chunk_by(|a, b| (a.pretraining_seed, a.step) == (b.pretraining_seed, b.step)).collect();
    let more = groups.len().saturating_sub(ON_PAGE);
    (groups.into_iter().take(ON_PAGE).map(|group| checkpoint(study, group)).collect(), more)
}

fn checkpoint(study: &Study, group: &[&Spread]) -> Checkpoint {
    let first = group[0];
    let runs = group.iter().map(|row| row.runs).max().unwrap_or(0);
    let from = match study.knows_steps() {
        true => {
            format!(" from pretraining seed {} at {} steps", first.pretraining_seed, steps_text(first.step))
        }
        false => " of one checkpoint".into(),
    };
    let has = |split: &str| group.iter().any(|row| row.split == split && row.case.is_empty());
    let reference = ["id", "val"].into_iter().find(|split| has(split)).unwrap_or_default();
    let mut ordered = group.to_vec();
    // Whole splits first, the held-out one before the others, then cases.
    ordered.sort_by_key(|row| (!row.case.is_empty(), row.split != "val", row.split != "id"));
    Checkpoint {
        title: format!("{}{from}", counted(runs as usize, "run")),
        reference: reference.into(),
        lines: ordered.into_iter().map(|row| line(study, reference, row)).collect(),
    }
}

fn line(study: &Study, reference: &str, row: &Spread) -> Line {
    let together = match (row.split.as_str(), row.case.as_str()) {
        (split, "") if split == reference => None,
        _ => study.together((reference, ""), row),
    };
    let text = |three: Option<[f64; 3]>| {
        three.map_or(String::new(), |[value, low, high]| {
            format!("{} [{}, {}]", shown(value, 2), shown(low, 2), shown(high, 2))
        })
    };
    let label = match row.case.as_str() {
        "" => row.split.clone(),
        case => format!("{}: {case}", row.split),
    };
    let interval = |low: f64, high: f64| format!("{}…{}", shown(low, 4), shown(high, 4));
    Line {
        label,
        whole: row.case.is_empty(),
        n: steps_text(row.n),
        mean: shown(row.mean, 4),
        sd: shown(row.sd, 4),
        chi_square: interval(row.sd_lower, row.sd_upper),
        bootstrap: row.sd_bca_lower.zip(row.sd_bca_upper).map_or(String::new(), |(l, h)| interval(l, h)),
        range: interval(row.minimum, row.maximum),
        correlation: text(together.and_then(|found| found.pearson)),
        ratio: text(together.and_then(|found| found.sd_ratio)),
    }
}
