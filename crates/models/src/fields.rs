//! The fields of a `config.json`, one at a time.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::Error;

/// The fields of a `config.json`.
pub(crate) struct Fields(Map<String, Value>);

impl Fields {
    /// Those of this text.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        Ok(Self(crate::config::parse(text)?))
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
