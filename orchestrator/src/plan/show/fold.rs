//! Instances that are equal in everything but their index are one line: `web[0..49]`.

use schema::name::InstanceName;

/// The most different lines of one sandbox that a further instance is compared with.
const GROUPS_MAX: usize = 16;

/// What is equal, and the indexes of those that are.
pub(super) struct Group<'a, T> {
    /// The first of them.
    pub(super) item: &'a T,
    /// The sandbox; `None` where it is something else.
    name: Option<&'a InstanceName>,
    indexes: Vec<u32>,
}

/// Folds items, sorted by name, that `same` calls equal.
pub(super) fn folded<'a, T>(
    items: impl IntoIterator<Item = &'a T>,
    name: impl Fn(&'a T) -> Option<&'a InstanceName>,
    same: impl Fn(&T, &T) -> bool,
) -> Vec<Group<'a, T>> {
    let mut groups: Vec<Group<'a, T>> = Vec::new();
    for item in items {
        let name = name(item);
        let index = name.and_then(|name| name.index);
        let mut near = groups.iter_mut().rev().take(GROUPS_MAX);
        let equal = near.find(|group| {
            let (Some(first), Some(name), Some(_)) = (group.name, name, index) else {
                return false;
            };
            first.index.is_some() && first.sandbox == name.sandbox && same(group.item, item)
        });
        match (equal, index) {
            (Some(group), Some(index)) => group.indexes.push(index),
            _ => groups.push(Group { item, name, indexes: index.into_iter().collect() }),
        }
    }
    groups
}

impl<T> Group<'_, T> {
    /// Returns the name of all of them.
    pub(super) fn name(&self) -> Option<String> {
        let name = self.name?;
        if self.indexes.len() < 2 {
            return Some(name.to_string());
        }
        Some(format!("{}[{}]", name.sandbox, ranges(&self.indexes)))
    }
}

/// Returns `0..3,7` for rising numbers.
fn ranges(indexes: &[u32]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut rest = indexes;
    while let Some(first) = rest.first() {
        let run = rest.iter().zip(*first..).take_while(|(index, next)| *index == next).count();
        let last = rest[run.max(1) - 1];
        let is_one = *first == last;
        parts.push(if is_one { first.to_string() } else { format!("{first}..{last}") });
        rest = &rest[run.max(1)..];
    }
    parts.join(",")
}

/// Returns the names with instances folded.
pub(super) fn folded_names<'a>(names: impl Iterator<Item = &'a InstanceName>) -> Vec<String> {
    folded(names, Some, |_, _| true).iter().filter_map(Group::name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_a_range() {
        assert_eq!(ranges(&[0, 1, 2, 7, 9, 10]), "0..2,7,9..10");
        let names = ["db", "web[0]", "web[1]", "web[4]"].map(|n| InstanceName::parse(n).unwrap());
        assert_eq!(folded_names(names.iter()), ["db", "web[0..1,4]"]);
    }
}
