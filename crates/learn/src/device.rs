//! Training on a device: parameters, gradients and moments stay there from step to step.
//!
//! What crosses the bus in a step is the batch, the dropout masks, a loss and a flag for each label, and one sum of squares
//! for each trained tensor. A [`State`] is read when a run begins and written when it pauses, so that it is saved and
//! resumed as that of the fused passes, bit for bit.

use std::collections::BTreeMap;
use std::ops::Range;

use candle_core::{D, DType, Device, Tensor, Var};
use models::composite::Composite;
use models::{Dropout, Model, Tally};
use tasks::Batch;

use crate::gradient::{BatchView, shard_key};
use crate::lora::Adapted;
use crate::training::Place;
use crate::{AdamW, Adapter, Error, Scope, State};

/// A run on a device.
pub(crate) struct OnDevice<'m> {
    model: &'m Model,
    composite: Composite,
    /// What is trained, in the order of the state's layout.
    trained: Vec<Trained>,
    /// Weights that are computed from what is trained.
    merged: Vec<Merged>,
}

/// One tensor that is trained.
struct Trained {
    /// Its place in the state.
    place: Range<usize>,
    decays: bool,
    value: Var,
    first: Tensor,
    second: Tensor,
    /// Of the current step; none where the loss does not depend on the tensor.
    gradient: Option<Tensor>,
}

/// A weight that differs from the checkpoint's by a product of two factors.
struct Merged {
    name: String,
    start: Tensor,
    a: Var,
    b: Var,
    scale: f64,
    is_transposed: bool,
}

impl<'m> OnDevice<'m> {
    /// Takes a run to the device. What is not trained is a constant there, through which no gradient goes.
    pub(crate) fn new(
        model: &'m Model,
        device: &Device,
        scope: &Scope<'_>,
        state: &State,
    ) -> Result<Self, Error> {
        let (mut trained, mut variables) = (Vec::new(), BTreeMap::new());
        let kinds = scope.trained(model).into_iter().zip(scope.decays(model));
        for (entry, (_, decays)) in scope.layout(model).entries().iter().zip(kinds).filter(|(_, (is, _))| *is)
        {
            let tensor =
                |values: &[f32]| Tensor::from_slice(&values[entry.range()], entry.shape.as_slice(), device);
            let value = Var::from_tensor(&tensor(&state.weights.values)?)?;
            variables.insert(entry.name.clone(), value.clone());
            let (first, second) = (tensor(&state.first)?, tensor(&state.second)?);
            trained.push(Trained { place: entry.range(), decays, value, first, second, gradient: None });
        }
        let constants = match scope {
            Scope::All | Scope::Biases => &state.weights.values,
            Scope::LowRank(adapter) => &adapter.weights().values,
        };
        let mut parameters = BTreeMap::new();
        for entry in model.layout().entries() {
            let parameter = match variables.get(&entry.name) {
                Some(variable) => variable.as_tensor().clone(),
                None => Tensor::from_slice(&constants[entry.range()], entry.shape.as_slice(), device)?,
            };
            parameters.insert(entry.name.clone(), parameter);
        }
        let merged = match scope {
            Scope::All | Scope::Biases => Vec::new(),
            Scope::LowRank(adapter) => {
                let merged = |adapted| Merged::new(model, adapter, adapted, &variables, device);
                adapter.adapted().iter().map(merged).collect::<Result<_, _>>()?
            }
        };
        let composite = Composite::of(model, parameters, DType::F32, device);
        Ok(Self { model, composite, trained, merged })
    }

    /// Writes values and moments into the state.
    pub(crate) fn save(&self, state: &mut State) -> Result<(), Error> {
        for Trained { place, value, first, second, .. } in &self.trained {
            for (tensor, flat) in [
                (value.as_tensor(), &mut state.weights.values),
                (first, &mut state.first),
                (second, &mut state.second),
            ] {
                flat[place.clone()].copy_from_slice(&tensor.flatten_all()?.to_vec1::<f32>()?);
            }
        }
        Ok(())
    }

    /// Euclidean norm of the gradient of all that is trained, clipped by nothing.
    fn norm(&self) -> Result<f64, Error> {
        let squares = self.trained.iter().filter_map(|trained| trained.gradient.as_ref());
        // Row by row first: one sum over millions of values would lose the last of them in `f32`.
        let squares: Vec<Tensor> = squares
            .map(|gradient| gradient.sqr()?.sum(D::Minus1)?.sum_all())
            .collect::<Result<_, candle_core::Error>>()?;
        if squares.is_empty() {
            return Ok(0.0);
        }
        let squares = Tensor::stack(&squares, 0)?.to_vec1::<f32>()?;
        Ok(squares.into_iter().map(f64::from).sum::<f64>().sqrt())
    }
}

impl Place for OnDevice<'_> {
    /// Shards are those of the fused passes, so that dropout masks are as well.
    fn gradient(
        &mut self,
        _state: &State,
        batch: &Batch,
        dropout_key: Option<u64>,
    ) -> Result<(Tally, f64), Error> {
        for merged in &self.merged {
            self.composite.set(&merged.name, merged.weight()?);
        }
        self.trained.iter_mut().for_each(|trained| trained.gradient = None);
        let view = BatchView::of(batch);
        let scale = 1.0 / view.targets().max(1) as f32;
        let mut total = Tally::default();
        for (index, shard) in view.shards().into_iter().enumerate() {
            let part = view.part(shard);
            let dropout = dropout_key.map(|key| Dropout { key: shard_key(key, index) });
            let (inputs, targets) = (part.inputs(), part.targets());
            self.model.check(&inputs, Some(&targets))?;
            let (tally, gradients) = self.composite.backward(&inputs, &targets, dropout, scale)?;
            total += tally;
            let Some(mut gradients) = gradients else { continue };
            for trained in &mut self.trained {
                let Some(found) = gradients.remove(trained.value.as_tensor()) else { continue };
                trained.gradient = Some(match trained.gradient.take() {
                    Some(sum) => (sum + found)?,
                    None => found,
                });
            }
        }
        Ok((total, self.norm()?))
    }

    fn step(
        &mut self,
        _state: &mut State,
        optimiser: &AdamW,
        step: u64,
        learning_rate: f64,
        scale: f32,
    ) -> Result<(), Error> {
        for trained in &mut self.trained {
            let weight_decay = if trained.decays { optimiser.weight_decay } else { 0.0 };
            let rule = optimiser.rule(step, learning_rate, scale, weight_decay);
            trained.step(&rule.constants())?;
        }
        Ok(())
    }
}

impl Trained {
    /// The update of [`kernels::adamw`], operation by operation.
    fn step(&mut self, constants: &kernels::adamw::Constants) -> Result<(), Error> {
        let number = f64::from;
        let gradient = match self.gradient.take() {
            Some(gradient) => (gradient * number(constants.scale))?,
            None => self.first.zeros_like()?,
        };
        let [(keep_first, new_first), (keep_second, new_second)] =
            [0, 1].map(|i| (number(constants.betas[i]), number(constants.news[i])));
        self.first = ((&self.first * keep_first)? + (&gradient * new_first)?)?;
        self.second = ((&self.second * keep_second)? + (gradient.sqr()? * new_second)?)?;
        let divisor = self.second.sqrt()?.affine(number(constants.root), number(constants.epsilon))?;
        let change = ((&self.first * number(constants.rate))? / divisor)?;
        let kept = (self.value.as_detached_tensor() * number(constants.keep))?;
        Ok(self.value.set(&(kept - change)?)?)
    }
}

impl Merged {
    fn new(
        model: &Model,
        adapter: &Adapter,
        adapted: &Adapted,
        variables: &BTreeMap<String, Var>,
        device: &Device,
    ) -> Result<Self, Error> {
        let entry = &model.layout().entries()[adapted.map.entry];
        let [a, b] = adapted.factors().map(|name| variables[&name].clone());
        Ok(Self {
            name: entry.name.clone(),
            start: Tensor::from_slice(&adapted.start, entry.shape.as_slice(), device)?,
            a,
            b,
            scale: f64::from(adapter.scale()),
            is_transposed: adapted.map.is_transposed,
        })
    }

    /// The weight with the factors as they are now. Gradients go through it to the factors.
    fn weight(&self) -> Result<Tensor, Error> {
        let product = self.b.matmul(self.a.as_tensor())?; // [outputs, inputs]
        let product = if self.is_transposed { product.t()? } else { product };
        Ok((&self.start + (product * self.scale)?)?)
    }
}

impl From<candle_core::Error> for Error {
    fn from(error: candle_core::Error) -> Self {
        Self::Model(error.into())
    }
}
