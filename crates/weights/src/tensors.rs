//! Named tensors in one flat buffer, and their safetensors form.

use std::collections::HashMap;
use std::sync::Arc;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use crate::{Entry, Error, Layout};

/// The parameters of one model: a flat buffer and the names of its parts.
#[derive(Clone, Debug)]
pub struct Weights {
    layout: Arc<Layout>,
    /// The values of all tensors, in layout order.
    pub values: Vec<f32>,
}

impl Weights {
    /// All zeros.
    #[must_use]
    pub fn zeros(layout: Arc<Layout>) -> Self {
        let values = vec![0.0; layout.len()];
        Self { layout, values }
    }

    /// Names for the parts.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The values of one tensor, row-major.
    #[must_use]
    pub fn tensor(&self, name: &str) -> Option<&[f32]> {
        self.layout.entry(name).map(|entry| &self.values[entry.range()])
    }

    /// The values of one tensor, to be changed.
    #[must_use]
    pub fn tensor_mut(&mut self, name: &str) -> Option<&mut [f32]> {
        let range = self.layout.entry(name)?.range();
        Some(&mut self.values[range])
    }

    /// Reads all floating-point tensors of a safetensors file, sorted by name.
    ///
    /// Integer tensors are buffers (`position_ids`, attention masks), not weights, and stay out.
    ///
    /// # Errors
    /// [`Error::Format`] if the file lies about itself, [`Error::Type`] for a 64-bit float, [`Error::NotFinite`].
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, Error> {
        let file = parse(bytes)?;
        let mut names: Vec<&str> = file.names();
        names.sort_unstable();
        let mut layout = Layout::default();
        let mut kept = Vec::with_capacity(names.len());
        for name in names {
            let view = file.tensor(name).map_err(format_error)?;
            if !is_integer(view.dtype()) {
                layout.push(name, view.shape());
                kept.push(view);
            }
        }
        let mut weights = Self::zeros(Arc::new(layout));
        let layout = Arc::clone(&weights.layout);
        for (entry, view) in layout.entries().iter().zip(&kept) {
            decode(entry, view, &mut weights.values[entry.range()])?;
        }
        Ok(weights)
    }

    /// Reads exactly the tensors of `layout`.
    ///
    /// # Errors
    /// As [`Weights::from_safetensors`], and [`Error::Missing`], [`Error::Shape`], [`Error::Unexpected`] where the
    /// file is of another model.
    pub fn from_safetensors_as(bytes: &[u8], layout: &Arc<Layout>) -> Result<Self, Error> {
        let file = parse(bytes)?;
        let mut weights = Self::zeros(Arc::clone(layout));
        for entry in layout.entries() {
            let view =
                file.tensor(&entry.name).map_err(|_absent| Error::Missing { name: entry.name.clone() })?;
            if view.shape() != entry.shape {
                return Err(Error::Shape {
                    name: entry.name.clone(),
                    found: view.shape().to_vec(),
                    expected: entry.shape.clone(),
                });
            }
            decode(entry, &view, &mut weights.values[entry.range()])?;
        }
        let mut unknown: Vec<&str> = file
            .iter()
            .filter(|(name, view)| layout.entry(name).is_none() && !is_integer(view.dtype()))
            .map(|(name, _)| name)
            .collect();
        unknown.sort_unstable();
        match unknown.first() {
            Some(name) => Err(Error::Unexpected { name: (*name).to_owned() }),
            None => Ok(weights),
        }
    }

    /// The safetensors file of these weights: F32, the same bytes for the same values and names.
    ///
    /// # Panics
    /// Never: a layout's views fit their shapes.
    #[must_use]
    pub fn to_safetensors(&self) -> Vec<u8> {
        let bytes: Vec<u8> = self.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let views = self.layout.entries().iter().map(|entry| {
            let range = entry.offset * 4..(entry.offset + entry.len) * 4;
            let view = TensorView::new(Dtype::F32, entry.shape.clone(), &bytes[range]);
            (entry.name.as_str(), view.expect("a layout's entries fit their shapes"))
        });
        // One metadata entry at most: more are written in hash order. `format` is what transformers asks for.
        let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        safetensors::serialize(views, Some(metadata)).expect("names are unique and views fit")
    }

    /// Checks that every weight is a finite number.
    ///
    /// # Errors
    /// [`Error::NotFinite`] with the first offender.
    pub fn check_finite(&self) -> Result<(), Error> {
        let Some(at) = self.values.iter().position(|value| !value.is_finite()) else { return Ok(()) };
        let entry = self.layout.entries().iter().find(|entry| entry.range().contains(&at));
        let (name, offset) = entry.map_or((String::new(), 0), |entry| (entry.name.clone(), entry.offset));
        Err(Error::NotFinite { name, index: at - offset, value: self.values[at] })
    }
}

fn parse(bytes: &[u8]) -> Result<SafeTensors<'_>, Error> {
    SafeTensors::deserialize(bytes).map_err(format_error)
}

fn format_error(error: safetensors::SafeTensorError) -> Error {
    Error::Format { reason: error.to_string() }
}

fn is_integer(dtype: Dtype) -> bool {
    matches!(
        dtype,
        Dtype::BOOL
            | Dtype::U8
            | Dtype::I8
            | Dtype::U16
            | Dtype::I16
            | Dtype::U32
            | Dtype::I32
            | Dtype::U64
            | Dtype::I64
    )
}

/// Values of one stored tensor as `f32`, each checked to be finite.
fn decode(entry: &Entry, view: &TensorView<'_>, out: &mut [f32]) -> Result<(), Error> {
    let data = view.data();
    match view.dtype() {
        Dtype::F32 => {
            for (value, bytes) in out.iter_mut().zip(data.chunks_exact(4)) {
                *value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            }
        }
        Dtype::BF16 => {
            for (value, bytes) in out.iter_mut().zip(data.chunks_exact(2)) {
                *value = f32::from_bits(u32::from(u16::from_le_bytes([bytes[0], bytes[1]])) << 16);
            }
        }
        Dtype::F16 => {
            for (value, bytes) in out.iter_mut().zip(data.chunks_exact(2)) {
                *value = half_to_f32(u16::from_le_bytes([bytes[0], bytes[1]]));
            }
        }
        other => return Err(Error::Type { name: entry.name.clone(), dtype: format!("{other:?}") }),
    }
    match out.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(Error::NotFinite { name: entry.name.clone(), index, value: out[index] }),
        None => Ok(()),
    }
}

/// IEEE 754 binary16 to binary32, exactly.
fn half_to_f32(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let exponent = i32::from(bits >> 10 & 0x1f);
    let fraction = f32::from(bits & 0x3ff);
    match exponent {
        0 => sign * fraction * 2f32.powi(-24),
        0x1f if fraction == 0.0 => sign * f32::INFINITY,
        0x1f => f32::NAN,
        _ => sign * (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Weights {
        let mut layout = Layout::default();
        layout.push("z.weight", &[2, 3]);
        layout.push("a.bias", &[2]);
        let mut weights = Weights::zeros(Arc::new(layout));
        for (i, value) in weights.values.iter_mut().enumerate() {
            *value = i as f32 - 3.5;
        }
        weights
    }

    #[test]
    fn there_and_back() {
        let weights = sample();
        let bytes = weights.to_safetensors();
        let back = Weights::from_safetensors_as(&bytes, weights.layout()).unwrap();
        assert_eq!(back.values, weights.values);
        assert_eq!(bytes, back.to_safetensors());
        let sorted = Weights::from_safetensors(&bytes).unwrap();
        assert_eq!(sorted.tensor("a.bias"), weights.tensor("a.bias"));
        assert_eq!(sorted.layout().entries()[0].name, "a.bias");
    }

    #[test]
    fn every_lie_is_named() {
        let weights = sample();
        let bytes = weights.to_safetensors();
        let message = |result: Result<Weights, Error>| result.unwrap_err().to_string();
        assert!(
            message(Weights::from_safetensors(&bytes[..bytes.len() - 1])).contains("not a safetensors file")
        );
        let mut other = Layout::default();
        other.push("z.weight", &[3, 2]);
        assert_eq!(
            message(Weights::from_safetensors_as(&bytes, &Arc::new(other))),
            "tensor `z.weight` has shape [2, 3], expected [3, 2]"
        );
        let mut fewer = Layout::default();
        fewer.push("z.weight", &[2, 3]);
        assert_eq!(
            message(Weights::from_safetensors_as(&bytes, &Arc::new(fewer))),
            "tensor `a.bias` is not part of this model"
        );
        let mut nan = weights.clone();
        nan.tensor_mut("a.bias").unwrap()[1] = f32::NAN;
        assert_eq!(
            message(Weights::from_safetensors(&nan.to_safetensors())),
            "tensor `a.bias` holds NaN at index 1"
        );
        assert!(nan.check_finite().is_err());
    }

    #[test]
    fn halves_decode_exactly() {
        for (bits, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x0001, 2f32.powi(-24)),
            (0x7bff, 65504.0),
            (0x3555, 0.333_251_95),
        ] {
            assert_eq!(half_to_f32(bits), value);
        }
    }
}
