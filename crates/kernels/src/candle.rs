//! The kernels as candle operations with gradients, for whoever composes models from tensors.
//!
//! They run on the CPU in `f32` and say so otherwise; candle's own LayerNorm and softmax cut gradients silently.

use candle_core::{CpuStorage, CustomOp1, CustomOp3, DType, Layout, Result, Shape, Tensor, bail};

use crate::attention::{self, Heads, Spans};
use crate::layer_norm::{self, Addends, Affine};
use crate::{cross_entropy, gelu};

/// `weight x^ + bias` over the last dimension.
///
/// # Errors
/// If a tensor is not `f32` on the CPU, or weight and bias are not as long as the last dimension.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f32) -> Result<Tensor> {
    let width = x.dim(candle_core::D::Minus1)?;
    if weight.dims() != [width] || bias.dims() != [width] {
        bail!("LayerNorm of {:?}: weight {:?}, bias {:?}", x.dims(), weight.dims(), bias.dims());
    }
    x.contiguous()?.apply_op3(&weight.contiguous()?, &bias.contiguous()?, LayerNorm { epsilon })
}

/// `x Phi(x)`.
///
/// # Errors
/// If the tensor is not `f32` on the CPU.
pub fn gelu(x: &Tensor) -> Result<Tensor> {
    x.contiguous()?.apply_op1(Gelu)
}

/// Sum of the cross-entropies of logits `[labels, classes]`.
///
/// # Errors
/// If the tensor is not `f32` on the CPU or not `[labels, classes]`, or a label is not a class.
pub fn cross_entropy(logits: &Tensor, labels: &[u32]) -> Result<Tensor> {
    let (rows, classes) = logits.dims2()?;
    if rows != labels.len() || labels.iter().any(|&label| label as usize >= classes) {
        bail!("{} labels for logits of shape [{rows}, {classes}], or a label of another class", labels.len());
    }
    logits.contiguous()?.apply_op1(CrossEntropy { labels: labels.to_vec(), classes })
}

/// Attention over packed sequences: `packed` is `[tokens, 3 width]`, query, key and value side by side, and sequence
/// `i` is the rows `starts[i]..starts[i + 1]`. The result is `[tokens, width]`.
///
/// # Errors
/// If the tensor is not `f32` on the CPU, its width is not `3 heads size`, or the starts do not cover its rows.
pub fn attention(packed: &Tensor, starts: &[u32], heads: usize) -> Result<Tensor> {
    let (tokens, width) = packed.dims2()?;
    let covers = starts.first() == Some(&0)
        && starts.last() == Some(&(tokens as u32))
        && starts.windows(2).all(|span| span[0] < span[1]);
    if !covers || heads == 0 || !width.is_multiple_of(3 * heads) {
        bail!("attention of {heads} heads over [{tokens}, {width}] with starts {starts:?}");
    }
    packed.contiguous()?.apply_op1(Attention { starts: starts.to_vec(), heads, width: width / 3 })
}

struct LayerNorm {
    epsilon: f32,
}

struct Gelu;

struct CrossEntropy {
    labels: Vec<u32>,
    classes: usize,
}

struct Attention {
    starts: Vec<u32>,
    heads: usize,
    width: usize,
}

impl LayerNorm {
    /// Normalised values, output, reciprocal deviations.
    fn run(&self, x: &[f32], weight: &[f32], bias: &[f32]) -> [Vec<f32>; 3] {
        let mut normalised = x.to_vec();
        let (mut out, mut reciprocals) = (vec![0.0; x.len()], vec![0.0; x.len() / weight.len()]);
        let affine = Affine { weight, bias, epsilon: self.epsilon };
        layer_norm::forward(&mut normalised, Addends::default(), affine, &mut out, &mut reciprocals);
        [normalised, out, reciprocals]
    }
}

impl CustomOp3 for LayerNorm {
    fn name(&self) -> &'static str {
        "layer-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        bias: &CpuStorage,
        bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let [weight, bias] = [values(weight, weight_layout)?, values(bias, bias_layout)?];
        let [_, out, _] = self.run(values(x, x_layout)?, weight, bias);
        Ok((CpuStorage::F32(out), x_layout.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _out: &Tensor,
        d_out: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let (flat_weight, flat_bias) = (flat(weight)?, flat(bias)?);
        let [normalised, _, reciprocals] = self.run(&flat(x)?, &flat_weight, &flat_bias);
        let mut d = flat(d_out)?;
        let (mut d_weight, mut d_bias) = (vec![0.0; flat_weight.len()], vec![0.0; flat_bias.len()]);
        layer_norm::backward(&mut d, &normalised, &reciprocals, &flat_weight, &mut d_weight, &mut d_bias);
        Ok((Some(like(d, x)?), Some(like(d_weight, weight)?), Some(like(d_bias, bias)?)))
    }
}

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut out = values(x, layout)?.to_vec();
        let no_bias = vec![0.0; row_length(layout.dims())];
        gelu::forward(&mut out, &no_bias);
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }

    fn bwd(&self, x: &Tensor, _out: &Tensor, d_out: &Tensor) -> Result<Option<Tensor>> {
        let mut derivative = flat(x)?;
        let (mut out, mut d) = (vec![0.0; derivative.len()], flat(d_out)?);
        let mut bias = vec![0.0; row_length(x.dims())];
        gelu::forward_and_derivative(&mut derivative, &bias, &mut out);
        gelu::backward(&mut d, &derivative, &mut bias);
        Ok(Some(like(d, x)?))
    }
}

impl CustomOp1 for CrossEntropy {
    fn name(&self) -> &'static str {
        "cross-entropy"
    }

    fn cpu_fwd(&self, logits: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let tally = cross_entropy::forward(values(logits, layout)?, &self.labels, self.classes);
        Ok((CpuStorage::F32(vec![tally.loss_sum as f32]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _out: &Tensor, d_out: &Tensor) -> Result<Option<Tensor>> {
        let mut d = flat(logits)?;
        cross_entropy::forward_backward(&mut d, &self.labels, self.classes, d_out.to_scalar()?);
        Ok(Some(like(d, logits)?))
    }
}

impl Attention {
    /// Probabilities and context.
    fn run(&self, packed: &[f32]) -> (Vec<f32>, Vec<f32>) {
        let spans = self.spans();
        let mut probabilities = vec![0.0; spans.probabilities(self.heads)];
        let mut context = vec![0.0; packed.len() / 3];
        attention::forward(
            packed,
            self.layout(),
            spans,
            None,
            &mut probabilities,
            &mut context,
            &mut Vec::new(),
        );
        (probabilities, context)
    }

    fn layout(&self) -> Heads {
        Heads::fused(self.heads, self.width / self.heads)
    }

    fn spans(&self) -> Spans<'_> {
        Spans { queries: &self.starts, keys: &self.starts }
    }
}

impl CustomOp1 for Attention {
    fn name(&self) -> &'static str {
        "packed-attention"
    }

    fn cpu_fwd(&self, packed: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (_, context) = self.run(values(packed, layout)?);
        let tokens = context.len() / self.width;
        Ok((CpuStorage::F32(context), Shape::from((tokens, self.width))))
    }

    fn bwd(&self, packed: &Tensor, _out: &Tensor, d_out: &Tensor) -> Result<Option<Tensor>> {
        let flat_packed = flat(packed)?;
        let (probabilities, _) = self.run(&flat_packed);
        let mut d = vec![0.0; flat_packed.len()];
        attention::backward(
            &flat_packed,
            self.layout(),
            self.spans(),
            None,
            &probabilities,
            &flat(d_out)?,
            &mut d,
            &mut Vec::new(),
        );
        Ok(Some(like(d, packed)?))
    }
}

fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => bail!("tensor of shape {:?} is not contiguous", layout.shape()),
    }
}

fn row_length(dims: &[usize]) -> usize {
    dims.last().copied().unwrap_or(1).max(1)
}

fn flat(tensor: &Tensor) -> Result<Vec<f32>> {
    if tensor.dtype() != DType::F32 {
        bail!("tensor of shape {:?} is {:?}, kernels compute in F32", tensor.shape(), tensor.dtype());
    }
    tensor.flatten_all()?.to_vec1()
}

fn like(values: Vec<f32>, tensor: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(values, tensor.shape(), tensor.device())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::{assert_close, normals, wide};
    use candle_core::{D, Device, Var};

    fn variable(purpose: &str, shape: &[usize]) -> Var {
        let values = normals(0, purpose, shape.iter().product(), 1.0);
        Var::from_tensor(&Tensor::from_vec(values, shape, &Device::Cpu).unwrap()).unwrap()
    }

    /// Value and all gradients of `sum(weights * f)` for two forms of `f`: 1e-5 of the largest.
    fn check(variables: &[&Var], ours: Tensor, theirs: Tensor) {
        assert_eq!(ours.dims(), theirs.dims());
        assert_close(&flat(&ours).unwrap(), &wide(&flat(&theirs).unwrap()), 1e-5);
        let weights = variable("output weights", ours.dims());
        let gradients = [ours, theirs]
            .map(|out| (out * weights.as_tensor()).unwrap().sum_all().unwrap().backward().unwrap());
        for variable in variables {
            let [ours, theirs] =
                gradients.each_ref().map(|store| flat(store.get(variable.as_tensor()).unwrap()).unwrap());
            assert!(theirs.iter().any(|&g| g != 0.0));
            assert_close(&ours, &wide(&theirs), 1e-5);
        }
    }

    #[test]
    fn layer_norm_is_its_composition() {
        let (x, weight, bias) =
            (variable("x", &[3, 4, 24]), variable("weight", &[24]), variable("bias", &[24]));
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1).unwrap()).unwrap();
        let variance = (centred.sqr().unwrap().mean_keepdim(D::Minus1).unwrap() + 1e-5).unwrap();
        let scaled = centred.broadcast_div(&variance.sqrt().unwrap()).unwrap();
        let theirs = scaled.broadcast_mul(&weight).unwrap().broadcast_add(&bias).unwrap();
        check(&[&x, &weight, &bias], layer_norm(&x, &weight, &bias, 1e-5).unwrap(), theirs);
    }

    #[test]
    fn gelu_is_candles() {
        let x = variable("x", &[5, 7]);
        check(&[&x], gelu(&x).unwrap(), x.gelu_erf().unwrap());
    }

    #[test]
    fn cross_entropy_is_its_composition() {
        let (x, labels) = (variable("x", &[6, 11]), [3, 0, 10, 10, 5, 1]);
        let normaliser = x.exp().unwrap().sum_keepdim(1).unwrap().log().unwrap();
        let index = Tensor::new(&labels, &Device::Cpu).unwrap().unsqueeze(1).unwrap();
        let theirs = (normaliser - x.gather(&index, 1).unwrap()).unwrap().sum_all().unwrap();
        check(&[&x], cross_entropy(&x, &labels).unwrap(), theirs);
    }

    #[test]
    fn attention_is_its_composition() {
        let (heads, size, starts) = (2, 8, [0_u32, 5, 6, 13]);
        let x = variable("x", &[13, 3 * heads * size]);
        let sequences: Vec<Tensor> = starts
            .windows(2)
            .map(|span| {
                let (start, n) = (span[0] as usize, (span[1] - span[0]) as usize);
                let rows = x.narrow(0, start, n).unwrap().reshape((n, 3, heads, size)).unwrap();
                // [heads, n, size]
                let part = |i: usize| {
                    rows.narrow(1, i, 1)
                        .unwrap()
                        .squeeze(1)
                        .unwrap()
                        .transpose(0, 1)
                        .unwrap()
                        .contiguous()
                        .unwrap()
                };
                let keys = part(1).transpose(1, 2).unwrap().contiguous().unwrap();
                let e = (part(0).matmul(&keys).unwrap() / (size as f64).sqrt()).unwrap().exp().unwrap();
                let p = e.broadcast_div(&e.sum_keepdim(D::Minus1).unwrap()).unwrap();
                let out = p.matmul(&part(2)).unwrap().transpose(0, 1).unwrap().contiguous().unwrap();
                out.reshape((n, heads * size)).unwrap()
            })
            .collect();
        check(&[&x], attention(&x, &starts, heads).unwrap(), Tensor::cat(&sequences, 0).unwrap());
    }

    #[test]
    fn wrong_shapes_are_errors() {
        let x = variable("x", &[4, 12]);
        assert!(attention(&x, &[0, 3], 2).is_err());
        assert!(attention(&x, &[0, 2, 2, 4], 2).is_err());
        assert!(cross_entropy(&x, &[0, 1, 2, 12]).is_err());
        assert!(layer_norm(&x, &variable("w", &[4]), &variable("b", &[12]), 1e-5).is_err());
        assert!(gelu(&x.to_dtype(DType::F64).unwrap()).is_err());
    }
}
