//! Perceptrons with ReLU: `layers.0`, `layers.1`, ..., `classifier`.

use kernels::matmul::Into;
use kernels::{cross_entropy, relu};
use serde::{Deserialize, Serialize};
use weights::Layout;

use crate::blocks::map::Form;
use crate::blocks::{Aim, Buffer, Map};
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

/// A perceptron's layers.
#[derive(Clone, Debug)]
pub(crate) struct Mlp {
    layers: Vec<Map>,
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
            layers.push(Map::push(layout, &name, outputs, inputs, Form::AFFINE));
            inputs = outputs;
        }
        Ok(Self { layers })
    }

    /// Leaves every layer's output in `outputs`, and returns the last, the logits `[n, classes]`.
    fn forward<'b>(&self, values: &[f32], inputs: &[f32], outputs: &'b mut Vec<Buffer>) -> &'b mut Buffer {
        let last = self.layers.len() - 1;
        let n = inputs.len() / self.layers[0].inputs;
        outputs.resize_with(self.layers.len().max(outputs.len()), Buffer::default);
        for (i, map) in self.layers.iter().enumerate() {
            let (before, rest) = outputs.split_at_mut(i);
            let y = rest[0].room(n, map.outputs);
            map.forward(values, before.last().map_or(inputs, Buffer::get), y);
            if i < last {
                relu::rectify(y);
            }
        }
        &mut outputs[last]
    }

    fn labels(&self) -> usize {
        self.layers[self.layers.len() - 1].outputs
    }

    pub(crate) fn logits<'b>(&self, values: &[f32], inputs: &[f32], buffers: &'b mut Buffers) -> &'b [f32] {
        self.forward(values, inputs, &mut buffers.outputs).get()
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
        aim: Aim<'_>,
        gradient: &mut [f32],
        buffers: &mut Buffers,
    ) -> Tally {
        let Buffers { outputs, gradient: dy, next } = buffers;
        let logits = self.forward(values, inputs, outputs);
        let d_logits = dy.copy(logits);
        let tally = cross_entropy::forward_backward(d_logits, aim.labels, self.labels(), aim.scale);
        self.layers[self.layers.len() - 1].bias_backward(d_logits, gradient);
        for (i, map) in self.layers.iter().enumerate().rev() {
            if i == 0 {
                map.weight_backward(inputs, dy.get(), gradient);
                continue;
            }
            let x = &outputs[i - 1];
            let dx = next.room(x.rows(), map.inputs);
            map.product_backward(values, x.get(), dy.get(), (&mut *dx, Into::Overwrite), gradient);
            relu::backward(dx, x.get(), self.layers[i - 1].bias_mut(gradient));
            dy.swap(next);
        }
        tally
    }
}

pub(crate) fn classes<'a>(targets: &Targets<'a>) -> &'a [u32] {
    match targets {
        Targets::Classes(labels) => labels,
        Targets::MaskedTokens { .. } | Targets::Sequences { .. } => {
            panic!("a perceptron was given tokens to predict, which its check refuses")
        }
    }
}
