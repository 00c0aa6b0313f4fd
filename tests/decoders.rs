//! Causal language models from a corpus to a reward model, by the programs alone.

use crate::harness::Bench;

const USAGE: i32 = 2;

/// Refs `corpus`, `films` (a classification) and `answers` (a preference) in a folder of texts.
fn texts(bench: &Bench) {
    let words = ["where", "is", "the", "cat", "dog", "house", "small", "old"];
    let line = |index: usize| {
        (0..8).map(|place| words[(index * 7 + place * 3 + index / 8) % 8]).collect::<Vec<_>>().join(" ")
    };
    std::fs::write(bench.path("text.txt"), (0..400).map(|index| line(index) + "\n\n").collect::<String>())
        .unwrap();
    let films = |index: usize| {
        format!("{{\"text\": \"{} house\", \"label\": {}}}\n", ["old", "small"][index % 2], index % 2)
    };
    std::fs::write(bench.path("films.jsonl"), (0..64).map(films).collect::<String>()).unwrap();
    let answers = |index: usize| {
        let asked = line(index);
        format!("{{\"chosen\": \"{asked} the small cat\", \"rejected\": \"{asked} the old dog\"}}\n")
    };
    std::fs::write(bench.path("answers.jsonl"), (0..200).map(answers).collect::<String>()).unwrap();
    let root = bench.path("").display().to_string();
    let corpus =
        ["corpus", "--train", "text.txt", "--held-out", "text.txt", "--root", &root, "--vocabulary", "60"];
    bench.run("prepare", &[&["--ref", "corpus"], corpus.as_slice()].concat());
    let film =
        "file = \"films.jsonl\"\ntext = \"text\"\nlabel = \"label\"\nmap = { 0 = \"no\", 1 = \"yes\" }\n";
    let answer = "file = \"answers.jsonl\"\ntext = \"chosen\"\ntext_b = \"rejected\"\n";
    for (name, head, part) in [
        ("films", "labels = [\"no\", \"yes\"]\n", film),
        ("answers", "form = \"preference\"\nlabels = [\"first\", \"second\"]\n", answer),
    ] {
        let sample = |skip: usize| format!("sample = {{ seed = 1, skip = {skip}, take = 30 }}\n");
        let spec = format!(
            "name = \"{name}\"\n{head}[train]\n{part}[val]\n{part}{}[split.id]\n{part}{}",
            sample(0),
            sample(30)
        );
        let file = bench.path(&format!("{name}.toml"));
        std::fs::write(&file, spec).unwrap();
        bench.run("prepare", &["--ref", name, "table", &file.display().to_string(), "--root", &root]);
    }
}

#[test]
fn decoders_are_pretrained_gauged_and_fine_tuned() {
    let bench = Bench::new();
    texts(&bench);
    let root = bench.path("").display().to_string();
    let shape =
        ["--hidden", "16", "--heads", "2", "--positions", "24", "--batch", "8", "--initializer-range", "0.2"];
    for family in ["gpt2", "gpt-neox", "llama"] {
        let ladder = format!("{family}/ladder");
        let steps = ["--world", "corpus", "--corpus", "corpus", "--steps", "60", "--checkpoints", "0,60"];
        bench.run("pretrain", &[&["--ref", &ladder, "--family", family], shape.as_slice(), &steps].concat());
        let losses = bench.manifest(&ladder)["facts"]["held_out_loss"].clone();
        let loss = |step: &str| losses[step].as_f64().unwrap();
        assert!(loss("step-60") < loss("step-0") - 0.5, "{family}: {losses}");
        // The same text by the same objective, through another door.
        let gauged = format!("{family}/gauged");
        let text = ["--text", "text.txt", "--root", &root, "--max-length", "24"];
        bench.run("gauge", &[&["--ref", &gauged, "--ladder", &ladder], text.as_slice()].concat());
        assert_eq!(bench.manifest(&gauged)["facts"]["held_out_loss"], losses, "{family}");

        let start = format!("{gauged}:step-60");
        for (task, least) in [("films", 0.9), ("answers", 0.9)] {
            let run = format!("{family}/{task}");
            let arguments =
                ["--task", task, "--steps", "60", "--learning-rate", "5e-3", "--batch", "16", "--ref", &run];
            bench.run("finetune", &[&["--checkpoint", &start], arguments.as_slice()].concat());
            let accuracy = bench.manifest(&run)["facts"]["val_accuracy"].as_f64().unwrap();
            assert!(accuracy >= least, "{family} on {task}: {accuracy}");
            bench.run("evaluate", &["--model", &run, "--task", task]);
        }
        let config = std::fs::read_to_string(bench.object(&format!("{family}/answers"), "config")).unwrap();
        assert!(config.contains("ForSequenceClassification") && config.contains("\"score\""), "{config}");

        // One rung as a folder of a model's, whose tokenizer and padding transformers finds.
        let folder = bench.path(&format!("{family}-exported"));
        bench.run("store", &["export", &start, folder.to_str().unwrap()]);
        let read = |name: &str| std::fs::read(folder.join(name)).unwrap();
        assert_eq!(read("model.safetensors"), std::fs::read(bench.object(&ladder, "step-60")).unwrap());
        assert!(!folder.join("step-0.safetensors").exists() && !folder.join("ladder.parquet").exists());
        let json = |name: &str| serde_json::from_slice::<serde_json::Value>(&read(name)).unwrap();
        let tokenizer = json("tokenizer_config.json");
        assert_eq!((&tokenizer["pad_token"], &tokenizer["model_max_length"]), (&"[PAD]".into(), &24.into()));
        assert_eq!(tokenizer["model_input_names"], serde_json::json!(["input_ids", "attention_mask"]));
        assert_eq!(json("config.json")["pad_token_id"], json("tokenizer.json")["model"]["vocab"]["[PAD]"]);
    }
    let message = bench.fails(USAGE, "pretrain", &["--world", "roles", "--family", "gpt2"]);
    assert!(message.contains("--world corpus"), "{message}");
}

/// Two reward models, the line between them and their soup.
#[test]
fn reward_models_are_compared_like_classifiers() {
    let bench = Bench::new();
    texts(&bench);
    let shape =
        ["--hidden", "16", "--heads", "2", "--positions", "24", "--batch", "8", "--initializer-range", "0.2"];
    let steps = ["--world", "corpus", "--corpus", "corpus", "--steps", "20", "--checkpoints", "20"];
    bench.run("pretrain", &[&["--ref", "ladder"], shape.as_slice(), &steps].concat());
    for seed in ["0", "1"] {
        let run = format!("run/{seed}");
        let arguments = [
            "--task",
            "answers",
            "--steps",
            "60",
            "--learning-rate",
            "5e-3",
            "--batch",
            "16",
            "--seed",
            seed,
        ];
        bench.run(
            "finetune",
            &[&["--checkpoint", "ladder:step-20", "--ref", &run], arguments.as_slice()].concat(),
        );
        assert!(bench.manifest(&run)["facts"]["val_accuracy"].as_f64().unwrap() >= 0.9);
    }
    let models = ["--model", "run/0", "run/1", "--task", "answers"];
    bench.run(
        "interpolate",
        &[&["--ref", "lines", "--split", "id", "--points", "3"], models.as_slice()].concat(),
    );
    let paths = std::fs::read(bench.object("lines", "paths")).unwrap();
    let paths = stages::rows::PathRow::read(&paths).unwrap();
    assert!(paths.iter().all(|row| row.n == 30 && row.loss.is_finite()), "{paths:?}");
    for method in ["uniform", "greedy"] {
        let soup = format!("soup/{method}");
        bench.run("soup", &[&["--ref", &soup, "--method", method], models.as_slice()].concat());
        let scores = format!("scores/{method}");
        bench.run("evaluate", &["--model", &soup, "--task", "answers", "--ref", &scores]);
        let rows = std::fs::read(bench.object(&scores, "predictions")).unwrap();
        let rows = stages::rows::PredictionRow::read(&rows).unwrap();
        assert!(
            rows.iter().all(|row| row.logits.len() == 2 && row.label_order == "first|second"),
            "{rows:?}"
        );
    }
}
