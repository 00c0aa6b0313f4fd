//! The other arms of the study: the same measures under another learning rate, task or model.

use super::{Figure, Row};
use crate::report::html::panel::{Area, Panel, spread};
use crate::report::html::scale::{Scale, roomy};
use crate::report::html::svg::Anchor;
use crate::report::study::{DEFAULT_ARM, Study, steps_short, steps_text};
use crate::report::summarise::measure;

const SIZE: (f64, f64) = (330.0, 236.0);
const MARGIN: Area = Area { left: 42.0, top: 42.0, right: 128.0, bottom: 36.0 };
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
        seeds: false,
        rows: vec![Row { title: String::new(), size: "wide", folded: false, panels }],
    })
}

fn panel(study: &Study, id: &str) -> Option<String> {
    let measure = measure::find(id)?;
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
    let mut panel = Panel::new(SIZE, MARGIN, &measure.label, "by steps of pretraining");
    let y = Scale::linear(roomy(&values), panel.area.up());
    panel.y_axis(&y, 4);
    let (left, right) = panel.area.across();
    let slot = (right - left) / steps.len().max(1) as f64;
    let centre =
        |step: u64| left + slot * (steps.iter().position(|&known| known == step).unwrap_or(0) as f64 + 0.5);
    let mut ends = Vec::new();
    let mut described = Vec::new();
    for (place, (arm, rungs)) in rows.iter().enumerate() {
        let class = format!("a{}", place % super::COLOURS);
        let shift = (place as f64 - (rows.len() as f64 - 1.0) / 2.0) * 5.0;
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
        if let Some(&(x, y_at)) = points.last() {
            ends.push((arm.as_str(), class, x, y_at));
        }
    }
    let levels: Vec<f64> = ends.iter().map(|end| end.3).collect();
    let labels = spread(&levels, 13.0, (panel.area.top + 4.0, panel.area.bottom - 4.0));
    for ((arm, class, x, y_at), label) in ends.iter().zip(labels) {
        panel.svg.line("leader", (x + 5.0, *y_at), (right + 2.0, label));
        panel.svg.text(&format!("label {class}"), (right + 5.0, label + 3.5), Anchor::Start, &shortened(arm));
    }
    let names: Vec<(f64, String)> = steps.iter().map(|&step| (centre(step), steps_short(step))).collect();
    panel.names_axis(&names, "");
    Some(panel.finish(&format!("{}: {}", measure.label, described.join("; "))))
}

/// The name of an arm as the margin has room for it.
fn shortened(arm: &str) -> String {
    let letters: Vec<char> = arm.chars().collect();
    if letters.len() <= 22 { arm.to_owned() } else { letters[..21].iter().chain(&['…']).collect() }
}
