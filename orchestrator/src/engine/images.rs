//! Who uses which image, and taking away what nobody uses.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schema::failure::Report;
use thiserror::Error;

use super::{Engine, SandboxView, Troubles};
use crate::images::{
    Alone, Catalog, CatalogError, ImageEntry, ImagesHome, Reach, RootError, Sweep, SweepError,
    Swept,
};

/// How often a wait looks again whether the store is free.
const RETRY: Duration = Duration::from_millis(50);

/// Sandboxes, running or not, by the images they use, as `shop/web[0]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageUsers {
    by_name: BTreeMap<String, Vec<String>>,
    by_digest: BTreeMap<String, Vec<String>>,
}

/// What became of an image that was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removed {
    /// What its data had occupied that went with the name.
    pub bytes: u64,
    /// Whether data that nobody uses stay for the next prune, since others work with the store.
    pub postponed: bool,
}

/// Why an image was not removed, or nothing pruned.
#[derive(Debug, Error)]
pub enum ImageError {
    /// There is none of this name.
    #[error("there is no image `{reference}`")]
    NotFound {
        /// The name.
        reference: String,
    },
    /// Sandboxes use it.
    #[error("{reference} is in use by {}", users.join(", "))]
    InUse {
        /// The name.
        reference: String,
        /// Who uses it.
        users: Vec<String>,
    },
    /// Others put something into the store.
    #[error("the store of images is in use by another command")]
    Busy,
    /// The state, the catalogue or the store did not let it be done.
    #[error("{}", .0.0.first().map_or("", |trouble| trouble.report.message.as_str()))]
    Failed(Troubles),
}

impl<T: Into<Troubles>> From<T> for ImageError {
    fn from(troubles: T) -> Self {
        Self::Failed(troubles.into())
    }
}

impl From<SweepError> for Troubles {
    fn from(error: SweepError) -> Self {
        let report = Report::of(error.code(), "image", &error);
        Self::of(report.hint("Look at the disk and the permissions of the home folder."))
    }
}

impl From<RootError> for Troubles {
    fn from(error: RootError) -> Self {
        let report = Report::of("msb::image::store", "image", &error);
        Self::of(report.hint("Look at the disk and the permissions of the home folder."))
    }
}

impl From<CatalogError> for Troubles {
    fn from(error: CatalogError) -> Self {
        Self::of(Report::of("msb::state::unusable", "state", &error))
    }
}

impl ImageUsers {
    fn of(views: &[SandboxView]) -> Self {
        let mut users = Self::default();
        for view in views {
            let user = format!("{}/{}", view.project, view.name);
            let definitions = [&view.definition, &view.desired].into_iter().flatten();
            let names: BTreeSet<String> = definitions
                .filter_map(|definition| definition.root.reference())
                .map(ToString::to_string)
                .collect();
            for name in names {
                users.by_name.entry(name).or_default().push(user.clone());
            }
            if let Some(digest) = &view.image_digest {
                users.by_digest.entry(digest.clone()).or_default().push(user);
            }
        }
        users
    }

    /// Returns who uses an image, by its name or by what that means now.
    #[must_use]
    pub fn of_image(&self, image: &ImageEntry) -> Vec<String> {
        let by_digest = self.by_digest.get(&image.manifest_digest);
        let users = self.named(&image.reference).chain(by_digest.into_iter().flatten());
        users.cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Returns who names an image, also those whose project pins what the name means.
    fn named(&self, reference: &str) -> impl Iterator<Item = &String> {
        let plain = reference.split_once('@').map(|(plain, _)| plain);
        let names = [Some(reference), plain].into_iter().flatten();
        names.filter_map(|name| self.by_name.get(name)).flatten()
    }

    /// Returns the manifests that somebody uses.
    fn manifests(&self, catalog: &dyn Catalog) -> Result<BTreeSet<String>, CatalogError> {
        let mut used: BTreeSet<String> = self.by_digest.keys().cloned().collect();
        for manifest in catalog.manifests()? {
            if manifest.references.iter().any(|name| self.named(name).next().is_some()) {
                used.insert(manifest.digest);
            }
        }
        Ok(used)
    }
}

impl Engine {
    /// Returns who uses which image.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn image_users(&self) -> Result<ImageUsers, Troubles> {
        Ok(ImageUsers::of(&self.sandboxes(None)?))
    }

    /// Returns what a prune would take away now; nothing where there is no state.
    ///
    /// # Errors
    /// The state or the store cannot be read.
    pub fn unused_images(&self) -> Result<Sweep, Troubles> {
        let Some(mut store) = self.store_read_only()? else { return Ok(Sweep::default()) };
        let used = self.image_users()?.manifests(store.catalog())?;
        Ok(Sweep::find(&self.images_home(), store.catalog(), &used, Reach::Everything)?)
    }

    /// Takes away what no sandbox uses, running or not, once nobody else works with the store.
    ///
    /// # Errors
    /// [`ImageError::Busy`] when the time is over; what was removed before another failure is gone.
    pub async fn prune_images(&self, patience: Duration) -> Result<Swept, ImageError> {
        let mut store = self.store()?;
        let home = self.images_home();
        let alone = alone(&home, patience).await?;
        let used = self.image_users()?.manifests(store.catalog())?;
        let sweep = Sweep::find(&home, store.catalog(), &used, Reach::Everything)?;
        Ok(sweep.carry_out(&home, store.catalog(), &alone)?)
    }

    /// Takes a name away, by force also one that is used, and with it what only it needed.
    ///
    /// # Errors
    /// The image is in use, or not there; nothing was changed.
    pub fn remove_image(&self, reference: &str, force: bool) -> Result<Removed, ImageError> {
        let mut store = self.store()?;
        let home = self.images_home();
        home.prepare()?;
        let alone = Alone::try_begin(&home)?;
        let all = store.catalog().manifests()?;
        let found = all.into_iter().find(|one| one.references.iter().any(|r| r == reference));
        let Some(manifest) = found else {
            return Err(ImageError::NotFound { reference: reference.to_owned() });
        };
        let users = self.image_users()?;
        // What a machine runs from needs no name of its own, but one at all.
        let is_last = manifest.references.len() == 1;
        let by_digest = users.by_digest.get(&manifest.digest).filter(|_| is_last);
        let using: BTreeSet<&String> =
            users.named(reference).chain(by_digest.into_iter().flatten()).collect();
        if !using.is_empty() && !force {
            let users = using.into_iter().cloned().collect();
            return Err(ImageError::InUse { reference: reference.to_owned(), users });
        }
        let used = users.manifests(store.catalog())?;
        store.catalog().remove(reference)?;
        let digests = [manifest.digest];
        let sweep = Sweep::find(&home, store.catalog(), &used, Reach::Nameless(&digests))?;
        match alone {
            Some(alone) => {
                let swept = sweep.carry_out(&home, store.catalog(), &alone)?;
                Ok(Removed { bytes: swept.bytes, postponed: false })
            }
            None => Ok(Removed { bytes: 0, postponed: !sweep.manifests.is_empty() }),
        }
    }
}

/// Waits until nobody else works with the store, for so long.
async fn alone(home: &ImagesHome, patience: Duration) -> Result<Alone, ImageError> {
    home.prepare()?;
    let mut left = patience;
    loop {
        if let Some(alone) = Alone::try_begin(home)? {
            return Ok(alone);
        }
        if left.is_zero() {
            return Err(ImageError::Busy);
        }
        tokio::time::sleep(RETRY.min(left)).await;
        left = left.saturating_sub(RETRY);
    }
}
