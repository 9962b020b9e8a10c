//! What machines tell, and who tells it: the state and the runtimes, read and never written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::{info, warn};

use super::gather::is_meant;
use super::messages::{Resource, attribute};
use super::options::Gathering;
use crate::context::SystemClock;
use crate::sampling::{Sampled, Sampler};
use crate::store::{Store, StoreError, inventory};

/// See the module.
#[derive(Debug)]
pub(super) struct Sources {
    home: PathBuf,
    sampler: Sampler,
    installation: Option<String>,
    /// What is wrong with the state; told when it changes.
    trouble: Option<String>,
}

impl Sources {
    /// Returns those of a home, which need not exist yet.
    #[must_use]
    pub(super) fn of(home: &Path, clock: SystemClock) -> Self {
        let sampler = Sampler::new(home, clock);
        Self { home: home.to_owned(), sampler, installation: None, trouble: None }
    }

    /// Returns what machines tell that are meant; nothing where the state cannot be read, which is
    /// told once.
    pub(super) async fn ask(&mut self, wish: &Gathering) -> Vec<Sampled> {
        let living = self.sampler.living();
        let Some(mut living) = self.judge(living) else { return Vec::new() };
        living.retain(|who| is_meant(wish, who));
        self.sampler.ask(living, Duration::ZERO).await
    }

    /// Returns what a reading of the state came to, and tells where it is not as it was.
    pub(super) fn judge<T>(&mut self, read: Result<T, StoreError>) -> Option<T> {
        match read {
            Ok(read) => {
                if self.trouble.take().is_some() {
                    info!("the state can be read again");
                }
                Some(read)
            }
            Err(error) => {
                let trouble = told(&error);
                if self.trouble.as_ref() != Some(&trouble) {
                    warn!("{trouble}");
                }
                self.trouble = Some(trouble);
                None
            }
        }
    }

    /// Returns the installation's id, once there is one; `None` where it is none, or known already.
    pub(super) fn new_installation(&mut self) -> Option<String> {
        if self.installation.is_some() {
            return None;
        }
        let read = installation(&self.home);
        self.installation = self.judge(read).flatten();
        self.installation.clone()
    }
}

/// Returns the installation's id, where there is an installation.
///
/// # Errors
/// The state cannot be read.
pub(super) fn installation(home: &Path) -> Result<Option<String>, StoreError> {
    match Store::open_read_only(home)? {
        Some(mut store) => store.read(|db| inventory::meta(db, "installation")),
        None => Ok(None),
    }
}

fn told(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut below = std::error::Error::source(error);
    while let Some(error) = below {
        text = format!("{text}: {error}");
        below = error.source();
    }
    text
}

/// Returns what is said of whoever exports: what was asked for, over what we know.
#[must_use]
pub(super) fn resource(asked: &BTreeMap<String, String>, installation: Option<&str>) -> Resource {
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    let ours = [
        ("service.name", Some("msb")),
        ("service.instance.id", installation),
        ("host.name", Some(host.as_ref())),
    ];
    let ours = ours.into_iter().filter(|(key, _)| !asked.contains_key(*key));
    let ours = ours.filter_map(|(key, value)| Some(attribute(key, value?)));
    let asked = asked.iter().map(|(key, value)| attribute(key, value));
    Resource { attributes: ours.chain(asked).collect() }
}
