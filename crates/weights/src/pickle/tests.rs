//! Files as PyTorch writes them, put together by hand, and what somebody might put in their place.

use super::*;
use crate::{Stored, Weights};

/// `_rebuild_tensor_v2(storage, offset, shape, strides, False, OrderedDict())` of a storage of `len` numbers.
fn tensor(class: &str, key: &str, len: u8, offset: u8, shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let tuple = |numbers: &[u8]| {
        let numbers: Vec<u8> = numbers.iter().flat_map(|&number| [b'K', number]).collect();
        [b"(".as_slice(), &numbers, b"t"].concat()
    };
    [
        b"ctorch._utils\n_rebuild_tensor_v2\n((".as_slice(),
        &text("storage"),
        format!("ctorch\n{class}\n").as_bytes(),
        &text(key),
        &text("cpu"),
        &[b'K', len, b't', b'Q', b'K', offset],
        &tuple(shape),
        &tuple(strides),
        b"\x89ccollections\nOrderedDict\n)RtR",
    ]
    .concat()
}

fn text(text: &str) -> Vec<u8> {
    [&[b'X'][..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat()
}

/// A dictionary by name.
fn dictionary(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries: Vec<u8> =
        entries.iter().flat_map(|(name, value)| [text(name), value.clone()].concat()).collect();
    [b"ccollections\nOrderedDict\n)Rq\x00(".as_slice(), &entries, b"u}", &text("_metadata"), b"Nsb"].concat()
}

fn pickle(value: &[u8]) -> Vec<u8> {
    [b"\x80\x02", value, b"."].concat()
}

/// A file of PyTorch before 1.6.
fn old(value: &[u8], storages: &[(&str, Vec<u8>, i64)]) -> Vec<u8> {
    let keys: Vec<u8> = storages.iter().flat_map(|(key, ..)| text(key)).collect();
    let mut file = [OLD_MAGIC, b".\x80\x02M\xe9\x03."].concat();
    file.extend(pickle(&[b"}(".as_slice(), &text("little_endian"), b"\x88u"].concat()));
    file.extend(pickle(value));
    file.extend(pickle(&[b"](".as_slice(), &keys, b"e"].concat()));
    for (_, bytes, len) in storages {
        file.extend(len.to_le_bytes());
        file.extend(bytes);
    }
    file
}

/// A file of PyTorch 1.6 and later.
fn new(value: &[u8], storages: &[(&str, Vec<u8>, i64)]) -> Vec<u8> {
    let mut entries =
        vec![("m/data.pkl".to_owned(), pickle(value)), ("m/byteorder".to_owned(), b"little".to_vec())];
    entries.extend(storages.iter().map(|(key, bytes, _)| (format!("m/data/{key}"), bytes.clone())));
    let (mut file, mut table) = (Vec::new(), Vec::new());
    for (name, bytes) in &entries {
        let head = [
            &[0; 10][..],
            &crc32fast::hash(bytes).to_le_bytes(),
            &(bytes.len() as u32).to_le_bytes(),
            &(bytes.len() as u32).to_le_bytes(),
            &(name.len() as u16).to_le_bytes(),
            &[0, 0],
        ]
        .concat();
        let at = file.len() as u32;
        table.extend([&b"PK\x01\x02\0\0"[..], &head, &[0; 10], &at.to_le_bytes(), name.as_bytes()].concat());
        file.extend([&b"PK\x03\x04"[..], &head, name.as_bytes(), bytes].concat());
    }
    let (at, n) = (file.len() as u32, entries.len() as u16);
    file.extend(&table);
    file.extend(
        [
            &b"PK\x05\x06\0\0\0\0"[..],
            &n.to_le_bytes(),
            &n.to_le_bytes(),
            &(table.len() as u32).to_le_bytes(),
            &at.to_le_bytes(),
            &[0, 0],
        ]
        .concat(),
    );
    file
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A storage: its key, its bytes, and how many values they are.
type Entry = (&'static str, Vec<u8>, i64);

/// A matrix, its transpose, halves, integers.
fn model() -> (Vec<u8>, Vec<Entry>) {
    let value = dictionary(&[
        ("b", tensor("FloatStorage", "7", 7, 1, &[2, 3], &[3, 1])),
        ("a", tensor("FloatStorage", "7", 7, 1, &[3, 2], &[1, 3])),
        ("half", tensor("HalfStorage", "8", 2, 0, &[2], &[1])),
        ("brain", tensor("BFloat16Storage", "9", 1, 0, &[], &[])),
        ("double", tensor("DoubleStorage", "d", 1, 0, &[1], &[1])),
        ("position_ids", tensor("LongStorage", "i", 1, 0, &[1], &[1])),
    ]);
    let storages = vec![
        ("7", floats(&[9.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0]), 7),
        ("8", [0x3c00_u16, 0xc000].iter().flat_map(|half| half.to_le_bytes()).collect(), 2),
        ("9", 0x4040_u16.to_le_bytes().to_vec(), 1),
        ("d", 0.1_f64.to_le_bytes().to_vec(), 1),
        ("i", 5_i64.to_le_bytes().to_vec(), 1),
    ];
    (value, storages)
}

fn weights(file: &[u8]) -> Result<Weights, String> {
    let pickled = Pickled::parse(file, None).map_err(|error| error.to_string())?;
    let mut bytes = Vec::new();
    pickled
        .to_safetensors(|piece| {
            bytes.extend_from_slice(piece);
            Ok::<(), Error>(())
        })
        .unwrap();
    Stored::parse(&bytes).and_then(|stored| stored.weights()).map_err(|error| error.to_string())
}

#[test]
fn both_containers_give_the_same_tensors() {
    let (value, storages) = model();
    for file in [old(&value, &storages), new(&value, &storages)] {
        let weights = weights(&file).unwrap();
        let names: Vec<&str> = weights.layout().entries().iter().map(|entry| entry.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "brain", "double", "half"], "integers are no weights");
        assert_eq!(weights.tensor("b").unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(weights.tensor("a").unwrap(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(weights.tensor("half").unwrap(), [1.0, -2.0]);
        assert_eq!(weights.tensor("brain").unwrap(), [3.0]);
        assert_eq!(weights.tensor("double").unwrap(), [0.1]);
    }
}

#[test]
fn weights_inside_of_something_are_named_and_read_when_asked_for() {
    let (value, storages) = model();
    let file = new(&dictionary(&[("epoch", b"K\x03".to_vec()), ("state_dict", value)]), &storages);
    assert!(
        weights(&file).unwrap_err().contains("no tensors at its top, they are in its entry `state_dict`")
    );
    assert_eq!(Pickled::parse(&file, Some("state_dict")).ok().unwrap().layout().entries().len(), 5);
    let error = |entry| Pickled::parse(&file, Some(entry)).err().unwrap().to_string();
    assert!(error("optimizer").contains("no entry \"optimizer\"") && error("epoch").contains("no tensors"));
}

/// Nothing is executed, and nothing that a file says makes the reader fall over.
#[test]
fn what_is_hostile_is_refused() {
    let refused = |value: &[u8], storages: &[(&str, Vec<u8>, i64)], why: &str| {
        for file in [old(value, storages), new(value, storages)] {
            let error = weights(&file).unwrap_err();
            assert!(error.contains(why), "{error}");
        }
    };
    refused(b"cposix\nsystem\n(X\x04\0\0\0ls -tR", &[], "no tensors");
    refused(b"]q\x01h\x01a", &[], "no tensors");
    refused(&[vec![b'('; 1_000_000], vec![b't'; 1_000_000]].concat(), &[], "no tensors");
    refused(&[b'N'; 5_000_000], &[], "steps");
    refused(b"h\x05", &[], "before it is made");
    refused(b"(00", &[], "did not make");
    let storage = || vec![("7", floats(&[1.0, 2.0]), 2)];
    let one = |tensor: Vec<u8>| dictionary(&[("x", tensor)]);
    refused(&one(tensor("FloatStorage", "7", 2, 1, &[2], &[1])), &storage(), "outside of its storage");
    refused(
        &one(tensor("FloatStorage", "7", 2, 0, &[255; 64], &[0; 64])),
        &storage(),
        "outside of its storage",
    );
    refused(&one(tensor("FloatStorage", "7", 2, 0, &[200], &[0])), &storage(), "outside of its storage");
    refused(&one(tensor("FloatStorage", "7", 2, 0, &[1], &[])), &storage(), "not known");
    let error = weights(&new(&one(tensor("FloatStorage", "6", 2, 0, &[1], &[1])), &storage())).unwrap_err();
    assert!(error.contains("not in the file"), "{error}");
}

#[test]
fn damage_is_found_and_no_mutation_is_a_panic() {
    let (value, storages) = model();
    let mut stream = random::Stream::new(1, "pickle mutations");
    for file in [old(&value, &storages), new(&value, &storages)] {
        for length in 0..file.len() {
            assert!(weights(&file[..length]).is_err(), "{length} bytes");
        }
        for _ in 0..20_000 {
            let mut mutated = file.clone();
            for _ in 0..1 + stream.below(3) {
                let at = stream.below(mutated.len());
                mutated[at] = stream.below(256) as u8;
            }
            drop(weights(&mutated));
        }
    }
    let mut damaged = new(&value, &storages);
    let at = damaged.windows(4).position(|window| window == 6.0_f32.to_le_bytes()).unwrap();
    damaged[at] ^= 1;
    assert!(weights(&damaged).unwrap_err().contains("another checksum"));
}
