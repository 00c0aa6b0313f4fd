//! Encoders in candle's operations.

use candle_core::Tensor;

use super::padded::Padded;
use super::{Composite, Scores, each_row};
use crate::bert::{Config, mask, site};
use crate::{Dropout, Error, Tokens};

impl Composite {
    /// Logits `[B, labels]` of a classifier.
    pub(super) fn classified_by_bert(
        &self,
        config: &Config,
        tokens: &Tokens<'_>,
        dropout: Option<Dropout>,
    ) -> Result<Tensor, Error> {
        let (hidden, batch) = self.bert(config, tokens, dropout)?;
        let firsts: Vec<u32> = (0..batch.n_sequences).map(|i| (i * batch.longest) as u32).collect();
        let first = self.rows_of(&hidden, &firsts)?;
        let (rows, probability) = (each_row(batch.n_sequences), config.classifier_dropout());
        let names = config.variant.names();
        let early = dropout.filter(|_| config.variant.drops_features());
        let first = self.drop(first, mask(early, site::FEATURES, probability), &rows)?;
        let pooled = self.map(&first, names.pooler)?;
        let pooled = if config.variant.rectifies() { pooled.relu()? } else { pooled.tanh()? };
        self.map(&self.drop(pooled, mask(dropout, site::CLASSIFIER, probability), &rows)?, names.classifier)
    }

    /// Logits `[rows, words]` of masked tokens.
    pub(super) fn masked_logits(
        &self,
        config: &Config,
        tokens: &Tokens<'_>,
        rows: &[u32],
        dropout: Option<Dropout>,
    ) -> Result<Tensor, Error> {
        let (hidden, batch) = self.bert(config, tokens, dropout)?;
        let hidden = self.rows_of(&hidden, &batch.places_of(rows))?;
        let names = config.variant.names();
        let activated = self.map(&hidden, names.transform)?.gelu_erf()?;
        let features = self.norm(&activated, names.transform_norm, config.layer_norm_eps)?;
        let words = self.variable(&format!("{}.embeddings.word_embeddings.weight", names.body)).as_tensor();
        Ok(features.matmul(&words.t()?)?.broadcast_add(self.variable(names.decoder_bias).as_tensor())?)
    }

    /// Hidden states `[sequences * longest, H]`, and where they are.
    pub(super) fn bert(
        &self,
        config: &Config,
        tokens: &Tokens<'_>,
        dropout: Option<Dropout>,
    ) -> Result<(Tensor, Padded), Error> {
        let batch = Padded::new(tokens.starts);
        let (b, n, h) = (batch.n_sequences, batch.longest, config.hidden_size);
        let (heads, size) = (config.num_attention_heads, h / config.num_attention_heads);
        let names = config.variant.names();
        let body = names.body;
        let look_up = |table: &str, ids: &[u32]| {
            self.look_up(&format!("{body}.embeddings.{table}_embeddings.weight"), ids)
        };
        let filler = config.pad_token_id.min(config.vocab_size as u32 - 1);
        let words = look_up("word", &batch.spread(tokens.ids, filler))?;
        let mut sums = (words + look_up("position", &batch.positions(config.first_position()))?)?;
        if config.type_vocab_size > 0 {
            sums = (sums + look_up("token_type", &batch.spread(tokens.types, 0))?)?;
        }
        let mut x = self.norm(&sums, &format!("{body}.embeddings.LayerNorm"), config.layer_norm_eps)?;
        x = self.drop(x, mask(dropout, site::EMBEDDINGS, config.hidden_dropout_prob), &batch.rows)?;
        let bias = Tensor::from_vec(batch.bias(), (b, 1, 1, n), &self.device)?.to_dtype(self.dtype)?;
        for layer in 0..config.num_hidden_layers {
            let name = |part: &str| format!("{body}.{}.{layer}.{part}", names.layers);
            let [queries, keys, values] =
                names.projections.map(|part| self.heads(&self.map(&x, &name(part))?, b, heads));
            let scores = Scores {
                scale: 1.0 / (size as f64).sqrt(),
                bias: &bias,
                mask: mask(dropout, site::probabilities(layer), config.attention_probs_dropout_prob),
            };
            let context = self.attend([queries?, keys?, values?], scores, &batch)?;
            let end = |x: &Tensor, dense, norm, residual: &Tensor, site, dropped| -> Result<Tensor, Error> {
                let branch = self.map(x, &name(dense))?;
                let branch = self.drop(branch, mask(dropout, site, dropped), &batch.rows)?;
                self.norm(&(branch + residual)?, &name(norm), config.layer_norm_eps)
            };
            let (dense, norm) = (names.attention_output, names.attention_norm);
            let dropped = config.attention_output_dropout();
            let middle = end(&context, dense, norm, &x, site::attention_output(layer), dropped)?;
            let activated = self.map(&middle, &name(names.intermediate))?.gelu_erf()?;
            let (dense, norm, dropped) = (names.output, names.output_norm, config.hidden_dropout_prob);
            x = end(&activated, dense, norm, &middle, site::output(layer), dropped)?;
        }
        Ok((x, batch))
    }
}
