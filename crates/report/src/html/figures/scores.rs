//! Two accuracies of each run against each other: does the one that runs are chosen by foretell the other?

use std::collections::BTreeMap;

use super::{Figure, Row};
use crate::html::panel::{Area, Panel};
use crate::html::scale::{Scale, roomy};
use crate::rows::{RunScore, Spread};
use crate::study::{DEFAULT_ARM, Study};
use crate::summarise::measure::shown;
use crate::summarise::spread::ENOUGH;
use crate::words::counted;

const SIZE: (f64, f64) = (330.0, 230.0);
const MARGIN: Area = Area { left: 42.0, top: 42.0, right: 12.0, bottom: 40.0 };
/// Cases that are drawn beside the whole splits: those that vary most.
const CASES: usize = 6;

pub(crate) fn figure(study: &Study) -> Option<Figure> {
    let many = |row: &&Spread| row.arm == DEFAULT_ARM && row.runs >= ENOUGH as u64;
    let rows: Vec<&Spread> = study.spreads.iter().filter(many).collect();
    // One checkpoint, the one with most runs.
    let place = |row: &Spread| (row.pretraining_seed, row.step);
    let largest = place(rows.iter().rev().max_by_key(|row| row.runs)?);
    let rows: Vec<&Spread> = rows.into_iter().filter(|row| place(row) == largest).collect();
    let whole = |split: &str| rows.iter().any(|row| row.split == split && row.case.is_empty());
    let reference = ["id", "val"].into_iter().find(|split| whole(split))?;
    let (mut wholes, mut cases): (Vec<&Spread>, Vec<&Spread>) =
        rows.iter().copied().filter(|row| row.split != reference).partition(|row| row.case.is_empty());
    wholes.sort_by_key(|row| (Some(row.split.as_str()) != study.ood(), row.split.as_str()));
    cases.sort_by(|a, b| b.sd.total_cmp(&a.sd));
    cases.truncate(CASES);
    let accuracies = accuracies(study, largest);
    let panels: Vec<String> =
        wholes.iter().chain(&cases).filter_map(|row| panel(study, reference, row, &accuracies)).collect();
    if panels.is_empty() {
        return None;
    }
    Some(Figure {
        id: "scores",
        title: format!("Accuracy against accuracy on {reference}"),
        finding: String::new(),
        caption: format!(
            "Each dot is one of {} of one checkpoint; each panel has scales of its own. r is Pearson’s correlation with its \
             95 % interval. Cases are the {CASES} that vary most.",
            counted(rows.iter().map(|row| row.runs).max().unwrap_or(0) as usize, "run")
        ),
        legend: Vec::new(),
        rows: vec![Row { title: String::new(), size: "wide", folded: false, panels }],
    })
}

/// The accuracy of each run of a checkpoint, by split and case.
fn accuracies(
    study: &Study,
    (pretraining_seed, step): (u64, u64),
) -> BTreeMap<(&str, &str), BTreeMap<&str, f64>> {
    let here = |run: &&RunScore| {
        run.arm == DEFAULT_ARM && (run.pretraining_seed, run.step) == (pretraining_seed, step)
    };
    let mut found: BTreeMap<(&str, &str), BTreeMap<&str, f64>> = BTreeMap::new();
    for run in study.runs.iter().filter(here) {
        found.entry((&run.split, &run.case)).or_default().insert(&run.run, run.accuracy);
    }
    found
}

fn panel(
    study: &Study,
    reference: &str,
    row: &Spread,
    accuracies: &BTreeMap<(&str, &str), BTreeMap<&str, f64>>,
) -> Option<String> {
    let of_x = accuracies.get(&(reference, ""))?;
    let of_y = accuracies.get(&(row.split.as_str(), row.case.as_str()))?;
    let points: Vec<(&str, f64, f64)> =
        of_y.iter().filter_map(|(run, y)| Some((*run, *of_x.get(run)?, *y))).collect();
    let title = if row.case.is_empty() { row.split.clone() } else { format!("{}: {}", row.split, row.case) };
    let correlation = study.together((reference, ""), row).and_then(|found| found.pearson);
    let subtitle = correlation.map_or(String::new(), |[r, low, high]| {
        format!("r = {} [{}, {}]", shown(r, 2), shown(low, 2), shown(high, 2))
    });
    let mut panel = Panel::new(SIZE, MARGIN, &title, &subtitle);
    let ys: Vec<f64> = points.iter().map(|point| point.2).collect();
    let xs: Vec<f64> = points.iter().map(|point| point.1).collect();
    let y = panel.y_scale(roomy(&ys), 4);
    let (left, right) = panel.area.across();
    let x = Scale::linear(roomy(&xs), (left + 6.0, right - 6.0));
    panel.y_axis(&y, 4);
    panel.x_axis(&x, 4, &format!("accuracy on {reference}"));
    for (run, at_x, at_y) in points {
        let tip = format!("{run}: {} there, {} here", shown(at_x, 4), shown(at_y, 4));
        panel.svg.dot("dot soft", (x.at(at_x), y.at(at_y)), 2.4, &tip);
    }
    Some(panel.finish(&format!("Accuracy on {title} against accuracy on {reference}. {subtitle}")))
}
