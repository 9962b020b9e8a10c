//! What one tick brought: numbers, and whose they are. Nothing is encoded before it is sent.

use std::sync::Arc;

use schema::figures::Sample;

use super::identity::Identity;
use super::instruments::Values;

/// What a point takes on the wire beside its attributes, at most.
const NUMBERS_BYTES_MAX: usize = 40;

/// One machine's numbers at one moment.
#[derive(Debug, Clone)]
pub(super) struct Point {
    /// Whose.
    pub who: Arc<Identity>,
    /// When the sample was taken, milliseconds since 1970.
    pub at_ms: u64,
    /// When the boot began, milliseconds since 1970.
    pub started_at_ms: u64,
    /// A number for each instrument.
    pub values: Values,
}

impl Point {
    /// Returns what a sample of a machine says.
    #[must_use]
    pub(super) fn new(who: &Arc<Identity>, sample: &Sample) -> Self {
        Self {
            who: Arc::clone(who),
            at_ms: sample.sampled_at_ms,
            started_at_ms: sample.started_at_ms,
            values: Values::of(sample),
        }
    }

    /// Returns what it takes on the wire, at most.
    fn bytes(&self) -> usize {
        self.values.len() * (self.who.bytes() + NUMBERS_BYTES_MAX)
    }
}

/// The new samples of one tick.
#[derive(Debug, Clone, Default)]
pub(super) struct Collection {
    points: Vec<Point>,
    /// How many of them were acknowledged.
    done: usize,
}

impl Collection {
    /// Returns the collection of these points.
    #[must_use]
    pub(super) const fn new(points: Vec<Point>) -> Self {
        Self { points, done: 0 }
    }

    /// Tells whether nothing of it is left to send.
    #[must_use]
    pub(super) const fn is_done(&self) -> bool {
        self.done == self.points.len()
    }

    /// Returns the points of its next request: all that are left, where they fit.
    ///
    /// It is the same each time, until it is acknowledged.
    #[must_use]
    pub(super) fn next(&self, bytes_max: usize) -> &[Point] {
        let left = &self.points[self.done..];
        let mut bytes = 0;
        let fits = |point: &&Point| {
            bytes += point.bytes();
            bytes <= bytes_max
        };
        let count = left.iter().take_while(fits).count();
        // A machine that is too large by itself is a request of its own.
        &left[..count.max(1).min(left.len())]
    }

    /// Counts the points of a request as acknowledged.
    pub(super) fn acknowledge(&mut self, count: usize) {
        self.done = (self.done + count).min(self.points.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exporter::figures_of_tests::point;

    #[test]
    fn rt_11_8_a_machine_takes_less_than_the_page_allows_in_each_collection() {
        // A buffer of sixty, of a thousand machines, is to fit into 32 MB with everything else.
        assert!(size_of::<Point>() <= 136, "{}", size_of::<Point>());
    }

    #[test]
    fn a_tick_that_is_too_large_for_a_request_is_told_in_several() {
        let mut collection = Collection::new((0..5).map(point).collect());
        let each = point(0).bytes();
        assert_eq!(collection.next(usize::MAX).len(), 5);
        let mut told = Vec::new();
        while !collection.is_done() {
            let part: Vec<u64> = collection.next(each * 2).iter().map(|p| p.at_ms).collect();
            assert_eq!(collection.next(each * 2).len(), part.len(), "it is the same each time");
            collection.acknowledge(part.len());
            told.push(part.len());
        }
        assert_eq!(told, [2, 2, 1]);
        assert_eq!(Collection::new(vec![point(0)]).next(1).len(), 1);
        assert!(Collection::default().is_done());
    }
}
