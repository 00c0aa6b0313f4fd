//! JSON as Python writes and reads it: `NaN` and the infinities are numbers, whole numbers have as many digits as they
//! like, and half a surrogate pair is a character that was cut off (U+FFFD).

use std::collections::BTreeMap;

use tables::{Path, Step};

/// Deepest nesting that is read.
const DEEPEST: usize = 128;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Null,
    /// `NaN`, `Infinity` or `-Infinity`.
    NoNumber(&'static str),
    Bool(bool),
    /// A number as text: a whole one as it stands, another one as the nearest `f64`.
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// What it is, in words.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::NoNumber(name) => name,
            Self::Bool(_) => "a truth value",
            Self::Number(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }

    /// The value that a path leads to, from behind its column on.
    pub(super) fn at(&self, steps: &[Step]) -> Option<&Self> {
        steps.iter().try_fold(self, |value, step| match (value, step) {
            (Self::Object(fields), Step::Field(name)) => fields.get(name),
            (Self::List(items), Step::Item(item)) => items.get(Step::index(*item, items.len())?),
            _ => None,
        })
    }

    /// The field that a name leads to: the one that is called so, or that at the end of a path.
    pub(super) fn field(fields: &BTreeMap<String, Self>, name: &str, path: Option<&Path>) -> Option<Self> {
        fields.get(name).cloned().or_else(|| {
            let path = path?;
            fields.get(&path.column)?.at(&path.steps).cloned()
        })
    }

    /// The text of a cell.
    pub(super) fn text(self) -> Result<String, String> {
        match self {
            Self::Text(text) | Self::Number(text) => Ok(text),
            Self::Bool(truth) => Ok(truth.to_string()),
            Self::Null | Self::NoNumber(_) => Err(format!("is {}, so there is no value", self.kind())),
            Self::List(_) | Self::Object(_) => Err(format!(
                "is {}: name one nested value by its path, as in `messages[-1].content`",
                self.kind()
            )),
        }
    }
}

/// A reader of values that stand one after the other in a text.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Halves of surrogate pairs that were met.
    pub(super) halves: u64,
}

impl<'a> Reader<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0, halves: 0 }
    }

    /// The line at which the reader stands, from 1.
    pub(super) fn line(&self) -> u64 {
        super::delimited::line_breaks(&self.text.as_bytes()[..self.at]) + 1
    }

    /// The one value that is left.
    pub(super) fn only(&mut self) -> Result<Json, String> {
        let value = self.value(0)?;
        match self.peek() {
            None => Ok(value),
            Some(_) => Err(self.unexpected("nothing more")),
        }
    }

    /// The next byte that is no white space.
    pub(super) fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at += rest.iter().take_while(|byte| b" \t\r\n".contains(byte)).count();
        self.text.as_bytes().get(self.at).copied()
    }

    /// Whether this byte comes next; it is passed over then.
    pub(super) fn takes(&mut self, byte: u8) -> bool {
        let takes = self.peek() == Some(byte);
        self.at += usize::from(takes);
        takes
    }

    pub(super) fn value(&mut self, depth: usize) -> Result<Json, String> {
        if depth > DEEPEST {
            return Err(format!("it is nested more than {DEEPEST} deep"));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => self.string().map(Json::Text),
            Some(b'-' | b'0'..=b'9') if !self.rest().starts_with("-Infinity") => self.number(),
            _ => {
                let words = [
                    ("null", Json::Null),
                    ("true", Json::Bool(true)),
                    ("false", Json::Bool(false)),
                    ("NaN", Json::NoNumber("NaN")),
                    ("Infinity", Json::NoNumber("Infinity")),
                    ("-Infinity", Json::NoNumber("-Infinity")),
                ];
                let word = words.into_iter().find(|(word, _)| self.rest().starts_with(word));
                let (word, value) = word.ok_or_else(|| self.unexpected("a value"))?;
                self.at += word.len();
                Ok(value)
            }
        }
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn unexpected(&self, expected: &str) -> String {
        let found = self.rest().chars().next();
        let found = found.map_or("the end".to_owned(), |found| format!("`{}`", found.escape_debug()));
        let before = &self.text[..self.at];
        let column = before.rsplit(['\n', '\r']).next().map_or(0, |line| line.chars().count()) + 1;
        format!("{found} at column {column}, where {expected} should be")
    }

    fn object(&mut self, depth: usize) -> Result<Json, String> {
        let mut fields = BTreeMap::new();
        self.at += 1;
        if self.takes(b'}') {
            return Ok(Json::Object(fields));
        }
        loop {
            if self.peek() != Some(b'"') {
                return Err(self.unexpected("a name in quotation marks"));
            }
            let name = self.string()?;
            if !self.takes(b':') {
                return Err(self.unexpected("`:`"));
            }
            // Of two fields with one name the last counts, as in Python.
            fields.insert(name, self.value(depth + 1)?);
            if self.takes(b'}') {
                return Ok(Json::Object(fields));
            }
            if !self.takes(b',') {
                return Err(self.unexpected("`,` or `}`"));
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Json, String> {
        let mut items = Vec::new();
        self.at += 1;
        if self.takes(b']') {
            return Ok(Json::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.takes(b']') {
                return Ok(Json::List(items));
            }
            if !self.takes(b',') {
                return Err(self.unexpected("`,` or `]`"));
            }
        }
    }

    fn number(&mut self) -> Result<Json, String> {
        let rest = self.rest();
        let len = rest.bytes().take_while(|byte| b"+-.0123456789eE".contains(byte)).count();
        let text = &rest[..len];
        let are_digits =
            |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => {
                (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)))
            }
            None => (text, None),
        };
        let mantissa = mantissa.strip_prefix('-').unwrap_or(mantissa);
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let has_leading_zero = whole.len() > 1 && whole.starts_with('0');
        let is_number = are_digits(whole)
            && !has_leading_zero
            && fraction.is_none_or(are_digits)
            && exponent.is_none_or(are_digits);
        let value = match (is_number, fraction, exponent) {
            (false, ..) => None,
            (true, None, None) => Some(if text == "-0" { "0" } else { text }.to_owned()),
            _ => text.parse::<f64>().ok().filter(|value| value.is_finite()).map(|value| format!("{value:?}")),
        };
        let value = value.ok_or_else(|| self.unexpected("a number"))?;
        self.at += len;
        Ok(Json::Number(value))
    }

    fn string(&mut self) -> Result<String, String> {
        let mut text = String::new();
        self.at += 1;
        loop {
            let rest = self.rest();
            let plain =
                rest.bytes().take_while(|&byte| byte != b'"' && byte != b'\\' && byte >= 0x20).count();
            text.push_str(&rest[..plain]);
            self.at += plain;
            match rest.as_bytes().get(plain) {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(text);
                }
                Some(b'\\') => text.push(self.escaped()?),
                _ => return Err(self.unexpected("the end of a text, `\"`,")),
            }
        }
    }

    fn escaped(&mut self) -> Result<char, String> {
        let named = match self.rest().as_bytes().get(1) {
            Some(b'u') => return self.code_point(),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(&byte @ (b'"' | b'\\' | b'/')) => byte.into(),
            _ => return Err(self.unexpected("an escape of JSON")),
        };
        self.at += 2;
        Ok(named)
    }

    /// The character of `\uXXXX`, or of two of them that are a surrogate pair.
    fn code_point(&mut self) -> Result<char, String> {
        let unit = |rest: &str| {
            let digits = rest.strip_prefix("\\u")?.get(..4)?;
            let are_digits = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            are_digits.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
        };
        let first =
            unit(self.rest()).ok_or_else(|| self.unexpected("four hexadecimal digits behind `\\u`"))?;
        self.at += 6;
        if let Some(character) = char::from_u32(first) {
            return Ok(character);
        }
        if let (0xd800..0xdc00, Some(second @ 0xdc00..0xe000)) = (first, unit(self.rest())) {
            self.at += 6;
            let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
            return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        self.halves += 1;
        Ok(char::REPLACEMENT_CHARACTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Json, String> {
        Reader::new(text).only()
    }

    fn text(text: &str) -> String {
        read(text).unwrap().text().unwrap()
    }

    /// What is JSON for both is read as serde_json reads it.
    #[test]
    fn json_is_json() {
        fn same(own: &Json, other: &serde_json::Value) -> bool {
            match (own, other) {
                (Json::Null, serde_json::Value::Null) => true,
                (Json::Bool(a), serde_json::Value::Bool(b)) => a == b,
                (Json::Number(a), serde_json::Value::Number(b)) => {
                    let (a, b): (f64, f64) = (a.parse().unwrap(), b.as_f64().unwrap());
                    (a - b).abs() <= 1e-15 * b.abs()
                }
                (Json::Text(a), serde_json::Value::String(b)) => a == b,
                (Json::List(a), serde_json::Value::Array(b)) => {
                    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
                }
                (Json::Object(a), serde_json::Value::Object(b)) => {
                    a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
                }
                _ => false,
            }
        }
        let whole = r#" {"a": [1, -2, 0, 0.5, 1e5, -1.25E-3, 1e16], "b": {"c": null, "d": [true, false, []], "e": {}},
            "é\n\"\\\/\b\f\r\t\u00e9\ud83d\ude00": "電影 😀", "": ""} "#;
        assert!(same(&read(whole).unwrap(), &serde_json::from_str(whole).unwrap()));
        let mut stream = random::Stream::new(0, "json");
        let (mut read_by_both, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let mut bytes = whole.as_bytes().to_vec();
            for _ in 0..=stream.below(2) {
                let at = stream.below(bytes.len());
                match stream.below(3) {
                    0 => bytes[at] = *stream.choose(b"{}[]\",:0.e-+u\\ntf \x01"),
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, *stream.choose(b"{}[]\",:0.e-+u\\")),
                }
            }
            let Ok(damaged) = std::str::from_utf8(&bytes) else { continue };
            match (read(damaged), serde_json::from_str::<serde_json::Value>(damaged)) {
                (Ok(own), Ok(other)) => {
                    assert!(same(&own, &other), "{damaged}");
                    read_by_both += 1;
                }
                (Err(_), Err(_)) => refused += 1,
                // Half a surrogate pair.
                (Ok(_), Err(error)) => {
                    let half =
                        ["surrogate", "hex escape"].iter().any(|word| error.to_string().contains(word));
                    assert!(half || error.to_string().contains("number out of range"), "{damaged}: {error}");
                }
                (Err(reason), Ok(_)) => panic!("{damaged}: {reason}"),
            }
        }
        assert!(read_by_both > 1_000 && refused > 1_000, "{read_by_both}, {refused}");
    }

    #[test]
    fn what_python_writes_is_read() {
        let record =
            read(r#"{"a": NaN, "b": -Infinity, "c": Infinity, "d": 123456789012345678901234567890}"#)
                .unwrap();
        let Json::Object(fields) = record else { panic!("{record:?}") };
        assert_eq!(fields["a"], Json::NoNumber("NaN"));
        assert_eq!(fields["b"].kind(), "-Infinity");
        assert!(fields["c"].clone().text().unwrap_err().contains("is Infinity"));
        assert_eq!(fields["d"].clone().text().unwrap(), "123456789012345678901234567890");
        assert_eq!(text(r#""cut \ud83d""#), "cut \u{fffd}");
        assert_eq!(text(r#""\ud83d\ud83d\ude00\ude00""#), "\u{fffd}😀\u{fffd}");
        let mut reader = Reader::new(r#""\ud83d \ude00""#);
        reader.only().unwrap();
        assert_eq!(reader.halves, 2);
        assert_eq!(read(r#"{"a": 1, "a": 2}"#), read(r#"{"a": 2}"#));
    }

    #[test]
    fn mistakes_have_their_place() {
        assert_eq!(read("{\"a\": }"), Err("`}` at column 7, where a value should be".into()));
        assert_eq!(read("[1 2]"), Err("`2` at column 4, where `,` or `]` should be".into()));
        assert_eq!(read("\"a"), Err("the end at column 3, where the end of a text, `\"`, should be".into()));
        for wrong in
            ["", "01", "1.", ".5", "+1", "1e", "-", "1e999", "{a: 1}", "[1,]", "nul", "'a'", "\"\\x\"", "1 1"]
        {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read(&"[".repeat(100_000)).unwrap_err().contains("nested"));
    }

    #[test]
    fn paths_lead_to_values() {
        let record =
            read(r#"{"m": [{"role": "user", "x": {"y": 1}}, {"role": "bot"}], "m[0].role": "whole"}"#)
                .unwrap();
        let Json::Object(fields) = record else { panic!("{record:?}") };
        let at = |name: &str| {
            let path = Path::parse(name).ok();
            Json::field(&fields, name, path.as_ref()).map(|value| value.text().unwrap())
        };
        assert_eq!(at("m[-1].role").as_deref(), Some("bot"));
        assert_eq!(at("m[0].x.y").as_deref(), Some("1"));
        assert_eq!(at("m[0].role").as_deref(), Some("whole"), "a name that is a column is no path");
        assert_eq!([at("m[2].role"), at("m.role"), at("n")], [None, None, None]);
    }
}
