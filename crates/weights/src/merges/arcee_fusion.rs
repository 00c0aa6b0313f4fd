//! Arcee fusion (mergekit): of one model, what matters is put into the base. A value's importance is
//! `|theta - theta_0|` times the divergence `KL(softmax theta || softmax theta_0)` of its row (last axis); what is at least
//! the median and one and a half ranges between quartiles is taken, the rest stays.
//!
//! Quartiles are exact, of all values of the tensor; mergekit samples them in tensors above a million. One pass, a
//! selection, and 12 bytes for each value.

use crate::Error;
use crate::members::Tensor;
use crate::methods::{Base, How, Method};
use crate::parameters::Settings;

/// Important values of one model, put into the base.
pub static METHOD: Method = Method {
    name: "arcee-fusion",
    about: "The values of one model that matter most, put into the base (mergekit)",
    version: 1,
    parameters: &[],
    base: Base::Required,
    random: false,
    members: (1, 1),
    how: How::Tensors(merge),
};

fn merge(tensor: &Tensor<'_>, _: &Settings, out: &mut [f32]) -> Result<(), Error> {
    let mut model = vec![0.0; tensor.len];
    tensor.read(0, 0, &mut model)?;
    tensor.read_base(0, out)?;
    let width = tensor.shape.last().copied().unwrap_or(1).max(1);
    let mut importance = vec![0.0_f64; tensor.len];
    for ((row, base), importance) in
        model.chunks(width).zip(out.chunks(width)).zip(importance.chunks_mut(width))
    {
        let divergence = divergence(row, base);
        for ((importance, &model), &base) in importance.iter_mut().zip(row).zip(base) {
            *importance = (f64::from(model) - f64::from(base)).abs() * divergence;
        }
    }
    let threshold = threshold(&importance);
    for ((out, model), importance) in out.iter_mut().zip(model).zip(importance) {
        if importance >= threshold {
            *out = model;
        }
    }
    Ok(())
}

/// `KL(softmax p || softmax q)`, each probability raised by 1e-8.
fn divergence(p: &[f32], q: &[f32]) -> f64 {
    let softmax = |values: &[f32]| -> Vec<f64> {
        let most = values.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let powers: Vec<f64> =
            values.iter().map(|&value| (f64::from(value) - f64::from(most)).exp()).collect();
        let sum: f64 = powers.iter().sum();
        powers.iter().map(|power| power / sum + 1e-8).collect()
    };
    softmax(p).iter().zip(softmax(q)).map(|(p, q)| p * (p / q).ln()).sum()
}

/// Median and one and a half ranges between quartiles; infinite for no values.
fn threshold(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else { return f64::INFINITY };
    let quartile = |share: f64| sorted[(share * last as f64) as usize];
    quartile(0.5) + 1.5 * (quartile(0.75) - quartile(0.25))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::tests::over;
    use crate::parameters::Plan;
    use crate::tests::weights;

    #[test]
    fn by_hand() {
        assert_eq!(threshold(&[4.0, 0.0, 1.0, 2.0, 3.0]), 2.0 + 1.5 * 2.0);
        assert_eq!(divergence(&[1.0, 2.0], &[1.0, 2.0]), 0.0);
        let third = (2.0_f64).ln() * 2.0 / 3.0 + (0.5_f64).ln() / 3.0;
        // Softmax (2/3, 1/3) and (1/3, 2/3).
        assert!((divergence(&[2.0_f32.ln(), 0.0], &[0.0, 2.0_f32.ln()]) - third).abs() < 1e-6);
    }

    #[test]
    fn values_are_of_one_or_the_other() {
        let (base, model) = (weights(0), weights(1));
        let found = over(&METHOD, &base, &[&model], &Plan::default());
        let taken = found.values.iter().zip(&model.values).filter(|(found, model)| found == model).count();
        let stayed = found.values.iter().zip(&base.values).filter(|(found, base)| found == base).count();
        assert!(taken > 0 && stayed > 0 && taken + stayed == found.values.len(), "{taken} {stayed}");
    }
}
