//! Two lists of instances side by side: one walk, where to search for each name takes longer.

use std::cmp::Ordering;
use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;

use schema::name::InstanceName;

/// Values by name, asked for name after name.
#[derive(Debug)]
pub(crate) struct Beside<'a, 'n, T> {
    all: &'a BTreeMap<InstanceName, T>,
    rest: Peekable<btree_map::Range<'a, InstanceName, T>>,
    last: Option<&'n InstanceName>,
}

impl<'a, 'n, T> Beside<'a, 'n, T> {
    pub(crate) fn of(all: &'a BTreeMap<InstanceName, T>) -> Self {
        Self { all, rest: all.range(..).peekable(), last: None }
    }

    /// Returns the value of a name, soonest where it is not less than the one before.
    pub(crate) fn get(&mut self, name: &'n InstanceName) -> Option<&'a T> {
        let last = self.last.replace(name);
        loop {
            let next = self.rest.peek().copied();
            match next.map_or(Ordering::Greater, |(other, _)| other.cmp(name)) {
                Ordering::Less => drop(self.rest.next()),
                Ordering::Equal => return next.map(|(_, value)| value),
                // It may have been passed by.
                Ordering::Greater if last.is_some_and(|last| name < last) => {
                    self.rest = self.all.range(name.clone()..).peekable();
                    return self.rest.peek().filter(|(other, _)| *other == name).map(|next| next.1);
                }
                Ordering::Greater => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_whatever_came_before_it() {
        let name = |text: &str| InstanceName::parse(text).unwrap();
        let all: BTreeMap<InstanceName, u8> =
            [("a", 0), ("c", 1), ("d", 2), ("f", 3)].map(|(text, at)| (name(text), at)).into();
        let asked = ["b", "c", "c", "f", "g", "a", "e", "d", "d", "a"].map(name);
        let mut beside = Beside::of(&all);
        for name in &asked {
            assert_eq!(beside.get(name), all.get(name), "{name}");
        }
    }
}
