//! SCE (Wan et al. 2024, "FuseChat"): select, calculate, erase. Of each tensor the `density` share of values whose task
//! vectors vary most between the models is kept; a model weighs as much as the mean square of what it keeps; values
//! whose sign is not that of the sum are erased, and the weighed mean of the rest is added to the base.
//!
//! Shares are of the values that vary at all. Three passes, and 24 bytes for each value of the tensor.

use super::{ANY, thin};
use crate::Error;
use crate::members::{BLOCK, Tensor};
use crate::methods::{Base, How, Method};
use crate::parameters::{Parameter, Settings};

/// Select, calculate, erase.
pub static METHOD: Method = Method {
    name: "sce",
    about: "What varies most, weighed by its squares, of one sign (Wan et al. 2024)",
    version: 1,
    parameters: &[Parameter::share("density", "Share of each task vector that is kept", 1.0)],
    base: Base::Required,
    random: false,
    members: ANY,
    how: How::Tensors(merge),
};

fn merge(tensor: &Tensor<'_>, settings: &Settings, out: &mut [f32]) -> Result<(), Error> {
    let n = tensor.models();
    let density = settings.get("density");
    let mut kept = vec![1.0_f32; tensor.len];
    // Sum over the models, from which signs are elected.
    let mut sums = vec![0.0_f64; tensor.len];
    let mut variances = vec![0.0_f32; tensor.len];
    each_block(tensor, |start, deltas| {
        for i in 0..deltas[0].len() {
            let sum: f64 = deltas.iter().map(|delta| delta[i]).sum();
            let mean = sum / n as f64;
            let square: f64 = deltas.iter().map(|delta| (delta[i] - mean).powi(2)).sum();
            sums[start + i] = sum;
            variances[start + i] = (square / n as f64) as f32;
        }
    })?;
    if density < 1.0 {
        let varying = variances.iter().filter(|&&variance| variance != 0.0).count();
        thin::apply(thin::cut(&variances, (density * varying as f64) as usize), &variances, &mut kept);
    }
    let mut squares = vec![0.0_f64; n];
    each_block(tensor, |start, deltas| {
        for (square, delta) in squares.iter_mut().zip(deltas) {
            *square +=
                delta.iter().zip(&kept[start..]).map(|(d, &kept)| f64::from(kept) * d * d).sum::<f64>();
        }
    })?;
    let means: Vec<f64> = squares.iter().map(|square| square / tensor.len as f64).collect();
    let total: f64 = means.iter().sum();
    let weights: Vec<f64> =
        means.iter().map(|mean| if total.abs() < 1e-6 { 1.0 / n as f64 } else { mean / total }).collect();
    tensor.read_base(0, out)?;
    each_block(tensor, |start, deltas| {
        for i in 0..deltas[0].len() {
            let place = start + i;
            let (mut sum, mut weight) = (0.0, 0.0);
            for (delta, of_model) in deltas.iter().zip(&weights) {
                if kept[place] != 0.0 && delta[i] * sums[place] > 0.0 {
                    sum += of_model * delta[i];
                    weight += of_model;
                }
            }
            out[place] = (f64::from(out[place]) + sum / weight.max(1e-6)) as f32;
        }
    })
}

/// Calls `with` on each block of the task vectors of all models, in `f64`.
fn each_block(tensor: &Tensor<'_>, mut with: impl FnMut(usize, &[Vec<f64>])) -> Result<(), Error> {
    for start in (0..tensor.len).step_by(BLOCK) {
        let len = BLOCK.min(tensor.len - start);
        let (mut base, mut model) = (vec![0.0; len], vec![0.0; len]);
        tensor.read_base(start, &mut base)?;
        let mut deltas = Vec::with_capacity(tensor.models());
        for member in 0..tensor.models() {
            tensor.read(member, start, &mut model)?;
            let pairs = model.iter().zip(&base);
            deltas.push(pairs.map(|(&model, &base)| f64::from(model) - f64::from(base)).collect());
        }
        with(start, &deltas);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::METHOD;
    use crate::methods::tests::over;
    use crate::parameters::Plan;
    use crate::{Layout, Weights};

    fn of(values: &[f32]) -> Weights {
        let mut layout = Layout::default();
        layout.push("w", &[values.len()]);
        let mut weights = Weights::zeros(Arc::new(layout));
        weights.values.copy_from_slice(values);
        weights
    }

    #[test]
    fn by_hand() {
        let base = of(&[0.0; 3]);
        let (a, b) = (of(&[2.0, 1.0, 0.0]), of(&[1.0, -2.0, 0.0]));
        // Squares 5 and 5: equal weights. Signs + and -: (2 + 1)/2, then -2 alone.
        assert_eq!(over(&METHOD, &base, &[&a, &b], &Plan::default()).values, [1.5, -2.0, 0.0]);
        // Variances 0.25, 2.25 and 0: half of the two that vary is the second. Weights 1/5 and 4/5, -2 alone.
        let found = over(&METHOD, &base, &[&a, &b], &Plan::default().with("density", 0.5));
        assert_eq!(found.values, [0.0, -2.0, 0.0]);
    }
}
