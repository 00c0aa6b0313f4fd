//! A result's outputs as files. A model's folder is one that transformers opens, its tokenizer too.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use models::Config;
use store::{Manifest, Media, Store};

use crate::adapter;
use crate::delivery::{Delivery, first_stranger};
use crate::stage::{Failure, Source};

/// Copies what `source` names into a folder: all outputs or, of one checkpoint among several, that one as
/// `model.safetensors` with what describes it.
///
/// The folder is written beside its place and then renamed, so that at no time there is half a model under its name. One
/// that an earlier export wrote is replaced as a whole.
///
/// # Errors
/// [`Failure::Store`] if there is no such result or output, or an object is corrupt; [`Failure::Usage`] for a folder that
/// holds something else; [`Failure::Io`] if a file cannot be written.
pub(crate) fn export(store: &Store, source: &Source, folder: &Path) -> Result<(), Failure> {
    let manifest = store.resolve(&source.name)?;
    let chosen = source.role.as_deref();
    if let Some(role) = chosen {
        manifest.output(role)?;
    }
    if folder.exists()
        && let Some(stranger) = first_stranger(folder)?
    {
        return Err(Failure::Usage(format!(
            "{} holds `{stranger}`, which no export wrote: choose another folder",
            folder.display()
        )));
    }
    let cannot = |source| Failure::Io { what: format!("cannot write {}", folder.display()), source };
    match beside(folder) {
        Some((partial, old)) => {
            write(store, &manifest, chosen, &partial)?;
            match take_place(&partial, folder, &old) {
                Err(error) if is_mounted(&error) => {
                    write(store, &manifest, chosen, folder)?;
                    fs::remove_dir_all(&partial).map_err(cannot)
                }
                other => other.map_err(cannot),
            }
        }
        // Where nothing can be put beside it: one whole file after the other.
        None => write(store, &manifest, chosen, folder),
    }
}

/// Is this a folder that cannot be renamed, because another file system begins there?
fn is_mounted(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ResourceBusy | io::ErrorKind::CrossesDevices)
}

/// Where a folder is written, and where the one before it goes; `None` where its own folder cannot be written to.
fn beside(folder: &Path) -> Option<(PathBuf, PathBuf)> {
    let place = fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned());
    let name = place.file_name()?.to_string_lossy().into_owned();
    let partial = place.with_file_name(format!(".{name}.partial"));
    fs::create_dir_all(&partial).ok()?;
    Some((partial, place.with_file_name(format!(".{name}.old"))))
}

/// Puts a whole folder in the place of another, if there is one.
fn take_place(partial: &Path, folder: &Path, old: &Path) -> io::Result<()> {
    let remove = |path: &Path| match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    };
    if let Ok(place) = fs::canonicalize(folder) {
        remove(old)?;
        fs::rename(&place, old)?;
        fs::rename(partial, place)?;
    } else {
        fs::rename(partial, folder)?;
    }
    remove(old)
}

fn write(store: &Store, manifest: &Manifest, chosen: Option<&str>, folder: &Path) -> Result<(), Failure> {
    let mut delivery = Delivery::begin(folder)?;
    for (role, output) in &manifest.outputs {
        let is_chosen = chosen == Some(role.as_str());
        if chosen.is_some() && !is_chosen && output.media != Media::Json {
            continue;
        }
        let bytes = store.map(&output.object)?;
        match adapter::FILES.iter().find(|(known, _)| known == role) {
            // transformers would put the adapter on top of a merged model beside it.
            Some((_, file)) => delivery.write(&format!("adapter/{file}"), &bytes)?,
            None => {
                let name = if is_chosen && output.media == Media::Safetensors { "model" } else { role };
                let extension = match output.media {
                    Media::Other => String::new(),
                    media => format!(".{}", media.extension()),
                };
                delivery.write(&format!("{name}{extension}"), &bytes)?;
            }
        }
    }
    if let Some(described) = described_tokenizer(store, manifest)? {
        delivery.write("tokenizer_config.json", described.as_bytes())?;
    }
    delivery.end()
}

/// The `tokenizer_config.json` of a model that has a tokenizer.
fn described_tokenizer(store: &Store, manifest: &Manifest) -> Result<Option<String>, Failure> {
    let outputs = &manifest.outputs;
    let (Some(tokenizer), Some(config)) = (outputs.get("tokenizer"), outputs.get("config")) else {
        return Ok(None);
    };
    let bytes = store.read(&config.object)?;
    let config = Config::from_json(&String::from_utf8_lossy(&bytes))?;
    let longest = config.max_length(None);
    Ok(Some(tasks::tokenizer_config(&store.read(&tokenizer.object)?, config.has_segments(), longest)?))
}
