//! Logits and losses of a model on many examples.

use models::{Inputs, Model, Tally, Targets, Tokens, Workspace};
use rayon::ThreadPool;
use rayon::prelude::*;
use tasks::{Encoded, MaskedBatch, SequencePairs};

use crate::Error;

/// Packed tokens in one forward pass: enough rows for the matrix products to run at their full speed, few enough
/// for the activations to stay in the cache.
const TILE_TOKENS: usize = 1024;

/// Scores examples with one model, reusing its memory from call to call.
///
/// Examples are taken shortest first, so that those that share a pass are of like length, and packed without
/// padding. Every example's logits are independent of its neighbours up to the rounding of the matrix product's
/// blocking; the tiles depend on the examples alone, so the same call gives the same bytes.
#[derive(Default)]
pub struct Scorer<'p> {
    workspace: Workspace,
    pool: Option<&'p ThreadPool>,
}

impl<'p> Scorer<'p> {
    /// A scorer that takes several passes side by side where there are threads for them, and shares the products of a single
    /// one among them. Same bytes.
    #[must_use]
    pub fn on(pool: Option<&'p ThreadPool>) -> Self {
        Self { pool, ..Self::default() }
    }

    /// Logits `[examples, labels]` in the order of `examples`.
    ///
    /// # Errors
    /// [`Error::Model`] if the model refuses an example.
    pub fn logits(&mut self, model: &Model, values: &[f32], examples: &Encoded) -> Result<Vec<f32>, Error> {
        match examples {
            Encoded::Dense { values: rows, width } => {
                let _denormals = kernels::denormals::Guard::new();
                let mut logits = Vec::new();
                for rows in rows.chunks(TILE_TOKENS * width) {
                    let rows = Inputs::Dense { values: rows, width: *width };
                    model.check(&rows, None)?;
                    logits.extend_from_slice(model.logits(values, &rows, &mut self.workspace)?);
                }
                Ok(logits)
            }
            Encoded::Tokens { starts, .. } => {
                let order = shortest_first(starts);
                let tiles = tiles(&order, starts);
                let of_tile = |workspace: &mut Workspace, rows: &&[u32]| -> Result<Vec<f32>, Error> {
                    let _denormals = kernels::denormals::Guard::new();
                    let tile = examples.gather(rows);
                    let inputs = inputs(&tile);
                    model.check(&inputs, None)?;
                    Ok(model.logits(values, &inputs, workspace)?.to_vec())
                };
                let found: Vec<Vec<f32>> = match self.pool.filter(|_| model.is_fused()) {
                    None => {
                        tiles.iter().map(|rows| of_tile(&mut self.workspace, rows)).collect::<Result<_, _>>()
                    }
                    Some(pool) if tiles.len() == 1 => kernels::matmul::shared(pool, || {
                        of_tile(&mut self.workspace, &tiles[0]).map(|logits| vec![logits])
                    }),
                    Some(pool) => pool.install(|| {
                        tiles.par_iter().map_init(Workspace::default, of_tile).collect::<Result<_, _>>()
                    }),
                }?;
                let labels = found.first().map_or(0, |logits| logits.len() / tiles[0].len());
                let mut logits = vec![0.0; examples.len() * labels];
                for (&row, values) in tiles
                    .iter()
                    .copied()
                    .flatten()
                    .zip(found.iter().flat_map(|tile| tile.chunks_exact(labels)))
                {
                    logits[row as usize * labels..][..labels].copy_from_slice(values);
                }
                Ok(logits)
            }
        }
    }
}

/// Examples in order of their length.
fn shortest_first(starts: &[u32]) -> Vec<u32> {
    let length = |row: u32| starts[row as usize + 1] - starts[row as usize];
    let mut order: Vec<u32> = (0..starts.len() as u32 - 1).collect();
    order.sort_by_key(|&row| (length(row), row));
    order
}

/// Neighbours in `order` that share a pass: at least one, and no more tokens than a tile holds.
fn tiles<'o>(order: &'o [u32], starts: &[u32]) -> Vec<&'o [u32]> {
    let mut tiles = Vec::new();
    let mut rest = order;
    while !rest.is_empty() {
        let mut tokens = 0;
        let fits = rest.iter().take_while(|&&row| {
            tokens += (starts[row as usize + 1] - starts[row as usize]) as usize;
            tokens <= TILE_TOKENS
        });
        let (tile, others) = rest.split_at(fits.count().max(1));
        tiles.push(tile);
        rest = others;
    }
    tiles
}

fn inputs(examples: &Encoded) -> Inputs<'_> {
    match examples {
        Encoded::Tokens { ids, types, starts } => Inputs::Tokens(Tokens { ids, types, starts }),
        Encoded::Dense { values, width } => Inputs::Dense { values, width: *width },
    }
}

/// Loss and accuracy of a masked language model on a fixed masked text.
///
/// # Errors
/// [`Error::Model`] if the model refuses the text.
pub fn masked_tally(model: &Model, values: &[f32], text: &MaskedBatch) -> Result<Tally, Error> {
    let _denormals = kernels::denormals::Guard::new();
    let mut workspace = Workspace::default();
    let mut total = Tally::default();
    let mut first = 0;
    let sequences = text.starts.len() - 1;
    while first < sequences {
        let start = text.starts[first];
        let longer = text.starts[first + 1..].partition_point(|&end| (end - start) as usize <= TILE_TOKENS);
        let last = first + longer.max(1);
        let tokens = start as usize..text.starts[last] as usize;
        let starts: Vec<u32> = text.starts[first..=last].iter().map(|s| s - start).collect();
        let from = text.rows.partition_point(|&row| (row as usize) < tokens.start);
        let to = text.rows.partition_point(|&row| (row as usize) < tokens.end);
        let rows: Vec<u32> = text.rows[from..to].iter().map(|row| row - start).collect();
        if !rows.is_empty() {
            let part = Inputs::Tokens(Tokens {
                ids: &text.ids[tokens.clone()],
                types: &text.types[tokens],
                starts: &starts,
            });
            let labels = &text.labels[from..to];
            model.check(&part, Some(&Targets::MaskedTokens { rows: &rows, labels }))?;
            total += model.masked_losses(values, &part, &rows, labels, &mut workspace)?;
        }
        first = last;
    }
    Ok(total)
}

/// Loss and accuracy of a model from sequence to sequence, token by token, on fixed pairs.
///
/// # Errors
/// [`Error::Model`] if the model refuses the pairs.
pub fn sequence_tally(model: &Model, values: &[f32], pairs: &SequencePairs) -> Result<Tally, Error> {
    let _denormals = kernels::denormals::Guard::new();
    let mut workspace = Workspace::default();
    let mut total = Tally::default();
    let (starts, target_starts) = (&pairs.starts, &pairs.target_starts);
    let mut first = 0;
    while first + 1 < starts.len() {
        let size = |last: usize| starts[last] - starts[first] + target_starts[last] - target_starts[first];
        let fits = |&last: &usize| size(last) as usize <= TILE_TOKENS;
        let last = (first + 1..starts.len()).take_while(fits).last().unwrap_or(first + 1);
        let span = |starts: &[u32]| starts[first] as usize..starts[last] as usize;
        let from_own = |starts: &[u32]| -> Vec<u32> {
            starts[first..=last].iter().map(|start| start - starts[first]).collect()
        };
        let (own, targets) = (from_own(starts), from_own(target_starts));
        let part = Inputs::Tokens(Tokens {
            ids: &pairs.ids[span(starts)],
            types: &pairs.types[span(starts)],
            starts: &own,
        });
        let targets = Targets::Sequences { ids: &pairs.target_ids[span(target_starts)], starts: &targets };
        model.check(&part, Some(&targets))?;
        total += model.losses(values, &part, &targets, &mut workspace)?;
        first = last;
    }
    Ok(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_hold_what_fits_and_one_example_at_least() {
        let sizes = |lengths: &[u32]| -> Vec<Vec<u32>> {
            let starts: Vec<u32> = (0..=lengths.len()).map(|n| lengths[..n].iter().sum()).collect();
            let order = shortest_first(&starts);
            let length = |&row: &u32| lengths[row as usize];
            tiles(&order, &starts).iter().map(|tile| tile.iter().map(length).collect()).collect()
        };
        assert_eq!(sizes(&[512; 5]), [vec![512; 2], vec![512; 2], vec![512]]);
        assert_eq!(sizes(&[3000, 1000, 24]), [vec![24, 1000], vec![3000]]);
        assert_eq!(sizes(&[]), [[0; 0]; 0]);
    }
}
