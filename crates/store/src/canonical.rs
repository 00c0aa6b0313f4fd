//! The canonical form of JSON that stage keys are made of.
//!
//! UTF-8, no whitespace, and
//!
//! - **object** keys sorted by their bytes, whatever order they were inserted in;
//! - **array** elements in their order;
//! - **string**: `"` and `\` escaped by `\`; U+0008, U+0009, U+000A, U+000C, U+000D as `\b \t \n \f \r`; the other
//!   characters below U+0020 as `\u00xx` in lower case; everything else as it is. No Unicode normalisation;
//! - **number**: its *value* is written, not its type: `1`, `1.0` and `1e0` are one number, and `-0.0` is `0`.
//!   An integer in [-2^63, 2^64) is written exactly, in decimal. Any other number is the 64-bit float that it reads
//!   as, in the fewest decimal digits that read back as the same float, without an exponent: `0.00005`. Hence a
//!   parameter that changes its type from `u32` to `f64`, or a tool that rewrites `1.0` as `1`, changes no key;
//! - **`true`**, **`false`** as they are; **`null`** is an error, for `NaN` and infinity would be written as `null`.
//!
//! This is RFC 8785 but for numbers (64-bit integers are exact here) and for the sort (bytes here, UTF-16 there).
//! Nothing depends on the features `preserve_order` and `arbitrary_precision` of `serde_json`, which any crate of a
//! build may switch on, with one exception that no code here can see: the latter changes what an `f32` *becomes*, so
//! parameters should be `f64`.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use crate::Error;

/// The deepest nesting; `serde_json` reads 128 levels and a manifest adds some of its own.
const DEPTH_LIMIT: usize = 100;

/// Appends the canonical form of an object; `at` is its JSON path, for errors.
pub(crate) fn write_map(map: &Map<String, Value>, at: &str, out: &mut String) -> Result<(), Error> {
    Writer { at: at.to_owned(), depth: 0, out }.map(map)
}

/// The canonical form of one value, for comparing values by what a key sees. `None` for what has none.
pub(crate) fn text(value: &Value) -> Option<String> {
    let mut out = String::new();
    Writer { at: String::new(), depth: 0, out: &mut out }.value(value).ok()?;
    Some(out)
}

/// Appends the canonical form of a string.
pub(crate) fn write_string(text: &str, out: &mut String) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{08}' => out.push_str("\\b"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\u{0c}' => out.push_str("\\f"),
            '\r' => out.push_str("\\r"),
            control if control < '\u{20}' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// The JSON path of member `key` of the object at `at`: `parameters.optimiser.beta`, `parameters["a b"]`.
pub(crate) fn member(at: &str, key: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if key.is_empty() || !key.chars().all(plain) {
        let mut path = format!("{at}[");
        write_string(key, &mut path);
        path.push(']');
        path
    } else if at.is_empty() {
        key.to_owned()
    } else {
        format!("{at}.{key}")
    }
}

struct Writer<'a> {
    at: String,
    depth: usize,
    out: &'a mut String,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value) -> Result<(), Error> {
        match value {
            Value::Null => return Err(Error::NullInRecipe { path: self.at.clone() }),
            Value::Bool(value) => self.out.push_str(if *value { "true" } else { "false" }),
            Value::Number(value) => match number(value) {
                Some(digits) => self.out.push_str(&digits),
                None => {
                    return Err(Error::NonFiniteInRecipe { path: self.at.clone(), text: value.to_string() });
                }
            },
            Value::String(value) => write_string(value, self.out),
            Value::Array(values) => {
                self.out.push('[');
                for (index, value) in values.iter().enumerate() {
                    if index > 0 {
                        self.out.push(',');
                    }
                    let at = format!("{}[{index}]", self.at);
                    self.nested(at, |writer| writer.value(value))?;
                }
                self.out.push(']');
            }
            Value::Object(map) => self.map(map)?,
        }
        Ok(())
    }

    fn map(&mut self, map: &Map<String, Value>) -> Result<(), Error> {
        let sorted: BTreeMap<&str, &Value> = map.iter().map(|(key, value)| (key.as_str(), value)).collect();
        self.out.push('{');
        for (index, (key, value)) in sorted.into_iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            write_string(key, self.out);
            self.out.push(':');
            let at = member(&self.at, key);
            self.nested(at, |writer| writer.value(value))?;
        }
        self.out.push('}');
        Ok(())
    }

    fn nested(
        &mut self,
        at: String,
        write: impl FnOnce(&mut Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.depth == DEPTH_LIMIT {
            return Err(Error::TooDeep { path: at, limit: DEPTH_LIMIT });
        }
        let outer = std::mem::replace(&mut self.at, at);
        self.depth += 1;
        write(self)?;
        self.depth -= 1;
        self.at = outer;
        Ok(())
    }
}

fn number(number: &Number) -> Option<String> {
    if let Some(integer) = number.as_u64() {
        return Some(integer.to_string());
    }
    if let Some(integer) = number.as_i64() {
        return Some(integer.to_string());
    }
    let float = number.as_f64().filter(|float| float.is_finite())?;
    let (low, high) = (-(2f64.powi(63)), 2f64.powi(64));
    if float.fract() == 0.0 && (low..high).contains(&float) {
        Some((float as i128).to_string()) // exact; -0.0 becomes 0
    } else {
        Some(format!("{float}")) // the shortest digits that read back as this float, never an exponent
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn canonical(json: &str) -> String {
        text(&serde_json::from_str(json).unwrap()).unwrap()
    }

    /// One row: any spelling, the canonical form.
    #[test]
    fn golden() {
        for (json, expected) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.0", "0"),
            ("1", "1"),
            ("1.0", "1"),
            ("1e0", "1"),
            ("-7.0", "-7"),
            ("0.5", "0.5"),
            ("5e-5", "0.00005"),
            ("0.1", "0.1"),
            ("0.30000000000000004", "0.30000000000000004"),
            ("1e2", "100"),
            ("9007199254740993", "9007199254740993"),
            ("18446744073709551615", "18446744073709551615"),
            ("-9223372036854775808", "-9223372036854775808"),
            ("1152921504606846976.0", "1152921504606846976"), // 2^60, exact though its shortest digits are fewer
            ("18446744073709551616", "18446744073709552000"), // 2^64: a float from here on
            ("1e21", "1000000000000000000000"),
            ("1e-7", "0.0000001"),
            ("true", "true"),
            ("[ 1 , [ ] , { } ]", "[1,[],{}]"),
            (r#"{ "b" : 1 , "a" : {"d":false,"c":[2,1]} }"#, r#"{"a":{"c":[2,1],"d":false},"b":1}"#),
            (r#"{"é":1,"z":2,"Z":3,"":4}"#, r#"{"":4,"Z":3,"z":2,"é":1}"#),
            (r#""A\/\"\\\b\t\n\f\r\u001f\u007fé€😀""#, "\"A/\\\"\\\\\\b\\t\\n\\f\\r\\u001f\u{7f}é€😀\""),
        ] {
            assert_eq!(canonical(json), expected, "{json}");
        }
    }

    #[test]
    fn null_is_an_error_that_names_its_path() {
        let parameters = json!({"optimiser": {"rates": [0.1, {"a b": null}]}, "name": "x"});
        let error = write_map(parameters.as_object().unwrap(), "parameters", &mut String::new()).unwrap_err();
        assert!(
            matches!(&error, Error::NullInRecipe { path }
            if path == r#"parameters.optimiser.rates[1]["a b"]"#),
            "{error}"
        );
        let nan = serde_json::to_value(f64::NAN).unwrap();
        assert_eq!(text(&nan), None);
        assert_eq!(text(&serde_json::to_value(f64::INFINITY).unwrap()), None);
    }

    #[test]
    fn too_deep_is_an_error_and_not_a_crash() {
        let mut value = json!(1);
        for _ in 0..DEPTH_LIMIT {
            value = json!([value]);
        }
        assert!(text(&value).is_some());
        assert_eq!(text(&json!([value])), None);
    }

    /// Any JSON without null, with numbers of all three kinds.
    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-3i64..3).prop_map(Value::from),
            (-3i64..3).prop_map(|n| Value::from(n as f64)),
            proptest::num::f64::NORMAL.prop_map(Value::from),
            proptest::num::f64::SUBNORMAL.prop_map(Value::from),
            "[a-c\"\\\\\n\u{1}é😀]{0,4}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map("[a-cé]{0,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    /// Inserts the members of every object in reverse.
    fn reversed(value: &Value) -> Value {
        match value {
            Value::Array(values) => values.iter().map(reversed).collect(),
            Value::Object(map) => {
                let mut members: Vec<_> =
                    map.iter().map(|(key, value)| (key.clone(), reversed(value))).collect();
                members.reverse();
                Value::Object(members.into_iter().collect())
            }
            other => other.clone(),
        }
    }

    /// The slow, obvious statement of when two values are the same to a key.
    fn same(a: &Value, b: &Value) -> bool {
        match (a, b) {
            (Value::Number(a), Value::Number(b)) => {
                let exact = |n: &Number| {
                    let whole = n.as_f64().filter(|x| x.fract() == 0.0 && x.abs() < 1e30).map(|x| x as i128);
                    n.as_u64().map(i128::from).or(n.as_i64().map(i128::from)).or(whole)
                };
                match (exact(a), exact(b)) {
                    (Some(a), Some(b)) => a == b,
                    (None, None) => a.as_f64() == b.as_f64(),
                    _ => false,
                }
            }
            (Value::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (Value::Object(a), Value::Object(b)) => {
                a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b)))
            }
            (a, b) => a == b,
        }
    }

    proptest! {
        #[test]
        fn insertion_order_never_matters(value in any_json()) {
            prop_assert_eq!(text(&value), text(&reversed(&value)));
        }

        #[test]
        fn reading_the_canonical_form_back_changes_nothing(value in any_json()) {
            let written = text(&value).unwrap();
            let read: Value = serde_json::from_str(&written).unwrap();
            prop_assert!(same(&value, &read), "{} is not {}", value, read);
            prop_assert_eq!(text(&read).unwrap(), written);
        }

        #[test]
        fn reading_pretty_json_back_changes_nothing(value in any_json()) {
            let read: Value = serde_json::from_str(&serde_json::to_string_pretty(&value).unwrap()).unwrap();
            prop_assert_eq!(text(&read), text(&value));
        }

        #[test]
        fn equal_forms_are_equal_values(a in any_json(), b in any_json()) {
            prop_assert_eq!(same(&a, &b), text(&a) == text(&b), "{} and {}", a, b);
        }

        #[test]
        fn neighbouring_floats_differ(x in proptest::num::f64::NORMAL) {
            prop_assert_ne!(text(&Value::from(x)), text(&Value::from(x.next_up())));
        }
    }
}
