//! Files that were changed at random are read or refused: no panic, no minutes, no gigabytes.
//!
//! The bodies are those of the fuzz targets. `MUTATIONS=1000000 cargo test --release --test end-to-end mutations` looks longer.

use std::time::{Duration, Instant};

use random::Stream;

use crate::harness::Bench;

#[path = "../fuzz/bodies.rs"]
mod bodies;

/// Changes of each kind of file, unless `MUTATIONS` says otherwise.
const MUTATIONS: u64 = 400;
/// One small file must not take longer than this, on a machine that does other things as well.
const LONGEST: Duration = Duration::from_secs(10);

/// Numbers that lengths and offsets are wrong by.
const NUMBERS: [u64; 8] = [0, 1, 127, 255, 65_535, u32::MAX as u64, i64::MAX as u64, u64::MAX];

/// One to eight changes at random places: a bit, a byte, a number, a cut, a copy of a stretch.
fn mutated(sample: &[u8], stream: &mut Stream) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    for _ in 0..=stream.below(8) {
        if bytes.is_empty() {
            break;
        }
        let at = stream.below(bytes.len());
        match stream.below(6) {
            0 => bytes[at] ^= 1 << stream.below(8),
            1 => bytes[at] = stream.below(256) as u8,
            2 => {
                let number = stream.choose(&NUMBERS).to_le_bytes();
                let width = [1, 2, 4, 8][stream.below(4)].min(bytes.len() - at);
                bytes[at..at + width].copy_from_slice(&number[..width]);
            }
            3 => bytes.truncate(at),
            4 => {
                let end = (at + 1 + stream.below(64)).min(bytes.len());
                let stretch = bytes[at..end].to_vec();
                let to = stream.below(bytes.len());
                bytes.splice(to..to, stretch);
            }
            _ => {
                let digits = stream.choose(&NUMBERS).to_string();
                bytes.splice(at..at, digits.into_bytes());
            }
        }
    }
    bytes
}

fn survives(kind: &str, sample: &[u8], body: fn(&[u8])) {
    let mutations = std::env::var("MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(MUTATIONS);
    body(sample);
    for index in 0..mutations {
        let mut stream = Stream::at(0, kind, index);
        let bytes = mutated(sample, &mut stream);
        let start = Instant::now();
        let outcome = std::panic::catch_unwind(|| body(&bytes));
        assert!(outcome.is_ok(), "{kind}, mutation {index}: it panicked");
        let took = start.elapsed();
        assert!(took < LONGEST, "{kind}, mutation {index}: it took {took:?}");
    }
}

#[test]
fn changed_files_are_read_or_refused() {
    let bench = Bench::new();
    bench.tiny();
    bench.tiny_run("0");
    bench.run("evaluate", &["--model", "run/0", "--task", "task", "--ref", "scores"]);
    let out = bench.path("out").display().to_string();
    bench.run("report", &["--input", "scores", "--out", &out]);
    let read = |path: std::path::PathBuf| std::fs::read(path).expect("readable");
    let manifest = read(bench.store().join("refs/run/0.json"));
    let task = b"name = \"a\"\nlabels = [\"x\", \"y\"]\n[train]\nfile = \"a.csv\"\ntext = \"t\"\nlabel = \"l\"\n\
        map = { 0 = \"x\", 1 = \"y\" }\nsample = { seed = 1, skip = 2, take = 3 }\n[split.ood]\nfile = \"b.tsv\"\n\
        text = \"t\"\ntext_b = \"u\"\nlabel = \"l\"\ncase = \"c\"\n";
    let shards =
        br#"{"metadata": {"total_size": 8}, "weight_map": {"a.weight": "model-00001-of-00002.safetensors"}}"#;
    survives("safetensors", &read(bench.object("run/0", "model")), bodies::safetensors);
    survives("shards", shards, bodies::shards);
    survives("config", &read(bench.object("run/0", "config")), bodies::config);
    survives("manifest", &manifest, bodies::manifest);
    survives("parquet", &read(bench.path("out/tables/runs.parquet")), bodies::parquet);
    survives("tokenizer", &read(bench.object("ladder", "tokenizer")), bodies::tokenizer);
    survives("task file", task, bodies::task_file);
    survives("csv", b"text,label\n\"a, \"\"b\"\"\",1\nc,0\n", bodies::examples);
    survives(
        "jsonl",
        b"{\"text\": \"a\\u00e9\", \"label\": 1}\n{\"text\": \"b\", \"label\": \"x\"}\n",
        bodies::examples,
    );
}
