//! Elementary functions on lanes, accurate to a few units in the last place of `f32`.
//!
//! NaN goes in and comes out, so that a model that has diverged cannot look healthy: minimum and maximum give their
//! second argument for NaN, and so the variable always stands second.

use crate::lanes::Lanes;

/// `exp(x)`; exactly 0 below -87.3, where `f32` would be denormal, and capped at `exp(88.3)`.
///
/// Cody and Waite's reduction to `|r| <= ln(2) / 2` and the polynomial of Cephes `expf`.
#[inline(always)]
pub(crate) fn exp<V: Lanes>(x: V) -> V {
    const SMALLEST: f32 = -87.336_54;
    let clamped = V::splat(88.376_26).min(V::splat(SMALLEST).max(x));
    let n = (clamped * V::splat(std::f32::consts::LOG2_E)).round();
    // ln(2) in two parts, the first with few enough bits that its multiples are exact.
    let r = n.mul_add(V::splat(-0.693_359_4), clamped);
    let r = n.mul_add(V::splat(2.121_944_4e-4), r);
    let mut p = V::splat(1.987_569_1e-4);
    p = p.mul_add(r, V::splat(1.398_199_9e-3));
    p = p.mul_add(r, V::splat(8.333_452e-3));
    p = p.mul_add(r, V::splat(4.166_579_6e-2));
    p = p.mul_add(r, V::splat(1.666_666_5e-1));
    p = p.mul_add(r, V::splat(0.5));
    let value = p.mul_add(r * r, r + V::splat(1.0)) * n.power_of_two();
    x.select_below(V::splat(SMALLEST), V::splat(0.0), value)
}

/// `tanh(x)`: the rational minimax approximation of degree 13 over 6 that Eigen uses.
#[inline(always)]
pub(crate) fn tanh<V: Lanes>(x: V) -> V {
    let x = V::splat(7.905_311).min(V::splat(-7.905_311).max(x));
    let square = x * x;
    let mut p = V::splat(-2.760_768_5e-16);
    for coefficient in
        [2.000_188e-13, -8.604_672e-11, 5.122_297e-8, 1.485_722_4e-5, 6.372_619e-4, 4.893_525e-3]
    {
        p = p.mul_add(square, V::splat(coefficient));
    }
    let mut q = V::splat(1.198_258_4e-6);
    for coefficient in [1.185_347e-4, 2.268_434_6e-3, 4.893_525e-3] {
        q = q.mul_add(square, V::splat(coefficient));
    }
    x * p / q
}

/// The normal distribution function and density, `(Phi(x), phi(x))`.
///
/// `Phi(-|x|) = exp(-x^2/2) R(|x|)` with Mills' ratio `R` as a polynomial in `t = 1 / (1 + 0.27 |x|)` (the form of
/// Abramowitz and Stegun 7.1.26), interpolated at Chebyshev nodes for `|x| <= 14` with relative error 2.9e-8. So one
/// exponential serves both, and the lower tail keeps its relative accuracy, which `1 + erf` loses.
#[inline(always)]
pub(crate) fn normal<V: Lanes>(x: V) -> (V, V) {
    let one = V::splat(1.0);
    let size = x.abs();
    let e = exp(x * x * V::splat(-0.5));
    let t = one / size.mul_add(V::splat(0.27), one);
    let mut p = V::splat(MILLS[8]);
    for &coefficient in MILLS[..8].iter().rev() {
        p = p.mul_add(t, V::splat(coefficient));
    }
    let lower = e * (p * t);
    let distribution = x.select_below(V::splat(0.0), lower, one - lower);
    // 1 / sqrt(2 pi)
    (distribution, e * V::splat(0.398_942_3))
}

/// Coefficients of `R / t`, lowest power first.
const MILLS: [f32; 9] = [
    0.107_722_096,
    0.107_518_606,
    0.101_980_366,
    0.071_406_06,
    0.109_277_2,
    -0.071_213_916,
    0.171_444_68,
    -0.127_242_12,
    0.029_107_029,
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::dispatched;
    use crate::reference;

    /// Largest `|f(x) - g(x)| / (|g(x)| + floor)` over a grid.
    fn worst(f: impl Fn(f32) -> f32, g: impl Fn(f64) -> f64, low: f32, high: f32, floor: f64) -> f64 {
        (0..=200_000)
            .map(|i| {
                let x = low + (high - low) * i as f32 / 2e5;
                let truth = g(f64::from(x));
                (f64::from(f(x)) - truth).abs() / (truth.abs() + floor)
            })
            .fold(0.0, f64::max)
    }

    #[test]
    fn nan_stays() {
        dispatched! { fn all(values: &mut [f32; 24]) = body }
        #[inline(always)]
        fn body<V: Lanes>(values: &mut [f32; 24]) {
            for i in (0..8).step_by(V::WIDTH) {
                // SAFETY: `WIDTH` divides eight, and there are three times eight values.
                unsafe {
                    let (x, to) = (V::load(values.as_ptr().add(i)), values.as_mut_ptr());
                    exp(x).store(to.add(i));
                    tanh(x).store(to.add(8 + i));
                    normal(x).0.store(to.add(16 + i));
                }
            }
        }
        for run in [all, body::<f32>] {
            let mut values = [f32::NAN; 24];
            run(&mut values);
            assert!(values.iter().all(|x| x.is_nan()), "{values:?}");
        }
    }

    #[test]
    fn exp_is_accurate() {
        assert!(worst(exp, f64::exp, -87.3, 88.3, 0.0) < 2e-7);
        assert_eq!((exp(-90.0_f32), exp(f32::NEG_INFINITY), exp(0.0_f32)), (0.0, 0.0, 1.0));
    }

    #[test]
    fn tanh_is_accurate() {
        assert!(worst(tanh, f64::tanh, -12.0, 12.0, 0.0) < 4e-7);
    }

    #[test]
    fn normal_is_accurate() {
        // The exponent's rounding grows with x^2: 6e-7 relative in the body, 2e-6 at six standard deviations.
        assert!(worst(|x| normal(x).0, reference::normal_distribution, -3.0, 8.0, 0.0) < 8e-7);
        assert!(worst(|x| normal(x).0, reference::normal_distribution, -6.0, -3.0, 0.0) < 2e-6);
        assert!(worst(|x| normal(x).1, reference::normal_density, -3.0, 3.0, 0.0) < 5e-7);
        assert_eq!(normal(-20.0_f32).0, 0.0);
    }
}
