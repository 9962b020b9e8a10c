//! An error with all that caused it, on one line.

use std::error::Error;

/// Returns what went wrong and why, as a log takes it.
#[must_use]
pub fn chain(error: &dyn Error) -> String {
    let causes = std::iter::successors(error.source(), |&cause| cause.source());
    causes.fold(error.to_string(), |line, cause| format!("{line}: {cause}"))
}
