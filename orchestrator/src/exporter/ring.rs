//! Collections that wait for a receiver: a bounded queue, whose oldest is dropped and counted.

use std::collections::VecDeque;

use super::collection::Collection;

/// See the module.
#[derive(Debug)]
pub(super) struct Ring {
    waiting: VecDeque<Collection>,
    max: usize,
    dropped: u64,
}

impl Ring {
    /// Returns an empty ring that holds `max` collections.
    #[must_use]
    pub(super) const fn new(max: usize) -> Self {
        Self { waiting: VecDeque::new(), max, dropped: 0 }
    }

    /// Adds what a tick brought; a tick that brought nothing takes no place.
    pub(super) fn push(&mut self, collection: Collection) {
        if collection.is_done() {
            return;
        }
        self.waiting.push_back(collection);
        self.shed();
    }

    /// Takes the oldest out, to be sent; it takes no place until it comes back.
    pub(super) fn take(&mut self) -> Option<Collection> {
        self.waiting.pop_front()
    }

    /// Puts one back that was not acknowledged, or not all of it.
    pub(super) fn put_back(&mut self, collection: Collection) {
        if collection.is_done() {
            return;
        }
        self.waiting.push_front(collection);
        self.shed();
    }

    /// Counts one that was given up.
    pub(super) const fn give_up(&mut self) {
        self.dropped += 1;
    }

    /// Returns how many wait.
    #[must_use]
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Tells whether none waits.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Returns how many were dropped or given up.
    #[must_use]
    pub(super) const fn dropped(&self) -> u64 {
        self.dropped
    }

    fn shed(&mut self) {
        while self.waiting.len() > self.max {
            self.waiting.pop_front();
            self.dropped += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exporter::figures_of_tests::point;

    fn one(at: u64) -> Collection {
        Collection::new(vec![point(at)])
    }

    fn rest(ring: &mut Ring) -> Vec<u64> {
        std::iter::from_fn(|| ring.take()).map(|one| one.next(usize::MAX)[0].at_ms).collect()
    }

    #[test]
    fn rt_11_7_a_full_ring_drops_its_oldest_and_counts_it() {
        let mut ring = Ring::new(3);
        (1..=5).for_each(|at| ring.push(one(at)));
        assert_eq!((ring.len(), ring.dropped()), (3, 2));
        assert_eq!(rest(&mut ring), [3, 4, 5]);
    }

    #[test]
    fn rt_11_7_what_comes_back_is_the_oldest_still() {
        let mut ring = Ring::new(2);
        ring.push(one(1));
        ring.push(one(2));
        let first = ring.take().unwrap();
        ring.put_back(first);
        assert_eq!((ring.len(), ring.dropped()), (2, 0));
        let first = ring.take().unwrap();
        ring.push(one(3));
        ring.put_back(first);
        assert_eq!(ring.dropped(), 1, "there was no place left for it");
        assert_eq!(rest(&mut ring), [2, 3]);
    }

    #[test]
    fn what_has_nothing_to_say_takes_no_place() {
        let mut ring = Ring::new(1);
        ring.push(one(1));
        ring.push(Collection::default());
        let mut first = ring.take().unwrap();
        first.acknowledge(1);
        ring.put_back(first);
        assert!(ring.is_empty() && ring.dropped() == 0);
    }
}
