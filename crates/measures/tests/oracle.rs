//! Statistics beside SciPy, statsmodels, scikit-learn and lm-sim: `tests/statistics/oracle.py` writes what they find.

use measures::contrasts::{self, SeedFigure, at_value, course, equivalence, over_seeds, sensitivity};
use measures::estimands::{capa, flip_agreement, latent, logit_spread, path_variance, profile, shared};
use measures::path::{refinement, shape};
use measures::planner::effect;
use measures::runs::{self, correlation, groups, items, net, ratio, spread};
use measures::{components, multiplicity, planner};
use serde_json::Value;

fn oracle(group: &str) -> Value {
    let all: Value = serde_json::from_str(include_str!("../../../tests/statistics/oracle.json")).unwrap();
    all[group].clone()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn list(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

fn whole(value: &Value) -> Vec<usize> {
    list(value).into_iter().map(|x| x as usize).collect()
}

fn labels(value: &Value) -> Vec<u32> {
    list(value).into_iter().map(|x| x as u32).collect()
}

fn near(found: f64, expected: &Value, tolerance: f64) {
    let expected = number(expected);
    assert!(
        (found - expected).abs() <= tolerance * (1.0 + expected.abs()),
        "{found}, the oracle has {expected}"
    );
}

fn all_near(found: &[f64], expected: &Value, tolerance: f64) {
    let expected = expected.as_array().unwrap();
    assert_eq!(found.len(), expected.len());
    found.iter().zip(expected).for_each(|(found, expected)| near(*found, expected, tolerance));
}

#[test]
fn estimands() {
    let o = oracle("estimands");
    let (right, n) = (list(&o["right"]), number(&o["examples"]));
    let variance = path_variance::path_variance(&right, n as usize).unwrap();
    near(variance.value, &o["path_variance"], 1e-12);
    near(variance.value, &o["half_disagreement"], 1e-12);
    near(variance.within.unwrap().standard_error, &o["path_variance_se"], 1e-12);
    near(shared::shared(&right, n as usize).unwrap().value, &o["shared"], 1e-12);
    near(logit_spread::logit_spread(&list(&o["counts"]), n).unwrap().value, &o["logit_spread"], 1e-12);
    let (truth, hard, soft) = (labels(&o["labels"]), labels(&o["hard"]), list(&o["soft"]));
    near(capa::hard(&hard, &truth, 3).unwrap().value, &o["capa_hard"], 1e-12);
    near(capa::probabilistic(&soft, &truth, 3).unwrap().value, &o["capa_soft"], 1e-12);
    let flips: Vec<Vec<f64>> = o["flips"].as_array().unwrap().iter().map(list).collect();
    let interventions: Vec<flip_agreement::Flips<'_>> = flips
        .iter()
        .zip(whole(&o["bases"]))
        .map(|(flips, bases)| flip_agreement::Flips { flips, bases })
        .collect();
    near(flip_agreement::flip_agreement(&interventions).unwrap().value, &o["flip_agreement"], 1e-12);
    for (point, expected) in
        o["points"].as_array().unwrap().iter().zip(o["bivariate_normal"].as_array().unwrap())
    {
        let point = list(point);
        near(latent::bivariate_normal(point[0], point[1], point[2]), expected, 1e-9);
    }
    let names = ["agent", "cue", "voice", "front", "role"];
    let distance = profile::arcsine_distance(&names, &list(&o["profile_a"]), &list(&o["profile_b"]));
    near(distance.unwrap(), &o["arcsine_distance"], 1e-12);
}

#[test]
fn contrasts_over_seeds() {
    let o = oracle("contrasts");
    let values = list(&o["figures"]);
    let figures: Vec<SeedFigure> = values
        .iter()
        .enumerate()
        .map(|(seed, &value)| SeedFigure { seed: seed as u64, value, within: None, n_pairs: 15 })
        .collect();
    let found: contrasts::Contrast = over_seeds(&figures, 0.95).unwrap();
    near(found.low, &o["low"], 1e-9);
    near(found.high, &o["high"], 1e-9);
    near(found.p, &o["p"], 1e-9);
    near(found.standard_error, &o["se"], 1e-12);
    near(equivalence::tost(&found, number(&o["margin"])), &o["tost"], 1e-9);
    near(sensitivity::sensitivity(&values).unwrap().sign_flip_p.unwrap(), &o["sign_flip"], 1e-12);
    all_near(&multiplicity::holm(&list(&o["raw_p"])), &o["holm"], 1e-12);
    all_near(&multiplicity::benjamini_hochberg(&list(&o["raw_p"])), &o["bh"], 1e-12);
    all_near(&course::isotonic(&list(&o["course"])), &o["isotonic"], 1e-12);
    let steps: Vec<u64> = whole(&o["steps"]).into_iter().map(|step| step as u64).collect();
    let slope = course::slope_to_go(0, &steps, &list(&o["to_go"]), &list(&o["values"])).unwrap();
    near(slope.value, &o["slope"], 1e-12);
    let points: Vec<(f64, f64)> =
        list(&o["interpolation_x"]).into_iter().zip(list(&o["interpolation_y"])).collect();
    let at = list(&o["interpolation_at"]);
    let found: Vec<f64> = at.iter().map(|&x| at_value::interpolated(&points, x).unwrap()).collect();
    all_near(&found, &o["interpolated"], 1e-12);
}

#[test]
fn plans() {
    let o = oracle("plan");
    for (test, expected) in o["tests"].as_array().unwrap().iter().zip(o["effects"].as_array().unwrap()) {
        let test = list(test);
        let test = effect::Test { seeds: test[0] as usize, alpha: test[1], power: test[2] };
        near(effect::smallest(test, 1.0, 6).unwrap().effect, expected, 1e-7);
    }
    let (low, high) = planner::sd_range(6, 0.95).unwrap();
    all_near(&[low, high], &o["sd_factors"], 1e-9);
    for (case, expected) in o["cases"].as_array().unwrap().iter().zip(o["cdf"].as_array().unwrap()) {
        let case = list(case);
        near(effect::noncentral_t(case[0], case[1], case[2]), expected, 1e-8);
    }
}

#[test]
fn variance_components() {
    let o = oracle("components");
    let found = components::components(&list(&o["values"]), &whole(&o["levels"])).unwrap();
    let squares: Vec<f64> = found.iter().map(|component| component.mean_square).collect();
    let variances: Vec<f64> = found.iter().map(|component| component.variance).collect();
    all_near(&squares, &o["mean_squares"], 1e-9);
    all_near(&variances, &o["variances"], 1e-9);
}

#[test]
fn published_runs() {
    let o = oracle("runs");
    let (x, y) = (list(&o["x"]), list(&o["y"]));
    let interval = |found: runs::Interval, value: &Value, ends: &Value, tolerance: f64| {
        near(found.value, value, 1e-9);
        all_near(&[found.low, found.high], ends, tolerance);
    };
    interval(spread::chi_square(&x, 0.95).unwrap(), &o["sd"], &o["chi_square"], 1e-9);
    // Two bootstraps of as many draws: their ends differ by Monte Carlo error.
    interval(spread::bca(&x, 0.95, 100_000, 0).unwrap(), &o["sd"], &o["bca"], 1.5e-3);
    interval(ratio::of_sds(&x, &y, 0.95).unwrap(), &o["ratio"], &o["ratio_interval"], 1e-8);
    interval(correlation::pearson(&x, &y, 0.95).unwrap(), &o["pearson"], &o["pearson_interval"], 1e-9);
    interval(correlation::spearman(&x, &y, 0.95).unwrap(), &o["spearman"], &o["spearman_interval"], 1e-9);
    let member: Vec<bool> =
        o["member"].as_array().unwrap().iter().map(|member| member.as_bool().unwrap()).collect();
    near(groups::groups(&list(&o["scores"]), &member).unwrap().auc, &o["auc"], 1e-12);
    let (counts, accuracies) = (whole(&o["counts"]), list(&o["accuracies"]));
    let found = items::items(&counts, accuracies.len()).unwrap();
    near(found.disagreement, &o["disagreement"], 1e-12);
    near(found.right_in_all as f64, &o["right_in_all"], 0.0);
    near(found.right_in_none as f64, &o["right_in_none"], 0.0);
    near(net::net_variance(&accuracies, &counts).unwrap().net, &o["net"], 1e-12);
}

#[test]
fn barriers() {
    let o = oracle("barriers");
    let (alphas, losses) = (list(&o["alphas"]), list(&o["losses"]));
    let found = shape::shape(&alphas, &losses).unwrap();
    for (found, name) in [
        (found.signed, "signed"),
        (found.midpoint, "midpoint"),
        (found.dip, "dip"),
        (found.over_mean, "over_mean"),
        (found.over_max, "over_max"),
        (found.at_raw_maximum, "at_raw_maximum"),
        (found.convexity_gap.unwrap(), "convexity_gap"),
    ] {
        near(found, &o[name], 1e-12);
    }
    let (examples, n) = (list(&o["examples"]), number(&o["n_examples"]) as usize);
    let point = |i: usize| &examples[i * n..][..n];
    let top = number(&o["top"]) as usize;
    let found = refinement::standard_error(point(top), point(0), point(alphas.len() - 1), alphas[top]);
    near(found.unwrap(), &o["standard_error"], 1e-12);
}
