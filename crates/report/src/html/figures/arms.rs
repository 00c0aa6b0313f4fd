//! The other arms of the study: the same measures under another learning rate, task or model.

use super::{Figure, Row, Swatch, class, reading};
use crate::html::panel::{Area, Panel};
use crate::html::scale::roomy;
use crate::study::{DEFAULT_ARM, Study, steps_short, steps_text};
use crate::summarise::measure;

const SIZE: (f64, f64) = (330.0, 210.0);
const MARGIN: Area = Area { left: 42.0, top: 42.0, right: 8.0, bottom: 34.0 };
const SHOWN: [&str; 6] = [
    "id_accuracy",
    "ood_accuracy",
    "ood_accuracy_sd",
    "ood_agreement",
    "ood_error_barrier",
    "profile_distance",
];

pub(crate) fn figure(study: &Study) -> Option<Figure> {
    if study.arms.len() < 2 {
        return None;
    }
    let panels: Vec<String> = SHOWN.iter().filter_map(|id| panel(study, id)).collect();
    Some(Figure {
        id: "arms",
        title: "Does it hold in other settings?".into(),
        finding: String::new(),
        caption: "Each line is an arm of the study: all fine-tuning runs whose recipes differ in the named parameters only. Shown \
                  are the rungs that more than one arm has; bars are 95 % intervals."
            .into(),
        legend: study
            .arms
            .iter()
            .enumerate()
            .map(|(place, arm)| Swatch { class: class('a', place), label: arm.clone() })
            .collect(),
        rows: vec![Row { title: String::new(), size: "wide", folded: false, panels }],
    })
}

fn panel(study: &Study, id: &str) -> Option<String> {
    let measure = measure::named(id);
    let others: Vec<u64> =
        study.arms.iter().filter(|arm| *arm != DEFAULT_ARM).flat_map(|arm| study.steps(arm)).collect();
    let steps: Vec<u64> = study.steps(DEFAULT_ARM).into_iter().filter(|step| others.contains(step)).collect();
    let rows: Vec<_> = study
        .arms
        .iter()
        .map(|arm| {
            let mut rungs = study.rungs_of(arm, id);
            rungs.retain(|row| row.step.is_some_and(|step| steps.contains(&step)));
            (arm, rungs)
        })
        .filter(|(_, rungs)| !rungs.is_empty())
        .collect();
    if rows.len() < 2 {
        return None;
    }
    let values: Vec<f64> = rows
        .iter()
        .flat_map(|(_, rungs)| rungs.iter().flat_map(|row| [Some(row.estimate), row.lower, row.upper]))
        .flatten()
        .collect();
    let mut panel = Panel::new(SIZE, MARGIN, &measure.label, reading(&measure));
    let y = panel.y_scale(roomy(&values), 4);
    panel.y_axis(&y, 4);
    let (left, right) = panel.area.across();
    let slot = (right - left) / steps.len().max(1) as f64;
    let centre =
        |step: u64| left + slot * (steps.iter().position(|&known| known == step).unwrap_or(0) as f64 + 0.5);
    let mut described = Vec::new();
    for (place, (arm, rungs)) in rows.iter().enumerate() {
        let class = class('a', study.arms.iter().position(|known| known == *arm).unwrap_or(0));
        let gap = (slot * 0.6 / rows.len() as f64).min(7.0);
        let shift = (place as f64 - (rows.len() as f64 - 1.0) / 2.0) * gap;
        let points: Vec<(f64, f64)> =
            rungs.iter().map(|row| (centre(row.step.unwrap_or(0)) + shift, y.at(row.estimate))).collect();
        panel.svg.curve(&format!("method {class}"), &points);
        for (row, &(x, y_at)) in rungs.iter().zip(&points) {
            let bound = |value: Option<f64>| y.at(value.unwrap_or(f64::NAN));
            panel.svg.line(&format!("interval {class}"), (x, bound(row.lower)), (x, bound(row.upper)));
            let tip =
                format!("{arm}, {} steps: {}", steps_text(row.step.unwrap_or(0)), measure.show(row.estimate));
            panel.svg.dot(&format!("dot {class}"), (x, y_at), 3.0, &tip);
            described.push(tip);
        }
    }
    let names: Vec<(f64, String)> = steps.iter().map(|&step| (centre(step), steps_short(step))).collect();
    panel.names_axis(&names, "steps of pretraining");
    Some(panel.finish(&format!("{}: {}", measure.label, described.join("; "))))
}
