//! In what precision stages compute, and where.

use clap::{Args, ValueEnum};
use models::{Device, Model};
use serde::{Serialize, Serializer};
use versions::Versions;

use crate::stage::Failure;

/// In what precision a stage computes, and where.
#[derive(Args, Clone, Copy, Debug, Default, Serialize)]
pub struct Compute {
    /// What products of matrices are computed in
    #[arg(long, value_enum, default_value_t)]
    #[serde(skip_serializing_if = "Precision::is_f32")]
    pub precision: Precision,
    /// Where models are computed: `cpu`, or in candle's operations on a GPU (`cuda`, `cuda:1`, `metal`, in a build that has
    /// them) or on the processor (`candle`: slow, to check the others)
    #[arg(long, default_value_t)]
    #[serde(skip_serializing_if = "is_cpu", serialize_with = "kind")]
    pub device: Device,
}

impl Compute {
    /// Versions of what the default does not run.
    pub(crate) fn versions(self) -> Versions {
        let bfloat = (!self.precision.is_f32()).then(kernels::matmul::bfloat::versions);
        let composite = (!is_cpu(&self.device)).then(models::composite::versions);
        bfloat.into_iter().chain(composite).collect()
    }

    /// The model that computes like this.
    ///
    /// # Errors
    /// [`Failure::Model`] if its family does not, or the device is not here.
    pub(crate) fn apply(self, model: Model) -> Result<Model, Failure> {
        Ok(model.with_precision(self.precision.into())?.on(self.device)?)
    }
}

/// The default stays out of keys, which are older than the choice.
fn is_cpu(device: &Device) -> bool {
    *device == Device::Cpu
}

/// The kind is part of a key. Which of several GPUs it was is not.
fn kind<S: Serializer>(device: &Device, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(device.kind())
}

/// What the inputs of products are rounded to. Parameters, sums and everything else stay f32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Not at all
    #[default]
    F32,
    /// To two numbers of bfloat16, multiplied three times, where AMX makes that faster than f32: nearly f32
    Bf16x3,
    /// To bfloat16, eight bits: the fastest where the processor multiplies it
    Bf16,
}

impl Precision {
    /// The default stays out of keys, which are older than the choice.
    fn is_f32(&self) -> bool {
        *self == Self::F32
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
