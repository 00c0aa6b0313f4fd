//! `fetch` and `gauge` with the real programs, against a hub of our own that fails as it is told.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::harness::{Bench, files, program, text};
use crate::server::{Content, Reply, Request, Server};

const FAILED: i32 = 1;
const USAGE: i32 = 2;
const INPUT: i32 = 3;

/// A stage that asks this server, in an environment of its own.
fn asking(bench: &Bench, server: &Server, stage: &str) -> Command {
    let mut command = bench.stage(stage);
    command
        .env("HF_ENDPOINT", server.address())
        .env("HF_HOME", bench.path("hf"))
        .env("HF_HUB_DOWNLOAD_TIMEOUT", "2")
        .env_remove("HF_TOKEN")
        .env_remove("HF_HUB_CACHE")
        .env_remove("HF_HUB_OFFLINE");
    command
}

fn fetch(bench: &Bench, server: &Server, arguments: &[&str]) -> String {
    let output = asking(bench, server, "fetch").args(arguments).output().expect("the program starts");
    assert!(output.status.success(), "fetch {arguments:?} failed:\n{}", text(&output.stderr));
    text(&output.stdout)
}

fn refuses(bench: &Bench, server: &Server, code: i32, arguments: &[&str]) -> String {
    let output = asking(bench, server, "fetch").args(arguments).output().expect("the program starts");
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "fetch {arguments:?} said:\n{stderr}");
    assert!(!stderr.contains("panicked") && output.stdout.is_empty(), "{stderr}");
    bench.assert_clean();
    stderr
}

/// The files of a checkpoint of [`Bench::tiny`]'s ladder, as a repository has them.
fn model_files(bench: &Bench, step: &str) -> Vec<(&'static str, Vec<u8>)> {
    let read = |role: &str| std::fs::read(bench.object("ladder", role)).expect("an object");
    vec![
        ("config.json", read("config")),
        ("model.safetensors", read(step)),
        ("tokenizer.json", read("tokenizer")),
        ("README.md", b"# a model".to_vec()),
    ]
}

fn add(content: &mut Content, repository: &str, git_ref: &str, files: &[(&str, Vec<u8>)]) -> String {
    let files: Vec<(&str, &[u8])> = files.iter().map(|(path, bytes)| (*path, bytes.as_slice())).collect();
    content.commit(repository, git_ref, &files)
}

fn hosted(bench: &Bench) -> (Content, String) {
    bench.tiny();
    let mut content = Content::default();
    let commit = add(&mut content, "models/lab/tiny", "main", &model_files(bench, "step-20"));
    (content, commit)
}

fn downloads(server: &Server) -> Vec<Request> {
    server.requests().into_iter().filter(|request| request.target.contains("/resolve/")).collect()
}

#[test]
fn a_model_of_the_hub_is_fetched_once_and_fine_tuned() {
    let bench = Bench::new();
    let (content, commit) = hosted(&bench);
    let server = Server::start(content, |_, _| None);
    let key = fetch(&bench, &server, &["--ref", "m", "model", "lab/tiny"]);
    let manifest = bench.manifest("m");
    assert_eq!(manifest["parameters"]["kind"]["model"]["commit"], commit.as_str());
    assert_eq!(
        manifest["outputs"].as_object().unwrap().keys().collect::<Vec<_>>(),
        ["config", "model", "tokenizer"]
    );
    assert_eq!(bench.object("m", "model"), bench.object("ladder", "step-20"), "byte for byte");
    let asked: Vec<String> = downloads(&server).into_iter().map(|request| request.target).collect();
    assert!(asked.len() == 3 && asked.iter().all(|target| target.contains(&commit)), "{asked:?}");

    assert_eq!(fetch(&bench, &server, &["model", "lab/tiny"]), key);
    assert_eq!(fetch(&bench, &server, &["model", "lab/tiny", "--revision", &commit]), key);
    assert_eq!(downloads(&server).len(), 3, "a commit is fetched once");
    bench.run("finetune", &["--checkpoint", "m", "--task", "task", "--steps", "5", "--ref", "run"]);

    // What is pinned is found without a network, what is not says what to do.
    let mut offline = asking(&bench, &server, "fetch");
    let output = offline
        .env("HF_HUB_OFFLINE", "1")
        .args(["model", "lab/tiny", "--revision", &commit])
        .output()
        .unwrap();
    assert_eq!(text(&output.stdout), key);
    let mut offline = asking(&bench, &server, "fetch");
    let output = offline.env("HF_HUB_OFFLINE", "1").args(["model", "lab/tiny"]).output().unwrap();
    assert_eq!(output.status.code(), Some(INPUT));
    assert!(text(&output.stderr).contains("HF_HUB_OFFLINE"), "{}", text(&output.stderr));
    bench.assert_clean();
}

#[test]
fn a_folder_and_the_hub_give_the_same_model() {
    let bench = Bench::new();
    let (content, _) = hosted(&bench);
    let server = Server::start(content, |_, _| None);
    fetch(&bench, &server, &["--ref", "m", "model", "lab/tiny"]);
    let folder = bench.path("folder");
    std::fs::create_dir(&folder).unwrap();
    for (name, bytes) in model_files(&bench, "step-20") {
        std::fs::write(folder.join(name), bytes).unwrap();
    }
    let from = folder.display().to_string();
    let key = bench.run("fetch", &["--ref", "f", "folder", &from]);
    assert_eq!(bench.manifest("f")["facts"]["contents"], bench.manifest("m")["facts"]["contents"]);
    let elsewhere = bench.path("elsewhere");
    std::fs::rename(&folder, &elsewhere).unwrap();
    assert_eq!(
        bench.run("fetch", &["folder", &elsewhere.display().to_string()]),
        key,
        "the place does not count"
    );

    // The same tensors in two shards are the same model.
    let bytes = std::fs::read(elsewhere.join("model.safetensors")).unwrap();
    let whole = weights::Weights::from_safetensors(&bytes).unwrap();
    let mut map = serde_json::Map::new();
    for (shard, half) in whole.layout().entries().chunks(whole.layout().entries().len() / 2 + 1).enumerate() {
        let file = format!("model-{shard}.safetensors");
        let mut layout = weights::Layout::default();
        for entry in half {
            layout.push(&entry.name, &entry.shape);
        }
        let mut part = weights::Weights::zeros(std::sync::Arc::new(layout));
        for entry in half {
            part.tensor_mut(&entry.name).unwrap().copy_from_slice(whole.tensor(&entry.name).unwrap());
            map.insert(entry.name.clone(), file.clone().into());
        }
        std::fs::write(elsewhere.join(file), part.to_safetensors()).unwrap();
    }
    std::fs::remove_file(elsewhere.join("model.safetensors")).unwrap();
    let index = elsewhere.join("model.safetensors.index.json");
    std::fs::write(&index, serde_json::json!({ "weight_map": map }).to_string()).unwrap();
    let from = elsewhere.display().to_string();
    bench.run("fetch", &["--ref", "s", "folder", &from]);
    assert_eq!(bench.object("s", "model"), bench.object("m", "model"));
    std::fs::remove_file(elsewhere.join("model-1.safetensors")).unwrap();
    let message = bench.fails(INPUT, "fetch", &["folder", &from]);
    assert!(message.contains("has no model-1.safetensors, though its index names it"), "{message}");
}

/// The tensors of a file that PyTorch pickled, with the names of 2019, an integer buffer and half precision.
#[test]
fn a_pickle_is_read_without_being_run() {
    let bench = Bench::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/transformers/pickle");
    let from = folder.display().to_string();
    let message = bench.fails(INPUT, "fetch", &["folder", &from]);
    assert!(message.contains("--allow-pickle"), "{message}");
    // It is read (what comes out is tested in `weights::pickle`), and found not to be the model that it says it is.
    let message = bench.fails(INPUT, "fetch", &["folder", &from, "--allow-pickle"]);
    assert!(message.contains("does not hold the model that config.json describes"), "{message}");

    // One that wants to run something runs nothing.
    let evil = bench.path("evil");
    std::fs::create_dir(&evil).unwrap();
    std::fs::copy(folder.join("config.json"), evil.join("config.json")).unwrap();
    std::fs::copy(folder.join("evil.bin"), evil.join("pytorch_model.bin")).unwrap();
    let mut command = bench.stage("fetch");
    let output = command.current_dir(&evil).args(["folder", ".", "--allow-pickle"]).output().unwrap();
    assert!(!text(&output.stderr).contains("panicked"), "{}", text(&output.stderr));
    assert!(!evil.join("executed").exists());
    bench.assert_clean();
}

/// Branches `step<n>` of a repository, each with a model that a function of its number makes.
fn ladder_of(bench: &Bench, steps: &[u64], model: impl Fn(u64) -> Vec<u8>) -> Content {
    let mut content = Content::default();
    for &step in steps {
        let mut files = model_files(bench, "step-20");
        files[1].1 = model(step);
        add(&mut content, "models/EleutherAI/pythia-1m", &format!("step{step}"), &files);
    }
    add(&mut content, "models/EleutherAI/pythia-1m", "main", &model_files(bench, "step-20"));
    content
}

/// Weights on a line: those of the tiny model and `place` in one more.
fn on_a_line(bench: &Bench) -> impl Fn(f32) -> Vec<u8> {
    let bytes = std::fs::read(bench.object("ladder", "step-20")).unwrap();
    let weights = weights::Weights::from_safetensors(&bytes).unwrap();
    move |place| {
        let mut moved = weights.clone();
        moved.values[0] = place;
        moved.to_safetensors()
    }
}

#[test]
fn a_ladder_of_the_hub_is_gauged_fine_tuned_and_reported() {
    let bench = Bench::new();
    bench.tiny();
    let mut arguments = vec!["--world", "roles", "--hidden", "16", "--batch", "8", "--steps", "400"];
    arguments.extend(["--checkpoints", "0,50,100,200,400", "--ref", "long"]);
    bench.run("pretrain", &arguments);
    let steps = [0, 50, 100, 200, 400];
    let content = ladder_of(&bench, &steps, |step| {
        std::fs::read(bench.object("long", &format!("step-{step}"))).unwrap()
    });
    let server = Server::start(content, |_, _| None);
    fetch(&bench, &server, &["--ref", "rungs", "ladder", "pythia-1m"]);
    assert_eq!(bench.manifest("rungs")["facts"]["findings"], serde_json::json!([]));
    assert_eq!(bench.object("rungs", "step-200"), bench.object("long", "step-200"));

    // A text of the world itself, so that losses fall.
    let sentences = "the kalo gobel the meru near kona\n\n".replace("the ", "").repeat(40);
    std::fs::write(bench.path("text.txt"), sentences).unwrap();
    let root = bench.path("").display().to_string();
    bench.run(
        "gauge",
        &["--ref", "ladder/0", "--ladder", "rungs", "--text", "text.txt", "--root", &root, "--seed", "0"],
    );
    let gauged = bench.manifest("ladder/0");
    assert_eq!(bench.object("ladder/0", "step-400"), bench.object("long", "step-400"));
    assert_eq!(gauged["facts"]["held_out_loss"].as_object().unwrap().len(), 5);
    let read =
        stages::rows::GaugedRow::read(&std::fs::read(bench.object("ladder/0", "ladder")).unwrap()).unwrap();
    assert_eq!(read.iter().map(|row| row.step).collect::<Vec<_>>(), steps);
    assert_eq!(read[1].tokens, 50 * 2_097_152);
    assert!(read.iter().all(|row| row.held_out_loss.is_finite() && row.to_go.is_some()));

    let mut names = Vec::new();
    for step in ["0", "400"] {
        for seed in ["0", "1"] {
            let (checkpoint, run) = (format!("ladder/0:step-{step}"), format!("run/{step}.{seed}"));
            let arguments = [
                "--checkpoint",
                &checkpoint,
                "--task",
                "task",
                "--steps",
                "5",
                "--seed",
                seed,
                "--ref",
                &run,
            ];
            bench.run("finetune", &arguments);
            let scores = format!("scores/{step}.{seed}");
            bench.run("evaluate", &["--model", &run, "--task", "task", "--ref", &scores]);
            names.extend([run, scores]);
        }
    }
    names.push("ladder/0".into());
    let out = bench.path("out").display().to_string();
    let mut arguments = vec!["--out", &out, "--input"];
    arguments.extend(names.iter().map(String::as_str));
    bench.run("report", &arguments);
    let table = std::fs::read(bench.path("out/tables/ladder.parquet")).unwrap();
    let losses = stages::rows::LossPoint::read(&table).unwrap();
    assert_eq!(losses.len(), 5);
    let message = bench.fails(INPUT, "gauge", &["--ladder", "task", "--text", "text.txt", "--root", &root]);
    assert!(message.contains("no checkpoints"), "{message}");
}

/// As Pythia 2.8b was published: 154 names, 68 different models.
#[test]
fn a_ladder_of_copies_is_refused_with_its_duplicates_named() {
    let bench = Bench::new();
    bench.tiny();
    let mut steps: Vec<u64> = (0..10).map(|power| 1 << power).collect();
    steps.insert(0, 0);
    steps.extend((1..=143).map(|thousand| 1_000 * thousand));
    assert_eq!(steps.len(), 154);
    let model = on_a_line(&bench);
    let place = |step: u64| steps.iter().position(|&known| known == step).unwrap() % 68;
    let content = ladder_of(&bench, &steps, |step| model(place(step) as f32));
    let server = Server::start(content, |_, _| None);
    let message = refuses(&bench, &server, INPUT, &["ladder", "pythia-1m"]);
    assert!(message.contains("these 154 rungs are 68 different models"), "{message}");
    assert!(message.contains("one and the same model: step0, step58000, step126000\n"), "{message}");
    assert_eq!(message.matches("one and the same model").count(), 68, "{message}");
    assert!(downloads(&server).is_empty(), "what lists tell is not downloaded");
    assert!(bench.results().keys().all(|name| !name.contains("fetch")), "nothing is published");

    // Copies that are listed under other digests are found by what they hold.
    let again = |step: u64| {
        let weights = weights::Weights::from_safetensors(&model(1.0)).unwrap().to_safetensors();
        let end = 8 + u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
        // A header with another number of spaces at its end.
        let length = (end as u64 - 8 + 8 * (step + 1)).to_le_bytes();
        [&length[..], &weights[8..end], &vec![b' '; 8 * (step as usize + 1)], &weights[end..]].concat()
    };
    let server = Server::start(ladder_of(&bench, &[1, 2, 4], again), |_, _| None);
    let message = refuses(&bench, &server, INPUT, &["ladder", "pythia-1m"]);
    assert!(message.contains("these 3 rungs are 1 different models"), "{message}");
    assert!(message.contains("one and the same model: step1, step2, step4"), "{message}");
    fetch(&bench, &server, &["--ref", "copies", "ladder", "pythia-1m", "--allow-duplicates"]);
    let findings = bench.manifest("copies")["facts"]["findings"].clone();
    assert_eq!(findings[0]["finding"], "duplicates", "{findings}");
}

#[test]
fn holes_strays_and_strangers_are_named() {
    let bench = Bench::new();
    bench.tiny();
    let model = on_a_line(&bench);
    let steps = [1_000, 2_000, 3_000, 5_000, 6_000, 7_000];
    let content =
        ladder_of(&bench, &steps, |step| model(if step == 3_000 { 900.0 } else { step as f32 / 100.0 }));
    let server = Server::start(content, |_, _| None);
    let mut command = asking(&bench, &server, "fetch");
    let output = command.args(["--ref", "l", "ladder", "pythia-1m"]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let findings = bench.manifest("l")["facts"]["findings"].clone();
    let kinds: Vec<&str> =
        findings.as_array().unwrap().iter().map(|f| f["finding"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["hole", "stray"], "{findings}");
    assert_eq!((&findings[0]["after"], &findings[1]["name"]), (&3_000.into(), &"step3000".into()));

    let message = refuses(&bench, &server, INPUT, &["ladder", "pythia-1m", "--rungs", "1000,4000"]);
    assert!(message.contains("no rung at step 4000; there are 6 rungs: 1000, 2000, 3000, 5000"), "{message}");
    let message = refuses(&bench, &server, USAGE, &["ladder", "pythium"]);
    assert!(message.contains("known are multiberts:"), "{message}");
    let own = ["ladder", "--repository", "EleutherAI/pythia-1m", "--matching", r"^step(?<step>[12]000)$"];
    fetch(&bench, &server, &[&["--ref", "own"], own.as_slice()].concat());
    assert!(bench.manifest("own")["outputs"].get("step-2000").is_some());

    // A rung whose weights are not those of its configuration.
    let mut content = ladder_of(&bench, &[1, 2], |step| model(step as f32));
    let mut files = model_files(&bench, "step-20");
    files[0].1 = String::from_utf8(files[0].1.clone())
        .unwrap()
        .replace("\"hidden_size\": 16", "\"hidden_size\": 24")
        .into();
    files[1].1 = model(4.0);
    add(&mut content, "models/EleutherAI/pythia-1m", "step4", &files);
    let server = Server::start(content, |_, _| None);
    let message = refuses(&bench, &server, INPUT, &["ladder", "pythia-1m"]);
    assert!(
        message.contains("rung step4: model.safetensors does not hold the model that config.json describes"),
        "{message}"
    );
}

#[test]
fn files_that_lie_are_never_published() {
    let bench = Bench::new();
    bench.tiny();
    let good = model_files(&bench, "step-20");
    let mut nan = weights::Weights::from_safetensors(&good[1].1).unwrap();
    nan.values[5] = f32::NAN;
    let cut = good[1].1[..good[1].1.len() - 3].to_vec();
    let long_header = [&u64::MAX.to_le_bytes()[..], &good[1].1[8..]].concat();
    for (index, bytes, words) in [
        (0, b"{\"model_type\": ".to_vec(), "config.json is not a JSON object"),
        (0, b"[1]".to_vec(), "config.json is not a JSON object"),
        (1, cut, "not a safetensors file"),
        (1, long_header, "not a safetensors file"),
        (1, nan.to_safetensors(), "holds NaN at index"),
        (2, good[2].1[..good[2].1.len() / 2].to_vec(), "the tokenizer cannot be used"),
    ] {
        let mut files = good.clone();
        files[index].1 = bytes;
        let mut content = Content::default();
        add(&mut content, "models/lab/liar", "main", &files);
        let server = Server::start(content, |_, _| None);
        let message = refuses(&bench, &server, INPUT, &["--ref", "liar", "model", "lab/liar"]);
        assert!(message.contains(words), "expected `{words}` in:\n{message}");
        assert!(!bench.store().join("refs/liar.json").exists());
    }
    let mut content = Content::default();
    add(&mut content, "models/lab/none", "main", &good[..1]);
    let server = Server::start(content, |_, _| None);
    let message = refuses(&bench, &server, INPUT, &["model", "lab/none"]);
    assert!(message.contains("neither model.safetensors nor pytorch_model.bin"), "{message}");
    let message = refuses(&bench, &server, INPUT, &["model", "lab/nobody"]);
    assert!(message.contains("lab/nobody") && message.contains("no such thing"), "{message}");
    let message = refuses(&bench, &server, USAGE, &["model", "../../etc"]);
    assert!(message.contains("is not a repository"), "{message}");
}

#[test]
fn nothing_is_written_outside_of_the_store() {
    let bench = Bench::new();
    let (content, _) = hosted(&bench);
    let before = files(&bench.path("")).len();
    for path in ["../../escaped", "/tmp/samebasin-escaped", "a/../../escaped", "..\\\\escaped"] {
        let listing = format!(
            r#"[{{"type":"file","oid":"ce013625030ba8dba906f756967f9e9ca394464a","size":6,"path":"{path}"}}]"#
        );
        let server = Server::start(content.clone(), move |request, _| {
            request.target.contains("/tree/").then(|| Reply::new(200, listing.clone()))
        });
        let message = refuses(&bench, &server, INPUT, &["model", "lab/tiny"]);
        assert!(message.contains("files are refused") && message.contains("escaped"), "{message}");
    }
    assert!(!Path::new("/tmp/samebasin-escaped").exists());
    let now: Vec<PathBuf> = files(&bench.path(""));
    let outside: Vec<&PathBuf> = now.iter().filter(|path| !path.starts_with(bench.store())).collect();
    assert!(outside.is_empty() && now.len() <= before + 10, "{outside:?}");
}

/// A server that takes its time over the weights.
fn slow(content: Content) -> Server {
    Server::start(content.clone(), move |request, _| {
        let mut reply = content.answer(request);
        if request.target.ends_with("model.safetensors") {
            reply.silence = Duration::from_millis(700);
        }
        Some(reply)
    })
}

#[test]
fn a_killed_fetch_goes_on_where_it_was() {
    let bench = Bench::new();
    let (content, _) = hosted(&bench);
    let server = slow(content);
    for milliseconds in [5, 60, 250, 450] {
        let mut child = asking(&bench, &server, "fetch")
            .args(["--ref", "m", "model", "lab/tiny"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        std::thread::sleep(Duration::from_millis(milliseconds));
        child.kill().expect("it runs");
        child.wait().expect("it ends");
        assert!(!bench.store().join("refs/m.json").exists(), "nothing is published before it is whole");
        bench.assert_clean();
    }
    fetch(&bench, &server, &["--ref", "m", "model", "lab/tiny"]);
    assert_eq!(bench.object("m", "model"), bench.object("ladder", "step-20"));
    let resumed = downloads(&server).into_iter().any(|request| request.from.is_some());
    assert!(resumed, "half of the file had arrived before the last kill");
    bench.assert_clean();
}

#[test]
fn two_at_once_download_once() {
    let bench = Bench::new();
    let (content, _) = hosted(&bench);
    let server = slow(content);
    let start = || {
        asking(&bench, &server, "fetch").args(["model", "lab/tiny"]).stdout(Stdio::piped()).spawn().unwrap()
    };
    let both = [start(), start()].map(|child| child.wait_with_output().unwrap());
    assert!(both.iter().all(|output| output.status.success()));
    assert_eq!(both[0].stdout, both[1].stdout);
    assert_eq!(downloads(&server).len(), 3);
}

#[test]
fn a_hub_that_is_down_is_a_failure_and_not_an_input() {
    let bench = Bench::new();
    let (content, _) = hosted(&bench);
    let server = Server::start(content, |request, _| {
        request.target.contains("/resolve/").then(|| Reply::new(503, "busy").header("Retry-After", "0"))
    });
    let message = refuses(&bench, &server, FAILED, &["model", "lab/tiny"]);
    assert!(message.contains("503") && message.contains("run it again"), "{message}");
}

/// The cache that `huggingface_hub` keeps: read, verified, never written.
#[test]
fn a_cache_is_read_offline() {
    let bench = Bench::new();
    let (content, commit) = hosted(&bench);
    let repository = bench.path("hf/hub/models--lab--tiny");
    let snapshot = repository.join("snapshots").join(&commit);
    for folder in [repository.join("refs"), repository.join("blobs"), snapshot.clone()] {
        std::fs::create_dir_all(folder).unwrap();
    }
    std::fs::write(repository.join("refs/main"), &commit).unwrap();
    let hosted =
        content.files.iter().filter(|((known, at, _), _)| known == "models/lab/tiny" && *at == commit);
    for ((.., path), file) in hosted {
        use sha1::Digest as _;
        let mut hash = sha1::Sha1::new_with_prefix(format!("blob {}\0", file.bytes.len()));
        hash.update(&file.bytes);
        let digits: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        std::fs::write(repository.join("blobs").join(&digits), &file.bytes).unwrap();
        std::os::unix::fs::symlink(format!("../../blobs/{digits}"), snapshot.join(path)).unwrap();
    }
    let offline = |bench: &Bench| {
        let mut command = program("fetch");
        command.arg("--store").arg(bench.store()).args(["--quiet", "--ref", "c", "model", "lab/tiny"]);
        command.env("HF_HOME", bench.path("hf")).env("HF_HUB_OFFLINE", "1").env_remove("HF_HUB_CACHE");
        command.output().expect("the program starts")
    };
    let blob = std::fs::canonicalize(snapshot.join("model.safetensors")).unwrap();
    let whole = std::fs::read(&blob).unwrap();
    let mut flipped = whole.clone();
    flipped[1_000] ^= 1;
    std::fs::write(&blob, flipped).unwrap();
    let output = offline(&bench);
    assert_eq!(output.status.code(), Some(INPUT));
    assert!(text(&output.stderr).contains("git blob"), "{}", text(&output.stderr));
    std::fs::write(&blob, whole).unwrap();
    let output = offline(&bench);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(bench.object("c", "model"), bench.object("ladder", "step-20"));
}

#[test]
fn a_data_set_of_the_hub_becomes_a_task() {
    let bench = Bench::new();
    let rows = |from: usize| -> Vec<u8> {
        (from..from + 40)
            .map(|i| format!("{{\"text\": \"cat {i}\", \"label\": {}}}\n", i % 2))
            .collect::<String>()
            .into()
    };
    let mut content = Content::default();
    let files =
        [("data/train.jsonl", rows(0)), ("data/dev.jsonl", rows(100)), ("run.py", b"print()".to_vec())];
    add(&mut content, "datasets/lab/cats", "main", &files);
    let server = Server::start(content, |_, _| None);
    fetch(&bench, &server, &["--ref", "cats", "dataset", "lab/cats", "--file", "data/*.jsonl"]);
    let spec = bench.path("cats.toml");
    let part = |name: &str, file: &str| {
        format!(
            "[{name}]\nfile = \"data/{file}.jsonl\"\ntext = \"text\"\nlabel = \"label\"\nmap = {{ 0 = \"no\", 1 = \"yes\" }}\n"
        )
    };
    let text = format!(
        "name = \"cats\"\nlabels = [\"no\", \"yes\"]\n{}{}",
        part("train", "train"),
        part("val", "dev")
    );
    std::fs::write(&spec, &text).unwrap();
    let spec_path = spec.display().to_string();
    bench.run("prepare", &["--ref", "t", "table", &spec_path, "--data", "cats"]);
    let manifest = bench.manifest("t");
    assert_eq!(manifest["inputs"].as_object().unwrap().len(), 2, "the files' history is in the key");
    assert_eq!(manifest["facts"]["examples"]["train"], 40);
    std::fs::write(&spec, text.replace("data/dev", "data/test")).unwrap();
    let message = bench.fails(INPUT, "prepare", &["table", &spec_path, "--data", "cats"]);
    assert!(message.contains("test.jsonl") && message.contains("dev.jsonl"), "{message}");
    let message = refuses(&bench, &server, INPUT, &["dataset", "lab/cats", "--file", "*.parquet"]);
    assert!(message.contains("no file `*.parquet`; it has 3 files: data/dev.jsonl"), "{message}");
}
