//! The measures of a study: the registry that tables, figures and sentences share.

use std::borrow::Cow;

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

/// What a value belongs to, and so how it is averaged and resampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// One value for each run; a cell is their mean.
    Run,
    /// One value for each run; a cell is their standard deviation.
    Spread,
    /// One value for each pair of runs; a cell is their mean.
    Pair,
    /// One value for all runs of a pretraining seed at a rung.
    Group,
}

/// One measure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Measure {
    /// Its name in tables.
    pub(crate) id: Cow<'static, str>,
    /// Its name on the page.
    pub(crate) label: Cow<'static, str>,
    pub(crate) unit: Unit,
    pub(crate) sign: Sign,
    pub(crate) level: Level,
    /// What it is, in a formula where that is clearer (HTML).
    pub(crate) meaning: &'static str,
}

const fn measure(
    id: &'static str,
    label: &'static str,
    unit: Unit,
    sign: Sign,
    level: Level,
    meaning: &'static str,
) -> Measure {
    Measure { id: Cow::Borrowed(id), label: Cow::Borrowed(label), unit, sign, level, meaning }
}

/// All measures but the effects of interventions, which have names of their own.
pub(crate) const MEASURES: &[Measure] = &[
    measure(
        "ood_path_variance",
        "OOD path variance",
        Unit::Share,
        Sign::Lower,
        Level::Pair,
        "K/(K−1) mean<sub>i</sub> q<sub>i</sub>(1−q<sub>i</sub>), where q<sub>i</sub> is the share of K fine-tuning seeds that are right on out-of-distribution example i: how much outcomes depend on the seed. Half the share of examples on which exactly one of two seeds is right. It falls as accuracy rises above one half, whatever the path does: read it beside the contrast at equal accuracy.",
    ),
    measure(
        "ood_agreement",
        "OOD agreement",
        Unit::Share,
        Sign::Higher,
        Level::Pair,
        "Share of out-of-distribution examples on which two runs predict the same label, mean over pairs of fine-tuning seeds.",
    ),
    measure(
        "ood_error_barrier",
        "OOD error barrier",
        Unit::Share,
        Sign::Lower,
        Level::Pair,
        "max<sub>α</sub> [e(α) − ((1−α) e(0) + α e(1))], never below 0, where e(α) is the out-of-distribution error of the weights (1−α) θ<sub>a</sub> + α θ<sub>b</sub>; mean over pairs.",
    ),
    measure(
        "profile_distance",
        "invariance-profile distance",
        Unit::Share,
        Sign::Lower,
        Level::Pair,
        "Root mean square, over the interventions, of the difference between the effects they have on two runs: how differently the two respond to the data-generating process.",
    ),
    measure(
        "ood_accuracy",
        "OOD accuracy",
        Unit::Share,
        Sign::Neither,
        Level::Run,
        "Accuracy where the cue and the shortcut no longer go with the rule.",
    ),
    measure(
        "ood_accuracy_sd",
        "spread of OOD accuracy",
        Unit::Share,
        Sign::Lower,
        Level::Spread,
        "Standard deviation (n − 1) of OOD accuracy over the fine-tuning seeds of one checkpoint.",
    ),
    measure(
        "id_accuracy",
        "ID accuracy",
        Unit::Share,
        Sign::Neither,
        Level::Run,
        "Accuracy on fresh examples of the training distribution.",
    ),
    measure(
        "ood_chance_corrected",
        "chance-corrected agreement",
        Unit::Share,
        Sign::Higher,
        Level::Pair,
        "(o − e) / (1 − e): o is the OOD agreement of two runs, e = p<sub>a</sub> p<sub>b</sub> + (1−p<sub>a</sub>)(1−p<sub>b</sub>)/(c−1) that of independent runs with their accuracies p on c labels. 0: the errors of the one say nothing about those of the other.",
    ),
    measure(
        "ood_shared",
        "shared OOD errors",
        Unit::Share,
        Sign::Higher,
        Level::Group,
        "Σ (o − e) / Σ (1 − e) over pairs: o is the share of out-of-distribution examples on which both are right or both wrong, e = p<sub>a</sub> p<sub>b</sub> + (1−p<sub>a</sub>)(1−p<sub>b</sub>) what their accuracies alone imply (Geirhos et al. 2020). 1: the same errors; 0: independent ones.",
    ),
    measure(
        "ood_logit_spread",
        "logit spread of OOD accuracy",
        Unit::Nats,
        Sign::Lower,
        Level::Group,
        "Standard deviation over fine-tuning seeds of ln((r + ½)/(N − r + ½)), r right answers of N: the spread of accuracy on a scale without a ceiling.",
    ),
    measure(
        "counterfactual_agreement",
        "counterfactual agreement",
        Unit::Share,
        Sign::Higher,
        Level::Pair,
        "Share of examples to whose intervention two runs respond alike (both change their predicted label, or neither does), mean over the interventions and over pairs.",
    ),
    measure(
        "ood_jensen_shannon",
        "OOD Jensen-Shannon distance",
        Unit::Share,
        Sign::Lower,
        Level::Pair,
        "Mean Jensen-Shannon distance (base 2) between the distributions that two runs predict out of distribution, 0 to 1.",
    ),
    measure(
        "id_barrier",
        "ID cross-entropy barrier",
        Unit::Nats,
        Sign::Lower,
        Level::Pair,
        "max<sub>α</sub> [L(α) − ((1−α) L(0) + α L(1))], never below 0, with the in-distribution cross-entropy L; mean over pairs.",
    ),
    measure(
        "id_convexity_gap",
        "ID convexity gap",
        Unit::Nats,
        Sign::Lower,
        Level::Pair,
        "The largest such barrier over all stretches of the line (Juneja et al. 2023); at least the barrier itself.",
    ),
    measure(
        "ood_expected_error_barrier",
        "OOD expected-error barrier",
        Unit::Share,
        Sign::Lower,
        Level::Pair,
        "The barrier of 1 − p(right label) out of distribution: like the error barrier, without the argmax.",
    ),
    measure(
        "weight_distance",
        "weight distance",
        Unit::Distance,
        Sign::Neither,
        Level::Pair,
        "Euclidean distance ‖θ<sub>a</sub> − θ<sub>b</sub>‖ between two runs. Shown as a control: it need not go with the barriers.",
    ),
    measure(
        "ood_matched_share",
        "late pairs with an equally accurate early pair",
        Unit::Share,
        Sign::Neither,
        Level::Group,
        "Share of the pairs of late runs for which the same pretraining seed has a pair of early runs whose mean OOD accuracy is within 0.02: those that the matched contrast compares.",
    ),
    measure(
        "uniform_gain_mean",
        "uniform soup, OOD gain over the mean run",
        Unit::Share,
        Sign::Higher,
        Level::Group,
        "OOD accuracy of the mean of all runs' weights, less the mean accuracy of the runs.",
    ),
    measure(
        "uniform_gain_best",
        "uniform soup, OOD gain over the best run",
        Unit::Share,
        Sign::Neither,
        Level::Group,
        "The same, less the accuracy of the run that is best on the very split (an oracle's choice).",
    ),
    measure(
        "greedy_gain_mean",
        "greedy soup, OOD gain over the mean run",
        Unit::Share,
        Sign::Neither,
        Level::Group,
        "OOD accuracy of the soup whose members are added best first while held-out accuracy allows it, less the runs' mean.",
    ),
    measure(
        "ensemble_gain_mean",
        "ensemble, OOD gain over the mean run",
        Unit::Share,
        Sign::Neither,
        Level::Group,
        "OOD accuracy of the mean of the runs' predicted probabilities, less the runs' mean: the control for a soup.",
    ),
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
            unit: Unit::Share,
            sign: Sign::Neither,
            level: Level::Run,
            meaning: "Mean total variation distance between the predictions before and after the intervention.",
        });
    }
    MEASURES.iter().find(|measure| measure.id == id).cloned()
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

    /// The values that it can take, where intervals could leave them.
    pub(crate) fn bounds(&self) -> Option<(f64, f64)> {
        match (self.unit, self.level) {
            _ if self.id == "ood_matched_share" => Some((0.0, 1.0)),
            _ if self.id == "ood_shared" => Some((f64::NEG_INFINITY, 1.0)),
            _ if self.id == "ood_logit_spread" => Some((0.0, f64::INFINITY)),
            (_, Level::Group) => None,
            _ if self.id == "ood_chance_corrected" => Some((f64::NEG_INFINITY, 1.0)),
            (Unit::Share, _) => Some((0.0, 1.0)),
            (Unit::Nats | Unit::Distance, _) => Some((0.0, f64::INFINITY)),
        }
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
        assert_eq!(find("effect.voice").unwrap().label, "effect of voice");
        assert!(find("ood_agrement").is_none());
    }

    #[test]
    fn zero_has_no_sign() {
        let measure = find("id_barrier").unwrap();
        assert_eq!(
            [-0.0004, 0.0, 0.1].map(|change| measure.show_change(change)),
            ["−0.000", "0.000", "+0.100"]
        );
        assert_eq!([shown(-0.0004, 3), shown(-0.5, 2), shown(2.0, 0)], ["0.000", "−0.50", "2"]);
    }
}
