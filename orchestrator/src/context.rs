//! What this process was started with, read once and passed on.
//!
//! Environment, working folder, home folder, terminal, clock: nothing behind
//! this module asks the process for any of them again.

mod clock;
mod environment;
mod home;
mod terminal;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use schema::units::Bytes;
use thiserror::Error;

use crate::registry::HostSettings;

pub use clock::{Clock, SystemClock};
pub use environment::{Environment, KNOWN_VARIABLES};
pub use home::HomeError;
pub use terminal::{Stream, Terminal};

/// What stays free on the host's file systems where `config.kdl` says nothing of it.
pub const DISK_RESERVE: Bytes = Bytes::mib(512);

/// See the module.
#[derive(Debug, Clone)]
pub struct Context {
    /// The variables this process was started with.
    pub environment: Environment,
    /// The working folder.
    pub folder: PathBuf,
    /// The folder of our programs: that of the resolved path of `msb`.
    pub programs: PathBuf,
    /// Which streams are terminals, and how large.
    pub terminal: Terminal,
    /// The clock.
    pub clock: SystemClock,
    /// What stays free on a file system of the host that is written to.
    pub disk_reserve: Bytes,
    /// How single registries are spoken to.
    pub registries: BTreeMap<String, HostSettings>,
    /// Where state lives; absolute; it need not exist.
    home: PathBuf,
}

/// Why a process cannot tell where it is.
#[derive(Debug, Error)]
pub enum ContextError {
    /// The working folder is gone.
    #[error("cannot tell the working folder")]
    Folder(#[source] io::Error),
    /// The program's own path is unknown.
    #[error("cannot tell where this program lies")]
    Program(#[source] io::Error),
    /// Neither `MSB_HOME` nor `HOME` is set.
    #[error("cannot tell the home folder: neither MSB_HOME nor HOME is set")]
    NoHome,
}

impl Context {
    /// Reads what this process was started with.
    ///
    /// # Errors
    /// The process has no working folder, or nothing says where its home lies.
    pub fn read() -> Result<Self, ContextError> {
        let environment = Environment::read();
        let folder = std::env::current_dir().map_err(ContextError::Folder)?;
        let program = std::env::current_exe().map_err(ContextError::Program)?;
        let programs = program.parent().unwrap_or_else(|| Path::new("/")).to_path_buf();
        let terminal = Terminal::examine(&environment);
        let home = match (environment.get("MSB_HOME"), environment.get("HOME")) {
            (Some(home), _) => folder.join(home),
            (None, Some(user)) => folder.join(user).join(".microsandbox"),
            (None, None) => return Err(ContextError::NoHome),
        };
        let clock = SystemClock::start();
        let disk_reserve = DISK_RESERVE;
        let registries = BTreeMap::new();
        Ok(Self { environment, folder, programs, terminal, clock, disk_reserve, registries, home })
    }

    /// Returns the context with another home folder, made absolute.
    #[must_use]
    pub fn with_home(mut self, home: &Path) -> Self {
        self.home = self.folder.join(home);
        self
    }

    /// Returns where state lives, whether it exists or not.
    #[must_use]
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Returns the home folder for a command that only reads: `None` where there is none yet.
    ///
    /// # Errors
    /// The folder exists and is not ours alone, or lies where locks cannot be trusted.
    pub fn existing_home(&self) -> Result<Option<&Path>, HomeError> {
        Ok(home::check(&self.home)?.then_some(self.home.as_path()))
    }

    /// Returns the home folder for a command that changes something; it is made if absent.
    ///
    /// # Errors
    /// The folder cannot be made, is not ours alone, or lies where locks cannot be trusted.
    pub fn prepared_home(&self) -> Result<&Path, HomeError> {
        home::prepare(&self.home)?;
        Ok(&self.home)
    }

    /// Returns a path as the user wrote it, made absolute.
    #[must_use]
    pub fn absolute(&self, path: &Path) -> PathBuf {
        self.folder.join(path)
    }

    /// Tells whether this runs under continuous integration: no prompts, no local files.
    #[must_use]
    pub fn is_ci(&self) -> bool {
        self.environment.get("CI").is_some_and(|value| value != "0" && value != "false")
    }
}
