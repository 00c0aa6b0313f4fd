//! Where each named tensor lies in the flat buffer.

use std::collections::HashMap;

use crate::Error;

/// One named tensor in the flat buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name in the checkpoint.
    pub name: String,
    /// Row-major shape.
    pub shape: Vec<usize>,
    /// Index of its first value in the flat buffer.
    pub offset: usize,
    /// Number of values: the product of the shape.
    pub len: usize,
}

impl Entry {
    /// Its place in the flat buffer.
    #[must_use]
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len
    }

    /// The numbered layer that it is in: its name up to and including the first part that is a number
    /// (`encoder.layer.3`); empty for a tensor of no layer.
    #[must_use]
    pub fn layer(&self) -> &str {
        let mut end = 0;
        for part in self.name.split('.') {
            end += part.len();
            if !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit()) {
                return &self.name[..end];
            }
            end += 1;
        }
        ""
    }
}

/// The ordered table of the tensors of one flat buffer.
///
/// Tensors lie back to back in the order in which they were added, so that three projections that are added one
/// after the other are one matrix in memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    entries: Vec<Entry>,
    /// Their places in `entries` by name.
    places: HashMap<String, usize>,
    len: usize,
}

impl Layout {
    /// Appends a tensor and returns its place in the flat buffer.
    ///
    /// # Panics
    /// If the name is taken: layouts are written by model families, not read from files.
    pub fn push(&mut self, name: impl Into<String>, shape: &[usize]) -> std::ops::Range<usize> {
        let name = name.into();
        assert!(self.entry(&name).is_none(), "tensor `{name}` is in the layout twice");
        self.places.insert(name.clone(), self.entries.len());
        let len = shape.iter().product();
        let entry = Entry { name, shape: shape.to_vec(), offset: self.len, len };
        self.len += len;
        let range = entry.range();
        self.entries.push(entry);
        range
    }

    /// All tensors, in order.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The tensor of this name.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&Entry> {
        self.places.get(name).map(|&place| &self.entries[place])
    }

    /// Number of values in the flat buffer.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// True if there is no tensor.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Checks that two layouts name the same tensors with the same shapes in the same order.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Shape`] or [`Error::Structure`] for the first difference.
    pub fn same(&self, other: &Self) -> Result<(), Error> {
        if self == other {
            return Ok(());
        }
        for entry in &self.entries {
            let Some(twin) = other.entry(&entry.name) else {
                return Err(Error::Missing { name: entry.name.clone() });
            };
            if twin.shape != entry.shape {
                return Err(Error::Shape {
                    name: entry.name.clone(),
                    found: twin.shape.clone(),
                    expected: entry.shape.clone(),
                });
            }
        }
        let extra = other.entries.iter().find(|entry| self.entry(&entry.name).is_none());
        Err(Error::Structure {
            reason: extra.map_or("the tensors stand in another order".into(), |entry| {
                format!("tensor `{}` is in one of them only", entry.name)
            }),
        })
    }
}
