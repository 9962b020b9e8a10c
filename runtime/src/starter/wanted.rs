//! What is asked of a starter, and what it answers.

use std::os::fd::RawFd;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::group::Bounds;

/// The longest question or answer.
pub(super) const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// The most descriptors that come with a question.
pub(super) const DESCRIPTORS_MAX: usize = 250;

/// What a starter is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Question {
    /// For a process.
    Make(Wanted),
    /// For the mappings of one that it made: a process under Landlock may not look at those of another.
    Maps {
        /// Its number.
        pid: i32,
    },
}

/// A process that is wanted: our own program with another job, in namespaces of its own.
///
/// Descriptors come along in this order: where its end is told, standard error, then those of `places`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Wanted {
    /// What it calls itself.
    pub(super) name: String,
    /// Its job and what the job is told.
    pub(super) args: Vec<String>,
    /// The numbers it expects its descriptors at.
    pub(super) places: Vec<RawFd>,
    /// What it may take, where the host lets us say so.
    pub(super) bounds: Option<Bounds>,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    /// It runs; what names it for good comes along.
    Made {
        /// Its number, as the runtime sees it.
        pid: i32,
        /// The control group around it.
        group: Option<PathBuf>,
    },
    /// Its mappings come along, as `/proc` tells them whenever they are read.
    Maps,
    /// It could not be done.
    Refused {
        /// What was tried.
        step: String,
        /// What the kernel said.
        errno: i32,
    },
}

/// How a process ended, as its pipe tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    /// The exit code, where it ended by itself.
    pub(crate) code: Option<i32>,
    /// The signal that ended it otherwise.
    pub(crate) signal: Option<i32>,
}
