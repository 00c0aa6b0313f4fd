//! How fast a decoder's heads are turned by position: `rope_parameters` in `config.json`, `rope_scaling` in older ones.

use std::collections::BTreeMap;
use std::f32::consts::TAU;

use kernels::rotary;
use serde_json::{Value, json};

use super::Config;
use crate::Error;
use crate::fields::Fields;
use crate::fields::{check_in, check_size};

/// What became of the frequencies `theta^(-2i / size)` when a model was made to read longer texts: `rope_type`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Scaling {
    /// Nothing: `default`.
    #[default]
    None,
    /// All are divided: `linear` (Chen et al. 2023, "Extending Context Window of Large Language Models via Position
    /// Interpolation").
    Linear {
        /// By this, at least 1.
        factor: f64,
    },
    /// Those of planes that turn less than `low` times within the texts of before are divided, those that turn more than
    /// `high` times are not, and between them both are mixed: `llama3` (Llama 3.1).
    Llama3 {
        /// By this, at least 1.
        factor: f64,
        /// `low_freq_factor`.
        low: f64,
        /// `high_freq_factor`, more than `low`.
        high: f64,
        /// Length of the texts of before, in tokens: `original_max_position_embeddings`.
        before: usize,
    },
}

impl Scaling {
    /// The frequency in the place of this one, rounded to `f32` at each step as transformers does.
    fn apply(self, frequency: f32) -> f32 {
        match self {
            Self::None => frequency,
            Self::Linear { factor } => frequency / factor as f32,
            Self::Llama3 { factor, low, high, before } => {
                let wavelength = TAU / frequency;
                let turns = before as f32 / wavelength;
                if wavelength > (before as f64 / low) as f32 {
                    frequency / factor as f32
                } else if wavelength < (before as f64 / high) as f32 {
                    frequency
                } else {
                    let kept = (turns - low as f32) / (high - low) as f32;
                    (1.0 - kept) * frequency / factor as f32 + kept * frequency
                }
            }
        }
    }

    pub(super) fn check(self) -> Result<(), Error> {
        let factor = match self {
            Self::None => return Ok(()),
            Self::Linear { factor } | Self::Llama3 { factor, .. } => factor,
        };
        check_in("factor", factor, 1.0..1e6, "in 1..1e6")?;
        if let Self::Llama3 { low, high, before, .. } = self {
            check_in("low_freq_factor", low, 1e-6..1e6, "in 1e-6..1e6")?;
            check_in("high_freq_factor", high, low + f64::EPSILON..1e6, "more than `low_freq_factor`")?;
            check_size("original_max_position_embeddings", before)?;
        }
        Ok(())
    }
}

impl Config {
    /// Frequencies of the planes of a head, in radians per position.
    pub(crate) fn frequencies(&self) -> Vec<f32> {
        let plain = rotary::frequencies(self.rope_theta, self.rotated());
        plain.into_iter().map(|frequency| self.rope_scaling.apply(frequency)).collect()
    }

    /// Reads rotations from `rope_parameters` as transformers 5 writes them, else from fields of their own.
    pub(super) fn read_rotations(
        &mut self,
        fields: &Fields,
        theta_name: &'static str,
        share_name: &'static str,
    ) -> Result<(), Error> {
        let is_always_whole = self.partial_rotary_factor == 1.0;
        self.rope_theta = fields.or(theta_name, self.rope_theta)?;
        self.partial_rotary_factor = fields.or(share_name, self.partial_rotary_factor)?;
        for field in ["rope_parameters", "rope_scaling"] {
            let Some(value) = fields.get(field) else { continue };
            let refuse = |supported| Error::Unsupported { field, found: value.to_string(), supported };
            let object = value.as_object().ok_or_else(|| refuse("an object"))?;
            let kind = ["rope_type", "type"].iter().find_map(|name| object.get(*name)?.as_str());
            let number = |name: &'static str, says| {
                let value = object.get(name).map(|value| value.as_f64().ok_or_else(|| refuse(says)));
                value.transpose()
            };
            if let Some(theta) = number("rope_theta", "a number as `rope_theta`")? {
                self.rope_theta = theta;
            }
            if let Some(share) = number("partial_rotary_factor", "a number as `partial_rotary_factor`")? {
                self.partial_rotary_factor = share;
            }
            let needed =
                |name: &'static str, says: &'static str| number(name, says)?.ok_or_else(|| refuse(says));
            let mut known = vec!["rope_type", "type", "rope_theta", "partial_rotary_factor"];
            self.rope_scaling = match kind {
                None | Some("default") => Scaling::None,
                Some("linear") => {
                    known.push("factor");
                    Scaling::Linear { factor: needed("factor", "a number as `factor`")? }
                }
                Some("llama3") => {
                    let names =
                        ["factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"];
                    known.extend(names);
                    let says = "`factor`, `low_freq_factor`, `high_freq_factor` and `original_max_position_embeddings`";
                    let mut values = [0.0; 4];
                    for (name, value) in names.into_iter().zip(&mut values) {
                        *value = needed(name, says)?;
                    }
                    let [factor, low, high, before] = values;
                    Scaling::Llama3 { factor, low, high, before: before as usize }
                }
                Some(_) => return Err(refuse("rotations of type `default`, `linear` or `llama3`")),
            };
            if object.keys().any(|name| !known.contains(&name.as_str())) {
                return Err(refuse("rotations of type `default`, `linear` or `llama3`, alike in all layers"));
            }
        }
        // Llama's class would ignore another share where it is written, and so it is no model of that kind.
        if is_always_whole && self.partial_rotary_factor != 1.0 {
            let (field, found) = ("partial_rotary_factor", self.partial_rotary_factor.to_string());
            return Err(Error::Unsupported { field, found, supported: "1" });
        }
        Ok(())
    }

    /// Rotations as transformers 5 has them.
    pub(super) fn written_rotations(&self, is_partial: bool) -> Value {
        let kind = match self.rope_scaling {
            Scaling::None => "default",
            Scaling::Linear { .. } => "linear",
            Scaling::Llama3 { .. } => "llama3",
        };
        let mut fields = BTreeMap::from([("rope_theta", json!(self.rope_theta)), ("rope_type", json!(kind))]);
        if is_partial {
            fields.insert("partial_rotary_factor", json!(self.partial_rotary_factor));
        }
        match self.rope_scaling {
            Scaling::None => {}
            Scaling::Linear { factor } => {
                fields.insert("factor", json!(factor));
            }
            Scaling::Llama3 { factor, low, high, before } => fields.extend([
                ("factor", json!(factor)),
                ("low_freq_factor", json!(low)),
                ("high_freq_factor", json!(high)),
                ("original_max_position_embeddings", json!(before)),
            ]),
        }
        json!(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decoder::Variant;

    /// `ROPE_INIT_FUNCTIONS` of transformers 5.24, of Llama 3.2 1B.
    #[test]
    fn frequencies_are_those_of_transformers() {
        let config = Config { rope_theta: 5e5, head_dim: 64, ..Config::of(Variant::Llama) };
        let plain = config.frequencies();
        let llama3 = Scaling::Llama3 { factor: 32.0, low: 1.0, high: 4.0, before: 8192 };
        let scaled = Config { rope_scaling: llama3, ..config.clone() }.frequencies();
        assert_eq!(plain.len(), 32);
        let expected = [
            (0, 1.0),
            (5, 0.128_687_38),
            (12, 0.007_292_665),
            (13, 0.004_839_421_2),
            (14, 0.003_211_446),
            (15, 0.001_290_548),
            (16, 0.000_429_556_7),
            (17, 9.708_286e-5),
            (18, 1.946_163_9e-5),
            (31, 9.418_306_5e-8),
        ];
        for (place, value) in expected {
            assert_eq!(scaled[place], value, "plane {place}");
        }
        let linear = Config { rope_scaling: Scaling::Linear { factor: 4.0 }, ..config }.frequencies();
        assert!(linear.iter().zip(&plain).all(|(linear, plain)| *linear == plain / 4.0));
    }
}
