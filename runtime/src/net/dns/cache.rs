//! What is known and still holds. It is kept as it was heard, and cut by the rules each time it is
//! given out, so a change of rules needs nothing of it.

use std::net::SocketAddr;
use std::time::Instant;

use super::found::Found;
use super::name::Name;
use super::read::Question;
use super::record::Kind;
use crate::net::recent::Recent;

/// Questions whose answers are kept.
pub(super) const CACHED_MAX: usize = 1000;

/// Bytes that the answers occupy together.
pub(super) const CACHED_BYTES_MAX: usize = 4 << 20;

/// What tells one question from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    /// The name, in lower case.
    pub(super) name: Name,
    /// What is asked for.
    pub(super) kind: Kind,
    /// The server that the guest chose, where it is asked instead of ours.
    pub(super) chosen: Option<SocketAddr>,
}

impl Key {
    /// Returns the key of a question.
    pub(super) fn of(question: &Question, chosen: Option<SocketAddr>) -> Self {
        Self { name: question.name.lowered(), kind: question.kind, chosen }
    }
}

/// Answers that still hold.
#[derive(Debug)]
pub(super) struct Cache {
    answers: Recent<Key, Found>,
    bytes: usize,
}

impl Cache {
    /// Returns an empty one.
    pub(super) fn new() -> Self {
        Self { answers: Recent::new(CACHED_MAX), bytes: 0 }
    }

    /// Returns the answer to a question, where one is known that still holds.
    pub(super) fn get(&mut self, key: &Key, now: Instant) -> Option<Found> {
        let found = self.answers.get(key)?;
        if found.left_s(now) > 0 {
            return Some(found.clone());
        }
        self.remove(key);
        None
    }

    /// Keeps an answer, if it holds for any time.
    pub(super) fn put(&mut self, key: Key, found: Found) {
        self.remove(&key);
        let bytes = found.bytes();
        if found.ttl_s == 0 || bytes > CACHED_BYTES_MAX {
            return;
        }
        while self.bytes + bytes > CACHED_BYTES_MAX {
            let Some(gone) = self.answers.remove_oldest() else { break };
            self.bytes -= gone.bytes();
        }
        self.bytes += bytes;
        if let Some(gone) = self.answers.put(key, found) {
            self.bytes -= gone.bytes();
        }
    }

    /// Forgets everything: those who said it are asked no more.
    pub(super) fn clear(&mut self) {
        self.answers.clear();
        self.bytes = 0;
    }

    /// Returns how many answers are kept, and in how many bytes.
    pub(super) fn size(&self) -> (usize, usize) {
        (self.answers.len(), self.bytes)
    }

    fn remove(&mut self, key: &Key) {
        if let Some(gone) = self.answers.remove(key) {
            self.bytes -= gone.bytes();
        }
    }
}
