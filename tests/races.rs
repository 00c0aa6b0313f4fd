//! Two studies on one store at once.

use crate::harness::{Bench, succeed, text};

#[test]
fn two_studies_on_one_store_compute_each_key_once() {
    let bench = Bench::new();
    let start = || {
        bench
            .make("world", "smoke", 2)
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("make starts")
    };
    let (first, second) = (start(), start());
    succeed(&first.wait_with_output().expect("it ended"));
    succeed(&second.wait_with_output().expect("it ended"));
    bench.assert_clean();

    let alone = Bench::new();
    succeed(&alone.make("world", "smoke", 2).output().expect("make starts"));
    assert_eq!(bench.results(), alone.results());
}

/// The second process says whom it waits for, waits, and finds the result of the first.
#[test]
fn the_second_waits_and_finds() {
    let bench = Bench::new();
    let arguments = ["--world", "roles", "--steps", "400", "--checkpoints", "0,400", "--hidden", "32"];
    let start = || {
        let mut command = crate::harness::program("pretrain");
        command.arg("--store").arg(bench.store()).args(["--threads", "1"]).args(arguments);
        command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("it starts")
    };
    let first = start();
    let is_locked = || {
        let files = crate::harness::files(&bench.store().join("locks"));
        files
            .iter()
            .any(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("pretrain-")))
    };
    while !is_locked() {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let second = start();
    let (first, second) = (first.wait_with_output().unwrap(), second.wait_with_output().unwrap());
    succeed(&first);
    succeed(&second);
    assert_eq!(first.stdout, second.stdout, "both name the same key");
    assert!(text(&second.stderr).contains("waiting for"), "{}", text(&second.stderr));
    // The ladder, and its two rungs.
    assert_eq!(bench.results().len(), 3);
    assert_eq!(bench.results().keys().filter(|key| key.starts_with("\"pretrain\" ")).count(), 1);
}
