//! What a process finds in its jail under the name that it has on the host.

use std::path::PathBuf;

/// What something is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// A folder of programs and what they load.
    Programs,
    /// A device.
    Device,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Where it lies, absolute.
    pub path: PathBuf,
    /// What it is for.
    pub of: Use,
}
