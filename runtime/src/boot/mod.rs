//! Building a machine, one type per stage.
//!
//! ```text
//! Prepared (lease, record, sockets) ─▶ Built (driver, descriptors in order) ─▶ Running
//! ```
//!
//! Each stage owns what it has acquired. Dropping a stage gives it back, so a
//! failure anywhere leaves the host as it was found.

mod built;
mod descriptors;
mod guest;
mod mould;
mod network;
mod places;
mod prepared;
mod running;
mod shares;
mod startup;
mod values;

use std::io;

use schema::failure::Report;
use thiserror::Error;

use crate::hypervisor::DriverError;
use crate::net::PortError;
pub(crate) use built::Built;
pub(crate) use guest::{Moment, boot_record};
pub(crate) use mould::{Cast, Mould};
pub(crate) use prepared::{Prepared, Sockets};
pub(crate) use running::Running;
pub(crate) use startup::StartPipe;
pub(crate) use values::Values;

/// Why a machine did not start.
#[derive(Debug, Error)]
pub(crate) enum BootError {
    /// A descriptor is not what it should be.
    #[error("descriptor {number} is not {expected}")]
    Descriptor {
        number: i32,
        expected: &'static str,
        #[source]
        source: io::Error,
    },
    /// The launch record cannot be read.
    #[error("cannot read the launch record: {why}")]
    Launch { why: String },
    /// The launch record is of a later msb.
    #[error("the launch record has format {format}, this runtime reads up to {newest}")]
    Format { format: u32, newest: u32 },
    /// The sensitive values cannot be read.
    #[error("cannot read the sensitive values: {why}")]
    Values { why: String },
    /// Another runtime has the machine.
    #[error("another runtime holds the machine's lease")]
    Lease(#[source] io::Error),
    /// A file or socket of the machine folder cannot be made.
    #[error("cannot make {what} in the machine folder")]
    Folder {
        what: String,
        #[source]
        source: io::Error,
    },
    /// The host refuses layers of the jail that must be there.
    #[error("the jail lacks {}", missing.join(", "))]
    Jail { missing: Vec<String> },
    /// A port of the host cannot be published on.
    #[error(transparent)]
    Port(#[from] PortError),
    /// The server of shared folders did not start.
    #[error("cannot share the folders of the host")]
    Shares(#[source] DriverError),
    /// The driver did not start the machine.
    #[error(transparent)]
    Driver(#[from] DriverError),
}

impl BootError {
    /// Returns the error as another program is told it.
    pub(crate) fn report(&self) -> Report {
        match self {
            Self::Driver(error) => error.report(),
            Self::Jail { .. } => Report::of("msb::jail::incomplete", "driver", self)
                .hint("Run `msb doctor` to see what each missing layer would have stopped."),
            Self::Port(error) => Report::of_port(error, error.source.kind()),
            Self::Lease(_) => Report::of("msb::lock::busy", "lock", self)
                .hint("Wait for the other command, or look at the machine with `msb ps`."),
            Self::Descriptor { .. }
            | Self::Launch { .. }
            | Self::Format { .. }
            | Self::Values { .. }
            | Self::Folder { .. }
            | Self::Shares(_) => Report::of("msb::boot::failed", "boot", self),
        }
    }

    /// Returns the reason that the machine's record shows.
    pub(crate) const fn reason(&self) -> &'static str {
        match self {
            Self::Driver(_) | Self::Jail { .. } => "driver",
            Self::Port(_) => "ports",
            Self::Descriptor { .. }
            | Self::Launch { .. }
            | Self::Format { .. }
            | Self::Values { .. }
            | Self::Lease(_)
            | Self::Folder { .. }
            | Self::Shares(_) => "internal",
        }
    }
}
