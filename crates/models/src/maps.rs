//! The linear maps inside the layers, by their names: what low-rank adaptation can change.

use crate::{Config, Model, t5};

/// A linear map of a layer: one weight of the layout.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinearMap {
    /// Name of the module: that of the weight without its `.weight`.
    pub name: String,
    /// Index of the weight among the entries of the layout.
    pub entry: usize,
    /// Values that it yields.
    pub outputs: usize,
    /// Values that it takes.
    pub inputs: usize,
    /// Whether the weight is stored `[inputs, outputs]` (GPT-2), and not `[outputs, inputs]`.
    pub is_transposed: bool,
}

impl LinearMap {
    /// Whether a target names this map, as in `peft`: the whole name, or its end from a dot on.
    #[must_use]
    pub fn is_called(&self, target: &str) -> bool {
        self.name.strip_suffix(target).is_some_and(|start| start.is_empty() || start.ends_with('.'))
    }
}

impl Model {
    /// The linear maps of the layers, in the order of the layout. Embeddings, norms, poolers and heads are none of them.
    #[must_use]
    pub fn linear_maps(&self) -> Vec<LinearMap> {
        let (layers, is_transposed) = match self.config() {
            Config::Bert(config) => {
                let names = config.variant.names();
                (vec![format!("{}.{}.", names.body, names.layers)], false)
            }
            Config::Decoder(config) => {
                let names = config.variant.names();
                (vec![format!("{}.{}.", names.body, names.layers)], config.variant.is_transposed())
            }
            Config::T5(_) => (t5::layers(self.head()).into(), false),
            Config::Mlp(_) => (vec!["layers.".to_owned()], false),
        };
        let map = |(entry, weight): (usize, &weights::Entry)| {
            let name = weight.name.strip_suffix(".weight")?;
            let is_inside = layers.iter().any(|layers| name.starts_with(layers));
            if !is_inside || name.ends_with(t5::DISTANCES) {
                return None;
            }
            let &[rows, columns] = weight.shape.as_slice() else { return None };
            let (outputs, inputs) = if is_transposed { (columns, rows) } else { (rows, columns) };
            Some(LinearMap { name: name.to_owned(), entry, outputs, inputs, is_transposed })
        };
        self.layout().entries().iter().enumerate().filter_map(map).collect()
    }

    /// Which maps low-rank adaptation changes unless it is told otherwise, by the ends of their names: those to queries and
    /// values (Hu et al. 2021, section 7.1), or the one to queries, keys and values where a family has no other. These
    /// are `peft`'s for the families that it knows. A perceptron has no attention: all its layers are meant.
    #[must_use]
    pub fn default_targets(&self) -> Vec<String> {
        let projections: &[&str] = match self.config() {
            Config::Bert(config) => &config.variant.names().projections,
            Config::Decoder(config) => config.variant.names().projections,
            Config::T5(_) => &["q", "k", "v"],
            Config::Mlp(_) => return self.linear_maps().into_iter().map(|map| map.name).collect(),
        };
        let chosen = match projections {
            [queries, _, values] => vec![queries, values],
            fused => fused.iter().collect(),
        };
        let last = |name: &&str| name.rsplit('.').next().unwrap_or(name).to_owned();
        chosen.into_iter().map(last).collect()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::{Head, bert, decoder, mlp, t5};

    /// A small model of each family.
    pub(crate) fn models() -> Vec<Model> {
        let encoder = |variant| {
            Config::Bert(bert::Config {
                variant,
                vocab_size: 5,
                hidden_size: 4,
                num_hidden_layers: 2,
                num_attention_heads: 2,
                intermediate_size: 8,
                max_position_embeddings: 6,
                type_vocab_size: if variant == bert::Variant::DistilBert { 0 } else { 2 },
                ..bert::Config::default()
            })
        };
        let decoder = |variant| {
            Config::Decoder(decoder::Config {
                vocab_size: 5,
                hidden_size: 8,
                num_hidden_layers: 2,
                num_attention_heads: 2,
                num_key_value_heads: 2,
                head_dim: 4,
                intermediate_size: 16,
                max_position_embeddings: 6,
                partial_rotary_factor: 1.0,
                ..decoder::Config::of(variant)
            })
        };
        let mut configs: Vec<Config> =
            [bert::Variant::Bert, bert::Variant::Roberta, bert::Variant::DistilBert].map(encoder).into();
        configs.extend(decoder::Variant::ALL.map(decoder));
        configs.push(Config::T5(t5::Config {
            vocab_size: 5,
            d_model: 8,
            d_kv: 4,
            num_heads: 2,
            d_ff: 16,
            num_layers: 2,
            num_decoder_layers: 2,
            ..t5::Config::default()
        }));
        configs.push(Config::Mlp(mlp::Config { input_size: 3, hidden_sizes: vec![4, 5] }));
        let head = Head::Classification { labels: 2 };
        configs.into_iter().map(|config| Model::new(config, head).unwrap()).collect()
    }

    /// `TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING` of peft 0.21; it knows neither DistilBERT nor OLMo 2.
    #[test]
    fn targets_are_those_of_peft() {
        let found: Vec<_> = models().iter().map(Model::default_targets).collect();
        let expected: [&[&str]; 9] = [
            &["query", "value"],
            &["query", "value"],
            &["q_lin", "v_lin"],
            &["c_attn"],
            &["query_key_value"],
            &["q_proj", "v_proj"],
            &["q_proj", "v_proj"],
            &["q", "v"],
            &["layers.0", "layers.1"],
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn maps_are_those_of_the_layers() {
        for (model, per_layer) in models().iter().zip([6, 6, 6, 4, 4, 7, 7, 16, 1]) {
            let maps = model.linear_maps();
            assert_eq!(maps.len(), 2 * per_layer, "{}", model.config().model_type());
            for map in &maps {
                let weight = &model.layout().entries()[map.entry];
                assert_eq!(weight.name, format!("{}.weight", map.name));
                assert_eq!(weight.len, map.outputs * map.inputs);
            }
            for target in model.default_targets() {
                assert!(maps.iter().any(|map| map.is_called(&target)), "{target}");
            }
        }
        let gpt2 = &models()[3];
        let fused = gpt2.linear_maps().into_iter().find(|map| map.is_called("c_attn")).unwrap();
        assert_eq!((fused.outputs, fused.inputs, fused.is_transposed), (24, 8, true));
        assert!(!fused.is_called("attn") && fused.is_called("attn.c_attn") && fused.is_called(&fused.name));
    }
}
