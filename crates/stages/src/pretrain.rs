//! `samebasin pretrain`: a ladder of checkpoints from one pretraining run.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use learn::{AdamW, Recipe, Schedule, Scope, Scorer, State, Trainer, masked_tally, sequence_tally, train};
use models::{Config, Head, Model, Tally, bert, decoder, mlp, t5};
use serde::{Deserialize, Serialize};
use store::Media;
use tasks::corpus::{self, Objective};
use tasks::{Batch, Corruption, Masking, Source as Text, glyphs, roles};

use crate::checkpoint;
use crate::compute::Compute;
use crate::rows::LadderRow;
use crate::stage::{Failure, Inputs, Session, Source, Stage, Work};

/// Standard deviation of initial weights where nothing is said.
const INITIALIZER_RANGE: f64 = 0.1;

/// Steps between two saves of the state that lets a killed run go on.
const SAVE_EVERY: u64 = 500;

/// What is learned from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum World {
    /// Sentences of the embedded language, masked-token prediction
    Roles,
    /// Images of digits with a cue that means nothing, classification
    Glyphs,
    /// Real text made ready by `samebasin prepare corpus`; what is predicted is the family's to say
    Corpus,
}

/// Which architecture a text is learned by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Family {
    /// An encoder that predicts hidden tokens
    Bert,
    /// A decoder that predicts the next token, with learned positions
    Gpt2,
    /// The same with rotary positions and parallel blocks, as Pythia
    GptNeox,
    /// The same with rotary positions, RMSNorm and SwiGLU
    Llama,
    /// An encoder and a decoder that tells spans dropped from the text; needs a corpus with --sentinels
    T5,
}

impl Family {
    /// Left out of a recipe, whose key is then that of the time before there was a choice.
    fn is_bert(&self) -> bool {
        *self == Self::Bert
    }

    fn decoder(self) -> Option<decoder::Variant> {
        match self {
            Self::Bert | Self::T5 => None,
            Self::Gpt2 => Some(decoder::Variant::Gpt2),
            Self::GptNeox => Some(decoder::Variant::GptNeoX),
            Self::Llama => Some(decoder::Variant::Llama),
        }
    }
}

/// Pretrain a model and keep a ladder of its checkpoints
///
/// Example: samebasin pretrain --world roles --steps 6000 --checkpoints 0,100,1000,6000 --seed 0 --ref world/ladder/0
#[derive(Args, Clone, Debug, Serialize)]
pub struct Pretrain {
    /// What to learn from
    #[arg(long, value_enum)]
    pub world: World,
    /// Corpus for `--world corpus` (ref or key of a `prepare corpus` result)
    #[arg(long, value_name = "REF")]
    #[serde(skip)]
    pub corpus: Option<Source>,
    /// Architecture that learns a corpus
    #[arg(long, value_enum, default_value_t = Family::Bert)]
    #[serde(skip_serializing_if = "Family::is_bert")]
    pub family: Family,
    /// In what and where products of matrices are computed
    #[command(flatten)]
    #[serde(flatten)]
    pub compute: Compute,
    /// Seed of the initial weights and of the order of the text
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Optimiser steps
    #[arg(long, default_value_t = 6_000)]
    pub steps: u64,
    /// Steps to keep a checkpoint at [default: 0 and log-spaced]
    #[arg(long, value_delimiter = ',', value_name = "STEPS")]
    pub checkpoints: Vec<u64>,
    /// Examples in a batch
    #[arg(long, default_value_t = 64)]
    pub batch: usize,
    /// Peak learning rate
    #[arg(long, default_value_t = 3e-3)]
    pub learning_rate: f64,
    /// Shape of the learning rate over the run: constant, linear, inverse-sqrt or cosine
    #[arg(long, default_value = "inverse-sqrt", value_parser = parse_schedule)]
    pub schedule: Schedule,
    /// Steps of linear warm-up
    #[arg(long, default_value_t = 100)]
    pub warmup: u64,
    /// AdamW: decay of the first moment
    #[arg(long, default_value_t = 0.9)]
    pub beta1: f64,
    /// AdamW: decay of the second moment
    #[arg(long, default_value_t = 0.98)]
    pub beta2: f64,
    /// AdamW: denominator's floor
    #[arg(long, default_value_t = 1e-8)]
    pub epsilon: f64,
    /// AdamW: decoupled weight decay (never on biases and LayerNorm)
    #[arg(long, default_value_t = 0.0)]
    pub weight_decay: f64,
    /// Largest norm of the gradient; 0 switches clipping off
    #[arg(long, default_value_t = 1.0)]
    pub clip: f64,
    /// Width of the model
    #[arg(long, default_value_t = 64)]
    pub hidden: usize,
    /// Layers
    #[arg(long, default_value_t = 2)]
    pub layers: usize,
    /// Attention heads
    #[arg(long, default_value_t = 4)]
    pub heads: usize,
    /// Width of the feed-forward layer [default: four times the model's]
    #[arg(long)]
    pub intermediate: Option<usize>,
    /// Longest input, in tokens
    #[arg(long, default_value_t = 16)]
    pub positions: usize,
    /// Standard deviation of the initial weights
    #[arg(long, default_value_t = INITIALIZER_RANGE)]
    pub initializer_range: f64,
    /// Dropout probability, in pretraining and as the default of fine-tuning
    #[arg(long, default_value_t = 0.0)]
    pub dropout: f64,
}

/// Parses the name of a schedule as it stands in recipes.
///
/// # Errors
/// A sentence with the names that exist.
pub fn parse_schedule(name: &str) -> Result<Schedule, String> {
    serde_json::from_value(name.into())
        .map_err(|_unknown| "expected constant, linear, inverse-sqrt or cosine".to_owned())
}

/// 0, then a quarter of a decade apart, then the last step.
fn log_spaced(steps: u64) -> Vec<u64> {
    let quarters = (0..=80).map(|quarter| 10_f64.powf(f64::from(quarter) / 4.0).round() as u64);
    let mut checkpoints: Vec<u64> =
        std::iter::once(0).chain(quarters.skip(4).take_while(|&step| step < steps)).collect();
    checkpoints.push(steps);
    checkpoints.dedup();
    checkpoints
}

/// The output role of a checkpoint.
#[must_use]
pub fn checkpoint_role(step: u64) -> String {
    format!("step-{step}")
}

impl Stage for Pretrain {
    const NAME: &'static str = "pretrain";
    const VERSION: u32 = 1;

    fn resolve(&mut self, session: &Session) -> Result<Inputs, Failure> {
        if self.checkpoints.is_empty() {
            self.checkpoints = log_spaced(self.steps);
        }
        self.checkpoints.sort_unstable();
        if let Some(twice) = self.checkpoints.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Failure::Usage(format!("--checkpoints names step {} twice", twice[0])));
        }
        if let Some(beyond) = self.checkpoints.iter().find(|&&step| step > self.steps) {
            return Err(Failure::Usage(format!(
                "--checkpoints names step {beyond}, but the run has {} steps",
                self.steps
            )));
        }
        if !self.family.is_bert() && self.world != World::Corpus {
            return Err(Failure::Usage("--family goes with --world corpus".into()));
        }
        if self.family == Family::T5 && self.initializer_range != INITIALIZER_RANGE {
            let reason = "a T5's initial weights have deviations that follow from its shape";
            return Err(Failure::Usage(format!(
                "--initializer-range does not go with --family t5: {reason}"
            )));
        }
        if self.batch == 0 {
            return Err(Failure::Usage("--batch must be at least 1".into()));
        }
        self.intermediate.get_or_insert(4 * self.hidden);
        let mut inputs = Inputs::default();
        match (self.world, &self.corpus) {
            (World::Corpus, Some(corpus)) => {
                let manifest = corpus.manifest(session)?;
                for role in ["train", "held-out", "tokenizer"] {
                    inputs.add(role, &manifest, role)?;
                }
            }
            (World::Corpus, None) => return Err(Failure::Usage("--world corpus needs --corpus".into())),
            (_, Some(_)) => return Err(Failure::Usage("--corpus goes with --world corpus".into())),
            (_, None) => {}
        }
        Ok(inputs)
    }

    fn versions(&self) -> BTreeMap<&'static str, u32> {
        let (world, family) = match self.world {
            World::Roles => (roles::VERSION, bert::VERSION),
            World::Glyphs => (glyphs::VERSION, mlp::VERSION),
            World::Corpus if self.family.is_bert() => (corpus::VERSION, bert::VERSION),
            World::Corpus if self.family == Family::T5 => (corpus::VERSION, t5::VERSION),
            World::Corpus => (corpus::VERSION, decoder::VERSION),
        };
        let mut versions = BTreeMap::from([
            ("random", random::VERSION),
            ("training", learn::TRAINING_VERSION),
            ("scoring", learn::SCORING_VERSION),
            ("kernels", kernels::VERSION),
            ("world", world),
            ("family", family),
        ]);
        versions.extend(self.compute.versions());
        // Version 2 of a decoder's description names the token that fills up a batch.
        versions.extend(self.family.decoder().map(|_| ("description", 2)));
        versions
    }

    fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let (text, tokenizer) = self.text(work)?;
        let model = self.compute.apply(self.model(&text, tokenizer.as_deref())?)?;
        checkpoint::publish_description(work, &model, &[], tokenizer.as_deref())?;

        let (mut state, mut ladder) = self.resume(work, &model)?;
        let held_out = text.held_out();
        let recipe = self.recipe();
        let pool = work.session.pool()?;
        let mut trainer = Trainer::new(&model, pool.as_ref());
        let mut batches = |step| text.batch(self.seed, step, self.batch);
        let meter = work.session.meter("pretrain", self.steps);
        for &rung in &self.checkpoints {
            if let Some(row) = ladder.iter().find(|row| row.step == rung) {
                // Kept before the run was interrupted.
                work.adopt(checkpoint_role(rung), Media::Safetensors, row.checkpoint.parse()?)?;
                continue;
            }
            while state.step < rung {
                let until = rung.min((state.step / SAVE_EVERY + 1) * SAVE_EVERY);
                train::<Failure>(
                    &model,
                    Scope::All,
                    &mut state,
                    &recipe,
                    &mut trainer,
                    &mut batches,
                    until,
                    &mut |now, _| {
                        meter.at(now.step, || format!("loss {:.3}", now.tally.mean_loss()));
                        Ok(())
                    },
                )?;
                if state.step.is_multiple_of(SAVE_EVERY) && state.step < self.steps {
                    save(work, &state, &ladder)?;
                }
            }
            let object =
                work.publish(checkpoint_role(rung), Media::Safetensors, &state.weights.to_safetensors())?;
            let tally = tally(&model, &state.weights.values, &held_out)?;
            ladder.push(LadderRow {
                step: rung,
                tokens: state.seen,
                held_out_loss: tally.mean_loss(),
                held_out_accuracy: tally.accuracy(),
                learning_rate: match rung {
                    0 => 0.0,
                    step => self.learning_rate * self.schedule.factor(step - 1, self.warmup, self.steps),
                },
                checkpoint: object.to_string(),
            });
        }
        work.publish("ladder", Media::Parquet, &LadderRow::write(&ladder)?)?;
        let losses: BTreeMap<String, f64> =
            ladder.iter().map(|row| (checkpoint_role(row.step), row.held_out_loss)).collect();
        work.fact("held_out_loss", losses)
    }
}

impl Pretrain {
    /// What is learned from, and the tokenizer that reads it.
    fn text(&self, work: &Work<'_>) -> Result<(Text, Option<Vec<u8>>), Failure> {
        match self.world {
            World::Roles => {
                Ok((Text::Roles(roles::Source::default()), Some(roles::tokenizer_json().into_bytes())))
            }
            World::Glyphs => Ok((Text::Glyphs(glyphs::Source::default()), None)),
            World::Corpus => {
                let tokenizer = work.bytes("tokenizer")?.to_vec();
                let train = corpus::Text::from_parquet(&work.bytes("train")?)?;
                let held_out = corpus::Text::from_parquet(&work.bytes("held-out")?)?;
                let objective = match self.family {
                    Family::Bert => Objective::Masked(Masking::BERT),
                    Family::T5 => Objective::Spans(Corruption::T5),
                    _ => Objective::Causal,
                };
                let source = corpus::Source::new(train, held_out, &tokenizer, self.positions, objective)?;
                Ok((Text::Corpus(source), Some(tokenizer)))
            }
        }
    }

    fn model(&self, text: &Text, tokenizer: Option<&[u8]>) -> Result<Model, Failure> {
        let intermediate = self.intermediate.unwrap_or(4 * self.hidden);
        match text {
            Text::Glyphs(_) => {
                let config =
                    mlp::Config { input_size: glyphs::WIDTH, hidden_sizes: vec![self.hidden; self.layers] };
                Ok(Model::new(Config::Mlp(config), Head::Classification { labels: glyphs::CLASSES })?)
            }
            Text::Roles(_) | Text::Corpus(_) => {
                let vocabulary = tokenizer.map(tasks::vocabulary_size).transpose()?.unwrap_or(0);
                if let Some(variant) = self.family.decoder() {
                    let mut config = decoder::Config {
                        vocab_size: vocabulary,
                        hidden_size: self.hidden,
                        num_hidden_layers: self.layers,
                        num_attention_heads: self.heads,
                        num_key_value_heads: self.heads,
                        head_dim: self.hidden / self.heads.max(1),
                        intermediate_size: intermediate,
                        max_position_embeddings: self.positions,
                        initializer_range: self.initializer_range,
                        pad_token_id: tasks::token_id(tokenizer.unwrap_or_default(), tasks::PADDING)?,
                        ..decoder::Config::of(variant)
                    };
                    config.set_dropout(self.dropout);
                    return Ok(Model::new(Config::Decoder(config), Head::CausalLanguage)?);
                }
                if self.family == Family::T5 {
                    return self.t5(tokenizer.unwrap_or_default(), vocabulary, intermediate);
                }
                let config = bert::Config {
                    vocab_size: vocabulary,
                    hidden_size: self.hidden,
                    num_hidden_layers: self.layers,
                    num_attention_heads: self.heads,
                    intermediate_size: intermediate,
                    max_position_embeddings: self.positions,
                    initializer_range: self.initializer_range,
                    hidden_dropout_prob: self.dropout,
                    attention_probs_dropout_prob: self.dropout,
                    ..Default::default()
                };
                Ok(Model::new(Config::Bert(config), Head::MaskedLanguage)?)
            }
        }
    }

    /// A T5 of this shape, both of whose stacks have so many layers.
    fn t5(&self, tokenizer: &[u8], vocab_size: usize, d_ff: usize) -> Result<Model, Failure> {
        let pad_token_id = tasks::token_id(tokenizer, tasks::PADDING)?;
        let mut config = t5::Config {
            vocab_size,
            d_model: self.hidden,
            d_kv: self.hidden / self.heads.max(1),
            d_ff,
            num_layers: self.layers,
            num_decoder_layers: self.layers,
            num_heads: self.heads,
            n_positions: self.positions,
            pad_token_id,
            eos_token_id: tasks::token_id(tokenizer, &["</s>", "[SEP]"])?.unwrap_or_default(),
            decoder_start_token_id: pad_token_id.unwrap_or_default(),
            ..t5::Config::default()
        };
        config.set_dropout(self.dropout);
        Ok(Model::new(Config::T5(config), Head::SequenceToSequence)?)
    }

    fn recipe(&self) -> Recipe {
        Recipe {
            steps: self.steps,
            learning_rate: self.learning_rate,
            schedule: self.schedule,
            warmup: self.warmup,
            optimiser: AdamW {
                beta1: self.beta1,
                beta2: self.beta2,
                epsilon: self.epsilon,
                weight_decay: self.weight_decay,
                bias_correction: true,
                clip: self.clip,
            },
            dropout_seed: (self.dropout > 0.0).then_some(self.seed),
        }
    }

    /// Where an interrupted run of this key stands, or the beginning.
    fn resume(&self, work: &Work<'_>, model: &Model) -> Result<(State, Vec<LadderRow>), Failure> {
        let saved = (work.scratch.read("state")?, work.scratch.read("ladder")?);
        if let (Some(state), Some(ladder)) = saved {
            let state = State::from_bytes(&state, model.layout())?;
            let mut ladder = LadderRow::read(&ladder)?;
            // The ladder is saved first: after a kill in between it may be ahead of the state.
            ladder.retain(|row| row.step <= state.step);
            return Ok((state, ladder));
        }
        Ok((State::start(model.init(self.seed)), Vec::new()))
    }
}

fn save(work: &Work<'_>, state: &State, ladder: &[LadderRow]) -> Result<(), Failure> {
    work.scratch.write("ladder", &LadderRow::write(ladder)?)?;
    work.scratch.write("state", &state.to_bytes())?;
    Ok(())
}

/// What a model loses on held-out examples by its own objective.
///
/// # Errors
/// [`Failure::Learn`] if the model refuses them.
pub(crate) fn tally(model: &Model, values: &[f32], held_out: &Batch) -> Result<Tally, Failure> {
    match held_out {
        Batch::Masked(text) => Ok(masked_tally(model, values, text)?),
        Batch::Sequences(pairs) => Ok(sequence_tally(model, values, pairs)?),
        Batch::Labelled(examples) => {
            let logits = Scorer::default().logits(model, values, &examples.inputs)?;
            let labels = &examples.labels;
            let scores = measures::scores::scores(&logits, labels);
            Ok(Tally {
                loss_sum: scores.loss * labels.len() as f64,
                correct: (scores.accuracy * labels.len() as f64).round() as u64,
                n: labels.len() as u64,
            })
        }
    }
}
