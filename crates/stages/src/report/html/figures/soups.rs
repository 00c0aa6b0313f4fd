//! Soups and ensembles against the runs that they are made of.

use std::collections::{BTreeMap, BTreeSet};

use super::{Figure, Row};
use crate::report::collate::rows::SoupScore;
use crate::report::html::panel::{Area, Panel, spread};
use crate::report::html::scale::{Scale, roomy};
use crate::report::html::svg::Anchor;
use crate::report::study::{DEFAULT_ARM, Study, primary_ood, steps_text};
use crate::report::summarise::measure::shown;

const SIZE: (f64, f64) = (500.0, 250.0);
const MARGIN: Area = Area { left: 42.0, top: 42.0, right: 168.0, bottom: 36.0 };

pub(crate) fn figure(study: &Study) -> Option<Figure> {
    let soups: Vec<&SoupScore> = study.soups.iter().filter(|soup| soup.arm == DEFAULT_ARM).collect();
    let ood = primary_ood(soups.iter().map(|soup| soup.split.as_str()));
    let splits: Vec<&str> =
        ood.into_iter().chain(soups.iter().any(|soup| soup.split == "id").then_some("id")).collect();
    let panels: Vec<String> = splits.iter().filter_map(|split| panel(&soups, split)).collect();
    if panels.is_empty() {
        return None;
    }
    Some(Figure {
        id: "soups",
        title: "Soups: one model from many".into(),
        finding: finding(study),
        caption: "Accuracy of the average of all weights (uniform), of those that held-out accuracy lets in (greedy), and of the \
                  averaged predictions (ensembles), with the mean and the best of the single runs. Means over pretraining seeds. \
                  The best run is chosen on the split itself: an oracle."
            .into(),
        seeds: false,
        rows: vec![Row { title: String::new(), size: "half", folded: false, panels }],
    })
}

fn finding(study: &Study) -> String {
    let Some(greedy) = study.estimate(DEFAULT_ARM, "late", None, "uniform_gain_mean") else {
        return String::new();
    };
    let ensemble = study.estimate(DEFAULT_ARM, "late", None, "ensemble_gain_mean");
    let compared = ensemble.map_or(String::new(), |row| {
        format!(", that of the ensemble of predictions {}", signed(row.estimate))
    });
    format!(
        "At late rungs the OOD gain of a uniform soup over the mean run is {}{compared}.",
        signed(greedy.estimate)
    )
}

fn signed(value: f64) -> String {
    let text = shown(value, 3);
    if value > 0.0 { format!("+{text}") } else { text }
}

fn panel(soups: &[&SoupScore], split: &str) -> Option<String> {
    let here: Vec<&&SoupScore> = soups.iter().filter(|soup| soup.split == split).collect();
    // The mean and the best run come from the soups' own gains.
    let mut sums: BTreeMap<(String, u64), (f64, f64)> = BTreeMap::new();
    let mut add = |name: &str, step: u64, value: f64| {
        let sum = sums.entry((name.to_owned(), step)).or_default();
        sum.0 += value;
        sum.1 += 1.0;
    };
    for soup in &here {
        add(&soup.method, soup.step, soup.accuracy);
        if soup.method == "uniform" || !here.iter().any(|other| other.method == "uniform") {
            add("mean run", soup.step, soup.accuracy - soup.gain_over_mean);
            add("best run", soup.step, soup.accuracy - soup.gain_over_best);
        }
    }
    let names: BTreeSet<&str> = sums.keys().map(|(name, _)| name.as_str()).collect();
    let steps: BTreeSet<u64> = sums.keys().map(|(_, step)| *step).collect();
    let steps: Vec<u64> = steps.into_iter().collect();
    let values: Vec<f64> = sums.values().map(|(sum, n)| sum / n).collect();
    if values.is_empty() {
        return None;
    }
    let mut panel = Panel::new(SIZE, MARGIN, &format!("Accuracy on {split}"), "by steps of pretraining");
    let y = Scale::linear(roomy(&values), panel.area.up());
    let places: Vec<f64> = steps.iter().map(|&step| step as f64).collect();
    let (left, right) = panel.area.across();
    let x = Scale::steps(&places, (left + 10.0, right - 4.0));
    panel.y_axis(&y, 5);
    panel.step_axis(&x, &steps, "");
    let mut ends = Vec::new();
    let mut described = Vec::new();
    for name in names {
        let points: Vec<(u64, f64)> = steps
            .iter()
            .filter_map(|&step| sums.get(&(name.to_owned(), step)).map(|(sum, n)| (step, sum / n)))
            .collect();
        let class = method_class(name);
        let curve: Vec<(f64, f64)> =
            points.iter().map(|&(step, value)| (x.at(step as f64), y.at(value))).collect();
        panel.svg.curve(&format!("method {class}"), &curve);
        for (&(step, value), &point) in points.iter().zip(&curve) {
            panel.svg.dot(
                &format!("dot {class}"),
                point,
                2.4,
                &format!("{name}, {} steps: {}", steps_text(step), shown(value, 3)),
            );
        }
        if let (Some(&(_, value)), Some(&(x_end, y_end))) = (points.last(), curve.last()) {
            ends.push((name, class, x_end, y_end, value));
            described.push(format!("{name} {}", shown(value, 3)));
        }
    }
    let levels: Vec<f64> = ends.iter().map(|end| end.3).collect();
    let labels = spread(&levels, 13.0, (panel.area.top, panel.area.bottom));
    for ((name, class, x_end, y_end, value), label) in ends.iter().zip(labels) {
        panel.svg.line("leader", (x_end + 4.0, *y_end), (right + 8.0, label));
        panel.svg.text(
            &format!("label {class}"),
            (right + 11.0, label + 3.5),
            Anchor::Start,
            &format!("{name} {}", shown(*value, 3)),
        );
    }
    Some(panel.finish(&format!("Accuracy on {split} at the last rung: {}", described.join(", "))))
}

/// The class of a method's colour; `m` and a digit.
fn method_class(name: &str) -> &'static str {
    match name {
        "uniform" => "m0",
        "greedy" => "m1",
        "probability ensemble" => "m2",
        "logit ensemble" => "m3",
        "best run" => "m4",
        _ => "m5",
    }
}
