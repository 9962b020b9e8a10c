//! What machines tell, and who tells it: the state and the runtimes, read and never written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::{info, warn};

use super::gather::is_meant;
use super::messages::{Resource, attribute};
use super::options::Gathering;
use crate::context::SystemClock;
use crate::sampling::{Room, Sampled, Sampler};
use crate::store::{Store, StoreError, inventory};

/// See the module.
#[derive(Debug)]
pub(super) struct Sources {
    home: PathBuf,
    sampler: Sampler,
    installation: Option<String>,
    /// What is wrong with the state, by what was to be read; told when it changes.
    troubles: BTreeMap<&'static str, String>,
    /// Which machines there was no room for; told when some were left out, and when none was again.
    want_of_room: Option<String>,
}

impl Sources {
    /// Returns those of a home, which need not exist yet.
    #[must_use]
    pub(super) fn of(home: &Path, clock: SystemClock) -> Self {
        let sampler = Sampler::new(home, clock, Room::make());
        let (installation, troubles, want_of_room) = (None, BTreeMap::new(), None);
        Self { home: home.to_owned(), sampler, installation, troubles, want_of_room }
    }

    /// Returns what machines tell that are meant; nothing where the state cannot be read, which is
    /// told once.
    pub(super) async fn ask(&mut self, wish: &Gathering) -> Vec<Sampled> {
        let living = self.sampler.living();
        let Some(mut living) = self.judge("machines", living) else { return Vec::new() };
        living.retain(|who| is_meant(wish, who));
        let sampled = self.sampler.ask(living, Duration::ZERO).await;
        self.judge_room();
        sampled
    }

    /// Tells whether there is room for everybody, where that is not as it was.
    fn judge_room(&mut self) {
        let want = self.sampler.want_of_room();
        match (&self.want_of_room, &want) {
            (Some(_), None) => info!("there is room for every sandbox again"),
            // How many they are changes with every one that comes and goes.
            (None, Some(told)) => warn!("{told}"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        self.want_of_room = want;
    }

    /// Returns what a reading of the state came to, and tells where it is not as it was.
    pub(super) fn judge<T>(
        &mut self,
        what: &'static str,
        read: Result<T, StoreError>,
    ) -> Option<T> {
        match read {
            Ok(read) => {
                if self.troubles.remove(what).is_some() {
                    info!("the state can be read again: {what}");
                }
                Some(read)
            }
            Err(error) => {
                let trouble = told(&error);
                if self.troubles.get(what) != Some(&trouble) {
                    warn!("{what}: {trouble}");
                }
                self.troubles.insert(what, trouble);
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
        self.installation = self.judge("the installation's id", read).flatten();
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
