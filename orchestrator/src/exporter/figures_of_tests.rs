//! Points that tests make up.

use std::collections::BTreeSet;
use std::sync::Arc;

use schema::figures::Sample;

use super::collection::Point;
use super::identity::{Facts, Identity, Labels};

/// Returns a point of `web` that was taken at this moment.
pub(super) fn point(at_ms: u64) -> Point {
    let facts = Facts {
        project: "shop",
        sandbox: "web",
        instance: None,
        id: "00112233aabbccdd",
        driver: "process",
        run: None,
        pid: None,
    };
    let excluded = BTreeSet::new();
    let labels =
        Labels { of_image: None, own: None, kept_back: None, excluded: &excluded, constants: None };
    let sample = Sample {
        sampled_at_ms: at_ms,
        started_at_ms: 1,
        memory_bytes: Some(at_ms),
        vcpu_time_ns: Some(2_000_000_000),
        ..Sample::default()
    };
    Point::new(&Arc::new(Identity::new(facts, labels)), &sample)
}
