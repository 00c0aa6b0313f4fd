//! Cross-entropies on a device. Only a loss and a flag for each row come back from it, not the logits.

use candle_core::{D, DType, Tensor};
use candle_nn::{loss, ops};

use crate::{Error, Tally};

/// Logarithms of the softmax of `logits` `[rows, classes]`.
pub(super) fn log_probabilities(logits: &Tensor) -> Result<Tensor, Error> {
    Ok(ops::log_softmax(logits, D::Minus1)?)
}

/// The sum of `-ln softmax(logits)[label]` over the rows, a scalar.
pub(super) fn sum(log_probabilities: &Tensor, labels: &[u32]) -> Result<Tensor, Error> {
    let mean = loss::nll(log_probabilities, &column(labels, log_probabilities)?)?;
    Ok((mean * labels.len() as f64)?)
}

/// What each row loses, summed in `f64` on the host, and how many have their label as the first of the largest logits.
pub(super) fn of(log_probabilities: &Tensor, labels: &[u32]) -> Result<Tally, Error> {
    let (rows, classes) = log_probabilities.dims2()?;
    let labels = column(labels, log_probabilities)?;
    let losses = log_probabilities.gather(&labels.unsqueeze(1)?, 1)?.squeeze(1)?.neg()?; // [rows]
    // Not `argmax`, which is free to answer with any of several largest.
    let top = log_probabilities.broadcast_eq(&log_probabilities.max_keepdim(1)?)?; // [rows, classes]
    let places =
        Tensor::arange(0, classes as u32, log_probabilities.device())?.broadcast_as((rows, classes))?;
    let beyond = Tensor::full(classes as u32, (rows, classes), log_probabilities.device())?;
    let predicted = top.where_cond(&places, &beyond)?.min(1)?; // [rows]
    let is_right = predicted.eq(&labels)?.to_dtype(losses.dtype())?;
    let both = Tensor::stack(&[losses, is_right], 0)?.to_dtype(DType::F64)?.to_vec2::<f64>()?;
    Ok(Tally {
        loss_sum: both[0].iter().sum(),
        correct: both[1].iter().filter(|&&flag| flag > 0.5).count() as u64,
        n: rows as u64,
    })
}

/// Labels on the device of a tensor.
fn column(labels: &[u32], beside: &Tensor) -> Result<Tensor, Error> {
    Ok(Tensor::from_slice(labels, labels.len(), beside.device())?)
}
