//! Labelled examples and their table.

use std::collections::BTreeSet;

use crate::Error;

/// What the examples hold, all of one kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// A text each, or a pair of texts.
    Text {
        /// The text, or the first of the pair.
        first: Vec<String>,
        /// The second of the pair.
        second: Option<Vec<String>>,
    },
    /// A row of numbers each, `[examples, width]`, row-major.
    Dense {
        /// The numbers.
        values: Vec<f32>,
        /// Numbers of one example.
        width: usize,
    },
}

impl Content {
    /// Number of examples.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text { first, .. } => first.len(),
            Self::Dense { values, width } => values.len() / width.max(&1),
        }
    }

    /// True if there is no example.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What it is, in words.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Text { second: None, .. } => "texts",
            Self::Text { second: Some(_), .. } => "pairs of texts",
            Self::Dense { .. } => "rows of numbers",
        }
    }
}

/// Labelled examples: four columns of one length.
#[derive(Clone, Debug, PartialEq)]
pub struct Examples {
    /// Name of each example, unique among them.
    pub ids: Vec<String>,
    /// What each example holds.
    pub content: Content,
    /// Class index of each example.
    pub labels: Vec<u32>,
    /// The case that each example belongs to; empty where there are no cases.
    pub cases: Vec<String>,
}

tables::rows! {
    /// A row for each labelled example.
    struct ExampleRow in "examples" {
        /// Name of the example, unique in the table.
        id: String,
        /// The text, or the first of a pair; absent for rows of numbers.
        text: Option<String>,
        /// The second text of a pair.
        text_b: Option<String>,
        /// The numbers; empty for texts.
        values: Vec<f32>,
        /// Class index of the label.
        label: u32,
        /// The case that the example belongs to; empty where there are no cases.
        case: String,
    }
}

impl Examples {
    /// Number of examples.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// True if there is no example.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// The examples at these places, in this order.
    pub(crate) fn at(&self, places: &[usize]) -> Self {
        fn some<T: Clone>(all: &[T], places: &[usize]) -> Vec<T> {
            places.iter().map(|&place| all[place].clone()).collect()
        }
        let content = match &self.content {
            Content::Text { first, second } => Content::Text {
                first: some(first, places),
                second: second.as_ref().map(|second| some(second, places)),
            },
            Content::Dense { values, width } => Content::Dense {
                values: places
                    .iter()
                    .flat_map(|&place| &values[place * width..][..*width])
                    .copied()
                    .collect(),
                width: *width,
            },
        };
        let (ids, labels, cases) =
            (some(&self.ids, places), some(&self.labels, places), some(&self.cases, places));
        Self { ids, content, labels, cases }
    }

    /// Checks that the columns have one length, that ids are unique, labels below `classes`, numbers finite, and that
    /// there is at least one example.
    ///
    /// # Errors
    /// [`Error::Examples`] with the name `part` and the first thing that is wrong.
    pub fn check(&self, part: &str, classes: usize) -> Result<(), Error> {
        let wrong = |reason: String| Err(Error::Examples { part: part.into(), reason });
        if self.is_empty() {
            return wrong("there is no example".into());
        }
        let second = match &self.content {
            Content::Text { second: Some(second), .. } => second.len(),
            _ => self.len(),
        };
        let lens = [self.ids.len(), self.content.len(), second, self.labels.len(), self.cases.len()];
        if lens.iter().any(|&len| len != self.len()) {
            return wrong(format!("ids, texts, second texts, labels and cases number {lens:?}"));
        }
        if let Some((id, label)) =
            self.ids.iter().zip(&self.labels).find(|(_, label)| **label as usize >= classes)
        {
            return wrong(format!("example `{id}` has label {label}, but there are {classes} labels"));
        }
        let mut seen = BTreeSet::new();
        if let Some(id) = self.ids.iter().find(|id| !seen.insert(id.as_str())) {
            return wrong(format!("there are two examples `{id}`"));
        }
        if let Content::Dense { values, width } = &self.content {
            if *width == 0 || values.len() != width * self.len() {
                return wrong(format!("{} numbers are no {} rows of {width}", values.len(), self.len()));
            }
            if let Some(index) = values.iter().position(|value| !value.is_finite()) {
                return wrong(format!("example `{}` holds {}", self.ids[index / width], values[index]));
            }
        }
        Ok(())
    }

    /// The table of these examples.
    ///
    /// # Errors
    /// [`Error::Table`] if it cannot be written.
    pub fn to_parquet(&self) -> Result<Vec<u8>, Error> {
        let row = |index: usize| {
            let (text, text_b, values) = match &self.content {
                Content::Text { first, second } => (
                    Some(first[index].clone()),
                    second.as_ref().map(|second| second[index].clone()),
                    Vec::new(),
                ),
                Content::Dense { values, width } => (None, None, values[index * width..][..*width].to_vec()),
            };
            let (id, case) = (self.ids[index].clone(), self.cases[index].clone());
            ExampleRow { id, text, text_b, values, label: self.labels[index], case }
        };
        Ok(ExampleRow::write(&(0..self.len()).map(row).collect::<Vec<_>>())?)
    }

    /// The examples of a table, checked but for the number of classes, which the table does not know.
    ///
    /// # Errors
    /// [`Error::Table`] if it cannot be read, [`Error::Examples`] if its rows are no examples of one kind.
    pub fn from_parquet(bytes: &[u8]) -> Result<Self, Error> {
        let rows = ExampleRow::read(bytes)?;
        let wrong = |reason: String| Error::Examples { part: "table of examples".into(), reason };
        let texts = rows.iter().filter(|row| row.text.is_some()).count();
        let pairs = rows.iter().filter(|row| row.text_b.is_some()).count();
        let width = rows.first().map_or(0, |row| row.values.len());
        if let Some(row) = rows.iter().find(|row| row.values.len() != width) {
            return Err(wrong(format!(
                "example `{}` has {} numbers, the first {width}",
                row.id,
                row.values.len()
            )));
        }
        let (mut ids, mut labels, mut cases) = (Vec::new(), Vec::new(), Vec::new());
        let (mut first, mut second, mut values) = (Vec::new(), Vec::new(), Vec::new());
        let n = rows.len();
        for row in rows {
            ids.push(row.id);
            labels.push(row.label);
            cases.push(row.case);
            first.extend(row.text);
            second.extend(row.text_b);
            values.extend(row.values);
        }
        let content = match (texts, pairs, width) {
            (texts, 0, 0) if texts == n => Content::Text { first, second: None },
            (texts, pairs, 0) if texts == n && pairs == n => Content::Text { first, second: Some(second) },
            (0, 0, width) if width > 0 => Content::Dense { values, width },
            _ => {
                return Err(wrong(format!(
                    "{n} rows with {texts} texts, {pairs} second texts and {width} numbers each are not of one kind"
                )));
            }
        };
        let examples = Self { ids, content, labels, cases };
        examples.check("table of examples", usize::MAX)?;
        Ok(examples)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn texts(texts: &[&str]) -> Examples {
        Examples {
            ids: (0..texts.len()).map(|index| index.to_string()).collect(),
            content: Content::Text { first: texts.iter().map(|&text| text.into()).collect(), second: None },
            labels: (0..texts.len() as u32).map(|index| index % 2).collect(),
            cases: vec![String::new(); texts.len()],
        }
    }

    #[test]
    fn tables_of_every_kind_come_back() {
        let single = texts(&["a b", "", "c"]);
        let pair = Examples {
            content: Content::Text {
                first: vec!["a".into(), "b".into(), "c".into()],
                second: Some(vec!["d".into(), String::new(), "f".into()]),
            },
            cases: vec!["x".into(), "y".into(), "x".into()],
            ..single.clone()
        };
        let dense = Examples {
            content: Content::Dense { values: vec![0.5, 1.0, -2.0, 3.0, 4.0, 5.0], width: 2 },
            ..single.clone()
        };
        for examples in [single, pair, dense] {
            let bytes = examples.to_parquet().unwrap();
            assert_eq!(Examples::from_parquet(&bytes).unwrap(), examples);
            assert_eq!(examples.to_parquet().unwrap(), bytes);
        }
    }

    #[test]
    fn every_lie_is_named() {
        let message = |change: &dyn Fn(&mut Examples)| {
            let mut examples = texts(&["a", "b"]);
            change(&mut examples);
            examples.check("val", 2).unwrap_err().to_string()
        };
        assert_eq!(message(&|e| e.labels[1] = 2), "val: example `1` has label 2, but there are 2 labels");
        assert_eq!(message(&|e| e.ids[1] = "0".into()), "val: there are two examples `0`");
        assert!(message(&|e| e.ids.truncate(1)).contains("[1, 2, 2, 2, 2]"));
        assert_eq!(message(&|e| e.labels.clear()), "val: there is no example");
        assert_eq!(
            message(&|e| e.content = Content::Dense { values: vec![0.0, f32::NAN], width: 1 }),
            "val: example `1` holds NaN"
        );
        assert!(
            message(&|e| e.content = Content::Dense { values: vec![0.0; 3], width: 1 })
                .contains("[2, 3, 2, 2, 2]")
        );
    }
}
