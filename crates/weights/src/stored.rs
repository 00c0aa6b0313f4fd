//! Weights as they lie in a safetensors file, decoded where and when they are wanted.
//!
//! What has to see every value of many models once need not hold any of them: [`Stored`] is a table over somebody
//! else's bytes, a memory-mapped file most often.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorInfo};

use crate::constants::is_constant;
use crate::{Entry, Error, Layout, Weights};

/// The floating-point tensors of a safetensors file, sorted by name.
///
/// Integer tensors are buffers, not weights, and are not among them; nor are the constants that older versions of
/// transformers kept (`masked_bias`, causal masks, `position_ids`, `inv_freq`), whatever their type and their values.
#[derive(Clone, Debug)]
pub struct Stored<'a> {
    layout: Layout,
    /// Type and bytes of each entry of the layout.
    parts: Vec<(Dtype, &'a [u8])>,
}

impl<'a> Stored<'a> {
    /// Reads the table of a file. No value is looked at yet.
    ///
    /// # Errors
    /// [`Error::Format`] if the file lies about itself, [`Error::Type`] for a float that is not F32, F16 or BF16.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let file =
            SafeTensors::deserialize(bytes).map_err(|error| Error::Format { reason: error.to_string() })?;
        let mut tensors = file.tensors();
        tensors.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        let (mut layout, mut parts) = (Layout::default(), Vec::with_capacity(tensors.len()));
        for (name, view) in tensors {
            match view.dtype() {
                _ if is_constant(&name, view.shape()) => {}
                Dtype::F32 | Dtype::F16 | Dtype::BF16 => {
                    layout.push(name, view.shape());
                    parts.push((view.dtype(), view.data()));
                }
                integer if is_integer(integer) => {}
                other => return Err(Error::Type { name, dtype: format!("{other:?}") }),
            }
        }
        Ok(Self { layout, parts })
    }

    /// Names and shapes, sorted by name.
    #[must_use]
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Decodes the values `range` of the tensor that is number `index` in the layout, each checked to be finite.
    ///
    /// # Errors
    /// [`Error::NotFinite`] with the first that is not.
    ///
    /// # Panics
    /// If the tensor has no such values, or `out` is not as long as the range.
    pub fn decode(&self, index: usize, range: Range<usize>, out: &mut [f32]) -> Result<(), Error> {
        assert_eq!(range.len(), out.len(), "room for {} of {} values", out.len(), range.len());
        let (dtype, bytes) = self.parts[index];
        match dtype {
            Dtype::BF16 => {
                for (value, bytes) in out.iter_mut().zip(bytes[2 * range.start..].chunks_exact(2)) {
                    *value = f32::from_bits(u32::from(u16::from_le_bytes([bytes[0], bytes[1]])) << 16);
                }
            }
            Dtype::F16 => {
                for (value, bytes) in out.iter_mut().zip(bytes[2 * range.start..].chunks_exact(2)) {
                    *value = half_to_f32(u16::from_le_bytes([bytes[0], bytes[1]]));
                }
            }
            _ => {
                for (value, bytes) in out.iter_mut().zip(bytes[4 * range.start..].chunks_exact(4)) {
                    *value = f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                }
            }
        }
        check_finite(&self.layout.entries()[index].name, range.start, out)
    }

    /// All values, in memory.
    ///
    /// # Errors
    /// [`Error::NotFinite`].
    pub fn weights(&self) -> Result<Weights, Error> {
        let mut weights = Weights::zeros(Arc::new(self.layout.clone()));
        for (index, entry) in self.layout.entries().iter().enumerate() {
            self.decode(index, 0..entry.len, &mut weights.values[entry.range()])?;
        }
        Ok(weights)
    }

    /// All values in the order of `layout`, which names exactly these tensors.
    ///
    /// # Errors
    /// As [`Stored::is_of`] and [`Stored::decode`].
    pub fn weights_as(&self, layout: &Arc<Layout>) -> Result<Weights, Error> {
        self.is_of(layout)?;
        let mut weights = Weights::zeros(Arc::clone(layout));
        for entry in layout.entries() {
            let index = self.index(&entry.name).ok_or_else(|| Error::Missing { name: entry.name.clone() })?;
            self.decode(index, 0..entry.len, &mut weights.values[entry.range()])?;
        }
        Ok(weights)
    }

    /// Checks that these are the tensors of `layout`, in whatever order.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Shape`] or [`Error::Unexpected`] where the file is of another model.
    pub fn is_of(&self, layout: &Layout) -> Result<(), Error> {
        for entry in layout.entries() {
            let index = self.index(&entry.name).ok_or_else(|| Error::Missing { name: entry.name.clone() })?;
            let found = &self.layout.entries()[index].shape;
            if *found != entry.shape {
                let (found, expected) = (found.clone(), entry.shape.clone());
                return Err(Error::Shape { name: entry.name.clone(), found, expected });
            }
        }
        match self.layout.entries().iter().find(|entry| layout.entry(&entry.name).is_none()) {
            Some(unknown) => Err(Error::Unexpected { name: unknown.name.clone() }),
            None => Ok(()),
        }
    }

    /// The number of the tensor of this name.
    pub(crate) fn index(&self, name: &str) -> Option<usize> {
        self.layout.entries().binary_search_by(|entry| entry.name.as_str().cmp(name)).ok()
    }
}

/// Checks that the values of a tensor from `start` on are finite.
///
/// # Errors
/// [`Error::NotFinite`] with the first that is not.
pub(crate) fn check_finite(name: &str, start: usize, values: &[f32]) -> Result<(), Error> {
    // All are looked at before one is searched for: without an early exit this is done eight at a time.
    if values.iter().fold(true, |finite, value| finite & value.is_finite()) {
        return Ok(());
    }
    let at = values.iter().position(|value| !value.is_finite()).unwrap_or(0);
    Err(Error::NotFinite { name: name.into(), index: start + at, value: values[at] })
}

/// The entries of a layout in the order in which a file holds them: by name, as safetensors writes tensors of one type.
pub(crate) fn in_file_order(layout: &Layout) -> Vec<&Entry> {
    let mut entries: Vec<&Entry> = layout.entries().iter().collect();
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    entries
}

/// What stands before the values of a safetensors file of F32 tensors: they follow in order of their names.
///
/// # Panics
/// Never: a layout's entries have different names, and lie back to back.
#[must_use]
pub(crate) fn header(layout: &Layout) -> Vec<u8> {
    header_of(in_file_order(layout).into_iter().map(|entry| (&*entry.name, Dtype::F32, &*entry.shape)))
}

/// As [`header`], for tensors of any type that lie in this order.
pub(crate) fn header_of<'a>(tensors: impl Iterator<Item = (&'a str, Dtype, &'a [usize])>) -> Vec<u8> {
    let mut end = 0;
    let tensors = tensors
        .map(|(name, dtype, shape)| {
            let start = end;
            end += shape.iter().product::<usize>() * dtype.bitsize() / 8;
            let info = TensorInfo { dtype, shape: shape.to_vec(), data_offsets: (start, end) };
            (name.to_owned(), info)
        })
        .collect();
    // One metadata entry at most: more are written in hash order. `format` is what transformers asks for.
    let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let metadata = Metadata::new(Some(format), tensors).expect("entries lie back to back");
    let mut json = serde_json::to_vec(&metadata).expect("names and numbers have a JSON form");
    json.resize(json.len().next_multiple_of(8), b' ');
    [&(json.len() as u64).to_le_bytes()[..], &json].concat()
}

/// Writes values as a file holds them.
///
/// # Panics
/// If `out` is not four bytes for each value.
pub(crate) fn encode(values: &[f32], out: &mut [u8]) {
    assert_eq!(4 * values.len(), out.len(), "four bytes for each value");
    for (bytes, value) in out.chunks_exact_mut(4).zip(values) {
        bytes.copy_from_slice(&value.to_le_bytes());
    }
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

/// IEEE 754 binary16 to binary32, exactly.
pub(crate) fn half_to_f32(bits: u16) -> f32 {
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
    use crate::tests::weights;

    #[test]
    fn any_stretch_of_a_tensor_decodes() {
        let weights = weights(3);
        let bytes = weights.to_safetensors();
        let stored = Stored::parse(&bytes).unwrap();
        let names: Vec<&str> = stored.layout().entries().iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["body.bias", "body.weight"]);
        let mut some = [0.0; 3];
        stored.decode(1, 2..5, &mut some).unwrap();
        assert_eq!(some, weights.tensor("body.weight").unwrap()[2..5]);
    }

    #[test]
    fn what_is_not_finite_is_named_by_its_place_in_the_tensor() {
        let mut weights = weights(3);
        weights.tensor_mut("body.weight").unwrap()[4] = f32::NEG_INFINITY;
        let bytes = weights.to_safetensors();
        let stored = Stored::parse(&bytes).unwrap();
        let message = stored.decode(1, 3..6, &mut [0.0; 3]).unwrap_err().to_string();
        assert_eq!(message, "tensor `body.weight` holds -inf at index 4");
    }

    /// Pythia was converted in half precision: the constant -1e9 became `-inf`.
    #[test]
    fn constants_are_not_looked_at() {
        let tensors = [
            ("layers.0.attention.bias", Dtype::F32, &[1, 1, 1, 1][..]),
            ("layers.0.attention.masked_bias", Dtype::F32, &[]),
            ("w", Dtype::F32, &[1]),
        ];
        let mut bytes = header_of(tensors.into_iter());
        [f32::NAN, f32::NEG_INFINITY, 2.0].iter().for_each(|value| bytes.extend(value.to_le_bytes()));
        let weights = Stored::parse(&bytes).unwrap().weights().unwrap();
        assert_eq!((weights.layout().entries().len(), weights.values), (1, vec![2.0]));
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
