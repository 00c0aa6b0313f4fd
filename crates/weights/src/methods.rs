//! The registry of methods that make one model out of several: soups, which average, and merges.
//!
//! To add one: a file with its [`Method`], and a row in [`METHODS`]. Commands, their help, their errors and the colours
//! of pages follow from the row.

use versions::Versions;

use crate::members::{Members, Tensor};
use crate::parameters::{Parameter, Plan, Settings};
use crate::soups::Soup;
use crate::{Error, Layout, Weights, merges, soups, stored};

/// All methods, in the order in which commands list them and pages colour them.
pub static METHODS: [&Method; 22] = [
    &soups::uniform::METHOD,
    &soups::greedy::METHOD,
    &soups::random_order::METHOD,
    &merges::task_arithmetic::METHOD,
    &merges::ties::METHOD,
    &merges::dare::METHOD,
    &merges::model_stock::METHOD,
    &merges::slerp::METHOD,
    &soups::beam::METHOD,
    &merges::linear::METHOD,
    &soups::wise::METHOD,
    &merges::nuslerp::METHOD,
    &merges::multislerp::METHOD,
    &merges::karcher::METHOD,
    &merges::dare::TIES,
    &merges::della::METHOD,
    &merges::della::LINEAR,
    &merges::breadcrumbs::METHOD,
    &merges::breadcrumbs::TIES,
    &merges::sce::METHOD,
    &merges::arcee_fusion::METHOD,
    &merges::nearswap::METHOD,
];

/// One method.
#[derive(Debug)]
pub struct Method {
    /// Its name in commands, recipes and tables.
    pub name: &'static str,
    /// One line of help.
    pub about: &'static str,
    /// Changes whenever a result of the method changes.
    pub version: u32,
    /// Its parameters.
    pub parameters: &'static [Parameter],
    /// Whether it needs what the models were fine-tuned from.
    pub base: Base,
    /// Whether it draws from a seed.
    pub random: bool,
    /// Fewest and most models.
    pub members: (usize, usize),
    /// How it computes.
    pub how: How,
}

/// Whether a method needs a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// It has no use for one.
    Unused,
    /// Differences are taken from it where it is given.
    Optional,
    /// It is needed.
    Required,
}

/// Measures something of whole models before their tensors are merged, for [`How::Tensors`].
pub type Survey = fn(&Members<'_>, &Plan) -> Result<merges::thin::Cuts, Error>;

/// How a method computes.
#[derive(Clone, Copy)]
pub enum How {
    /// Value by value: writes the values of a tensor from a start on.
    Values(fn(&Tensor<'_>, &Settings, usize, &mut [f32]) -> Result<(), Error>),
    /// Tensor by tensor.
    Tensors(fn(&Tensor<'_>, &Settings, &mut [f32]) -> Result<(), Error>),
    /// Tensor by tensor, after a look at whole models.
    Surveyed(Survey, fn(&Tensor<'_>, &Settings, &merges::thin::Cuts, &mut [f32]) -> Result<(), Error>),
    /// By held-out scores of whole models.
    Selection(fn(&Members<'_>, &Plan, &mut Score<'_>) -> Result<Soup, Error>),
}

impl std::fmt::Debug for How {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Values(_) => "Values",
            Self::Tensors(_) => "Tensors",
            Self::Surveyed(..) => "Surveyed",
            Self::Selection(_) => "Selection",
        })
    }
}

/// A held-out score of a model, larger is better. What a soup is judged by (a test set, anything out of distribution)
/// must never select.
pub type Score<'a> = dyn FnMut(&Weights) -> Result<f64, Box<dyn std::error::Error + Send + Sync>> + 'a;

/// Values that are handed on at a time: 4 MiB.
const WINDOW: usize = 1 << 20;

impl Method {
    /// The method of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        METHODS.into_iter().find(|method| method.name == name)
    }

    /// Versions of the method and of what it rests on.
    #[must_use]
    pub fn versions(&self) -> Versions {
        // Heads that a base lacks, and what was selected, are averaged.
        let mean = self.selects() || self.base != Base::Unused;
        let mut versions = Versions::of(self.name, self.version);
        if mean {
            versions =
                versions.and(Versions::of(soups::uniform::METHOD.name, soups::uniform::METHOD.version));
        }
        if self.random { versions.and(random::versions()) } else { versions }
    }

    /// Whether it selects by held-out scores.
    #[must_use]
    pub fn selects(&self) -> bool {
        matches!(self.how, How::Selection(_))
    }

    /// Its parameter of this name.
    #[must_use]
    pub fn parameter(&self, name: &str) -> Option<&'static Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }

    /// Checks number of models, base and parameters before a value is read.
    ///
    /// # Errors
    /// [`Error::Members`], [`Error::NoBase`], [`Error::NoParameter`], [`Error::Parameter`], [`Error::Choice`].
    pub fn check(&'static self, models: usize, has_base: bool, plan: &Plan) -> Result<(), Error> {
        let (least, most) = self.members;
        if !(least..=most).contains(&models) {
            return Err(Error::Members { method: self.name, least, most, found: models });
        }
        if self.base == Base::Required && !has_base {
            return Err(Error::NoBase { method: self.name });
        }
        for (name, values) in &plan.values {
            let unknown = || Error::NoParameter { method: self.name, name: name.clone() };
            let parameter = self.parameter(name).ok_or_else(unknown)?;
            if values.len() > 1 && values.len() != models {
                let expected = "one value, or one for each model";
                return Err(Error::Parameter { name: parameter.name, expected, value: values.len() as f64 });
            }
            values.iter().try_for_each(|value| parameter.check(value))?;
        }
        Ok(())
    }

    /// Merges `members` in memory. Tensors that the base of a method that needs one does not have are averaged.
    ///
    /// # Errors
    /// As [`Method::check`] and [`Tensor::read`]; [`Error::Selects`] for a method that needs held-out scores.
    pub fn merge(&'static self, members: &Members<'_>, plan: &Plan) -> Result<Weights, Error> {
        let job = Job::new(self, members, plan)?;
        let mut out = Weights::zeros(std::sync::Arc::clone(members.layout()));
        for (index, entry) in members.layout().entries().iter().enumerate() {
            job.tensor(index, 0, &mut out.values[entry.range()])?;
        }
        Ok(out)
    }

    /// Hands the safetensors file of the merge of `members` to `take`, piece by piece: its header, then at most 4 MiB
    /// at a time.
    ///
    /// A method of [`How::Values`] looks at one such window of each model between two pieces. Others hold one tensor of
    /// the result and what they need to find it, at most nine times the largest tensor in `f32`, whatever the number
    /// of models.
    ///
    /// # Errors
    /// As [`Method::merge`], and whatever `take` fails with.
    pub fn stream<E: From<Error>>(
        &'static self,
        members: &Members<'_>,
        plan: &Plan,
        take: &mut impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let job = Job::new(self, members, plan)?;
        let layout = members.layout();
        take(&stored::header(layout))?;
        let (mut values, mut bytes) = (Vec::new(), Vec::new());
        for (index, entry) in in_file_order(layout) {
            let step = if job.in_windows(index) { WINDOW } else { entry.len.max(1) };
            for start in (0..entry.len).step_by(step) {
                values.resize(step.min(entry.len - start), 0.0);
                job.tensor(index, start, &mut values)?;
                for window in values.chunks(WINDOW) {
                    bytes.resize(4 * window.len(), 0);
                    stored::encode(window, &mut bytes);
                    take(&bytes)?;
                }
            }
        }
        Ok(())
    }

    /// Chooses among `members` by `score`, and averages the chosen.
    ///
    /// # Errors
    /// As [`Method::check`]; [`Error::Selects`] for a method that does not select; [`Error::Score`] around whatever
    /// `score` fails with.
    pub fn select(
        &'static self,
        members: &Members<'_>,
        plan: &Plan,
        score: &mut Score<'_>,
    ) -> Result<Soup, Error> {
        self.check(members.len(), false, plan)?;
        match self.how {
            How::Selection(select) => select(members, plan, score),
            _ => Err(Error::Selects { method: self.name }),
        }
    }
}

/// The tensors of a layout by name, with their numbers.
fn in_file_order(layout: &Layout) -> Vec<(usize, &crate::Entry)> {
    let mut entries: Vec<(usize, &crate::Entry)> = layout.entries().iter().enumerate().collect();
    entries.sort_unstable_by(|(_, a), (_, b)| a.name.cmp(&b.name));
    entries
}

/// One merge of one group of models.
struct Job<'a> {
    method: &'static Method,
    members: &'a Members<'a>,
    plan: &'a Plan,
    cuts: merges::thin::Cuts,
}

impl<'a> Job<'a> {
    fn new(method: &'static Method, members: &'a Members<'a>, plan: &'a Plan) -> Result<Self, Error> {
        method.check(members.len(), members.has_base(), plan)?;
        let cuts = match method.how {
            How::Surveyed(survey, _) => survey(members, plan)?,
            How::Selection(_) => return Err(Error::Selects { method: method.name }),
            How::Values(_) | How::Tensors(_) => merges::thin::Cuts::default(),
        };
        Ok(Self { method, members, plan, cuts })
    }

    /// Whether the base has nothing to say about a tensor that the method needs it for: a fresh head.
    fn is_averaged(&self, tensor: &Tensor<'_>) -> bool {
        self.method.base != Base::Unused && self.members.has_base() && !tensor.has_base()
    }

    fn in_windows(&self, index: usize) -> bool {
        matches!(self.method.how, How::Values(_)) || self.is_averaged(&self.members.tensor(index))
    }

    /// Writes the values of a tensor from `start` on: to its end, unless the method goes value by value.
    fn tensor(&self, index: usize, start: usize, out: &mut [f32]) -> Result<(), Error> {
        let mut tensor = self.members.tensor(index);
        if self.method.base == Base::Unused {
            tensor = tensor.without_base();
        }
        if self.is_averaged(&tensor) {
            return soups::uniform::mean(&tensor, start, out);
        }
        let settings = self.plan.settings(self.method.parameters, self.members.layout(), index);
        match self.method.how {
            How::Values(values) => values(&tensor, &settings, start, out),
            How::Tensors(merge) => merge(&tensor, &settings, out),
            How::Surveyed(_, merge) => merge(&tensor, &settings, &self.cuts, out),
            How::Selection(_) => Err(Error::Selects { method: self.method.name }),
        }
    }
}

#[cfg(test)]
#[path = "methods_tests.rs"]
pub(crate) mod tests;
