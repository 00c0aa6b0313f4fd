//! Decoders in candle-nn's layers.

use candle_core::{Module, Tensor};
use candle_nn::Activation;
use kernels::embedding::Positions;

use super::attention::Scores;
use super::padded::Padded;
use super::pass::Pass;
use crate::bert::{mask, site};
use crate::decoder::{self, Config, Variant};
use crate::{Error, Head, Tokens};

impl Pass<'_> {
    /// Logits `[rows, classes]` or `[rows, words]` at these packed rows.
    pub(super) fn decoder_logits(
        &self,
        config: &Config,
        tokens: &Tokens<'_>,
        rows: &[u32],
    ) -> Result<Tensor, Error> {
        let (hidden, batch) = self.decoder(config, tokens)?;
        let hidden = self.rows_of(&hidden, &batch.places_of(rows))?;
        let names = config.variant.names();
        match self.model.head {
            Head::CausalLanguage if config.tie_word_embeddings => {
                self.map(&hidden, &format!("{}.{}", names.body, names.words))
            }
            Head::CausalLanguage => self.map(&hidden, names.decoder),
            _ => self.map(&hidden, "score"),
        }
    }

    /// Normalised hidden states `[sequences * longest, H]`, and where they are.
    fn decoder(&self, config: &Config, tokens: &Tokens<'_>) -> Result<(Tensor, Padded), Error> {
        let batch = Padded::new(tokens.starts);
        let (n, names, epsilon) = (batch.longest, config.variant.names(), config.norm_eps);
        let body = names.body;
        let mut x = self.look_up(&format!("{body}.{}.weight", names.words), &batch.spread(tokens.ids, 0))?;
        if let Some(positions) = names.positions {
            x = (x + self.look_up(
                &format!("{body}.{positions}.weight"),
                &batch.positions(tokens, Positions::Place),
            )?)?;
        }
        x = self.drop(x, mask(self.dropout, site::EMBEDDINGS, config.embedding_dropout), &batch.rows)?;
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
                self.drop(branch, mask(self.dropout, site, config.residual_dropout), &batch.rows)
            };
            let projections = self.projections(config, &begin(&x, names.attention_norm)?, &name)?;
            let [queries, keys, values] = self.decoder_heads(config, projections, &batch)?;
            let divisor = if config.scale_attn_by_inverse_layer_idx { layer + 1 } else { 1 };
            let scores = Scores {
                scale: 1.0 / (config.head_dim as f64).sqrt() / divisor as f64,
                bias: &past,
                mask: mask(self.dropout, site::probabilities(layer), config.attention_dropout),
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
            decoder::Activation::Gelu => Activation::Gelu.forward(&mapped)?,
            decoder::Activation::GeluNew => Activation::NewGelu.forward(&mapped)?,
            decoder::Activation::SwiGlu => {
                (Activation::Silu.forward(&mapped)? * self.map(x, &name(inner[1]))?)?
            }
        })
    }
}
