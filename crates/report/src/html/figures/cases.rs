//! Accuracy out of distribution by split and case, every run a point.

use std::collections::{BTreeMap, BTreeSet};

use super::{Figure, Row, seed_class, seed_legend};
use crate::html::panel::{Area, Panel};
use crate::html::scale::roomy;
use crate::rows::RunScore;
use crate::study::{DEFAULT_ARM, Study, steps_short, steps_text};
use crate::summarise::measure::shown;
use crate::words::{counted, listed};

const SIZE: (f64, f64) = (330.0, 210.0);
const MARGIN: Area = Area { left: 42.0, top: 42.0, right: 8.0, bottom: 34.0 };
/// A case of fewer examples says little: one example more or less moves its accuracy by more than a percent.
const ENOUGH: u64 = 100;
/// This many cases are in view.
const IN_VIEW: usize = 9;
/// This many more unfold; what is beyond them is left to the table.
const FOLDED: usize = 36;

/// Splits, or cases of splits, by name.
type Names<'a> = Vec<(&'a str, &'a str)>;

/// What is drawn, and how many cases are not.
#[derive(Debug, Default, PartialEq)]
struct Choice<'a> {
    /// Splits as wholes: out of distribution, in distribution, then the others.
    wholes: Names<'a>,
    /// Cases, each from the split that has most examples of it; the largest first.
    cases: Names<'a>,
    /// Examples that a case needs to be drawn.
    enough: u64,
    /// Cases that no split has enough examples of.
    small: usize,
    /// Cases beyond those that a page has room for.
    beyond: usize,
    /// Pairs of a split and a case beside the one that its case is taken from.
    others: usize,
}

/// Chooses by what a panel can say: all splits, then the cases of all splits but `id` that have enough examples.
fn choose<'a>(runs: &[&'a RunScore], primary: Option<&str>) -> Choice<'a> {
    let mut sizes: BTreeMap<(&str, &str), u64> = BTreeMap::new();
    for run in runs.iter().filter(|run| run.split != "val" && run.split != "train") {
        let size = sizes.entry((&run.split, &run.case)).or_default();
        *size = run.n.max(*size);
    }
    let mut wholes: Names<'a> = sizes.keys().copied().filter(|(_, case)| case.is_empty()).collect();
    wholes.sort_by_key(|&(split, _)| (Some(split) != primary, split != "id", split));
    let mut largest: BTreeMap<&str, (u64, &str)> = BTreeMap::new();
    for (&(split, case), &size) in
        sizes.iter().filter(|((split, case), _)| *split != "id" && !case.is_empty())
    {
        let known = largest.entry(case).or_insert((size, split));
        if size > known.0 {
            *known = (size, split);
        }
    }
    let most = largest.values().map(|(size, _)| *size).max().unwrap_or(0);
    let enough = ENOUGH.min(most);
    let mut cases: Vec<(&str, (u64, &str))> = largest
        .iter()
        .map(|(case, found)| (*case, *found))
        .filter(|(_, (size, _))| *size >= enough)
        .collect();
    cases.sort_by_key(|&(case, (size, split))| (std::cmp::Reverse(size), split, case));
    let others = sizes.keys().filter(|(_, case)| !case.is_empty()).count() - largest.len();
    let small = largest.len() - cases.len();
    let beyond = cases.len().saturating_sub(IN_VIEW + FOLDED);
    cases.truncate(IN_VIEW + FOLDED);
    let cases = cases.into_iter().map(|(case, (_, split))| (split, case)).collect();
    Choice { wholes, cases, enough, small, beyond, others }
}

impl Choice<'_> {
    /// How the cases were chosen and what was left out, in words.
    fn described(&self) -> String {
        if self.cases.is_empty() {
            return String::new();
        }
        let mut left_out = Vec::new();
        if self.small > 0 {
            left_out.push(format!("{} of fewer than {} examples", counted(self.small, "case"), self.enough));
        }
        if self.beyond > 0 {
            left_out.push(format!("the {} smallest of the others", self.beyond));
        }
        if self.others > 0 {
            left_out.push("all other pairs of a split and a case".into());
        }
        let left_out = match left_out.is_empty() {
            true => String::new(),
            false => format!(" In the table `runs` alone are {}.", listed(&left_out)),
        };
        format!(
            " Cases are those of all splits but `id`, the ones with the most examples first, each from the split that has most \
             of it.{left_out}"
        )
    }
}

pub(crate) fn figure(study: &Study) -> Option<Figure> {
    let runs: Vec<&RunScore> = study.runs.iter().filter(|run| run.arm == DEFAULT_ARM).collect();
    let choice = choose(&runs, study.ood());
    let drawn: BTreeSet<(&str, &str)> = choice.wholes.iter().chain(&choice.cases).copied().collect();
    let accuracies = runs.iter().filter(|run| drawn.contains(&(run.split.as_str(), run.case.as_str())));
    let domain = roomy(&accuracies.map(|run| run.accuracy).collect::<Vec<_>>());
    let row = |title: &str, folded: bool, names: &[(&str, &str)]| {
        let panels: Vec<String> =
            names.iter().map(|&(split, case)| panel(study, &runs, split, case, domain)).collect();
        (!panels.is_empty()).then(|| Row { title: title.into(), size: "wide", folded, panels })
    };
    let (in_view, folded) = choice.cases.split_at(choice.cases.len().min(IN_VIEW));
    let has_cases = !choice.cases.is_empty();
    let rows = [
        row(if has_cases { "Whole splits" } else { "" }, false, &choice.wholes),
        row("Cases", false, in_view),
        row(&counted(folded.len(), "more case"), true, folded),
    ];
    let title = if has_cases { "Accuracy by split and case" } else { "Accuracy by split" };
    Some(Figure {
        id: "cases",
        title: format!("{title}, every run a point"),
        finding: finding(study),
        caption: format!(
            "Each dot is one fine-tuning run; a column of dots shares one checkpoint, and its bar is their mean. All panels \
             have one scale.{}",
            choice.described()
        ),
        legend: seed_legend(study),
        rows: rows.into_iter().flatten().collect(),
    })
}

fn finding(study: &Study) -> String {
    let spread = |step: u64| study.estimate(DEFAULT_ARM, "rung", Some(step), "ood_accuracy_sd");
    let steps = study.steps(DEFAULT_ARM);
    match (steps.first(), steps.last()) {
        (Some(&first), Some(&last)) if first != last => match (spread(first), spread(last)) {
            (Some(a), Some(b)) => format!(
                "Over the fine-tuning seeds of one checkpoint, OOD accuracy varies with standard deviation {} at {} steps \
                 and {} at {}.",
                shown(a.estimate, 3),
                steps_text(first),
                shown(b.estimate, 3),
                steps_text(last)
            ),
            _ => String::new(),
        },
        _ => String::new(),
    }
}

/// Where the dots of a panel stand from left to right: a slot for each rung, and in it a place for each pretraining seed.
struct Slots {
    steps: Vec<u64>,
    seeds: Vec<u64>,
    left: f64,
    width: f64,
}

impl Slots {
    fn new(study: &Study, (left, right): (f64, f64)) -> Self {
        let steps = study.steps(DEFAULT_ARM);
        let width = (right - left) / steps.len().max(1) as f64;
        Self { steps, seeds: study.pretraining_seeds(), left, width }
    }

    fn centre(&self, step: u64) -> f64 {
        let place = self.steps.iter().position(|&known| known == step).unwrap_or(0);
        self.left + self.width * (place as f64 + 0.5)
    }

    fn at(&self, step: u64, seed: u64) -> f64 {
        let place = self.seeds.iter().position(|&known| known == seed).unwrap_or(0);
        let gap = (self.width * 0.7 / self.seeds.len().max(1) as f64).min(11.0);
        self.centre(step) + (place as f64 - (self.seeds.len() as f64 - 1.0) / 2.0) * gap
    }
}

fn panel(study: &Study, runs: &[&RunScore], split: &str, case: &str, domain: (f64, f64)) -> String {
    let title = if case.is_empty() { split.to_owned() } else { format!("{split}: {case}") };
    let here: Vec<&&RunScore> = runs.iter().filter(|run| run.split == split && run.case == case).collect();
    let n = here.first().map_or(0, |run| run.n);
    let size = if n == 1 {
        "accuracy on 1 example".into()
    } else {
        format!("accuracy on {} examples", steps_text(n))
    };
    let mut panel = Panel::new(SIZE, MARGIN, &title, &size);
    let y = panel.y_scale(domain, 4);
    panel.y_axis(&y, 4);
    let slots = Slots::new(study, panel.area.across());
    for run in &here {
        let from = match study.knows_steps() {
            true => {
                format!("pretraining seed {}, {} steps, ", run.pretraining_seed, steps_text(run.step))
            }
            false => String::new(),
        };
        let tip = format!("{from}fine-tuning seed {}: {}", run.finetuning_seed, shown(run.accuracy, 3));
        let class = format!("dot soft {}", seed_class(study, run.pretraining_seed));
        let place = (slots.at(run.step, run.pretraining_seed), y.at(run.accuracy));
        panel.svg.dot(&class, place, 2.3, &tip);
    }
    let mut described = Vec::new();
    for &step in &slots.steps {
        for &seed in &slots.seeds {
            let values: Vec<f64> = here
                .iter()
                .filter(|run| run.step == step && run.pretraining_seed == seed)
                .map(|run| run.accuracy)
                .collect();
            if values.is_empty() {
                continue;
            }
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let x = slots.at(step, seed);
            panel.svg.line("bar", (x - 3.6, y.at(mean)), (x + 3.6, y.at(mean)));
            described.push(match study.knows_steps() {
                true => {
                    format!("{} at {} steps with pretraining seed {seed}", shown(mean, 2), steps_text(step))
                }
                false => shown(mean, 2),
            });
        }
    }
    if study.knows_steps() {
        let name = |&step: &u64| (slots.centre(step), steps_short(step));
        let names: Vec<(f64, String)> = slots.steps.iter().map(name).collect();
        panel.names_axis(&names, "steps of pretraining");
    }
    panel.finish(&format!("Mean accuracy on {title}: {}", described.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{Course, Size, study};

    /// One run's scores on splits and cases of these sizes.
    fn scores(sizes: &[(&str, &str, u64)]) -> Vec<RunScore> {
        let run = study(Course::Flat, Size::FULL).observed.runs.remove(0);
        let score = |&(split, case, n): &(&str, &str, u64)| RunScore {
            split: split.into(),
            case: case.into(),
            n,
            ..run.clone()
        };
        sizes.iter().map(score).collect()
    }

    #[test]
    fn splits_come_first_and_small_cases_are_left_to_the_table() {
        let scores = scores(&[
            ("ood-b", "", 500),
            ("id", "", 900),
            ("id", "x", 800),
            ("a", "", 40),
            ("a", "x", 40),
            ("val", "", 900),
            ("ood-b", "y", 100),
            ("ood-b", "x", 120),
            ("ood-c", "", 300),
            ("ood-c", "x", 280),
            ("ood-c", "z", 99),
        ]);
        let choice = choose(&scores.iter().collect::<Vec<_>>(), Some("ood-b"));
        assert_eq!(choice.wholes, [("ood-b", ""), ("id", ""), ("a", ""), ("ood-c", "")]);
        assert_eq!(choice.cases, [("ood-c", "x"), ("ood-b", "y")]);
        assert_eq!((choice.small, choice.enough, choice.beyond, choice.others), (1, 100, 0, 3));
        assert!(choice.described().contains("are 1 case of fewer than 100 examples and all other pairs"));
    }

    #[test]
    fn where_all_cases_are_small_the_largest_are_drawn() {
        let scores = scores(&[("ood", "", 30), ("ood", "x", 9), ("ood", "y", 12), ("ood", "z", 12)]);
        let choice = choose(&scores.iter().collect::<Vec<_>>(), Some("ood"));
        assert_eq!(choice.cases, [("ood", "y"), ("ood", "z")]);
        assert_eq!((choice.small, choice.enough), (1, 12));
        assert!(choice.described().ends_with("1 case of fewer than 12 examples."), "{}", choice.described());
    }

    #[test]
    fn many_cases_fold_and_then_end() {
        let names: Vec<String> = (0..60).map(|i| format!("case {i:02}")).collect();
        let mut sizes: Vec<(&str, &str, u64)> =
            names.iter().map(|name| ("ood", name.as_str(), 100)).collect();
        sizes.push(("ood", "", 6_000));
        let scores = scores(&sizes);
        let choice = choose(&scores.iter().collect::<Vec<_>>(), Some("ood"));
        assert_eq!((choice.cases.len(), choice.beyond), (IN_VIEW + FOLDED, 15));
        assert_eq!(choice.cases[0], ("ood", "case 00"));
    }
}
