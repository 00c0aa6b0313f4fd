//! The fields of a `config.json`: read one at a time, checked, and written.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::Error;

/// The fields of a `config.json`.
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Those of this text.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        Ok(Self(parse(text)?))
    }

    /// Whether a field is there, be it `null`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The value of a field, unless it is absent or `null`.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// The value of a field, or `default` where there is none.
    pub(crate) fn or<T: DeserializeOwned>(&self, name: &str, default: T) -> Result<T, Error> {
        match self.get(name) {
            None => Ok(default),
            Some(value) => T::deserialize(value)
                .map_err(|error| Error::Json { reason: format!("`{name}` is {value}: {error}") }),
        }
    }

    /// Checks that a field is absent or has the one value that is computed.
    pub(crate) fn only(
        &self,
        field: &'static str,
        wanted: impl Into<Value>,
        supported: &'static str,
    ) -> Result<(), Error> {
        let wanted = wanted.into();
        match self.get(field) {
            Some(value) if *value != wanted => {
                Err(Error::Unsupported { field, found: value.to_string(), supported })
            }
            _ => Ok(()),
        }
    }
}

/// Reads what a type asks for.
pub(crate) fn parse<'a, T: Deserialize<'a>>(text: &'a str) -> Result<T, Error> {
    serde_json::from_str(text).map_err(|error| Error::Json { reason: error.to_string() })
}

/// Pretty JSON with a newline at the end; the order is that of the struct's fields on every build.
pub(crate) fn render(fields: &impl serde::Serialize) -> String {
    let mut text = serde_json::to_string_pretty(fields).expect("plain fields serialise");
    text.push('\n');
    text
}

/// Checks a size: at least 1, and small enough that products of sizes stay in range.
pub(crate) fn check_size(field: &'static str, found: usize) -> Result<(), Error> {
    if (1..1 << 20).contains(&found) {
        Ok(())
    } else {
        Err(Error::Range { field, found: found.to_string(), range: "in 1..1048576" })
    }
}

/// Checks a finite number in `low..high`.
pub(crate) fn check_in(
    field: &'static str,
    found: f64,
    range: std::ops::Range<f64>,
    says: &'static str,
) -> Result<(), Error> {
    if range.contains(&found) {
        Ok(())
    } else {
        Err(Error::Range { field, found: found.to_string(), range: says })
    }
}
