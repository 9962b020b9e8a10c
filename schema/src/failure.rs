//! How a failure crosses a boundary: a stage, a code, causes, hints.

use std::io::{Error, ErrorKind};

use serde::{Deserialize, Serialize};

/// Returns the kernel's answer that an error is, by name.
fn answer_of(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let error = error.downcast_ref::<Error>()?;
    // One that another one wraps is not in its chain.
    let wrapped = || error.get_ref()?.downcast_ref::<Error>()?.raw_os_error();
    errno(error.raw_os_error().or_else(wrapped)?)
}

/// Returns the name of an error number of Linux, or the number where it has no common name.
#[must_use]
pub fn errno(number: i32) -> Option<String> {
    if number == 0 {
        return None;
    }
    let known = ERRNOS.iter().find(|(code, _)| *code == number);
    Some(known.map_or_else(|| format!("errno {number}"), |(_, name)| (*name).to_owned()))
}

const ERRNOS: [(i32, &str); 40] = [
    (1, "EPERM"),
    (2, "ENOENT"),
    (3, "ESRCH"),
    (4, "EINTR"),
    (5, "EIO"),
    (6, "ENXIO"),
    (7, "E2BIG"),
    (8, "ENOEXEC"),
    (11, "EAGAIN"),
    (12, "ENOMEM"),
    (13, "EACCES"),
    (16, "EBUSY"),
    (17, "EEXIST"),
    (18, "EXDEV"),
    (19, "ENODEV"),
    (20, "ENOTDIR"),
    (21, "EISDIR"),
    (22, "EINVAL"),
    (23, "ENFILE"),
    (24, "EMFILE"),
    (26, "ETXTBSY"),
    (27, "EFBIG"),
    (28, "ENOSPC"),
    (30, "EROFS"),
    (32, "EPIPE"),
    (36, "ENAMETOOLONG"),
    (37, "ENOLCK"),
    (38, "ENOSYS"),
    (39, "ENOTEMPTY"),
    (40, "ELOOP"),
    (74, "EBADMSG"),
    (95, "EOPNOTSUPP"),
    (98, "EADDRINUSE"),
    (99, "EADDRNOTAVAIL"),
    (104, "ECONNRESET"),
    (110, "ETIMEDOUT"),
    (111, "ECONNREFUSED"),
    (113, "EHOSTUNREACH"),
    (117, "EUCLEAN"),
    (122, "EDQUOT"),
];

/// A failure as one program tells it to another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// `msb::ports::in-use`.
    pub code: String,
    /// The stage of the work: `image`, `driver`, `boot`, `agent`, `ready`, `exec`, `stop`, …
    pub stage: String,
    /// What was attempted, on what.
    pub message: String,
    /// Why, outermost first, none repeated in its parent.
    pub causes: Vec<String>,
    /// The kernel's answer by name, as `EADDRINUSE`.
    pub errno: Option<String>,
    /// What else is worth knowing.
    pub notes: Vec<String>,
    /// What to do, a sentence each that starts with a verb.
    pub hints: Vec<String>,
    /// The last lines of the guest's console, for a boot.
    pub console: Vec<String>,
}

impl Report {
    /// Returns the failure of a port of the host that could not be had, for the reason of `kind`.
    #[must_use]
    pub fn of_port(error: &(dyn std::error::Error + 'static), kind: ErrorKind) -> Self {
        let (code, hint) = match kind {
            ErrorKind::PermissionDenied => (
                "msb::ports::privileged",
                "Choose a port from 1024 on, or lower net.ipv4.ip_unprivileged_port_start.",
            ),
            ErrorKind::AddrNotAvailable => {
                ("msb::ports::no-address", "Write an address of this host as `bind`.")
            }
            _ => ("msb::ports::in-use", "Choose another host port, or write host=\"auto\"."),
        };
        Self::of(code, "ports", error).hint(hint)
    }

    /// Returns a report of a failed attempt, its causes taken from `error`'s chain.
    #[must_use]
    pub fn of(code: &str, stage: &str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut causes = Vec::new();
        let mut errno = answer_of(error);
        let mut next = error.source();
        while let Some(cause) = next {
            causes.push(cause.to_string());
            errno = answer_of(cause).or(errno);
            next = cause.source();
        }
        let (code, stage, message) = (code.to_owned(), stage.to_owned(), error.to_string());
        Self { code, stage, message, causes, errno, ..Self::default() }
    }

    /// Returns the report with one more hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_its_name() {
        assert_eq!(errno(2).as_deref(), Some("ENOENT"));
        assert_eq!(errno(0), None);
        assert_eq!(errno(4095).as_deref(), Some("errno 4095"));
    }

    #[test]
    fn the_kernels_answer_is_found_in_the_chain() {
        let full = Error::other(Error::from_raw_os_error(28));
        let report = Report::of("msb::state::unusable", "state", &full);
        assert_eq!(report.errno.as_deref(), Some("ENOSPC"));
    }
}
