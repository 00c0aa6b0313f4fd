//! Named tensors in one flat buffer, and their safetensors form.

use std::sync::Arc;

use crate::stored::{self, Stored};
use crate::{Error, Layout};

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

    /// The chosen tensors alone: `chosen` has a word for each entry of the layout.
    #[must_use]
    pub fn part(&self, chosen: &[bool]) -> Self {
        let mut layout = Layout::default();
        let mut values = Vec::new();
        for (entry, _) in self.layout.entries().iter().zip(chosen).filter(|(_, chosen)| **chosen) {
            layout.push(&entry.name, &entry.shape);
            values.extend_from_slice(&self.values[entry.range()]);
        }
        Self { layout: Arc::new(layout), values }
    }

    /// Puts the tensors of a part back in their places; tensors that are not there are passed over.
    ///
    /// # Panics
    /// If a tensor is of another size here.
    pub fn set_part(&mut self, part: &Self) {
        for entry in part.layout.entries() {
            if let Some(tensor) = self.tensor_mut(&entry.name) {
                tensor.copy_from_slice(&part.values[entry.range()]);
            }
        }
    }

    /// Reads all floating-point tensors of a safetensors file, sorted by name.
    ///
    /// # Errors
    /// As [`Stored::parse`], and [`Error::NotFinite`].
    pub fn from_safetensors(bytes: &[u8]) -> Result<Self, Error> {
        Stored::parse(bytes)?.weights()
    }

    /// Reads exactly the tensors of `layout`.
    ///
    /// # Errors
    /// As [`Weights::from_safetensors`], and [`Error::Missing`], [`Error::Shape`], [`Error::Unexpected`] where the
    /// file is of another model.
    pub fn from_safetensors_as(bytes: &[u8], layout: &Arc<Layout>) -> Result<Self, Error> {
        Stored::parse(bytes)?.weights_as(layout)
    }

    /// The safetensors file of these weights: F32, the same bytes for the same values and names.
    #[must_use]
    pub fn to_safetensors(&self) -> Vec<u8> {
        let mut file = stored::header(&self.layout);
        let mut end = file.len();
        file.resize(end + 4 * self.values.len(), 0);
        for entry in stored::in_file_order(&self.layout) {
            let start = end;
            end += 4 * entry.len;
            stored::encode(&self.values[entry.range()], &mut file[start..end]);
        }
        file
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use safetensors::tensor::{Dtype, TensorView};

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

    /// What is written here is what safetensors itself writes.
    #[test]
    fn the_file_is_that_of_the_library() {
        let weights = sample();
        let bytes: Vec<Vec<u8>> = weights
            .layout()
            .entries()
            .iter()
            .map(|entry| weights.values[entry.range()].iter().flat_map(|value| value.to_le_bytes()).collect())
            .collect();
        let views = weights.layout().entries().iter().zip(&bytes).map(|(entry, bytes)| {
            (entry.name.as_str(), TensorView::new(Dtype::F32, entry.shape.clone(), bytes).unwrap())
        });
        let format = HashMap::from([("format".to_owned(), "pt".to_owned())]);
        assert_eq!(weights.to_safetensors(), safetensors::serialize(views, Some(format)).unwrap());
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
}
