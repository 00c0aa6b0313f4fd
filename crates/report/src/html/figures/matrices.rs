//! Which runs agree with which: a matrix of pairs for each rung and pretraining seed.

use std::collections::{BTreeMap, BTreeSet};

use measures::cluster;

use super::{Figure, Row, seed_class, seed_legend};
use crate::html::scale::extent;
use crate::html::svg::{Anchor, Svg};
use crate::rows::PairSplit;
use crate::study::{DEFAULT_ARM, Study, primary_ood, steps_text};
use crate::summarise::measure::shown;

/// Side of a matrix.
const SIDE: f64 = 84.0;
const WIDTH: f64 = 104.0;

pub(crate) fn figure(study: &Study) -> Option<Figure> {
    let ood = primary_ood(study.pairs.iter().map(|pair| pair.split.as_str()))?;
    let pairs: Vec<(&PairSplit, f64)> = study
        .pairs
        .iter()
        .filter(|pair| pair.arm == DEFAULT_ARM && pair.split == ood)
        .filter_map(|pair| Some((pair, pair.agreement?)))
        .collect();
    if pairs.is_empty() {
        return None;
    }
    let values: Vec<f64> = pairs.iter().map(|(_, agreement)| *agreement).collect();
    let (low, high) = extent(&values);
    let panels: Vec<String> = study
        .steps(DEFAULT_ARM)
        .into_iter()
        .filter(|&step| pairs.iter().any(|(pair, _)| pair.step == step))
        .map(|step| panel(study, &pairs, step, (low, high)))
        .collect();
    Some(Figure {
        id: "matrices",
        title: "Which runs agree with which".into(),
        finding: String::new(),
        caption: format!(
            "A column of matrices for each rung, by steps. Rows and columns of a matrix are the fine-tuning seeds of one checkpoint, \
             in an order in which those that agree stand together, the more accurate towards the end. The stronger the colour, \
             the larger the share of {ood} examples with the same answer: from {} (weakest) to {} (strongest). Blocks are \
             clusters of runs that found different solutions.",
            shown(low, 2),
            shown(high, 2)
        ),
        legend: seed_legend(study),
        rows: vec![Row { title: String::new(), size: "tiny", folded: false, panels }],
    })
}

/// The matrices of all pretraining seeds at one rung, one under the other.
fn panel(study: &Study, pairs: &[(&PairSplit, f64)], step: u64, domain: (f64, f64)) -> String {
    let seeds: Vec<u64> = study
        .pretraining_seeds()
        .into_iter()
        .filter(|&seed| pairs.iter().any(|(pair, _)| pair.step == step && pair.pretraining_seed == seed))
        .collect();
    let mut svg = Svg::new(WIDTH, 22.0 + seeds.len() as f64 * (SIDE + 10.0));
    svg.text("title", (10.0, 13.0), Anchor::Start, &steps_text(step));
    let mut means = Vec::new();
    for (row, &seed) in seeds.iter().enumerate() {
        let top = 22.0 + row as f64 * (SIDE + 10.0);
        let here: Vec<&(&PairSplit, f64)> =
            pairs.iter().filter(|(pair, _)| pair.step == step && pair.pretraining_seed == seed).collect();
        svg.cell(&format!("tag {}", seed_class(study, seed)), (2.0, top), (3.0, SIDE), 1.0, "");
        matrix(study, &mut svg, &here, (10.0, top), domain);
        let mean = here.iter().map(|(_, agreement)| agreement).sum::<f64>() / here.len() as f64;
        means.push(format!("{} with pretraining seed {seed}", shown(mean, 3)));
    }
    svg.finish(&format!("Mean agreement at {} steps: {}", steps_text(step), means.join(", ")))
}

/// Runs in an order in which those that agree stand together: that of the spectral embedding of their disagreements
/// ([`cluster`]), with the better end last. Where it tells nothing, they are in order of their accuracy.
fn in_clusters<'a>(
    keys: BTreeSet<&'a str>,
    pairs: &[&(&'a PairSplit, f64)],
    accuracy: &dyn Fn(&str) -> f64,
) -> Vec<&'a str> {
    let mut order: Vec<&str> = keys.into_iter().collect();
    order.sort_by(|a, b| accuracy(a).total_cmp(&accuracy(b)).then(a.cmp(b)));
    let n = order.len();
    let mut distances = vec![f64::NAN; n * n];
    for (pair, agreement) in pairs {
        let place = |key: &str| order.iter().position(|other| *other == key).unwrap_or(0);
        let (a, b) = (place(&pair.run_a), place(&pair.run_b));
        distances[a * n + b] = 1.0 - agreement;
        distances[b * n + a] = 1.0 - agreement;
    }
    (0..n).for_each(|run| distances[run * n + run] = 0.0);
    // A pair that is missing makes a distance that is no number, which is refused.
    let Ok(found) = cluster::bipartition(&distances, n, None) else { return order };
    let rising: f64 = (0..n).map(|run| found.coordinates[run] * (run as f64 - (n - 1) as f64 / 2.0)).sum();
    let coordinate = |run: &usize| found.coordinates[*run] * rising.signum();
    let mut places: Vec<usize> = (0..n).collect();
    places.sort_by(|a, b| coordinate(a).total_cmp(&coordinate(b)).then(a.cmp(b)));
    places.into_iter().map(|run| order[run]).collect()
}

fn matrix(study: &Study, svg: &mut Svg, pairs: &[&(&PairSplit, f64)], at: (f64, f64), domain: (f64, f64)) {
    let keys: BTreeSet<&str> =
        pairs.iter().flat_map(|(pair, _)| [pair.run_a.as_str(), pair.run_b.as_str()]).collect();
    let split = pairs.first().map_or("", |(pair, _)| pair.split.as_str());
    let scores: BTreeMap<&str, (f64, u64)> = study
        .runs
        .iter()
        .filter(|run| run.split == split && run.case.is_empty() && keys.contains(run.run.as_str()))
        .map(|run| (run.run.as_str(), (run.accuracy, run.finetuning_seed)))
        .collect();
    let score = |key: &str| scores.get(key).copied().unwrap_or((0.0, 0));
    let order = in_clusters(keys, pairs, &|key| score(key).0);
    let cell = SIDE / order.len() as f64;
    let gap = if cell > 6.0 { 1.0 } else { 0.0 };
    let span = (domain.1 - domain.0).max(1e-9);
    for (pair, agreement) in pairs {
        let place = |key: &str| order.iter().position(|other| *other == key).unwrap_or(0) as f64;
        let (a, b) = (place(&pair.run_a), place(&pair.run_b));
        let shade = 0.06 + 0.94 * (agreement - domain.0) / span;
        let tip = format!("fine-tuning seeds {} and {}: {}", pair.seed_a, pair.seed_b, shown(*agreement, 3));
        for (column, row) in [(a, b), (b, a)] {
            let place = (at.0 + column * cell, at.1 + row * cell);
            svg.cell("heat", place, (cell - gap, cell - gap), shade, &tip);
        }
    }
    for (i, key) in order.iter().enumerate() {
        let place = (at.0 + (i as f64 + 0.5) * cell, at.1 + (i as f64 + 0.5) * cell);
        let (accuracy, seed) = score(key);
        svg.dot("self", place, 1.2, &format!("fine-tuning seed {seed}: accuracy {}", shown(accuracy, 3)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{Course, Size, study};

    /// Pairs of the runs a to f, of which those in `together` agree more.
    fn pairs(together: &[&str]) -> Vec<(PairSplit, f64)> {
        let pair = study(Course::Flat, Size::FULL).observed.pairs.remove(0);
        let runs = ["a", "b", "c", "d", "e", "f"];
        let mut pairs = Vec::new();
        for (i, a) in runs.into_iter().enumerate() {
            for b in &runs[i + 1..] {
                let of = |run: &str| together.iter().position(|cluster| cluster.contains(run));
                let agreement = if of(a) == of(b) { 0.95 } else { 0.6 };
                pairs.push((PairSplit { run_a: a.into(), run_b: (*b).into(), ..pair.clone() }, agreement));
            }
        }
        pairs
    }

    fn ordered(pairs: &[(PairSplit, f64)]) -> String {
        let pairs: Vec<(&PairSplit, f64)> =
            pairs.iter().map(|(pair, agreement)| (pair, *agreement)).collect();
        let keys = ["a", "b", "c", "d", "e", "f"].into();
        // The later the letter, the better; but `a` is the best of all.
        let accuracy = |key: &str| if key == "a" { 0.9 } else { f64::from(key.as_bytes()[0] - b'a') / 10.0 };
        in_clusters(keys, &pairs.iter().collect::<Vec<_>>(), &accuracy).concat()
    }

    #[test]
    fn those_that_agree_stand_together() {
        let order = ordered(&pairs(&["ace", "bdf"]));
        let (first, second) = order.split_at(3);
        let sorted = |part: &str| {
            let mut letters: Vec<char> = part.chars().collect();
            letters.sort_unstable();
            letters.into_iter().collect::<String>()
        };
        assert_eq!((sorted(first).as_str(), sorted(second).as_str()), ("bdf", "ace"), "{order}");
        // All alike, or a pair that is missing: by accuracy.
        let alike: Vec<(PairSplit, f64)> =
            pairs(&["abcdef"]).into_iter().map(|(pair, _)| (pair, 1.0)).collect();
        assert_eq!(ordered(&alike), "bcdefa");
        assert_eq!(ordered(&pairs(&["ace", "bdf"])[1..]), "bcdefa");
    }
}
