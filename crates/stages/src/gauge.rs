//! `samebasin gauge`: how converged each rung of a ladder is, by its own objective on one text.
//!
//! A ladder that `fetch` brought has steps and no losses, and losses on different texts do not compare. What comes out is a
//! ladder as `pretrain` makes one: stages and reports take it in its place.

use std::collections::BTreeMap;

use clap::Args;
use measures::convergence::{self, ToGo};
use models::{Config, Head, Model, Tally};
use rayon::prelude::*;
use serde::Serialize;
use store::{Input, Media};
use tasks::corpus::{self, Objective};
use tasks::{Batch, Corruption, Masking};

use crate::compute::Compute;
use crate::data_files::Place;
use crate::rows::{GaugedRow, LadderPoint};
use crate::running_text::Tables;
use crate::stage::{Failure, Inputs, Session, Source, Stage, Work};
use crate::{checkpoint, ladder};

/// Level of the interval of the loss still to go.
const LEVEL: f64 = 0.95;

/// Measure how converged each checkpoint of a ladder is
///
/// The loss is that of the model's own objective (masked-token or next-token prediction, or T5's span corruption) on a text that you
/// choose; the loss still to go is that above the floor of a fitted power law L(t) = L_inf + A t^-a, with its 95 % interval.
///
/// Example: samebasin gauge --ladder pythia/rungs --text wiki/held-out.txt --root data --ref pythia/ladder
#[derive(Args, Clone, Debug, Serialize)]
pub struct Gauge {
    /// Ladder (ref or key of a `fetch ladder` or `pretrain` result)
    #[arg(long, value_name = "REF")]
    #[serde(skip)]
    pub ladder: Source,
    /// File of text, relative to --root, that the checkpoints were not trained on; give several
    #[arg(long = "text", required = true, num_args = 1.., value_name = "FILE")]
    pub text: Vec<String>,
    /// Text in tables.
    #[command(flatten)]
    #[serde(flatten)]
    pub tables: Tables,
    /// Where the files are
    #[command(flatten)]
    #[serde(skip)]
    pub place: Place,
    /// Tokens of the text to keep, by the ladder's own tokenizer
    #[arg(long, default_value_t = 50_000)]
    pub tokens: usize,
    /// Tokens of a segment [default: 128, or what the model can take]
    #[arg(long)]
    pub max_length: Option<usize>,
    /// In what and where products of matrices are computed
    #[command(flatten)]
    #[serde(flatten)]
    pub compute: Compute,
    /// Number of the pretraining run, by which tables tell ladders apart
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Digests of the files, as they stand in the recipe
    #[arg(skip)]
    pub files: BTreeMap<String, String>,
}

impl Stage for Gauge {
    const NAME: &'static str = "gauge";
    const VERSION: u32 = 1;
    const OUTPUTS: &'static [&'static str] = &["ladder", "config"];

    fn resolve(&mut self, session: &Session) -> Result<Inputs, Failure> {
        let mut inputs = Inputs::default();
        let ladder = self.ladder.manifest(session)?;
        let rungs = ladder::rungs(&ladder);
        if rungs.is_empty() {
            return Err(Failure::Input(format!(
                "`{}` has no checkpoints: is it a ladder?",
                self.ladder.name
            )));
        }
        for role in rungs.values() {
            inputs.add(role, &ladder, role)?;
        }
        let config = checkpoint::add_description(&mut inputs, session, &ladder)?;
        let table = if ladder.outputs.contains_key("rungs") { "rungs" } else { "ladder" };
        inputs.add("progress", &ladder, table)?;
        if self.seed.is_none() {
            self.seed = ladder.parameters.get("seed").and_then(serde_json::Value::as_u64);
        }
        self.max_length.get_or_insert(128);
        self.tables.resolve(self.text.iter())?;
        let names = self.text.iter().map(String::as_str);
        self.files = self.place.resolve(&mut inputs, session, names)?;
        inputs.rest_on(learn::scoring_versions(&config).and(corpus::versions()).and(convergence::versions()));
        inputs.rest_on(tables::versions().and(self.compute.versions()).and(self.tables.versions()));
        Ok(inputs)
    }

    fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let session = work.session;
        let config = checkpoint::config(session, work.input("config")?)?;
        let length = config.max_length(self.max_length);
        let (head, objective) = objective(&config)?;
        let text = self.text(work, &config, length, objective)?;
        let model = self.compute.apply(Model::new(config, head)?)?;
        let progress = LadderPoint::read(&work.bytes("progress")?)?;

        let rungs: Vec<(u64, Input)> = work
            .recipe
            .inputs
            .iter()
            .filter_map(|(role, inputs)| Some((ladder::step_of(role)?, *inputs.first()?)))
            .collect();
        let meter = session.meter("gauge", rungs.len() as u64);
        let measure = |(step, input): &(u64, Input)| -> Result<(u64, Input, Tally), Failure> {
            let published = checkpoint::any_weights(session, input)?;
            let weights = model.adopt(&published).map_err(|error| {
                Failure::Input(format!("step {step}: {error}; its own objective needs the language head"))
            })?;
            let tally = ladder::tally(&model, &weights.values, &text)?;
            meter.tick();
            Ok((*step, *input, tally))
        };
        let mut measured =
            session.with_threads(|| rungs.par_iter().map(measure).collect::<Result<Vec<_>, _>>())?;
        measured.sort_by_key(|(step, ..)| *step);

        let to_go = self.to_go(work, &measured)?;
        let mut rows = Vec::with_capacity(measured.len());
        for (index, (step, input, tally)) in measured.iter().enumerate() {
            work.pass(ladder::rung_role(*step), Media::Safetensors, *input)?;
            let to_go = to_go.get(index);
            rows.push(GaugedRow {
                step: *step,
                tokens: progress.iter().find(|point| point.step == *step).map_or(0, |point| point.tokens),
                held_out_loss: tally.mean_loss(),
                held_out_accuracy: tally.accuracy(),
                to_go: to_go.map(|to_go| to_go.value),
                to_go_lower: to_go.map(|to_go| to_go.lower),
                to_go_upper: to_go.map(|to_go| to_go.upper),
                checkpoint: input.object.to_string(),
            });
        }
        for role in ["config", "tokenizer"] {
            let input = *work.input(role)?;
            work.pass(role, Media::Json, input)?;
        }
        work.publish("ladder", Media::Parquet, &GaugedRow::write(&rows)?)?;
        let losses: BTreeMap<String, f64> =
            rows.iter().map(|row| (ladder::rung_role(row.step), row.held_out_loss)).collect();
        work.fact("held_out_loss", losses)
    }
}

impl Gauge {
    /// The text with what is to be predicted, by the ladder's own tokenizer.
    fn text(
        &self,
        work: &Work<'_>,
        config: &Config,
        length: usize,
        objective: Objective,
    ) -> Result<Batch, Failure> {
        let tokenizer = work.bytes("tokenizer")?;
        let texts = self.tables.texts(work, &self.place, &self.text)?;
        let mut text = corpus::tokenize(&tokenizer, &texts)?;
        text.truncate(self.tokens);
        if let Some(size) = config.vocabulary() {
            tasks::check_vocabulary(&tokenizer, &text.tokens, size)?;
        }
        let source = corpus::Source::new(text.clone(), text, &tokenizer, length, objective)?;
        Ok(source.held_out())
    }

    /// The loss still to go at each rung, or nothing where no law can be fitted.
    fn to_go(&self, work: &mut Work<'_>, measured: &[(u64, Input, Tally)]) -> Result<Vec<ToGo>, Failure> {
        // The law has no step 0.
        let started = || measured.iter().filter(|(step, ..)| *step > 0);
        let steps: Vec<f64> = started().map(|(step, ..)| *step as f64).collect();
        let losses: Vec<f64> = started().map(|(.., tally)| tally.mean_loss()).collect();
        let fit = match convergence::fit(&steps, &losses, LEVEL) {
            Ok(fit) => fit,
            Err(reason) => {
                work.fact("fit", format!("none: {reason}"))?;
                return Ok(Vec::new());
            }
        };
        let law = serde_json::json!({
            "floor": fit.floor, "floor_lower": fit.floor_lower, "floor_upper": fit.floor_upper,
            "scale": fit.scale, "exponent": fit.exponent, "residual": fit.residual, "n": fit.n,
        });
        work.fact("fit", law)?;
        Ok(measured.iter().map(|(.., tally)| fit.to_go(tally.mean_loss())).collect())
    }
}

/// The head that a family's language models are trained with, and what they are to predict.
fn objective(config: &Config) -> Result<(Head, Objective), Failure> {
    use models::Objective as Own;
    match config.objective() {
        Own::MaskedTokens => Ok((Head::MaskedLanguage, Objective::Masked(Masking::BERT))),
        Own::NextTokens => Ok((Head::CausalLanguage, Objective::Causal)),
        Own::Spans => Ok((Head::SequenceToSequence, Objective::Spans(Corruption::T5))),
        Own::Classes => {
            let family = config.model_type();
            Err(Failure::Input(format!(
                "a model of type `{family}` reads no text, so it cannot be gauged on one"
            )))
        }
    }
}
