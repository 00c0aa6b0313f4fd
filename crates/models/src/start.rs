//! Where weights come from: a seed, or a checkpoint.

use std::collections::BTreeMap;
use std::sync::Arc;

use random::Stream;
use weights::{Entry, Weights};

use crate::{Config, Error, Model};

/// How a tensor begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Initial {
    /// All zeros: biases.
    Zeros,
    /// All ones: scales of norms.
    Ones,
    /// Normal with mean 0 and this standard deviation.
    Normal(f64),
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
        }
    }
}

pub(crate) fn init(model: &Model, seed: u64) -> Weights {
    let mut weights = Weights::zeros(Arc::clone(model.layout()));
    for entry in model.layout().entries() {
        let initial = model.initial(&entry.name, &entry.shape);
        initial.fill(&mut weights.values[entry.range()], seed, &entry.name);
    }
    weights
}

pub(crate) fn transfer(
    model: &Model,
    pretrained: &Weights,
    pooler_seed: u64,
    head_seed: u64,
    head_std: f32,
) -> Result<Weights, Error> {
    let source = Source::new(model, pretrained);
    // Before memory is asked for: a configuration that lies about its sizes may ask for terabytes.
    for entry in model.layout().entries() {
        let is_fresh = match part(&entry.name) {
            Part::Classifier => true,
            Part::Pooler => source.get(entry).is_none(),
            Part::Body | Part::Language => false,
        };
        if !is_fresh {
            source.find(entry)?;
        }
    }
    let mut weights = Weights::zeros(Arc::clone(model.layout()));
    for entry in model.layout().entries() {
        let to = &mut weights.values[entry.range()];
        let (initial, seed) = match (model.initial(&entry.name, &entry.shape), part(&entry.name)) {
            (Initial::Normal(_), Part::Classifier) => (Initial::Normal(f64::from(head_std)), head_seed),
            (initial, Part::Classifier) => (initial, head_seed),
            (initial, Part::Pooler) if source.get(entry).is_none() => (initial, pooler_seed),
            _ => {
                source.copy(entry, to)?;
                continue;
            }
        };
        initial.fill(to, seed, &entry.name);
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
    let is_strange = |name: &str| model.layout().entry(name).is_none() && matches!(part(name), Part::Body);
    match source.tensors.keys().find(|name| is_strange(name)) {
        Some(name) => Err(weights::Error::Unexpected { name: name.clone() }.into()),
        None => Ok(weights),
    }
}

enum Part {
    Body,
    Pooler,
    Language,
    Classifier,
}

/// Whether a tensor is part of a classifier: of what no checkpoint of a language model has.
pub(crate) fn is_head(name: &str) -> bool {
    matches!(part(name), Part::Classifier)
}

fn part(name: &str) -> Part {
    // A hidden layer before the classifier is to the variants what the pooler is to BERT.
    const POOLERS: [&str; 4] = ["bert.pooler.", "roberta.pooler.", "classifier.dense.", "pre_classifier."];
    const CLASSIFIERS: [&str; 2] = ["classifier.", "score."];
    const LANGUAGE: [&str; 4] = ["cls.", "lm_head.", "embed_out.", "vocab_"];
    let starts = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
    if starts(&POOLERS) {
        Part::Pooler
    } else if starts(&CLASSIFIERS) {
        Part::Classifier
    } else if starts(&LANGUAGE) {
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
