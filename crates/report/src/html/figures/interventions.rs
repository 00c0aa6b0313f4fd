//! What moves the models: the effect of each intervention at each rung, beside what the true rule would show.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{Figure, Row};
use crate::html::svg::escape;
use crate::rows::InterventionEffect;
use crate::study::{DEFAULT_ARM, Study, steps_text};
use crate::summarise::measure::shown;

pub(crate) fn figure(study: &Study) -> Option<Figure> {
    let effects: Vec<&InterventionEffect> =
        study.interventions.iter().filter(|row| row.arm == DEFAULT_ARM).collect();
    if effects.is_empty() {
        return None;
    }
    let steps: Vec<u64> = effects.iter().map(|row| row.step).collect::<BTreeSet<_>>().into_iter().collect();
    let rule =
        |name: &str| mean(effects.iter().filter(|row| row.intervention == name).map(|row| row.rule_flips)).0;
    let mut names: Vec<&str> =
        effects.iter().map(|row| row.intervention.as_str()).collect::<BTreeSet<_>>().into_iter().collect();
    // What the rule depends on first, then what it does not.
    names.sort_by(|a, b| rule(b).total_cmp(&rule(a)).then(a.cmp(b)));
    let mut table = String::from("<table class=\"heat\"><thead><tr><th scope=\"col\">intervention</th>");
    for &step in &steps {
        let _ = write!(table, "<th scope=\"col\" class=\"n\">{}</th>", steps_text(step));
    }
    table.push_str("<th scope=\"col\" class=\"n rule\">true rule</th></tr></thead><tbody>");
    for &name in &names {
        let _ = write!(table, "<tr><th scope=\"row\">{}</th>", escape(name));
        for &step in &steps {
            let here = effects
                .iter()
                .filter(|row| row.intervention == name && row.step == step)
                .map(|row| row.effect);
            table.push_str(&cell(mean(here), ""));
        }
        table.push_str(&cell((rule(name), f64::NAN), " rule"));
        table.push_str("</tr>");
    }
    table.push_str("</tbody></table>");
    Some(Figure {
        id: "interventions",
        title: "What moves the models".into(),
        finding: finding(&effects, &names, &steps, &rule),
        caption: format!(
            "Mean effect of changing one latent of the data-generating process on the predicted probabilities (0: none, 1: \
             total), by steps of pretraining, over all runs of a rung; small: standard deviation over runs. The last column \
             is the share of examples whose right label changes, which is what a model that follows the rule shows.{}",
            if names.contains(&"shuffle") {
                " Shuffled words have no right label: there the rule’s column says nothing."
            } else {
                ""
            }
        ),
        legend: Vec::new(),
        rows: vec![Row { title: String::new(), size: "table", folded: false, panels: vec![table] }],
    })
}

/// Mean and standard deviation; NaN where there are too few values.
fn mean(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let values: Vec<f64> = values.collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let square = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (n - 1.0);
    (mean, if values.len() > 1 { square.sqrt() } else { f64::NAN })
}

fn cell((value, sd): (f64, f64), class: &str) -> String {
    if !value.is_finite() {
        return format!("<td class=\"n{class}\"></td>");
    }
    let spread = if sd.is_finite() { format!("<small>±{}</small>", shown(sd, 2)) } else { String::new() };
    let shade = shown((value * 100.0).clamp(0.0, 100.0), 0);
    format!("<td class=\"n{class}\" style=\"--v:{shade}%\">{}{spread}</td>", shown(value, 2))
}

/// Which interventions come nearer to the rule, and which do not.
fn finding(
    effects: &[&InterventionEffect],
    names: &[&str],
    steps: &[u64],
    rule: &dyn Fn(&str) -> f64,
) -> String {
    let (Some(&first), Some(&last)) = (steps.first(), steps.last()) else { return String::new() };
    if first == last {
        return String::new();
    }
    let distance = |step: u64| {
        let miss = |name: &&str| {
            let here = effects.iter().filter(|row| row.intervention == **name && row.step == step);
            (mean(here.map(|row| row.flips)).0 - rule(name)).abs()
        };
        mean(names.iter().filter(|name| **name != "shuffle").map(miss).filter(|miss| miss.is_finite())).0
    };
    let (then, now) = (distance(first), distance(last));
    if !then.is_finite() || !now.is_finite() {
        return String::new();
    }
    format!(
        "The share of flipped predictions is, on average over the interventions, {} from the true rule’s at {} steps and {} at {}.",
        shown(then, 2),
        steps_text(first),
        shown(now, 2),
        steps_text(last)
    )
}
