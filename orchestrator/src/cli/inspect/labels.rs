//! What images say of themselves: told apart from what sandboxes say, and obeyed by nobody.

use std::collections::BTreeMap;

use schema::project::{Labels, is_label};
use serde_json::{Value, json};

use crate::cli::call::Call;
use crate::cli::failure::{Failure, first};
use crate::cli::image::catalog;
use crate::engine::SandboxView;

/// The labels of the images that sandboxes were made of.
pub(super) struct ImageLabels {
    by_digest: BTreeMap<String, Labels>,
}

impl ImageLabels {
    /// Looks into the catalogue, and says of whose labels some are left out; creates nothing.
    pub(super) fn of(call: &Call, views: &[SandboxView]) -> Result<Self, Failure> {
        let mut by_digest = BTreeMap::new();
        let store = call.engine.store_read_only().map_err(first)?;
        let Some(mut store) = store else { return Ok(Self { by_digest }) };
        for view in views {
            let Some(digest) = view.image_digest.as_ref() else { continue };
            let found = store.catalog().find(&format!("@{digest}"));
            let found = found.map_err(|error| catalog(&error))?;
            // An image that is gone has taken its labels with it.
            let all = found.map(|image| image.config.labels).unwrap_or_default();
            let count = all.len();
            let kept: Labels =
                all.into_iter().filter(|(key, value)| is_label(key, value)).collect();
            if let left_out @ 1.. = count - kept.len() {
                call.report.warn(&format!(
                    "{}: {left_out} of its image's {count} labels are reserved or too long, and left out",
                    view.name
                ));
            }
            by_digest.insert(digest.clone(), kept);
        }
        Ok(Self { by_digest })
    }

    fn get(&self, view: &SandboxView) -> Option<&Labels> {
        self.by_digest.get(view.image_digest.as_ref()?).filter(|labels| !labels.is_empty())
    }

    /// Returns a sandbox's own labels, and those of its image in brackets.
    pub(super) fn line(&self, view: &SandboxView, own: &Labels) -> String {
        let own = (!own.is_empty()).then(|| pairs(own));
        let image = self.get(view).map(|labels| format!("(image: {})", pairs(labels)));
        own.into_iter().chain(image).collect::<Vec<_>>().join(" ")
    }

    /// Returns those of its image as programs read them.
    pub(super) fn shape(&self, view: &SandboxView) -> Value {
        self.get(view).map_or_else(|| json!({}), |labels| json!(labels))
    }
}

fn pairs(labels: &Labels) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
}
