//! What a finished study says of the size of the next one.

use measures::estimate::{Options, of_course};

use crate::Error;
use crate::observed::Observed;
use crate::study::{DEFAULT_ARM, Plan, default_steps};
use crate::summarise::design::Design;
use crate::summarise::{frames, group, measure};

/// The change of a measure from early to late rungs, in each pretraining seed of a study.
#[derive(Clone, Debug, PartialEq)]
pub struct Pilot {
    /// The measure as people call it.
    pub label: String,
    /// Late less early, for each pretraining seed that has both.
    pub changes: Vec<f64>,
    /// Standard error that the fine-tuning seeds leave of one change, root mean square over pretraining seeds; `None`
    /// where the measure is of all runs at once.
    pub within: Option<f64>,
    /// Fine-tuning seeds of a checkpoint, on average.
    pub finetuning: f64,
    /// Last step that counts as early.
    pub early_until: u64,
    /// First step that counts as late.
    pub late_from: u64,
    /// Rungs that are early or late.
    pub rungs: usize,
}

impl Pilot {
    /// Reads the changes of `measure` in the default arm off the tables of a study.
    ///
    /// # Errors
    /// [`Error::NoMeasure`] if there is no such measure, [`Error::NoChange`] if the study does not have it early and late,
    /// and as [`crate::Study::new`].
    pub fn read(observed: &Observed, plan: Plan, measure: &str) -> Result<Self, Error> {
        let no_change = || Error::NoChange { measure: measure.to_owned() };
        let found = measure::find(measure).ok_or_else(|| Error::NoMeasure {
            measure: measure.to_owned(),
            known: measure::MEASURES.iter().map(|known| known.id.to_string()).collect(),
        })?;
        let plan = plan.resolved(default_steps(observed))?;
        let (early_until, late_from) = plan.early_until.zip(plan.late_from).ok_or_else(no_change)?;
        let mut observations = frames::observations(&observed.write()?)?;
        observations.extend(group::observations(observed));
        let wanted = observations.iter().filter(|observation| observation.measure == measure);
        let design = Design::new(found.read.statistic(), wanted);
        let number = |inside: &dyn Fn(u64) -> bool| -> Vec<u64> {
            let rungs = design.rungs.iter().filter(|(arm, step)| arm == DEFAULT_ARM && inside(*step));
            rungs.filter_map(|rung| design.number(rung)).collect()
        };
        let (early, late) = (number(&|step| step <= early_until), number(&|step| step >= late_from));
        if early.is_empty() || late.is_empty() {
            return Err(no_change());
        }
        let numbers = [late.clone(), early].concat();
        let rungs: Vec<_> = numbers.iter().map(|&number| design.rungs[number as usize].clone()).collect();
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let change = |row: &[f64]| mean(&row[..late.len()]) - mean(&row[late.len()..]);
        let course =
            |_: &[u64], rows: &[&[f64]]| -> Vec<f64> { rows.iter().map(|row| change(row)).collect() };
        let (mut changes, mut squares, mut finetuning) = (Vec::new(), Vec::new(), Vec::new());
        for seed in design.complete(&rungs) {
            let values: Vec<f64> = rungs.iter().filter_map(|rung| design.value(seed, rung)).collect();
            changes.push(change(&values));
            finetuning.extend(rungs.iter().map(|rung| design.seeds[&seed][rung].n_finetuning() as f64));
            // Of one pretraining seed alone, the standard error is what its fine-tuning seeds leave open.
            let alone = design.ladder(&[seed], &numbers);
            let of_seed = alone.and_then(|ladder| {
                of_course(&ladder, design.statistic, &numbers, &course, &Options::default()).ok()
            });
            squares.extend(of_seed.map(|estimate| estimate.standard_error.powi(2)));
        }
        if changes.is_empty() {
            return Err(no_change());
        }
        let within = (squares.len() == changes.len()).then(|| mean(&squares).sqrt());
        Ok(Self {
            label: found.label.into_owned(),
            changes,
            within,
            finetuning: mean(&finetuning),
            early_until,
            late_from,
            rungs: rungs.len(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{Course, Size, study};

    fn plan() -> Plan {
        Plan {
            title: String::new(),
            early_until: Some(300),
            late_from: Some(2_000),
            interval: measures::estimate::Interval::SeedT,
            margin: 0.01,
        }
    }

    /// The mean over pretraining seeds is the study's own estimate, and its standard error is theirs.
    #[test]
    fn is_what_the_summary_says() {
        let study = study(Course::Falls, Size { pretraining: 6, ..Size::FULL });
        for measure in ["ood_error_barrier", "ood_accuracy_sd", "ood_shared"] {
            let pilot = Pilot::read(&study.observed, plan(), measure).unwrap();
            let row = study.estimate(DEFAULT_ARM, "late - early", None, measure).unwrap();
            let mean = pilot.changes.iter().sum::<f64>() / pilot.changes.len() as f64;
            assert!((mean - row.estimate).abs() < 1e-12, "{measure}: {mean} {row:?}");
            assert_eq!((pilot.changes.len(), pilot.within.is_some()), (6, measure != "ood_shared"));
            assert!(pilot.finetuning >= 2.0);
        }
        let error = Pilot::read(&study.observed, plan(), "agreement").unwrap_err().to_string();
        assert!(error.contains("no measure `agreement`") && error.contains("ood_agreement"), "{error}");
    }
}
