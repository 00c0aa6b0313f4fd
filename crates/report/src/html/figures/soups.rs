//! Soups and ensembles against the runs that they are made of.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::{Figure, Row};
use crate::html::panel::{Area, Panel};
use crate::html::scale::{Scale, roomy};
use crate::html::svg::escape;
use crate::rows::SoupScore;
use crate::study::{DEFAULT_ARM, Study, primary_ood, steps_text};
use crate::summarise::measure::shown;

const SIZE: (f64, f64) = (300.0, 226.0);
const MARGIN: Area = Area { left: 42.0, top: 42.0, right: 14.0, bottom: 22.0 };
/// What is compared, in the order of the style sheet's classes `m0`, `m1` and so on.
pub const SERIES: [&str; 26] = [
    "mean run",
    "best run",
    "uniform",
    "greedy",
    "random-order",
    "probability ensemble",
    "logit ensemble",
    "task-arithmetic",
    "ties",
    "dare",
    "model-stock",
    "slerp",
    "beam",
    "linear",
    "wise-ft",
    "nuslerp",
    "multislerp",
    "karcher",
    "dare-ties",
    "della",
    "della-linear",
    "breadcrumbs",
    "breadcrumbs-ties",
    "sce",
    "arcee-fusion",
    "nearswap",
];

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
        caption: caption(&soups),
        legend: Vec::new(),
        rows: vec![Row { title: String::new(), size: "half", folded: false, panels }],
    })
}

fn caption(soups: &[&SoupScore]) -> String {
    let merges = soups.iter().any(|soup| SERIES[7..].contains(&soup.method.as_str()));
    format!(
        "Accuracy of the average of all weights (uniform), of those that held-out accuracy lets in (greedy){}, and of the \
         averaged predictions (ensembles), with the mean and the best of the single runs. Means over pretraining seeds. The \
         best run is chosen on the split itself: an oracle.",
        if merges { ", of merges over the checkpoint (dashed colours)" } else { "" }
    )
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
    let y = panel.y_scale(roomy(&values), 5);
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
        let class = series_class(name);
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
        if let Some(&(step, value)) = points.last() {
            described.push(format!("{name} {}", shown(value, 3)));
            ends.push((
                name,
                class,
                if Some(&step) == steps.last() { shown(value, 3) } else { String::new() },
                value,
            ));
        }
    }
    // In the order of the lines' right ends, so that the key reads as they do.
    ends.sort_by(|a, b| b.3.total_cmp(&a.3).then(a.0.cmp(b.0)));
    let last = steps.last().map_or(String::new(), |&step| steps_text(step));
    let drawing = panel.finish(&format!("Accuracy on {split} at the last rung: {}", described.join(", ")));
    Some(format!("<div class=\"keyed\">{drawing}{}</div>", key(&ends, &last)))
}

/// The lines by name, with their values at the last rung.
fn key(ends: &[(&str, String, String, f64)], last: &str) -> String {
    let mut key = format!("<ul class=\"key\"><li class=\"head\"><span>at {last} steps</span></li>");
    for (name, class, value, _) in ends {
        let _ = write!(
            key,
            "<li><svg class=\"sample\" viewBox=\"0 0 24 8\" aria-hidden=\"true\"><path class=\"method {class}\" d=\"M1 4L23 4\"/>\
             </svg><span>{}</span> <strong>{value}</strong></li>",
            escape(name)
        );
    }
    key + "</ul>"
}

/// The class of a series' colour and dashes.
fn series_class(name: &str) -> String {
    format!("m{}", SERIES.iter().position(|known| *known == name).unwrap_or(SERIES.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_looks_different() {
        const STYLE: &str = include_str!("../report.css");
        let look = |place: usize| {
            let rule = format!(".m{place} {{");
            let from = STYLE.find(&rule).unwrap_or_else(|| panic!("no rule {rule}")) + rule.len();
            STYLE[from..].split('}').next().unwrap()
        };
        let looks: BTreeSet<&str> = (0..=SERIES.len()).map(look).collect();
        assert_eq!(looks.len(), SERIES.len() + 1);
    }
}
