//! A model in a folder, as transformers saves it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use weights::shards::Index;

use super::choice::{Choice, Stored};
use super::import::{self, Files};
use crate::stage::{Failure, Work};

/// A model in a folder.
#[derive(Args, Clone, Debug, Serialize)]
pub struct Folder {
    /// Folder with config.json, weights and tokenizer
    #[serde(skip)]
    pub folder: PathBuf,
    /// Read weights from a pickle file where there is nothing else; nothing in it is executed
    #[arg(long)]
    pub allow_pickle: bool,
    /// BLAKE3 of each file, by name: where the folder lies is not part of the recipe
    #[arg(skip)]
    pub files: BTreeMap<String, String>,
}

impl Folder {
    /// Hashes the files that will be read.
    pub(super) fn pin(&mut self) -> Result<(), Failure> {
        self.files = digests(&self.choose()?.0)?;
        Ok(())
    }

    pub(super) fn run(&self, work: &mut Work<'_>) -> Result<(), Failure> {
        let (files, choice) = self.choose()?;
        import::publish(work, &files, &choice)?;
        // What was published is what the key says only if nobody wrote to the folder meanwhile.
        match digests(&files)? == self.files {
            true => Ok(()),
            false => Err(Failure::Input(format!("{} changed while it was read", self.folder.display()))),
        }
    }

    /// The files to read, in the folder.
    fn choose(&self) -> Result<(Files, Choice), Failure> {
        let what = self.folder.display().to_string();
        let cannot = |error: std::io::Error| Failure::Input(format!("cannot read {what}: {error}"));
        let mut names = BTreeSet::new();
        for entry in std::fs::read_dir(&self.folder).map_err(cannot)? {
            let entry = entry.map_err(cannot)?;
            if let (true, Ok(name)) = (entry.path().is_file(), entry.file_name().into_string()) {
                names.insert(name);
            }
        }
        let choice = Choice::of(&what, &names.iter().map(String::as_str).collect(), self.allow_pickle)?;
        let mut files = Files::default();
        // A file of SentencePiece's is not read, but decides whether the model is refused: the key knows it.
        let further = [choice.weights.file()].into_iter().chain(choice.sentencepiece);
        for name in choice.description.iter().copied().chain(further) {
            files.add(name, self.folder.join(name));
        }
        if choice.weights == Stored::Sharded {
            let index = Index::parse(&files.read(choice.weights.file())?)?;
            for name in index.files() {
                if !names.contains(name) {
                    return Err(Failure::Input(format!("{what} has no {name}, though its index names it")));
                }
                files.add(name, self.folder.join(name));
            }
        }
        Ok((files, choice))
    }
}

/// BLAKE3 of each file; of the configuration that of its meaning. They are read and not mapped: they are somebody else's, who may write to them.
fn digests(files: &Files) -> Result<BTreeMap<String, String>, Failure> {
    let digest = |(name, path): (&str, &Path)| {
        if name == "config.json" {
            let config = import::described(files.object(name)?.1);
            return Ok((name.to_owned(), blake3::hash(&config).to_string()));
        }
        let reading = |source| Failure::Io { what: format!("reading {}", path.display()), source };
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(path).map_err(reading)?).map_err(reading)?;
        Ok((name.to_owned(), hasher.finalize().to_string()))
    };
    files.iter().map(digest).collect()
}
