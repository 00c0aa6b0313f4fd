//! Errors at the edge, and the exit code that each kind of them has.

use std::process::ExitCode;

use super::say;

/// Printed under every `--help`; the same numbers as [`ExitStatus`].
pub(super) const EXIT_CODES: &str = "Exit codes: 0 the result exists (with --dry-run: `hit` or `run` was printed); \
    1 it failed; 2 the command line is wrong; 3 an input is missing or corrupt; 4 it was asked to end, and goes on where it was \
    when run again.";

/// What a stage's exit code means. Public and stable: scripts rely on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    /// The result exists now, computed or found.
    Done = 0,
    /// The stage ran and failed, or the store could not be written.
    Failed = 1,
    /// The command line or a parameter is wrong.
    Usage = 2,
    /// An input is missing, corrupt, or not what the stage needs.
    Input = 3,
    /// The stage was asked to end (SIGTERM, SIGUSR1, Ctrl-C) and has saved its state.
    Interrupted = 4,
}

/// Why a stage ended without a result.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Parameters that are out of range or contradict each other.
    #[error("{0}")]
    Usage(String),
    /// An input that is missing, corrupt, or of the wrong kind.
    #[error("{0}")]
    Input(String),
    /// A signal asked for it.
    #[error("ended at step {step}, as asked; run it again to go on from there")]
    Interrupted {
        /// Steps that are done and saved.
        step: u64,
    },
    /// Training or scoring failed.
    #[error(transparent)]
    Learn(#[from] learn::Error),
    /// A model refused its configuration or its input.
    #[error(transparent)]
    Model(#[from] models::Error),
    /// The store could not do what was asked.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// A data set, a tokenizer or a world's parameters are not what they should be.
    #[error(transparent)]
    Task(#[from] tasks::Error),
    /// Weights of different models, or weights that are not numbers.
    #[error(transparent)]
    Weights(#[from] weights::Error),
    /// A table could not be written or read.
    #[error(transparent)]
    Table(#[from] tables::Error),
    /// The hub, a mirror of it or its cache did not give what was asked for.
    #[cfg(feature = "fetch")]
    #[error(transparent)]
    Hub(#[from] hub::Error),
    /// Tables that make no report.
    #[cfg(feature = "report")]
    #[error(transparent)]
    Report(#[from] report::Error),
    /// Input or output outside the store.
    #[error("{what}: {source}")]
    Io {
        /// What was being done, and where.
        what: String,
        /// What the system answered.
        source: std::io::Error,
    },
    /// Something that no input should be able to cause.
    #[error("internal error: {0}; please report it")]
    Bug(String),
}

impl Failure {
    /// The exit code of this kind of failure.
    #[must_use]
    pub fn status(&self) -> ExitStatus {
        match self {
            Self::Usage(_) => ExitStatus::Usage,
            Self::Input(_) => ExitStatus::Input,
            Self::Interrupted { .. } => ExitStatus::Interrupted,
            Self::Learn(
                learn::Error::Parameter { .. }
                | learn::Error::TooFewExamples { .. }
                | learn::Error::Target { .. },
            )
            | Self::Model(models::Error::Precision { .. } | models::Error::Device { .. }) => {
                ExitStatus::Usage
            }
            #[cfg(feature = "report")]
            Self::Report(report::Error::Overlap { .. } | report::Error::NoMeasure { .. }) => {
                ExitStatus::Usage
            }
            #[cfg(feature = "report")]
            Self::Report(error) if error.blames_input() => ExitStatus::Input,
            #[cfg(feature = "fetch")]
            Self::Hub(error) => match error {
                hub::Error::Name { .. } | hub::Error::Setting { .. } => ExitStatus::Usage,
                hub::Error::Network { .. } | hub::Error::Io { .. } => ExitStatus::Failed,
                _ => ExitStatus::Input,
            },
            Self::Store(store::Error::InvalidName { .. } | store::Error::Taken { .. }) => ExitStatus::Usage,
            Self::Store(
                store::Error::NoOutput { .. }
                | store::Error::MissingObject { .. }
                | store::Error::CorruptObject { .. }
                | store::Error::InvalidManifest { .. }
                | store::Error::TooNew { .. }
                | store::Error::NotAStore { .. }
                | store::Error::Unfollowable { .. }
                | store::Error::NotCommitted { .. }
                | store::Error::Unknown { .. }
                | store::Error::Ambiguous { .. },
            )
            | Self::Learn(learn::Error::Model(_) | learn::Error::Weights(_))
            | Self::Task(_)
            | Self::Model(_)
            | Self::Weights(_)
            | Self::Table(_) => ExitStatus::Input,
            _ => ExitStatus::Failed,
        }
    }
}

impl Failure {
    /// What could not be written to stdout.
    pub(crate) fn printing(source: std::io::Error) -> Self {
        Self::Io { what: "cannot write to stdout".into(), source }
    }
}

/// Ends a program: prints the failure, if any, with all its causes.
pub(crate) fn exit(result: Result<(), Failure>, program: &str) -> ExitCode {
    let Err(failure) = result else { return ExitCode::from(ExitStatus::Done as u8) };
    // A reader that has seen enough (`| head`) is no failure of ours.
    if let Failure::Io { source, .. } = &failure
        && source.kind() == std::io::ErrorKind::BrokenPipe
    {
        return ExitCode::from(ExitStatus::Done as u8);
    }
    say(&format!("{program}: {failure}"));
    let mut cause = std::error::Error::source(&failure);
    while let Some(error) = cause {
        say(&format!("  because: {error}"));
        cause = error.source();
    }
    ExitCode::from(failure.status() as u8)
}
