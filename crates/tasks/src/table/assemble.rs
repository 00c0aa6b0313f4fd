//! From files to a task.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use random::Stream;

use super::format::File;
use super::{Generator, Part, Sample, Spec};
use crate::{Content, Error, Examples, Intervention, Metric, Task, hans};

/// A task from files, and what its splits share with its training set.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The task.
    pub task: Task,
    /// For each split, how many of its examples have the text (or both texts) of a training example, but for case and
    /// white space.
    pub overlap: BTreeMap<String, u64>,
}

impl Spec {
    /// Reads the task from files below `root`.
    ///
    /// # Errors
    /// [`Error::File`] naming the file, the line and what is wrong with it; [`Error::Examples`] if the parts do not fit
    /// together.
    pub fn read(&self, root: &Path) -> Result<Prepared, Error> {
        self.read_with(|name| {
            let reason = |error: std::io::Error| format!("cannot be read: {error}");
            let wrong = |error| Error::File { file: name.into(), line: None, reason: reason(error) };
            std::fs::read(root.join(name)).map_err(wrong)
        })
    }

    /// Reads the task from the bytes that `fetch` gives for the name of a file.
    ///
    /// # Errors
    /// As [`Spec::read`], and those of `fetch`.
    pub fn read_with<E: From<Error>>(
        &self,
        fetch: impl Fn(&str) -> Result<Vec<u8>, E>,
    ) -> Result<Prepared, E> {
        let mut files = BTreeMap::new();
        for name in self.files() {
            let bytes = fetch(&name)?;
            files.insert(name, bytes);
        }
        let read = |part: &Part| part.read(&files[&part.file], &self.labels, self.metric);
        let mut splits = BTreeMap::from([("val".to_owned(), read(&self.val)?)]);
        let mut pools = BTreeMap::new();
        for (name, part) in &self.split {
            let wrong = |reason| Error::Specification { reason: format!("[split.{name}]: {reason}") };
            let pool = part.pool(&self.labels).map_err(wrong)?;
            let labels = pool.as_ref().map_or(&self.labels, |pool| &pool.labels);
            splits.insert(name.clone(), part.read(&files[&part.file], labels, self.metric)?);
            pools.extend(pool.map(|pool| (name.clone(), pool)));
        }
        for (name, generated) in &self.generated {
            let wrong = |reason| Error::Specification { reason: format!("[generated.{name}]: {reason}") };
            let pool = generated.pool(&self.labels).map_err(wrong)?;
            let (per_case, seed) = (generated.per_case, generated.seed);
            let examples = match generated.generator {
                Generator::Hans => hans::examples(&hans::Params { per_case, seed })?,
            };
            splits.insert(name.clone(), examples);
            pools.extend(pool.map(|pool| (name.clone(), pool)));
        }
        let mut interventions = BTreeMap::new();
        for (name, pair) in &self.interventions {
            let sides = Intervention { name: name.clone(), base: read(&pair.base)?, done: read(&pair.done)? };
            interventions.insert(name.clone(), sides);
        }
        let train = read(&self.train)?;
        let (name, labels) = (self.name.clone(), self.labels.clone());
        let (form, metric) = (self.form, self.metric);
        let task = Task { name, labels, form, metric, train, splits, pools, interventions };
        task.check()?;
        let known: BTreeSet<String> = fingerprints(&task.train).collect();
        let shared = |split| fingerprints(split).filter(|text| known.contains(text)).count() as u64;
        let overlap = task.splits.iter().map(|(name, split)| (name.clone(), shared(split))).collect();
        Ok(Prepared { task, overlap })
    }
}

impl Part {
    fn read(&self, bytes: &[u8], labels: &[String], metric: Metric) -> Result<Examples, Error> {
        let file = File { name: &self.file, bytes, header: self.columns.as_deref() };
        let mut chosen = vec![self.text.as_str()];
        chosen.extend(self.label.as_deref());
        chosen.extend(self.text_b.as_deref());
        chosen.extend(self.id.as_deref());
        chosen.extend(self.case.as_deref());
        let format = self.format().map_err(|reason| Error::Specification { reason })?;
        let rows = file.read(format, &chosen)?;

        let mut examples: Vec<Example> = Vec::new();
        for (cells, line) in rows.cells.into_iter().zip(rows.lines) {
            let mut cells = cells.into_iter();
            let mut next = || cells.next().unwrap_or_default();
            let text = next();
            let label = match self.label {
                Some(_) => {
                    let label = self.label(&next(), labels, metric);
                    let Some(label) = label.map_err(|reason| file.wrong(Some(line), reason))? else {
                        continue;
                    };
                    Some(label)
                }
                None => None,
            };
            let text_b = self.text_b.as_ref().map(|_| next());
            let id = self.id.as_ref().map_or_else(|| line.to_string(), |_| next());
            let (text, text_b, label) = match label {
                Some(label) => (text, text_b, label),
                None => sides(text, text_b, &id),
            };
            let case =
                self.case.as_ref().map_or_else(|| self.case_value.clone().unwrap_or_default(), |_| next());
            examples.push(Example { id, text, text_b, label, case });
        }
        if let Some(sample) = self.sample {
            examples = sample.of(examples).map_err(|reason| file.wrong(None, reason))?;
        }
        if examples.is_empty() {
            return Err(file.wrong(None, "`drop` leaves no row"));
        }
        Ok(columns(examples, self.text_b.is_some()))
    }
}

/// The texts of a pair whose first is preferred, and the label of that one. A coin that depends on the example's name says
/// which is told first: if it were always the same, a model need not read to be right.
fn sides(preferred: String, other: Option<String>, id: &str) -> (String, Option<String>, u32) {
    match Stream::new(0, &format!("table/sides/{id}")).bernoulli(0.5) {
        true => (other.unwrap_or_default(), Some(preferred), 1),
        false => (preferred, other, 0),
    }
}

/// A row of a file, understood.
#[derive(Clone)]
struct Example {
    id: String,
    text: String,
    text_b: Option<String>,
    label: u32,
    case: String,
}

fn columns(examples: Vec<Example>, pairs: bool) -> Examples {
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let (mut ids, mut labels, mut cases) = (Vec::new(), Vec::new(), Vec::new());
    for example in examples {
        ids.push(example.id);
        first.push(example.text);
        second.extend(example.text_b);
        labels.push(example.label);
        cases.push(example.case);
    }
    Examples { ids, content: Content::Text { first, second: pairs.then_some(second) }, labels, cases }
}

impl Sample {
    /// The sampled rows, in the order of the file.
    fn of<T>(self, rows: Vec<T>) -> Result<Vec<T>, String> {
        let wanted = self.skip.checked_add(self.take).filter(|&wanted| wanted <= rows.len());
        let Some(wanted) = wanted else {
            return Err(format!(
                "`sample` skips {} and takes {} of {} rows",
                self.skip,
                self.take,
                rows.len()
            ));
        };
        let mut order: Vec<usize> = (0..rows.len()).collect();
        Stream::new(self.seed, "table/sample").shuffle(&mut order);
        let mut chosen = vec![false; rows.len()];
        for &row in &order[self.skip..wanted] {
            chosen[row] = true;
        }
        Ok(rows.into_iter().zip(chosen).filter_map(|(row, chosen)| chosen.then_some(row)).collect())
    }
}

/// What two examples share if their texts are the same but for case and white space.
fn fingerprints(examples: &Examples) -> impl Iterator<Item = String> {
    let normal = |text: &str| text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" ");
    let (first, second) = match &examples.content {
        Content::Text { first, second } => (first.as_slice(), second.as_deref()),
        Content::Dense { .. } => (&[][..], None),
    };
    // No normal text holds a tab.
    first.iter().enumerate().map(move |(index, text)| match second {
        Some(second) => format!("{}\t{}", normal(text), normal(&second[index])),
        None => normal(text),
    })
}

#[cfg(test)]
mod tests {
    use super::super::spec::tests::SPEC;
    use super::*;

    const TRAIN: &str = "{\"a\": \"The  cat\", \"y\": 1}\n{\"a\": \"a dog\", \"y\": 0}\n";
    const VAL: &str = "y\ta\nno\tone\nyes\ttwo\nno\tthe CAT\nyes\tfour\n";

    fn prepared(spec: &str, train: &str, val: &str) -> Result<Prepared, String> {
        let fetch =
            |name: &str| Ok::<_, Error>(if name == "train.jsonl" { train } else { val }.as_bytes().to_vec());
        Spec::parse(spec).and_then(|spec| spec.read_with(fetch)).map_err(|error| error.to_string())
    }

    fn texts(examples: &Examples) -> Vec<&str> {
        match &examples.content {
            Content::Text { first, .. } => first.iter().map(String::as_str).collect(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn files_become_a_task() {
        let Prepared { task, overlap } = prepared(SPEC, TRAIN, VAL).unwrap();
        assert_eq!(
            (task.name.as_str(), &task.train.labels, &task.train.ids),
            ("test", &vec![1, 0], &vec!["1".into(), "2".into()])
        );
        assert_eq!(texts(&task.train), ["The  cat", "a dog"]);
        let (val, ood) = (&task.splits["val"], &task.splits["ood"]);
        let mut lines: Vec<&String> = val.ids.iter().chain(&ood.ids).collect();
        lines.sort();
        assert_eq!(lines, ["2", "3", "4", "5"], "val and ood share no row");
        assert!(val.ids.is_sorted() && ood.ids.is_sorted());
        assert_eq!((val.cases[0].as_str(), ood.cases[0].as_str()), ("", "rest"));
        assert_eq!(overlap.values().sum::<u64>(), 1, "the cat");
        assert_eq!(prepared(SPEC, TRAIN, VAL).unwrap().task, task);
    }

    #[test]
    fn a_preference_needs_no_label_and_no_side_is_always_right() {
        let part = |name: &str| {
            format!("[{name}]\nfile = \"{name}.jsonl\"\ntext = \"chosen\"\ntext_b = \"rejected\"\n")
        };
        let spec = format!(
            "name = \"p\"\nform = \"preference\"\nlabels = [\"first\", \"second\"]\n{}{}",
            part("train"),
            part("val")
        );
        let rows: String =
            (0..200).map(|i| format!("{{\"chosen\": \"good {i}\", \"rejected\": \"bad {i}\"}}\n")).collect();
        let fetch = |_: &str| Ok::<_, Error>(rows.as_bytes().to_vec());
        let task = Spec::parse(&spec).unwrap().read_with(fetch).unwrap().task;
        let Content::Text { first, second: Some(second) } = &task.train.content else { panic!("pairs") };
        for ((first, second), &label) in first.iter().zip(second).zip(&task.train.labels) {
            let (preferred, other) = if label == 0 { (first, second) } else { (second, first) };
            assert!(preferred.starts_with("good") && other.starts_with("bad"));
        }
        let swapped = task.train.labels.iter().filter(|&&label| label == 1).count();
        assert!((70..130).contains(&swapped), "{swapped} of 200");
        let message = |spec: String| match Spec::parse(&spec) {
            Err(error) => error.to_string(),
            Ok(spec) => spec.read_with(fetch).unwrap_err().to_string(),
        };
        assert!(message(spec.replace("text_b = \"rejected\"\n", "")).contains("two texts"), "one text");
        assert!(message(spec.replace("form = \"preference\"\n", "")).contains("missing field `label`"));
        assert!(message(spec.replace("\"second\"]", "\"second\", \"third\"]")).contains("two labels"));
    }

    /// If this changes, the table's `VERSION` must rise.
    #[test]
    fn golden_sample() {
        let sample = Sample { seed: 1, skip: 3, take: 5 };
        assert_eq!(sample.of((0..20).collect::<Vec<_>>()).unwrap(), [4, 5, 6, 14, 16]);
    }

    #[test]
    fn every_mistake_has_its_file_and_line() {
        assert_eq!(
            prepared(SPEC, "{\"a\": \"b\", \"y\": 1}\n{\"a\": \"b\", \"y\": 3}\n", VAL),
            Err("train.jsonl, line 2: label `3` is not in `map`, which has `0`, `1`".into())
        );
        assert_eq!(
            prepared(SPEC, TRAIN, "y\ta\nno\tone\n"),
            Err("val.tsv: `sample` skips 0 and takes 2 of 1 rows".into())
        );
        let id = SPEC.replacen("text = \"a\"", "text = \"a\"\nid = \"y\"", 1);
        let twice = "{\"a\": \"b\", \"y\": 1}\n{\"a\": \"c\", \"y\": 1}\n";
        assert_eq!(prepared(&id, twice, VAL), Err("train: there are two examples `1`".into()));
        let pair = SPEC.replacen("text = \"a\"", "text = \"a\"\ntext_b = \"a\"", 1);
        assert!(
            prepared(&pair, TRAIN, VAL).unwrap_err().contains("split.ood: these are texts, but the training")
        );
        let dropped = SPEC.replacen("label = \"y\"", "label = \"y\"\ndrop = [\"0\", \"1\"]", 1);
        assert_eq!(prepared(&dropped, TRAIN, VAL), Err("train.jsonl: `drop` leaves no row".into()));
        let missing = Spec::parse(SPEC).unwrap().read(Path::new("/nowhere")).unwrap_err().to_string();
        assert!(missing.starts_with("train.jsonl: cannot be read: "), "{missing}");
    }

    const GENERATED: &str = "[generated.hans]\ngenerator = \"hans\"\nper_case = 2\nseed = 1\n";

    #[test]
    fn splits_are_made_and_their_labels_pool() {
        let labels = "labels = [\"no\", \"yes\", \"perhaps\"]";
        let names = "entailment = [\"yes\"], non-entailment = [\"no\", \"perhaps\"]";
        let pool = |names: &str| format!("pool = {{ by = \"max\", labels = {{ {names} }} }}\n");
        // The generator's first label is `entailment`, and so must be the first of the pooled ones.
        let spec = SPEC.replace("labels = [\"no\", \"yes\"]", labels) + GENERATED + &pool(names);
        let message = prepared(&spec, TRAIN, VAL).unwrap_err();
        assert!(message.contains("[generated.hans]: `hans` has the labels `entailment`, `non-entailment`"));
        let spec = spec.replace(labels, "labels = [\"yes\", \"no\", \"perhaps\"]");
        let spec = spec.replace("text = \"a\"", "text = \"a\"\ntext_b = \"y\"");
        let task = prepared(&spec, TRAIN, VAL).unwrap().task;
        assert_eq!((task.splits["hans"].len(), &task.pools["hans"].of), (60, &vec![0, 1, 1]));
        let read = spec.replace("[generated.hans]", "[generated.ood]");
        assert!(prepared(&read, TRAIN, VAL).unwrap_err().contains("a split `ood` from a file"));
        let none = spec.replace("per_case = 2", "per_case = 0");
        assert!(prepared(&none, TRAIN, VAL).unwrap_err().contains("`per_case` is 0, but must be 1 to 1000"));
    }

    #[test]
    fn interventions_pair_up() {
        let side =
            |side: &str| format!("[do.swap.{side}]\nfile = \"val.tsv\"\ntext = \"a\"\nlabel = \"y\"\n");
        let spec = format!("{SPEC}\n{}{}", side("base"), side("done"));
        let task = prepared(&spec, TRAIN, VAL).unwrap().task;
        assert_eq!(task.interventions["swap"].base, task.interventions["swap"].done);
        let other = spec.replace("[do.swap.done]", "[do.swap.done]\nsample = { seed = 0, take = 3 }");
        assert_eq!(prepared(&other, TRAIN, VAL), Err("do.swap: the two sides do not pair up".into()));
    }
}
