//! Parameters of methods: their ranges and defaults, and the values that they have for one tensor.
//!
//! A value is a number, a gradient over the layers, or one of these by the names of tensors (mergekit's forms).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Error, Layout};

/// A parameter of a method.
#[derive(Clone, Copy, Debug)]
pub struct Parameter {
    /// Its name in commands and recipes.
    pub name: &'static str,
    /// One line of help.
    pub about: &'static str,
    /// Its values.
    pub kind: Kind,
}

/// The values of a parameter.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// A number.
    Number {
        /// Where nothing is said.
        default: f64,
        /// Its range in words.
        expected: &'static str,
        /// Whether a number is in the range.
        valid: fn(f64) -> bool,
    },
    /// One of several names, each with a line of help; the first is the default.
    Choice(&'static [(&'static str, &'static str)]),
}

impl Parameter {
    /// A share above 0, at most 1.
    pub(crate) const fn share(name: &'static str, about: &'static str, default: f64) -> Self {
        let valid = |value: f64| value > 0.0 && value <= 1.0;
        Self { name, about, kind: Kind::Number { default, expected: "above 0 and at most 1", valid } }
    }

    /// Any finite number.
    pub(crate) const fn number(name: &'static str, about: &'static str, default: f64) -> Self {
        let kind = Kind::Number { default, expected: "a finite number", valid: f64::is_finite };
        Self { name, about, kind }
    }

    /// The same parameter with another default.
    pub(crate) const fn or(self, default: f64) -> Self {
        match self.kind {
            Kind::Number { expected, valid, .. } => {
                Self { kind: Kind::Number { default, expected, valid }, ..self }
            }
            Kind::Choice(_) => self,
        }
    }

    /// Its value where nothing is said.
    #[must_use]
    pub fn default(&self) -> Value {
        match self.kind {
            Kind::Number { default, .. } => Value::Number(default),
            Kind::Choice(names) => Value::Name(names[0].0.into()),
        }
    }

    /// Checks a value: its numbers are in range, its names known.
    ///
    /// # Errors
    /// [`Error::Parameter`] or [`Error::Choice`].
    pub fn check(&self, value: &Value) -> Result<(), Error> {
        match (value, self.kind) {
            (Value::Number(number), Kind::Number { .. }) => self.check_number(*number),
            (Value::Gradient(numbers), Kind::Number { .. }) if !numbers.is_empty() => {
                numbers.iter().try_for_each(|&number| self.check_number(number))
            }
            (Value::Filtered(cases), Kind::Number { .. }) => {
                cases.iter().try_for_each(|case| match &*case.value {
                    Value::Filtered(_) => Err(self.unlike("filters within filters")),
                    value => self.check(value),
                })
            }
            (Value::Name(name), Kind::Choice(names)) if names.iter().any(|(known, _)| known == name) => {
                Ok(())
            }
            (value, _) => Err(self.unlike(&value.to_string())),
        }
    }

    fn check_number(&self, value: f64) -> Result<(), Error> {
        match self.kind {
            Kind::Number { expected, valid, .. } if !valid(value) => {
                Err(Error::Parameter { name: self.name, expected, value })
            }
            _ => Ok(()),
        }
    }

    fn unlike(&self, found: &str) -> Error {
        let expected = match self.kind {
            Kind::Number { expected, .. } => expected.into(),
            Kind::Choice(names) => {
                format!("one of {}", names.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", "))
            }
        };
        Error::Choice { name: self.name, expected, found: found.into() }
    }
}

/// What a parameter is set to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// The same for all tensors.
    Number(f64),
    /// From the first layer to the last, linear between equally spaced values. Tensors outside of the layers have the
    /// first, as in mergekit.
    Gradient(Vec<f64>),
    /// By the names of tensors: the first case that applies.
    Filtered(Vec<Case>),
    /// One of a choice's names.
    Name(String),
}

/// One value by the names of tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// What names contain; all where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The value.
    pub value: Box<Value>,
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Gradient(numbers) => write!(f, "{numbers:?}"),
            Self::Filtered(_) => f.write_str("filters by name"),
            Self::Name(name) => f.write_str(name),
        }
    }
}

impl Value {
    /// The number that it is for a tensor at `depth`, 0 to 1; none if no filter applies.
    fn number(&self, name: &str, depth: f64) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Gradient(numbers) => {
                let place = depth * (numbers.len() - 1) as f64;
                let low = place as usize;
                let high = (low + 1).min(numbers.len() - 1);
                let share = place - low as f64;
                Some((1.0 - share) * numbers[low] + share * numbers[high])
            }
            Self::Filtered(cases) => {
                let applies = |filter: &String| filter == "*" || name.contains(filter.as_str());
                let case = cases.iter().find(|case| case.filter.as_ref().is_none_or(applies))?;
                case.value.number(name, depth)
            }
            Self::Name(_) => None,
        }
    }
}

/// Values of a method's parameters for all tensors, and its seed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// By the parameter's name: a value for all models, or one for each. What is not there has its default.
    pub values: BTreeMap<String, Vec<Value>>,
    /// Seed of what is drawn.
    pub seed: u64,
}

impl Plan {
    /// A plan with one parameter more.
    #[must_use]
    pub fn with(mut self, name: &str, value: f64) -> Self {
        self.values.insert(name.into(), vec![Value::Number(value)]);
        self
    }

    /// The same plan with another seed.
    #[must_use]
    pub fn seeded(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// The name that a choice is set to.
    #[must_use]
    pub fn choice<'a>(&'a self, parameter: &'a Parameter) -> &'a str {
        match (self.values.get(parameter.name).and_then(|values| values.first()), parameter.kind) {
            (Some(Value::Name(name)), _) => name,
            (_, Kind::Choice(names)) => names[0].0,
            (_, Kind::Number { .. }) => "",
        }
    }

    /// The values of `parameters` for tensor number `index` of `layout`.
    pub(crate) fn settings(&self, parameters: &[Parameter], layout: &Layout, index: usize) -> Settings {
        let name = &layout.entries()[index].name;
        let depth = depth(layout, index);
        let numbers = parameters.iter().filter_map(|parameter| {
            let Kind::Number { default, .. } = parameter.kind else { return None };
            let set = self.values.get(parameter.name).map_or(&[][..], Vec::as_slice);
            let mut numbers: Vec<f64> =
                set.iter().map(|value| value.number(name, depth).unwrap_or(default)).collect();
            if numbers.is_empty() {
                numbers.push(default);
            }
            Some((parameter.name, numbers))
        });
        Settings { numbers: numbers.collect(), seed: self.seed }
    }
}

/// Where tensor number `index` stands among the layers: 0 in the first and outside of them, 1 in the last.
fn depth(layout: &Layout, index: usize) -> f64 {
    let own = layout.entries()[index].layer();
    let mut layers: Vec<&str> =
        layout.entries().iter().map(crate::Entry::layer).filter(|layer| !layer.is_empty()).collect();
    layers.dedup();
    let place = layers.iter().position(|layer| *layer == own).unwrap_or(0);
    place as f64 / (layers.len().max(2) - 1) as f64
}

/// Values of a method's parameters for one tensor.
#[derive(Clone, Debug)]
pub struct Settings {
    /// By the parameter's name: one for all models, or one for each.
    numbers: BTreeMap<&'static str, Vec<f64>>,
    /// Seed of what is drawn.
    pub(crate) seed: u64,
}

impl Settings {
    /// A parameter that all models have in common.
    ///
    /// # Panics
    /// If the method's row does not name the parameter.
    pub(crate) fn get(&self, name: &'static str) -> f64 {
        self.numbers[name][0]
    }

    /// A parameter of one model.
    ///
    /// # Panics
    /// As [`Settings::get`].
    pub(crate) fn of(&self, name: &'static str, member: usize) -> f64 {
        let numbers = &self.numbers[name];
        numbers[if numbers.len() == 1 { 0 } else { member }]
    }

    /// A parameter of each of `n` models.
    ///
    /// # Panics
    /// As [`Settings::get`].
    pub(crate) fn each(&self, name: &'static str, n: usize) -> Vec<f64> {
        (0..n).map(|member| self.of(name, member)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DENSITY: Parameter = Parameter::share("density", "", 0.2);

    fn layout() -> Layout {
        let mut layout = Layout::default();
        for name in [
            "wte.weight",
            "h.0.mlp.weight",
            "h.0.attn.weight",
            "h.1.mlp.weight",
            "h.2.mlp.weight",
            "ln.weight",
        ] {
            layout.push(name, &[1]);
        }
        layout
    }

    fn values(json: &str) -> Vec<f64> {
        let value: Value = serde_json::from_str(json).unwrap();
        DENSITY.check(&value).unwrap();
        let plan = Plan { values: BTreeMap::from([("density".into(), vec![value])]), seed: 0 };
        (0..6).map(|index| plan.settings(&[DENSITY], &layout(), index).get("density")).collect()
    }

    /// As mergekit 0.1.5 evaluates the same settings.
    #[test]
    fn numbers_gradients_and_filters() {
        assert_eq!(values("0.5"), [0.5; 6]);
        assert_eq!(values("[0.25, 0.75]"), [0.25, 0.25, 0.25, 0.5, 0.75, 0.25]);
        assert_eq!(values("[0.25, 0.75, 0.5]"), [0.25, 0.25, 0.25, 0.75, 0.5, 0.25]);
        assert_eq!(
            values(r#"[{"filter": "mlp", "value": [1, 0.5]}, {"value": 0.125}]"#),
            [0.125, 1.0, 0.125, 0.75, 0.5, 0.125]
        );
        assert_eq!(values(r#"[{"filter": "attn", "value": 1}]"#), [0.2, 0.2, 1.0, 0.2, 0.2, 0.2]);
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let message =
            |json: &str| DENSITY.check(&serde_json::from_str(json).unwrap()).unwrap_err().to_string();
        assert_eq!(message("1.5"), "density must be above 0 and at most 1, not 1.5");
        assert_eq!(message("[0.5, 0]"), "density must be above 0 and at most 1, not 0");
        assert_eq!(message(r#"[{"value": -1}]"#), "density must be above 0 and at most 1, not -1");
        assert_eq!(message(r#""much""#), "density must be above 0 and at most 1, not much");
        assert_eq!(message(r#"[]"#), "density must be above 0 and at most 1, not []");
    }
}
