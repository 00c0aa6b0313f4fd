//! Where weights come from: a seed, or a checkpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use random::Stream;
use weights::{Entry, Layout, Weights};

use crate::family::HeadNames;
use crate::{Config, Error, Model, t5};

/// How a tensor begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Initial {
    /// All zeros: biases.
    Zeros,
    /// All ones: scales of norms.
    Ones,
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
    /// The same, drawn again where it is beyond two standard deviations.
    TruncatedNormal(f64),
}

/// How the weights of a fresh head are drawn: with mean 0 and this standard deviation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Draw {
    /// From a normal distribution.
    Normal(f32),
    /// From a normal distribution, again where it is beyond two standard deviations (TensorFlow's `truncated_normal`, by
    /// which BERT's heads were drawn); the standard deviation is that before the cut.
    TruncatedNormal(f32),
}

impl Initial {
    fn fill(self, values: &mut [f32], seed: u64, name: &str) {
        match self {
            Self::Zeros => values.fill(0.0),
            Self::Ones => values.fill(1.0),
            Self::Normal(deviation) => {
                let mut stream = Stream::new(seed, &format!("init/{name}"));
                values.fill_with(|| (stream.normal() * deviation) as f32);
            }
            Self::TruncatedNormal(deviation) => {
                let mut stream = Stream::new(seed, &format!("init/{name}"));
                values.fill_with(|| {
                    loop {
                        let value = stream.normal();
                        if value.abs() <= 2.0 {
                            break (value * deviation) as f32;
                        }
                    }
                });
            }
        }
    }
}

/// The name of a tensor's stream: its own, but for a body that is called otherwise under one head than under another.
fn stream_name<'a>(model: &Model, name: &'a str) -> &'a str {
    if let Config::T5(_) = model.config() { t5::stream_name(name) } else { name }
}

pub(crate) fn init(model: &Model, seed: u64) -> Weights {
    let mut weights = Weights::zeros(Arc::clone(model.layout()));
    for entry in model.layout().entries() {
        let initial = model.initial(&entry.name, &entry.shape);
        initial.fill(&mut weights.values[entry.range()], seed, stream_name(model, &entry.name));
    }
    weights
}

pub(crate) fn transfer(
    model: &Model,
    pretrained: &Weights,
    pooler_seed: u64,
    head_seed: u64,
    head: Draw,
) -> Result<Weights, Error> {
    let source = Source::new(model, pretrained);
    // What does not come from the checkpoint, and the seed that it is drawn by.
    let fresh = |entry: &Entry| match (model.initial(&entry.name, &entry.shape), part(model, &entry.name)) {
        (Initial::Normal(_), Part::Classifier) => match head {
            Draw::Normal(deviation) => Some((Initial::Normal(f64::from(deviation)), head_seed)),
            Draw::TruncatedNormal(deviation) => {
                Some((Initial::TruncatedNormal(f64::from(deviation)), head_seed))
            }
        },
        (initial, Part::Classifier) => Some((initial, head_seed)),
        (initial, Part::Pooler) if source.get(entry).is_none() => Some((initial, pooler_seed)),
        _ => None,
    };
    // Before memory is asked for: a configuration that lies about its sizes may ask for terabytes.
    for entry in model.layout().entries().iter().filter(|entry| fresh(entry).is_none()) {
        source.find(entry)?;
    }
    let mut weights = Weights::zeros(Arc::clone(model.layout()));
    for entry in model.layout().entries() {
        let to = &mut weights.values[entry.range()];
        match fresh(entry) {
            Some((initial, seed)) => initial.fill(to, seed, &entry.name),
            None => source.copy(entry, to)?,
        }
    }
    Ok(weights)
}

pub(crate) fn adopt(model: &Model, published: &Weights) -> Result<Weights, Error> {
    let source = Source::new(model, published);
    for entry in model.layout().entries() {
        source.find(entry)?;
    }
    let mut weights = Weights::zeros(Arc::clone(model.layout()));
    for entry in model.layout().entries() {
        source.copy(entry, &mut weights.values[entry.range()])?;
    }
    // A body may come with heads that this model has not.
    let is_strange =
        |name: &str| model.layout().entry(name).is_none() && matches!(part(model, name), Part::Body);
    match source.tensors.keys().find(|name| is_strange(name)) {
        Some(name) => Err(weights::Error::Unexpected { name: name.clone() }.into()),
        None => Ok(weights),
    }
}

pub(crate) fn check_body(model: &Model, published: &Layout) -> Result<(), Vec<weights::Error>> {
    // Its zeros are never touched, and so take no memory.
    let weights = Weights::zeros(Arc::new(published.clone()));
    let source = Source::new(model, &weights);
    let is_needed = |entry: &&Entry| match part(model, &entry.name) {
        Part::Body => true,
        Part::Pooler => source.get(entry).is_some(),
        Part::Language | Part::Classifier => false,
    };
    let entries = model.layout().entries().iter().filter(is_needed);
    let wrong: Vec<weights::Error> = entries.filter_map(|entry| source.find(entry).err()).collect();
    if wrong.is_empty() { Ok(()) } else { Err(wrong) }
}

pub(crate) fn head_and_missing(model: &Model, checkpoint: &Weights) -> Vec<bool> {
    let source = Source::new(model, checkpoint);
    let entries = model.layout().entries().iter();
    entries.map(|entry| is_head(model, &entry.name) || source.get(entry).is_none()).collect()
}

enum Part {
    Body,
    Pooler,
    Language,
    Classifier,
}

/// Whether a tensor is part of a classifier: of what no checkpoint of a language model has.
pub(crate) fn is_head(model: &Model, name: &str) -> bool {
    matches!(part(model, name), Part::Classifier)
}

fn part(model: &Model, name: &str) -> Part {
    let HeadNames { pooler, classifier, language } = model.config().head_names();
    let starts = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
    // A hidden layer before the classifier may be named as a part of it.
    if starts(pooler) {
        Part::Pooler
    } else if starts(classifier) {
        Part::Classifier
    } else if starts(language) {
        Part::Language
    } else {
        Part::Body
    }
}

/// The tensors of a checkpoint under today's names.
struct Source<'a> {
    weights: &'a Weights,
    tensors: BTreeMap<String, &'a Entry>,
}

impl<'a> Source<'a> {
    fn new(model: &Model, weights: &'a Weights) -> Self {
        let entries = weights.layout().entries().iter();
        let tensors = match model.config() {
            Config::Bert(config) => {
                let body = config.variant.names().body;
                entries.map(|entry| (current_name(&entry.name, body), entry)).collect()
            }
            Config::Decoder(config) => {
                let name = |entry: &&Entry| config.variant.current_name(&entry.name);
                entries.filter_map(|entry| Some((name(&entry)?, entry))).collect()
            }
            Config::T5(config) => t5::current_names(config.tie_word_embeddings, model.head(), weights),
            Config::Mlp(_) => entries.map(|entry| (entry.name.clone(), entry)).collect(),
        };
        Self { weights, tensors }
    }

    fn get(&self, entry: &Entry) -> Option<&'a Entry> {
        self.tensors.get(&entry.name).copied()
    }

    /// The tensor of this name, which has this shape.
    fn find(&self, entry: &Entry) -> Result<&'a Entry, weights::Error> {
        let name = || entry.name.clone();
        let found = self.get(entry).ok_or_else(|| weights::Error::Missing { name: name() })?;
        if found.shape != entry.shape {
            let (found, expected) = (found.shape.clone(), entry.shape.clone());
            return Err(weights::Error::Shape { name: name(), found, expected });
        }
        Ok(found)
    }

    fn copy(&self, entry: &Entry, to: &mut [f32]) -> Result<(), weights::Error> {
        let found = self.find(entry)?;
        to.copy_from_slice(&self.weights.values[found.range()]);
        Ok(())
    }
}

/// BERT checkpoints from before 2020 say `gamma` and `beta`; those of a bare body lack its leading name.
fn current_name(name: &str, body: &str) -> String {
    let name =
        name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias");
    let is_bare =
        ["embeddings.", "encoder.", "pooler.", "transformer."].iter().any(|start| name.starts_with(start));
    if is_bare { format!("{body}.{name}") } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a standard normal cut at two: no mean, variance `1 - 4 phi(2) / (2 Phi(2) - 1) = 0.7737`.
    #[test]
    fn a_truncated_normal_has_its_moments() {
        let mut values = vec![0.0; 200_000];
        Initial::TruncatedNormal(0.5).fill(&mut values, 3, "classifier.weight");
        let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / 2e5;
        let variance = values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>() / 2e5;
        assert!(values.iter().all(|value| value.abs() <= 1.0));
        assert!(mean.abs() < 4.0 * 0.44 / 2e5_f64.sqrt(), "{mean}");
        assert!((variance / 0.25 / 0.7737 - 1.0).abs() < 0.01, "{variance}");
    }
}
