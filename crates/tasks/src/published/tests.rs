use super::*;
use crate::{Content, Encoded, Encoder};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/inputs");

fn config(model_type: &str) -> Map<String, Value> {
    Map::from_iter([("model_type".to_owned(), model_type.into())])
}

fn made(model_type: &str, files: &[(&str, &str)]) -> Result<Option<Vec<u8>>, String> {
    let files = files.iter().map(|&(name, text)| (name.to_owned(), text.as_bytes().to_vec())).collect();
    let model = Model { config: &config(model_type), reads_segments: true };
    published_tokenizer(&files, model).map_err(|error| error.to_string())
}

/// Ids and segments of one text, or none where it has no token.
fn encoded(encoder: &Encoder, first: &str, second: Option<&str>, longest: usize) -> (Vec<u32>, Vec<u32>) {
    let content =
        Content::Text { first: vec![first.into()], second: second.map(|second| vec![second.into()]) };
    match encoder.encode(&content, longest) {
        Ok(Encoded::Tokens { ids, types, .. }) => (ids, types),
        Ok(Encoded::Dense { .. }) => panic!("dense"),
        Err(error) if error.to_string().contains("it has no token") => (vec![], vec![]),
        Err(error) => panic!("{error}"),
    }
}

/// `tokenizers.json` is what transformers' `AutoTokenizer` makes of the same files and texts.
#[test]
fn texts_have_the_tokens_that_transformers_gives_them() {
    let read = std::fs::read(format!("{FOLDER}/tokenizers.json")).unwrap();
    let whole: Value = serde_json::from_slice(&read).unwrap();
    let longest = whole["longest"].as_u64().unwrap() as usize;
    let strings = |value: &Value| -> Vec<String> { serde_json::from_value(value.clone()).unwrap() };
    let (singles, contents) = (strings(&whole["singles"]), strings(&whole["contents"]));
    let pairs: Vec<(String, String)> = serde_json::from_value(whole["pairs"].clone()).unwrap();
    let mut texts: Vec<(&str, Option<&str>)> = singles.iter().map(|text| (text.as_str(), None)).collect();
    texts.extend(pairs.iter().map(|(first, second)| (first.as_str(), Some(second.as_str()))));
    let cases = whole["cases"].as_array().unwrap();
    assert!(cases.len() > 30);
    let mut wrong = Vec::new();
    for case in cases {
        let files: Vec<(&str, &str)> = case["files"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, index)| (name.as_str(), contents[index.as_u64().unwrap() as usize].as_str()))
            .collect();
        let model_type = case["model_type"].as_str().unwrap();
        let tokenizer = made(model_type, &files).unwrap().unwrap();
        let encoder = Encoder::from_tokenizer_json(&tokenizer).unwrap();
        let reads_segments = ["bert", "roberta"].contains(&model_type);
        for (index, &(first, second)) in texts.iter().enumerate() {
            let (ids, types) = encoded(&encoder, first, second, longest);
            let expected =
                |what: &str| -> Vec<u32> { serde_json::from_value(case[what][index].clone()).unwrap() };
            if ids != expected("ids") || reads_segments && types != expected("types") {
                wrong.push(format!(
                    "{}: {first:?}, {second:?}: {ids:?} is not {:?}",
                    case["name"],
                    expected("ids")
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn a_file_that_needs_no_change_stays_as_it_is() {
    let json = crate::corpus::train_tokenizer(&["the cat sat on the mat"], 40).unwrap();
    let files = [("tokenizer.json", json.as_str())];
    assert_eq!(made("bert", &files).unwrap().unwrap(), json.as_bytes());
    let generic =
        [("tokenizer.json", json.as_str()), ("tokenizer_config.json", "{\"tokenizer_class\": \"Other\"}")];
    assert_ne!(made("bert", &generic).unwrap().unwrap(), json.as_bytes(), "a general class has no segments");
    let twice: Vec<_> = (0..2).map(|_| made("bert", &generic)).collect();
    assert_eq!(twice[0], twice[1]);
}

#[test]
fn what_is_not_read_is_named_with_a_way_out() {
    let message = |model_type: &str, files: &[(&str, &str)]| made(model_type, files).unwrap_err();
    let japanese = ("tokenizer_config.json", "{\"tokenizer_class\": \"BertJapaneseTokenizer\"}");
    let found = message("bert", &[("vocab.txt", "[PAD]\n"), japanese]);
    assert!(
        found.contains("vocab.txt is the vocabulary of a `BertJapaneseTokenizer`, which is not read here"),
        "{found}"
    );
    assert!(found.contains("save_pretrained"));
    let found = message("t5", &[("spiece.model", "\n")]);
    assert!(
        found.contains("spiece.model is of SentencePiece") && found.contains("save_pretrained"),
        "{found}"
    );
    assert!(message("gpt2", &[("vocab.json", "{}")]).contains("needs a merges.txt"));
    assert!(message("olmo2", &[("vocab.json", "{}"), ("merges.txt", "")]).contains("`TokenizersBackend`"));
    let found = message("gpt2", &[("vocab.json", "{\"a\": 0}"), ("merges.txt", "#version: 0.2\na b\nab\n")]);
    assert!(found.contains("merges.txt, line 3: `ab` is no pair"), "{found}");
    assert!(message("bert", &[("vocab.txt", "")]).contains("vocab.txt is empty"));
    assert_eq!(made("bert", &[]), Ok(None));
}

#[test]
fn settings_that_lie_are_refused() {
    let vocabulary = ("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n");
    let message =
        |settings: &str| made("bert", &[vocabulary, ("tokenizer_config.json", settings)]).unwrap_err();
    assert!(
        message("{\"do_lower_case\": \"no\"}").contains("`do_lower_case` is \"no\", neither true nor false")
    );
    assert!(message("{\"truncation_side\": \"up\"}").contains("`truncation_side` is up"));
    assert!(message("{\"additional_special_tokens\": [7]}").contains("7 is no token"));
    assert!(message("[]").contains("tokenizer_config.json is no JSON object"));
    assert!(made("bert", &[("tokenizer.json", "{\"model\": 3}")]).unwrap_err().contains("no `model`"));
}

#[test]
fn a_byte_order_mark_is_no_part_of_a_word() {
    let plain = made("bert", &[("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n")]);
    assert_eq!(made("bert", &[("vocab.txt", "\u{feff}[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nthe\n")]), plain);
}

/// Whatever stands in the files, they are read or refused.
#[test]
fn damaged_files_are_errors() {
    let json = crate::corpus::train_tokenizer(&["the cat sat on the mat"], 40).unwrap();
    let settings = r#"{"tokenizer_class": "BertTokenizer", "truncation_side": "left", "model_input_names": ["input_ids"],
        "added_tokens_decoder": {"0": {"content": "[PAD]", "special": true}}, "cls_token": {"content": "[CLS]"}}"#;
    let mut stream = random::Stream::new(0, "published");
    let mut refused = 0;
    for _ in 0..3_000 {
        let damage = |text: &str, stream: &mut random::Stream| {
            let mut bytes = text.as_bytes().to_vec();
            for _ in 0..stream.below(3) {
                let at = stream.below(bytes.len());
                match stream.below(3) {
                    0 => bytes[at] = *stream.choose(b"0{}[]\",:nul9- "),
                    1 => drop(bytes.splice(at..bytes.len().min(at + 1 + stream.below(20)), [])),
                    _ => bytes.insert(at, *stream.choose(b"0{}[]\",:")),
                }
            }
            bytes
        };
        let files = BTreeMap::from([
            ("tokenizer.json".to_owned(), damage(&json, &mut stream)),
            ("tokenizer_config.json".to_owned(), damage(settings, &mut stream)),
        ]);
        let model = Model { config: &config("bert"), reads_segments: true };
        refused += usize::from(published_tokenizer(&files, model).is_err());
    }
    assert!(refused > 1_000, "{refused}");
}
