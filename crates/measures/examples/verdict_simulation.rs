//! How often the verdict is right, on simulated studies whose truth is known.
//!
//! ```text
//! cargo run --release -p samebasin-measures --example verdict_simulation [coverage|verdicts|null]
//! ```
//!
//! Run `k` is right on example `i` where `sqrt(rho) u_i + sqrt(1 - rho) e_ki < Phi^-1(accuracy) + shifts`. `u` is what
//! the runs of one pretraining seed share, half of it shared by all pretraining seeds; shifts are of the pretraining seed
//! at a rung and of the run. So accuracy and latent correlation are set apart. Prints the tables of `docs/verdict.md`.

use measures::contrasts::matched::{self, Calipers, Pair};
use measures::contrasts::{Contrast, SeedFigure, over_seeds, skewed};
use measures::estimands::{latent, path_variance};
use measures::multiplicity;
use measures::verdict::{Evidence, Manipulation, Plan, Verdict, verdict};
use random::Stream;
use statrs::distribution::{ContinuousCDF, Normal};

const EXAMPLES: usize = 400;
const SEEDS: u64 = 6;
const RUNS: usize = 6;

/// What is true in a study: late and early accuracies, one for each arm of the data axis, and latent correlations.
struct Truth {
    early: &'static [f64],
    late: &'static [f64],
    rho: [f64; 2],
    /// Sd, on the latent scale, of what a pretraining seed does to one rung.
    own: f64,
}

/// Two rungs of one pretraining seed: for each arm a matrix `[runs, examples]`.
struct Sides {
    early: Vec<Vec<f64>>,
    late: Vec<Vec<f64>>,
}

fn simulate(truth: &Truth, common: &[f64], stream: &mut Stream) -> Sides {
    let own: Vec<f64> =
        common.iter().map(|v| 0.5_f64.sqrt() * v + 0.5_f64.sqrt() * stream.normal()).collect();
    let mut side = |accuracies: &[f64], rho: f64| {
        let shift = truth.own * stream.normal();
        let arm = |&accuracy: &f64| {
            let mut right = Vec::with_capacity(RUNS * EXAMPLES);
            for _ in 0..RUNS {
                let threshold = Normal::standard().inverse_cdf(accuracy) + shift + 0.1 * stream.normal();
                for u in &own {
                    let z = rho.sqrt() * u + (1.0 - rho).sqrt() * stream.normal();
                    right.push(f64::from(u8::from(z < threshold)));
                }
            }
            right
        };
        accuracies.iter().map(arm).collect()
    };
    Sides { early: side(truth.early, truth.rho[0]), late: side(truth.late, truth.rho[1]) }
}

/// Pairs of all arms of one side.
fn pairs(arms: &[Vec<f64>]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for (arm, right) in arms.iter().enumerate() {
        let row = |run: usize| &right[run * EXAMPLES..][..EXAMPLES];
        let accuracy = |run: usize| row(run).iter().sum::<f64>() / EXAMPLES as f64;
        for a in 0..RUNS {
            for b in a + 1..RUNS {
                let differ = row(a).iter().zip(row(b)).filter(|(a, b)| a != b).count();
                pairs.push(Pair {
                    runs: (arm * RUNS + a, arm * RUNS + b),
                    mean: f64::midpoint(accuracy(a), accuracy(b)),
                    difference: (accuracy(a) - accuracy(b)).abs(),
                    value: differ as f64 / EXAMPLES as f64 / 2.0,
                });
            }
        }
    }
    pairs
}

/// How the second sentence is made.
#[derive(Clone, Copy, PartialEq)]
enum Equal {
    /// Matched over the data axis, adjusted within calipers.
    Matched,
    /// Matched, the plain difference.
    Plain,
    /// Beyond accuracy, from the first arm alone.
    Latent,
}

/// The figure at equal accuracy of one pretraining seed.
fn at_equal_accuracy(sides: &Sides, equal: Equal, seed: u64) -> Option<SeedFigure> {
    if equal == Equal::Latent {
        let value = latent::beyond_accuracy((&sides.late[0], EXAMPLES), (&sides.early[0], EXAMPLES))?;
        return Some(SeedFigure { seed, value, within: None, n_pairs: 15 });
    }
    let found = matched::matched(&pairs(&sides.late), &pairs(&sides.early), Calipers::default(), false)?;
    let value = if equal == Equal::Plain { found.difference } else { found.adjusted };
    Some(SeedFigure { seed, value, within: None, n_pairs: found.n_pairs })
}

fn constant(estimate: f64, spread: f64) -> Contrast {
    let figure =
        |seed: u64| SeedFigure { seed, value: estimate + spread * seed as f64, within: None, n_pairs: 0 };
    over_seeds(&[figure(0), figure(1), figure(2)], 0.95).expect("three figures")
}

/// The verdicts of one study, by each way to make the second sentence.
fn study(truth: &Truth, index: u64, ways: &[Equal]) -> Vec<Verdict> {
    let mut stream = Stream::at(14, "verdict simulation", index);
    let common: Vec<f64> = (0..EXAMPLES).map(|_| stream.normal()).collect();
    let sides: Vec<Sides> = (0..SEEDS).map(|_| simulate(truth, &common, &mut stream)).collect();
    let variance = |right: &[f64]| path_variance::path_variance(right, EXAMPLES).expect("runs");
    let outcome = |(seed, sides): (u64, &Sides)| {
        SeedFigure::difference(seed, variance(&sides.late[0]), variance(&sides.early[0]))
    };
    let figures: Vec<SeedFigure> = (0..).zip(&sides).map(outcome).collect();
    let mut outcomes = over_seeds(&figures, 0.95).expect("seeds");
    multiplicity::adjust(&mut [&mut outcomes], multiplicity::holm);
    let read = |&way: &Equal| {
        let equal: Vec<SeedFigure> =
            (0..).zip(&sides).filter_map(|(seed, sides)| at_equal_accuracy(sides, way, seed)).collect();
        let evidence = Evidence {
            path_variance: Some(outcomes),
            equal_accuracy: over_seeds(&equal, 0.95).ok(),
            shared: None,
            logit_spread: None,
            turn: None,
            manipulation: Manipulation {
                late_accuracy: Some(constant(0.9, 0.001)),
                majority: 0.5,
                gain: Some(constant(1.0, 0.001)),
            },
        };
        verdict(&evidence, &Plan::default())
    };
    ways.iter().map(read).collect()
}

/// Shares of verdicts, in the order less, more, no change, only accuracy, inconclusive.
fn shares(truth: &Truth, studies: u64, ways: &[Equal]) -> Vec<[f64; 5]> {
    let mut shares = vec![[0.0; 5]; ways.len()];
    for index in 0..studies {
        for (shares, verdict) in shares.iter_mut().zip(study(truth, index, ways)) {
            let place = match verdict {
                Verdict::Less => 0,
                Verdict::More => 1,
                Verdict::NoChange => 2,
                Verdict::OnlyAccuracy { .. } => 3,
                _ => 4,
            };
            shares[place] += 1.0 / studies as f64;
        }
    }
    shares
}

fn verdicts() {
    const EARLY: &[f64] = &[0.556, 0.70, 0.80, 0.88, 0.93];
    const LATE: &[f64] = &[0.93, 0.70, 0.80, 0.88, 0.96];
    heading();
    let all = [Equal::Matched, Equal::Plain, Equal::Latent];
    let rising = Truth { early: EARLY, late: LATE, rho: [0.876, 0.876], own: 0.1 };
    row("accuracy rises", &rising, 200, &all);
    row("accuracy and correlation rise", &Truth { rho: [0.876, 0.95], ..rising }, 200, &all);
    row("accuracy rises, correlation falls", &Truth { rho: [0.95, 0.876], ..rising }, 200, &all);
}

/// Nothing changes between the rungs: every verdict but no change and inconclusive is false.
fn null() {
    heading();
    for own in [0.3, 0.1, 0.0] {
        let null = Truth { early: &[0.8], late: &[0.8], rho: [0.876, 0.876], own };
        row(&format!("nothing changes, own {own}"), &null, 2_000, &[Equal::Matched]);
    }
}

fn heading() {
    println!("| studies | second sentence | n | less | more | no change | only accuracy | inconclusive |");
    println!("|---|---|---|---|---|---|---|---|");
}

fn row(name: &str, truth: &Truth, studies: u64, ways: &[Equal]) {
    for (way, shares) in ways.iter().zip(shares(truth, studies, ways)) {
        let way = match way {
            Equal::Matched => "matched, adjusted",
            Equal::Plain => "matched, plain",
            Equal::Latent => "beyond accuracy",
        };
        let shares: Vec<String> = shares.iter().map(|share| format!("{share:.3}")).collect();
        println!("| {name} | {way} | {studies} | {} |", shares.join(" | "));
    }
}

/// One figure of mean 0.
fn draw(shape: &str, stream: &mut Stream) -> f64 {
    let z = stream.normal();
    match shape {
        "normal" => z,
        // Chi-square with 2 degrees of freedom, less its mean.
        "skewed" => f64::midpoint(z * z, stream.normal().powi(2)) - 1.0,
        "one outlier" => z + if stream.bernoulli(1.0 / 6.0) { 5.0 } else { 0.0 } - 5.0 / 6.0,
        // An accuracy that cannot exceed its ceiling: E min(z, 0.5) = -0.19780.
        _ => z.min(0.5) + 0.197_796_557,
    }
}

fn coverage() {
    println!("| figures | pretraining seeds | Student's t | Hall | either (hull of both) |");
    println!("|---|---|---|---|---|");
    let studies = 10_000;
    for shape in ["normal", "skewed", "one outlier", "clipped"] {
        for seeds in [3, 6, 12] {
            let mut held = [0.0; 3];
            for study in 0..studies {
                let mut stream = Stream::at(15, shape, study * 100 + seeds);
                let values: Vec<f64> = (0..seeds).map(|_| draw(shape, &mut stream)).collect();
                let figure = |&value: &f64| SeedFigure { seed: 0, value, within: None, n_pairs: 0 };
                let t = over_seeds(&values.iter().map(figure).collect::<Vec<_>>(), 0.95).expect("seeds");
                let hall = skewed::interval(&values, 0.95).expect("seeds");
                let holds = |low: f64, high: f64| f64::from(u8::from(low <= 0.0 && 0.0 <= high));
                held[0] += holds(t.low, t.high);
                held[1] += holds(hall.0, hall.1);
                held[2] += holds(t.low.min(hall.0), t.high.max(hall.1));
            }
            let held: Vec<String> = held.iter().map(|held| format!("{:.3}", held / studies as f64)).collect();
            println!("| {shape} | {seeds} | {} |", held.join(" | "));
        }
    }
}

fn main() {
    let part = std::env::args().nth(1);
    let wanted = |name: &str| part.as_deref().is_none_or(|part| part == name);
    if wanted("coverage") {
        coverage();
    }
    if wanted("verdicts") {
        verdicts();
    }
    if wanted("null") {
        null();
    }
}
