//! An image on its way from its registry, for the sandboxes that wait for it.

use std::sync::{Arc, Mutex};

use schema::project::{Image, ImageRef, Platform, RegistryRef};

use super::{Host, bug};
use crate::context::Clock as _;
use crate::execute::world::{Done, Effect, StepError};
use crate::images::{Digest, Wanted};
use crate::registry::{Registry, Settings};
use crate::store::Store;
use crate::worker::blocking;

impl Host {
    /// Returns the one door to registries of this run; tokens are asked for once.
    fn registry(&self) -> Arc<Registry> {
        let mut held = self.registry.borrow_mut();
        let settings = || Settings::of(&self.context, &self.context.registries);
        Arc::clone(held.get_or_insert_with(|| Arc::new(Registry::new(settings()))))
    }

    /// Fetches an image as the lock pins it, else as its name says.
    pub(super) async fn fetch(&self, reference: &ImageRef) -> Done {
        let images = self.wish.project.sandboxes.values().filter_map(|body| body.root.image());
        let image = images.into_iter().find(|image| image.reference == *reference);
        let image = image.ok_or_else(|| bug("an image is fetched that nobody names"))?;
        self.keeps_images().await?;
        let now_ms = self.context.clock.unix_ms();
        let pinned = self.wish.pins.digest(image);
        let wanted = Wanted {
            reference: self.named(image, pinned.as_deref())?,
            digest: pinned.as_deref().and_then(Digest::parse),
            platform: image.platform.unwrap_or(Platform::host()).as_str().to_owned(),
            force: false,
            now_ms,
        };
        let home = crate::engine::images_home(&self.context);
        let (registry, folder) = (self.registry(), self.context.home().to_path_buf());
        let work = move || -> Result<Vec<String>, StepError> {
            let mut store = Store::open(&folder, now_ms)?;
            let catalog = Mutex::new(store.catalog());
            let pulled = crate::images::pull(&home, &registry, &wanted, &catalog, &|_| {});
            pulled.map(|pulled| pulled.notes).map_err(|error| {
                let mut failed = StepError::from(error.code(), "image", &error);
                failed.report.hints.push(error.hint());
                failed
            })
        };
        let done = blocking(work).await;
        let done = done
            .unwrap_or_else(|error| Err(StepError::from("msb::host::event-loop", "state", &error)));
        let short = reference.short();
        done?.iter().for_each(|note| self.warnings.warn(&format!("{short}: {note}")));
        Ok(Effect::default())
    }

    /// Returns what a pinned image is called in the store: its name where that is free or means the
    /// same, else the digest beside it. What one project pins moves no name of others.
    fn named(&self, image: &Image, pinned: Option<&str>) -> Result<ImageRef, StepError> {
        let found = self.store.borrow_mut().catalog().find(&image.reference.to_string());
        let found =
            found.map_err(|error| StepError::from("msb::state::unusable", "image", &error))?;
        Ok(match (&image.reference, pinned, found) {
            (ImageRef::Registry(name), Some(digest), Some(entry))
                if entry.manifest_digest != digest =>
            {
                ImageRef::Registry(RegistryRef { digest: Some(digest.to_owned()), ..name.clone() })
            }
            (reference, ..) => reference.clone(),
        })
    }
}
