//! 200,000 damaged files of the five kinds that come from outside: each ends in an answer or an error, never in a panic, and
//! never holds more memory than the cap.

use std::alloc::System;
use std::collections::BTreeMap;
use std::path::Path;

use cap::Cap;
use random::Stream;
use weights::Weights;
use weights::shards::Index;

/// Refuses nothing, but remembers the most that was ever held at once.
#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

/// The stated cap, of which the files themselves take a thousandth.
const LIMIT: usize = 512 << 20;

/// Damaged files of each kind.
const DAMAGED: usize = 40_000;

fn fixture(name: &str) -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/transformers").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Changes a few bytes, most of them where sizes, offsets and names are declared.
fn damage(bytes: &mut Vec<u8>, declared: usize, stream: &mut Stream) {
    let len = bytes.len();
    for _ in 0..=stream.below(3) {
        let at = if stream.bernoulli(0.8) { stream.below(declared.min(len)) } else { stream.below(len) };
        match stream.below(7) {
            0 => bytes[at] ^= 1 << stream.below(8),
            1 => bytes[at] = stream.u32() as u8,
            2 => bytes[at] = *stream.choose(b"0123456789-.eE{}[]\",: \\"),
            3 => bytes[at..len.min(at + 8)].fill(0xff),
            4 => bytes[at..len.min(at + 6)].fill(b'9'),
            5 => {
                let from = stream.below(len);
                let n = stream.below(32).min(len - at).min(len - from);
                bytes.copy_within(from..from + n, at);
            }
            _ => bytes[at] = bytes[stream.below(len)],
        }
    }
    if stream.bernoulli(0.1) {
        bytes.truncate(stream.below(len));
    }
}

/// Damages `whole` again and again; `reads` says whether what came of it could be read.
fn survive(what: &str, whole: &[u8], declared: usize, mut reads: impl FnMut(&[u8]) -> bool) {
    assert!(reads(whole), "{what}: the file itself is read");
    let mut stream = Stream::new(0, what);
    let mut read = 0;
    for _ in 0..DAMAGED {
        let mut bytes = whole.to_vec();
        damage(&mut bytes, declared, &mut stream);
        read += usize::from(reads(&bytes));
        let held = ALLOCATOR.max_allocated();
        assert!(held < LIMIT, "{what}: {held} bytes were held");
    }
    eprintln!("{what}: {} of {DAMAGED} damaged files refused", DAMAGED - read);
    assert!(read < DAMAGED, "{what}: no damage was noticed");
}

#[test]
fn damaged_files_are_answers_or_errors() {
    let model = fixture("bert/model.safetensors");
    let header = 8 + u64::from_le_bytes(model[..8].try_into().unwrap()) as usize;
    survive("model.safetensors", &model, header, |bytes| Weights::from_safetensors(bytes).is_ok());

    // A shape that is believed would be memory that is asked for.
    let published = Weights::from_safetensors(&model).unwrap();
    for family in ["bert", "t5_v1_1"] {
        let model = fixture(&format!("{family}/model.safetensors"));
        let published = Weights::from_safetensors(&model).unwrap();
        let config = format!("{family}/config.json");
        survive(&config, &fixture(&config), usize::MAX, |bytes| {
            let Ok(text) = std::str::from_utf8(bytes) else { return false };
            let Ok(config) = models::Config::from_json(text) else { return false };
            let Ok(model) = models::Model::new(config, models::Head::Classification { labels: 3 }) else {
                return false;
            };
            model.transfer(&published, 0, 0, models::Draw::Normal(0.02)).is_ok()
        });
    }

    let tokenizer =
        tasks::corpus::train_tokenizer(&["the cat sat on the mat, and the dog sat by the cat"], 60).unwrap();
    survive("tokenizer.json", tokenizer.as_bytes(), usize::MAX, |bytes| {
        tasks::vocabulary_size(bytes).is_ok()
            && tasks::Encoder::from_tokenizer_json(bytes).is_ok_and(|encoder| {
                let first = vec!["the cat".to_owned()];
                encoder.encode(&tasks::Content::Text { first, second: None }, 16).is_ok()
            })
    });

    let shards = BTreeMap::from([("a.safetensors".to_owned(), model.clone())]);
    let names = published.layout().entries().iter().map(|entry| (entry.name.clone(), "a.safetensors".into()));
    let index = serde_json::json!({ "weight_map": names.collect::<serde_json::Map<_, _>>() }).to_string();
    survive("model.safetensors.index.json", index.as_bytes(), usize::MAX, |bytes| {
        Index::parse(bytes).is_ok_and(|index| index.merge::<weights::Error>(&shards, |_| Ok(())).is_ok())
    });

    let rows: Vec<stages::rows::RungRow> = (0..50)
        .map(|step| stages::rows::RungRow {
            step,
            tokens: 7 * step,
            name: format!("step{step}"),
            repository: "a/b".into(),
            commit: "0".repeat(40),
            contents: format!("{:x}", step * 7_919),
            distance_from_last: (step > 0).then_some(step as f64),
            checkpoint: String::new(),
        })
        .collect();
    let table = stages::rows::RungRow::write(&rows).unwrap();
    survive("rungs.parquet", &table, usize::MAX, |bytes| {
        tables::read_text_columns(bytes, &["name", "step"]).is_ok()
            & stages::rows::RungRow::read(bytes).is_ok()
    });
}
