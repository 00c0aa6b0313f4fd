//! What is said of runs of which scores are known and nothing else: how widely they scatter, and no word about agreement.

use measures::verdict::{Failed, Verdict};

use super::answer::Answer;
use super::{capitalised, counted};
use crate::rows::Spread;
use crate::study::{DEFAULT_ARM, Study, steps_text};
use crate::summarise::measure::{self, shown};

/// The answer of a study without pairs; `None` where there are pairs, or too few runs to scatter.
pub(crate) fn answer(study: &Study) -> Option<Answer> {
    let scores_alone = study.pairs.is_empty()
        && matches!(study.reading.verdict, Verdict::Unmeasured { failed: Failed::NoContrast });
    if !scores_alone {
        return None;
    }
    let rows: Vec<&Spread> = study.spreads.iter().filter(|row| row.arm == DEFAULT_ARM).collect();
    let main = main_score(study, &rows)?;
    let same = |row: &&Spread| (&row.split, &row.case) == (&main.split, &main.case);
    let (headline, mut sentences) = match rows.iter().filter(|row| same(row)).count() {
        1 => (of_one(study, main), one_checkpoint(study, main, &rows)),
        n => of_several(study, main, n),
    };
    sentences.extend(items(&rows));
    sentences.push(unknown(study));
    Some(Answer { headline, sentences })
}

/// The score that the answer is about: out of distribution where there is one.
fn main_score<'a>(study: &Study, rows: &[&'a Spread]) -> Option<&'a Spread> {
    let whole = |split: &str| rows.iter().copied().find(|row| row.split == split && row.case.is_empty());
    let known = study.ood().and_then(whole).or_else(|| whole("id"));
    known.or_else(|| rows.iter().copied().find(|row| row.case.is_empty())).or_else(|| rows.first().copied())
}

/// "OOD accuracy", "accuracy on `id`", "accuracy on `ood: passive`".
fn name(study: &Study, row: &Spread) -> String {
    match row.case.as_str() {
        "" if study.ood() == Some(&row.split) => "OOD accuracy".into(),
        "" => format!("accuracy on {}", row.split),
        case => format!("accuracy on {}: {case}", row.split),
    }
}

fn of_one(study: &Study, main: &Spread) -> String {
    format!(
        "Across {} of one checkpoint, {} ranges from {} to {}.",
        counted(main.runs as usize, "fine-tuning run"),
        name(study, main),
        shown(main.minimum, 3),
        shown(main.maximum, 3)
    )
}

fn one_checkpoint(study: &Study, main: &Spread, rows: &[&Spread]) -> Vec<String> {
    let mut sentences = vec![format!("Its standard deviation over runs is {}.", sd_text(main))];
    let reference = |split: &str| {
        let is_it = |row: &&&Spread| row.split == split && row.case.is_empty() && main.split != split;
        rows.iter().find(is_it).copied()
    };
    if let Some(other) = reference("id").or_else(|| reference("val")) {
        sentences.extend(beside(study, main, other));
    }
    let widest = rows.iter().filter(|row| !row.case.is_empty()).max_by(|a, b| a.sd.total_cmp(&b.sd));
    if let Some(widest) = widest.filter(|row| row.sd > main.sd) {
        sentences.push(format!(
            "The widest case is {} ({}), from {} to {}, with standard deviation {}.",
            widest.case,
            widest.split,
            shown(widest.minimum, 3),
            shown(widest.maximum, 3),
            sd_text(widest)
        ));
    }
    sentences
}

/// The spread and the correlation against another score of the same runs.
fn beside(study: &Study, main: &Spread, other: &Spread) -> Option<String> {
    let together = study.together((&other.split, &other.case), main)?;
    let [ratio, ratio_low, ratio_high] = together.sd_ratio?;
    let [r, low, high] = together.pearson?;
    let told = match (low > 0.0, high < 0.0) {
        (true, _) => "runs that are better there are better here",
        (_, true) => "runs that are better there are worse here",
        _ => "whether runs that are better there are better here is inconclusive",
    };
    Some(format!(
        "On {} the standard deviation is {}: the ratio of the two is {} [{}, {}]. The two accuracies correlate with r = {} \
         [{}, {}]: {told}.",
        other.split,
        sd_text(other),
        shown(ratio, 2),
        shown(ratio_low, 2),
        shown(ratio_high, 2),
        shown(r, 2),
        shown(low, 2),
        shown(high, 2)
    ))
}

/// `0.0124 [0.0109, 0.0144]`.
fn sd_text(row: &Spread) -> String {
    format!("{} [{}, {}]", shown(row.sd, 4), shown(row.sd_lower, 4), shown(row.sd_upper, 4))
}

fn of_several(study: &Study, main: &Spread, checkpoints: usize) -> (String, Vec<String>) {
    let runs = study.count_runs(|run| run.arm == DEFAULT_ARM);
    let headline = match study.reading.evidence.logit_spread {
        Some(contrast) if contrast.falls(study.reading.plan.alpha) => {
            "Late runs scatter less in OOD accuracy; whether they agree more is not known from scores.".into()
        }
        Some(contrast) if contrast.rises(study.reading.plan.alpha) => {
            "Late runs scatter more in OOD accuracy; whether they agree less is not known from scores.".into()
        }
        Some(_) => "Inconclusive: scores do not show whether late runs scatter less than early ones.".into(),
        None => format!(
            "{} of {checkpoints} checkpoints, of which scores alone are known.",
            capitalised(&counted(runs, "fine-tuning run"))
        ),
    };
    let changes = ["ood_accuracy_sd", "ood_logit_spread"].into_iter().filter_map(|id| {
        let measure = measure::find(id)?;
        let change = study.estimate(DEFAULT_ARM, "late - early", None, id)?;
        Some(format!("{} {}", measure.label, super::change_text(&measure, change)))
    });
    let changes: Vec<String> = changes.collect();
    let mut sentences = Vec::new();
    if !changes.is_empty() {
        sentences.push(format!(
            "Late less early (at most {} steps against at least {}): {}.",
            steps_text(study.early_until),
            steps_text(study.late_from),
            changes.join("; ")
        ));
    }
    sentences
        .push(format!("The table of spreads has {} of each checkpoint with an interval.", name(study, main)));
    (headline, sentences)
}

/// What counts of right runs per example say of agreement.
fn items(rows: &[&Spread]) -> Option<String> {
    let row = rows.iter().find(|row| row.items.is_some())?;
    let (items, all, none) = (row.items?, row.right_in_all?, row.right_in_none?);
    Some(format!(
        "Of {} examples of {}, every run is right on {} and none on {}. Two runs differ in being right on {} % of them (path \
         variance {}); error consistency is {}.",
        steps_text(items),
        row.split,
        steps_text(all),
        steps_text(none),
        shown(100.0 * row.disagreement?, 1),
        shown(row.disagreement? / 2.0, 4),
        row.shared.map_or("not defined".into(), |shared| shown(shared, 2)),
    ))
}

/// What scores do not tell.
fn unknown(study: &Study) -> String {
    let elsewhere = match study.spreads.iter().any(|row| row.items.is_some()) {
        true => "two runs make the same mistakes on other splits",
        false => "two runs make the same mistakes",
    };
    let convergence = match study.steps(DEFAULT_ARM).len() {
        1 => ", and runs of one checkpoint say nothing about pretraining",
        _ => "",
    };
    format!(
        "Only accuracies are known of these runs. Whether {elsewhere}, lie in one basin or respond alike to an \
         intervention is not known{convergence}."
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::ItemCount;
    use crate::study::Plan;
    use crate::synthetic::{Course, Size, study};

    /// Sixteen runs of one checkpoint with two scores each.
    fn published(rungs: &[u64]) -> crate::Observed {
        let template = study(Course::Flat, Size::FULL).observed.runs.remove(0);
        let mut observed = crate::Observed::default();
        for &step in rungs {
            for run in 0..16_u64 {
                let wave = [-1.0, 0.5, 1.0, -0.5][run as usize % 4] * (1.0 + run as f64 / 30.0);
                for (split, accuracy) in [("id", 0.84 + 0.002 * wave), ("ood", 0.6 + 0.02 * wave.powi(2))] {
                    observed.runs.push(crate::rows::RunScore {
                        run: format!("{step} {run}"),
                        finetuning_seed: run,
                        step,
                        pretraining_seed: 0,
                        held_out_loss: None,
                        split: split.into(),
                        case: String::new(),
                        accuracy,
                        ..template.clone()
                    });
                }
            }
        }
        observed
    }

    fn answer_of(observed: crate::Observed) -> Answer {
        let plan = Plan {
            title: "t".into(),
            early_until: None,
            late_from: None,
            interval: measures::estimate::Interval::SeedT,
            margin: 0.01,
        };
        Study::new(observed, plan, std::collections::BTreeMap::new()).unwrap().0.answer()
    }

    #[test]
    fn one_checkpoint_has_spreads_and_no_word_of_agreement() {
        let found = answer_of(published(&[7]));
        assert!(
            found.headline.starts_with("Across 16 fine-tuning runs of one checkpoint, OOD accuracy ranges")
        );
        let all = found.sentences.join(" ");
        assert!(all.contains("the ratio of the two is") && all.contains("correlate with r ="), "{all}");
        assert!(!all.contains("agree") && all.contains("say nothing about pretraining"), "{all}");
    }

    #[test]
    fn several_rungs_are_compared_by_their_spread_alone() {
        let found = answer_of(published(&[0, 100, 1_000, 2_000]));
        assert!(found.headline.starts_with("Inconclusive: scores do not show"), "{}", found.headline);
        assert!(found.sentences[0].contains("logit spread of OOD accuracy"), "{found:?}");
    }

    #[test]
    fn counts_by_example_are_told() {
        let mut observed = published(&[7]);
        let item = |example: u64| ItemCount {
            arm: "default".into(),
            pretraining_seed: 0,
            step: 7,
            split: "id".into(),
            example: example.to_string(),
            right: 16 - 4 * (example % 2),
            runs: 16,
        };
        observed.items = (0..100).map(item).collect();
        let all = answer_of(observed).sentences.join(" ");
        assert!(all.contains("Of 100 examples of id, every run is right on 50 and none on 0"), "{all}");
    }
}
