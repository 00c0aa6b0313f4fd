//! Where a model computes.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// Where a model computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Device {
    /// The processor, in fused passes.
    #[default]
    Cpu,
    /// The processor, in candle's operations: slow, another implementation to hold the fused passes to.
    Candle,
    /// The NVIDIA GPU of this number, in candle's operations.
    Cuda(usize),
    /// The Apple GPU of this number, in candle's operations.
    Metal(usize),
}

impl Device {
    /// Its kind, without a number: `cpu`, `candle`, `cuda` or `metal`.
    #[must_use]
    pub fn kind(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Candle => "candle",
            Self::Cuda(_) => "cuda",
            Self::Metal(_) => "metal",
        }
    }

    /// Candle's device, of all but the fused passes.
    ///
    /// # Errors
    /// [`Error::Device`] if this build or this machine has none.
    pub(crate) fn open(self) -> Result<Option<candle_core::Device>, Error> {
        use candle_core::utils::{cuda_is_available, metal_is_available};
        let refused = |reason: String| Error::Device { device: self.to_string(), reason };
        let built = |is_built: bool| match is_built {
            true => Ok(()),
            false => {
                let kind = self.kind();
                Err(refused(format!(
                    "this program was built without it: build it with `--features samebasin-stages/{kind}`"
                )))
            }
        };
        let opened = match self {
            Self::Cpu => return Ok(None),
            Self::Candle => Ok(candle_core::Device::Cpu),
            Self::Cuda(number) => {
                built(cuda_is_available())?;
                candle_core::Device::new_cuda(number)
            }
            Self::Metal(number) => {
                built(metal_is_available())?;
                candle_core::Device::new_metal(number)
            }
        };
        // With RUST_BACKTRACE candle's errors go on with where they happened.
        opened
            .map(Some)
            .map_err(|error| refused(error.to_string().lines().next().unwrap_or_default().to_owned()))
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu | Self::Candle => f.write_str(self.kind()),
            Self::Cuda(number) | Self::Metal(number) => write!(f, "{}:{number}", self.kind()),
        }
    }
}

impl FromStr for Device {
    type Err = String;

    /// `cpu`, `candle`, `cuda`, `cuda:1`, `metal`, `metal:1`.
    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, number) = match text.split_once(':') {
            Some((kind, number)) => (kind, Some(number)),
            None => (text, None),
        };
        let number = number.map(str::parse).transpose().ok();
        match (kind, number) {
            ("cpu", Some(None)) => Ok(Self::Cpu),
            ("candle", Some(None)) => Ok(Self::Candle),
            ("cuda", Some(number)) => Ok(Self::Cuda(number.unwrap_or(0))),
            ("metal", Some(number)) => Ok(Self::Metal(number.unwrap_or(0))),
            _ => Err("it must be `cpu`, `candle`, `cuda`, `metal`, or one of the latter with its number, as `cuda:1`".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_written() {
        for (text, device) in [
            ("cpu", Device::Cpu),
            ("candle", Device::Candle),
            ("cuda:0", Device::Cuda(0)),
            ("cuda:3", Device::Cuda(3)),
            ("metal:1", Device::Metal(1)),
        ] {
            assert_eq!(text.parse(), Ok(device));
            assert_eq!(device.to_string(), text);
        }
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
        for wrong in ["", "gpu", "cpu:1", "cuda:", "cuda:x", "cuda:-1", "CUDA"] {
            assert!(wrong.parse::<Device>().is_err(), "{wrong}");
        }
    }
}
