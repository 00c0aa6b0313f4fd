//! What a task is scored by.

use serde::{Deserialize, Serialize};

/// The number that the field reports for a task.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Metric {
    /// Share of right predictions, 0 to 1.
    #[default]
    Accuracy,
    /// Matthews correlation coefficient, -1 to 1: CoLA's.
    Mcc,
    /// F1 of the second of two labels, 0 to 1: that of MRPC and QQP in GLUE.
    F1,
    /// F1, averaged over the labels that occur, 0 to 1.
    MacroF1,
    /// Pearson correlation of ratings, -1 to 1: STS-B's. The labels are numbers, a model's rating is their expectation
    /// under its probabilities (Tai, Socher and Manning 2015, section 4.2).
    Pearson,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Accuracy, Self::Mcc, Self::F1, Self::MacroF1, Self::Pearson];

    /// Its name in a specification and in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Mcc => "mcc",
            Self::F1 => "f1",
            Self::MacroF1 => "macro-f1",
            Self::Pearson => "pearson",
        }
    }

    /// The metric of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// Checks that it is a metric for these labels.
    ///
    /// # Errors
    /// In words, if it is F1 and there are not two labels, or Pearson and they are no numbers.
    pub fn check(self, labels: &[String]) -> Result<(), String> {
        match self {
            Self::F1 if labels.len() != 2 => Err(format!(
                "`f1` is of the second of two labels, but there are {}; `macro-f1`?",
                labels.len()
            )),
            Self::Pearson => ratings(labels).map(drop),
            _ => Ok(()),
        }
    }
}

/// The numbers that the labels of ratings are.
///
/// # Errors
/// In words, for the first label that is no finite number.
pub fn ratings(labels: &[String]) -> Result<Vec<f64>, String> {
    let number = |label: &String| label.parse().ok().filter(|number: &f64| number.is_finite());
    let wrong = |label: &String| format!("`pearson` is of labels that are numbers, and `{label}` is none");
    labels.iter().map(|label| number(label).ok_or_else(|| wrong(label))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_stand_in_files() {
        for metric in Metric::ALL {
            assert_eq!(Metric::named(metric.name()), Some(metric));
            assert_eq!(serde_json::to_string(&metric).unwrap(), format!("\"{}\"", metric.name()));
        }
        assert_eq!(Metric::named("loss"), None);
    }

    #[test]
    fn labels_must_suit() {
        let labels = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let (two, three) = (labels(&["no", "yes"]), labels(&["0", "2.5", "-1"]));
        assert!(Metric::F1.check(&three).unwrap_err().contains("but there are 3; `macro-f1`?"));
        assert!(Metric::F1.check(&two).is_ok() && Metric::MacroF1.check(&three).is_ok());
        assert!(Metric::Pearson.check(&two).unwrap_err().ends_with("numbers, and `no` is none"));
        assert!(Metric::Pearson.check(&labels(&["0", "inf"])).is_err());
        assert_eq!(ratings(&three), Ok(vec![0.0, 2.5, -1.0]));
    }
}
