//! How a command ends: the kinds of failure and their numbers.
//!
//! The numbers are an interface and never change their meaning.

/// Done, or nothing to do.
pub const DONE: u8 = 0;

/// Changes are present; `diff` alone, and `plan` when asked.
pub const CHANGES: u8 = 2;

/// What kind of failure ended a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Tried and failed; not found.
    Failed,
    /// Wrong usage.
    Usage,
    /// The Sandboxfile, lock or configuration is invalid.
    InvalidFile,
    /// No driver is usable on this host.
    NoDriver,
    /// A fault of msb.
    Internal,
    /// The saved plan no longer fits.
    StalePlan,
    /// A lock is held.
    LockBusy,
    /// Refused: protection, ownership, consent, policy, in use.
    Refused,
    /// A wait ran out.
    Timeout,
    /// The guest's command cannot be executed.
    NotExecutable,
    /// The guest's command does not exist.
    NotFound,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 11] = [
        Self::Failed,
        Self::Usage,
        Self::InvalidFile,
        Self::NoDriver,
        Self::Internal,
        Self::StalePlan,
        Self::LockBusy,
        Self::Refused,
        Self::Timeout,
        Self::NotExecutable,
        Self::NotFound,
    ];

    /// Returns the exit code.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 64,
            Self::InvalidFile => 65,
            Self::NoDriver => 69,
            Self::Internal => 70,
            Self::StalePlan => 73,
            Self::LockBusy => 75,
            Self::Refused => 77,
            Self::Timeout => 124,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
        }
    }

    /// Returns the kind of a code of the catalogue, as `msb::ports::in-use`.
    #[must_use]
    pub fn of_code(code: &str) -> Self {
        let code = code.strip_prefix("msb::").unwrap_or(code);
        match code {
            "plan::stale" => return Self::StalePlan,
            "lock::busy" => return Self::LockBusy,
            "exec::not-found" => return Self::NotFound,
            "exec::not-executable" => return Self::NotExecutable,
            "ready::timeout" | "stop::timeout" | "wait::timeout" | "exec::timeout" => {
                return Self::Timeout;
            }
            "usage::not-yet" => return Self::Failed,
            "sandbox::managed" | "image::in-use" | "volume::in-use" | "jail::incomplete"
            | "home::foreign" | "home::network-fs" => return Self::Refused,
            "sandbox::zero-cpus" | "sandbox::zero-memory" => return Self::InvalidFile,
            _ => {}
        }
        match code.split_once("::").map_or(code, |(family, _)| family) {
            "file" | "syntax" | "schema" | "value" | "var" | "ref" | "rule" | "limit"
            | "image-lock" | "config" => Self::InvalidFile,
            "usage" => Self::Usage,
            "owner" | "protect" | "consent" | "plan" => Self::Refused,
            "driver" => Self::NoDriver,
            "internal" => Self::Internal,
            _ => Self::Failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_has_two_meanings() {
        let mut codes: Vec<u8> = Kind::ALL.iter().map(|kind| kind.code()).collect();
        codes.extend([DONE, CHANGES, 130, 143]);
        codes.sort_unstable();
        let count = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), count);
    }

    #[test]
    fn a_code_of_the_catalogue_has_its_exit_code() {
        for (code, exit) in [
            ("msb::ports::in-use", 1),
            ("msb::schema::unknown-key", 65),
            ("msb::plan::stale", 73),
            ("msb::plan::mass-delete", 77),
            ("msb::driver::none", 69),
            ("exec::not-found", 127),
        ] {
            assert_eq!(Kind::of_code(code).code(), exit, "{code}");
        }
    }
}
