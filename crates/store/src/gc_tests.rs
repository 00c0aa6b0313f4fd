//! What goes and what stays.

use std::io::Write;
use std::path::Path;

use super::*;
use crate::{Input, sample};

const DELETE: Sweep = Sweep { mode: Mode::Delete, grace: Duration::from_secs(3600), unfinished: false };

/// As [`DELETE`], without mercy.
const AT_ONCE: Sweep = Sweep { grace: Duration::ZERO, ..DELETE };

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
    assert_eq!(store.gc(&AT_ONCE).unwrap().kept_manifests, 2);
}

#[test]
fn what_was_found_lately_is_being_used() {
    let (_folder, store, _, other) = study();
    store.find("finetune", &other[1].key).unwrap();
    assert_eq!(store.gc(&DELETE).unwrap().freed.len(), 1);
    assert!(store.verify().unwrap().is_sound());
}

/// A run reads by key what has no name, stores objects, and finds results of its own: all of it stays, whatever the clocks
/// say and without any grace, until the lock is released.
#[test]
fn what_a_run_under_way_needs_stays() {
    let (_folder, store, _, other) = study();
    let found = sample::commit(&store, "pair", 7, &[]);
    let running = sample::manifest("soup", 1, &[("model", other[1].input_of("model").unwrap())]);
    let inputs: Vec<Input> = running.inputs["model"].clone();
    let lock = store.lock("soup", &running.key, &inputs, &mut |_| {}).unwrap();
    lock.uses(&found.key).unwrap();
    for role in running.outputs.keys() {
        lock.made(&store.put(&sample::bytes("soup", 1, role)).unwrap()).unwrap();
    }
    for seconds in [0, 24 * 3600] {
        age(store.root(), seconds);
        let done = store.gc(&AT_ONCE).unwrap();
        assert_eq!(done.running, [format!("soup {}", running.key)]);
        assert_eq!(done.freed.len(), usize::from(seconds == 0), "what nothing names: {done:?}");
        for manifest in other.iter().chain([&found]) {
            assert!(matches!(store.find(&manifest.stage, &manifest.key).unwrap(), Lookup::Hit(_)));
        }
    }
    store.commit(&running).unwrap();
    assert!(store.gc(&AT_ONCE).unwrap().freed.is_empty(), "it has no name yet");
    drop(lock);
    let done = store.gc(&AT_ONCE).unwrap();
    assert_eq!(done.freed.iter().filter(|freed| freed.kind == Kind::Manifest).count(), 4);
    assert!(store.verify().unwrap().is_sound());
}

/// A killed run goes on from its state, which may speak of objects that it has put already.
#[test]
fn what_a_killed_run_needs_stays_as_long_as_its_state() {
    let (_folder, store, _, other) = study();
    let killed = sample::manifest("soup", 9, &[]);
    let input = other[1].input_of("model").unwrap();
    let path = Store::per_key(&store.locks(), "soup", &killed.key).unwrap();
    let scratch = store.scratch("soup", &killed.key).unwrap();
    let lock = store.lock("soup", &killed.key, &[input], &mut |_| {}).unwrap();
    let checkpoint = store.put(b"a checkpoint of step 1").unwrap();
    lock.made(&checkpoint).unwrap();
    scratch.write("state", b"step 1").unwrap();
    drop(lock);
    assert!(path.exists(), "what is needed is still written down");
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(br#"{"object":"0123"#).unwrap();
    drop(store.lock("soup", &killed.key, &[input], &mut |_| panic!("nobody holds it")).unwrap());
    age(store.root(), 1_000 * 24 * 3600);
    let done = store.gc(&AT_ONCE).unwrap();
    assert_eq!(done.unfinished, [format!("soup {}", killed.key)]);
    assert_eq!(done.freed.len(), 1, "what nothing names: {done:?}");
    assert!(store.has(&checkpoint) && scratch.read("state").unwrap().is_some());

    let done = store.gc(&Sweep { unfinished: true, ..AT_ONCE }).unwrap();
    assert_eq!(done.freed.iter().filter(|freed| freed.kind == Kind::Scratch).count(), 1);
    assert!(!store.has(&checkpoint) && !path.exists() && scratch.read("state").unwrap().is_none());
}

#[test]
fn the_state_of_a_committed_run_and_temporary_files_go() {
    let (_folder, store, named, _) = study();
    store.gc(&DELETE).unwrap();
    let [_, model] = &named;
    let scratch = store.scratch("finetune", &model.key).unwrap();
    scratch.write("state", b"state").unwrap();
    for folder in ["objects", "manifests/finetune", "refs"] {
        fs::write(store.root().join(folder).join(".tmp-1-1"), b"half a fi").unwrap();
    }
    // A sweep that was killed while it removed a state.
    let half = store.scratches().join(".tmp-soup-1");
    fs::create_dir(&half).unwrap();
    fs::write(half.join("state"), b"st").unwrap();
    let stale = store.locks().join(format!("soup-{}", model.key));
    fs::write(&stale, b"left by a kill").unwrap();
    let held = store.lock("finetune", &model.key, &[], &mut |_| {}).unwrap();
    fs::write(store.scratches().join(format!("finetune-{}/.tmp-2-2", model.key)), b"x").unwrap();
    let done = store.gc(&DELETE).unwrap();
    assert_eq!(done.freed.iter().map(|freed| freed.kind).collect::<Vec<_>>(), [Kind::Temporary; 4]);
    assert!(!stale.exists() && !half.exists());
    assert!(scratch.read("state").unwrap().is_some(), "it is being written to");
    drop(held);
    let done = store.gc(&DELETE).unwrap();
    assert!(done.freed.iter().any(|freed| freed.kind == Kind::Scratch), "{done:?}");
    assert_eq!(scratch.read("state").unwrap(), None);
}

/// Whatever part of a sweep is done when it is killed, the store is sound.
#[test]
fn a_killed_sweep_leaves_a_sound_store() {
    let (_folder, store, ..) = study();
    let [base, model] = [1, 2].map(|seed| sample::commit(&store, "soup", seed, &[]));
    let pair = sample::commit(
        &store,
        "pair",
        3,
        &[("a", base.input_of("model").unwrap()), ("b", model.input_of("model").unwrap())],
    );
    sample::commit(&store, "lines", 4, &[("pair", pair.input_of("model").unwrap())]);
    // In the order in which they are freed, which is not that of the report.
    let doomed = {
        let catalog = catalog::manifests(&store).unwrap();
        let manifests = roots::manifests(&store, &catalog).unwrap();
        let mut mark = Mark::new(&manifests);
        mark.refs(&store, &catalog::refs(&store).unwrap()).unwrap();
        let doomed = manifests.keys().copied().filter(|key| !mark.keys.contains(key)).collect();
        roots::downstream_first(&doomed, &manifests)
            .into_iter()
            .map(|key| manifests[&key].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(doomed.len(), 6);
    for manifest in doomed {
        fs::remove_file(store.manifest_path(&manifest.stage, &manifest.key)).unwrap();
        assert!(store.verify().unwrap().is_sound(), "after {}", manifest.stage);
    }
    store.gc(&AT_ONCE).unwrap();
    assert!(store.verify().unwrap().is_sound());
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

/// A ref is as good as its manifest, and what cannot be followed stops the sweep.
#[test]
fn what_cannot_be_followed_is_named_and_nothing_goes() {
    let (folder, store, named, _) = study();
    let stops = |what: &str| {
        let error = store.gc(&AT_ONCE).unwrap_err();
        assert!(matches!(error, Error::Unfollowable { .. }) && error.to_string().contains(what), "{error}");
        assert_eq!(store.verify().unwrap().objects, 9);
    };
    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let link = store.refs().join("linked");
    std::os::unix::fs::symlink(&elsewhere, &link).unwrap();
    stops("refs/linked");
    fs::remove_file(&link).unwrap();
    fs::write(store.refs().join(".hidden.json"), b"{}").unwrap();
    stops(".hidden.json");
    fs::remove_file(store.refs().join(".hidden.json")).unwrap();
    fs::write(store.refs().join("README"), b"no ref").unwrap();

    let base = store.manifest_path("pretrain", &named[0].key);
    let whole = fs::read(&base).unwrap();
    fs::remove_file(&base).unwrap();
    stops(&named[0].key.short());
    fs::write(&base, whole).unwrap();
    fs::remove_file(store.manifest_path("finetune", &named[1].key)).unwrap();
    let done = store.gc(&AT_ONCE).unwrap();
    assert_eq!((done.kept_manifests, done.kept_objects), (1, 4), "the ref leads to the rest");
    let lock =
        store.lock("soup", &named[0].key, &[Input { from: named[1].key, ..sample::input(1) }], &mut |_| {});
    let error = store.gc(&AT_ONCE).unwrap_err().to_string();
    assert!(error.contains("run soup"), "{error}");
    drop(lock);
    let held = store.locks().join(format!("soup-{}", named[0].key));
    let file = fs::File::create(&held).unwrap();
    file.lock().unwrap();
    assert!(store.gc(&AT_ONCE).unwrap_err().to_string().contains("does not say"));
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
