//! `fetch` against olah, an independent mirror of the hub, over plain git repositories.
//!
//! The mirror is taken from `SAMEBASIN_OLAH` (path of `olah-cli`) or installed from PyPI beside the test programs.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::harness::{Bench, programs, succeed, text};

const VERSION: &str = "olah==0.5.4";

/// The mirror's program; `None`, said aloud, where there is no Python to install it with.
fn olah() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("SAMEBASIN_OLAH") {
        return Some(path.into());
    }
    let folder = programs().join("olah-0.5.4");
    let program = folder.join("bin/olah-cli");
    if program.exists() {
        return Some(program);
    }
    let made = Command::new("python3").args(["-m", "venv"]).arg(&folder).output();
    let made = made.is_ok_and(|output| output.status.success())
        && Command::new(folder.join("bin/pip"))
            .args(["install", "--quiet", VERSION])
            .output()
            .is_ok_and(|output| output.status.success());
    if !made {
        eprintln!("skipped: {VERSION} could not be installed (python3 with venv, and PyPI)");
        return None;
    }
    Some(program)
}

/// A mirror that serves until it is dropped.
struct Mirror {
    child: Child,
    address: String,
}

impl Mirror {
    fn start(program: &Path, folder: &Path) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        // Port 9 discards: what is not mirrored is nowhere.
        let config = format!(
            "[basic]\nhost = \"127.0.0.1\"\nport = {port}\nhf-scheme = \"http\"\nhf-netloc = \"127.0.0.1:9\"\n\
             hf-lfs-netloc = \"127.0.0.1:9\"\nmirror-scheme = \"http\"\nmirror-netloc = \"127.0.0.1:{port}\"\n\
             mirror-lfs-netloc = \"127.0.0.1:{port}\"\nrepos-path = \"./repos\"\nmirrors-path = [\"./mirrors\"]\n\n\
             [accessibility]\noffline = true\n"
        );
        std::fs::write(folder.join("olah.toml"), config).unwrap();
        let child = Command::new(program)
            .args(["--config", "olah.toml"])
            .current_dir(folder)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("olah starts");
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(60), "olah does not answer");
            std::thread::sleep(Duration::from_millis(100));
        }
        Self { child, address: format!("http://127.0.0.1:{port}") }
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn git(folder: &Path, arguments: &[&str]) {
    let mut command = Command::new("git");
    command.current_dir(folder).args(["-c", "user.name=a", "-c", "user.email=a@example.org"]);
    succeed(&command.args(arguments).output().expect("git starts"));
}

#[test]
fn a_ladder_and_a_data_set_come_from_a_mirror() {
    let Some(program) = olah() else { return };
    let bench = Bench::new();
    bench.tiny();
    let model = bench.path("mirrors/models/lab/tiny");
    std::fs::create_dir_all(&model).unwrap();
    git(&model, &["init", "--quiet", "--initial-branch", "main"]);
    for (role, name) in [("config", "config.json"), ("tokenizer", "tokenizer.json")] {
        std::fs::copy(bench.object("ladder", role), model.join(name)).unwrap();
    }
    for step in ["0", "20"] {
        let weights = std::fs::read(bench.object("ladder", &format!("step-{step}"))).unwrap();
        std::fs::write(model.join("model.safetensors"), weights).unwrap();
        git(&model, &["add", "--all"]);
        git(&model, &["commit", "--quiet", "--message", step]);
        git(&model, &["branch", &format!("step{step}")]);
    }
    let data = bench.path("mirrors/datasets/lab/cats");
    std::fs::create_dir_all(data.join("data")).unwrap();
    git(&data, &["init", "--quiet", "--initial-branch", "main"]);
    std::fs::write(data.join("data/train.jsonl"), "{\"text\": \"a\", \"label\": 0}\n").unwrap();
    git(&data, &["add", "--all"]);
    git(&data, &["commit", "--quiet", "--message", "cats"]);

    let mirror = Mirror::start(&program, &bench.path(""));
    let fetch = |arguments: &[&str]| {
        let mut command = bench.stage("fetch");
        command.env("HF_ENDPOINT", &mirror.address).env("HF_HOME", bench.path("hf")).env_remove("HF_TOKEN");
        command.args(arguments).output().expect("fetch starts")
    };
    let ladder = ["--ref", "l", "ladder", "--repository", "lab/tiny", "--matching", r"^step(?<step>\d+)$"];
    succeed(&fetch(&ladder));
    for step in ["step-0", "step-20"] {
        assert_eq!(bench.object("l", step), bench.object("ladder", step), "byte for byte");
    }
    succeed(&fetch(&["--ref", "m", "model", "lab/tiny"]));
    bench.run("finetune", &["--checkpoint", "m", "--task", "task", "--steps", "5"]);
    succeed(&fetch(&["--ref", "d", "dataset", "lab/cats", "--file", "data/*"]));
    assert_eq!(
        std::fs::read(bench.object("d", "file.data%2Ftrain.jsonl")).unwrap(),
        std::fs::read(data.join("data/train.jsonl")).unwrap()
    );
    let missing = fetch(&["model", "lab/other"]);
    assert_ne!(missing.status.code(), Some(0));
    assert!(text(&missing.stderr).contains("lab/other"), "{}", text(&missing.stderr));
    bench.assert_clean();
}
