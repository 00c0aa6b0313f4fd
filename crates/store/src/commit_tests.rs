//! Lookup and commit, alone and in crowds.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use serde_json::{Value, json};

use super::*;
use crate::{Media, Output, sample};

fn overwrite(path: &std::path::Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
}

/// The same recipe, but its model came out otherwise.
fn other_bytes(store: &Store, manifest: &Manifest, model: &[u8]) -> Manifest {
    let mut other = manifest.clone();
    store.put(model).unwrap();
    other.outputs.insert("model".to_owned(), Output::of(model, Media::Safetensors));
    other
}

#[test]
fn what_is_committed_is_found() {
    let (_folder, store) = sample::store();
    let manifest = sample::manifest("soup", 1, &[]);
    assert_eq!(store.find("soup", &manifest.key).unwrap(), Lookup::Missing);
    assert_eq!(store.manifest(&manifest.key).unwrap(), None);
    sample::commit(&store, "soup", 1, &[]);
    assert_eq!(store.find("soup", &manifest.key).unwrap(), Lookup::Hit(manifest.clone()));
    assert_eq!(store.manifest(&manifest.key).unwrap(), Some(manifest.clone()));
    assert_eq!(store.find("finetune", &manifest.key).unwrap(), Lookup::Missing);
    assert!(store.find("../soup", &manifest.key).is_err());
    assert_eq!(store.list().unwrap(), [("soup".to_owned(), vec![manifest.key])].into());
}

#[test]
fn the_first_commit_wins() {
    let (_folder, store) = sample::store();
    let first = sample::commit(&store, "soup", 1, &[]);
    let second = other_bytes(&store, &first, b"rounded otherwise");
    assert_eq!(store.commit(&second).unwrap(), Committed::Already(first.clone()));
    assert_eq!(store.find("soup", &first.key).unwrap(), Lookup::Hit(first));
}

#[test]
fn nothing_is_committed_before_its_objects() {
    let (_folder, store) = sample::store();
    let manifest = sample::manifest("soup", 1, &[]);
    store.put(&sample::bytes("soup", 1, "members")).unwrap();
    let error = store.commit(&manifest).unwrap_err();
    let message = error.to_string();
    let Error::Incomplete { damage, .. } = error else { panic!("{error}") };
    assert!(matches!(*damage, Damage::Missing { role, .. } if role == "model"));
    assert!(message.contains("\"model\"") && message.contains("is missing"), "{message}");
    assert_eq!(store.find("soup", &manifest.key).unwrap(), Lookup::Missing);

    let object = store.put(&sample::bytes("soup", 1, "model")).unwrap();
    let mut lying = manifest.clone();
    lying.outputs.get_mut("model").unwrap().bytes += 1;
    let error = store.commit(&lying).unwrap_err();
    let Error::Incomplete { damage, .. } = error else { panic!("{error}") };
    assert!(matches!(*damage, Damage::Length { .. }));
    assert!(store.has(&object));
    assert_eq!(store.commit(&manifest).unwrap(), Committed::New);
}

#[test]
fn a_manifest_that_was_tampered_with_is_not_committed() {
    let (_folder, store) = sample::store();
    let manifest = sample::commit(&store, "soup", 1, &[]);
    let mut parameter = manifest.clone();
    parameter.parameters.insert("seed".to_owned(), json!(2));
    assert!(matches!(store.commit(&parameter), Err(Error::InvalidManifest { .. })));
    let mut deep = manifest.clone();
    let nested = (0..200).fold(json!(1), |value, _| json!([value]));
    deep.facts.insert("deep".to_owned(), nested);
    assert!(matches!(store.commit(&deep), Err(Error::InvalidManifest { .. })));
    let mut stage = manifest.clone();
    stage.stage = "../../escape".to_owned();
    assert!(matches!(store.commit(&stage), Err(Error::InvalidName { .. })));
    let mut format = manifest;
    format.format.0 = 99;
    assert!(store.commit(&format).is_err());
}

#[test]
fn a_lost_object_is_a_miss_and_the_same_bytes_are_the_repair() {
    let (_folder, store) = sample::store();
    let manifest = sample::commit(&store, "soup", 1, &[]);
    let object = manifest.outputs["model"].object;
    fs::remove_file(store.object_path(&object)).unwrap();
    let damage = Damage::Missing { role: "model".to_owned(), object };
    assert_eq!(store.find("soup", &manifest.key).unwrap(), Lookup::Broken(damage));
    fs::write(store.object_path(&object), b"short").unwrap();
    assert!(matches!(
        store.find("soup", &manifest.key).unwrap(),
        Lookup::Broken(Damage::Length { found: 5, .. })
    ));

    let mut again = manifest.clone();
    again.provenance.seconds = 99.0;
    store.put(&sample::bytes("soup", 1, "model")).unwrap();
    assert_eq!(store.commit(&again).unwrap(), Committed::Already(manifest));
}

#[test]
fn other_bytes_replace_a_broken_manifest_as_a_whole() {
    let (_folder, store) = sample::store();
    let first = sample::commit(&store, "soup", 1, &[]);
    let object = first.outputs["model"].object;
    fs::remove_file(store.object_path(&object)).unwrap();
    let second = other_bytes(&store, &first, b"rounded otherwise");
    let damage = Damage::Missing { role: "model".to_owned(), object };
    assert_eq!(store.commit(&second).unwrap(), Committed::Replaced(damage));
    assert_eq!(store.find("soup", &first.key).unwrap(), Lookup::Hit(second.clone()));
    // The lost bytes return too late: the manifest that is whole stays.
    store.put(&sample::bytes("soup", 1, "model")).unwrap();
    assert_eq!(store.commit(&first).unwrap(), Committed::Already(second));
}

#[test]
fn a_damaged_manifest_is_a_miss_with_a_reason_and_is_replaced() {
    let (_folder, store) = sample::store();
    let manifest = sample::commit(&store, "soup", 1, &[]);
    let other = sample::manifest("soup", 2, &[]);
    let path = store.manifest_path("soup", &manifest.key);
    let whole = manifest.to_json();
    let mut unknown: Value = serde_json::from_slice(&whole).unwrap();
    unknown["colour"] = json!("red");
    for bad in [&whole[..whole.len() / 2], b"", unknown.to_string().as_bytes(), &other.to_json()] {
        overwrite(&path, bad);
        let found = store.find("soup", &manifest.key).unwrap();
        assert!(matches!(&found, Lookup::Broken(Damage::Manifest { .. })), "{found:?}");
        assert!(matches!(store.commit(&manifest).unwrap(), Committed::Replaced(Damage::Manifest { .. })));
        assert_eq!(store.find("soup", &manifest.key).unwrap(), Lookup::Hit(manifest.clone()));
    }
}

#[test]
fn a_manifest_of_a_newer_version_is_never_replaced() {
    let (_folder, store) = sample::store();
    let manifest = sample::commit(&store, "soup", 1, &[]);
    let path = store.manifest_path("soup", &manifest.key);
    overwrite(&path, br#"{"format": 99, "new": true}"#);
    assert!(matches!(store.find("soup", &manifest.key), Err(Error::TooNew { .. })));
    assert!(matches!(store.commit(&manifest), Err(Error::TooNew { .. })));
    assert_eq!(fs::read(&path).unwrap(), br#"{"format": 99, "new": true}"#);
}

/// Sixteen runs of one key that all round differently: one is new, and all others learn which.
#[test]
fn of_many_commits_of_a_key_one_wins() {
    for broken in [false, true] {
        let (_folder, store) = sample::store();
        let base = sample::manifest("soup", 1, &[]);
        store.put(&sample::bytes("soup", 1, "members")).unwrap();
        if broken {
            let path = store.manifest_path("soup", &base.key);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, b"torn").unwrap();
        }
        let outcomes: Vec<(Manifest, Committed)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16u8)
                .map(|n| {
                    let (store, base) = (&store, &base);
                    scope.spawn(move || {
                        let manifest = other_bytes(store, base, &[n; 1000]);
                        let outcome = store.commit(&manifest).unwrap();
                        (manifest, outcome)
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let Lookup::Hit(winner) = store.find("soup", &base.key).unwrap() else { panic!("no winner") };
        let mut wins = 0;
        for (manifest, outcome) in outcomes {
            match outcome {
                Committed::Already(already) => assert_eq!(already, winner),
                Committed::New | Committed::Replaced(_) => {
                    assert_eq!(matches!(outcome, Committed::Replaced(_)), broken);
                    assert_eq!(manifest, winner);
                    wins += 1;
                }
            }
        }
        assert_eq!(wins, 1);
        assert!(store.verify().unwrap().is_sound());
    }
}
