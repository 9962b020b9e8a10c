//! Why a driver did not do what it was asked, and what to do about it.

use std::io;

use schema::failure::Report;
use thiserror::Error;

/// Why a driver did not do what it was asked; a variant is a step.
#[derive(Debug, Error)]
pub enum DriverError {
    /// The driver cannot be used on this host.
    #[error("cannot use this driver: {why}")]
    NotUsable {
        /// Why.
        why: String,
        /// What to do, a sentence that starts with a verb.
        hint: String,
    },
    /// More disks than the machine has slots for.
    #[error("a machine of this driver takes {max} disks, {have} were given")]
    TooManyDisks {
        /// How many were given.
        have: usize,
        /// How many it takes.
        max: usize,
    },
    /// A size the driver cannot give.
    #[error("a machine of this driver has at most {max} for {field}")]
    Shape {
        /// The field of the shape.
        field: &'static str,
        /// The largest value.
        max: u64,
    },
    /// The program did not start.
    #[error("cannot start {program}")]
    Spawn {
        /// The program.
        program: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A descriptor, socket or folder of the machine could not be made.
    #[error("cannot prepare {what}")]
    Prepare {
        /// What.
        what: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The VMM refused a command.
    #[error("the VMM refused {call}: {detail}")]
    Refused {
        /// The command.
        call: String,
        /// What it said.
        detail: String,
    },
    /// The VMM ended before it was in use.
    #[error("the VMM ended while it was being started: {end}")]
    Lost {
        /// How it ended, with its last words.
        end: String,
    },
    /// A step did not end in time.
    #[error("{stage} did not end in time")]
    Deadline {
        /// The step.
        stage: &'static str,
    },
    /// This version or this driver does not do that.
    #[error("{what} is not supported yet")]
    Unsupported {
        /// What.
        what: String,
    },
}

impl DriverError {
    /// Returns the error's code in the catalogue.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotUsable { .. } => "msb::driver::not-usable",
            Self::TooManyDisks { .. } | Self::Shape { .. } => "msb::host::driver-limit",
            Self::Spawn { .. } => "msb::driver::spawn",
            Self::Prepare { .. } => "msb::driver::prepare",
            Self::Refused { .. } => "msb::driver::refused",
            Self::Lost { .. } => "msb::driver::lost",
            Self::Deadline { .. } => "msb::driver::deadline",
            Self::Unsupported { .. } => "msb::driver::unsupported",
        }
    }

    /// Returns the error as another program is told it.
    #[must_use]
    pub fn report(&self) -> Report {
        let report = Report::of(self.code(), "driver", self);
        match self {
            Self::NotUsable { hint, .. } => report.hint(hint),
            Self::TooManyDisks { .. } => report.hint("Mount fewer disk volumes in this sandbox."),
            Self::Shape { field, .. } => report.hint(format!("Lower {field} of this sandbox.")),
            Self::Spawn { .. } | Self::Prepare { .. } | Self::Refused { .. } => report,
            Self::Lost { .. } | Self::Deadline { .. } => {
                report.hint("Run `msb doctor` to see which driver works on this host.")
            }
            Self::Unsupported { .. } => report.hint("Choose another driver with `--driver`."),
        }
    }
}
