//! The connections and flows of a machine, each by who speaks with whom and by its token.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::Instant;

/// Who speaks with whom: the guest's port, and the far end as the guest sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) port: u16,
    pub(super) remote: SocketAddr,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Table<T> {
    rows: HashMap<Key, Row<T>>,
    keys: HashMap<u64, Key>,
    due: BTreeSet<(Instant, u64)>,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Row<T> {
    pub(super) token: u64,
    pub(super) it: T,
    due: Option<Instant>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: HashMap::new(), keys: HashMap::new(), due: BTreeSet::new() }
    }
}

impl<T> Table<T> {
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(super) fn insert(&mut self, key: Key, token: u64, it: T) {
        self.remove(&key);
        self.keys.insert(token, key);
        self.rows.insert(key, Row { token, it, due: None });
    }

    pub(super) fn get_mut(&mut self, key: &Key) -> Option<&mut Row<T>> {
        self.rows.get_mut(key)
    }

    pub(super) fn has(&self, key: &Key) -> bool {
        self.rows.contains_key(key)
    }

    /// Returns whose token it is.
    pub(super) fn key(&self, token: u64) -> Option<Key> {
        self.keys.get(&token).copied()
    }

    pub(super) fn keys(&self) -> Vec<Key> {
        self.rows.keys().copied().collect()
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<T> {
        let row = self.rows.remove(key)?;
        self.keys.remove(&row.token);
        if let Some(due) = row.due {
            self.due.remove(&(due, row.token));
        }
        Some(row.it)
    }

    /// Says when one of them is to be looked at again.
    pub(super) fn set_due(&mut self, key: &Key, due: Option<Instant>) {
        let Some(row) = self.rows.get_mut(key).filter(|row| row.due != due) else { return };
        if let Some(before) = row.due {
            self.due.remove(&(before, row.token));
        }
        row.due = due;
        if let Some(due) = due {
            self.due.insert((due, row.token));
        }
    }

    /// Returns the first moment at which one of them is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.due.first().map(|(due, _)| *due)
    }

    /// Returns those that are due.
    pub(super) fn due(&self, now: Instant) -> Vec<Key> {
        let due = self.due.iter().take_while(|(due, _)| *due <= now);
        due.filter_map(|(_, token)| self.key(*token)).collect()
    }
}
