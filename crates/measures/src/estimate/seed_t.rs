//! Student's t over pretraining seeds.
//!
//! With the figures `D(1..P)` of the pretraining seeds, `value = mean D` and
//!
//! ```text
//! half width = max( t(P-1) sd(D)/sqrt(P),  t(df_w) se_w )
//! ```
//!
//! The first is exact for independent normal `D`: their sample variance estimates the variance between
//! pretraining seeds plus that which fine-tuning leaves in each, in one. The second is what the fine-tuning
//! seeds alone leave open: `se_w` is the jackknife over fine-tuning seeds (Tukey 1958; for pairs Arvesen
//! 1969), summed over pretraining seeds, with `df_w = sum (K - 1)`. The true variance cannot be less, while
//! three `D` that lie close together by luck suggest so. The maximum makes the interval at least as wide as
//! the exact one, never narrower.
//!
//! With one pretraining seed only the second is left: an interval for *that* pretraining run, which says
//! nothing of others. A standard deviation at one rung then has the exact interval of the normal,
//! `s sqrt((K-1)/chi2)`.

use super::ladder::{Row, Sample};
use super::{Estimate, Method, Statistic, mean};
use crate::contrasts::WidthFrom;
use crate::{Error, quantiles};

pub(super) fn estimate(sample: &Sample<'_>, level: f64) -> Result<Estimate, Error> {
    let p = sample.n_pretraining();
    let rows = sample.rows();
    let origins: Vec<usize> = (0..p).collect();
    let figures = sample.figures(&origins, &rows);
    let value = mean(&figures);
    let found = |lower, upper, standard_error, t, method| Estimate {
        value,
        lower,
        upper,
        level,
        standard_error,
        t,
        n_pretraining: p,
        n_finetuning: sample.n_finetuning(),
        method,
    };
    let tail = f64::midpoint(1.0, level);
    if p == 1 && sample.n_rungs() == 1 && matches!(sample.statistic, Statistic::Sd) && value == rows[0][0] {
        let df = (sample.n_finetuning() - 1) as f64;
        let end = |p: f64| value * (df / quantiles::chi_squared(p, df)).sqrt();
        // The sd of an sd of normal values, for comparison only: the interval is not built on it.
        return Ok(found(end(tail), end(1.0 - tail), value / (2.0 * df).sqrt(), None, Method::ChiSquare));
    }
    let half_width = |se: f64, df: f64, from| (quantiles::student(tail, df) * se, se, (df, from));
    let within = within(sample, &rows).map(|(se, df)| half_width(se, df, WidthFrom::Within));
    if p == 1 {
        let needed = if sample.statistic.is_of_pairs() { 3 } else { 2 };
        let too_few = Error::TooFew { what: "fine-tuning seeds", found: sample.n_finetuning(), needed };
        let (half, se, t) = within.ok_or(too_few)?;
        return Ok(found(value - half, value + half, se, Some(t), Method::WithinT));
    }
    let squares: f64 = figures.iter().map(|figure| (figure - value).powi(2)).sum();
    let se = (squares / (p - 1) as f64 / p as f64).sqrt();
    let between = half_width(se, (p - 1) as f64, WidthFrom::Between);
    let (half, se, t) = within.filter(|within| within.0 > between.0).unwrap_or(between);
    Ok(found(value - half, value + half, se, Some(t), Method::SeedT))
}

/// Standard error of the figure over fine-tuning seeds by the jackknife,
/// `sqrt(sum_p (K-1)/K sum_k (D_(k) - mean)^2)`, and its degrees of freedom; `None` if some figure is
/// undefined without a seed.
pub(super) fn within(sample: &Sample<'_>, rows: &[Row]) -> Option<(f64, f64)> {
    let (mut variance, mut df) = (0.0, 0.0);
    for group in left_out(sample, rows) {
        let figures = group?;
        let k = figures.len() as f64;
        let centre = mean(&figures);
        variance += (k - 1.0) / k * figures.iter().map(|figure| (figure - centre).powi(2)).sum::<f64>();
        df += k - 1.0;
    }
    (df > 0.0 && variance.is_finite()).then(|| (variance.sqrt(), df))
}

/// The figure without each fine-tuning seed, by group of seeds that are drawn together.
pub(super) fn left_out(sample: &Sample<'_>, rows: &[Row]) -> Vec<Option<Vec<f64>>> {
    let origins: Vec<usize> = (0..rows.len()).collect();
    let mut groups = Vec::new();
    for family in 0..rows.len() {
        for group in sample.left_out_rows(family) {
            let figure = |row: Row| {
                let mut rows = rows.to_vec();
                rows[family] = row;
                mean(&sample.figures(&origins, &rows))
            };
            groups.push(group.map(|group| group.into_iter().map(figure).collect()));
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::WidthFrom;
    use crate::estimate::{Cell, Estimate, Ladder, Method, Options, Statistic, at, contrast};

    fn ladder(cells: &[(u64, u64, &[f64])]) -> Ladder {
        let cell = |&(pretraining, rung, values): &(u64, u64, &[f64])| Cell {
            pretraining,
            rung,
            runs: values.iter().enumerate().map(|(seed, &value)| (seed as u64, value)).collect(),
            pairs: Vec::new(),
        };
        Ladder::new(&cells.iter().map(cell).collect::<Vec<_>>()).unwrap()
    }

    fn check(found: Estimate, value: f64, half: f64, method: Method) {
        assert!((found.value - value).abs() < 1e-9, "{found:?}");
        assert!(((found.upper - found.lower) / 2.0 - half).abs() < 1e-5 * (1.0 + half), "{found:?}: {half}");
        assert_eq!(found.method, method);
    }

    #[test]
    fn by_hand() {
        // Cell means 1, 2, 6: sd sqrt(7), t(2) = 4.30265.
        let three = ladder(&[(0, 0, &[0.9, 1.1]), (1, 0, &[2.0, 2.0]), (2, 0, &[5.9, 6.1])]);
        let found = at(&three, Statistic::Mean, 0, &Options::default()).unwrap();
        check(found, 3.0, 4.302_652_7 * (7.0_f64 / 3.0).sqrt(), Method::SeedT);
        assert_eq!(found.t, Some((2.0, WidthFrom::Between)));
        // t = 3 / sqrt(7/3) = 1.964 with two degrees of freedom.
        assert!((found.p().unwrap() - 0.188_5).abs() < 1e-3, "{:?}", found.p());
        assert_eq!((found.n_pretraining, found.n_finetuning), (3, 2));
        // One pretraining seed: the jackknife of a mean is its textbook standard error.
        let one = ladder(&[(0, 0, &[1.0, 2.0, 3.0, 4.0])]);
        let found = at(&one, Statistic::Mean, 0, &Options::default()).unwrap();
        check(found, 2.5, 3.182_446 * (5.0_f64 / 3.0 / 4.0).sqrt(), Method::WithinT);
    }

    /// Ten values of sd 1: the 95 % interval of the sd is 0.688 to 1.826.
    #[test]
    fn one_sd_is_exact() {
        let values: Vec<f64> = (0..10).map(|i| f64::from(i) / (55.0_f64 / 6.0).sqrt()).collect();
        let found = at(&ladder(&[(0, 0, &values)]), Statistic::Sd, 0, &Options::default()).unwrap();
        assert!((found.value - 1.0).abs() < 1e-12 && found.method == Method::ChiSquare);
        assert!((found.lower - 0.688).abs() < 1e-3 && (found.upper - 1.826).abs() < 1e-3, "{found:?}");
    }

    #[test]
    fn luck_does_not_narrow_it() {
        // Equal cell means, wide cells: the fine-tuning seeds alone leave the mean open.
        let lucky =
            ladder(&[(0, 0, &[-3.0, 3.0, 0.0]), (1, 0, &[2.0, -2.0, 0.0]), (2, 0, &[1.0, -1.0, 0.0])]);
        let found = at(&lucky, Statistic::Mean, 0, &Options::default()).unwrap();
        let se = ((9.0_f64 / 3.0 + 4.0 / 3.0 + 1.0 / 3.0) / 9.0).sqrt();
        check(found, 0.0, 2.446_912 * se, Method::SeedT);
        assert_eq!((found.t, found.p()), (Some((6.0, WidthFrom::Within)), Some(1.0)));
    }

    #[test]
    fn shared_seeds_and_shared_pretraining_cancel() {
        // Seed and pretraining effects are large and the same at both rungs; the contrast is exactly 1.
        let runs =
            |p: f64, rung: f64| -> Vec<f64> { [0.0, 5.0, -9.0].iter().map(|s| p + s + rung).collect() };
        let data: Vec<(u64, u64, Vec<f64>)> = (0..4_u32)
            .flat_map(|p| {
                [
                    (u64::from(p), 0, runs(f64::from(p) * 7.0, 0.0)),
                    (u64::from(p), 9, runs(f64::from(p) * 7.0, 1.0)),
                ]
            })
            .collect();
        let cells: Vec<(u64, u64, &[f64])> = data.iter().map(|(p, r, v)| (*p, *r, v.as_slice())).collect();
        let found = contrast(&ladder(&cells), Statistic::Mean, &[9], &[0], &Options::default()).unwrap();
        check(found, 1.0, 0.0, Method::SeedT);
    }

    #[test]
    fn nothing_to_rest_on() {
        let single = ladder(&[(0, 0, &[1.0])]);
        let message = at(&single, Statistic::Mean, 0, &Options::default()).unwrap_err().to_string();
        assert_eq!(message, "1 fine-tuning seeds, at least 2 needed");
        // One run for each of several pretraining seeds is a plain t interval.
        let several = ladder(&[(0, 0, &[1.0]), (1, 0, &[3.0])]);
        check(at(&several, Statistic::Mean, 0, &Options::default()).unwrap(), 2.0, 12.706_205, Method::SeedT);
    }
}
