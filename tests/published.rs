//! A study of published checkpoints, from the hub to the report, as `pipelines/multiberts` does it: with small models under
//! the published names.

use crate::harness::{Bench, succeed};
use crate::server::{Content, Server};

tables::rows! {
    /// As `nyu-mll/glue` has QQP.
    struct QqpRow in "qqp" {
        /// The first question.
        question1: String,
        /// The second.
        question2: String,
        /// Whether they ask the same.
        label: i64,
        /// Name.
        idx: u64,
    }
}

tables::rows! {
    /// As `google-research-datasets/paws` has its pairs.
    struct PawsRow in "paws" {
        /// Name.
        id: u64,
        /// The first sentence.
        sentence1: String,
        /// The second.
        sentence2: String,
        /// Whether they mean the same.
        label: i64,
    }
}

tables::rows! {
    /// As `Salesforce/wikitext` has its lines.
    struct TextRow in "wikitext" {
        /// A line.
        text: String,
    }
}

fn question(index: usize) -> String {
    let words = ["where", "is", "the", "cat", "dog", "house", "small", "old"];
    (0..5).map(|place| words[(index * 7 + place * 3 + index / 8) % words.len()]).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_published_ladder_goes_from_the_hub_to_the_report() {
    let bench = Bench::new();
    let text: String = (0..400).map(|index| question(index) + "\n\n").collect();
    std::fs::write(bench.path("text.txt"), &text).unwrap();
    let root = bench.path("").display().to_string();
    let corpus =
        ["corpus", "--train", "text.txt", "--held-out", "text.txt", "--root", &root, "--vocabulary", "60"];
    bench.run("prepare", &[&["--ref", "corpus"], corpus.as_slice()].concat());
    let mut content = Content::default();
    for seed in ["0", "1"] {
        let shape = [
            "--hidden",
            "16",
            "--heads",
            "2",
            "--positions",
            "32",
            "--batch",
            "8",
            "--initializer-range",
            "0.2",
        ];
        let steps =
            ["--world", "corpus", "--corpus", "corpus", "--steps", "100", "--checkpoints", "0,10,30,100"];
        bench.run("pretrain", &[&["--ref", "ladder", "--seed", seed], shape.as_slice(), &steps].concat());
        for (step, published) in [(0, "0k"), (10, "20k"), (30, "200k"), (100, "2000k")] {
            let read = |role: &str| std::fs::read(bench.object("ladder", role)).unwrap();
            let files = [
                ("config.json", read("config")),
                ("model.safetensors", read(&format!("step-{step}"))),
                ("tokenizer.json", read("tokenizer")),
            ];
            let files: Vec<(&str, &[u8])> =
                files.iter().map(|(path, bytes)| (*path, bytes.as_slice())).collect();
            content.commit(&format!("models/google/multiberts-seed_{seed}-step_{published}"), "main", &files);
        }
    }
    let pair = |index: usize| {
        // One word gives the answer away, so that so small a model learns it in a second.
        let first = question(index);
        let label = i64::from(first.contains("cat"));
        (first, question(index + 3), label)
    };
    let qqp = |from: usize, n: usize| {
        let rows = (from..from + n).map(|index| {
            let (question1, question2, label) = pair(index);
            QqpRow { question1, question2, label, idx: index as u64 }
        });
        QqpRow::write(&rows.collect::<Vec<_>>()).unwrap()
    };
    let paws = (0..200).map(|index| {
        let (sentence1, sentence2, label) = pair(index + 9_000);
        PawsRow { id: index as u64, sentence1, sentence2, label }
    });
    let lines = (0..300).map(|index| TextRow { text: question(index) }).collect::<Vec<_>>();
    let train = ("qqp/train-00000-of-00001.parquet", qqp(0, 200));
    let validation = ("qqp/validation-00000-of-00001.parquet", qqp(500, 3_000));
    content.commit("datasets/nyu-mll/glue", "main", &[(train.0, &train.1), (validation.0, &validation.1)]);
    let paws = PawsRow::write(&paws.collect::<Vec<_>>()).unwrap();
    content.commit(
        "datasets/google-research-datasets/paws",
        "main",
        &[("labeled_final/test-00000-of-00001.parquet", &paws)],
    );
    let lines = TextRow::write(&lines).unwrap();
    content.commit(
        "datasets/Salesforce/wikitext",
        "main",
        &[("wikitext-2-raw-v1/test-00000-of-00001.parquet", &lines)],
    );
    let server = Server::start(content, |_, _| None);

    let study = |bench: &Bench| {
        let mut make = bench.make("multiberts", "study", 2);
        make.env("HF_ENDPOINT", server.address()).env("HF_HOME", bench.path("hf")).env_remove("HF_TOKEN");
        make.args([
            "PRETRAINING=0 1",
            "FINETUNING=0 1",
            "RUNGS=20000 200000 2000000",
            "FLAGS.base=--steps 80 --learning-rate 5e-3",
        ]);
        make.args(["REPORT=--title Published --early-until 20000 --late-from 2000000"]);
        succeed(&make.output().expect("make starts"));
    };
    study(&bench);
    let page = std::fs::read_to_string(bench.path("out/report.html")).unwrap();
    assert!(page.contains("Published"));
    let ladder =
        stages::rows::LossPoint::read(&std::fs::read(bench.path("out/tables/ladder.parquet")).unwrap())
            .unwrap();
    let steps: Vec<u64> = ladder.iter().map(|row| row.step).collect();
    assert_eq!(steps, [20_000, 200_000, 2_000_000, 20_000, 200_000, 2_000_000]);
    assert!(ladder[0].held_out_loss > ladder[2].held_out_loss, "later rungs predict better: {ladder:?}");
    assert_eq!(ladder[0].tokens, 20_000 * 131_072);
    assert!(
        bench.summary().iter().any(|row| row.measure.contains("agreement")),
        "seeds of one ladder are compared"
    );
    let before = server.requests().len();
    study(&bench);
    assert_eq!(server.requests().len(), before, "a second run asks nobody");
    bench.assert_clean();
}
