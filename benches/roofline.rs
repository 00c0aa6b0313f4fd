//! How much of what the processor can do the products of a step get.

use std::time::Instant;

use kernels::matmul::{Into, Matrix, product};

/// Speed of a product of two square matrices on one thread, in floating-point operations per second: the best of
/// several tries.
pub(crate) fn product_speed() -> f64 {
    const N: usize = 512;
    let (a, mut c) = (vec![0.5; N * N], vec![0.0; N * N]);
    let mut best = f64::INFINITY;
    for _ in 0..20 {
        let started = Instant::now();
        product(&mut c, N, Matrix::new(&a, N, N), Matrix::new(&a, N, N), Into::Overwrite);
        best = best.min(started.elapsed().as_secs_f64());
    }
    2.0 * (N * N * N) as f64 / best
}

/// Floating-point operations of the products in a training step of an encoder: 12 H^2 weights a layer, each used
/// three times by each token, and the two products of attention, L^2 H each for a sequence of L tokens.
pub(crate) fn step_operations(hidden: usize, layers: usize, batch: usize, length: usize) -> f64 {
    let (h, tokens) = (hidden as f64, (batch * length) as f64);
    layers as f64 * (6.0 * 12.0 * h * h * tokens + 12.0 * tokens * length as f64 * h)
}
