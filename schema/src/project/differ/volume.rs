//! The fields of a volume.

use super::{FieldChange, Fields, Gather};
use crate::project::{Quota, Volume, VolumeKind};

impl Volume {
    /// Returns every field in which `after` is not as `self`, by path.
    #[must_use]
    pub fn differing(&self, after: &Self) -> Vec<FieldChange> {
        let mut fields = Fields::new(Gather::Differing);
        self.walk(after, &mut fields);
        fields.sorted()
    }

    /// Returns every field with its value as people read it, by path.
    #[must_use]
    pub fn fields(&self) -> Vec<(String, String)> {
        let mut fields = Fields::new(Gather::All);
        self.walk(self, &mut fields);
        let found = fields.sorted().into_iter();
        found.filter_map(|field| Some((field.path, field.after?))).collect()
    }

    fn walk(&self, after: &Self, fields: &mut Fields) {
        let Self { kind, size, quota, ensure, external, labels, protect, moved_from } = self;
        let word = |kind: &VolumeKind| kind.as_str().to_owned();
        fields.option("kind", kind.as_ref(), after.kind.as_ref(), word);
        fields.amount_option("size", size.as_ref(), after.size.as_ref());
        fields.option("quota", quota.as_ref(), after.quota.as_ref(), Quota::to_string);
        fields.told("ensure", ensure, &after.ensure, |ensure| ensure.as_str().to_owned());
        fields.option("external", external.as_ref(), after.external.as_ref(), ToString::to_string);
        fields.labels("labels", labels, &after.labels);
        fields.value("lifecycle.protect", protect, &after.protect);
        fields.option(
            "lifecycle.moved-from",
            moved_from.as_ref(),
            after.moved_from.as_ref(),
            ToString::to_string,
        );
    }
}
