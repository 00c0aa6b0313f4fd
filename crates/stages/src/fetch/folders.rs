//! Folders that are the rungs of a ladder, as a training script of one's own leaves them: `run0/checkpoint-500`.

use std::path::{Path, PathBuf};

use regex::Regex;

use crate::stage::Failure;

/// The folders whose paths match `pattern`, a path in which some parts are regular expressions, sorted.
///
/// # Errors
/// [`Failure::Usage`] for a part that is no regular expression, [`Failure::Input`] for a folder that cannot be read.
pub(super) fn matching(pattern: &str) -> Result<Vec<PathBuf>, Failure> {
    let (start, pattern) = match pattern.strip_prefix('/') {
        Some(rest) => (PathBuf::from("/"), rest),
        None => (PathBuf::new(), pattern),
    };
    let mut found = vec![start];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        if is_plain(part) {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        }
        let names = Regex::new(&format!("^(?:{part})$"))
            .map_err(|error| Failure::Usage(format!("--folder, in `{part}`: {error}")))?;
        let mut next = Vec::new();
        for path in found {
            next.extend(inside(&path, &names)?);
        }
        found = next;
    }
    found.retain(|path| path.is_dir());
    found.sort();
    Ok(found)
}

/// Is this part of a path the name of a folder and no expression?
fn is_plain(part: &str) -> bool {
    matches!(part, "." | "..") || !part.contains(|c: char| r"\.+*?()|[]{}^$".contains(c))
}

/// What lies in a folder under a name that matches.
fn inside(folder: &Path, names: &Regex) -> Result<Vec<PathBuf>, Failure> {
    let here = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let cannot =
        |error: std::io::Error| Failure::Input(format!("cannot read the folder {}: {error}", here.display()));
    let mut found = Vec::new();
    for entry in std::fs::read_dir(here).map_err(cannot)? {
        if let Ok(name) = entry.map_err(cannot)?.file_name().into_string()
            && names.is_match(&name)
        {
            found.push(folder.join(name));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_found_by_parts_of_their_paths() {
        let root = tempfile::tempdir().unwrap();
        for name in ["run0/checkpoint-500", "run0/checkpoint-1000", "run0/logs", "run1/checkpoint-500"] {
            std::fs::create_dir_all(root.path().join(name)).unwrap();
        }
        std::fs::write(root.path().join("run0/checkpoint-7"), "a file").unwrap();
        let found = |pattern: &str| {
            let found = matching(&format!("{}/{pattern}", root.path().display())).unwrap();
            let name = |path: &PathBuf| path.strip_prefix(root.path()).unwrap().display().to_string();
            found.iter().map(name).collect::<Vec<_>>()
        };
        assert_eq!(found(r"run0/checkpoint-(?<step>\d+)"), ["run0/checkpoint-1000", "run0/checkpoint-500"]);
        assert_eq!(found(r"run\d/./checkpoint-500"), ["run0/./checkpoint-500", "run1/./checkpoint-500"]);
        assert_eq!(found("run0/checkpoint-5"), [""; 0]);
        assert!(matching("x(/y").unwrap_err().to_string().contains("`x(`"));
        assert!(matching(r"/nowhere/at/all/\d+").unwrap_err().to_string().contains("/nowhere/at/all"));
    }
}
