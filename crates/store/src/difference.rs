//! What [`Store::explain`](crate::Store::explain) finds, and how it reads.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

use crate::{Input, ObjectId, StageKey};

/// One step upstream: from a stage to what made one of its inputs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hop {
    /// Role of the input.
    pub role: String,
    /// Position within the role, where the role has several inputs.
    pub index: Option<usize>,
    /// The stage that made the input.
    pub stage: String,
}

/// One difference, and where: downstream is first.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// The way upstream to the stage that differs; empty where it is the one that was asked about.
    pub at: Vec<Hop>,
    /// What differs there.
    pub change: Change,
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// They are of different stages; nothing else is compared then.
    Stage {
        /// Of the first.
        before: String,
        /// Of the second.
        after: String,
    },
    /// The stage's code has another version.
    Version {
        /// Of the first.
        before: u32,
        /// Of the second.
        after: u32,
    },
    /// A parameter has another value, or only one of them has it.
    Parameter {
        /// JSON path below the parameters.
        path: String,
        /// Of the first.
        before: Option<Value>,
        /// Of the second.
        after: Option<Value>,
    },
    /// The same inputs in another order.
    Order {
        /// Role of the inputs.
        role: String,
    },
    /// An input that only the second has.
    Added {
        /// Role of the input.
        role: String,
        /// Position in the second.
        index: usize,
        /// The input.
        input: Input,
    },
    /// An input that only the first has.
    Removed {
        /// Role of the input.
        role: String,
        /// Position in the first.
        index: usize,
        /// The input.
        input: Input,
    },
    /// Another output of what made the input, such as another step of a ladder.
    Taken {
        /// Role of the input.
        role: String,
        /// Position within the role, where it has several inputs.
        index: Option<usize>,
        /// Output that the first reads.
        before: String,
        /// Output that the second reads.
        after: String,
    },
    /// The same recipe made the input, but other bytes: on another instruction set, or after a loss.
    Bytes {
        /// Role of the input.
        role: String,
        /// Position within the role, where it has several inputs.
        index: Option<usize>,
        /// Key of that recipe.
        from: StageKey,
    },
    /// The inputs differ, and what made one of them is not in the store.
    Lost {
        /// Role of the input.
        role: String,
        /// Position within the role, where it has several inputs.
        index: Option<usize>,
        /// Keys that are not in the store.
        missing: Vec<StageKey>,
    },
    /// The inputs differ for a reason that has been given already.
    Same {
        /// Role of the input.
        role: String,
        /// Position within the role, where it has several inputs.
        index: Option<usize>,
        /// Where it was given.
        reason: String,
    },
    /// The recipes are one, but the outputs are not.
    Output {
        /// Role of the output.
        role: String,
        /// Of the first.
        before: Option<ObjectId>,
        /// Of the second.
        after: Option<ObjectId>,
    },
}

/// The way upstream, as it reads.
pub(crate) fn way(hops: &[Hop]) -> String {
    let hops: Vec<String> =
        hops.iter().map(|hop| format!("{} from {}", place(&hop.role, hop.index), hop.stage)).collect();
    hops.join(" < ")
}

fn place(role: &str, index: Option<usize>) -> String {
    index.map_or_else(|| role.to_owned(), |index| format!("{role}[{index}]"))
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.at.is_empty() {
            write!(f, "{}: ", way(&self.at))?;
        }
        write!(f, "{}", self.change)
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object =
            |object: &Option<ObjectId>| object.map_or_else(|| "none".to_owned(), |object| object.short());
        match self {
            Change::Stage { before, after } => write!(f, "stage {before} -> {after}"),
            Change::Version { before, after } => write!(f, "version {before} -> {after}"),
            Change::Parameter { path, before: Some(before), after: Some(after) } => {
                write!(f, "parameter {path}: {before} -> {after}")
            }
            Change::Parameter { path, before: Some(before), .. } => {
                write!(f, "parameter {path}: {before} -> none")
            }
            Change::Parameter { path, after: Some(after), .. } => {
                write!(f, "parameter {path}: none -> {after}")
            }
            Change::Parameter { path, .. } => write!(f, "parameter {path}"),
            Change::Order { role } => write!(f, "the {role} inputs are the same in another order"),
            Change::Added { role, index, input } => {
                write!(
                    f,
                    "input {role}[{index}], object {} from {}, added",
                    input.object.short(),
                    input.from.short()
                )
            }
            Change::Removed { role, index, input } => {
                write!(
                    f,
                    "input {role}[{index}], object {} from {}, removed",
                    input.object.short(),
                    input.from.short()
                )
            }
            Change::Taken { role, index, before, after } => {
                write!(f, "input {}: output {before} -> {after}", place(role, *index))
            }
            Change::Bytes { role, index, from } => {
                let place = place(role, *index);
                write!(
                    f,
                    "input {place}: recipe {} made other bytes (see both manifests' provenance)",
                    from.short()
                )
            }
            Change::Lost { role, index, missing } => {
                let missing: Vec<String> = missing.iter().map(StageKey::short).collect();
                let missing = missing.join(" and ");
                write!(f, "input {} differs, but {missing} is not in the store", place(role, *index))
            }
            Change::Same { role, index, reason } => {
                write!(f, "input {} differs as {reason}", place(role, *index))
            }
            Change::Output { role, before, after } => {
                write!(f, "output {role}: {} -> {} by the same recipe", object(before), object(after))
            }
        }
    }
}
