//! Instances: one definition, several machines, and what differs between them.
//!
//! What differs stays as a mark through variables, includes and templates: a
//! character that no text of a file can hold, and a letter. Marks are filled in
//! last, instance by instance; a definition without one is decoded once.

use std::borrow::Cow;

use super::decode::{Decoder, bounds};
use crate::name::{InstanceName, SandboxName};
use crate::sandboxfile::document::{Content, Group};
use crate::sandboxfile::keys::Shape;
use crate::sandboxfile::problem::{Code, Problem};
use crate::sandboxfile::tree::Scalar;
use crate::sandboxfile::value;

/// The names whose values differ from instance to instance, and what stands for them meanwhile.
pub(super) const MARKS: &[(&str, &str)] =
    &[("replica.index", "\0i"), ("replica.count", "\0c"), ("sandbox.instance", "\0n")];

/// The bodies of one definition: one for all instances, or one for each.
pub(super) enum Bodies<'g, 'a> {
    One(&'g Group<'a>),
    Each(Vec<Group<'a>>),
}

impl<'g, 'a> Bodies<'g, 'a> {
    /// Returns every body, in the order of the instances.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Group<'a>> {
        let (one, each) = match self {
            Bodies::One(group) => (Some(*group), [].as_slice()),
            Bodies::Each(groups) => (None, groups.as_slice()),
        };
        one.into_iter().chain(each)
    }
}

impl Decoder<'_, '_> {
    /// Returns how many instances a definition has; `None` is one without an index.
    pub(super) fn replicas(&mut self, group: &Group<'_>) -> Option<u32> {
        let item = group.get("replicas")?;
        let (Content::Scalar(scalar), Shape::Scalar(ty)) = (&item.content, item.key.shape) else {
            return None;
        };
        if is_marked(scalar) {
            let message = "`replicas` cannot depend on the instance";
            let problem = Problem::error(Code::VALUE_COUNT, message, scalar.span);
            self.problems.push(problem.help("write a number, or a variable of the project"));
            return None;
        }
        self.note("replicas", item.at);
        let read = value::count(scalar, bounds(ty));
        let count = u32::try_from(self.take(read)?).ok()?;
        let most = self.inputs.limits.instances;
        self.instances_left = match self.instances_left.checked_sub(count as usize) {
            Some(left) => left,
            None => {
                let message = format!("the project has more than {most} instances");
                let problem = Problem::error(Code::LIMIT_INSTANCES, message, scalar.span);
                self.problems
                    .push(problem.help("write fewer, or raise limits { instances } in config.kdl"));
                return Some(0);
            }
        };
        Some(count)
    }

    /// Returns the bodies of a definition, marks filled in.
    pub(super) fn bodies<'g, 'a>(
        &mut self,
        name: &SandboxName,
        group: &'g Group<'a>,
        replicas: Option<u32>,
    ) -> Bodies<'g, 'a> {
        if !group_has_mark(group) {
            return Bodies::One(group);
        }
        let indexes: Vec<Option<u32>> = match replicas {
            None => vec![None],
            Some(count) => (0..count).map(Some).collect(),
        };
        let count = replicas.unwrap_or(1).to_string();
        let mut each = Vec::with_capacity(indexes.len());
        for index in indexes {
            let instance = InstanceName { sandbox: name.clone(), index };
            let values = [index.unwrap_or(0).to_string(), count.clone(), instance.to_string()];
            let mut body = group.clone();
            let filled = fill_group(&mut body, &values, &mut self.room);
            if filled.is_none() {
                let most = self.inputs.limits.expanded_bytes;
                let message = format!("interpolation makes more than {most} bytes");
                let at = group.items.first().map_or(self.start(), |item| item.at);
                let problem = Problem::error(Code::LIMIT_EXPANDED_BYTES, message, at);
                self.problems.push(problem.help("raise limits { expanded-bytes } in config.kdl"));
                break;
            }
            each.push(body);
            if self.is_late(group.items.first().map_or(self.start(), |item| item.at)) {
                break;
            }
        }
        Bodies::Each(each)
    }
}

fn is_marked(scalar: &Scalar<'_>) -> bool {
    scalar.text.contains('\0')
}

fn group_has_mark(group: &Group<'_>) -> bool {
    group.principal.as_ref().is_some_and(is_marked)
        || group.items.iter().any(|item| has_mark(&item.content))
}

pub(super) fn has_mark(content: &Content<'_>) -> bool {
    match content {
        Content::Null(_) => false,
        Content::Scalar(value) => is_marked(value),
        Content::List(items) => items.iter().any(is_marked),
        Content::Group(inner) => group_has_mark(inner),
        Content::Rows(rows) => rows.iter().any(group_has_mark),
        Content::Map(members) | Content::Keyed(members) | Content::Tagged(members) => {
            members.iter().any(|member| has_mark(&member.content))
        }
    }
}

type Values = [String; MARKS.len()];

/// Fills marks in; `None` where that makes too many bytes.
fn fill_group(group: &mut Group<'_>, values: &Values, room: &mut usize) -> Option<()> {
    if let Some(scalar) = &mut group.principal {
        fill_scalar(scalar, values, room)?;
    }
    group.items.iter_mut().try_for_each(|item| fill(&mut item.content, values, room))
}

fn fill(content: &mut Content<'_>, values: &Values, room: &mut usize) -> Option<()> {
    match content {
        Content::Null(_) => Some(()),
        Content::Scalar(scalar) => fill_scalar(scalar, values, room),
        Content::List(items) => {
            items.iter_mut().try_for_each(|scalar| fill_scalar(scalar, values, room))
        }
        Content::Group(inner) => fill_group(inner, values, room),
        Content::Rows(rows) => rows.iter_mut().try_for_each(|row| fill_group(row, values, room)),
        Content::Map(members) | Content::Keyed(members) | Content::Tagged(members) => {
            members.iter_mut().try_for_each(|member| fill(&mut member.content, values, room))
        }
    }
}

fn fill_scalar(scalar: &mut Scalar<'_>, values: &Values, room: &mut usize) -> Option<()> {
    if !is_marked(scalar) {
        return Some(());
    }
    let text = replaced(&scalar.text, |mark| values[mark].as_str().into());
    *room = room.checked_sub(text.len())?;
    scalar.text = Cow::Owned(text);
    Some(())
}

/// Returns a text with every mark replaced by what `value` says of its number.
pub(super) fn replaced<'v>(text: &str, value: impl Fn(usize) -> Cow<'v, str>) -> String {
    let mut filled = String::with_capacity(text.len());
    let mut parts = text.split('\0');
    filled.push_str(parts.next().unwrap_or(""));
    for part in parts {
        let mark = MARKS.iter().position(|(_, mark)| part.starts_with(&mark[1..]));
        if let Some(mark) = mark {
            filled.push_str(&value(mark));
        }
        filled.push_str(part.get(1..).unwrap_or(""));
    }
    filled
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_replaced() {
        let text = "a\0i-\0c.\0n$";
        let filled = replaced(text, |mark| ["0", "2", "web[0]"][mark].into());
        assert_eq!(filled, "a0-2.web[0]$");
    }
}
