//! Files as they are published. Skipped unless `SAMEBASIN_DATA` names the folder that holds them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use tasks::{Batch, Content, Encoder, Examples, Masking, Metric, Source, corpus, table, vocabulary_size};

fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("SAMEBASIN_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: SAMEBASIN_DATA is not set");
    }
    folder
}

fn prepared(spec: &str) -> Option<table::Prepared> {
    let root = data()?;
    Some(table::Spec::parse(spec).and_then(|spec| spec.read(&root)).unwrap_or_else(|error| panic!("{error}")))
}

fn sizes(prepared: &table::Prepared) -> Vec<(String, usize)> {
    prepared.task.parts().map(|(name, examples)| (name, examples.len())).collect()
}

fn sized(expected: &[(&str, usize)]) -> Vec<(String, usize)> {
    expected.iter().map(|&(name, size)| (name.to_owned(), size)).collect()
}

#[test]
fn qqp_and_paws() {
    let part = |file: &str, rest: &str, texts: [&str; 2], label: &str| {
        format!(
            "file = \"{file}\"\ntext = \"{}\"\ntext_b = \"{}\"\nlabel = \"{label}\"\n\
             map = {{ 0 = \"different\", 1 = \"duplicate\" }}\n{rest}\n",
            texts[0], texts[1]
        )
    };
    let qqp = |split: &str, rest: &str| {
        part(&format!("glue-babylm/qqp.{split}.jsonl"), rest, ["question1", "question2"], "label")
    };
    let spec = format!(
        "name = \"qqp\"\nlabels = [\"different\", \"duplicate\"]\n[train]\n{}[val]\n{}[split.id]\n{}[split.ood]\n{}",
        qqp("train", ""),
        qqp("valid", "sample = { seed = 1, take = 1000 }"),
        qqp("valid", "sample = { seed = 1, skip = 1000, take = 4000 }"),
        part(
            "paws-qqp/dev_and_test.tsv",
            "id = \"id\"\ncase_value = \"paws\"",
            ["sentence1", "sentence2"],
            "label"
        ),
    );
    let Some(prepared) = prepared(&spec) else { return };
    assert_eq!(
        sizes(&prepared),
        sized(&[("train", 10_000), ("split.id", 4_000), ("split.ood", 677), ("split.val", 1_000)])
    );
    let ood = &prepared.task.splits["ood"];
    assert_eq!(ood.labels.iter().filter(|&&label| label == 1).count(), 191);
    assert!(ood.cases.iter().all(|case| case == "paws"));
    let (val, id) = (&prepared.task.splits["val"], &prepared.task.splits["id"]);
    assert!(val.ids.iter().all(|line| !id.ids.contains(line)));
    eprintln!("qqp: overlap with train {:?}", prepared.overlap);
}

#[test]
fn sst2_and_files_without_a_header() {
    let sst2 = |split: &str| {
        format!(
            "file = \"sst2-alps/{split}.tsv\"\ntext = \"sentence\"\nlabel = \"label\"\nmap = {{ 0 = \"negative\", 1 = \"positive\" }}\n"
        )
    };
    let spec = format!(
        "name = \"sst2\"\nlabels = [\"negative\", \"positive\"]\n[train]\n{}[val]\n{}[split.id]\n{}",
        sst2("train"),
        sst2("dev"),
        sst2("test")
    );
    let Some(prepared) = prepared(&spec) else { return };
    assert_eq!(sizes(&prepared), sized(&[("train", 60_614), ("split.id", 872), ("split.val", 6_735)]));
    eprintln!("sst2: overlap with train {:?}", prepared.overlap);

    let cola = |split: &str, rest: &str| {
        format!(
            "file = \"cola/raw/{split}.tsv\"\ncolumns = [\"source\", \"label\", \"mark\", \"text\"]\ntext = \"text\"\n\
             label = \"label\"\ncase = \"source\"\nmap = {{ 0 = \"unacceptable\", 1 = \"acceptable\" }}\n{rest}"
        )
    };
    let spec = format!(
        "name = \"cola\"\nlabels = [\"unacceptable\", \"acceptable\"]\n[train]\n{}[val]\n{}[split.ood]\n{}",
        cola("in_domain_train", ""),
        cola("in_domain_dev", ""),
        cola("out_of_domain_dev", "")
    );
    let cola = self::prepared(&spec).expect("the folder is there");
    assert_eq!(sizes(&cola), sized(&[("train", 8_551), ("split.ood", 516), ("split.val", 527)]));
}

#[test]
fn hans_and_interventions_from_pairs_of_files() {
    let mnli = |split: &str| {
        format!(
            "file = \"glue-babylm/mnli.{split}.jsonl\"\ntext = \"premise\"\ntext_b = \"hypothesis\"\nlabel = \"label\"\n\
             map = {{ 0 = \"entailment\", 1 = \"non-entailment\", 2 = \"non-entailment\" }}\n"
        )
    };
    let hans = "file = \"hans-regenerated/hans_eval_regen.tsv\"\ntext = \"sentence1\"\ntext_b = \"sentence2\"\n\
                label = \"gold_label\"\nid = \"pairID\"\ncase = \"subcase\"\n";
    let inversion = |side: &str| {
        format!(
            "file = \"min2020-syntactic-aug/inv_{side}_small.tsv\"\n\
             columns = [\"n\", \"a\", \"b\", \"c\", \"d\", \"e\", \"f\", \"g\", \"first\", \"second\", \"h\", \"label\"]\n\
             text = \"first\"\ntext_b = \"second\"\nlabel = \"label\"\n\
             map = {{ entailment = \"entailment\", neutral = \"non-entailment\", contradiction = \"non-entailment\" }}\n"
        )
    };
    let spec = format!(
        "name = \"mnli\"\nlabels = [\"entailment\", \"non-entailment\"]\n[train]\n{}[val]\n{}[split.hans]\n{hans}\
         [do.inversion.base]\n{}[do.inversion.done]\n{}",
        mnli("train"),
        mnli("valid"),
        inversion("orig"),
        inversion("trsf")
    );
    let Some(prepared) = prepared(&spec) else { return };
    let hans = &prepared.task.splits["hans"];
    assert_eq!(hans.len(), 30_000);
    let mut cases = hans.cases.clone();
    cases.sort();
    cases.dedup();
    assert_eq!(cases.len(), 30);
    assert!(prepared.task.interventions["inversion"].base.len() > 50);
}

/// Parts of a task, and how many examples each has.
type Sizes = &'static [(&'static str, usize)];

/// The specification of a study or a task that this repository offers.
fn offered(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_offered_task_is_as_large_as_it_says() {
    let of_task: [(&str, Metric, Sizes); 8] = [
        (
            "tasks/mnli.toml",
            Metric::Accuracy,
            &[("train", 10_000), ("split.id", 3_408), ("split.val", 1_500)],
        ),
        ("tasks/qqp.toml", Metric::F1, &[("train", 10_000), ("split.id", 10_000), ("split.val", 2_000)]),
        ("tasks/mrpc.toml", Metric::F1, &[("train", 3_268), ("split.id", 204), ("split.val", 400)]),
        ("tasks/rte.toml", Metric::Accuracy, &[("train", 2_190), ("split.id", 139), ("split.val", 300)]),
        (
            "tasks/cola.toml",
            Metric::Mcc,
            &[("train", 7_751), ("split.id", 527), ("split.ood", 516), ("split.val", 800)],
        ),
        ("tasks/sst2.toml", Metric::Accuracy, &[("train", 60_614), ("split.id", 872), ("split.val", 2_000)]),
        (
            "paws/qqp.toml",
            Metric::Accuracy,
            &[("train", 10_000), ("split.id", 2_000), ("split.ood", 677), ("split.val", 1_000)],
        ),
        (
            "hans/mnli.toml",
            Metric::Accuracy,
            &[
                ("train", 10_000),
                ("split.id", 2_000),
                ("split.ood", 6_000),
                ("split.ours", 3_000),
                ("split.val", 1_000),
                ("do.inversion.base", 400),
                ("do.inversion.done", 400),
                ("do.passive.base", 400),
                ("do.passive.done", 400),
            ],
        ),
    ];
    for (name, metric, expected) in of_task {
        let text = offered(name);
        let spec = table::Spec::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(spec.metric, metric, "{name}");
        let Some(prepared) = prepared(&text) else { continue };
        assert_eq!(sizes(&prepared), sized(expected), "{name}");
        eprintln!("{name}: overlap with train {:?}", prepared.overlap);
    }
}

/// HANS is half entailed, and so is what we make; an inversion changes the answer, a passive does not.
#[test]
fn the_study_of_hans_asks_what_it_says() {
    let Some(prepared) = prepared(&offered("hans/mnli.toml")) else { return };
    let task = prepared.task;
    assert_eq!(task.labels_of("split.ood"), ["entailment", "non-entailment"]);
    assert_eq!(task.labels_of("split.id").len(), 3);
    let share = |examples: &Examples, label: u32| {
        examples.labels.iter().filter(|&&found| found == label).count() as f64 / examples.len() as f64
    };
    assert!((share(&task.splits["ood"], 0) - 0.5).abs() < 0.02);
    assert!((share(&task.splits["ours"], 0) - 0.5).abs() < 1e-12);
    let cases = |split: &str| task.splits[split].cases.iter().cloned().collect::<BTreeSet<String>>();
    assert_eq!((cases("ood").len(), cases("ood")), (30, cases("ours")));
    for (name, after) in [("inversion", 1), ("passive", 0)] {
        let intervention = &task.interventions[name];
        assert_eq!((share(&intervention.base, 0), share(&intervention.done, after)), (1.0, 1.0), "{name}");
    }
}

#[test]
fn a_corpus_becomes_batches() {
    let Some(root) = data() else { return };
    let read =
        |name: &str| std::fs::read_to_string(root.join("babylm").join(name)).expect("a corpus of the folder");
    let (train, held_out) =
        ([read("600k_simple_wiki.train"), read("600k_childes.train")], [read("1.2M_simple_wiki_dev.train")]);
    let began = std::time::Instant::now();
    let json = corpus::train_tokenizer(&train, 8_000).unwrap();
    eprintln!("corpus: trained a tokenizer on 1.2 M words in {:?}", began.elapsed());
    assert_eq!(json, corpus::train_tokenizer(&train, 8_000).unwrap());
    assert_eq!(vocabulary_size(json.as_bytes()).unwrap(), 8_000);
    let began = std::time::Instant::now();
    let text = corpus::tokenize(json.as_bytes(), &train).unwrap();
    eprintln!(
        "corpus: {} tokens in {} documents, {:?}",
        text.tokens.len(),
        text.starts.len(),
        began.elapsed()
    );
    let unknown = text.tokens.iter().filter(|&&token| token == 1).count();
    assert!(unknown * 2_000 < text.tokens.len(), "{unknown} unknown words");
    let held_out = corpus::tokenize(json.as_bytes(), &held_out).unwrap();
    let began = std::time::Instant::now();
    let bytes = text.to_parquet().unwrap();
    assert_eq!(corpus::Text::from_parquet(&bytes).unwrap(), text);
    eprintln!("corpus: {} bytes written and read in {:?}", bytes.len(), began.elapsed());
    let source = Source::Corpus(
        corpus::Source::new(text, held_out, json.as_bytes(), 128, corpus::Objective::Masked(Masking::BERT))
            .unwrap(),
    );
    let Batch::Masked(batch) = source.batch(0, 0, 32) else { panic!("masked") };
    assert_eq!(batch.ids.len(), 32 * 128);
    let share = batch.rows.len() as f64 / (32.0 * 126.0);
    assert!((share - 0.15).abs() < 0.03, "{share}");

    let encoder = Encoder::from_tokenizer_json(json.as_bytes()).unwrap();
    let content = Content::Text { first: vec!["The cat's café, naïve: 3.5!".into()], second: None };
    assert!(encoder.encode(&content, 64).unwrap().len() == 1);
}

#[test]
fn a_published_tokenizer_is_read() {
    let Some(root) = data() else { return };
    let json =
        std::fs::read(root.join("tokenizers/pythia/20B_tokenizer.json")).expect("a tokenizer of the folder");
    assert_eq!(vocabulary_size(&json).unwrap(), 50_277);
    let encoder = Encoder::from_tokenizer_json(&json).unwrap();
    let content = Content::Text { first: vec!["The cat's café, naïve: 3.5!".into(); 3], second: None };
    assert_eq!(encoder.encode(&content, 64).unwrap().len(), 3);
}
