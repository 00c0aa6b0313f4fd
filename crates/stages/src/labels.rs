//! Labels go by name: the classes of a model are matched with the labels of a task by what they are called.

use serde_json::Value;

use crate::stage::Failure;

/// A model's classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Classes {
    /// Their names, in order of their index.
    Named(Vec<String>),
    /// So many, called `LABEL_0`, `LABEL_1`, ..., which says nothing.
    Numbered(usize),
}

impl Classes {
    /// Their names, where they say something.
    pub(crate) fn names(&self) -> Option<&[String]> {
        match self {
            Self::Named(names) => Some(names),
            Self::Numbered(_) => None,
        }
    }
}

/// A model's classes, as `id2label` in its `config.json` gives them.
pub(crate) fn of_config(config: &[u8]) -> Option<Classes> {
    let config: Value = serde_json::from_slice(config).ok()?;
    let named = config.get("id2label")?.as_object()?;
    let name = |index: usize| named.get(&index.to_string())?.as_str().map(str::to_owned);
    let names: Vec<String> = (0..named.len()).map(name).collect::<Option<_>>()?;
    let is_number = |(index, name): (usize, &String)| *name == format!("LABEL_{index}");
    match names.iter().enumerate().all(is_number) {
        true if names.is_empty() => None,
        true => Some(Classes::Numbered(names.len())),
        false => Some(Classes::Named(names)),
    }
}

/// The model's class of each of the task's labels; `None` where both have one order, or the model names no classes.
///
/// # Errors
/// [`Failure::Input`] with both orders if the names are not the same ones, or there are not as many.
pub(crate) fn classes_of(model: Option<&Classes>, task: &[String]) -> Result<Option<Vec<usize>>, Failure> {
    let model = match model {
        None => return Ok(None),
        Some(Classes::Numbered(count)) if *count == task.len() => return Ok(None),
        Some(Classes::Numbered(count)) => {
            return Err(Failure::Input(format!(
                "the labels of the model and of the task differ: the model has {count} classes without names, the task \
                 {} labels, {}",
                task.len(),
                listed(task)
            )));
        }
        Some(Classes::Named(names)) => names,
    };
    let same = |a: &str, b: &str| a.trim().to_lowercase() == b.trim().to_lowercase();
    let class = |label: &String| {
        let exact = model.iter().position(|name| name == label);
        exact.or_else(|| model.iter().position(|name| same(name, label)))
    };
    let classes: Option<Vec<usize>> = task.iter().map(class).collect();
    let is_permutation = |classes: &Vec<usize>| {
        let mut sorted = classes.clone();
        sorted.sort_unstable();
        sorted.into_iter().eq(0..model.len())
    };
    match classes.filter(is_permutation) {
        Some(classes) if classes.is_sorted() => Ok(None),
        Some(classes) => Ok(Some(classes)),
        None => Err(Failure::Input(format!(
            "the labels of the model and of the task differ: the model's config.json names {}, the task {}; rename one \
             of them (`id2label` there, `labels` and `map` here)",
            listed(model),
            listed(task)
        ))),
    }
}

/// Names with their class indices.
pub(crate) fn listed(names: &[String]) -> String {
    let names: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(index, name)| format!("{index} = `{}`", name.escape_debug()))
        .collect();
    names.join(", ")
}

/// Logits `[examples, classes]` of a model as logits `[examples, labels]` of a task.
pub(crate) fn reorder(logits: Vec<f32>, classes: &[usize]) -> Vec<f32> {
    logits.chunks_exact(classes.len()).flat_map(|row| classes.iter().map(|&class| row[class])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn classes_are_matched_by_name() {
        let task = names(&["neg", "neutral", "pos"]);
        let of = |model: &[&str]| {
            classes_of(Some(&Classes::Named(names(model))), &task).map_err(|error| error.to_string())
        };
        assert_eq!(of(&["neg", "neutral", "pos"]), Ok(None));
        assert_eq!(of(&["pos", "neg", "neutral"]), Ok(Some(vec![1, 2, 0])));
        assert_eq!(of(&["POS", "NEG", "Neutral"]), Ok(Some(vec![1, 2, 0])));
        for other in [&["pos", "neg"][..], &["pos", "neg", "other"], &["neg", "neutral", "pos", "x"]] {
            let error = of(other).unwrap_err();
            assert!(error.contains("0 = `pos`") || error.contains("3 = `x`"), "{error}");
            assert!(error.contains("0 = `neg`, 1 = `neutral`, 2 = `pos`"), "{error}");
        }
        assert_eq!(classes_of(None, &task).unwrap(), None);
        assert_eq!(classes_of(Some(&Classes::Numbered(3)), &task).unwrap(), None);
        let error = classes_of(Some(&Classes::Numbered(2)), &task).unwrap_err().to_string();
        assert!(error.contains("2 classes without names, the task 3 labels, 0 = `neg`"), "{error}");
        // Row by row: the score of `neg` is that of the model's class 1.
        assert_eq!(reorder(vec![3.0, 1.0, 2.0, 6.0, 4.0, 5.0], &[1, 2, 0]), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn numbers_are_no_names() {
        let of = |text: &str| of_config(text.as_bytes());
        assert_eq!(of(r#"{"id2label": {"1": "b", "0": "a"}}"#), Some(Classes::Named(names(&["a", "b"]))));
        let numbered = of(r#"{"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}"#);
        assert_eq!(numbered, Some(Classes::Numbered(2)));
        for unnamed in [
            r#"{"id2label": {}}"#,
            r#"{"id2label": {"0": "a", "2": "b"}}"#,
            r#"{"id2label": ["a"]}"#,
            "{}",
            "no JSON",
        ] {
            assert_eq!(of(unnamed), None, "{unnamed}");
        }
    }
}
