//! The uniform soup of sixteen checkpoints of 90 MB, out of the store and into it: every input is verified, the
//! result hashed and synced to the disk.

use std::path::{Path, PathBuf};

use serde_json::json;
use store::{MappedObject, ObjectId, Store};
use weights::{Stored, soups};

use crate::memory::{peak_kilobytes, reset_peak};
use crate::pairs::Pairs;
use crate::rival::Rival;
use crate::step::classifier;

/// Whatever fails.
type Failure = Box<dyn std::error::Error + Send + Sync>;

const MEMBERS: u64 = 16;

/// Prints the ratio, and the largest memory that ours took.
pub(crate) fn run(rival: &mut Rival, threads: usize, turns: usize) -> Result<(), String> {
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
    Ok(())
}

fn soup(store: &Store, members: &[ObjectId]) -> Result<ObjectId, Failure> {
    let mut files = Vec::new();
    for member in members {
        let file = store.map(member)?;
        file.release();
        files.push(file);
    }
    let tensors: Vec<Stored<'_>> = files.iter().map(|file| Stored::parse(file)).collect::<Result<_, _>>()?;
    let (object, _) = store.put_stream::<Failure>(|sink| {
        soups::uniform::stream(&tensors, &mut |piece: &[u8]| -> Result<(), Failure> {
            files.iter().for_each(MappedObject::release);
            Ok(sink.write(piece)?)
        })
    })?;
    Ok(object)
}

fn file_size(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |metadata| metadata.len())
}
