//! Encoder-decoders in candle-nn's layers.

use candle_core::{Module, Tensor};
use candle_nn::Activation;

use super::attention::Scores;
use super::padded::{Padded, each_row};
use super::pass::Pass;
use crate::bert::mask;
use crate::t5::{CLASSIFIER, Config, FeedForward, Given, Site, Sites};
use crate::{Error, Head, Targets, Tokens};

/// What a stack of layers reads.
struct Reads<'a> {
    ids: &'a [u32],
    batch: &'a Padded,
    sites: Sites,
    /// What the encoder made, for the decoder.
    memory: Option<(&'a Tensor, &'a Padded)>,
}

impl Pass<'_> {
    /// Logits `[rows, words]` of what is to be predicted or, without targets, of what it begins with; `[B, classes]` of a
    /// classifier.
    pub(super) fn t5_logits(
        &self,
        config: &Config,
        tokens: &Tokens<'_>,
        targets: Option<&Targets<'_>>,
    ) -> Result<Tensor, Error> {
        let is_classifier = matches!(self.model.head, Head::Classification { .. });
        let mut given = Given::default();
        given.fill_for(config, is_classifier, tokens, targets);
        let sites = |is_decoder| Sites::new(self.dropout, config.dropout_rate, is_decoder);
        let (source, told) = (Padded::new(tokens.starts), Padded::new(&given.starts));
        let reads = Reads { ids: tokens.ids, batch: &source, sites: sites(false), memory: None };
        let memory = self.t5_stack(config, &reads)?;
        let memory = Some((&memory, &source));
        let states =
            self.t5_stack(config, &Reads { ids: &given.ids, batch: &told, sites: sites(true), memory })?;
        if !is_classifier {
            let states = self.rows_of(&states, &told.places)?;
            return match config.tie_word_embeddings {
                true => self.map(&(states * (config.d_model as f64).powf(-0.5))?, "shared"),
                false => self.map(&states, "lm_head"),
            };
        }
        let features = self.rows_of(&states, &told.places_of(&given.ends))?;
        let rows = each_row(given.ends.len());
        let drop = |x, site| self.drop(x, mask(self.dropout, site, config.classifier_dropout), &rows);
        let hidden = self.map(&drop(features, CLASSIFIER[0])?, "classification_head.dense")?.tanh()?;
        self.map(&drop(hidden, CLASSIFIER[1])?, "classification_head.out_proj")
    }

    /// States `[sequences * longest, H]` of the encoder or, with a memory, of the decoder.
    fn t5_stack(&self, config: &Config, reads: &Reads<'_>) -> Result<Tensor, Error> {
        let Reads { ids, batch, sites, memory } = reads;
        let stack = &crate::t5::stacks(self.model.head)[usize::from(memory.is_some())];
        let (b, heads) = (batch.n_sequences, config.num_heads);
        let n_layers = if memory.is_some() { config.num_decoder_layers } else { config.num_layers };
        let bias = self.t5_bias(config, stack, memory.is_some(), batch)?;
        let drop = |x, mask| self.drop(x, mask, &batch.rows);
        let words = format!("{}shared.weight", crate::t5::body(self.model.head));
        let mut x = drop(self.look_up(&words, &batch.spread(ids, 0))?, sites.embeddings())?;
        for layer in 0..n_layers {
            let part = |block: usize, part: &str| format!("{stack}.block.{layer}.layer.{block}.{part}");
            let norm =
                |x: &Tensor, block| self.norm(x, &part(block, "layer_norm"), config.layer_norm_epsilon);
            let mask = |site| sites.in_layer(layer, site);

            let own = |of: &str| part(0, &format!("SelfAttention.{of}"));
            let input = norm(&x, 0)?;
            let [q, k, v] = ["q", "k", "v"].map(|of| self.heads(&self.map(&input, &own(of))?, b, heads));
            let scores = Scores { scale: 1.0, bias: &bias, mask: mask(Site::Probabilities) };
            let context = self.attend([q?, k?, v?], scores, batch)?;
            x = (x + drop(self.map(&context, &own("o"))?, mask(Site::AttentionOutput))?)?;

            if let Some((memory, source)) = memory {
                let cross = |of: &str| part(1, &format!("EncDecAttention.{of}"));
                let queries = self.heads(&self.map(&norm(&x, 1)?, &cross("q"))?, b, heads)?;
                let [k, v] = ["k", "v"].map(|of| self.heads(&self.map(memory, &cross(of))?, b, heads));
                let bias = self.fillers(source)?;
                let scores = Scores { scale: 1.0, bias: &bias, mask: mask(Site::CrossProbabilities) };
                let context = self.attend([queries, k?, v?], scores, batch)?;
                x = (x + drop(self.map(&context, &cross("o"))?, mask(Site::CrossOutput))?)?;
            }

            let last = 1 + usize::from(memory.is_some());
            let dense = |of: &str| part(last, &format!("DenseReluDense.{of}"));
            let input = norm(&x, last)?;
            let activated = match config.feed_forward {
                FeedForward::Relu => Activation::Relu.forward(&self.map(&input, &dense("wi"))?)?,
                FeedForward::GatedGelu => {
                    let gate = Activation::NewGelu.forward(&self.map(&input, &dense("wi_0"))?)?;
                    (gate * self.map(&input, &dense("wi_1"))?)?
                }
            };
            let activated = drop(activated, mask(Site::Inner))?;
            x = (x + drop(self.map(&activated, &dense("wo"))?, mask(Site::Output))?)?;
        }
        let states = self.norm(&x, &format!("{stack}.final_layer_norm"), config.layer_norm_epsilon)?;
        drop(states, sites.states())
    }

    /// What is added to scores: a bias by distance and, of an encoder, where there is nothing; of a decoder, what comes later.
    fn t5_bias(
        &self,
        config: &Config,
        stack: &str,
        is_decoder: bool,
        batch: &Padded,
    ) -> Result<Tensor, Error> {
        let n = batch.longest;
        let buckets = config.buckets(is_decoder);
        let bucket = |at: usize| buckets.of((at % n) as isize - (at / n) as isize) as u32;
        let name = format!("{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight");
        let table = self.look_up(&name, &(0..n * n).map(bucket).collect::<Vec<u32>>())?;
        let near = table.reshape((n, n, config.num_heads))?.permute((2, 0, 1))?.unsqueeze(0)?;
        let seen = match is_decoder {
            true => self.past(n)?,
            false => self.fillers(batch)?,
        };
        Ok(near.broadcast_add(&seen)?)
    }
}
