//! Paths to a value within a column: `chosen[-1].content` is the field `content` of the last item of the list `chosen`.

/// A value within the values of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// The column.
    pub column: String,
    /// How to go on from its value.
    pub steps: Vec<Step>,
}

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The field of this name.
    Field(String),
    /// The item of a list, counted from 0; from -1 backwards where negative.
    Item(i64),
}

impl Path {
    /// Reads a path.
    ///
    /// # Errors
    /// In words, if a name is empty, or a bracket does not hold a number and end.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no path: write `column`, `column.field` or `column[-1].field`");
        let name_end = |rest: &str| rest.find(['.', '[']).unwrap_or(rest.len());
        let (column, mut rest) = text.split_at(name_end(text));
        let mut steps = Vec::new();
        while !rest.is_empty() {
            if let Some(field) = rest.strip_prefix('.') {
                let (field, after) = field.split_at(name_end(field));
                steps.push(Step::Field(field.to_owned()));
                rest = after;
            } else {
                let (item, after) = rest[1..].split_once(']').ok_or_else(wrong)?;
                steps.push(Step::Item(item.parse().map_err(|_| wrong())?));
                rest = after;
                if !(rest.is_empty() || rest.starts_with(['.', '['])) {
                    return Err(wrong());
                }
            }
        }
        let is_named = |step: &Step| !matches!(step, Step::Field(name) if name.is_empty());
        match !column.is_empty() && steps.iter().all(is_named) {
            true => Ok(Self { column: column.to_owned(), steps }),
            false => Err(wrong()),
        }
    }
}

impl Step {
    /// The index of an item among `len`, if there is one.
    #[must_use]
    pub fn index(item: i64, len: usize) -> Option<usize> {
        let index = if item < 0 { len as i64 + item } else { item };
        usize::try_from(index).ok().filter(|&index| index < len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let path = |text| Path::parse(text).map(|path| (path.column, path.steps));
        let field = |name: &str| Step::Field(name.to_owned());
        assert_eq!(path("text"), Ok(("text".into(), vec![])));
        assert_eq!(path("a b.c"), Ok(("a b".into(), vec![field("c")])));
        assert_eq!(path("chosen[-1].content"), Ok(("chosen".into(), vec![Step::Item(-1), field("content")])));
        assert_eq!(path("a[0][1]"), Ok(("a".into(), vec![Step::Item(0), Step::Item(1)])));
        for wrong in ["", ".a", "a.", "a[", "a[x]", "a[1]b", "[0]", "a..b", "a[9999999999999999999]"] {
            assert!(path(wrong).unwrap_err().contains("is no path"), "{wrong}");
        }
    }

    #[test]
    fn items_count_from_either_end() {
        let index = |item| Step::index(item, 3);
        assert_eq!([0, 2, -1, -3].map(index), [Some(0), Some(2), Some(2), Some(0)]);
        assert_eq!([3, -4, i64::MIN].map(index), [None; 3]);
        assert_eq!(Step::index(-1, 0), None);
    }
}
