//! Objects under everything that can happen to them.

use std::process::{Command, Stdio};
use std::time::Duration;

use super::*;
use crate::{Sweep, sample};

/// Overwrites an object's file in place, as no store does.
fn damage(store: &Store, object: &ObjectId, edit: impl FnOnce(&mut Vec<u8>)) {
    let path = store.object_path(object);
    let mut bytes = fs::read(&path).unwrap();
    edit(&mut bytes);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, bytes).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
}

fn names(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn bytes_come_back() {
    let (_folder, store) = sample::store();
    for bytes in [&b""[..], b"x", &[7; 100_000]] {
        let object = store.put(bytes).unwrap();
        assert_eq!(object, ObjectId::of(bytes));
        assert_eq!(store.put(bytes).unwrap(), object);
        assert!(store.has(&object));
        assert_eq!(store.read(&object).unwrap(), bytes);
        let mapped = store.map(&object).unwrap();
        assert_eq!((&*mapped, mapped.id()), (bytes, &object));
        assert_eq!(fs::metadata(store.object_path(&object)).unwrap().permissions().mode() & 0o222, 0);
    }
    assert_eq!(names(&store.objects()).len(), 3);
}

#[test]
fn what_is_written_in_pieces_is_the_same_object() {
    let (_folder, store) = sample::store();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    for _ in 0..2 {
        let write = |sink: &mut Sink| bytes.chunks(1_234_567).try_for_each(|piece| sink.write(piece));
        let (object, written) = store.put_stream::<Error>(write).unwrap();
        assert_eq!((object, written), (ObjectId::of(&bytes), 3_000_000));
        assert_eq!(store.read(&object).unwrap(), bytes);
        assert_eq!(fs::metadata(store.object_path(&object)).unwrap().permissions().mode() & 0o222, 0);
    }
    let stopped = store.put_stream(|sink| {
        sink.write(b"half")?;
        Err(Error::MissingObject { object: ObjectId::of(b""), path: PathBuf::new() })
    });
    assert!(matches!(stopped, Err(Error::MissingObject { .. })));
    assert_eq!(names(&store.objects()), [ObjectId::of(&bytes).to_string()]);
}

/// Resident memory of this process in kB, of file maps alone.
fn mapped_kilobytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssFile:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn released_bytes_take_no_memory_and_come_back() {
    let (_folder, store) = sample::store();
    let bytes = vec![5; 64 << 20];
    let object = store.put(&bytes).unwrap();
    let mapped = store.map(&object).unwrap();
    let before = mapped_kilobytes();
    mapped.release();
    let after = mapped_kilobytes();
    assert!(after + 48 * 1024 < before, "{before} kB before, {after} kB after");
    assert!(*mapped == bytes[..]);
}

#[test]
fn what_is_missing_is_named() {
    let (_folder, store) = sample::store();
    let object = ObjectId::of(b"nothing");
    assert!(!store.has(&object));
    for error in [store.read(&object).unwrap_err(), store.map(&object).unwrap_err()] {
        assert!(matches!(error, Error::MissingObject { .. }));
        assert!(error.to_string().contains(&object.to_string()), "{error}");
    }
}

#[test]
fn wrong_bytes_are_never_returned_and_a_put_repairs_them() {
    let (_folder, store) = sample::store();
    let bytes = vec![42; 70_000];
    let object = store.put(&bytes).unwrap();
    let edits: [fn(&mut Vec<u8>); 4] =
        [|b| b[35_000] ^= 1, |b| b.truncate(100), |b| b.push(0), |b| b.clear()];
    for edit in edits {
        damage(&store, &object, edit);
        for error in [store.read(&object).unwrap_err(), store.map(&object).unwrap_err()] {
            assert!(matches!(error, Error::CorruptObject { .. }), "{error}");
            let message = error.to_string();
            assert!(message.contains(&object.to_string()) && message.contains("samebasin store verify"));
        }
        store.put(&bytes).unwrap();
        assert_eq!(store.read(&object).unwrap(), bytes);
    }
}

#[test]
fn a_mapping_survives_repair_and_removal() {
    let (_folder, store) = sample::store();
    let bytes = vec![9; 50_000];
    let object = store.put(&bytes).unwrap();
    let mapped = store.map(&object).unwrap();
    files::replace(&store.object_path(&object), &[b"other"], Access::ReadOnly).unwrap();
    assert_eq!(&*mapped, bytes);
    fs::remove_file(store.object_path(&object)).unwrap();
    assert_eq!(&*mapped, bytes);
}

#[test]
fn a_writable_file_is_read_and_not_mapped() {
    let (_folder, store) = sample::store();
    let object = store.put(b"bytes").unwrap();
    assert!(matches!(store.map(&object).unwrap().bytes, Bytes::Mapped(_)));
    fs::set_permissions(store.object_path(&object), fs::Permissions::from_mode(0o644)).unwrap();
    let mapped = store.map(&object).unwrap();
    assert!(matches!(mapped.bytes, Bytes::Owned(_)));
    assert_eq!(&*mapped, b"bytes");
}

#[test]
fn a_link_or_a_folder_is_not_an_object() {
    let (folder, store) = sample::store();
    let object = ObjectId::of(b"outside");
    fs::write(folder.path().join("outside"), b"outside").unwrap();
    std::os::unix::fs::symlink(folder.path().join("outside"), store.object_path(&object)).unwrap();
    assert!(!store.has(&object));
    assert!(matches!(store.read(&object), Err(Error::MissingObject { .. })));
    store.put(b"outside").unwrap();
    assert_eq!(store.read(&object).unwrap(), b"outside");
    let object = ObjectId::of(b"folder");
    fs::create_dir(store.object_path(&object)).unwrap();
    assert!(!store.has(&object));
    assert!(store.put(b"folder").is_err());
}

#[test]
fn many_threads_put_the_same_bytes() {
    let (_folder, store) = sample::store();
    std::thread::scope(|scope| {
        for n in 0..16u8 {
            let store = &store;
            scope.spawn(move || {
                for round in 0..8 {
                    let bytes = vec![round; 10_000];
                    let object = store.put(&bytes).unwrap();
                    assert_eq!(store.read(&object).unwrap(), bytes);
                    store.put(&[n, round]).unwrap();
                }
            });
        }
    });
    assert_eq!(names(&store.objects()).len(), 8 + 16 * 8);
    assert!(store.verify().unwrap().is_sound());
}

#[test]
fn a_put_makes_an_old_object_young_again() {
    let (_folder, store) = sample::store();
    let object = store.put(b"old").unwrap();
    let path = store.object_path(&object);
    File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
    store.put(b"old").unwrap();
    assert!(fs::metadata(&path).unwrap().modified().unwrap().elapsed().unwrap() < Duration::from_secs(60));
    assert!(store.gc(&Sweep::default()).unwrap().freed.is_empty());
}

/// The test binary runs itself again; the copy puts objects until it is killed.
#[test]
fn a_kill_at_any_instant_publishes_nothing_partial() {
    const ROOT: &str = "SAMEBASIN_TEST_PUT_FOR_EVER";
    if let Ok(root) = std::env::var(ROOT) {
        let store = Store::open(root).unwrap();
        for n in 0u64.. {
            store.put(&n.to_le_bytes().repeat(200_000)).unwrap();
        }
    }
    let (_folder, store) = sample::store();
    let mut n_objects = 0;
    for round in 0..6 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "objects::tests::a_kill_at_any_instant_publishes_nothing_partial"])
            .env(ROOT, store.root())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(60 + 37 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        let verification = store.verify().unwrap();
        assert!(verification.is_sound(), "{:?}", verification.problems);
        n_objects = verification.objects;
    }
    assert!(n_objects > 0);
    store.put(b"and it still works").unwrap();
}

/// A file system with room for a few pages, unmounted when dropped.
struct Tiny(tempfile::TempDir);

impl Tiny {
    fn mount() -> Option<Tiny> {
        let folder = tempfile::TempDir::new().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        mounted.then_some(Tiny(folder))
    }
}

impl Drop for Tiny {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).status();
    }
}

#[test]
fn a_full_disk_is_named_and_leaves_nothing_behind() {
    let Some(tiny) = Tiny::mount() else {
        eprintln!("skipped: a small file system cannot be mounted here (needs root)");
        return;
    };
    let store = Store::open(tiny.0.path()).unwrap();
    let small = store.put(b"small").unwrap();
    let error = store.put(&[1; 1_000_000]).unwrap_err();
    assert!(matches!(error, Error::NoSpace { .. }), "{error}");
    assert!(error.to_string().contains("samebasin store gc"));
    assert_eq!(names(&store.objects()), [small.to_string()]);
    store.put(b"there is room for this").unwrap();
    assert!(store.verify().unwrap().is_sound());
}
