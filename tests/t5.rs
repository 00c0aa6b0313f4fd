//! T5: a published ladder is gauged by span corruption, fine-tuned and compared, and one of our own is pretrained.

use std::fmt::Write;

use models::{Config, Head, Model, t5};

use crate::harness::{Bench, text};
use crate::server::{Content, Server};

const WORDS: [&str; 8] = ["where", "is", "the", "cat", "dog", "house", "small", "old"];
const USAGE: i32 = 2;

fn line(index: usize) -> String {
    (0..8).map(|place| WORDS[(index * 7 + place * 3 + index / 8) % 8]).collect::<Vec<_>>().join(" ")
}

/// A `tokenizer.json` of the form that T5's has: sentencepiece's unigram model, `</s>` behind each text, and sentinels from
/// the top of the vocabulary downwards.
fn tokenizer() -> String {
    let word = |(word, score): (&str, f64)| format!("[\"{word}\", {score:?}]");
    let mut pieces = vec![("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("\u{2581}", -4.0), ("s", -6.0)];
    let words: Vec<String> = WORDS.iter().map(|word| format!("\u{2581}{word}")).collect();
    pieces.extend(words.iter().map(|word| (word.as_str(), -2.0)));
    let sentinels: Vec<String> = (0..8).rev().map(|k| format!("<extra_id_{k}>")).collect();
    let first = pieces.len();
    pieces.extend(sentinels.iter().map(|sentinel| (sentinel.as_str(), 0.0)));
    let special = pieces.iter().enumerate().filter(|(id, _)| *id < 3 || *id >= first);
    let mut added = String::new();
    for (id, (content, _)) in special {
        let comma = if added.is_empty() { "" } else { ", " };
        let rest =
            r#""single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true"#;
        write!(added, r#"{comma}{{"id": {id}, "content": "{content}", {rest}}}"#).unwrap();
    }
    let vocabulary: Vec<String> = pieces.iter().copied().map(word).collect();
    let metaspace = r#"{"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}"#;
    let [a, b] = ["A", "B"].map(|id| format!(r#"{{"Sequence": {{"id": "{id}", "type_id": 0}}}}"#));
    let end = r#"{"SpecialToken": {"id": "</s>", "type_id": 0}}"#;
    format!(
        r#"{{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [{added}], "normalizer": null,
        "pre_tokenizer": {{"type": "Sequence", "pretokenizers": [{{"type": "WhitespaceSplit"}}, {metaspace}]}},
        "post_processor": {{"type": "TemplateProcessing", "single": [{a}, {end}], "pair": [{a}, {end}, {b}, {end}],
        "special_tokens": {{"</s>": {{"id": "</s>", "ids": [1], "tokens": ["</s>"]}}}}}}, "decoder": {metaspace},
        "model": {{"type": "Unigram", "unk_id": 2, "vocab": [{}], "byte_fallback": false}}}}"#,
        vocabulary.join(", ")
    )
}

/// `config.json` and a tiny T5 1.1 with more words than its tokenizer has, as the published ones.
fn model(seed: u64) -> (String, Vec<u8>) {
    let config = Config::T5(t5::Config {
        vocab_size: 24,
        d_model: 16,
        d_kv: 8,
        d_ff: 32,
        num_layers: 2,
        num_decoder_layers: 2,
        num_heads: 2,
        feed_forward: t5::FeedForward::GatedGelu,
        tie_word_embeddings: false,
        dropout_rate: 0.0,
        ..t5::Config::default()
    });
    let model = Model::new(config, Head::SequenceToSequence).unwrap();
    (model.config().to_json(model.head(), &[]), model.init(seed).to_safetensors())
}

/// Refs `films` (a classification of pairs) and `answers` (a preference).
fn tasks(bench: &Bench) {
    let films = |index: usize| {
        let (first, second) = (["old", "small"][index % 2], ["cat", "dog"][index / 2 % 2]);
        format!("{{\"a\": \"the {first} house\", \"b\": \"is the {second}\", \"label\": {}}}\n", index % 2)
    };
    std::fs::write(bench.path("films.jsonl"), (0..64).map(films).collect::<String>()).unwrap();
    let answers = |index: usize| {
        let asked = line(index);
        format!("{{\"chosen\": \"{asked} the small cat\", \"rejected\": \"{asked} the old dog\"}}\n")
    };
    std::fs::write(bench.path("answers.jsonl"), (0..200).map(answers).collect::<String>()).unwrap();
    let root = bench.path("").display().to_string();
    let film = "file = \"films.jsonl\"\ntext = \"a\"\ntext_b = \"b\"\nlabel = \"label\"\n\
                map = { 0 = \"no\", 1 = \"yes\" }\n";
    let answer = "file = \"answers.jsonl\"\ntext = \"chosen\"\ntext_b = \"rejected\"\n";
    for (name, head, part) in [
        ("films", "labels = [\"no\", \"yes\"]\n", film),
        ("answers", "form = \"preference\"\nlabels = [\"first\", \"second\"]\n", answer),
    ] {
        let sample = |skip: usize| format!("sample = {{ seed = 1, skip = {skip}, take = 30 }}\n");
        let parts = [sample(0), sample(30)].map(|sample| format!("{part}{sample}"));
        let spec =
            format!("name = \"{name}\"\n{head}[train]\n{part}[val]\n{}[split.id]\n{}", parts[0], parts[1]);
        let file = bench.path(&format!("{name}.toml"));
        std::fs::write(&file, spec).unwrap();
        bench.run("prepare", &["--ref", name, "table", &file.display().to_string(), "--root", &root]);
    }
}

fn corpus(bench: &Bench, arguments: &[&str]) {
    let lines = (0..400).map(|index| line(index) + "\n\n").collect::<String>();
    std::fs::write(bench.path("text.txt"), lines).unwrap();
    let root = bench.path("").display().to_string();
    let files = ["corpus", "--train", "text.txt", "--held-out", "text.txt", "--root", &root];
    if !arguments.is_empty() {
        bench.run("prepare", &[&["--ref", "corpus"], files.as_slice(), arguments].concat());
    }
}

#[test]
fn texts_end_as_t5s_do() {
    let encoder = tasks::Encoder::from_tokenizer_json(tokenizer().as_bytes()).unwrap();
    let encode = |first: &str, second: Option<&str>, longest: usize| {
        let content =
            tasks::Content::Text { first: vec![first.into()], second: second.map(|text| vec![text.into()]) };
        match encoder.encode(&content, longest).unwrap() {
            tasks::Encoded::Tokens { ids, types, starts } => (ids, types, starts),
            dense => panic!("{dense:?}"),
        }
    };
    let (the, cat, dogs) = (7, 8, [9, 4]);
    assert_eq!(encode("the cat", None, 9), (vec![the, cat, 1], vec![0; 3], vec![0, 3]));
    assert_eq!(encode("the cat", Some("dogs"), 9).0, [the, cat, 1, dogs[0], dogs[1], 1]);
    assert!(encode("the cat", Some("dogs"), 9).1.iter().all(|&segment| segment == 0));
    // However short the model, both ends stay.
    assert_eq!(encode("the cat the cat the cat", None, 3).0, [the, cat, 1]);
    assert_eq!(encode("the cat the cat", Some("the"), 5).0, [the, cat, 1, the, 1]);
    assert_eq!(tasks::token_id(tokenizer().as_bytes(), &["<extra_id_0>"]).unwrap(), Some(20));
}

#[test]
fn a_published_ladder_is_gauged_fine_tuned_and_compared() {
    let bench = Bench::new();
    tasks(&bench);
    corpus(&bench, &[]);
    let root = bench.path("").display().to_string();
    let mut content = Content::default();
    for (branch, seed) in [("step1", 0), ("step2", 1)] {
        let (config, weights) = model(seed);
        let tokenizer = tokenizer();
        let files = [
            ("config.json", config.as_bytes()),
            ("model.safetensors", &weights),
            ("tokenizer.json", tokenizer.as_bytes()),
        ];
        content.commit("models/lab/t5-tiny", branch, &files);
    }
    let server = Server::start(content, |_, _| None);
    let mut fetch = bench.stage("fetch");
    fetch.env("HF_ENDPOINT", server.address()).env("HF_HOME", bench.path("hf")).env_remove("HF_TOKEN");
    fetch.args([
        "--ref",
        "rungs",
        "ladder",
        "--repository",
        "lab/t5-tiny",
        "--matching",
        r"^step(?<step>\d)$",
    ]);
    let output = fetch.output().expect("the program starts");
    assert!(output.status.success(), "{}", text(&output.stderr));

    let gauge = ["--ladder", "rungs", "--text", "text.txt", "--root", &root, "--max-length", "24"];
    bench.run("gauge", &[&["--ref", "gauged"], gauge.as_slice()].concat());
    let losses = &bench.manifest("gauged")["facts"]["held_out_loss"];
    // Of 24 words, by a model that knows nothing.
    let loss = losses["step-1"].as_f64().unwrap();
    assert!(loss > 3.0, "{losses}");

    for seed in ["0", "1"] {
        for task in ["films", "answers"] {
            let run = format!("{task}/{seed}");
            let start = ["--checkpoint", "gauged:step-2", "--task", task, "--ref", &run, "--seed", seed];
            let recipe = ["--steps", "100", "--learning-rate", "3e-3", "--batch", "16", "--dropout", "0.05"];
            bench.run("finetune", &[start.as_slice(), &recipe].concat());
            let accuracy = bench.manifest(&run)["facts"]["val_accuracy"].as_f64().unwrap();
            assert!(accuracy >= 0.9, "{run}: {accuracy}");
            bench.run("evaluate", &["--model", &run, "--task", task]);
        }
    }
    let config = std::fs::read_to_string(bench.object("films/0", "config")).unwrap();
    assert!(config.contains("T5ForSequenceClassification") && config.contains("\"gated-gelu\""), "{config}");
    for task in ["films", "answers"] {
        let [first, second] = ["0", "1"].map(|seed| format!("{task}/{seed}"));
        let models = ["--model", &first, &second, "--task", task];
        let lines = format!("{task}/lines");
        let path = ["--ref", &lines, "--split", "id", "--points", "3"];
        bench.run("interpolate", &[path.as_slice(), &models].concat());
        let rows =
            stages::rows::PathRow::read(&std::fs::read(bench.object(&lines, "paths")).unwrap()).unwrap();
        assert!(rows.iter().all(|row| row.n == 30 && row.loss.is_finite()), "{rows:?}");
        let soup = format!("{task}/soup");
        bench.run("soup", &[&["--ref", &soup, "--method", "uniform"], models.as_slice()].concat());
        bench.run("evaluate", &["--model", &soup, "--task", task]);
    }
}

/// Span corruption is learned from a corpus of our own; what comes out goes through the same door as a published one.
#[test]
fn a_t5_is_pretrained_gauged_and_fine_tuned() {
    let bench = Bench::new();
    tasks(&bench);
    corpus(&bench, &["--vocabulary", "60", "--sentinels", "2"]);
    let root = bench.path("").display().to_string();
    let shape = ["--family", "t5", "--hidden", "16", "--heads", "2", "--positions", "12", "--batch", "16"];
    let steps = ["--world", "corpus", "--corpus", "corpus", "--steps", "120", "--checkpoints", "0,120"];
    bench.run("pretrain", &[&["--ref", "ladder"], shape.as_slice(), &steps].concat());
    let losses = bench.manifest("ladder")["facts"]["held_out_loss"].clone();
    let loss = |step: &str| losses[step].as_f64().unwrap();
    assert!(loss("step-120") < loss("step-0") - 1.0, "{losses}");
    // The same text by the same objective, through another door.
    let gauge = ["--ladder", "ladder", "--text", "text.txt", "--root", &root, "--max-length", "12"];
    bench.run("gauge", &[&["--ref", "gauged"], gauge.as_slice()].concat());
    assert_eq!(bench.manifest("gauged")["facts"]["held_out_loss"], losses);
    let start = ["--checkpoint", "gauged:step-120", "--task", "answers", "--ref", "answers/0"];
    let recipe = ["--steps", "80", "--learning-rate", "3e-3", "--batch", "16"];
    bench.run("finetune", &[start.as_slice(), &recipe].concat());
    let accuracy = bench.manifest("answers/0")["facts"]["val_accuracy"].as_f64().unwrap();
    assert!(accuracy >= 0.9, "{accuracy}");

    let wide = [shape.as_slice(), &steps, &["--initializer-range", "0.2"]].concat();
    assert!(bench.fails(USAGE, "pretrain", &wide).contains("--family t5"));
}
