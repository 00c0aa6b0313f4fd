//! AdamW (Loshchilov and Hutter 2019) in place, in one pass over flat buffers.
//!
//! With `g` the scaled gradient, per value:
//! `p -= lr wd p`, `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g^2`,
//! `p -= lr / c1 * m / (sqrt(v) / sqrt(c2) + epsilon)` with `c = 1 - b^step`, or 1 without bias correction.
//! `epsilon` stands where PyTorch has it, outside the root. BERT's original optimiser has no bias correction.

use crate::lanes::{Lanes, dispatched_wide};

/// The constants of one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// Learning rate.
    pub learning_rate: f64,
    /// Decay of the mean of gradients.
    pub beta1: f64,
    /// Decay of the mean of squared gradients.
    pub beta2: f64,
    /// Added to the root.
    pub epsilon: f64,
    /// Decoupled weight decay, per unit of learning rate.
    pub weight_decay: f64,
    /// What the gradient is multiplied by: 1, or less where it is clipped.
    pub gradient_scale: f32,
    /// Number of this step, from 1, where the means are corrected for having started at 0.
    pub bias_correction: Option<u64>,
}

/// Takes one step with the parameters of a range.
///
/// # Panics
/// If the four buffers differ in length.
pub fn step(values: &mut [f32], gradient: &[f32], means: &mut [f32], squares: &mut [f32], step: &Step) {
    let n = values.len();
    assert_eq!((gradient.len(), means.len(), squares.len()), (n, n, n), "lengths of the optimiser's buffers");
    update(values, gradient, means, squares, &step.constants());
}

/// What a step multiplies and adds, rounded once. With `g` the scaled gradient, per value:
/// `m = betas[0] m + news[0] g`, `v = betas[1] v + news[1] g^2`, `p = keep p - rate m / (root sqrt(v) + epsilon)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Constants {
    /// What weight decay leaves of a parameter.
    pub keep: f32,
    /// Learning rate, with the correction of the mean.
    pub rate: f32,
    /// Correction of the root of the squares.
    pub root: f32,
    /// Added to the corrected root.
    pub epsilon: f32,
    /// Decays of both means.
    pub betas: [f32; 2],
    /// What new values weigh in both means.
    pub news: [f32; 2],
    /// What the gradient is multiplied by.
    pub scale: f32,
}

impl Step {
    /// The constants of this step, for this and for other implementations.
    #[must_use]
    pub fn constants(&self) -> Constants {
        let corrected = |beta: f64| {
            self.bias_correction
                .map_or(1.0, |number| 1.0 - beta.powi(i32::try_from(number).unwrap_or(i32::MAX)))
        };
        Constants {
            keep: (1.0 - self.learning_rate * self.weight_decay) as f32,
            rate: (self.learning_rate / corrected(self.beta1)) as f32,
            root: (1.0 / corrected(self.beta2).sqrt()) as f32,
            epsilon: self.epsilon as f32,
            betas: [self.beta1 as f32, self.beta2 as f32],
            news: [(1.0 - self.beta1) as f32, (1.0 - self.beta2) as f32],
            scale: self.gradient_scale,
        }
    }
}

dispatched_wide! {
    fn update(
        values: &mut [f32],
        gradient: &[f32],
        means: &mut [f32],
        squares: &mut [f32],
        constants: &Constants,
    ) = update_body
}

#[inline(always)]
fn update_body<V: Lanes>(
    values: &mut [f32],
    gradient: &[f32],
    means: &mut [f32],
    squares: &mut [f32],
    constants: &Constants,
) {
    let vectors = values.len() / V::WIDTH * V::WIDTH;
    for i in (0..vectors).step_by(V::WIDTH) {
        // SAFETY: all four buffers are equally long, as `step` checked, and `i + WIDTH` does not exceed that.
        unsafe { update_lanes::<V>(values, gradient, means, squares, constants, i) };
    }
    if V::WIDTH > 1 {
        let (values, gradient) = (&mut values[vectors..], &gradient[vectors..]);
        let (means, squares) = (&mut means[vectors..], &mut squares[vectors..]);
        update_body::<V::Narrower>(values, gradient, means, squares, constants);
    }
}

/// # Safety
/// `i + WIDTH` must not exceed the length of any buffer.
#[inline(always)]
unsafe fn update_lanes<V: Lanes>(
    values: &mut [f32],
    gradient: &[f32],
    means: &mut [f32],
    squares: &mut [f32],
    constants: &Constants,
    i: usize,
) {
    // SAFETY: the caller vouches for the index.
    unsafe {
        let (p, m, v) = (values.as_mut_ptr().add(i), means.as_mut_ptr().add(i), squares.as_mut_ptr().add(i));
        let g = V::load(gradient.as_ptr().add(i)) * V::splat(constants.scale);
        let mean = V::load(m).mul_add(V::splat(constants.betas[0]), g * V::splat(constants.news[0]));
        let square = V::load(v).mul_add(V::splat(constants.betas[1]), g * g * V::splat(constants.news[1]));
        mean.store(m);
        square.store(v);
        let divisor = square.sqrt().mul_add(V::splat(constants.root), V::splat(constants.epsilon));
        let kept = V::load(p) * V::splat(constants.keep);
        (kept - V::splat(constants.rate) * mean / divisor).store(p);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::dispatched;
    use crate::reference::{assert_close, normals, wide};

    /// Ten steps against the equations in `f64`: 2e-6 of the largest value.
    fn check(bias_correction: bool, weight_decay: f64) {
        const N: usize = 47;
        dispatched! {
            fn narrow(
                values: &mut [f32],
                gradient: &[f32],
                means: &mut [f32],
                squares: &mut [f32],
                constants: &Constants,
            ) = update_body
        }
        let start = normals(0, "start", N, 1.0);
        let mut fast = (start.clone(), vec![0.0; N], vec![0.0; N]);
        let (mut plain, mut half) = (fast.clone(), fast.clone());
        let mut truth = (wide(&start), vec![0.0; N], vec![0.0; N]);
        for number in 1..=10 {
            let gradient = normals(number, "gradient", N, 0.1);
            let rule = Step {
                learning_rate: 0.01,
                beta1: 0.9,
                beta2: 0.98,
                epsilon: 1e-6,
                weight_decay,
                gradient_scale: 0.5,
                bias_correction: bias_correction.then_some(number),
            };
            step(&mut fast.0, &gradient, &mut fast.1, &mut fast.2, &rule);
            for i in 0..N {
                let g = 0.5 * f64::from(gradient[i]);
                let (p, m, v) = (&mut truth.0[i], &mut truth.1[i], &mut truth.2[i]);
                *p -= 0.01 * weight_decay * *p;
                *m = 0.9 * *m + 0.1 * g;
                *v = 0.98 * *v + 0.02 * g * g;
                let (c1, c2) = if bias_correction {
                    (1.0 - 0.9_f64.powi(number as i32), 1.0 - 0.98_f64.powi(number as i32))
                } else {
                    (1.0, 1.0)
                };
                *p -= 0.01 / c1 * *m / ((*v / c2).sqrt() + 1e-6);
            }
            let constants = rule.constants();
            update_body::<f32>(&mut plain.0, &gradient, &mut plain.1, &mut plain.2, &constants);
            narrow(&mut half.0, &gradient, &mut half.1, &mut half.2, &constants);
            // The same bytes at any width.
            assert_eq!(half, fast);
        }
        assert_close(&fast.0, &truth.0, 2e-6);
        assert_close(&plain.0, &truth.0, 2e-6);
        assert_close(&fast.1, &truth.1, 2e-6);
        assert_close(&fast.2, &truth.2, 2e-6);
    }

    #[test]
    fn as_the_equations_say() {
        check(true, 0.0);
        check(true, 0.1);
        check(false, 0.01);
    }
}
