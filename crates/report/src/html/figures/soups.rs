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
use crate::words::listed;

const SIZE: (f64, f64) = (300.0, 226.0);
const MARGIN: Area = Area { left: 42.0, top: 42.0, right: 14.0, bottom: 22.0 };
/// What has a look of its own wherever it is shown: the style sheet's classes `m0`, `m1` and so on.
const KNOWN: [&str; 6] =
    ["mean run", "best run", "uniform", "greedy", "probability ensemble", "logit ensemble"];
/// Looks that the style sheet has.
const LOOKS: usize = 26;

/// The looks of a study's methods: other methods than those of [`KNOWN`] take what is left, in order of their names, and
/// share it where there are more of them than looks.
struct Looks<'a> {
    others: BTreeSet<&'a str>,
}

impl<'a> Looks<'a> {
    fn of(soups: &[&'a SoupScore]) -> Self {
        let methods = soups.iter().map(|soup| soup.method.as_str());
        Self { others: methods.filter(|method| !KNOWN.contains(method)).collect() }
    }

    /// The class of a method's colour and dashes.
    fn class(&self, name: &str) -> String {
        let other = || self.others.iter().position(|known| *known == name).unwrap_or(0);
        let known = KNOWN.iter().position(|known| *known == name);
        format!("m{}", known.unwrap_or_else(|| KNOWN.len() + other() % (LOOKS - KNOWN.len())))
    }
}

pub(crate) fn figure(study: &Study) -> Option<Figure> {
    let soups: Vec<&SoupScore> = study.soups.iter().filter(|soup| soup.arm == DEFAULT_ARM).collect();
    let ood = primary_ood(soups.iter().map(|soup| soup.split.as_str()));
    let splits: Vec<&str> =
        ood.into_iter().chain(soups.iter().any(|soup| soup.split == "id").then_some("id")).collect();
    let looks = Looks::of(&soups);
    let panels: Vec<String> = splits.iter().filter_map(|split| panel(&soups, split, &looks)).collect();
    if panels.is_empty() {
        return None;
    }
    Some(Figure {
        id: "soups",
        title: "Soups: one model from many".into(),
        finding: finding(study),
        caption: caption(&looks),
        legend: Vec::new(),
        rows: vec![Row { title: String::new(), size: "half", folded: false, panels }],
    })
}

fn caption(looks: &Looks<'_>) -> String {
    let others: Vec<String> = looks.others.iter().map(|method| (*method).to_owned()).collect();
    format!(
        "Accuracy of the average of all weights (uniform), of those that held-out accuracy lets in (greedy){}, and of the \
         averaged predictions (ensembles), with the mean and the best of the single runs. Means over pretraining seeds. The \
         best run is chosen on the split itself: an oracle.",
        if others.is_empty() { String::new() } else { format!(", of {} (dashed)", listed(&others)) }
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

/// Sum and number of the accuracies of each series at each step.
type Sums<'a> = BTreeMap<(&'a str, u64), (f64, f64)>;

/// The series of a panel. The mean and the best run come from the soups' own gains.
fn sums<'a>(here: &[&'a SoupScore]) -> Sums<'a> {
    let mut sums = Sums::new();
    let mut add = |name: &'a str, step: u64, value: f64| {
        let sum = sums.entry((name, step)).or_default();
        sum.0 += value;
        sum.1 += 1.0;
    };
    for soup in here {
        add(&soup.method, soup.step, soup.accuracy);
        if soup.method == "uniform" || !here.iter().any(|other| other.method == "uniform") {
            add("mean run", soup.step, soup.accuracy - soup.gain_over_mean);
            add("best run", soup.step, soup.accuracy - soup.gain_over_best);
        }
    }
    sums
}

fn panel(soups: &[&SoupScore], split: &str, looks: &Looks<'_>) -> Option<String> {
    let here: Vec<&SoupScore> = soups.iter().copied().filter(|soup| soup.split == split).collect();
    let sums = sums(&here);
    let names: BTreeSet<&str> = sums.keys().map(|(name, _)| *name).collect();
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
            .filter_map(|&step| sums.get(&(name, step)).map(|(sum, n)| (step, sum / n)))
            .collect();
        let class = looks.class(name);
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
        let looks: BTreeSet<&str> = (0..LOOKS).map(look).collect();
        assert_eq!(looks.len(), LOOKS);
    }
}
