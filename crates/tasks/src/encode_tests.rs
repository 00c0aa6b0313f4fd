use super::*;
use crate::corpus::train_tokenizer;
use crate::golden;

fn pieces() -> Encoder {
    let json =
        train_tokenizer(&["the cat sat on the mat. a dog and the cats", "the the cat cat"], 60).unwrap();
    Encoder::from_tokenizer_json(json.as_bytes()).unwrap()
}

fn content(first: &[&str], second: Option<&[&str]>) -> Content {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    Content::Text { first: owned(first), second: second.map(owned) }
}

fn tokens(encoded: Encoded) -> (Vec<u32>, Vec<u32>, Vec<u32>) {
    match encoded {
        Encoded::Tokens { ids, types, starts } => (ids, types, starts),
        Encoded::Dense { .. } => panic!("dense"),
    }
}

#[test]
fn pairs_have_two_segments() {
    let (ids, types, starts) =
        tokens(pieces().encode(&content(&["the", ""], Some(&["cat the", "the"])), 16).unwrap());
    let (cls, sep) = (2, 3);
    let (the, cat) = (ids[1], ids[3]);
    assert_eq!(ids, [cls, the, sep, cat, the, sep, cls, sep, the, sep]);
    assert_eq!(types, [0, 0, 0, 1, 1, 1, 0, 0, 1, 1]);
    assert_eq!(starts, [0, 6, 10]);
}

#[test]
fn the_longer_of_a_pair_is_cut() {
    let the = |n: usize| vec!["the"; n].join(" ");
    let len = |first: usize, second: usize, max: usize| {
        let (_, types, _) =
            tokens(pieces().encode(&content(&[&the(first)], Some(&[&the(second)])), max).unwrap());
        let second = types.iter().filter(|&&segment| segment == 1).count();
        (types.len() - second - 2, second - 1)
    };
    assert_eq!(len(3, 4, 10), (3, 4));
    assert_eq!(len(2, 40, 13), (2, 8));
    assert_eq!(len(40, 2, 13), (8, 2));
    assert_eq!(len(40, 40, 13), (5, 5));
    let (ids, ..) = tokens(pieces().encode(&content(&[&the(40)], None), 8).unwrap());
    assert_eq!((ids.len(), ids[0], ids[7]), (8, 2, 3));
}

#[test]
fn a_batch_is_its_rows() {
    let encoded = pieces().encode(&content(&["the", "the cat", "a"], None), 16).unwrap();
    let (ids, _, starts) = tokens(encoded.gather(&[2, 1, 2]));
    let (all, _, all_starts) = tokens(encoded.clone());
    let row = |row: usize| &all[all_starts[row] as usize..all_starts[row + 1] as usize];
    assert_eq!(ids, [row(2), row(1), row(2)].concat());
    assert_eq!(starts, [0, 3, 7, 10]);
    assert_eq!(encoded.gather(&[0, 1, 2]), encoded);
    let dense = Encoded::Dense { values: vec![0.0, 1.0, 2.0, 3.0], width: 2 };
    assert_eq!(dense.gather(&[1, 1]), Encoded::Dense { values: vec![2.0, 3.0, 2.0, 3.0], width: 2 });
    assert_eq!((dense.len(), encoded.len()), (2, 3));
}

#[test]
fn wrong_kinds_and_lengths_are_named() {
    let dense = Content::Dense { values: vec![0.5], width: 1 };
    let message = |result: Result<Encoded, Error>| result.unwrap_err().to_string();
    assert_eq!(
        message(pieces().encode(&dense, 8)),
        "the model reads texts, but the examples are rows of numbers"
    );
    assert_eq!(
        message(Encoder::Dense.encode(&content(&["a"], None), 8)),
        "the model reads rows of numbers, but the examples are texts"
    );
    assert!(message(pieces().encode(&content(&["a"], None), 2)).contains("`max_length` is 2"));
    assert!(message(pieces().encode(&content(&["a"], Some(&["a"])), 3)).contains("`max_length` is 3"));
    assert!(Encoder::Dense.encode(&dense, 8).is_ok());
}

#[test]
fn looking_words_up_changes_nothing() {
    let json = roles::tokenizer_json();
    let quick = Encoder::from_tokenizer_json(json.as_bytes()).unwrap();
    // Another byte, the same tokenizer.
    let slow = Encoder::from_tokenizer_json(format!("{json} ").as_bytes()).unwrap();
    let mut stream = random::Stream::new(0, "test");
    for _ in 0..2_000 {
        let gaps = [" ", "  ", "\t", "\u{a0}\n", ""];
        let text: String = (0..stream.below(12))
            .map(|_| format!("{}{}", stream.choose(&gaps), stream.choose(&roles::VOCABULARY)))
            .collect();
        let encode = |encoder: &Encoder| {
            encoder.encode(&content(&[&text], None), 10).map_err(|error| error.to_string())
        };
        assert_eq!(encode(&quick), encode(&slow), "{text:?}");
    }
}

#[test]
fn wild_ids_are_refused() {
    let json = roles::tokenizer_json().replace("\"zuzan\": 52", "\"zuzan\": 4000000000");
    assert!(vocabulary_size(json.as_bytes()).unwrap_err().to_string().contains("4000000000"));
}

/// If this changes, `ENCODING_VERSION` must rise.
#[test]
fn golden_encoding() {
    let texts =
        content(&["the cat sat", "a dog's hat"], Some(&["on the mat", "the the the the the the the"]));
    let (ids, types, starts) = tokens(pieces().encode(&texts, 12).unwrap());
    assert_eq!(golden::hash(format!("{ids:?} {types:?} {starts:?}").as_bytes()), 5_471_894_052_550_797_086);
}

/// A tokenizer brings its own padding and truncation at times; they are not ours.
#[test]
fn the_files_own_padding_is_not_used() {
    let json = roles::tokenizer_json();
    let padding = r#"{"strategy":{"Fixed":32},"direction":"Right","pad_to_multiple_of":null,"pad_id":0,"pad_type_id":0,"pad_token":"[PAD]"}"#;
    let truncation = r#"{"direction":"Right","max_length":2,"strategy":"LongestFirst","stride":0}"#;
    let json = json.replace("\"padding\": null", &format!("\"padding\": {padding}"));
    let json = json.replace("\"truncation\": null", &format!("\"truncation\": {truncation}"));
    let encoder = Encoder::from_tokenizer_json(json.as_bytes()).unwrap();
    let (ids, ..) = tokens(encoder.encode(&content(&["M0 kalo garit malo"], None), 16).unwrap());
    assert_eq!(ids, [1, 13, 17, 41, 23]);
}

#[test]
fn a_text_is_cut_on_the_side_that_the_file_says() {
    let truncation = r#"{"direction":"Left","max_length":2,"strategy":"LongestFirst","stride":0}"#;
    let json =
        roles::tokenizer_json().replace("\"truncation\": null", &format!("\"truncation\": {truncation}"));
    let encoder = Encoder::from_tokenizer_json(json.as_bytes()).unwrap();
    let (ids, ..) = tokens(encoder.encode(&content(&["M0 kalo garit malo"], None), 3).unwrap());
    assert_eq!(ids, [1, 41, 23]);
}

#[test]
fn tokens_that_a_model_does_not_know_are_named() {
    let encoder = Encoder::from_tokenizer_json(roles::tokenizer_json().as_bytes()).unwrap();
    let encode = |known: usize, texts: &[&str]| {
        let encoded = encoder.clone().for_vocabulary(known).encode(&content(texts, None), 16);
        encoded.map(|encoded| encoded.len()).map_err(|error| error.to_string())
    };
    assert_eq!(encode(42, &["M0 kalo garit malo"]), Ok(1));
    assert_eq!(
        encode(41, &["M0", "M0 kalo garit malo"]),
        Err("example 1 (`M0 kalo garit malo`) cannot be encoded: its token `garit` has the id 41, but the model \
             knows 41 tokens and the tokenizer 53"
            .into())
    );
}

/// BPE dropout in a file is off: the same text has the same tokens each time.
#[test]
fn nothing_is_left_to_chance() {
    let json = |dropout: &str| {
        format!(
            r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,"pre_tokenizer":null,
            "post_processor":null,"decoder":null,"model":{{"type":"BPE","dropout":{dropout},"unk_token":null,
            "continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,
            "ignore_merges":false,"vocab":{{"a":0,"b":1,"ab":2,"abab":3}},"merges":[["a","b"],["ab","ab"]]}}}}"#
        )
    };
    for dropout in ["null", "0.5", "1.0"] {
        let encoder = Encoder::from_tokenizer_json(json(dropout).as_bytes()).unwrap();
        for _ in 0..20 {
            let (ids, ..) = tokens(encoder.encode(&content(&["ababab"], None), 16).unwrap());
            assert_eq!(ids, [3, 2], "{dropout}");
        }
    }
}

#[test]
fn damaged_tokenizers_are_errors() {
    let whole = train_tokenizer(&["the cat sat on the mat"], 40).unwrap().into_bytes();
    let mut stream = random::Stream::new(0, "damage");
    let mut refused = 0;
    for _ in 0..4_000 {
        let mut bytes = whole.clone();
        for _ in 0..=stream.below(3) {
            let at = stream.below(bytes.len());
            match stream.below(3) {
                0 => bytes[at] ^= 1 << stream.below(7),
                1 => bytes[at] = *stream.choose(b"0{}[]\",:nul9- "),
                _ => drop(bytes.splice(at..bytes.len().min(at + 1 + stream.below(30)), [])),
            }
        }
        // What is accepted must also encode, or say why not.
        match Encoder::from_tokenizer_json(&bytes) {
            Ok(encoder) => drop(encoder.encode(&content(&["the cat sat zebra"], Some(&["[CLS] ##"])), 8)),
            Err(_) => refused += 1,
        }
    }
    assert!(refused > 1_000, "{refused}");
    for len in (0..whole.len()).step_by(7) {
        assert!(Encoder::from_tokenizer_json(&whole[..len]).is_err());
    }
    assert!(Encoder::from_tokenizer_json(b"{}").is_err());
}
