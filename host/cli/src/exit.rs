//! Exit codes, and an error that has become one.

use kiln_engine::BuildError;
use kiln_engine::StoreError;

use crate::args::ArgError;
use crate::report;
use crate::report::Report;

/// The build failed.
pub(crate) const FAILED: u8 = 1;
/// Wrong use or configuration.
pub(crate) const USAGE: u8 = 2;
/// Interrupted: 128 and the number of SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;

/// Why a command ends with an exit code other than 0.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The exit code.
    pub(crate) code: u8,
    /// What to print.
    pub(crate) report: Box<Report>,
}

impl Failure {
    /// A command could not do its work.
    pub(crate) fn failed(report: Report) -> Self {
        Self {
            code: FAILED,
            report: Box::new(report),
        }
    }

    /// A command was used wrongly.
    pub(crate) fn usage(report: Report) -> Self {
        Self {
            code: USAGE,
            report: Box::new(report),
        }
    }

    /// A command could not do `what`.
    pub(crate) fn io(what: &str, error: &std::io::Error) -> Self {
        Self::failed(Report::new(format!("cannot {what}")).caused_by(Some(error)))
    }
}

impl From<ArgError> for Failure {
    fn from(error: ArgError) -> Self {
        Self::usage(error.report())
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        Self {
            code: report::exit_code(&error),
            report: Box::new(report::build_report(&error)),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::failed(Report::of(&error))
    }
}
