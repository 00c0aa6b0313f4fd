//! One test per way in which a store can be wrong.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;
use crate::{Committed, Lookup, Media, Output, sample};

fn overwrite(path: &Path, bytes: &[u8]) {
    fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(path, bytes).unwrap();
}

/// A store with `pretrain` and, made from it, `finetune`, which has a ref.
fn study() -> (tempfile::TempDir, Store, Manifest, Manifest) {
    let (folder, store) = sample::store();
    let base = sample::commit(&store, "pretrain", 1, &[]);
    let model = sample::commit(&store, "finetune", 1, &[("base", base.input_of("model").unwrap())]);
    store.set_ref("model", &model).unwrap();
    (folder, store, base, model)
}

fn problems(store: &Store) -> Vec<Problem> {
    let verification = store.verify().unwrap();
    assert_eq!(verification.is_sound(), verification.problems.is_empty());
    verification.problems
}

#[test]
fn a_sound_store_is_counted() {
    let (_folder, store, ..) = study();
    store.put(b"of a run that was killed").unwrap();
    for folder in ["objects", "manifests/finetune", "refs"] {
        fs::write(store.root().join(folder).join(".tmp-1-1"), b"half a fi").unwrap();
    }
    let verification = store.verify().unwrap();
    assert_eq!(verification.problems, []);
    assert_eq!((verification.objects, verification.manifests, verification.refs), (5, 2, 1));
    assert_eq!((verification.unnamed_objects, verification.unnamed_bytes), (1, 24));
    assert_eq!((verification.temporaries, verification.temporary_bytes), (3, 27));
    let json = serde_json::to_value(&verification).unwrap();
    assert_eq!((&json["objects"], &json["problems"]), (&5.into(), &serde_json::json!([])));
}

#[test]
fn a_flipped_byte_is_found_removed_and_made_again() {
    let (_folder, store, base, _) = study();
    let object = base.outputs["model"].object;
    let path = store.object_path(&object);
    let mut bytes = fs::read(&path).unwrap();
    bytes[3] ^= 4;
    overwrite(&path, &bytes);
    let verification = store.verify().unwrap();
    assert_eq!(verification.problems, [Problem::Corrupt { object, found: ObjectId::of(&bytes) }]);
    assert!(matches!(store.find("pretrain", &base.key).unwrap(), Lookup::Hit(_)), "a lookup does not hash");

    store.set_ref("base", &base).unwrap();
    let repair = store.repair(&verification).unwrap();
    assert_eq!((repair.objects, repair.refs), (vec![object], vec!["base".to_owned()]));
    assert!(store.repair(&verification).unwrap().is_empty());
    assert_eq!(store.list_refs().unwrap(), ["model"], "what is whole keeps its name");
    assert!(matches!(store.find("pretrain", &base.key).unwrap(), Lookup::Broken(Damage::Missing { .. })));
    store.put(&sample::bytes("pretrain", 1, "model")).unwrap();
    assert!(store.repair(&verification).unwrap().is_empty());
    assert_eq!(problems(&store), []);
}

#[test]
fn a_truncated_object_breaks_its_manifest_too() {
    let (_folder, store, base, _) = study();
    let object = base.outputs["model"].object;
    overwrite(&store.object_path(&object), b"mod");
    let found = problems(&store);
    assert!(
        matches!(
            &found[..],
            [Problem::Corrupt { .. }, Problem::Broken { damage: Damage::Length { found: 3, .. }, .. },]
        ),
        "{found:?}"
    );
}

#[test]
fn manifests_are_checked() {
    let (_folder, store, base, model) = study();
    let path = store.manifest_path("finetune", &model.key);
    let text = String::from_utf8(model.to_json()).unwrap();
    let unknown = text.replacen("{", "{\"colour\": 1,", 1);
    let parameter = text.replace("\"seed\": 1", "\"seed\": 2");
    let newer = text.replace("\"format\": 3", "\"format\": 7");
    let other = String::from_utf8(base.to_json()).unwrap();
    for (bad, expected) in [
        (unknown.as_str(), "unknown field `colour`"),
        (&parameter, "its recipe's key is"),
        (&newer, "manifest format 7"),
        (&text[..100], "EOF"),
        (&other, "it is that of pretrain"),
    ] {
        overwrite(&path, bad.as_bytes());
        let found = problems(&store);
        assert!(matches!(&found[0], Problem::Manifest { why, .. } if why.contains(expected)), "{found:?}");
        assert!(found[0].to_string().contains(path.to_str().unwrap()));
    }
}

#[test]
fn lost_objects_manifests_and_refs_are_found() {
    let (_folder, store, base, model) = study();
    fs::remove_file(store.object_path(&model.outputs["members"].object)).unwrap();
    let found = problems(&store);
    assert!(matches!(&found[..], [Problem::Broken { key, .. }] if *key == model.key), "{found:?}");
    fs::remove_file(store.manifest_path("pretrain", &base.key)).unwrap();
    let found = problems(&store);
    assert!(matches!(&found[1], Problem::Input { role, .. } if role == "base"), "{found:?}");
    fs::remove_file(store.manifest_path("finetune", &model.key)).unwrap();
    let expected =
        Problem::Dangling { name: "model".to_owned(), stage: "finetune".to_owned(), key: model.key };
    assert_eq!(problems(&store), [expected]);
    fs::write(store.ref_path("model").unwrap(), b"{").unwrap();
    assert!(matches!(&problems(&store)[..], [Problem::Ref { name, .. }] if name == "model"));
}

#[test]
fn a_replaced_manifest_leaves_stale_inputs_and_refs() {
    let (_folder, store, base, model) = study();
    store.set_ref("base", &base).unwrap();
    fs::remove_file(store.object_path(&base.outputs["model"].object)).unwrap();
    let mut again = base.clone();
    store.put(b"rounded otherwise").unwrap();
    again.outputs.insert("model".to_owned(), Output::of(b"rounded otherwise", Media::Safetensors));
    assert!(matches!(store.commit(&again).unwrap(), Committed::Replaced(_)));
    let input = model.inputs["base"][0];
    assert_eq!(
        problems(&store),
        [
            Problem::Input { stage: "finetune".to_owned(), key: model.key, role: "base".to_owned(), input },
            Problem::Stale { name: "base".to_owned(), key: base.key, field: "outputs.model".to_owned() },
        ]
    );
}

/// Of a lost or damaged manifest there is a copy; a ref that is none is taken away, so that Make goes on.
#[test]
fn manifests_are_repaired_from_refs_and_bad_refs_go() {
    let (_folder, store, base, model) = study();
    let path = store.manifest_path("finetune", &model.key);
    let other = store.manifest_path("pretrain", &base.key);
    for damage in [None, Some(&b"torn"[..]), Some(&base.to_json())] {
        match damage {
            None => fs::remove_file(&path).unwrap(),
            Some(bytes) => overwrite(&path, bytes),
        }
        let found = store.verify().unwrap();
        assert!(!found.is_sound());
        assert!(store.repair(&found).unwrap().restored[0].starts_with("finetune "));
        assert_eq!(store.find("finetune", &model.key).unwrap(), Lookup::Hit(model.clone()));
        assert_eq!(problems(&store), []);
    }
    overwrite(&other, b"torn");
    let mut changed = model.clone();
    changed.facts.insert("loss".to_owned(), 0.1.into());
    overwrite(&store.ref_path("model").unwrap(), &changed.to_json());
    fs::write(store.ref_path("torn").unwrap(), b"{").unwrap();
    let found = store.verify().unwrap();
    let stale = "ref model is not what";
    assert!(
        found
            .problems
            .iter()
            .any(|problem| problem.to_string().starts_with(stale)
                && problem.to_string().contains("in facts.loss")),
        "{:?}",
        found.problems
    );
    let repair = store.repair(&found).unwrap();
    assert_eq!(repair.refs, ["model", "torn"]);
    assert_eq!(repair.manifests, [other.display().to_string()]);
}

/// Manifests that changed places are used nowhere.
#[test]
fn manifests_that_were_swapped_are_found_wherever_they_are_read() {
    let (_folder, store, base, model) = study();
    let (a, b) = (store.manifest_path("pretrain", &base.key), store.manifest_path("finetune", &model.key));
    overwrite(&a, &model.to_json());
    overwrite(&b, &base.to_json());
    for key in [base.key.to_string(), model.key.short()] {
        let error = store.resolve(&key).unwrap_err();
        assert!(matches!(error, Error::InvalidManifest { .. }), "{error}");
    }
    assert!(store.history(&model).is_err() && store.gc(&crate::Sweep::default()).is_err());
    assert_eq!(problems(&store).len(), 2);
}

#[test]
fn strays_are_found() {
    let (_folder, store, ..) = study();
    let stray = store.objects().join("notes.txt");
    fs::write(&stray, b"").unwrap();
    assert_eq!(problems(&store), [Problem::Stray { path: stray }]);
}
