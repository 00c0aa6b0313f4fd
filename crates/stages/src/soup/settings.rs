//! Parameters of methods as flags: one for each name in the registry of methods.

use std::collections::BTreeMap;

use clap::builder::{PossibleValue, PossibleValuesParser, ValueParser};
use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches};
use serde::Serialize;
use weights::methods::{METHODS, Method};
use weights::parameters::{Case, Kind, Parameter, Value};

use crate::stage::Failure;

/// Values of parameters by name: those that were given, and after [`Settings::resolve`] all that the method has.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Settings(BTreeMap<&'static str, Value>);

impl Settings {
    /// Writes out the defaults of a method, and refuses parameters that it does not have.
    ///
    /// # Errors
    /// [`Failure::Usage`] naming the flag.
    pub(super) fn resolve(&mut self, method: &Method) -> Result<(), Failure> {
        if let Some(name) = self.0.keys().find(|name| method.parameter(name).is_none()) {
            return Err(Failure::Usage(format!("--{name} has no effect with --method {}", method.name)));
        }
        for parameter in method.parameters {
            let value = self.0.entry(parameter.name).or_insert_with(|| parameter.default());
            parameter.check(value).map_err(|error| Failure::Usage(format!("--{error}")))?;
        }
        Ok(())
    }

    /// The values as a plan has them.
    pub(super) fn values(&self) -> BTreeMap<String, Vec<Value>> {
        self.0.iter().map(|(name, value)| ((*name).to_owned(), vec![value.clone()])).collect()
    }
}

impl Args for Settings {
    fn augment_args(command: Command) -> Command {
        names()
            .into_iter()
            .fold(command, |command, (parameter, methods)| command.arg(flag(parameter, &methods)))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for Settings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut settings = Self::default();
        settings.update_from_arg_matches(matches)?;
        Ok(settings)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for (parameter, _) in names() {
            let value = match parameter.kind {
                Kind::Choice(_) => matches.get_one::<String>(parameter.name).cloned().map(Value::Name),
                Kind::Number { .. } => matches.get_many::<Case>(parameter.name).map(|cases| {
                    let mut cases: Vec<Case> = cases.cloned().collect();
                    match &cases[..] {
                        [Case { filter: None, .. }] => *cases.remove(0).value,
                        _ => Value::Filtered(cases),
                    }
                }),
            };
            self.0.extend(value.map(|value| (parameter.name, value)));
        }
        Ok(())
    }
}

/// Each parameter once, with the methods that have it and their defaults.
fn names() -> Vec<(&'static Parameter, Vec<(&'static str, String)>)> {
    let mut names: Vec<(&Parameter, Vec<(&str, String)>)> = Vec::new();
    for method in METHODS {
        for parameter in method.parameters {
            let of_method = (method.name, parameter.default().to_string());
            match names.iter_mut().find(|(known, _)| known.name == parameter.name) {
                Some((_, methods)) => methods.push(of_method),
                None => names.push((parameter, vec![of_method])),
            }
        }
    }
    names
}

fn flag(parameter: &'static Parameter, methods: &[(&str, String)]) -> Arg {
    let arg = Arg::new(parameter.name).long(parameter.name).help_heading("Parameters of methods");
    let help = format!("{} {}", parameter.about, defaults(methods));
    match parameter.kind {
        Kind::Choice(values) => {
            let values = values.iter().map(|(name, about)| PossibleValue::new(name).help(about));
            arg.value_name("NAME").value_parser(PossibleValuesParser::from(values.collect::<Vec<_>>())).help(help)
        }
        Kind::Number { .. } => arg
            .value_name("VALUE")
            .value_parser(ValueParser::from(parse))
            .action(ArgAction::Append)
            .allow_negative_numbers(true)
            .long_help(format!(
                "{help}\n\nA number, or `FIRST,..,LAST` for a gradient over the layers. With `PART=` before it, for \
                 tensors whose names contain PART: the first of several that applies."
            ))
            .help(help),
    }
}

/// The defaults, and which methods have them: `[default: 1 with ties; 0.4 with dare]`.
fn defaults(methods: &[(&str, String)]) -> String {
    let mut by_value: Vec<(&str, Vec<&str>)> = Vec::new();
    for (method, value) in methods {
        match by_value.iter_mut().find(|(known, _)| known == value) {
            Some((_, methods)) => methods.push(method),
            None => by_value.push((value, vec![method])),
        }
    }
    let each: Vec<String> =
        by_value.iter().map(|(value, methods)| format!("{value} with {}", methods.join(", "))).collect();
    format!("[default: {}]", each.join("; "))
}

/// Reads `[PART=]NUMBER[,NUMBER...]`.
fn parse(text: &str) -> Result<Case, String> {
    let (filter, numbers) = match text.split_once('=') {
        Some((filter, numbers)) => (Some(filter.to_owned()), numbers),
        None => (None, text),
    };
    let number = |text: &str| text.trim().parse().map_err(|_| format!("`{text}` is not a number"));
    let mut numbers = numbers.split(',').map(number).collect::<Result<Vec<f64>, String>>()?;
    let value = if numbers.len() == 1 { Value::Number(numbers.remove(0)) } else { Value::Gradient(numbers) };
    Ok(Case { filter, value: Box::new(value) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(arguments: &str) -> Result<Settings, String> {
        let command = Settings::augment_args(Command::new("soup").no_binary_name(true));
        let matches =
            command.try_get_matches_from(arguments.split_whitespace()).map_err(|error| error.to_string())?;
        Settings::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    fn resolved(arguments: &str, method: &str) -> Result<String, String> {
        let mut settings = parsed(arguments)?;
        settings.resolve(Method::named(method).unwrap()).map_err(|failure| failure.to_string())?;
        Ok(serde_json::to_string(&settings).unwrap())
    }

    #[test]
    fn values_are_numbers_gradients_or_by_name() {
        assert_eq!(resolved("--density 0.5", "dare").unwrap(), r#"{"density":0.5,"scale":0.4,"weight":1.0}"#);
        assert_eq!(
            resolved("--density mlp=0.1,0.9 --density 0.5 --trim tensor", "ties").unwrap(),
            r#"{"density":[{"filter":"mlp","value":[0.1,0.9]},{"value":0.5}],"scale":1.0,"trim":"tensor","weight":1.0}"#
        );
        assert_eq!(resolved("", "uniform").unwrap(), "{}");
    }

    #[test]
    fn what_a_method_does_not_have_is_refused() {
        let message = |arguments, method| resolved(arguments, method).unwrap_err();
        assert_eq!(message("--scale 0.5", "uniform"), "--scale has no effect with --method uniform");
        assert_eq!(message("--density 1.5", "ties"), "--density must be above 0 and at most 1, not 1.5");
        assert!(message("--density much", "ties").contains("`much` is not a number"));
        assert!(message("--rule maybe", "greedy").contains("not-worse"));
    }
}
