//! The uniform soup of sixteen checkpoints of 90 MB, out of the store and into it: every input is verified, the
//! result hashed and synced to the disk. In this process beside one that runs, and as commands, as a Makefile has them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use serde_json::json;
use store::{MappedObject, ObjectId, Store};
use weights::soups::uniform;
use weights::{Members, Plan, Stored};

use crate::memory::{peak_kilobytes, reset_peak};
use crate::pairs::Pairs;
use crate::rival::Rival;
use crate::step::classifier;

/// Whatever fails.
type Failure = Box<dyn std::error::Error + Send + Sync>;

const MEMBERS: u64 = 16;

/// Prints the ratio, and the largest memory that ours took.
pub(crate) fn run(rival: &mut Rival, python: &Path, threads: usize, turns: usize) -> Result<(), String> {
    let here = std::env::current_dir().map_err(|error| error.to_string())?;
    let folder = tempfile::tempdir_in(here).map_err(|error| error.to_string())?;
    let store = Store::open(folder.path()).map_err(|error| error.to_string())?;
    // Width and layers of all-MiniLM-L6-v2: 22.7 million parameters.
    let model = classifier(384, 6, 12, models::Precision::F32);
    let mut members = Vec::new();
    for seed in 0..MEMBERS {
        members.push(store.put(&model.init(seed).to_safetensors()).map_err(|error| error.to_string())?);
    }
    let files: Vec<PathBuf> =
        members.iter().map(|member| folder.path().join("objects").join(member.to_string())).collect();
    let out = folder.path().join("mean.safetensors");
    let config = model.config().to_json(model.head(), &[]);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().map_err(|e| e.to_string())?;
    let mut peak = 0;
    let size = file_size(&files[0]) / 1_000_000;
    for (work, says) in [("soup", "state-dict loop"), ("mergekit", "mergekit linear")] {
        let name = format!("soup of {MEMBERS} x {size} MB, {threads} thread(s), {says}");
        let setup = json!({ "work": work, "threads": threads, "files": files, "out": out, "config": config });
        let average = || {
            reset_peak();
            pool.install(|| soup(&store, &members)).expect("a soup of good files");
            peak = peak.max(peak_kilobytes("self"));
        };
        match rival.prepare(&setup).and_then(|()| Pairs::take(turns, 1, average, |n| rival.run(n))) {
            Ok(pairs) => println!("{}", pairs.line(&name)),
            Err(why) => println!("{name:<58} {why}"),
        }
    }
    println!("largest memory of this process during the soup: {} MB", peak / 1024);
    commands(python, threads, turns)
}

/// `samebasin-soup` of sixteen runs, and `mergekit-yaml` of their files.
fn commands(python: &Path, threads: usize, turns: usize) -> Result<(), String> {
    let here = std::env::current_dir().map_err(|error| error.to_string())?;
    let folder = tempfile::tempdir_in(here).map_err(|error| error.to_string())?;
    let stage = |program: &str, arguments: &[&str]| {
        let status = Command::new(program)
            .args(["--quiet", "--threads", &threads.to_string(), "--store"])
            .arg(folder.path())
            .args(arguments)
            .stdout(Stdio::null())
            .status();
        assert!(status.is_ok_and(|status| status.success()), "{program} {arguments:?} failed");
    };
    // An encoder of twelve layers of 384: 21 million parameters without a real vocabulary.
    stage(env!("CARGO_BIN_EXE_samebasin-prepare"), &["--ref", "task", "roles"]);
    let shape = "--ref ladder --world roles --steps 0 --checkpoints 0 --hidden 384 --layers 12 --heads 12";
    stage(env!("CARGO_BIN_EXE_samebasin-pretrain"), &shape.split(' ').collect::<Vec<_>>());
    let mut names = Vec::new();
    for seed in 0..MEMBERS {
        let run = format!("--ref {seed} --checkpoint ladder:step-0 --task task --steps 1 --seed {seed}");
        stage(env!("CARGO_BIN_EXE_samebasin-finetune"), &run.split(' ').collect::<Vec<_>>());
        names.push(seed.to_string());
    }
    let config = mergekit_config(folder.path(), &names).map_err(|error| error.to_string())?;
    let mergekit = python.with_file_name("mergekit-yaml");
    let ours = || {
        // Another order is another result, so that nothing is found in the store.
        names.rotate_left(1);
        let mut arguments = vec!["--task", "task", "--method", "uniform", "--keep-failed"];
        arguments.extend(names.iter().flat_map(|name| ["--model", name]));
        stage(env!("CARGO_BIN_EXE_samebasin-soup"), &arguments);
    };
    let theirs = |n: usize| {
        let started = Instant::now();
        for _ in 0..n {
            let status = Command::new(&mergekit)
                .arg(&config)
                .arg(folder.path().join("merged"))
                .args(["--no-copy-tokenizer", "--no-write-model-card", "--quiet"])
                .env("OMP_NUM_THREADS", threads.to_string())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status();
            match status {
                Ok(status) if status.success() => {}
                other => return Err(format!("{} ended with {other:?}", mergekit.display())),
            }
        }
        Ok(1e3 * started.elapsed().as_secs_f64() / n as f64)
    };
    let name = format!("soup of {MEMBERS} x 86 MB, {threads} thread(s), commands");
    match Pairs::take(turns, 1, ours, theirs) {
        Ok(pairs) => println!("{}", pairs.line(&name)),
        Err(why) => println!("{name:<58} {why}"),
    }
    Ok(())
}

/// Lays out the runs of these names as mergekit takes models, and says where it reads of them.
fn mergekit_config(store: &Path, names: &[String]) -> Result<PathBuf, Failure> {
    let mut models = Vec::new();
    for name in names {
        let text = std::fs::read_to_string(store.join("refs").join(name).with_extension("json"))?;
        let manifest: serde_json::Value = serde_json::from_str(&text)?;
        let model = store.join(format!("mergekit.{name}"));
        std::fs::create_dir(&model)?;
        for (output, file) in [("model", "model.safetensors"), ("config", "config.json")] {
            let object = manifest["outputs"][output]["object"].as_str().ok_or("a run without a model")?;
            std::os::unix::fs::symlink(store.join("objects").join(object), model.join(file))?;
        }
        models.push(json!({ "model": model, "parameters": { "weight": 1.0 } }));
    }
    let config = store.join("mergekit.json");
    let merge = json!({ "merge_method": "linear", "models": models, "dtype": "float32" });
    std::fs::write(&config, merge.to_string())?;
    Ok(config)
}

fn soup(store: &Store, members: &[ObjectId]) -> Result<ObjectId, Failure> {
    let mut files = Vec::new();
    for member in members {
        let file = store.map(member)?;
        file.release();
        files.push(file);
    }
    let tensors: Vec<Stored<'_>> = files.iter().map(|file| Stored::parse(file)).collect::<Result<_, _>>()?;
    let first = tensors.first().ok_or("no members")?;
    let members = Members::of_files(&tensors, &Arc::new(first.layout().clone()))?;
    let (object, _) = store.put_stream::<Failure>(|sink| {
        uniform::METHOD.stream(&members, &Plan::default(), &mut |piece: &[u8]| -> Result<(), Failure> {
            files.iter().for_each(MappedObject::release);
            Ok(sink.write(piece)?)
        })
    })?;
    Ok(object)
}

fn file_size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}
