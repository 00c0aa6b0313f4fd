//! What the verdict is read from: outcomes, and the path at equal accuracy.
//!
//! Everything comes from the tables `pairs` and `runs`, on the out-of-distribution split, so that tables from elsewhere are
//! judged by the same rule. The rule itself is [`measures::verdict`]; [`super::group`] holds the runs of one checkpoint.

use std::collections::{BTreeMap, BTreeSet};

use measures::contrasts::matched::{self, Calipers, matched};
use measures::contrasts::{Contrast, SeedFigure, Within, course, over_seeds};
use measures::estimands::Figure;
use measures::estimands::latent::{Rates, beyond_accuracy_of};
use measures::multiplicity;
use measures::verdict::{Evidence, Manipulation, Plan, Turn, Verdict, verdict};

use super::group::{Group, Groups, Rated, groups, whole};
use super::interval;
use super::measure::{self, PRIMARY};
use crate::observed::Observed;
use crate::rows::{RunScore, Summary};
use crate::study::{DEFAULT_ARM, primary_ood};

/// Level of the intervals.
const LEVEL: f64 = 0.95;
/// The kind of the row that the verdict's second sentence rests on.
pub(crate) const EQUAL_ACCURACY: &str = "late - early, equal accuracy";

/// How pairs are compared at equal accuracy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Comparison {
    /// Late pairs with early pairs of the same pretraining seed, mean and difference of accuracies within calipers;
    /// `share` of the late pairs have such a match.
    Matched { share: f64 },
    /// Late path variance with the one that late accuracies predict at the early latent correlation.
    BeyondAccuracy,
}

/// A verdict and what it was read from.
#[derive(Clone, Debug)]
pub(crate) struct Reading {
    pub(crate) verdict: Verdict,
    pub(crate) evidence: Evidence,
    pub(crate) plan: Plan,
    /// How `evidence.equal_accuracy` was made; `None` where it could not be.
    pub(crate) comparison: Option<Comparison>,
}

/// The rungs that are compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Split {
    pub(crate) early_until: u64,
    pub(crate) late_from: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Early,
    Late,
}

impl Split {
    fn side(self, step: u64) -> Option<Side> {
        match step {
            step if step <= self.early_until => Some(Side::Early),
            step if step >= self.late_from => Some(Side::Late),
            _ => None,
        }
    }
}

/// Reads the verdict of a study; `summary` holds its other primary measures.
pub(crate) fn read(observed: &Observed, summary: &[Summary], split: Split, plan: Plan) -> Reading {
    let groups = groups(observed);
    let mut path_variance = over_sides(&groups, split, |group| group.ratio(Rated::path_variance));
    adjust(path_variance.as_mut(), summary);
    let (equal_accuracy, comparison) = equal_accuracy(observed, &groups, split);
    let evidence = Evidence {
        path_variance,
        equal_accuracy,
        shared: over_sides(&groups, split, |group| group.ratio(Rated::shared)),
        logit_spread: over_sides(&groups, split, |group| group.logit_spread()),
        turn: turn(&groups),
        manipulation: manipulation(observed, split),
    };
    Reading { verdict: verdict(&evidence, &plan), evidence, plan, comparison }
}

impl Reading {
    /// The contrasts behind the verdict as rows of the summary.
    pub(crate) fn rows(&self) -> Vec<Summary> {
        let Evidence { path_variance, equal_accuracy, shared, logit_spread, .. } = &self.evidence;
        let comparison = match self.comparison {
            Some(Comparison::Matched { .. }) => "matched, seed-t",
            _ => "beyond accuracy, seed-t",
        };
        [
            ("ood_path_variance", "late - early", "seed-t", path_variance),
            ("ood_path_variance", EQUAL_ACCURACY, comparison, equal_accuracy),
            ("ood_shared", "late - early", "seed-t", shared),
            ("ood_logit_spread", "late - early", "seed-t", logit_spread),
        ]
        .into_iter()
        .filter_map(|(measure, kind, method, contrast)| Some(row(measure, kind, method, contrast.as_ref()?)))
        .collect()
    }
}

fn row(measure: &str, kind: &str, method: &str, contrast: &Contrast) -> Summary {
    let (least, most) = measure::find(measure)
        .map_or((f64::NEG_INFINITY, f64::INFINITY), |measure| interval::range(&measure, kind));
    Summary {
        arm: DEFAULT_ARM.into(),
        kind: kind.into(),
        step: None,
        held_out_loss: None,
        measure: measure.into(),
        estimate: contrast.estimate,
        lower: Some(contrast.low),
        upper: Some(contrast.high),
        beyond_range: contrast.low < least || contrast.high > most,
        method: method.into(),
        standard_error: Some(contrast.standard_error),
        df: Some(contrast.df),
        p: Some(contrast.p),
        p_adjusted: None,
        p_bh: None,
        width_from: Some(interval::width_from(contrast.width_from).into()),
        n_pairs: (contrast.n_pairs > 0).then_some(contrast.n_pairs as u64),
        n_pretraining: contrast.n_seeds as u64,
        n_finetuning: 0,
    }
}

/// Late less early of a figure of the default arm's groups, over pretraining seeds.
fn over_sides(
    groups: &Groups<'_>,
    split: Split,
    figure: impl Fn(&Group<'_>) -> Option<Figure>,
) -> Option<Contrast> {
    let mut sides: BTreeMap<u64, [Vec<Figure>; 2]> = BTreeMap::new();
    for ((arm, seed, step), group) in groups {
        let (true, Some(side)) = (*arm == DEFAULT_ARM, split.side(*step)) else { continue };
        sides.entry(*seed).or_default()[side as usize].extend(figure(group));
    }
    let difference = |(seed, [early, late]): (&u64, &[Vec<Figure>; 2])| {
        Some(SeedFigure::difference(*seed, mean(late)?, mean(early)?))
    };
    over_seeds(&sides.iter().filter_map(difference).collect::<Vec<_>>(), LEVEL).ok()
}

/// The mean of independent figures.
fn mean(figures: &[Figure]) -> Option<Figure> {
    let n = figures.len() as f64;
    let within = figures.iter().map(|figure| figure.within).reduce(|a, b| Some(a?.and(b?))).flatten();
    (!figures.is_empty()).then(|| Figure {
        value: figures.iter().map(|figure| figure.value).sum::<f64>() / n,
        within: within.map(|within| Within { standard_error: within.standard_error / n, ..within }),
        n_pairs: figures.iter().map(|figure| figure.n_pairs).sum(),
    })
}

/// Adjusts p for the number of primary measures (Holm).
fn adjust(path_variance: Option<&mut Contrast>, summary: &[Summary]) {
    let Some(path_variance) = path_variance else { return };
    let mut family = vec![path_variance.p];
    family.extend(PRIMARY[1..].iter().filter_map(|measure| super::multiplicity::of(summary, measure)?.p));
    path_variance.p_adjusted = multiplicity::holm(&family)[0];
}

fn late_less_early(sides: &BTreeMap<u64, [Vec<f64>; 2]>) -> Option<Contrast> {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let difference = |(&seed, [early, late]): (&u64, &[Vec<f64>; 2])| SeedFigure {
        seed,
        value: mean(late) - mean(early),
        within: None,
        n_pairs: 0,
    };
    let figures: Vec<SeedFigure> =
        sides.iter().map(difference).filter(|figure| figure.value.is_finite()).collect();
    over_seeds(&figures, LEVEL).ok()
}

/// The contrast of path variance at equal accuracy, and how it was made. Matching decides where at least half of the
/// pretraining seeds, and two, have matches; elsewhere the prediction from accuracy alone does.
fn equal_accuracy(
    observed: &Observed,
    groups: &Groups<'_>,
    split: Split,
) -> (Option<Contrast>, Option<Comparison>) {
    let sides = pooled(observed, groups, split);
    let found: Vec<_> = sides
        .iter()
        .filter_map(|(seed, [early, late])| Some((*seed, matched(late, early, Calipers::default(), true)?)))
        .collect();
    if found.len() >= 2 && 2 * found.len() >= sides.len() {
        let share = found.iter().map(|(_, matched)| matched.share).sum::<f64>() / sides.len() as f64;
        let figures: Vec<SeedFigure> = found.iter().map(|(seed, matched)| matched.figure(*seed)).collect();
        return (over_seeds(&figures, LEVEL).ok(), Some(Comparison::Matched { share }));
    }
    let contrast = beyond(groups, split);
    (contrast, contrast.map(|_| Comparison::BeyondAccuracy))
}

/// Early and late pairs of each pretraining seed that has both, over the arms that differ in the task alone.
fn pooled(observed: &Observed, groups: &Groups<'_>, split: Split) -> BTreeMap<u64, [Vec<matched::Pair>; 2]> {
    let arms: BTreeSet<&str> =
        observed.runs.iter().filter(|run| run.data_arm).map(|run| run.arm.as_str()).collect();
    let mut sides: BTreeMap<u64, [Vec<matched::Pair>; 2]> = BTreeMap::new();
    let mut n_runs = 0;
    for ((arm, seed, step), group) in groups {
        let (true, Some(side)) = (arms.contains(arm), split.side(*step)) else { continue };
        let pairs = group.pairs.iter().map(|pair| matched::Pair {
            runs: (n_runs + pair.runs.0, n_runs + pair.runs.1),
            mean: f64::midpoint(pair.accuracies[0], pair.accuracies[1]),
            difference: (pair.accuracies[0] - pair.accuracies[1]).abs(),
            value: pair.path_variance().0,
        });
        sides.entry(*seed).or_default()[side as usize].extend(pairs);
        n_runs += group.runs.len();
    }
    sides.retain(|_, [early, late]| !early.is_empty() && !late.is_empty());
    sides
}

/// Late path variance less what late accuracies predict at the early latent correlation.
fn beyond(groups: &Groups<'_>, split: Split) -> Option<Contrast> {
    let mut sides: BTreeMap<u64, [Vec<Rates>; 2]> = BTreeMap::new();
    for ((arm, seed, step), group) in groups {
        let (true, Some(side)) = (*arm == DEFAULT_ARM, split.side(*step)) else { continue };
        sides.entry(*seed).or_default()[side as usize].extend(group.rates());
    }
    let figure = |(&seed, [early, late]): (&u64, &[Vec<Rates>; 2])| {
        let value = beyond_accuracy_of(late, early)?;
        Some(SeedFigure { seed, value, within: None, n_pairs: early.len() + late.len() })
    };
    over_seeds(&sides.iter().filter_map(figure).collect::<Vec<_>>(), LEVEL).ok()
}

/// The most marked turn of what is *not* shared along the default arm's ladder. Each pretraining seed's rung is chosen by
/// the others, so that no seed is measured where it happens to be largest.
fn turn(groups: &Groups<'_>) -> Option<Turn> {
    let mut courses: BTreeMap<u64, BTreeMap<u64, f64>> = BTreeMap::new();
    for ((_, seed, step), group) in groups.iter().filter(|((arm, ..), _)| *arm == DEFAULT_ARM) {
        if let Some(figure) = group.ratio(Rated::shared) {
            courses.entry(*seed).or_default().insert(*step, 1.0 - figure.value);
        }
    }
    let steps: BTreeSet<u64> = courses.values().flat_map(|course| course.keys().copied()).collect();
    let steps: Vec<u64> = steps.into_iter().collect();
    courses.retain(|_, course| course.len() == steps.len());
    let values: Vec<Vec<f64>> = courses.values().map(|course| course.values().copied().collect()).collect();
    let shapes = course::shapes(&values).filter(|shapes| shapes.peak)?;
    let figure = |(i, &seed): (usize, &u64)| {
        let peak = highest(values.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, course)| course));
        let course = &values[i];
        let value = course[peak] - course[0].max(course[course.len() - 1]);
        SeedFigure { seed, value, within: None, n_pairs: 0 }
    };
    let height = over_seeds(&courses.keys().enumerate().map(figure).collect::<Vec<_>>(), LEVEL).ok()?;
    Some(Turn { rung: steps[highest(values.iter())], height, predicts: shapes.prefers_a_turn() })
}

/// The inner rung at which these courses are highest on the mean.
fn highest<'a>(courses: impl Iterator<Item = &'a Vec<f64>>) -> usize {
    let mut sums: Vec<f64> = Vec::new();
    for course in courses {
        sums.resize(course.len(), 0.0);
        sums.iter_mut().zip(course).for_each(|(sum, value)| *sum += value);
    }
    (1..sums.len().saturating_sub(1)).max_by(|&a, &b| sums[a].total_cmp(&sums[b])).unwrap_or(0)
}

/// Whether the task was learned and pretraining gained anything.
fn manipulation(observed: &Observed, split: Split) -> Manipulation {
    let ood = primary_ood(observed.runs.iter().map(|run| run.split.as_str())).unwrap_or_default();
    let task = if whole(observed, "id").next().is_some() { "id" } else { ood };
    let rows: Vec<&RunScore> = whole(observed, task).filter(|run| run.arm == DEFAULT_ARM).collect();
    let mut late: BTreeMap<u64, Vec<f64>> = BTreeMap::new();
    let mut losses: BTreeMap<u64, [Vec<f64>; 2]> = BTreeMap::new();
    for run in &rows {
        let Some(side) = split.side(run.step) else { continue };
        if side == Side::Late {
            late.entry(run.pretraining_seed).or_default().push(run.accuracy);
        }
        if let Some(loss) = run.held_out_loss {
            // Signed so that a gain is positive: the loss falls.
            losses.entry(run.pretraining_seed).or_default()[side as usize].push(-loss);
        }
    }
    let figures: Vec<SeedFigure> = late.iter().map(|(&seed, accuracies)| of_runs(seed, accuracies)).collect();
    // Without the majority's share there is nothing to be above.
    let majority = rows.iter().filter_map(|run| run.majority).reduce(f64::max);
    Manipulation {
        late_accuracy: majority.and_then(|_| over_seeds(&figures, LEVEL).ok()),
        majority: majority.unwrap_or(0.0),
        gain: late_less_early(&losses),
    }
}

/// The mean over the runs of a pretraining seed.
fn of_runs(seed: u64, values: &[f64]) -> SeedFigure {
    let n = values.len() as f64;
    let value = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|x| (x - value).powi(2)).sum();
    let within = (n > 1.0).then(|| Within { standard_error: (squares / (n - 1.0) / n).sqrt(), df: n - 1.0 });
    SeedFigure { seed, value, within, n_pairs: 0 }
}
