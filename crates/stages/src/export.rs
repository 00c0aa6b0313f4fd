//! A result's outputs as files. A model's folder is one that transformers opens, its tokenizer too.

use std::path::Path;

use models::Config;
use store::{Manifest, Media, Store};

use crate::adapter;
use crate::stage::{Failure, Source};

/// Copies what `source` names into a folder: all outputs or, of one checkpoint among several, that one as
/// `model.safetensors` with what describes it.
///
/// # Errors
/// [`Failure::Store`] if there is no such result or output, or an object is corrupt; [`Failure::Io`] if a file cannot be
/// written.
pub(crate) fn export(store: &Store, source: &Source, folder: &Path) -> Result<(), Failure> {
    let manifest = store.resolve(&source.name)?;
    let chosen = source.role.as_deref();
    if let Some(role) = chosen {
        manifest.output(role)?;
    }
    for (role, output) in &manifest.outputs {
        let is_chosen = chosen == Some(role.as_str());
        if chosen.is_some() && !is_chosen && output.media != Media::Json {
            continue;
        }
        let bytes = store.read(&output.object)?;
        match adapter::FILES.iter().find(|(known, _)| known == role) {
            // transformers would put the adapter on top of a merged model beside it.
            Some((_, file)) => write(&folder.join("adapter"), file, &bytes)?,
            None => {
                let name = if is_chosen && output.media == Media::Safetensors { "model" } else { role };
                let extension = match output.media {
                    Media::Other => String::new(),
                    media => format!(".{}", media.extension()),
                };
                write(folder, &format!("{name}{extension}"), &bytes)?;
            }
        }
    }
    describe_tokenizer(store, &manifest, folder)
}

/// Writes `tokenizer_config.json` beside a model that has a tokenizer.
fn describe_tokenizer(store: &Store, manifest: &Manifest, folder: &Path) -> Result<(), Failure> {
    let outputs = &manifest.outputs;
    let (Some(tokenizer), Some(config)) = (outputs.get("tokenizer"), outputs.get("config")) else {
        return Ok(());
    };
    let bytes = store.read(&config.object)?;
    let config = Config::from_json(&String::from_utf8_lossy(&bytes))?;
    let longest = config.max_length(None);
    let described = tasks::tokenizer_config(&store.read(&tokenizer.object)?, config.has_segments(), longest)?;
    write(folder, "tokenizer_config.json", described.as_bytes())
}

fn write(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    let path = folder.join(name);
    let failed = |source| Failure::Io { what: format!("cannot write {}", path.display()), source };
    std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&path, bytes)).map_err(failed)
}
