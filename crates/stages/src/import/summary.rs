//! The rows of a list that summarise its runs: each is computed anew, and a list that contradicts itself is refused.

use super::list::{Columns, List};
use crate::stage::Failure;

/// What a row says of all runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Statistic {
    Minimum,
    Maximum,
    Mean,
    /// With divisor n - 1 or n.
    Sd,
}

impl Statistic {
    /// The statistic of this name, in any case.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name.trim().to_lowercase().as_str() {
            "minimum" | "min" => Some(Self::Minimum),
            "maximum" | "max" => Some(Self::Maximum),
            "mean" | "average" | "avg" => Some(Self::Mean),
            "standard deviation" | "std" | "sd" | "stdev" | "std. dev." => Some(Self::Sd),
            _ => None,
        }
    }

    /// Its values of these numbers: either is right.
    fn of(self, values: &[f64]) -> Vec<f64> {
        let n = values.len() as f64;
        let mean = values.iter().sum::<f64>() / n;
        match self {
            Self::Minimum => vec![values.iter().copied().fold(f64::INFINITY, f64::min)],
            Self::Maximum => vec![values.iter().copied().fold(f64::NEG_INFINITY, f64::max)],
            Self::Mean => vec![mean],
            Self::Sd => {
                let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
                [n - 1.0, n]
                    .into_iter()
                    .filter(|divisor| *divisor > 0.0)
                    .map(|divisor| (squares / divisor).sqrt())
                    .collect()
            }
        }
    }
}

/// Number of summary cells, all of which agree with the runs to one unit of their last digit.
pub(super) fn check(columns: &Columns, list: &List) -> Result<usize, Failure> {
    let mut checked = 0;
    for (statistic, row) in &list.summaries {
        for (place, score) in columns.scores.iter().enumerate() {
            let values: Vec<f64> = list.runs.iter().map(|run| run.scores[place].value).collect();
            let stated = row.scores[place];
            let found = statistic.of(&values);
            let agrees = |found: &&f64| (**found - stated.value).abs() <= stated.unit.max(1e-12) * 1.001;
            if found.iter().find(agrees).is_none() {
                let all: Vec<String> = found.iter().map(f64::to_string).collect();
                return Err(Failure::Input(format!(
                    "{}, line {}: `{}` of `{}` is {}, but its {} runs give {}",
                    list.file,
                    row.line,
                    row.name,
                    score.column,
                    stated.value,
                    values.len(),
                    all.join(" or ")
                )));
            }
            checked += 1;
        }
    }
    Ok(checked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn by_hand() {
        assert_eq!(Statistic::named(" Standard deviation"), Some(Statistic::Sd));
        assert_eq!(Statistic::named("Run 1"), None);
        assert_eq!(Statistic::Mean.of(&[1.0, 3.0]), [2.0]);
        assert_eq!(Statistic::Sd.of(&[1.0, 3.0]), [2.0_f64.sqrt(), 1.0]);
        assert_eq!(
            (Statistic::Minimum.of(&[1.0, 3.0]), Statistic::Maximum.of(&[1.0, 3.0])),
            (vec![1.0], vec![3.0])
        );
    }
}
