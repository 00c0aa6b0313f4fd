//! The gradient of one batch, on one thread or several, with the same bytes.

use models::{Dropout, Inputs, Model, Tally, Targets, Tokens, Workspace};
use rayon::prelude::*;
use tasks::{Batch, Encoded};

use crate::Error;

/// Packed tokens (or dense rows) that one thread takes at a time. Part of what a run computes: shards are summed in
/// order, so another size rounds differently.
const SHARD_TOKENS: usize = 1024;
/// The same for dense inputs.
const SHARD_ROWS: usize = 1024;

/// Computes batch gradients of one model.
///
/// A batch is cut into shards whose number depends on the batch alone. Each shard is one thread's work in its own
/// workspace, and their gradients are added in shard order: there are no barriers inside, and one thread or
/// sixteen give the same bytes. A shard that is left alone shares its products among the threads.
pub struct Trainer<'a> {
    model: &'a Model,
    pool: Option<&'a rayon::ThreadPool>,
    workers: Vec<Worker>,
    /// Memory for the gradient of a step, kept from one call of `train` to the next.
    pub(crate) gradient: Vec<f32>,
}

/// What one thread needs.
struct Worker {
    workspace: Workspace,
    gradient: Vec<f32>,
    tally: Result<Tally, models::Error>,
}

impl Default for Worker {
    fn default() -> Self {
        Self { workspace: Workspace::default(), gradient: Vec::new(), tally: Ok(Tally::default()) }
    }
}

/// What a thread is given: its worker, its examples, and where the gradient goes if not into the worker.
type Share<'a> = ((&'a mut Worker, &'a std::ops::Range<usize>), Option<&'a mut [f32]>);

impl<'a> Trainer<'a> {
    /// A trainer for `model` on the threads of `pool`.
    #[must_use]
    pub fn new(model: &'a Model, pool: Option<&'a rayon::ThreadPool>) -> Self {
        let pool = pool.filter(|_| model.is_fused());
        Self { model, pool, workers: Vec::new(), gradient: Vec::new() }
    }

    /// Writes the gradient of the mean loss of `batch` into `gradient` (overwritten) and returns the sums of the
    /// batch.
    ///
    /// `dropout_key` selects the dropout masks of this step; `None` switches dropout off.
    ///
    /// # Errors
    /// [`Error::Model`] if the model refuses the batch.
    pub fn gradient(
        &mut self,
        values: &[f32],
        batch: &Batch,
        dropout_key: Option<u64>,
        gradient: &mut [f32],
    ) -> Result<Tally, Error> {
        let view = BatchView::of(batch);
        let shards = view.shards();
        let scale = 1.0 / view.targets().max(1) as f32;
        let threads = self.pool.map_or(1, rayon::ThreadPool::current_num_threads).min(shards.len());
        // One worker for each thread.
        self.workers.resize_with(threads.max(self.workers.len()), Worker::default);
        gradient.fill(0.0);
        let model = self.model;
        let mut total = Tally::default();
        for (wave, shards) in shards.chunks(threads).enumerate() {
            // The first shard of all writes where the sum will be: most batches have no other.
            let mut targets: Vec<Option<&mut [f32]>> = shards.iter().map(|_| None).collect();
            if wave == 0 {
                targets[0] = Some(&mut *gradient);
            }
            let work = |(index, ((worker, shard), target)): (usize, Share<'_>)| {
                let _denormals = kernels::denormals::Guard::new();
                let part = view.part(shard.clone());
                let dropout = dropout_key.map(|key| Dropout { key: shard_key(key, wave * threads + index) });
                let (inputs, labels) = (part.inputs(), part.targets());
                let Worker { workspace, gradient: own, tally } = worker;
                let target = target.unwrap_or_else(|| {
                    own.clear();
                    own.resize(values.len(), 0.0);
                    own
                });
                *tally = model.check(&inputs, Some(&labels)).and_then(|()| {
                    model.loss_and_gradient(values, &inputs, &labels, dropout, scale, target, workspace)
                });
            };
            match self.pool {
                Some(pool) if shards.len() > 1 => {
                    let workers = self.workers.par_iter_mut();
                    pool.install(|| workers.zip(shards).zip(targets).enumerate().for_each(work));
                }
                Some(pool) => kernels::matmul::shared(pool, || {
                    self.workers.iter_mut().zip(shards).zip(targets).enumerate().for_each(work);
                }),
                None => self.workers.iter_mut().zip(shards).zip(targets).enumerate().for_each(work),
            }
            for (index, worker) in self.workers[..shards.len()].iter_mut().enumerate() {
                total += std::mem::replace(&mut worker.tally, Ok(Tally::default()))?;
                if wave > 0 || index > 0 {
                    kernels::rows::add(gradient, &worker.gradient);
                }
            }
        }
        Ok(total)
    }
}

/// Dropout masks of different shards are independent.
pub(crate) fn shard_key(key: u64, shard: usize) -> u64 {
    key ^ (shard as u64).wrapping_mul(0xd6e8_feb8_6659_fd93)
}

/// Tokens (or dense examples) in a batch.
pub(crate) fn size(batch: &Batch) -> usize {
    match BatchView::of(batch) {
        BatchView::Tokens { ids, goal, .. } => ids.len() + goal.told(),
        BatchView::Dense { labels, .. } => labels.len(),
    }
}

/// A batch, to be cut at example boundaries.
pub(crate) enum BatchView<'a> {
    Tokens { ids: &'a [u32], types: &'a [u32], starts: &'a [u32], goal: Goal<'a> },
    Dense { values: &'a [f32], width: usize, labels: &'a [u32] },
}

#[derive(Clone, Copy)]
pub(crate) enum Goal<'a> {
    Classes(&'a [u32]),
    Masked { rows: &'a [u32], labels: &'a [u32] },
    Sequences { ids: &'a [u32], starts: &'a [u32] },
}

impl Goal<'_> {
    /// Tokens of target sequences.
    fn told(&self) -> usize {
        if let Self::Sequences { ids, .. } = self { ids.len() } else { 0 }
    }
}

impl<'a> BatchView<'a> {
    pub(crate) fn of(batch: &'a Batch) -> Self {
        match batch {
            Batch::Masked(masked) => Self::Tokens {
                ids: &masked.ids,
                types: &masked.types,
                starts: &masked.starts,
                goal: Goal::Masked { rows: &masked.rows, labels: &masked.labels },
            },
            Batch::Sequences(pairs) => Self::Tokens {
                ids: &pairs.ids,
                types: &pairs.types,
                starts: &pairs.starts,
                goal: Goal::Sequences { ids: &pairs.target_ids, starts: &pairs.target_starts },
            },
            Batch::Labelled(labelled) => match &labelled.inputs {
                Encoded::Tokens { ids, types, starts } => {
                    Self::Tokens { ids, types, starts, goal: Goal::Classes(&labelled.labels) }
                }
                Encoded::Dense { values, width } => {
                    Self::Dense { values, width: *width, labels: &labelled.labels }
                }
            },
        }
    }

    /// Number of labels: what a mean loss is the mean over.
    pub(crate) fn targets(&self) -> usize {
        match self {
            Self::Tokens {
                goal:
                    Goal::Masked { labels, .. } | Goal::Classes(labels) | Goal::Sequences { ids: labels, .. },
                ..
            }
            | Self::Dense { labels, .. } => labels.len(),
        }
    }

    /// Inputs in a row that belong to one label: one, or the choices that are compared.
    fn choices(&self) -> usize {
        match self {
            Self::Tokens { starts, goal: Goal::Classes(labels), .. } => {
                ((starts.len() - 1) / labels.len().max(1)).max(1)
            }
            _ => 1,
        }
    }

    /// Ranges of inputs, each of about [`SHARD_TOKENS`] tokens, as even as whole examples allow.
    pub(crate) fn shards(&self) -> Vec<std::ops::Range<usize>> {
        let choices = self.choices();
        let (examples, size, per_shard) = match self {
            Self::Tokens { ids, starts, goal, .. } => {
                ((starts.len() - 1) / choices, ids.len() + goal.told(), SHARD_TOKENS)
            }
            Self::Dense { labels, .. } => (labels.len(), labels.len(), SHARD_ROWS),
        };
        let count = size.div_ceil(per_shard).clamp(1, examples.max(1));
        let cut = |i: usize| i * examples / count * choices;
        (0..count).map(|i| cut(i)..cut(i + 1)).collect()
    }

    /// These inputs.
    pub(crate) fn part(&self, examples: std::ops::Range<usize>) -> Part<'a> {
        match *self {
            Self::Dense { values, width, labels } => Part::Dense {
                values: &values[examples.start * width..examples.end * width],
                width,
                labels: &labels[examples],
            },
            Self::Tokens { ids, types, starts, goal } => {
                let first = starts[examples.start];
                let tokens = first as usize..starts[examples.end] as usize;
                let from_own = |starts: &[u32], first: u32| -> Vec<u32> {
                    starts[examples.start..=examples.end].iter().map(|start| start - first).collect()
                };
                let (places, labels) = match goal {
                    Goal::Classes(labels) => {
                        let choices = self.choices();
                        (Places::None, &labels[examples.start / choices..examples.end / choices])
                    }
                    Goal::Sequences { ids, starts } => {
                        let (from, to) = (starts[examples.start], starts[examples.end]);
                        (Places::Starts(from_own(starts, from)), &ids[from as usize..to as usize])
                    }
                    Goal::Masked { rows, labels } => {
                        let from = rows.partition_point(|&row| (row as usize) < tokens.start);
                        let to = rows.partition_point(|&row| (row as usize) < tokens.end);
                        let rows = rows[from..to].iter().map(|row| row - first).collect();
                        (Places::Rows(rows), &labels[from..to])
                    }
                };
                Part::Tokens {
                    ids: &ids[tokens.clone()],
                    types: &types[tokens],
                    starts: from_own(starts, first),
                    places,
                    labels,
                }
            }
        }
    }
}

/// One shard: its slices, and its indices counted from its own start.
pub(crate) enum Part<'a> {
    Tokens { ids: &'a [u32], types: &'a [u32], starts: Vec<u32>, places: Places, labels: &'a [u32] },
    Dense { values: &'a [f32], width: usize, labels: &'a [u32] },
}

/// Where labels belong.
pub(crate) enum Places {
    /// To an input each, or to several in a row.
    None,
    /// To these tokens.
    Rows(Vec<u32>),
    /// They are sequences, which start there.
    Starts(Vec<u32>),
}

impl Part<'_> {
    pub(crate) fn inputs(&self) -> Inputs<'_> {
        match self {
            Self::Tokens { ids, types, starts, .. } => Inputs::Tokens(Tokens { ids, types, starts }),
            Self::Dense { values, width, .. } => Inputs::Dense { values, width: *width },
        }
    }

    pub(crate) fn targets(&self) -> Targets<'_> {
        match self {
            Self::Tokens { places: Places::Rows(rows), labels, .. } => Targets::MaskedTokens { rows, labels },
            Self::Tokens { places: Places::Starts(starts), labels, .. } => {
                Targets::Sequences { ids: labels, starts }
            }
            Self::Tokens { labels, .. } | Self::Dense { labels, .. } => Targets::Classes(labels),
        }
    }
}
