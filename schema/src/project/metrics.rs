//! What is measured of a sandbox, and how it is named where it is exported.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use super::Labels;
use crate::units::Millis;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metrics {
    /// Whether it is measured.
    pub enabled: bool,
    /// The time between samples.
    pub interval: Millis,
    /// Whether labels are exported.
    pub labels: bool,
    /// Keys of labels that are not.
    pub exclude_labels: BTreeSet<String>,
    /// Constants that are exported too.
    pub attributes: Labels,
}

impl Metrics {
    /// What the time between samples may be.
    pub const INTERVALS: RangeInclusive<Millis> = Millis::seconds(1)..=Millis::seconds(3600);
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Millis::seconds(1),
            labels: true,
            exclude_labels: BTreeSet::new(),
            attributes: Labels::new(),
        }
    }
}
