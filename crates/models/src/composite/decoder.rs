//! Decoders in candle's operations.

use candle_core::Tensor;

use super::padded::Padded;
use super::{Composite, Scores};
use crate::bert::{mask, site};
use crate::decoder::{Activation, Config, Variant};
use crate::{Dropout, Error, Head, Tokens};

impl Composite {
    /// Logits `[rows, classes]` or `[rows, words]` at these packed rows.
    pub(super) fn decoder_logits(
        &self,
        config: &Config,
        tokens: &Tokens<'_>,
        rows: &[u32],
        dropout: Option<Dropout>,
    ) -> Result<Tensor, Error> {
        let (hidden, batch) = self.decoder(config, tokens, dropout)?;
        let hidden = self.rows_of(&hidden, &batch.places_of(rows))?;
        let names = config.variant.names();
        match self.head {
            Head::CausalLanguage if config.tie_word_embeddings => {
                self.map(&hidden, &format!("{}.{}", names.body, names.words))
            }
            Head::CausalLanguage => self.map(&hidden, names.decoder),
            _ => self.map(&hidden, "score"),
        }
    }

    /// Normalised hidden states `[sequences * longest, H]`, and where they are.
    fn decoder(
        &self,
        config: &Config,
        tokens: &Tokens<'_>,
        dropout: Option<Dropout>,
    ) -> Result<(Tensor, Padded), Error> {
        let batch = Padded::new(tokens.starts);
        let (n, names, epsilon) = (batch.longest, config.variant.names(), config.norm_eps);
        let body = names.body;
        let mut x = self.look_up(&format!("{body}.{}.weight", names.words), &batch.spread(tokens.ids, 0))?;
        if let Some(positions) = names.positions {
            x = (x + self.look_up(&format!("{body}.{positions}.weight"), &batch.positions(0))?)?;
        }
        x = self.drop(x, mask(dropout, site::EMBEDDINGS, config.embedding_dropout), &batch.rows)?;
        let (past, angles) = (self.past(n)?, self.angles(&config.frequencies(), n)?);
        let ends_normalised = config.variant.normalises_outputs();
        for layer in 0..config.num_hidden_layers {
            let name = |part: &str| format!("{body}.{}.{layer}.{part}", names.layers);
            let begin = |x: &Tensor, norm: &str| match ends_normalised {
                true => Ok(x.clone()),
                false => self.norm(x, &name(norm), epsilon),
            };
            let end = |x: &Tensor, map: &str, norm: &str, site| {
                let branch = self.map(x, &name(map))?;
                let branch = if ends_normalised { self.norm(&branch, &name(norm), epsilon)? } else { branch };
                self.drop(branch, mask(dropout, site, config.residual_dropout), &batch.rows)
            };
            let projections = self.projections(config, &begin(&x, names.attention_norm)?, &name)?;
            let [queries, keys, values] = self.decoder_heads(config, projections, &batch)?;
            let divisor = if config.scale_attn_by_inverse_layer_idx { layer + 1 } else { 1 };
            let scores = Scores {
                scale: 1.0 / (config.head_dim as f64).sqrt() / divisor as f64,
                bias: &past,
                mask: mask(dropout, site::probabilities(layer), config.attention_dropout),
            };
            let turned = |x: &Tensor| self.turn(x, angles.as_ref());
            let context = self.attend([turned(&queries)?, turned(&keys)?, values], scores, &batch)?;
            let branch =
                end(&context, names.attention_output, names.attention_norm, site::attention_output(layer))?;
            let after = (&x + branch)?;
            let read = if config.use_parallel_residual { &x } else { &after };
            let activated = self.activated(config, &begin(read, names.output_norm)?, &name)?;
            x = (after + end(&activated, names.output, names.output_norm, site::output(layer))?)?;
        }
        Ok((self.norm(&x, &format!("{body}.{}", names.final_norm), epsilon)?, batch))
    }

    /// Queries, keys and values `[rows, heads * size]`.
    fn projections(
        &self,
        config: &Config,
        x: &Tensor,
        name: &impl Fn(&str) -> String,
    ) -> Result<[Tensor; 3], Error> {
        let names = config.variant.names();
        let (rows, size) = (x.dim(0)?, config.head_dim);
        let widths = [config.num_attention_heads, config.num_key_value_heads, config.num_key_value_heads]
            .map(|heads| heads * size);
        let fused = match names.projections {
            [fused] => Some(self.map(x, &name(fused))?),
            _ => None,
        };
        let part = |index: usize| match &fused {
            Some(packed) if config.variant == Variant::GptNeoX => {
                let by_head = packed.reshape((rows, config.num_attention_heads, 3, size))?;
                Ok(by_head.narrow(2, index, 1)?.reshape((rows, widths[index]))?)
            }
            Some(packed) => {
                let from = widths[..index].iter().sum();
                Ok(packed.narrow(1, from, widths[index])?.contiguous()?)
            }
            None => {
                let projected = self.map(x, &name(names.projections[index]))?;
                match names.projection_norms {
                    Some(norms) if index < 2 => self.norm(&projected, &name(norms[index]), config.norm_eps),
                    _ => Ok(projected),
                }
            }
        };
        Ok([part(0)?, part(1)?, part(2)?])
    }

    /// Heads `[sequences, heads, longest, size]`; those of keys and values once for each of the queries that share them.
    fn decoder_heads(
        &self,
        config: &Config,
        [queries, keys, values]: [Tensor; 3],
        batch: &Padded,
    ) -> Result<[Tensor; 3], Error> {
        let (b, n, count, shared) =
            (batch.n_sequences, batch.longest, config.num_attention_heads, config.num_key_value_heads);
        let repeat = |x: Tensor| -> Result<Tensor, Error> {
            let (size, times) = (config.head_dim, count / shared);
            let x = self.heads(&x, b, shared)?.unsqueeze(2)?.broadcast_as((b, shared, times, n, size))?;
            Ok(x.reshape((b, count, n, size))?)
        };
        Ok([self.heads(&queries, b, count)?, repeat(keys)?, repeat(values)?])
    }

    /// Hugely negative at what comes later: `[1, 1, n, n]`, to be added to scores.
    pub(super) fn past(&self, n: usize) -> Result<Tensor, Error> {
        let bias = (0..n * n).map(|at| if at % n <= at / n { 0.0_f32 } else { -1e9 }).collect();
        Ok(Tensor::from_vec(bias, (1, 1, n, n), &self.device)?.to_dtype(self.dtype)?)
    }

    /// Cosines and sines `[n, planes]`, where heads are turned.
    fn angles(&self, frequencies: &[f32], n: usize) -> Result<Option<[Tensor; 2]>, Error> {
        if frequencies.is_empty() {
            return Ok(None);
        }
        // Rounded to `f32` as the fused passes have it.
        let angles = (0..n).flat_map(|at| frequencies.iter().map(move |f| f64::from(at as f32 * f)));
        let table = |values: Vec<f64>| {
            Tensor::from_vec(values, (n, frequencies.len()), &self.device)?.to_dtype(self.dtype)
        };
        Ok(Some([table(angles.clone().map(f64::cos).collect())?, table(angles.map(f64::sin).collect())?]))
    }

    /// Turns the first values of every head in their planes.
    fn turn(&self, x: &Tensor, angles: Option<&[Tensor; 2]>) -> Result<Tensor, Error> {
        let Some([cosines, sines]) = angles else { return Ok(x.clone()) };
        let (size, half) = (x.dim(3)?, cosines.dim(1)?);
        let (first, second) = (x.narrow(3, 0, half)?, x.narrow(3, half, half)?);
        let times = |x: &Tensor, by: &Tensor| x.broadcast_mul(by);
        let turned_first = (times(&first, cosines)? - times(&second, sines)?)?;
        let turned_second = (times(&second, cosines)? + times(&first, sines)?)?;
        let mut parts = vec![turned_first, turned_second];
        if size > 2 * half {
            parts.push(x.narrow(3, 2 * half, size - 2 * half)?);
        }
        Ok(Tensor::cat(&parts, 3)?)
    }

    /// The feed-forward block up to its last map.
    fn activated(
        &self,
        config: &Config,
        x: &Tensor,
        name: &impl Fn(&str) -> String,
    ) -> Result<Tensor, Error> {
        let inner = config.variant.names().inner;
        let mapped = self.map(x, &name(inner[0]))?;
        Ok(match config.activation {
            Activation::Gelu => mapped.gelu_erf()?,
            Activation::GeluNew => mapped.gelu()?,
            Activation::SwiGlu => (mapped.silu()? * self.map(x, &name(inner[1]))?)?,
        })
    }
}
