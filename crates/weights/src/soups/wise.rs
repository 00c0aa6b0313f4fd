//! WiSE-FT (Wortsman et al. 2022, "Robust fine-tuning of zero-shot models"): the fine-tuned model pulled back towards
//! the one it started from, `(1-alpha) theta_0 + alpha theta_1`. One pass.

use crate::Error;
use crate::members::Tensor;
use crate::merges::slerp::ALPHA;
use crate::methods::{Base, How, Method};
use crate::parameters::Settings;
use crate::paths::linear;

/// A point between the start and the fine-tuned model.
pub static METHOD: Method = Method {
    name: "wise-ft",
    about: "One model, pulled back towards the base (Wortsman et al. 2022)",
    version: 1,
    parameters: &[ALPHA],
    base: Base::Required,
    random: false,
    members: (1, 1),
    how: How::Values(merge),
};

fn merge(tensor: &Tensor<'_>, settings: &Settings, start: usize, out: &mut [f32]) -> Result<(), Error> {
    let alpha = settings.get("alpha");
    Tensor::in_blocks(start, out, |start, out| {
        let mut base = vec![0.0; out.len()];
        let mut model = vec![0.0; out.len()];
        tensor.read_base(start, &mut base)?;
        tensor.read(0, start, &mut model)?;
        if alpha == 0.0 || alpha == 1.0 {
            // The ends are copies, negative zeros included.
            out.copy_from_slice(if alpha == 0.0 { &base } else { &model });
        } else {
            linear::between(&base, &model, alpha, out);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::methods::tests::over;
    use crate::parameters::Plan;
    use crate::tests::weights;

    #[test]
    fn lies_on_the_line() {
        let (start, finetuned) = (weights(1), weights(2));
        let at = |alpha| over(&METHOD, &start, &[&finetuned], &Plan::default().with("alpha", alpha)).values;
        assert_eq!(at(0.0), start.values);
        assert_eq!(at(1.0), finetuned.values);
        assert!((at(0.25)[0] - (0.75 * start.values[0] + 0.25 * finetuned.values[0])).abs() < 1e-6);
    }
}
