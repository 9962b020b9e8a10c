//! When what failed is tried again: after a second, then after twice as long, up to a minute.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schema::name::InstanceName;

/// How long is waited after the first failure.
const FIRST: Duration = Duration::from_secs(1);

/// The longest that is waited.
const MOST: Duration = Duration::from_secs(60);

/// How long something must be in order before its failures are forgotten.
const FORGIVEN: Duration = Duration::from_secs(60);

/// Who failed, and when each is tried again; times are counted from any one moment.
#[derive(Debug, Default)]
pub struct Backoff(BTreeMap<InstanceName, Entry>);

#[derive(Debug)]
struct Entry {
    /// The definition that failed; another one is tried at once.
    definition: String,
    failures: u32,
    due: Duration,
}

/// An instance that would be brought up.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Which one.
    pub name: &'a InstanceName,
    /// The digest of what it is to be.
    pub definition: &'a str,
    /// Whether its last machine failed.
    pub failed: bool,
}

impl Backoff {
    /// Returns which of them rest for now; an attempt is counted for each of the others that
    /// failed before, so that it waits longer should it fail once more.
    pub fn resting(
        &mut self,
        candidates: &[Candidate<'_>],
        now: Duration,
    ) -> BTreeSet<InstanceName> {
        let named: BTreeSet<&InstanceName> = candidates.iter().map(|one| one.name).collect();
        self.0.retain(|name, entry| named.contains(name) || now < entry.due + FORGIVEN);
        candidates.iter().filter(|one| self.rests(one, now)).map(|one| one.name.clone()).collect()
    }

    fn rests(&mut self, one: &Candidate<'_>, now: Duration) -> bool {
        match self.0.get_mut(one.name) {
            Some(entry) if entry.definition != one.definition => {
                self.0.remove(one.name);
                false
            }
            Some(entry) if now < entry.due => true,
            Some(entry) => {
                entry.fail(now);
                false
            }
            None if one.failed => {
                self.failed(one.name, one.definition, now);
                true
            }
            None => false,
        }
    }

    /// Notes that bringing it up failed.
    pub fn failed(&mut self, name: &InstanceName, definition: &str, now: Duration) {
        // What was tried again was counted when it was tried.
        if self.0.get(name).is_some_and(|entry| entry.definition == definition) {
            return;
        }
        let mut entry = Entry { definition: definition.to_owned(), failures: 0, due: now };
        entry.fail(now);
        self.0.insert(name.clone(), entry);
    }

    /// Returns how long it is until the next one is tried again.
    #[must_use]
    pub fn next(&self, now: Duration) -> Option<Duration> {
        self.0.values().map(|entry| entry.due).filter(|due| *due > now).min().map(|due| due - now)
    }
}

impl Entry {
    fn fail(&mut self, now: Duration) {
        let wait = FIRST.saturating_mul(1 << self.failures.min(6)).min(MOST);
        self.failures = self.failures.saturating_add(1);
        self.due = now + wait;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidate<'a>(name: &'a InstanceName, definition: &'a str) -> [Candidate<'a>; 1] {
        [Candidate { name, definition, failed: true }]
    }

    #[test]
    fn sf_g3_what_fails_waits_twice_as_long_each_time_up_to_a_minute() {
        let web = InstanceName::parse("web").unwrap();
        let mut backoff = Backoff::default();
        let mut now = Duration::from_secs(100);
        let mut waits = Vec::new();
        for _ in 0..8 {
            if !backoff.resting(&candidate(&web, "a"), now).is_empty() {
                let wait = backoff.next(now).unwrap();
                waits.push(wait.as_secs());
                now += wait;
                assert!(backoff.resting(&candidate(&web, "a"), now).is_empty());
            }
        }
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn sf_g3_another_definition_is_tried_at_once() {
        let web = InstanceName::parse("web").unwrap();
        let mut backoff = Backoff::default();
        assert_eq!(backoff.resting(&candidate(&web, "a"), Duration::ZERO).len(), 1);
        assert!(backoff.resting(&candidate(&web, "b"), Duration::ZERO).is_empty());
    }

    #[test]
    fn what_has_been_in_order_for_a_while_starts_over() {
        let web = InstanceName::parse("web").unwrap();
        let mut backoff = Backoff::default();
        backoff.failed(&web, "a", Duration::ZERO);
        backoff.resting(&[], Duration::from_secs(62));
        assert_eq!(backoff.resting(&candidate(&web, "a"), Duration::from_secs(62)).len(), 1);
        assert_eq!(backoff.next(Duration::from_secs(62)), Some(FIRST));
    }
}
