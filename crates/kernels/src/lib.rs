//! Fused forward and backward operations on flat `f32` buffers.
//!
//! Everything is row-major and single-threaded, but for large products of a pass that has a pool to itself
//! ([`matmul::shared`]): a result depends on the arguments and on the instruction set, never on how many threads there are.
//! AVX2 with FMA is chosen when the program runs on it, and portable code otherwise.
//!
//! Backward functions *accumulate* into the gradients of parameters and *overwrite* the gradients of activations.
//! Wrong lengths are the caller's bug and panic; models check what comes from outside.
//!
//! ```
//! use kernels::matmul::{Into, Matrix, product};
//!
//! let (a, identity) = ([1.0, 2.0, 3.0, 4.0], [1.0, 0.0, 0.0, 1.0]);
//! let mut c = [0.0; 4];
//! product(&mut c, 2, Matrix::new(&a, 2, 2), Matrix::new(&identity, 2, 2), Into::Overwrite);
//! assert_eq!(c, a);
//! ```
//!
//! **This crate knows no model.** It is the only one of the mathematics that holds `unsafe` code.

mod lanes;

pub mod adamw;
pub mod attention;
pub mod conv1d;
pub mod cross_entropy;
pub mod denormals;
pub mod dropout;
mod elementary;
pub mod embedding;
pub mod gelu;
pub mod gelu_new;
pub mod glu;
pub mod layer_norm;
pub mod linear;
pub mod matmul;
pub mod norm;
pub mod relu;
pub mod rms_norm;
pub mod rotary;
pub mod rows;
pub mod tanh;

#[cfg(test)]
mod reference;

/// Changes whenever a kernel's results change for the same arguments on the same instruction set.
pub const VERSION: u32 = 2;

/// Versions of this method and of those that it rests on.
#[must_use]
pub fn versions() -> versions::Versions {
    versions::Versions::of("kernels", VERSION).and(random::versions())
}
