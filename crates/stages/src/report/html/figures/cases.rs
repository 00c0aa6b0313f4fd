//! Accuracy out of distribution by split and case, every run a point.

use std::collections::BTreeSet;

use super::{Figure, Row, seed_class};
use crate::report::collate::rows::RunScore;
use crate::report::html::panel::{Area, Panel};
use crate::report::html::scale::{Scale, roomy};
use crate::report::study::{DEFAULT_ARM, Study, steps_short, steps_text};
use crate::report::summarise::measure::shown;

const SIZE: (f64, f64) = (330.0, 210.0);
const MARGIN: Area = Area { left: 42.0, top: 42.0, right: 8.0, bottom: 34.0 };
/// More cases than this are left to the table.
const MOST: usize = 12;

pub(crate) fn figure(study: &Study) -> Option<Figure> {
    let runs: Vec<&RunScore> = study.runs.iter().filter(|run| run.arm == DEFAULT_ARM).collect();
    let all: BTreeSet<(&str, &str)> = runs
        .iter()
        .filter(|run| run.split != "val" && run.split != "train")
        .map(|run| (run.split.as_str(), run.case.as_str()))
        .collect();
    // A split with cases is shown by case, but for the primary one, which is shown as a whole.
    let has_cases = |split: &str| all.iter().any(|(other, case)| *other == split && !case.is_empty());
    let primary = study.ood();
    let mut shown: Vec<(&str, &str)> = all
        .iter()
        .copied()
        .filter(|(split, case)| {
            let whole = case.is_empty();
            if *split == "id" || Some(*split) == primary { whole } else { whole != has_cases(split) }
        })
        .collect();
    shown.sort_by_key(|&(split, case)| (Some(split) != primary, split != "id", split, case));
    let left_out = shown.len().saturating_sub(MOST);
    shown.truncate(MOST);
    let everything: Vec<f64> = runs
        .iter()
        .filter(|run| shown.contains(&(run.split.as_str(), run.case.as_str())))
        .map(|run| run.accuracy)
        .collect();
    let domain = roomy(&everything);
    let panels = shown.iter().map(|&(split, case)| panel(study, &runs, split, case, domain)).collect();
    let spread = |step: Option<u64>| study.estimate(DEFAULT_ARM, "rung", step, "ood_accuracy_sd");
    let steps = study.steps(DEFAULT_ARM);
    let finding = match (steps.first(), steps.last()) {
        (Some(&first), Some(&last)) if first != last => match (spread(Some(first)), spread(Some(last))) {
            (Some(a), Some(b)) => format!(
                "Over the fine-tuning seeds of one checkpoint, OOD accuracy varies with standard deviation {} at {} steps \
                 and {} at {}.",
                shown_sd(a.estimate),
                steps_text(first),
                shown_sd(b.estimate),
                steps_text(last)
            ),
            _ => String::new(),
        },
        _ => String::new(),
    };
    Some(Figure {
        id: "cases",
        title: "Accuracy by case, every run a point".into(),
        finding,
        caption: format!(
            "Each dot is one fine-tuning run; a column of dots shares one checkpoint, and its bar is their mean. All panels \
             have one scale.{}",
            match left_out {
                0 => String::new(),
                n => format!(" {n} further cases are in the table `runs` alone."),
            }
        ),
        seeds: true,
        rows: vec![Row { title: String::new(), size: "wide", folded: false, panels }],
    })
}

fn shown_sd(value: f64) -> String {
    shown(value, 3)
}

fn panel(study: &Study, runs: &[&RunScore], split: &str, case: &str, domain: (f64, f64)) -> String {
    let title = if case.is_empty() { split.to_owned() } else { format!("{split}: {case}") };
    let here: Vec<&&RunScore> = runs.iter().filter(|run| run.split == split && run.case == case).collect();
    let n = here.first().map_or(0, |run| run.n);
    let mut panel = Panel::new(SIZE, MARGIN, &title, &format!("accuracy on {} examples", steps_text(n)));
    let y = Scale::linear(domain, panel.area.up());
    panel.y_axis(&y, 4);
    let steps = study.steps(DEFAULT_ARM);
    let seeds = study.pretraining_seeds();
    let (left, right) = panel.area.across();
    let slot = (right - left) / steps.len().max(1) as f64;
    let centre = |step: u64| {
        let place = steps.iter().position(|&known| known == step).unwrap_or(0);
        left + slot * (place as f64 + 0.5)
    };
    let dodge = |seed: u64| {
        let place = seeds.iter().position(|&known| known == seed).unwrap_or(0);
        let gap = (slot * 0.7 / seeds.len().max(1) as f64).min(11.0);
        (place as f64 - (seeds.len() as f64 - 1.0) / 2.0) * gap
    };
    for run in &here {
        let tip = format!(
            "pretraining seed {}, {} steps, fine-tuning seed {}: {}",
            run.pretraining_seed,
            steps_text(run.step),
            run.finetuning_seed,
            shown(run.accuracy, 3)
        );
        let class = format!("dot soft {}", seed_class(study, run.pretraining_seed));
        panel.svg.dot(
            &class,
            (centre(run.step) + dodge(run.pretraining_seed), y.at(run.accuracy)),
            2.3,
            &tip,
        );
    }
    let mut described = Vec::new();
    for &step in &steps {
        for &seed in &seeds {
            let values: Vec<f64> = here
                .iter()
                .filter(|run| run.step == step && run.pretraining_seed == seed)
                .map(|run| run.accuracy)
                .collect();
            if values.is_empty() {
                continue;
            }
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let x = centre(step) + dodge(seed);
            panel.svg.line("bar", (x - 3.6, y.at(mean)), (x + 3.6, y.at(mean)));
            described.push(format!(
                "{} at {} steps with pretraining seed {seed}",
                shown(mean, 2),
                steps_text(step)
            ));
        }
    }
    let names: Vec<(f64, String)> = steps.iter().map(|&step| (centre(step), steps_short(step))).collect();
    panel.names_axis(&names, "steps of pretraining");
    panel.finish(&format!("Mean accuracy on {title}: {}", described.join(", ")))
}
