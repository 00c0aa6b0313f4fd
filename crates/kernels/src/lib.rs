//! t
mod lanes;
mod elementary;
pub mod matmul;
#[cfg(test)]
mod reference;
