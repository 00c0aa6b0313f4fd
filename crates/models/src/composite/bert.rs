//! Encoders in candle-nn's layers.

use candle_core::{Module, Tensor};
use candle_nn::{Activation, Linear};

use super::attention::Scores;
use super::padded::{Padded, each_row};
use super::pass::Pass;
use crate::bert::{Config, mask, site};
use crate::{Error, Tokens};

impl Pass<'_> {
    /// Logits `[B, labels]` of a classifier.
    pub(super) fn classified_by_bert(&self, config: &Config, tokens: &Tokens<'_>) -> Result<Tensor, Error> {
        let (hidden, batch) = self.bert(config, tokens)?;
        let firsts: Vec<u32> = (0..batch.n_sequences).map(|i| (i * batch.longest) as u32).collect();
        let first = self.rows_of(&hidden, &firsts)?;
        let (rows, probability) = (each_row(batch.n_sequences), config.classifier_dropout());
        let names = config.variant.names();
        let early = self.dropout.filter(|_| config.variant.drops_features());
        let first = self.drop(first, mask(early, site::FEATURES, probability), &rows)?;
        let pooled = self.map(&first, names.pooler)?;
        let pooled = if config.variant.rectifies() { pooled.relu()? } else { pooled.tanh()? };
        self.map(
            &self.drop(pooled, mask(self.dropout, site::CLASSIFIER, probability), &rows)?,
            names.classifier,
        )
    }

    /// Logits `[rows, words]` of masked tokens.
    pub(super) fn masked_logits(
        &self,
        config: &Config,
        tokens: &Tokens<'_>,
        rows: &[u32],
    ) -> Result<Tensor, Error> {
        let (hidden, batch) = self.bert(config, tokens)?;
        let hidden = self.rows_of(&hidden, &batch.places_of(rows))?;
        let names = config.variant.names();
        let activated = Activation::Gelu.forward(&self.map(&hidden, names.transform)?)?;
        let features = self.norm(&activated, names.transform_norm, config.layer_norm_eps)?;
        let words = self.parameter(&format!("{}.embeddings.word_embeddings.weight", names.body));
        Ok(Linear::new(words, Some(self.parameter(names.decoder_bias))).forward(&features)?)
    }

    /// Hidden states `[sequences * longest, H]`, and where they are.
    pub(super) fn bert(&self, config: &Config, tokens: &Tokens<'_>) -> Result<(Tensor, Padded), Error> {
        let batch = Padded::new(tokens.starts);
        let (b, heads) = (batch.n_sequences, config.num_attention_heads);
        let size = config.hidden_size / heads;
        let names = config.variant.names();
        let body = names.body;
        let look_up = |table: &str, ids: &[u32]| {
            self.look_up(&format!("{body}.embeddings.{table}_embeddings.weight"), ids)
        };
        let filler = config.pad_token_id.min(config.vocab_size as u32 - 1);
        let words = look_up("word", &batch.spread(tokens.ids, filler))?;
        let mut sums = (words + look_up("position", &batch.positions(tokens, config.numbering()))?)?;
        if config.type_vocab_size > 0 {
            let types = match config.has_one_segment() {
                true => vec![0; batch.rows.len()],
                false => batch.spread(tokens.types, 0),
            };
            sums = (sums + look_up("token_type", &types)?)?;
        }
        let mut x = self.norm(&sums, &format!("{body}.embeddings.LayerNorm"), config.layer_norm_eps)?;
        x = self.drop(x, mask(self.dropout, site::EMBEDDINGS, config.hidden_dropout_prob), &batch.rows)?;
        let bias = self.fillers(&batch)?;
        for layer in 0..config.num_hidden_layers {
            let name = |part: &str| format!("{body}.{}.{layer}.{part}", names.layers);
            let [queries, keys, values] =
                names.projections.map(|part| self.heads(&self.map(&x, &name(part))?, b, heads));
            let scores = Scores {
                scale: 1.0 / (size as f64).sqrt(),
                bias: &bias,
                mask: mask(self.dropout, site::probabilities(layer), config.attention_probs_dropout_prob),
            };
            let context = self.attend([queries?, keys?, values?], scores, &batch)?;
            let end = |x: &Tensor, dense, norm, residual: &Tensor, site, dropped| -> Result<Tensor, Error> {
                let branch = self.map(x, &name(dense))?;
                let branch = self.drop(branch, mask(self.dropout, site, dropped), &batch.rows)?;
                self.norm(&(branch + residual)?, &name(norm), config.layer_norm_eps)
            };
            let (dense, norm) = (names.attention_output, names.attention_norm);
            let dropped = config.attention_output_dropout();
            let middle = end(&context, dense, norm, &x, site::attention_output(layer), dropped)?;
            let activated = Activation::Gelu.forward(&self.map(&middle, &name(names.intermediate))?)?;
            let (dense, norm, dropped) = (names.output, names.output_norm, config.hidden_dropout_prob);
            x = end(&activated, dense, norm, &middle, site::output(layer), dropped)?;
        }
        Ok((x, batch))
    }
}
