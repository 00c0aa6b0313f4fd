//! A study that never ran, for tests of what a report makes of one: a world whose path dependence is known.

use measures::estimands::latent::bivariate_normal;
use random::Stream;
use statrs::distribution::{ContinuousCDF, Normal};

use crate::rows::{InterventionEffect, PairSplit, PathPoint, RunScore, Rung, SoupScore};
use crate::{DEFAULT_ARM, LINEAR, Observed, Plan, Study};

/// What the path's importance does as pretraining goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Course {
    Falls,
    Rises,
    Flat,
    Hump,
    /// Accuracy rises as in `Falls`, and nothing else: two seeds stay as correlated as they are.
    Accuracy,
}

impl Course {
    /// Latent correlation of two runs where path dependence is `level`.
    fn correlation(self, level: f64) -> f64 {
        match self {
            Self::Accuracy => 0.876,
            _ => 0.98 - 0.4 * level,
        }
    }
}

/// How large the study is and what it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) pretraining: u64,
    pub(crate) finetuning: u64,
    pub(crate) soups: bool,
    pub(crate) ladder: bool,
    pub(crate) paths: bool,
    pub(crate) arms: bool,
}

impl Size {
    pub(crate) const FULL: Self =
        Self { pretraining: 3, finetuning: 6, soups: true, ladder: true, paths: true, arms: true };
}

const STEPS: [u64; 7] = [0, 100, 300, 600, 1_000, 2_000, 6_000];
const LOSSES: [f64; 7] = [4.15, 2.57, 2.16, 1.89, 1.76, 1.674, 1.653];
const CASES: [&str; 4] = ["fpp", "pas", "pasppA", "top"];
const INTERVENTIONS: [(&str, f64); 10] = [
    ("agent", 1.0),
    ("attribute", 0.0),
    ("cue", 0.0),
    ("fronting", 0.0),
    ("patient", 0.0),
    ("role", 0.61),
    ("shuffle", 0.0),
    ("synonym", 0.0),
    ("verb", 0.0),
    ("voice", 0.0),
];

/// Path dependence at a rung, 0 to 1.
fn dependence(course: Course, rung: usize) -> f64 {
    match course {
        Course::Falls | Course::Accuracy => [0.7, 0.9, 0.85, 0.5, 0.25, 0.12, 0.1][rung],
        Course::Rises => [0.1, 0.12, 0.2, 0.3, 0.5, 0.7, 0.8][rung],
        Course::Flat => 0.5,
        Course::Hump => [0.2, 0.3, 0.4, 0.9, 0.6, 0.35, 0.25][rung],
    }
}

/// The study, with its cells and summary.
pub(crate) fn study(course: Course, size: Size) -> Study {
    let mut study = Observed::default();
    for seed in 0..size.pretraining {
        let mut stream = Stream::at(seed, "synthetic study", course as u64);
        for (rung, &step) in STEPS.iter().enumerate() {
            let loss = LOSSES[rung] + 0.02 * stream.normal() * (LOSSES[rung] - 1.5);
            if size.ladder {
                study.ladder.push(Rung {
                    pretraining_seed: seed,
                    step,
                    tokens: step * 640,
                    held_out_loss: loss,
                    held_out_accuracy: 0.5,
                    checkpoint: format!("checkpoint {seed} {step}"),
                    ladder: format!("ladder {seed}"),
                    learning_rate: None,
                    phase: None,
                    to_go: None,
                    to_go_lower: None,
                    to_go_upper: None,
                });
            }
            let level = (dependence(course, rung) + 0.04 * stream.normal()).clamp(0.02, 0.98);
            let correlation = course.correlation(level);
            let loss = size.ladder.then_some(loss);
            let place = Place { arm: DEFAULT_ARM, seed, step, loss, correlation };
            add_cell(&mut study, &place, size, level, rung, &mut stream);
            if size.arms && (rung == 0 || rung == STEPS.len() - 1) {
                for (arm, level) in
                    [("disambiguating = 0", [0.1, 0.55]), ("learning_rate = 0.003", [0.8, 0.3])]
                {
                    let level = level[usize::from(rung > 0)];
                    add_cell(&mut study, &Place { arm, ..place }, size, level, rung, &mut stream);
                }
            }
        }
    }
    let sources = [("evaluate", 12), ("finetune", 12), ("pretrain", size.pretraining as usize)];
    let plan = Plan {
        title: "Does the path matter? A synthetic study".into(),
        early_until: Some(300),
        late_from: Some(2_000),
        interval: measures::estimate::Interval::SeedT,
        margin: 0.01,
    };
    Study::new(study, plan, sources.map(|(stage, n)| (stage.to_owned(), n)).into()).unwrap().0
}

#[derive(Clone, Copy)]
struct Place {
    arm: &'static str,
    seed: u64,
    step: u64,
    loss: Option<f64>,
    /// Latent correlation of two runs.
    correlation: f64,
}

/// What a run of a place is called.
fn name(place: &Place, run: u64) -> String {
    format!("{} {} {} {run}", place.arm, place.seed, place.step)
}

fn add_cell(study: &mut Observed, place: &Place, size: Size, level: f64, rung: usize, stream: &mut Stream) {
    let accuracies: Vec<f64> =
        (0..size.finetuning).map(|run| add_run(study, place, run, level, stream)).collect();
    add_pairs(study, place, size, level, &accuracies, stream);
    if size.soups {
        add_soups(study, place, rung, level, &accuracies, stream);
    }
}

/// Adds a run's scores and effects; its accuracy out of distribution.
fn add_run(study: &mut Observed, place: &Place, run: u64, level: f64, stream: &mut Stream) -> f64 {
    let good = (0.98 - 0.45 * level).min(0.98);
    let ood = (good + 0.1 * level * stream.normal()).clamp(0.3, 0.995);
    let mut score =
        |split: &str, case: &str, accuracy: f64| study.runs.push(score(place, run, split, case, accuracy));
    score("id", "", (0.994 + 0.002 * stream.normal()).min(1.0));
    score("val", "", 0.995);
    score("ood", "", ood);
    score("ood-cases", "", ood);
    for case in CASES {
        score("ood-cases", case, (ood + 0.05 * stream.normal()).clamp(0.2, 1.0));
    }
    score("cue-flipped", "", (0.9 - 0.3 * level * stream.unit_f64()).clamp(0.0, 1.0));
    for (place_of, (intervention, rule)) in INTERVENTIONS.into_iter().enumerate() {
        let shortcut = [0.5, 0.1, 0.3, 0.4, 0.44, 0.3, 0.35, 0.05, 0.1, 0.6];
        let wrong = shortcut[place_of];
        let effect = (rule + (wrong - rule) * level + 0.05 * level * stream.normal()).clamp(0.0, 1.0);
        study.interventions.push(InterventionEffect {
            run: name(place, run),
            arm: place.arm.into(),
            pretraining_seed: place.seed,
            step: place.step,
            held_out_loss: place.loss,
            finetuning_seed: run,
            intervention: intervention.into(),
            n: 400,
            effect,
            flips: effect,
            rule_flips: rule,
            accuracy: 1.0 - effect * 0.5,
        });
    }
    ood
}

fn score(place: &Place, run: u64, split: &str, case: &str, accuracy: f64) -> RunScore {
    RunScore {
        run: name(place, run),
        arm: place.arm.into(),
        pretraining_seed: place.seed,
        step: place.step,
        held_out_loss: place.loss,
        finetuning_seed: run,
        head_seed: Some(run),
        order_seed: Some(run),
        learning_rate: Some(1e-3),
        steps: Some(300),
        task: "task".into(),
        data_arm: place.arm == DEFAULT_ARM || place.arm.starts_with("disambiguating"),
        split: split.into(),
        case: case.into(),
        n: 800,
        loss: Some(1.0 - accuracy),
        accuracy,
        majority: Some(0.5),
        expected_error: Some(1.0 - accuracy),
        calibration_error: Some(0.05),
        mcc: Some(2.0 * accuracy - 1.0),
        f1: Some(accuracy),
        metric: "accuracy".into(),
        score: Some(accuracy),
        failed: false,
    }
}

fn add_soups(
    study: &mut Observed,
    place: &Place,
    rung: usize,
    level: f64,
    accuracies: &[f64],
    stream: &mut Stream,
) {
    let mean = accuracies.iter().sum::<f64>() / accuracies.len() as f64;
    let best = accuracies.iter().copied().fold(0.0, f64::max);
    for (method, change) in [
        ("uniform", -0.16 * level),
        ("greedy", 0.03 * level),
        ("probability ensemble", 0.04),
        ("logit ensemble", 0.036),
    ] {
        for (split, shift) in [("ood", 0.0), ("id", 1.0)] {
            let accuracy = if shift > 0.0 { 0.996 } else { mean + change * (1.0 + 0.2 * stream.normal()) };
            study.soups.push(SoupScore {
                soup: format!("{method} {rung}"),
                arm: place.arm.into(),
                pretraining_seed: place.seed,
                step: place.step,
                held_out_loss: place.loss,
                method: method.into(),
                members: String::new(),
                offered: accuracies.len() as u64,
                kept: if method == "greedy" { 1 } else { accuracies.len() as u64 },
                split: split.into(),
                n: 800,
                loss: 0.1,
                accuracy,
                gain_over_mean: if shift > 0.0 { 0.002 } else { accuracy - mean },
                gain_over_best: if shift > 0.0 { -0.001 } else { accuracy - best },
            });
        }
    }
}

/// Share of examples on which two runs of these accuracies are both right or both wrong, where they exceed thresholds of
/// normal variables with correlation `rho`.
fn consistency([p, q]: [f64; 2], rho: f64) -> f64 {
    let normal = Normal::standard();
    let both = bivariate_normal(normal.inverse_cdf(p), normal.inverse_cdf(q), rho);
    1.0 - p - q + 2.0 * both
}

fn add_pairs(
    study: &mut Observed,
    place: &Place,
    size: Size,
    level: f64,
    accuracies: &[f64],
    stream: &mut Stream,
) {
    for a in 0..size.finetuning {
        for b in a + 1..size.finetuning {
            let (bump, agreement) = (
                (0.12 * level * (1.0 + 0.5 * stream.normal())).max(0.0),
                0.985 - 0.22 * level + 0.02 * stream.normal(),
            );
            for split in ["id", "ood"] {
                let scale = if split == "id" { 0.5 } else { 1.0 };
                let some = |value: f64| size.paths.then_some(value * scale);
                let accuracy = [a, b].map(|run| if split == "id" { 0.994 } else { accuracies[run as usize] });
                let rho = (place.correlation + 0.01 * stream.normal()).min(0.99);
                let consistency = consistency(accuracy, rho);
                study.pairs.push(PairSplit {
                    run_a: name(place, a),
                    run_b: name(place, b),
                    arm: place.arm.into(),
                    pretraining_seed: place.seed,
                    step: place.step,
                    held_out_loss: place.loss,
                    seed_a: a,
                    seed_b: b,
                    path: LINEAR.into(),
                    split: split.into(),
                    accuracy_a: Some(accuracy[0]),
                    accuracy_b: Some(accuracy[1]),
                    consistency: Some(consistency),
                    path_variance: Some((1.0 - consistency) / 2.0),
                    barrier: some(bump),
                    barrier_over_mean: some(bump),
                    barrier_over_max: some(bump * 0.8),
                    convexity_gap: some(bump * 1.1),
                    error_barrier: some(bump),
                    expected_error_barrier: some(bump * 0.9),
                    weight_distance: size.paths.then_some(5.2 - 0.5 * (1.0 - level) + 0.05 * stream.normal()),
                    agreement: Some(agreement.clamp(0.0, 1.0)),
                    chance_corrected_agreement: Some(0.2 + 0.5 * level + 0.05 * stream.normal()),
                    jensen_shannon: Some((0.3 * level).clamp(0.0, 1.0)),
                    profile_distance: Some((0.02 + 0.06 * level * (1.0 + 0.3 * stream.normal())).max(0.0)),
                    counterfactual_agreement: Some(
                        (0.96 - 0.12 * level + 0.01 * stream.normal()).clamp(0.0, 1.0),
                    ),
                });
                if size.paths {
                    add_path(study, place, [a, b], split, bump * scale, accuracies);
                }
            }
        }
    }
}

fn add_path(
    study: &mut Observed,
    place: &Place,
    [a, b]: [u64; 2],
    split: &str,
    height: f64,
    accuracies: &[f64],
) {
    for point in 0..11 {
        let alpha = f64::from(point) / 10.0;
        let chord = (1.0 - alpha) * (1.0 - accuracies[a as usize]) + alpha * (1.0 - accuracies[b as usize]);
        let chord = if split == "id" { 0.006 } else { chord };
        let error = chord + height * 4.0 * alpha * (1.0 - alpha);
        study.paths.push(PathPoint {
            run_a: name(place, a),
            run_b: name(place, b),
            arm: place.arm.into(),
            pretraining_seed: place.seed,
            step: place.step,
            seed_a: a,
            seed_b: b,
            path: LINEAR.into(),
            split: split.into(),
            alpha,
            n: 800,
            loss: error * 1.5,
            accuracy: 1.0 - error,
            expected_error: error,
        });
    }
}
