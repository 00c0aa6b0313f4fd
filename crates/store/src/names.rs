//! Which names may become file names. Everything that is joined to a path of the store passes here first.

use crate::Error;

/// Longest stage name: with a key and a dash it stays well below the 255 bytes of a file name.
const STAGE_LENGTH: usize = 64;

/// Longest part of a ref name: file names end at 255 bytes and `.json` is added.
const PART_LENGTH: usize = 200;

/// A stage is a lower-case word: `finetune`, `fetch`, `path-point`.
pub(crate) fn stage(name: &str) -> Result<(), Error> {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let starts = name.bytes().next().is_some_and(|byte| byte.is_ascii_lowercase());
    if starts && name.len() <= STAGE_LENGTH && name.bytes().all(word) {
        return Ok(());
    }
    invalid("a stage", name, "a stage is up to 64 of a-z, 0-9 and -, and begins with a letter")
}

/// A role is visible ASCII that can be a file name, for outputs are exported under it: `model`, `split.val`,
/// `step-000100`.
pub(crate) fn role(name: &str) -> Result<(), Error> {
    let visible = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'/' | b'\\');
    if !name.is_empty() && name.len() <= PART_LENGTH && !name.starts_with('.') && name.bytes().all(visible) {
        return Ok(());
    }
    invalid("a role", name, "a role is up to 200 visible ASCII characters, no slash, no dot in front")
}

/// A ref is a relative path with `/` between its parts: `world/p0/ladder`.
pub(crate) fn reference(name: &str) -> Result<(), Error> {
    const WHAT: &str = "a ref";
    if name.is_empty() {
        return invalid(WHAT, name, "it is empty");
    }
    if name.starts_with('/') {
        return invalid(WHAT, name, "it is an absolute path");
    }
    for part in name.split('/') {
        if let Some(why) = unsafe_part(part) {
            return invalid(WHAT, name, why);
        }
        if part.ends_with(".json") {
            return invalid(WHAT, name, "a part ends in .json, which the store adds itself");
        }
    }
    Ok(())
}

/// A scratch file is one part of a path.
pub(crate) fn scratch(name: &str) -> Result<(), Error> {
    let why = if name.contains('/') { Some("it contains a slash") } else { unsafe_part(name) };
    why.map_or(Ok(()), |why| invalid("a scratch file", name, why))
}

/// Why a part of a path is refused. A leading dot is also what marks temporary files.
fn unsafe_part(part: &str) -> Option<&'static str> {
    if part.is_empty() {
        Some("a part of it is empty")
    } else if part.starts_with('.') {
        Some("a part of it begins with a dot")
    } else if part.contains('\\') {
        Some("it contains a backslash")
    } else if part.chars().any(char::is_control) {
        Some("it contains NUL or another control character")
    } else if part.len() > PART_LENGTH {
        Some("a part of it is longer than 200 bytes")
    } else {
        None
    }
}

fn invalid(what: &'static str, name: &str, why: &'static str) -> Result<(), Error> {
    Err(Error::InvalidName { what, name: name.to_owned(), why })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_names_pass() {
        for name in ["finetune", "fetch", "path-point", "soup2"] {
            stage(name).unwrap();
        }
        for name in ["model", "split.val", "do.cue.base", "step-000100"] {
            role(name).unwrap();
        }
        for name in ["world/p0/ladder", "a", "seed=3/x y", "é/step-000100"] {
            reference(name).unwrap();
        }
        scratch("state.safetensors").unwrap();
    }

    #[test]
    fn names_that_lie_are_refused() {
        let long = "x".repeat(201);
        for name in ["", "Finetune", "2fast", "-x", "a/b", "a.b", "..", "a b", "é", &long] {
            assert!(stage(name).is_err(), "{name}");
        }
        for name in ["", "a b", "a\n", "é", "a/b", "../a", "..", ".a", "a\\b", &long] {
            assert!(role(name).is_err(), "{name}");
        }
        let bad = [
            "", "/", "/etc", "..", "a/..", "../a", "a//b", "a/", "a\0b", "a\\b", ".a", "a/.tmp-1", "a\nb",
            &long,
        ];
        for name in bad {
            assert!(reference(name).is_err(), "{name}");
            assert!(scratch(name).is_err(), "{name}");
        }
        assert!(reference("a.json").is_err() && reference("a.json/b").is_err());
        assert!(scratch("a/b").is_err());
    }
}
