//! Low-rank adaptation: LoRA (Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models").
//!
//! A weight `W0 [outputs, inputs]` of the checkpoint stays as it is, and what is trained is the difference from it,
//!
//! W = W0 + s B A,  s = α / r,  A `[r, inputs]`, B `[outputs, r]`,
//!
//! beside the task's head, which is trained as it is. Before each step W is written where the model looks for it, the
//! model takes its own gradient dW, and
//!
//! dB = s dW Aᵀ,  dA = s Bᵀ dW.
//!
//! So no family's passes know of it. It saves the moments of what is frozen, not the gradient: memory is that of the
//! model, its gradient and the weights that are adapted, and a step takes about as long as one of fine-tuning as a
//! whole. Other adapters' quirks (dropout before A, trained biases) have no part in W, and are not there.

use std::ops::Range;
use std::sync::Arc;

use kernels::matmul::{Into, Matrix, product};
use models::{LinearMap, Model, Tally};
use random::Stream;
use tasks::Batch;
use weights::{Layout, Weights};

use crate::{Error, Trainer};

/// Changes whenever low-rank adaptation of the same recipe yields other bytes.
pub const LORA_VERSION: u32 = 1;

/// The target that stands for all maps of the layers.
pub const ALL_LINEAR: &str = "all-linear";

/// What a low-rank adaptation is.
#[derive(Clone, Debug, PartialEq)]
pub struct Lora {
    /// Rank r of the differences, from 1 to the smaller side of every weight that is adapted.
    pub rank: usize,
    /// α > 0: the product of the factors is multiplied by α / r.
    pub alpha: f64,
    /// The linear maps that are adapted, by the ends of their names; [`ALL_LINEAR`] for all of the layers.
    pub targets: Vec<String>,
}

/// A model whose weights are those of a checkpoint and a difference of low rank.
///
/// Trained parameters are a flat buffer of their own, with a layout of their own: in the order of the model's
/// layout, `<map>.lora_A.weight` and `<map>.lora_B.weight` in the place of each weight that is adapted, and each tensor that is
/// trained as it is under its own name.
#[derive(Debug)]
pub struct Adapter {
    scale: f32,
    rank: usize,
    layout: Arc<Layout>,
    adapted: Vec<Adapted>,
    whole: Vec<Whole>,
    /// The model's weights, the trained ones in their places.
    merged: Weights,
    /// The model's gradient.
    gradient: Vec<f32>,
    /// Of one weight: the product of its factors.
    difference: Vec<f32>,
}

/// A weight that is adapted.
#[derive(Debug)]
pub(crate) struct Adapted {
    pub(crate) map: LinearMap,
    /// Its place in the model.
    weight: Range<usize>,
    /// Places of its factors among what is trained.
    a: Range<usize>,
    b: Range<usize>,
    /// Its values in the checkpoint.
    pub(crate) start: Vec<f32>,
}

impl Adapted {
    /// Names of its factors A and B among what is trained.
    pub(crate) fn factors(&self) -> [String; 2] {
        ["A", "B"].map(|factor| format!("{}.lora_{factor}.weight", self.map.name))
    }
}

/// A tensor that is trained as it is: its place in the model, and among what is trained.
#[derive(Debug)]
struct Whole {
    model: Range<usize>,
    trained: Range<usize>,
}

impl Adapter {
    /// An adapter of `model`, whose weights begin as `weights`; `whole` has a word for each entry of the model's layout,
    /// whether it is trained as it is.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a rank or an α out of range, [`Error::Target`] for a target that names no map of a layer,
    /// [`Error::Weights`] if the weights are not of this model.
    pub fn new(model: &Model, weights: Weights, lora: &Lora, whole: &[bool]) -> Result<Self, Error> {
        model.layout().same(weights.layout())?;
        let Lora { rank, alpha, .. } = *lora;
        if !(alpha > 0.0 && alpha.is_finite()) {
            let range = "must be positive";
            return Err(Error::Parameter { name: "alpha", value: alpha, range });
        }
        let maps = chosen(model, &lora.targets)?;
        let fits = |map: &LinearMap| (1..=map.outputs.min(map.inputs)).contains(&rank);
        if !maps.iter().all(fits) {
            let range = "must be from 1 to the smaller side of every weight that is adapted";
            return Err(Error::Parameter { name: "rank", value: rank as f64, range });
        }
        let (mut layout, mut adapted, mut plain) = (Layout::default(), Vec::new(), Vec::new());
        let mut maps = maps.into_iter().peekable();
        for (index, entry) in model.layout().entries().iter().enumerate() {
            let weight = entry.range();
            if let Some(map) = maps.next_if(|map| map.entry == index) {
                let a = layout.push(format!("{}.lora_A.weight", map.name), &[rank, map.inputs]);
                let b = layout.push(format!("{}.lora_B.weight", map.name), &[map.outputs, rank]);
                let start = weights.values[weight.clone()].to_vec();
                adapted.push(Adapted { map, weight, a, b, start });
            } else if whole.get(index) == Some(&true) {
                let trained = layout.push(&entry.name, &entry.shape);
                plain.push(Whole { model: weight, trained });
            }
        }
        let largest = adapted.iter().map(|adapted| adapted.weight.len()).max().unwrap_or(0);
        Ok(Self {
            scale: (alpha / rank as f64) as f32,
            rank,
            layout: Arc::new(layout),
            adapted,
            whole: plain,
            gradient: vec![0.0; weights.values.len()],
            merged: weights,
            difference: vec![0.0; largest],
        })
    }

    /// Names, shapes and places of what is trained.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Whether weight decay applies, for each entry of the layout: as in a model, not to what has one dimension.
    #[must_use]
    pub fn decays(&self) -> Vec<bool> {
        self.layout.entries().iter().map(|entry| entry.shape.len() > 1).collect()
    }

    /// What is trained, as it begins: A uniform in ±1/√inputs (Kaiming's with a = √5, as in the authors' code and in `peft`),
    /// each from a stream of its own, B zero, the rest as it is in the model.
    #[must_use]
    pub fn init(&self, seed: u64) -> Weights {
        let mut trained = Weights::zeros(Arc::clone(&self.layout));
        for adapted in &self.adapted {
            let mut stream = Stream::new(seed, &format!("init/{}.lora_A.weight", adapted.map.name));
            let bound = 1.0 / (adapted.map.inputs as f64).sqrt();
            trained.values[adapted.a.clone()].fill_with(|| ((2.0 * stream.unit_f64() - 1.0) * bound) as f32);
        }
        for Whole { model, trained: place } in &self.whole {
            trained.values[place.clone()].copy_from_slice(&self.merged.values[model.clone()]);
        }
        trained
    }

    /// What the product of two factors is multiplied by.
    pub(crate) fn scale(&self) -> f32 {
        self.scale
    }

    /// The weights that are adapted, in the order of the model's layout.
    pub(crate) fn adapted(&self) -> &[Adapted] {
        &self.adapted
    }

    /// The model's weights. Only those that are neither adapted nor trained are what they will be.
    pub(crate) fn weights(&self) -> &Weights {
        &self.merged
    }

    /// The whole model with these trained parameters.
    ///
    /// # Panics
    /// If `trained` is not as long as the layout.
    pub fn merge(&mut self, trained: &[f32]) -> &Weights {
        assert_eq!(trained.len(), self.layout.len(), "length of this adapter's flat buffer");
        let (rank, scale) = (self.rank, self.scale);
        for Adapted { map, weight, a, b, start } in &self.adapted {
            let a = Matrix::new(&trained[a.clone()], rank, map.inputs);
            let b = Matrix::new(&trained[b.clone()], map.outputs, rank);
            let difference = &mut self.difference[..weight.len()];
            match map.is_transposed {
                true => product(difference, map.outputs, a.transposed(), b.transposed(), Into::Overwrite),
                false => product(difference, map.inputs, b, a, Into::Overwrite),
            }
            let weight = &mut self.merged.values[weight.clone()];
            for ((weight, start), difference) in weight.iter_mut().zip(start).zip(difference) {
                *weight = start + scale * *difference;
            }
        }
        for Whole { model, trained: place } in &self.whole {
            self.merged.values[model.clone()].copy_from_slice(&trained[place.clone()]);
        }
        &self.merged
    }

    /// Writes the gradient of the mean loss of `batch` with respect to what is trained into `gradient`
    /// (overwritten), and returns the sums of the batch. As [`Trainer::gradient`] otherwise, with the trainer of this
    /// adapter's model.
    ///
    /// # Errors
    /// As [`Trainer::gradient`].
    pub fn gradient(
        &mut self,
        trainer: &mut Trainer<'_>,
        trained: &[f32],
        batch: &Batch,
        dropout_key: Option<u64>,
        gradient: &mut [f32],
    ) -> Result<Tally, Error> {
        self.merge(trained);
        let tally = trainer.gradient(&self.merged.values, batch, dropout_key, &mut self.gradient)?;
        let (rank, scale) = (self.rank, self.scale);
        for Adapted { map, weight, a, b, .. } in &self.adapted {
            let d_weight = &self.gradient[weight.clone()];
            let d_weight = match map.is_transposed {
                true => Matrix::new(d_weight, map.inputs, map.outputs).transposed(),
                false => Matrix::new(d_weight, map.outputs, map.inputs),
            };
            let down = Matrix::new(&trained[a.clone()], rank, map.inputs);
            let up = Matrix::new(&trained[b.clone()], map.outputs, rank);
            product(&mut gradient[b.clone()], rank, d_weight, down.transposed(), Into::Overwrite);
            product(&mut gradient[a.clone()], map.inputs, up.transposed(), d_weight, Into::Overwrite);
            for place in [a, b] {
                gradient[place.clone()].iter_mut().for_each(|value| *value *= scale);
            }
        }
        for Whole { model, trained: place } in &self.whole {
            gradient[place.clone()].copy_from_slice(&self.gradient[model.clone()]);
        }
        Ok(tally)
    }
}

/// The maps of the layers that these targets name, in the order of the layout.
fn chosen(model: &Model, targets: &[String]) -> Result<Vec<LinearMap>, Error> {
    let mut maps = model.linear_maps();
    let means = |target: &String, map: &LinearMap| target == ALL_LINEAR || map.is_called(target);
    let unknown = targets.iter().find(|target| !maps.iter().any(|map| means(target, map)));
    if unknown.is_some() || targets.is_empty() {
        // Each layer's are called alike.
        let mut known: Vec<&str> = maps.iter().filter_map(|map| map.name.rsplit('.').next()).collect();
        known.sort_unstable();
        known.dedup();
        return Err(Error::Target { target: unknown.cloned().unwrap_or_default(), known: known.join(", ") });
    }
    maps.retain(|map| targets.iter().any(|target| means(target, map)));
    Ok(maps)
}
