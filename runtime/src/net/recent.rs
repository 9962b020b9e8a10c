//! A map with a limit: what was used least recently goes when something new comes.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// A map of at most so many values.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    most: usize,
    turn: u64,
    values: HashMap<K, (u64, V)>,
    order: BTreeMap<u64, K>,
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    /// Returns an empty map that holds `most` values.
    pub(super) fn new(most: usize) -> Self {
        Self { most, turn: 0, values: HashMap::new(), order: BTreeMap::new() }
    }

    /// Returns the value of a key, which is used by that.
    pub(super) fn get(&mut self, key: &K) -> Option<&mut V> {
        let (turn, value) = self.values.get_mut(key)?;
        self.order.remove(turn);
        self.turn += 1;
        *turn = self.turn;
        self.order.insert(self.turn, key.clone());
        Some(value)
    }

    /// Puts a value in; returns what had to go for it.
    pub(super) fn put(&mut self, key: K, value: V) -> Option<V> {
        let mut gone = self.remove(&key);
        if self.values.len() >= self.most
            && let Some((_, oldest)) = self.order.pop_first()
        {
            gone = self.values.remove(&oldest).map(|(_, value)| value);
        }
        self.turn += 1;
        self.order.insert(self.turn, key.clone());
        self.values.insert(key, (self.turn, value));
        gone
    }

    /// Takes a value out.
    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let (turn, value) = self.values.remove(key)?;
        self.order.remove(&turn);
        Some(value)
    }

    /// Takes out the value that was used least recently.
    pub(super) fn remove_oldest(&mut self) -> Option<V> {
        let (_, oldest) = self.order.pop_first()?;
        self.values.remove(&oldest).map(|(_, value)| value)
    }

    /// Takes everything out.
    pub(super) fn clear(&mut self) {
        self.values.clear();
        self.order.clear();
    }

    /// Returns how many values there are.
    pub(super) fn len(&self) -> usize {
        self.values.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_least_recently_goes() {
        let mut map = Recent::new(2);
        assert_eq!((map.put("a", 1), map.put("b", 2)), (None, None));
        assert_eq!(map.get(&"a"), Some(&mut 1));
        assert_eq!(map.put("c", 3), Some(2));
        assert_eq!(map.get(&"b"), None);
        assert_eq!(map.put("c", 4), Some(3), "the same key takes its own place");
        assert_eq!((map.len(), map.remove_oldest()), (2, Some(1)));
        map.clear();
        assert_eq!((map.len(), map.order.len()), (0, 0));
    }
}
