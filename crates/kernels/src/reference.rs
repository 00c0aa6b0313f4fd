//! Obviously correct `f64` forms that the kernels' tests compare with.

/// `Phi(x)` by its Taylor series near 0 and Lentz's continued fraction in the tails, to about 1e-14.
pub(crate) fn normal_distribution(x: f64) -> f64 {
    let z = x.abs();
    let upper = if z < 2.5 {
        let (mut term, mut sum, mut n) = (z, z, 0.0);
        while term.abs() > 1e-18 {
            n += 1.0;
            term *= z * z / (2.0 * n + 1.0);
            sum += term;
        }
        0.5 - normal_density(z) * sum
    } else {
        let mut fraction = z;
        for k in (1..200).rev() {
            fraction = z + f64::from(k) / fraction;
        }
        normal_density(z) / fraction
    };
    if x < 0.0 { upper } else { 1.0 - upper }
}

/// `phi(x)`.
pub(crate) fn normal_density(x: f64) -> f64 {
    (-0.5 * x * x).exp() / std::f64::consts::TAU.sqrt()
}

/// `f64` copies.
pub(crate) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// Panics unless every value is within `tolerance` of the truth, relative to the largest of the truth.
#[track_caller]
pub(crate) fn assert_close(found: &[f32], truth: &[f64], tolerance: f64) {
    assert_eq!(found.len(), truth.len());
    let size = truth.iter().fold(1e-30, |size: f64, x| size.max(x.abs()));
    for (i, (&a, &b)) in found.iter().zip(truth).enumerate() {
        let error = (f64::from(a) - b).abs() / size;
        assert!(error <= tolerance, "index {i}: {a} is not {b}, error {error:e} of the largest, {size}");
    }
}

/// Central finite differences of `f` at `x`, in `f64`.
pub(crate) fn differences(x: &[f64], mut f: impl FnMut(&[f64]) -> f64) -> Vec<f64> {
    let mut x = x.to_vec();
    (0..x.len())
        .map(|i| {
            let (at, step) = (x[i], 1e-5 * x[i].abs().max(1.0));
            x[i] = at + step;
            let above = f(&x);
            x[i] = at - step;
            let below = f(&x);
            x[i] = at;
            (above - below) / (2.0 * step)
        })
        .collect()
}

/// Standard normal values of a named stream, times `scale`.
pub(crate) fn normals(seed: u64, purpose: &str, n: usize, scale: f64) -> Vec<f32> {
    let mut stream = random::Stream::new(seed, purpose);
    (0..n).map(|_| (stream.normal() * scale) as f32).collect()
}
