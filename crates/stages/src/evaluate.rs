//! `samebasin evaluate`: a model's behaviour in distribution, out of distribution and under interventions.

use std::collections::BTreeMap;

use clap::Args;
use learn::Scorer;
use measures::{mechanism, scores};
use models::Model;
use serde::Serialize;
use store::Media;
use tasks::Metric;
use weights::Weights;

use crate::checkpoint;
use crate::compute::Compute;
use crate::rows::{EffectRow, PredictionRow, ScoreRow};
use crate::stage::{Failure, Inputs, Session, Source, Stage, Work};
use crate::task_inputs::{self, EncodedExamples, TaskInputs};

/// Evaluate a model on every split, case and intervention of a task
///
/// Writes scores per split and case, each example's prediction with its logits, and the effect of each
/// intervention on the data-generating process.
///
/// Example: samebasin evaluate --model world/run/3 --task world/task --ref world/scores/3
#[derive(Args, Clone, Debug, Serialize)]
pub struct Evaluate {
    /// Model: a `finetune` or `soup` result (ref or key)
    #[arg(long, value_name = "REF[:OUTPUT]")]
    #[serde(skip)]
    pub model: Source,
    /// Task (ref or key of a `prepare` result)
    #[arg(long, value_name = "REF")]
    #[serde(skip)]
    pub task: Source,
    /// Longest input in tokens; longer ones are cut [default: what the model can take]
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<usize>,
    /// In what and where products of matrices are computed
    #[command(flatten)]
    #[serde(flatten)]
    pub compute: Compute,
}

impl Stage for Evaluate {
    const NAME: &'static str = "evaluate";
    const VERSION: u32 = 1;
    const OUTPUTS: &'static [&'static str] = &["scores", "predictions", "effects"];

    fn resolve(&mut self, session: &Session) -> Result<Inputs, Failure> {
        let mut inputs = Inputs::default();
        let config = checkpoint::add_inputs(&mut inputs, session, &self.model)?;
        let task = self.task.manifest(session)?;
        let parts: Vec<&str> = task.outputs.keys().map(String::as_str).collect();
        let parts: Vec<&str> =
            parts.into_iter().filter(|part| part.starts_with("split.") || part.starts_with("do.")).collect();
        task_inputs::add(&mut inputs, &task, &parts)?;
        task_inputs::add_metric(&mut inputs, &task)?;
        inputs.rest_on(learn::scoring_versions(&config).and(scores::versions()).and(mechanism::versions()));
        inputs.rest_on(self.compute.versions());
        Ok(inputs)
    }

    fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let session = work.session;
        let config = checkpoint::config(session, work.input("config")?)?;
        let mut task = TaskInputs::load(work)?;
        task.answered_by(checkpoint::classes(session, work.input("config")?)?.as_ref())?;
        let encoder = checkpoint::encoder(session, work.optional("tokenizer"), &config)?;
        let max_length = config.max_length(self.max_length);
        let model = checkpoint::classifier(config, task.outputs(), self.compute)?;
        let weights = checkpoint::weights(session, work.input("model")?, &model)?;
        let pool = session.pool()?;
        let mut examiner = Examiner { model: &model, weights: &weights, scorer: Scorer::on(pool.as_ref()) };

        let mut score_rows = Vec::new();
        let mut prediction_rows = Vec::new();
        for split in task.under("split.") {
            let examples = task.encoded(&encoder, &format!("split.{split}"), max_length)?;
            let logits = examiner.logits(&examples)?;
            score_rows.extend(by_case(split, &examples, &logits));
            if task.metric != Metric::default() {
                let value = task_inputs::value(task.metric, &logits, &examples.labels, &examples.label_names);
                work.fact(&format!("{}_{split}", task.metric.name()), value)?;
            }
            prediction_rows.extend(predictions(split, &examples, &logits));
        }
        let mut effect_rows = Vec::new();
        for name in task.under("do.").filter_map(|part| part.strip_suffix(".base")) {
            let mut answered = |moment: &str| -> Result<_, Failure> {
                let split = format!("do.{name}.{moment}");
                let examples = task.encoded(&encoder, &split, max_length)?;
                let logits = examiner.logits(&examples)?;
                prediction_rows.extend(predictions(&split, &examples, &logits));
                Ok((examples, logits))
            };
            let (base, done) = (answered("base")?, answered("done")?);
            effect_rows.push(effect(name, &base, &done, task.labels.len())?);
        }
        for row in score_rows.iter().filter(|row| row.case.is_empty()) {
            work.fact(&format!("accuracy_{}", row.split), row.accuracy)?;
        }
        if task.metric != Metric::default() {
            work.fact("metric", task.metric)?;
        }
        work.publish("scores", Media::Parquet, &ScoreRow::write(&score_rows)?)?;
        work.publish("predictions", Media::Parquet, &PredictionRow::write(&prediction_rows)?)?;
        work.publish("effects", Media::Parquet, &EffectRow::write(&effect_rows)?)?;
        Ok(())
    }
}

/// A model under examination.
struct Examiner<'a> {
    model: &'a Model,
    weights: &'a Weights,
    scorer: Scorer<'a>,
}

impl Examiner<'_> {
    /// Logits over the labels of these examples, `[examples, label_names]`.
    fn logits(&mut self, examples: &EncodedExamples) -> Result<Vec<f32>, Failure> {
        Ok(examples.answers(self.scorer.logits(self.model, &self.weights.values, &examples.inputs)?))
    }
}

/// Examples with the logits that a model gave them.
type Answered = (EncodedExamples, Vec<f32>);

/// What an intervention does to a model's answers, over `labels` labels.
///
/// # Errors
/// [`Failure::Input`] if there is not an example after it for each one before.
fn effect(name: &str, base: &Answered, done: &Answered, labels: usize) -> Result<EffectRow, Failure> {
    let ((base, before), (done, after)) = (base, done);
    let n = base.labels.len();
    if n != done.labels.len() {
        return Err(Failure::Input(format!(
            "intervention `{name}` has {n} examples before and {} after",
            done.labels.len()
        )));
    }
    let effect = mechanism::effect(before, after, labels);
    let moved = base.labels.iter().zip(&done.labels).filter(|(before, after)| before != after).count();
    Ok(EffectRow {
        intervention: name.to_owned(),
        n: n as u64,
        effect: effect.mean_distance,
        flips: effect.flips,
        rule_flips: moved as f64 / n as f64,
        accuracy: scores::scores(after, &done.labels).accuracy,
    })
}

fn predictions(split: &str, examples: &EncodedExamples, logits: &[f32]) -> Vec<PredictionRow> {
    let label_order = examples.label_names.join("|");
    let rows = logits.chunks_exact(examples.label_names.len()).enumerate();
    rows.map(|(i, logits)| PredictionRow {
        split: split.to_owned(),
        example: examples.ids[i].clone(),
        case: examples.cases[i].clone(),
        label: examples.labels[i],
        prediction: scores::argmax(logits),
        logits: logits.to_vec(),
        label_order: label_order.clone(),
    })
    .collect()
}

/// Scores of a whole split and, where it has several cases, of each.
fn by_case(split: &str, examples: &EncodedExamples, logits: &[f32]) -> Vec<ScoreRow> {
    let labels = examples.label_names.len();
    let mut cases: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (i, case) in examples.cases.iter().enumerate() {
        cases.entry(case).or_default().push(i);
    }
    let mut rows = vec![row(split, "", logits, &examples.labels)];
    if cases.len() > 1 {
        for (case, members) in cases {
            let case_labels: Vec<u32> = members.iter().map(|&i| examples.labels[i]).collect();
            let case_logits: Vec<f32> =
                members.iter().flat_map(|&i| &logits[i * labels..(i + 1) * labels]).copied().collect();
            rows.push(row(split, case, &case_logits, &case_labels));
        }
    }
    rows
}

fn row(split: &str, case: &str, logits: &[f32], labels: &[u32]) -> ScoreRow {
    let scores = scores::scores(logits, labels);
    ScoreRow {
        split: split.to_owned(),
        case: case.to_owned(),
        n: labels.len() as u64,
        loss: scores.loss,
        accuracy: scores.accuracy,
        expected_error: scores.expected_error,
        calibration_error: scores.calibration_error,
        mcc: scores.mcc,
        f1: scores.f1,
        majority: scores.majority,
    }
}
