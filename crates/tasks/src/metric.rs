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
}

impl Metric {
    /// Its name in a specification and in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::Mcc => "mcc",
            Self::F1 => "f1",
            Self::MacroF1 => "macro-f1",
        }
    }

    /// The metric of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::Accuracy, Self::Mcc, Self::F1, Self::MacroF1].into_iter().find(|metric| metric.name() == name)
    }

    /// Checks that it is a metric for `classes` labels.
    ///
    /// # Errors
    /// In words, if it is F1 and there are not two.
    pub fn check(self, classes: usize) -> Result<(), String> {
        match (self, classes) {
            (Self::F1, 2) => Ok(()),
            (Self::F1, _) => {
                Err(format!("`f1` is of the second of two labels, but there are {classes}; `macro-f1`?"))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_and_stand_in_files() {
        for metric in [Metric::Accuracy, Metric::Mcc, Metric::F1, Metric::MacroF1] {
            assert_eq!(Metric::named(metric.name()), Some(metric));
            assert_eq!(serde_json::to_string(&metric).unwrap(), format!("\"{}\"", metric.name()));
        }
        assert_eq!(Metric::named("loss"), None);
    }

    #[test]
    fn f1_is_of_two_labels() {
        assert!(Metric::F1.check(3).unwrap_err().contains("but there are 3; `macro-f1`?"));
        assert!(Metric::F1.check(2).is_ok() && Metric::MacroF1.check(3).is_ok());
    }
}
