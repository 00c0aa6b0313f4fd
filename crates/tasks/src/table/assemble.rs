//! From files to a task.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::read::{Meaning, Taken};
use super::repeats::{Repeats, fingerprints};
use super::{Generator, Pair, Part, Spec};
use crate::{Content, Error, Examples, Form, Intervention, Pool, Task, hans};

/// A task from files, and what a person should know of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    /// The task.
    pub task: Task,
    /// For each split, how many of its examples have the text (or both texts) of a training example, but for case and
    /// white space.
    pub overlap: BTreeMap<String, u64>,
    /// For each part that has some, how many of its examples have the text of an earlier one of the part.
    pub duplicates: BTreeMap<String, u64>,
    /// For each part that has some, how many of its texts have different labels.
    pub contradictions: BTreeMap<String, u64>,
    /// For each part that has some, how many rows were left out because they are damaged or empty.
    pub skipped: BTreeMap<String, u64>,
    /// Sentences about what was noticed.
    pub notes: Vec<String>,
}

impl Spec {
    /// Reads the task from files below `root`. Patterns of names stand for nothing here: see [`Spec::expand`].
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
        let mut reading = Reading { spec: self, files, skipped: BTreeMap::new(), notes: Vec::new() };
        let (splits, pools) = reading.splits()?;
        let mut interventions = BTreeMap::new();
        for (name, pair) in &self.interventions {
            interventions.insert(name.clone(), reading.intervention(name, pair)?);
        }
        let nothing = Examples {
            ids: Vec::new(),
            content: Content::Text { first: Vec::new(), second: None },
            labels: Vec::new(),
            cases: Vec::new(),
        };
        let train = self.train.as_ref().map(|train| reading.part("train", train, &self.labels, None));
        let train = train.transpose()?.unwrap_or(nothing);
        let Reading { skipped, notes, .. } = reading;
        let (name, labels) = (self.name.clone(), self.labels.clone());
        let (form, metric) = (self.form, self.metric);
        let task = Task { name, labels, form, metric, train, splits, pools, interventions };
        task.check()?;
        Ok(Prepared::of(task, skipped, notes))
    }
}

impl Prepared {
    fn of(task: Task, skipped: BTreeMap<String, u64>, notes: Vec<String>) -> Self {
        let known: BTreeSet<String> = fingerprints(&task.train).collect();
        let shared = |split| fingerprints(split).filter(|text| known.contains(text)).count() as u64;
        let overlap = match task.train.is_empty() {
            true => BTreeMap::new(),
            false => task.splits.iter().map(|(name, split)| (name.clone(), shared(split))).collect(),
        };
        let mut prepared = Self {
            overlap,
            duplicates: BTreeMap::new(),
            contradictions: BTreeMap::new(),
            skipped,
            notes,
            task,
        };
        // Interventions repeat what they are made from.
        for (part, examples) in prepared.task.parts().filter(|(part, _)| !part.starts_with("do.")) {
            let Repeats { duplicates, contradictions } = Repeats::of(examples);
            if duplicates > 0 {
                prepared.duplicates.insert(part.clone(), duplicates);
            }
            // Which text of a preference comes first is a matter of chance.
            if contradictions > 0 && prepared.task.form != Form::Preference {
                let text = format!("{part}: {contradictions} text(s) are there with different labels");
                prepared.notes.push(text);
                prepared.contradictions.insert(part, contradictions);
            }
        }
        prepared
    }
}

/// Splits by name, and how the labels of some of them pool.
type Splits = (BTreeMap<String, Examples>, BTreeMap<String, Pool>);

/// The reading of a specification's files.
struct Reading<'a> {
    spec: &'a Spec,
    files: BTreeMap<String, Vec<u8>>,
    skipped: BTreeMap<String, u64>,
    notes: Vec<String>,
}

impl Reading<'_> {
    fn part(
        &mut self,
        name: &str,
        part: &Part,
        labels: &[String],
        pair: Option<&str>,
    ) -> Result<Examples, Error> {
        let meaning = Meaning { labels, metric: self.spec.metric, pair };
        let Taken { examples, skipped, notes } = part.read(&self.files, meaning)?;
        if skipped > 0 {
            self.skipped.insert(name.to_owned(), skipped);
        }
        // Two parts of one file notice the same.
        let new: Vec<String> = notes.into_iter().filter(|note| !self.notes.contains(note)).collect();
        self.notes.extend(new);
        Ok(examples)
    }

    fn splits(&mut self) -> Result<Splits, Error> {
        let spec = self.spec;
        let (mut splits, mut pools) = (BTreeMap::new(), BTreeMap::new());
        if let Some(val) = &spec.val {
            splits.insert("val".to_owned(), self.part("split.val", val, &spec.labels, None)?);
        }
        for (name, part) in &spec.split {
            let wrong = |reason| Error::Specification { reason: format!("[split.{name}]: {reason}") };
            let pool = part.pool(&spec.labels).map_err(wrong)?;
            let labels = pool.as_ref().map_or(&spec.labels, |pool| &pool.labels);
            splits.insert(name.clone(), self.part(&format!("split.{name}"), part, labels, None)?);
            pools.extend(pool.map(|pool| (name.clone(), pool)));
        }
        for (name, generated) in &spec.generated {
            let wrong = |reason| Error::Specification { reason: format!("[generated.{name}]: {reason}") };
            let pool = generated.pool(&spec.labels).map_err(wrong)?;
            let (per_case, seed) = (generated.per_case, generated.seed);
            let examples = match generated.generator {
                Generator::Hans => hans::examples(&hans::Params { per_case, seed })?,
            };
            splits.insert(name.clone(), examples);
            pools.extend(pool.map(|pool| (name.clone(), pool)));
        }
        Ok((splits, pools))
    }

    fn intervention(&mut self, name: &str, pair: &Pair) -> Result<Intervention, Error> {
        let (column, labels) = (pair.pair.as_deref(), &self.spec.labels);
        let base = self.part(&format!("do.{name}.base"), &pair.base, labels, column)?;
        let mut done = self.part(&format!("do.{name}.done"), &pair.done, labels, column)?;
        if let Some(column) = column {
            let wrong = |reason: String| Error::Examples { part: format!("do.{name}"), reason };
            let is_sampled = pair.base.sample.is_some();
            done = partners(&base, &done, column, is_sampled).map_err(wrong)?;
        }
        Ok(Intervention { name: name.to_owned(), base, done })
    }
}

/// The examples of `done` that have the names of those of `base`, in their order. Each must be there once; of a sample's
/// others nothing is asked.
fn partners(base: &Examples, done: &Examples, column: &str, is_sampled: bool) -> Result<Examples, String> {
    let by_id = |examples: &Examples, side: &str| -> Result<BTreeMap<String, usize>, String> {
        let mut places = BTreeMap::new();
        for (place, id) in examples.ids.iter().enumerate() {
            if places.insert(id.clone(), place).is_some() {
                return Err(format!("`{side}` has two rows whose `{column}` is `{id}`"));
            }
        }
        Ok(places)
    };
    let (bases, dones) = (by_id(base, "base")?, by_id(done, "done")?);
    let place = |id: &String| {
        let lacks = || format!("`base` has a row whose `{column}` is `{id}`, and `done` has none");
        dones.get(id).copied().ok_or_else(lacks)
    };
    let places: Vec<usize> = base.ids.iter().map(place).collect::<Result<_, _>>()?;
    match dones.keys().find(|id| !bases.contains_key(*id)) {
        Some(id) if !is_sampled => {
            Err(format!("`done` has a row whose `{column}` is `{id}`, and `base` has none"))
        }
        _ => Ok(done.at(&places)),
    }
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
        let Prepared { task, overlap, .. } = prepared(SPEC, TRAIN, VAL).unwrap();
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
            prepared(&pair, TRAIN, VAL)
                .unwrap_err()
                .contains("split.ood: these are texts, but those of `train`")
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

    #[test]
    fn rows_of_one_file_pair_up_by_a_column() {
        let sides = "id\tside\ta\ty\n1\told\tone\tno\n2\told\ttwo\tyes\n2\tnew\tTWO\tno\n1\tnew\tONE\tyes\n";
        let side = |name: &str, side: &str| {
            format!(
                "[do.swap.{name}]\nfile = \"val.tsv\"\ntext = \"a\"\nlabel = \"y\"\nwhere = {{ side = \"{side}\" }}\n"
            )
        };
        let spec = format!(
            "name = \"t\"\nlabels = [\"no\", \"yes\"]\n[do.swap]\npair = \"id\"\n{}{}",
            side("base", "old"),
            side("done", "new")
        );
        let Prepared { task, overlap, duplicates, .. } = prepared(&spec, "", sides).unwrap();
        assert!(task.train.is_empty() && overlap.is_empty() && duplicates.is_empty());
        let swap = &task.interventions["swap"];
        assert_eq!((texts(&swap.base), texts(&swap.done)), (vec!["one", "two"], vec!["ONE", "TWO"]));
        assert_eq!((&swap.base.ids, &swap.done.labels), (&swap.done.ids, &vec![1, 0]));
        let message = |rows: &str| prepared(&spec, "", rows).unwrap_err();
        assert_eq!(
            message(&sides.replace("1\tnew", "3\tnew")),
            "do.swap: `base` has a row whose `id` is `1`, and `done` has none"
        );
        assert_eq!(
            message(&format!("{sides}3\tnew\tx\tno\n")),
            "do.swap: `done` has a row whose `id` is `3`, and `base` has none"
        );
        assert_eq!(
            message(&sides.replace("2\told", "1\told")),
            "do.swap: `base` has two rows whose `id` is `1`"
        );
        let sampled = spec.replace("[do.swap.base]", "[do.swap.base]\nsample = { seed = 0, take = 1 }");
        let task = prepared(&sampled, "", sides).unwrap().task;
        assert_eq!((task.interventions["swap"].base.len(), task.interventions["swap"].done.len()), (1, 1));
    }

    #[test]
    fn repeats_and_rows_left_out_are_told() {
        let train = "{\"a\": \"x\", \"y\": 1}\n{\"a\": \"X\", \"y\": 0}\n{\"a\": \"z\"}\n";
        let spec = SPEC.replacen("text = \"a\"", "text = \"a\"\nskip_invalid = true", 1);
        let prepared = prepared(&spec, train, VAL).unwrap();
        let of = |name: &str, n| BTreeMap::from([(name.to_owned(), n)]);
        assert_eq!(prepared.duplicates, of("train", 1));
        assert_eq!(prepared.contradictions, of("train", 1));
        assert_eq!(prepared.skipped, of("train", 1));
        assert_eq!(prepared.notes.len(), 2, "{:?}", prepared.notes);
        assert_eq!(prepared.notes[1], "train: 1 text(s) are there with different labels");
    }
}
