//! Models of one structure, read tensor by tensor from wherever they lie: in memory, or in memory-mapped files.

use std::sync::Arc;

use rayon::prelude::*;

use crate::{Error, Layout, Stored, Weights};

/// Values that are read at a time: 16 KiB of each model.
pub const BLOCK: usize = 4096;

/// Where the values of one tensor lie.
#[derive(Clone, Copy, Debug)]
enum View<'a> {
    Memory(&'a [f32]),
    File(&'a Stored<'a>, usize),
}

/// Several models that hold the same tensors, and the base that they have in common, if a method needs it.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    layout: Arc<Layout>,
    /// The tensors of each model, in layout order.
    models: Vec<Vec<View<'a>>>,
    /// The tensors of the base, in layout order; none where the base does not have the tensor.
    base: Option<Vec<Option<View<'a>>>>,
}

impl<'a> Members<'a> {
    /// Models in memory.
    ///
    /// # Errors
    /// [`Error::Empty`] without models; [`Error::Missing`], [`Error::Shape`] or [`Error::Structure`] if two do not hold
    /// the same tensors.
    pub fn of(models: &[&'a Weights]) -> Result<Self, Error> {
        let (first, others) = models.split_first().ok_or(Error::Empty)?;
        for other in others {
            first.layout().same(other.layout())?;
        }
        let models = models.iter().map(|model| in_memory(model).collect()).collect();
        Ok(Self { layout: Arc::clone(first.layout()), models, base: None })
    }

    /// Models in files, which all hold exactly the tensors of `layout`.
    ///
    /// # Errors
    /// [`Error::Empty`] without files; [`Error::Member`] naming the first that holds other tensors.
    pub fn of_files(files: &'a [Stored<'a>], layout: &Arc<Layout>) -> Result<Self, Error> {
        if files.is_empty() {
            return Err(Error::Empty);
        }
        let mut models = Vec::with_capacity(files.len());
        for (member, file) in files.iter().enumerate() {
            let of_member = |error| Error::Member { member, source: Box::new(error) };
            file.is_of(layout).map_err(of_member)?;
            let views = layout.entries().iter().map(|entry| {
                let missing = || Error::Missing { name: entry.name.clone() };
                Ok(View::File(file, file.index(&entry.name).ok_or_else(missing)?))
            });
            models.push(views.collect::<Result<Vec<View<'a>>, Error>>().map_err(of_member)?);
        }
        Ok(Self { layout: Arc::clone(layout), models, base: None })
    }

    /// Gives the models their base; `shared[i]` says whether it holds tensor `i`.
    ///
    /// # Errors
    /// As [`Layout::same`].
    pub fn with_base(mut self, base: &'a Weights, shared: &[bool]) -> Result<Self, Error> {
        self.layout.same(base.layout())?;
        let views = in_memory(base).zip(shared);
        self.base = Some(views.map(|(view, &is_shared)| is_shared.then_some(view)).collect());
        Ok(self)
    }

    /// Whether the models have their base with them.
    #[must_use]
    pub fn has_base(&self) -> bool {
        self.base.is_some()
    }

    /// The tensors that all models hold.
    #[must_use]
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// Number of models, the base not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.models.len()
    }

    /// True if there is no model, which [`Members::of`] refuses.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// The models numbered `chosen` alone.
    #[must_use]
    pub fn only(&self, chosen: &[usize]) -> Self {
        let models = chosen.iter().map(|&member| self.models[member].clone()).collect();
        Self { layout: Arc::clone(&self.layout), models, base: self.base.clone() }
    }

    /// Tensor number `index` of all models.
    #[must_use]
    pub fn tensor(&self, index: usize) -> Tensor<'_> {
        let entry = &self.layout.entries()[index];
        Tensor {
            index,
            name: &entry.name,
            shape: &entry.shape,
            len: entry.len,
            base: self.base.as_ref().and_then(|base| base[index]),
            models: self.models.iter().map(|model| model[index]).collect(),
        }
    }

    /// Copies one model to `out`.
    ///
    /// # Errors
    /// [`Error::Member`] for a value that is not finite.
    pub fn read(&self, member: usize, out: &mut Weights) -> Result<(), Error> {
        for (index, entry) in self.layout.entries().iter().enumerate() {
            self.tensor(index).read(member, 0, &mut out.values[entry.range()])?;
        }
        Ok(())
    }
}

fn in_memory(model: &Weights) -> impl Iterator<Item = View<'_>> {
    model.layout().entries().iter().map(|entry| View::Memory(&model.values[entry.range()]))
}

/// One tensor of several models.
#[derive(Clone, Debug)]
pub struct Tensor<'a> {
    /// Its number in the layout.
    pub index: usize,
    /// Its name.
    pub name: &'a str,
    /// Its shape, row-major.
    pub shape: &'a [usize],
    /// Number of values.
    pub len: usize,
    base: Option<View<'a>>,
    models: Vec<View<'a>>,
}

impl Tensor<'_> {
    /// The same tensor of the models alone.
    pub(crate) fn without_base(self) -> Self {
        Self { base: None, ..self }
    }

    /// Number of models, the base not counted.
    #[must_use]
    pub fn models(&self) -> usize {
        self.models.len()
    }

    /// Whether there is a base, and it holds this tensor.
    #[must_use]
    pub fn has_base(&self) -> bool {
        self.base.is_some()
    }

    /// Reads the values of one model from `start` on, each checked to be finite.
    ///
    /// # Errors
    /// [`Error::Member`] around [`Error::NotFinite`].
    pub fn read(&self, member: usize, start: usize, out: &mut [f32]) -> Result<(), Error> {
        self.read_view(self.models[member], start, out)
            .map_err(|error| Error::Member { member, source: Box::new(error) })
    }

    /// Reads the values of the base from `start` on; zeros without one.
    ///
    /// # Errors
    /// [`Error::Base`] around [`Error::NotFinite`].
    pub fn read_base(&self, start: usize, out: &mut [f32]) -> Result<(), Error> {
        match self.base {
            Some(view) => {
                self.read_view(view, start, out).map_err(|error| Error::Base { source: Box::new(error) })
            }
            None => {
                out.fill(0.0);
                Ok(())
            }
        }
    }

    fn read_view(&self, view: View<'_>, start: usize, out: &mut [f32]) -> Result<(), Error> {
        match view {
            View::File(file, index) => file.decode(index, start..start + out.len(), out),
            View::Memory(values) => {
                out.copy_from_slice(&values[start..start + out.len()]);
                crate::stored::check_finite(self.name, start, out)
            }
        }
    }

    /// Runs `block(start, values)` on blocks of `out`, which holds the values from `start` on, on all threads.
    ///
    /// # Errors
    /// One that `block` returned.
    pub(crate) fn in_blocks(
        start: usize,
        out: &mut [f32],
        block: impl Fn(usize, &mut [f32]) -> Result<(), Error> + Sync,
    ) -> Result<(), Error> {
        out.par_chunks_mut(BLOCK).enumerate().try_for_each(|(i, out)| block(start + i * BLOCK, out))
    }

    /// Products of all pairs of the models, as differences from the base where there is one: `[models, models]`,
    /// summed in `f64`, blocks in order whatever the number of threads.
    ///
    /// # Errors
    /// As [`Tensor::read`].
    pub(crate) fn products(&self) -> Result<Vec<Vec<f64>>, Error> {
        let n = self.models();
        let of_block = |block: usize| -> Result<Vec<f64>, Error> {
            let start = block * BLOCK;
            let len = BLOCK.min(self.len - start);
            let mut base = vec![0.0; len];
            self.read_base(start, &mut base)?;
            let mut rows = vec![vec![0.0; len]; n];
            for (member, row) in rows.iter_mut().enumerate() {
                self.read(member, start, row)?;
            }
            let pairs = (0..n).flat_map(|i| (i..n).map(move |j| (i, j)));
            Ok(pairs.map(|(i, j)| crate::distance::dot(&base, &rows[i], &rows[j])).collect())
        };
        let blocks: Result<Vec<Vec<f64>>, Error> =
            (0..self.len.div_ceil(BLOCK)).into_par_iter().map(of_block).collect();
        let mut sums = vec![0.0; n * (n + 1) / 2];
        for block in blocks? {
            sums.iter_mut().zip(block).for_each(|(sum, part)| *sum += part);
        }
        let mut products = vec![vec![0.0; n]; n];
        let mut sums = sums.into_iter();
        for i in 0..n {
            for j in i..n {
                let product = sums.next().unwrap_or(0.0);
                (products[i][j], products[j][i]) = (product, product);
            }
        }
        Ok(products)
    }

    /// Writes `base + sum_i factors[i] (theta_i - base)`, formed in `f64`; without a base `sum_i factors[i] theta_i`.
    ///
    /// # Errors
    /// As [`Tensor::read`].
    pub(crate) fn combine(&self, factors: &[f64], start: usize, out: &mut [f32]) -> Result<(), Error> {
        Self::in_blocks(start, out, |start, out| {
            let (mut base, mut values) = (vec![0.0_f32; out.len()], vec![0.0_f32; out.len()]);
            self.read_base(start, &mut base)?;
            let mut sums = vec![0.0_f64; out.len()];
            for (member, &factor) in factors.iter().enumerate() {
                self.read(member, start, &mut values)?;
                for ((sum, &value), &base) in sums.iter_mut().zip(&values).zip(&base) {
                    *sum += factor * (f64::from(value) - f64::from(base));
                }
            }
            for ((out, sum), &base) in out.iter_mut().zip(sums).zip(&base) {
                *out = (f64::from(base) + sum) as f32;
            }
            Ok(())
        })
    }
}
