//! What goes and what stays.

use std::path::Path;

use super::*;
use crate::{Input, sample};

const DELETE: Sweep =
    Sweep { mode: Mode::Delete, grace: Duration::from_secs(3600), scratch_grace: Duration::from_secs(7200) };

/// Makes every file below a folder this old.
fn age(folder: &Path, seconds: u64) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            age(&path, seconds);
        }
        let time = SystemTime::now() - Duration::from_secs(seconds);
        fs::File::open(&path).unwrap().set_modified(time).unwrap();
    }
}

/// Two chains `pretrain` -> `finetune`, of which the first has a ref at its end, and an object that nothing names. All
/// a day old.
fn study() -> (tempfile::TempDir, Store, [Manifest; 2], [Manifest; 2]) {
    let (folder, store) = sample::store();
    let chain = |seed| {
        let base = sample::commit(&store, "pretrain", seed, &[]);
        let model = sample::commit(&store, "finetune", seed, &[("base", base.input_of("model").unwrap())]);
        [base, model]
    };
    let (named, other) = (chain(1), chain(2));
    store.set_ref("model", &named[1]).unwrap();
    store.put(b"named by nothing").unwrap();
    age(store.root(), 24 * 3600);
    (folder, store, named, other)
}

fn names(collection: &Collection) -> Vec<&str> {
    collection.freed.iter().map(|freed| freed.name.as_str()).collect()
}

#[test]
fn what_a_ref_leads_to_stays_and_the_rest_goes() {
    let (_folder, store, named, other) = study();
    let look = store.gc(&Sweep::default()).unwrap();
    assert_eq!(look.freed.iter().filter(|freed| freed.kind == Kind::Manifest).count(), 2);
    assert_eq!(look.freed.iter().filter(|freed| freed.kind == Kind::Object).count(), 5);
    assert!(names(&look).contains(&format!("manifests/pretrain/{}.json", other[0].key).as_str()));
    assert_eq!((look.kept_manifests, look.kept_objects), (2, 4));
    assert_eq!(store.verify().unwrap().objects, 9, "a dry run deletes nothing");

    let bytes = |store: &Store| store.verify().unwrap().object_bytes;
    let before = bytes(&store);
    let done = store.gc(&DELETE).unwrap();
    assert_eq!(done.freed, look.freed);
    let objects = done.freed.iter().filter(|freed| freed.kind == Kind::Object);
    assert_eq!(before - bytes(&store), objects.map(|freed| freed.bytes).sum::<u64>());
    assert_eq!(done.kept_bytes, bytes(&store));
    for manifest in &named {
        assert!(matches!(store.find(&manifest.stage, &manifest.key).unwrap(), Lookup::Hit(_)));
    }
    for manifest in &other {
        assert_eq!(store.find(&manifest.stage, &manifest.key).unwrap(), Lookup::Missing);
    }
    assert!(store.verify().unwrap().is_sound());
    assert!(store.gc(&DELETE).unwrap().freed.is_empty());
    assert_eq!(serde_json::to_value(&done).unwrap()["freed"][0]["kind"], "manifest");
}

#[test]
fn the_young_are_spared_with_all_that_they_came_from() {
    let (_folder, store, _, other) = study();
    let young = sample::commit(&store, "soup", 1, &[("model", other[1].input_of("model").unwrap())]);
    store.put(b"for a commit that is still to come").unwrap();
    let done = store.gc(&DELETE).unwrap();
    assert_eq!(done.freed.len(), 1, "{done:?}");
    for manifest in other.iter().chain([&young]) {
        assert!(matches!(store.find(&manifest.stage, &manifest.key).unwrap(), Lookup::Hit(_)));
    }
    let none = Sweep { grace: Duration::ZERO, ..DELETE };
    age(store.root(), 1);
    assert_eq!(store.gc(&none).unwrap().kept_manifests, 2);
}

#[test]
fn what_was_found_lately_is_being_used() {
    let (_folder, store, _, other) = study();
    store.find("finetune", &other[1].key).unwrap();
    assert_eq!(store.gc(&DELETE).unwrap().freed.len(), 1);
    assert!(store.verify().unwrap().is_sound());
}

#[test]
fn a_run_keeps_what_it_made_however_long_it_takes() {
    let (_folder, store, _, other) = study();
    let running = sample::manifest("soup", 1, &[]);
    let lock = store.lock("soup", &running.key, &mut |_| {}).unwrap();
    let committed = store.lock("finetune", &other[1].key, &mut |_| {}).unwrap();
    let scratch = store.scratch("soup", &running.key).unwrap();
    scratch.write("state", b"state").unwrap();
    for role in running.outputs.keys() {
        store.put(&sample::bytes("soup", 1, role)).unwrap();
    }
    age(&store.locks(), 10 * 3600);
    age(&store.scratches(), 9 * 3600);
    for output in running.outputs.values() {
        let time = SystemTime::now() - Duration::from_secs(9 * 3600);
        fs::File::open(store.object_path(&output.object)).unwrap().set_modified(time).unwrap();
    }
    let done = store.gc(&DELETE).unwrap();
    assert_eq!(done.running.len(), 2);
    assert_eq!(done.freed.len(), 1, "only what nothing names: {done:?}");
    assert!(matches!(store.find("finetune", &other[1].key).unwrap(), Lookup::Hit(_)), "its lock is held");
    store.commit(&running).unwrap();
    assert!(scratch.read("state").unwrap().is_some());
    drop((lock, committed));

    let done = store.gc(&DELETE).unwrap();
    assert_eq!(done.freed.iter().map(|freed| freed.kind).collect::<Vec<_>>(), [Kind::Scratch]);
    assert_eq!(scratch.read("state").unwrap(), None, "the run has committed");
}

#[test]
fn unfinished_state_and_temporary_files_go_in_the_end() {
    let (_folder, store, named, _) = study();
    store.gc(&DELETE).unwrap();
    let key = sample::manifest("soup", 9, &[]).key;
    let scratch = store.scratch("soup", &key).unwrap();
    scratch.write("state", b"state").unwrap();
    for folder in ["objects", "manifests/finetune", "refs"] {
        fs::write(store.root().join(folder).join(".tmp-1-1"), b"half a fi").unwrap();
    }
    fs::write(store.locks().join(format!("soup-{key}")), b"left by a kill").unwrap();
    assert!(store.gc(&DELETE).unwrap().freed.is_empty(), "all of it is young");
    assert!(!store.locks().join(format!("soup-{key}")).exists());
    age(store.root(), 3700);
    let done = store.gc(&DELETE).unwrap();
    assert_eq!(done.freed.iter().map(|freed| freed.kind).collect::<Vec<_>>(), [Kind::Temporary; 3]);
    assert!(scratch.read("state").unwrap().is_some());
    age(store.root(), 7300);
    assert_eq!(store.gc(&DELETE).unwrap().freed[0].kind, Kind::Scratch);
    assert!(matches!(store.find("finetune", &named[1].key).unwrap(), Lookup::Hit(_)));
}

/// A killed run resumes from its state, which may speak of objects that it has put already.
#[test]
fn what_a_killed_run_has_put_stays_as_long_as_its_state() {
    let (_folder, store, ..) = study();
    store.gc(&DELETE).unwrap();
    let killed = sample::manifest("soup", 9, &[]);
    let scratch = store.scratch("soup", &killed.key).unwrap();
    scratch.write("state", b"step 1").unwrap();
    let checkpoint = store.put(b"a checkpoint of step 1").unwrap();
    age(store.root(), 24 * 3600);
    let resumable = Sweep { scratch_grace: Duration::from_secs(48 * 3600), ..DELETE };
    scratch.write("state", b"step 2").unwrap();
    assert!(store.gc(&resumable).unwrap().freed.is_empty());
    let _lock = store.lock("soup", &killed.key, &mut |_| {}).unwrap();
    assert!(store.gc(&resumable).unwrap().freed.is_empty());
    assert!(store.has(&checkpoint));
    scratch.clear().unwrap();
    assert_eq!(store.gc(&resumable).unwrap().freed.len(), 1);
    assert!(!store.has(&checkpoint));
}

#[test]
fn a_store_that_cannot_be_read_is_left_alone() {
    let (_folder, store, named, other) = study();
    let reference = store.ref_path("model").unwrap();
    let whole = fs::read(&reference).unwrap();
    fs::write(&reference, b"{").unwrap();
    assert!(matches!(store.gc(&DELETE), Err(Error::InvalidManifest { .. })));
    fs::write(&reference, br#"{"format": 9}"#).unwrap();
    assert!(matches!(store.gc(&DELETE), Err(Error::TooNew { .. })));
    fs::write(&reference, whole).unwrap();
    let path = store.manifest_path("pretrain", &other[0].key);
    fs::remove_file(&path).unwrap();
    fs::write(&path, b"torn").unwrap();
    assert!(matches!(store.gc(&DELETE), Err(Error::InvalidManifest { .. })));
    assert_eq!(store.verify().unwrap().objects, 9);
    assert!(matches!(store.find("pretrain", &named[0].key).unwrap(), Lookup::Hit(_)));
}

#[test]
fn bytes_that_a_ref_or_an_input_still_names_stay_when_their_manifest_was_replaced() {
    let (_folder, store, named, _) = study();
    let Input { object, .. } = named[1].inputs["base"][0];
    // The manifest is lost, but not the bytes: what reads them can be checked as long as they are there.
    fs::remove_file(store.manifest_path("pretrain", &named[0].key)).unwrap();
    store.gc(&DELETE).unwrap();
    assert!(store.has(&object));
}

#[test]
fn collection_and_work_at_once_lose_nothing() {
    let (_folder, store, ..) = study();
    let sweep = Sweep { grace: Duration::from_secs(60), ..DELETE };
    std::thread::scope(|scope| {
        for n in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..10 {
                    let manifest = sample::commit(store, "soup", n * 100 + round, &[]);
                    store.set_ref(&format!("soup/{n}/{round}"), &manifest).unwrap();
                }
            });
        }
        scope.spawn(|| (0..10).for_each(|_| drop(store.gc(&sweep).unwrap())));
    });
    let verification = store.verify().unwrap();
    assert!(verification.is_sound(), "{:?}", verification.problems);
    assert_eq!(verification.refs, 41);
}

#[test]
fn parts_stay_with_what_lists_them_and_go_with_it() {
    let (_folder, store) = sample::store();
    let rung = sample::commit(&store, "rung", 1, &[]);
    let mut ladder = sample::manifest("ladder", 2, &[]);
    let part = crate::Output { from: Some(rung.key), ..rung.outputs["model"] };
    ladder.outputs = [("step-1".to_owned(), part)].into();
    store.commit(&ladder).unwrap();
    store.set_ref("ladder", &ladder).unwrap();
    age(store.root(), 24 * 3600);
    store.gc(&DELETE).unwrap();
    assert!(store.manifest(&rung.key).unwrap().is_some(), "a part needs no ref of its own");
    assert!(store.verify().unwrap().is_sound());
    assert!(store.history(&ladder).unwrap().to_string().contains("step-1 = model: rung"));

    store.remove_ref("ladder").unwrap();
    age(store.root(), 24 * 3600);
    store.gc(&DELETE).unwrap();
    assert!(store.manifest(&rung.key).unwrap().is_none());
}
