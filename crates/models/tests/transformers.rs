//! Held to PyTorch transformers: logits, losses and gradients of small random models.
//!
//! The fixtures are made by `tests/transformers/make_fixtures.py` at the top of the repository.

use std::path::Path;
use std::sync::Arc;

use models::{Config, Dropout, Head, Inputs, Model, Targets, Tokens, Workspace};
use serde::Deserialize;
use weights::{Layout, Weights};

#[derive(Deserialize)]
struct Expected {
    ids: Vec<u32>,
    types: Vec<u32>,
    starts: Vec<u32>,
    labels: Vec<u32>,
    logits: Vec<Vec<f64>>,
    loss: f64,
    dropped_loss: Mean,
    masked_rows: Vec<u32>,
    masked_labels: Vec<u32>,
    /// Of the labels, where they are sequences.
    #[serde(default)]
    target_starts: Vec<u32>,
    masked_log_probabilities: Vec<Vec<f64>>,
    masked_loss: f64,
    masked_dropped_loss: Mean,
}

/// A mean and its standard error.
#[derive(Deserialize)]
struct Mean {
    mean: f64,
    error: f64,
}

impl Expected {
    fn inputs(&self) -> Inputs<'_> {
        Inputs::Tokens(Tokens { ids: &self.ids, types: &self.types, starts: &self.starts })
    }

    fn classes(&self) -> Targets<'_> {
        Targets::Classes(&self.labels)
    }

    fn masked(&self) -> Targets<'_> {
        if !self.target_starts.is_empty() {
            return Targets::Sequences { ids: &self.masked_labels, starts: &self.target_starts };
        }
        Targets::MaskedTokens { rows: &self.masked_rows, labels: &self.masked_labels }
    }
}

/// Families with fixtures.
const FAMILIES: [&str; 11] = [
    "bert",
    "distilbert",
    "roberta",
    "gpt2",
    "gpt_neox",
    "gpt_neox_sequential",
    "llama",
    "llama3",
    "olmo2",
    "t5",
    "t5_v1_1",
];

const CLASSIFIER: Head = Head::Classification { labels: 3 };

/// Probability of every dropout in the means under dropout.
const DROPPED: f64 = 0.4;

fn read(family: &str, file: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/transformers").join(family);
    std::fs::read(folder.join(file)).unwrap()
}

fn tensors(family: &str, file: &str) -> Weights {
    Weights::from_safetensors(&read(family, file)).unwrap()
}

fn config(family: &str) -> Config {
    Config::from_json(std::str::from_utf8(&read(family, "config.json")).unwrap()).unwrap()
}

fn expected(family: &str) -> Expected {
    serde_json::from_slice(&read(family, "expected.json")).unwrap()
}

fn load(family: &str, head: Head) -> (Model, Weights) {
    let model = Model::new(config(family), head).unwrap();
    if let Config::Decoder(_) = model.config() {
        let expected = expected(family);
        let Inputs::Tokens(tokens) = expected.inputs() else { unreachable!() };
        assert_eq!(tokens.next(), (expected.masked_rows, expected.masked_labels), "{family}");
    }
    let file = if head == CLASSIFIER { "model.safetensors" } else { "mlm.safetensors" };
    let weights = model.adopt(&tensors(family, file)).unwrap();
    (model, weights)
}

/// The language head that a family has.
fn language(family: &str) -> Head {
    match config(family) {
        Config::Decoder(_) => Head::CausalLanguage,
        Config::T5(_) => Head::SequenceToSequence,
        _ => Head::MaskedLanguage,
    }
}

/// Largest difference over the largest value.
fn difference(ours: &[f64], theirs: &[f64]) -> f64 {
    assert_eq!(ours.len(), theirs.len());
    let largest = |values: &mut dyn Iterator<Item = f64>| values.map(f64::abs).fold(0.0, f64::max);
    largest(&mut ours.iter().zip(theirs).map(|(a, b)| a - b)) / largest(&mut theirs.iter().copied())
}

fn norm(values: &[f32]) -> f64 {
    values.iter().map(|&value| f64::from(value).powi(2)).sum::<f64>().sqrt()
}

/// Mean loss, and the largest relative error of a tensor's gradient.
fn pass(
    model: &Model,
    weights: &Weights,
    inputs: &Inputs<'_>,
    targets: &Targets<'_>,
    theirs: &Weights,
) -> (f64, f64) {
    model.check(inputs, Some(targets)).unwrap();
    let n = match targets {
        Targets::Classes(labels) | Targets::MaskedTokens { labels, .. } => labels.len(),
        Targets::Sequences { ids, .. } => ids.len(),
    };
    let mut gradient = vec![0.0; model.layout().len()];
    let (scale, workspace) = (1.0 / n as f32, &mut Workspace::default());
    let tally = model
        .loss_and_gradient(&weights.values, inputs, targets, None, scale, &mut gradient, workspace)
        .unwrap();
    let mut worst: f64 = 0.0;
    for entry in model.layout().entries() {
        let name = &entry.name;
        let theirs = theirs.tensor(name).unwrap_or_else(|| panic!("{name} has no gradient there"));
        let ours = &gradient[entry.range()];
        // The gradient of the keys' biases is 0 but for rounding: the softmax does not see them.
        if name.ends_with("key.bias") || name.ends_with("k_lin.bias") {
            assert!(norm(ours) < 1e-6 && norm(theirs) < 1e-6, "{name}: {:e}, {:e}", norm(ours), norm(theirs));
            continue;
        }
        assert!(norm(theirs) > 1e-4, "{name}: its gradient tells nothing, {:e}", norm(theirs));
        let differences: Vec<f32> = ours.iter().zip(theirs).map(|(a, b)| a - b).collect();
        let error = norm(&differences) / norm(theirs);
        assert!(error < 1e-3, "{name}: relative error {error:.1e}");
        worst = worst.max(error);
    }
    let theirs = theirs.layout().entries().len();
    assert_eq!(model.layout().entries().len(), theirs, "they have parameters that we have not");
    (tally.mean_loss(), worst)
}

fn report(family: &str, head: &str, logits: f64, loss: f64, gradients: f64) {
    println!("{family:<12} {head:<10}  logits {logits:.1e}  loss {loss:.1e}  gradients {gradients:.1e}");
    assert!(logits < 1e-4 && loss < 1e-5, "{family}, {head}: logits {logits:e}, loss {loss:e}");
}

#[test]
fn sequence_classifiers_compute_what_transformers_computes() {
    for family in FAMILIES {
        let (expected, (model, weights)) = (expected(family), load(family, CLASSIFIER));
        let (inputs, targets) = (expected.inputs(), expected.classes());
        let mut workspace = Workspace::default();
        let logits = model.logits(&weights.values, &inputs, &mut workspace).unwrap();
        let logits: Vec<f64> = logits.iter().copied().map(f64::from).collect();
        let theirs = tensors(family, "model_gradients.safetensors");
        let (loss, gradients) = pass(&model, &weights, &inputs, &targets, &theirs);
        let loss = (loss / expected.loss - 1.0).abs();
        report(family, "classifier", difference(&logits, &expected.logits.concat()), loss, gradients);
    }
}

/// Logits of the vocabulary are not kept anywhere: the loss of every word at a place says as much.
#[test]
fn language_models_compute_what_transformers_computes() {
    for family in FAMILIES {
        let (expected, (model, weights)) = (expected(family), load(family, language(family)));
        let (inputs, targets) = (expected.inputs(), expected.masked());
        let mut workspace = Workspace::default();
        let words = expected.masked_log_probabilities[0].len() as u32;
        let mut log_probability = |row: u32, word: u32| {
            -model.masked_losses(&weights.values, &inputs, &[row], &[word], &mut workspace).unwrap().loss_sum
        };
        let rows = expected.masked_rows.iter();
        let mut ours: Vec<f64> = rows
            .flat_map(|&row| (0..words).map(move |word| (row, word)))
            .map(|(r, w)| log_probability(r, w))
            .collect();
        if language(family) == Head::SequenceToSequence {
            ours = next_words(&model, &weights, &expected, words);
        }
        let theirs = tensors(family, "mlm_gradients.safetensors");
        let (loss, gradients) = pass(&model, &weights, &inputs, &targets, &theirs);
        let loss = (loss / expected.masked_loss - 1.0).abs();
        let logits = difference(&ours, &expected.masked_log_probabilities.concat());
        report(family, "language", logits, loss, gradients);
    }
}

/// Of every word at every place of the targets, its log-probability: what it adds to the loss of what stands before.
fn next_words(model: &Model, weights: &Weights, expected: &Expected, words: u32) -> Vec<f64> {
    let workspace = &mut Workspace::default();
    let mut loss = |sequence: usize, ids: &[u32]| {
        let (from, to) = (expected.starts[sequence] as usize, expected.starts[sequence + 1] as usize);
        let (source, types) = (&expected.ids[from..to], &expected.types[from..to]);
        let inputs = Inputs::Tokens(Tokens { ids: source, types, starts: &[0, source.len() as u32] });
        let targets = Targets::Sequences { ids, starts: &[0, ids.len() as u32] };
        model.check(&inputs, Some(&targets)).unwrap();
        model.losses(&weights.values, &inputs, &targets, workspace).unwrap().loss_sum
    };
    let mut all = Vec::new();
    for (sequence, span) in expected.target_starts.windows(2).enumerate() {
        let told = &expected.masked_labels[span[0] as usize..span[1] as usize];
        for place in 0..told.len() {
            let before = if place == 0 { 0.0 } else { loss(sequence, &told[..place]) };
            all.extend((0..words).map(|word| before - loss(sequence, &[&told[..place], &[word]].concat())));
        }
    }
    all
}

/// The masks are others, but units are dropped at the same places: the mean loss under dropout is the same.
#[test]
fn units_are_dropped_where_transformers_drops_them() {
    const REPEATS: u64 = 12_000;
    for family in FAMILIES {
        let expected = expected(family);
        let inputs = expected.inputs();
        for (head, targets, theirs) in [
            (CLASSIFIER, expected.classes(), &expected.dropped_loss),
            (language(family), expected.masked(), &expected.masked_dropped_loss),
        ] {
            let (model, weights) = load(family, head);
            let mut config = model.config().clone();
            match &mut config {
                Config::Bert(config) => {
                    (config.hidden_dropout_prob, config.attention_probs_dropout_prob) = (DROPPED, DROPPED);
                    config.classifier_dropout = Some(DROPPED);
                }
                Config::Decoder(config) => config.set_dropout(DROPPED),
                Config::T5(config) => config.set_dropout(DROPPED),
                _ => panic!("{family} has no fixtures"),
            }
            let model = Model::new(config, head).unwrap();
            let mut gradient = vec![0.0; model.layout().len()];
            let workspace = &mut Workspace::default();
            let values: Vec<f32> = weights.values.iter().map(|value| 2.0 * value).collect();
            let losses: Vec<f64> = (0..REPEATS)
                .map(|key| {
                    let dropout = Some(Dropout { key });
                    model
                        .loss_and_gradient(&values, &inputs, &targets, dropout, 1.0, &mut gradient, workspace)
                        .unwrap()
                        .mean_loss()
                })
                .collect();
            let n = REPEATS as f64;
            let mean = losses.iter().sum::<f64>() / n;
            let variance = losses.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / n;
            let deviations = (mean - theirs.mean).abs() / (variance / n).sqrt().hypot(theirs.error);
            println!(
                "{family:<12} {:<22} mean loss {mean:.4}, theirs {:.4}: {deviations:.1} standard errors",
                format!("{head:?}"),
                theirs.mean
            );
            assert!(deviations < 4.0, "{family}, {head:?}: {mean} is not {}", theirs.mean);
        }
    }
}

#[test]
fn a_classifier_starts_from_a_language_model_of_its_family() {
    for family in FAMILIES {
        let (model, pretrained) =
            (Model::new(config(family), CLASSIFIER).unwrap(), tensors(family, "mlm.safetensors"));
        let weights = model.transfer(&pretrained, 1, 2, models::Draw::Normal(0.02)).unwrap();
        let other_head = model.transfer(&pretrained, 1, 3, models::Draw::Normal(0.02)).unwrap();
        let mut drawn = Vec::new();
        for entry in model.layout().entries() {
            let (name, found) = (&entry.name, weights.tensor(&entry.name).unwrap());
            // A T5's body is called otherwise in a classifier.
            match pretrained.tensor(name).or_else(|| pretrained.tensor(name.strip_prefix("transformer.")?)) {
                Some(theirs) => assert_eq!(found, theirs, "{name}"),
                None if name.ends_with(".bias") => assert!(found.iter().all(|&value| value == 0.0), "{name}"),
                None => drawn.push((name.as_str(), other_head.tensor(name).unwrap() != found)),
            }
        }
        // The map before the classifier has a seed of its own.
        let expected = match family {
            "bert" => &[("bert.pooler.dense.weight", false), ("classifier.weight", true)][..],
            "roberta" => &[("classifier.dense.weight", false), ("classifier.out_proj.weight", true)],
            "distilbert" => &[("pre_classifier.weight", false), ("classifier.weight", true)],
            "t5" | "t5_v1_1" => {
                &[("classification_head.dense.weight", false), ("classification_head.out_proj.weight", true)]
            }
            _ => &[("score.weight", true)],
        };
        assert_eq!(drawn, expected, "{family}");
    }
}

/// A published file has no leading name where it is a bare body, and may hold parts that no model here asks for.
#[test]
fn published_checkpoints_of_each_family_are_adopted() {
    for (family, body, extras) in [
        (
            "bert",
            "bert",
            ["cls.predictions.decoder.weight", "cls.seq_relationship.weight", "bert.pooler.dense.weight"],
        ),
        ("distilbert", "distilbert", ["vocab_projector.weight", "pre_classifier.weight", "classifier.bias"]),
        (
            "gpt2",
            "transformer",
            ["lm_head.weight", "transformer.h.0.attn.bias", "transformer.h.1.attn.masked_bias"],
        ),
        (
            "gpt_neox",
            "gpt_neox",
            ["score.weight", "gpt_neox.layers.0.attention.bias", "layers.0.attention.rotary_emb.inv_freq"],
        ),
        (
            "llama",
            "model",
            ["score.weight", "model.rotary_emb.inv_freq", "model.layers.1.self_attn.rotary_emb.inv_freq"],
        ),
        (
            "roberta",
            "roberta",
            ["lm_head.decoder.weight", "lm_head.decoder.bias", "roberta.pooler.dense.weight"],
        ),
    ] {
        let (model, weights) = load(family, language(family));
        let stripped = |name: &str| name.strip_prefix(&format!("{body}.")).unwrap_or(name).to_owned();
        let published = |extras: &[&str]| {
            let (mut layout, mut values) = (Layout::default(), Vec::new());
            for entry in weights.layout().entries() {
                layout.push(stripped(&entry.name), &entry.shape);
                values.extend_from_slice(&weights.values[entry.range()]);
            }
            for name in extras {
                layout.push(*name, &[1]);
                values.push(0.0);
            }
            let mut published = Weights::zeros(Arc::new(layout));
            published.values = values;
            published
        };
        assert_eq!(model.adopt(&published(&extras)).unwrap().values, weights.values, "{family}");
        let stranger = format!("{body}.embeddings.strange.weight");
        let error = model.adopt(&published(&[&stranger])).unwrap_err().to_string();
        assert!(error.contains(&stranger), "{error}");
    }
}

/// A file may hold the words of a T5 under any of three names, or under all, and a bias that nothing reads.
#[test]
fn words_of_a_t5_are_found_under_each_of_their_names() {
    const UNREAD: &str = "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight";
    for family in ["t5", "t5_v1_1"] {
        let (model, weights) = load(family, Head::SequenceToSequence);
        let published = |names: &[&str], stranger: Option<&str>| {
            let (mut layout, mut values) = (Layout::default(), Vec::new());
            for entry in weights.layout().entries() {
                let own = [entry.name.as_str()];
                for name in if entry.name == "shared.weight" { names } else { &own } {
                    layout.push(*name, &entry.shape);
                    values.extend_from_slice(&weights.values[entry.range()]);
                }
            }
            for name in [UNREAD].into_iter().chain(stranger) {
                layout.push(name, &[1]);
                values.push(0.0);
            }
            let mut published = Weights::zeros(Arc::new(layout));
            published.values = values;
            published
        };
        let [encoder, decoder] = ["encoder.embed_tokens.weight", "decoder.embed_tokens.weight"];
        for names in [&[encoder, "shared.weight", decoder][..], &[encoder], &[decoder]] {
            assert_eq!(model.adopt(&published(names, None)).unwrap().values, weights.values, "{names:?}");
        }
        let stranger = published(&["shared.weight"], Some("encoder.block.9.layer.0.layer_norm.weight"));
        let error = model.adopt(&stranger).unwrap_err().to_string();
        assert!(error.contains("encoder.block.9.layer.0.layer_norm.weight"), "{error}");
        // A classifier that was trained goes on as one, and lends its body to a fresh one.
        let (classifier, tuned) = load(family, CLASSIFIER);
        let fresh = classifier.transfer(&tuned, 1, 2, models::Draw::Normal(0.02)).unwrap();
        for name in ["transformer.shared.weight", "classification_head.dense.weight"] {
            assert_eq!(fresh.tensor(name), tuned.tensor(name), "{name}");
        }
    }
}

/// Writes models as this crate writes them, with their logits, for `tests/transformers/check_written.py`.
#[test]
fn models_are_written_for_transformers_to_read() {
    let Some(out) = std::env::var_os("SAMEBASIN_WRITTEN") else {
        println!("skipped: SAMEBASIN_WRITTEN names no folder to write to");
        return;
    };
    for family in FAMILIES.into_iter().filter(|family| language(family) != Head::MaskedLanguage) {
        for head in [CLASSIFIER, language(family)] {
            let (expected, (model, weights)) = (expected(family), load(family, head));
            let mut workspace = Workspace::default();
            let logits = model.logits(&weights.values, &expected.inputs(), &mut workspace).unwrap();
            let folder = Path::new(&out).join(format!("{family}-{}", if head == CLASSIFIER { 0 } else { 1 }));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("config.json"), model.config().to_json(head, &[])).unwrap();
            std::fs::write(folder.join("model.safetensors"), weights.to_safetensors()).unwrap();
            let said =
                serde_json::json!({ "ids": expected.ids, "starts": expected.starts, "logits": logits });
            std::fs::write(folder.join("ours.json"), said.to_string()).unwrap();
        }
    }
}
