//! A folder that a process works on in its jail.

use std::os::fd::OwnedFd;

/// What is done below a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// It is read.
    Read,
    /// Everything but devices.
    Change,
    /// Files that are there are read and written; none is made or removed.
    Files,
}

/// See the module.
#[derive(Debug)]
pub struct Folder {
    /// Names it.
    pub fd: OwnedFd,
    /// What is done below it.
    pub access: Access,
}
