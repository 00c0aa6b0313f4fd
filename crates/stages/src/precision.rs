//! What stages compute products of matrices in.

use clap::ValueEnum;
use serde::Serialize;

/// What the inputs of products are rounded to. Parameters, sums and everything else stay f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Not at all
    #[default]
    F32,
    /// To two numbers of bfloat16, multiplied three times: nearly f32
    Bf16x3,
    /// To bfloat16, eight bits: the fastest where the processor multiplies it
    Bf16,
}

impl Precision {
    /// The default stays out of keys, which are older than the choice.
    pub(crate) fn is_f32(&self) -> bool {
        *self == Self::F32
    }

    /// The version of its products, which are no others' concern.
    pub(crate) fn version(self) -> Option<(&'static str, u32)> {
        (!self.is_f32()).then_some(("bfloat", kernels::matmul::bfloat::VERSION))
    }
}

impl From<Precision> for models::Precision {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16x3 => Self::Bf16x3,
            Precision::Bf16 => Self::Bf16,
        }
    }
}
