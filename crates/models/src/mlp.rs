//! Perceptrons with ReLU: `layers.0`, `layers.1`, ..., `classifier`.

use std::ops::Range;

use kernels::matmul::{Into, Precision};
use kernels::{cross_entropy, linear, relu};
use serde::{Deserialize, Serialize};
use weights::Layout;

use crate::buffer::Buffer;
use crate::fields::{check_size, parse, render};
use crate::head::MLP_ARCHITECTURE;
use crate::start::Initial;
use crate::{Error, Head, Tally, Targets};

/// Raised whenever the family's results change.
pub const VERSION: u32 = 1;

/// The family's name in `config.json`.
pub const MODEL_TYPE: &str = "samebasin-mlp";

/// Shape of a perceptron.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Values per input.
    pub input_size: usize,
    /// Units of each hidden layer.
    pub hidden_sizes: Vec<usize>,
}

#[derive(Deserialize)]
struct Read {
    input_size: usize,
    hidden_sizes: Vec<usize>,
}

#[derive(Serialize)]
struct Written<'a> {
    architectures: [&'static str; 1],
    model_type: &'static str,
    input_size: usize,
    hidden_sizes: &'a [usize],
    id2label: std::collections::BTreeMap<usize, String>,
}

impl Config {
    pub(crate) fn from_json(text: &str) -> Result<Self, Error> {
        let Read { input_size, hidden_sizes } = parse(text)?;
        let config = Self { input_size, hidden_sizes };
        config.check()?;
        Ok(config)
    }

    pub(crate) fn to_json(&self, head: Head, names: &[String]) -> String {
        render(&Written {
            architectures: [MLP_ARCHITECTURE],
            model_type: MODEL_TYPE,
            input_size: self.input_size,
            hidden_sizes: &self.hidden_sizes,
            id2label: head.label_names(names).unwrap_or_default().into_iter().enumerate().collect(),
        })
    }

    pub(crate) fn check(&self) -> Result<(), Error> {
        check_size("input_size", self.input_size)?;
        self.hidden_sizes.iter().try_for_each(|&size| check_size("hidden_sizes", size))
    }
}

/// He initialisation (He et al. 2015): variance `2 / inputs`, which keeps the scale through ReLUs; biases 0.
pub(crate) fn initial(shape: &[usize]) -> Initial {
    match shape {
        [_, inputs] => Initial::Normal((2.0 / *inputs as f64).sqrt()),
        _ => Initial::Zeros,
    }
}

/// One affine layer in the flat buffer.
#[derive(Clone, Debug)]
struct Layer {
    weight: Range<usize>,
    bias: Range<usize>,
    inputs: usize,
    outputs: usize,
}

/// A perceptron's layers.
#[derive(Clone, Debug)]
pub(crate) struct Mlp {
    layers: Vec<Layer>,
}

/// Memory of a perceptron's passes.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// Outputs of each layer, the logits last.
    outputs: Vec<Buffer>,
    gradient: Buffer,
    next: Buffer,
}

impl Mlp {
    pub(crate) fn new(config: &Config, head: Head, layout: &mut Layout) -> Result<Self, Error> {
        let Head::Classification { labels } = head else {
            return Err(Error::Head { model_type: MODEL_TYPE, head: head.name() });
        };
        let mut inputs = config.input_size;
        let mut layers = Vec::new();
        for (i, &outputs) in config.hidden_sizes.iter().chain([&labels]).enumerate() {
            let name =
                if i == config.hidden_sizes.len() { "classifier".into() } else { format!("layers.{i}") };
            let weight = layout.push(format!("{name}.weight"), &[outputs, inputs]);
            let bias = layout.push(format!("{name}.bias"), &[outputs]);
            layers.push(Layer { weight, bias, inputs, outputs });
            inputs = outputs;
        }
        Ok(Self { layers })
    }

    /// Leaves every layer's output in `buffers`; returns the number of rows.
    fn forward(&self, values: &[f32], inputs: &[f32], buffers: &mut Buffers) -> usize {
        let n = inputs.len() / self.layers[0].inputs;
        buffers.outputs.resize_with(self.layers.len().max(buffers.outputs.len()), Buffer::default);
        for (i, layer) in self.layers.iter().enumerate() {
            let (before, rest) = buffers.outputs.split_at_mut(i);
            let x = before.last().map_or(inputs, |x| x.get(n * layer.inputs));
            let y = rest[0].room(n * layer.outputs);
            let (weight, bias) = (&values[layer.weight.clone()], &values[layer.bias.clone()]);
            if i + 1 == self.layers.len() {
                linear::forward_with_bias(y, x, weight, bias, layer.inputs, Precision::F32);
            } else {
                linear::forward(y, x, weight, layer.inputs, Precision::F32);
                relu::forward(y, bias);
            }
        }
        n
    }

    fn labels(&self) -> usize {
        self.layers[self.layers.len() - 1].outputs
    }

    pub(crate) fn logits<'b>(&self, values: &[f32], inputs: &[f32], buffers: &'b mut Buffers) -> &'b [f32] {
        let n = self.forward(values, inputs, buffers);
        buffers.outputs[self.layers.len() - 1].get(n * self.labels())
    }

    pub(crate) fn losses(
        &self,
        values: &[f32],
        inputs: &[f32],
        targets: &Targets<'_>,
        buffers: &mut Buffers,
    ) -> Tally {
        cross_entropy::forward(self.logits(values, inputs, buffers), classes(targets), self.labels())
    }

    pub(crate) fn loss_and_gradient(
        &self,
        values: &[f32],
        inputs: &[f32],
        targets: &Targets<'_>,
        scale: f32,
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) -> Tally {
        let n = self.forward(values, inputs, buffers);
        let Buffers { outputs, gradient: dy, next } = buffers;
        let last = self.layers.len() - 1;
        let logits = outputs[last].get(n * self.labels());
        let d_logits = dy.room(logits.len());
        d_logits.copy_from_slice(logits);
        let tally = cross_entropy::forward_backward(d_logits, classes(targets), self.labels(), scale);
        linear::bias_gradient(&mut gradient[self.layers[last].bias.clone()], d_logits);
        for (i, layer) in self.layers.iter().enumerate().rev() {
            let x = if i == 0 { inputs } else { outputs[i - 1].get(n * layer.inputs) };
            let d = dy.get(n * layer.outputs);
            linear::weight_gradient(&mut gradient[layer.weight.clone()], d, x, layer.inputs, Precision::F32);
            if i > 0 {
                let dx = next.room(n * layer.inputs);
                linear::input_gradient(
                    dx,
                    d,
                    &values[layer.weight.clone()],
                    layer.inputs,
                    Precision::F32,
                    Into::Overwrite,
                );
                relu::backward(dx, x, &mut gradient[self.layers[i - 1].bias.clone()]);
                std::mem::swap(dy, next);
            }
        }
        tally
    }
}

fn classes<'a>(targets: &Targets<'a>) -> &'a [u32] {
    match targets {
        Targets::Classes(labels) => labels,
        Targets::MaskedTokens { .. } | Targets::Sequences { .. } => {
            panic!("a perceptron was given tokens to predict, which its check refuses")
        }
    }
}
