//! The measures of a study: the registry that tables, figures and sentences share.

use std::borrow::Cow;

use measures::estimands::Figure;
use measures::estimate::Statistic;

use super::group::{Group, Rated};

/// Which way a measure goes when fine-tuning depends less on its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Larger values: less dependence.
    Higher,
    /// Smaller values: less dependence.
    Lower,
    /// No statement about path dependence.
    Neither,
}

/// The unit in which values are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A share or probability, 0 to 1.
    Share,
    /// Natural units of information.
    Nats,
    /// A distance without a unit.
    Distance,
}

/// The split that a measure is read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Split {
    /// Fresh examples of the training distribution.
    Id,
    /// The study's out-of-distribution split.
    Ood,
    /// Any: the value is the same on all.
    Any,
}

/// Where the values of a measure are read, and so how they are averaged and resampled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Read {
    /// A column of `runs`; a cell is its mean.
    Runs(Split, &'static str),
    /// A column of `runs`; a cell is its standard deviation.
    Spread(Split, &'static str),
    /// A column of `pairs`; a cell is its mean.
    Pairs(Split, &'static str),
    /// A column of `soups`, of this method; one value for all runs of a pretraining seed at a rung.
    Soups(&'static str, &'static str),
    /// All pairs of a pretraining seed at a rung at once: the value, and the number of runs behind it.
    Group(fn(&Group<'_>) -> (Option<Figure>, usize)),
    /// The column `effect` of `interventions`; a cell is its mean.
    Effects,
    /// Found where pairs are matched ([`super::matched`]).
    Matched,
}

impl Read {
    /// What makes a cell's value of the values in it.
    pub(crate) fn statistic(self) -> Statistic {
        match self {
            Self::Runs(..) | Self::Effects | Self::Soups(..) | Self::Group(_) | Self::Matched => {
                Statistic::Mean
            }
            Self::Spread(..) => Statistic::Sd,
            Self::Pairs(..) => Statistic::PairMean,
        }
    }
}

/// One measure: all that tables, figures, estimates and sentences need to know of it.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    /// Its name in tables.
    pub(crate) id: Cow<'static, str>,
    /// Its name on the page.
    pub(crate) label: Cow<'static, str>,
    pub(crate) read: Read,
    pub(crate) unit: Unit,
    pub(crate) sign: Sign,
    /// The values that it can take: intervals of a level are cut to them.
    pub(crate) range: (f64, f64),
    /// What it is, in a formula where that is clearer (HTML).
    pub(crate) meaning: &'static str,
    /// Where it comes from; empty where it is of this program's own making or common usage.
    pub(crate) source: &'static str,
}

const SHARE: (f64, f64) = (0.0, 1.0);
const NOT_NEGATIVE: (f64, f64) = (0.0, f64::INFINITY);
const UP_TO_ONE: (f64, f64) = (f64::NEG_INFINITY, 1.0);
/// Soups' gains: their range depends on the runs.
const ANY: (f64, f64) = (f64::NEG_INFINITY, f64::INFINITY);

/// All measures but the effects of interventions, which have names of their own.
pub(crate) const MEASURES: &[Measure] = &[
    Measure {
        id: Cow::Borrowed("ood_path_variance"),
        label: Cow::Borrowed("OOD path variance"),
        read: Read::Pairs(Split::Ood, "path_variance"),
        unit: Unit::Share,
        sign: Sign::Lower,
        range: SHARE,
        meaning: "K/(K−1) mean<sub>i</sub> q<sub>i</sub>(1−q<sub>i</sub>), where q<sub>i</sub> is the share of K fine-tuning seeds that are right on out-of-distribution example i: how much outcomes depend on the seed. Half the share of examples on which exactly one of two seeds is right. It falls as accuracy rises above one half, whatever the path does: read it beside the contrast at equal accuracy.",
        source: "",
    },
    Measure {
        id: Cow::Borrowed("ood_agreement"),
        label: Cow::Borrowed("OOD agreement"),
        read: Read::Pairs(Split::Ood, "agreement"),
        unit: Unit::Share,
        sign: Sign::Higher,
        range: SHARE,
        meaning: "Share of out-of-distribution examples on which two runs predict the same label, mean over pairs of fine-tuning seeds.",
        source: "",
    },
    Measure {
        id: Cow::Borrowed("ood_error_barrier"),
        label: Cow::Borrowed("OOD error barrier"),
        read: Read::Pairs(Split::Ood, "error_barrier"),
        unit: Unit::Share,
        sign: Sign::Lower,
        range: SHARE,
        meaning: "max<sub>α</sub> [e(α) − ((1−α) e(0) + α e(1))], never below 0, where e(α) is the out-of-distribution error of the weights (1−α) θ<sub>a</sub> + α θ<sub>b</sub>; mean over pairs.",
        source: "Frankle et al. 2020",
    },
    Measure {
        id: Cow::Borrowed("profile_distance"),
        label: Cow::Borrowed("invariance-profile distance"),
        read: Read::Pairs(Split::Any, "profile_distance"),
        unit: Unit::Share,
        sign: Sign::Lower,
        range: SHARE,
        meaning: "Root mean square, over the interventions, of the difference between the effects they have on two runs: how differently the two respond to the data-generating process.",
        source: "",
    },
    Measure {
        id: Cow::Borrowed("ood_accuracy"),
        label: Cow::Borrowed("OOD accuracy"),
        read: Read::Runs(Split::Ood, "accuracy"),
        unit: Unit::Share,
        sign: Sign::Neither,
        range: SHARE,
        meaning: "Accuracy where the cue and the shortcut no longer go with the rule.",
        source: "",
    },
    Measure {
        id: Cow::Borrowed("ood_accuracy_sd"),
        label: Cow::Borrowed("spread of OOD accuracy"),
        read: Read::Spread(Split::Ood, "accuracy"),
        unit: Unit::Share,
        sign: Sign::Lower,
        range: SHARE,
        meaning: "Standard deviation (n − 1) of OOD accuracy over the fine-tuning seeds of one checkpoint.",
        source: "",
    },
    Measure {
        id: Cow::Borrowed("id_accuracy"),
        label: Cow::Borrowed("ID accuracy"),
        read: Read::Runs(Split::Id, "accuracy"),
        unit: Unit::Share,
        sign: Sign::Neither,
        range: SHARE,
        meaning: "Accuracy on fresh examples of the training distribution.",
        source: "",
    },
    Measure {
        id: Cow::Borrowed("ood_chance_corrected"),
        label: Cow::Borrowed("chance-corrected agreement"),
        read: Read::Pairs(Split::Ood, "chance_corrected_agreement"),
        unit: Unit::Share,
        sign: Sign::Higher,
        range: UP_TO_ONE,
        meaning: "(o − e) / (1 − e): o is the OOD agreement of two runs, e = p<sub>a</sub> p<sub>b</sub> + (1−p<sub>a</sub>)(1−p<sub>b</sub>)/(c−1) that of independent runs with their accuracies p on c labels. 0: the errors of the one say nothing about those of the other.",
        source: "Cohen 1960",
    },
    Measure {
        id: Cow::Borrowed("ood_shared"),
        label: Cow::Borrowed("shared OOD errors"),
        read: Read::Group(|group| (group.ratio(Rated::shared), group.runs.len())),
        unit: Unit::Share,
        sign: Sign::Higher,
        range: UP_TO_ONE,
        meaning: "Σ (o − e) / Σ (1 − e) over pairs: o is the share of out-of-distribution examples on which both are right or both wrong, e = p<sub>a</sub> p<sub>b</sub> + (1−p<sub>a</sub>)(1−p<sub>b</sub>) what their accuracies alone imply (Geirhos et al. 2020). 1: the same errors; 0: independent ones.",
        source: "Geirhos et al. 2020",
    },
    Measure {
        id: Cow::Borrowed("ood_logit_spread"),
        label: Cow::Borrowed("logit spread of OOD accuracy"),
        read: Read::Group(|group| (group.logit_spread(), group.n_evaluated())),
        unit: Unit::Nats,
        sign: Sign::Lower,
        range: NOT_NEGATIVE,
        meaning: "Standard deviation over fine-tuning seeds of ln((r + ½)/(N − r + ½)), r right answers of N: the spread of accuracy on a scale without a ceiling.",
        source: "",
    },
    Measure {
        id: Cow::Borrowed("counterfactual_agreement"),
        label: Cow::Borrowed("counterfactual agreement"),
        read: Read::Pairs(Split::Any, "counterfactual_agreement"),
        unit: Unit::Share,
        sign: Sign::Higher,
        range: SHARE,
        meaning: "Share of examples to whose intervention two runs respond alike (both change their predicted label, or neither does), mean over the interventions and over pairs.",
        source: "",
    },
    Measure {
        id: Cow::Borrowed("ood_jensen_shannon"),
        label: Cow::Borrowed("OOD Jensen-Shannon distance"),
        read: Read::Pairs(Split::Ood, "jensen_shannon"),
        unit: Unit::Share,
        sign: Sign::Lower,
        range: SHARE,
        meaning: "Mean Jensen-Shannon distance (base 2) between the distributions that two runs predict out of distribution, 0 to 1.",
        source: "Lin 1991",
    },
    Measure {
        id: Cow::Borrowed("id_barrier"),
        label: Cow::Borrowed("ID cross-entropy barrier"),
        read: Read::Pairs(Split::Id, "barrier"),
        unit: Unit::Nats,
        sign: Sign::Lower,
        range: NOT_NEGATIVE,
        meaning: "max<sub>α</sub> [L(α) − ((1−α) L(0) + α L(1))], never below 0, with the in-distribution cross-entropy L; mean over pairs.",
        source: "Frankle et al. 2020",
    },
    Measure {
        id: Cow::Borrowed("id_convexity_gap"),
        label: Cow::Borrowed("ID convexity gap"),
        read: Read::Pairs(Split::Id, "convexity_gap"),
        unit: Unit::Nats,
        sign: Sign::Lower,
        range: NOT_NEGATIVE,
        meaning: "The largest such barrier over all stretches of the line (Juneja et al. 2023); at least the barrier itself.",
        source: "Juneja et al. 2023",
    },
    Measure {
        id: Cow::Borrowed("ood_expected_error_barrier"),
        label: Cow::Borrowed("OOD expected-error barrier"),
        read: Read::Pairs(Split::Ood, "expected_error_barrier"),
        unit: Unit::Share,
        sign: Sign::Lower,
        range: SHARE,
        meaning: "The barrier of 1 − p(right label) out of distribution: like the error barrier, without the argmax.",
        source: "Frankle et al. 2020",
    },
    Measure {
        id: Cow::Borrowed("weight_distance"),
        label: Cow::Borrowed("weight distance"),
        read: Read::Pairs(Split::Any, "weight_distance"),
        unit: Unit::Distance,
        sign: Sign::Neither,
        range: NOT_NEGATIVE,
        meaning: "Euclidean distance ‖θ<sub>a</sub> − θ<sub>b</sub>‖ between two runs. Shown as a control: it need not go with the barriers.",
        source: "",
    },
    Measure {
        id: Cow::Borrowed("ood_matched_share"),
        label: Cow::Borrowed("late pairs with an equally accurate early pair"),
        read: Read::Matched,
        unit: Unit::Share,
        sign: Sign::Neither,
        range: SHARE,
        meaning: "Share of the pairs of late runs for which the same pretraining seed has a pair of early runs whose mean OOD accuracy is within 0.02: those that the matched contrast compares.",
        source: "",
    },
    Measure {
        id: Cow::Borrowed("uniform_gain_mean"),
        label: Cow::Borrowed("uniform soup, OOD gain over the mean run"),
        read: Read::Soups("uniform", "gain_over_mean"),
        unit: Unit::Share,
        sign: Sign::Higher,
        range: ANY,
        meaning: "OOD accuracy of the mean of all runs' weights, less the mean accuracy of the runs.",
        source: "Wortsman et al. 2022",
    },
    Measure {
        id: Cow::Borrowed("uniform_gain_best"),
        label: Cow::Borrowed("uniform soup, OOD gain over the best run"),
        read: Read::Soups("uniform", "gain_over_best"),
        unit: Unit::Share,
        sign: Sign::Neither,
        range: ANY,
        meaning: "The same, less the accuracy of the run that is best on the very split (an oracle's choice).",
        source: "Wortsman et al. 2022",
    },
    Measure {
        id: Cow::Borrowed("greedy_gain_mean"),
        label: Cow::Borrowed("greedy soup, OOD gain over the mean run"),
        read: Read::Soups("greedy", "gain_over_mean"),
        unit: Unit::Share,
        sign: Sign::Neither,
        range: ANY,
        meaning: "OOD accuracy of the soup whose members are added best first while held-out accuracy allows it, less the runs' mean.",
        source: "Wortsman et al. 2022",
    },
    Measure {
        id: Cow::Borrowed("ensemble_gain_mean"),
        label: Cow::Borrowed("ensemble, OOD gain over the mean run"),
        read: Read::Soups("probability ensemble", "gain_over_mean"),
        unit: Unit::Share,
        sign: Sign::Neither,
        range: ANY,
        meaning: "OOD accuracy of the mean of the runs' predicted probabilities, less the runs' mean: the control for a soup.",
        source: "Lakshminarayanan et al. 2017",
    },
];

/// Measures whose contrast answers the question, one each for function, geometry and mechanism; fixed beforehand.
pub(crate) const PRIMARY: [&str; 3] = ["ood_path_variance", "ood_error_barrier", "profile_distance"];

/// What the name of the effect of an intervention starts with.
pub(crate) const EFFECT: &str = "effect.";

/// The measure of this name, if there is one.
pub(crate) fn find(id: &str) -> Option<Measure> {
    if let Some(intervention) = id.strip_prefix(EFFECT) {
        return Some(Measure {
            id: Cow::Owned(id.to_owned()),
            label: Cow::Owned(format!("effect of {intervention}")),
            read: Read::Effects,
            unit: Unit::Share,
            sign: Sign::Neither,
            range: SHARE,
            meaning: "Mean total variation distance between the predictions before and after the intervention.",
            source: "",
        });
    }
    MEASURES.iter().find(|measure| measure.id == id).cloned()
}

/// The measure of a name that this program itself uses.
///
/// # Panics
/// If there is none: a name that is misspelt somewhere must not become a figure or a sentence that is silently missing.
pub(crate) fn named(id: &str) -> Measure {
    find(id).unwrap_or_else(|| panic!("no measure is called `{id}`"))
}

/// Whether there is a measure of this name.
pub(crate) fn is_known(id: &str) -> bool {
    id.starts_with(EFFECT) || MEASURES.iter().any(|measure| measure.id == id)
}

/// Place of a measure in tables: the registry's order, then the interventions by name.
pub(crate) fn rank(id: &str) -> (usize, &str) {
    (MEASURES.iter().position(|measure| measure.id == id).unwrap_or(MEASURES.len()), id)
}

impl Measure {
    /// A value as it is shown.
    pub(crate) fn show(&self, value: f64) -> String {
        match self.unit {
            Unit::Share | Unit::Nats => shown(value, 3),
            Unit::Distance => shown(value, 2),
        }
    }

    /// A difference as it is shown, with its sign even where it rounds to 0: the end of an interval tells by it on which
    /// side of 0 it lies.
    pub(crate) fn show_change(&self, value: f64) -> String {
        let sign = match value {
            value if value > 0.0 => "+",
            value if value < 0.0 => "−",
            _ => "",
        };
        format!("{sign}{}", self.show(value.abs()))
    }

    /// +1 if larger values mean less dependence on the path, -1 if more, 0 if neither.
    pub(crate) fn toward_one_basin(&self) -> f64 {
        match self.sign {
            Sign::Higher => 1.0,
            Sign::Lower => -1.0,
            Sign::Neither => 0.0,
        }
    }
}

/// A number with fixed decimals, a true minus sign, and no negative zero.
pub(crate) fn shown(value: f64, decimals: usize) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let zero = text.bytes().all(|byte| matches!(byte, b'0' | b'.'));
    if value < 0.0 && !zero { format!("−{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_the_primary_ones_exist_and_take_sides() {
        for (i, measure) in MEASURES.iter().enumerate() {
            assert!(MEASURES[i + 1..].iter().all(|other| other.id != measure.id), "{}", measure.id);
        }
        for id in PRIMARY {
            assert!(find(id).is_some_and(|measure| measure.sign != Sign::Neither), "{id}");
        }
        assert_eq!(named("effect.voice").label, "effect of voice");
        assert!(find("ood_agrement").is_none());
    }

    #[test]
    fn zero_has_no_sign() {
        let measure = named("id_barrier");
        assert_eq!(
            [-0.0004, 0.0, 0.1].map(|change| measure.show_change(change)),
            ["−0.000", "0.000", "+0.100"]
        );
        assert_eq!([shown(-0.0004, 3), shown(-0.5, 2), shown(2.0, 0)], ["0.000", "−0.50", "2"]);
    }
}
